"""What a hybrid network sees beside Q and U, all from the quadratic estimator, on the device of the data.

κ_W       the quadratic estimate of κ behind a Wiener filter: the answer of a hybrid starts from it
α         the deflection that belongs to it, x and y, in pixels
α·∇P_W    the first order of lensing by it, of Wiener-filtered E alone: real and imaginary part of Q + iU
E_W       Wiener-filtered E: an answer E starts from it
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from limelight.data.shard import Header
from limelight.probes.cmb_lensing.grid import Grid, fft, filtered, ifft, like
from limelight.probes.cmb_lensing.masked import MaskedQuadratic
from limelight.probes.cmb_lensing.noise import Data
from limelight.probes.cmb_lensing.presentation import TYPICAL_UK
from limelight.probes.cmb_lensing.quadratic import QuadraticEstimator
from limelight.probes.cmb_lensing.sky import taper
from limelight.probes.cmb_lensing.spectra import Parameters, gradient_ee, spectra_of
from limelight.probes.cmb_lensing.wiener import wiener_e

LEAST_NOISE = 0.1  # µK arcmin: filters need some, also for maps without noise
NAMES = ("kappa", "alpha_x", "alpha_y", "product_q", "product_u", "e")


@dataclass(frozen=True)
class HybridFeatures:
    """Recorded Q and U (b, 2, y, x) in µK -> NAMES (b, 6, y, x), of order one.

    masked: of patches under a mask, whose maps are filtered one by one on the CPU.
    """

    estimator: QuadraticEstimator
    masked: MaskedQuadratic | None = None

    def __call__(self, recorded: Tensor) -> Tensor:
        grid, spectra = self.estimator.grid, self.estimator.spectra
        kappa, along_x, along_y, e = self._parts(recorded)
        modes = fft(kappa)
        alpha = ifft(modes * like(gradient_of_kappa(grid), modes))
        product = (alpha.real * along_x + alpha.imag * along_y) / TYPICAL_UK
        scaled = kappa / rms(grid, spectra.kappa)
        parts = [scaled, alpha.real / grid.pixel, alpha.imag / grid.pixel, product.real, product.imag]
        return torch.stack([*parts, e / rms(grid, spectra.ee)], dim=1).to(recorded.dtype)

    def _parts(self, recorded: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Filtered κ, the gradients of filtered E as Q + iU, and E behind a Wiener filter; under a mask times the mask."""
        grid, q, u = self.estimator.grid, recorded[:, 0], recorded[:, 1]
        if self.masked is None:
            kappa = filtered(grid, self.estimator.estimate(q, u), self.estimator.wiener)
            _, along_x, along_y = self.estimator.filtered_maps(q, u)
            return kappa, along_x, along_y, wiener_e(grid, q, u, self.estimator.spectra.lensed_ee, self.estimator.data)
        found = [self.masked.parts(*maps) for maps in recorded.double().cpu().numpy()]
        kappa, *others = (np.stack(maps) for maps in zip(*found, strict=True))
        kappa = filtered(grid, kappa, self.estimator.wiener)
        return tuple(torch.as_tensor(maps * self.masked.mask, device=recorded.device) for maps in (kappa, *others))


def hybrid_features(header: Header, noise_uk_arcmin: float) -> HybridFeatures:
    """The features that suit data with this header under this noise: the estimator's filters are made for both."""
    estimator, mask = quadratic_estimator(header, noise_uk_arcmin), mask_of(header)
    return HybridFeatures(estimator, None if mask is None else MaskedQuadratic(estimator, mask).with_mean())


def mask_of(header: Header) -> np.ndarray | None:
    """What is seen of patches with this header, (y, x); None: all."""
    width, grid = header.geometry["taper_deg"], Grid(header.geometry["pixels"], header.geometry["pixel_arcmin"])
    return taper(grid, width) if width else None


def quadratic_estimator(header: Header, noise_uk_arcmin: float) -> QuadraticEstimator:
    """The EE and EB estimator that is best for data with this header under this noise."""
    geometry = header.geometry
    universe = Parameters(**header.simulation["universe"])
    data = Data(max(noise_uk_arcmin, LEAST_NOISE), geometry["beam_arcmin"])
    grid = Grid(geometry["pixels"], geometry["pixel_arcmin"])
    return QuadraticEstimator(grid, spectra_of(universe), gradient_ee(universe), data)


def gradient_of_kappa(grid: Grid) -> np.ndarray:
    """What the modes of κ are multiplied with to give α_x + i α_y in radians, (npix, npix)."""
    ell2 = np.where(grid.ell > 0, grid.ell**2, 1.0)
    return 1j * (grid.lx + 1j * grid.ly) * grid.usable * 2 / ell2


def rms(grid: Grid, spectrum: np.ndarray) -> float:
    """Standard deviation of maps with a spectrum at ℓ = 0, 1, 2, …"""
    return float(np.sqrt(grid.sample(spectrum).sum()) / grid.side)
