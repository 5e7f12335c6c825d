"""The quadratic estimator of κ under a mask, from Q and U filtered by their inverse covariance there.

Maps times a mask, filtered as if they were periodic, turn E into B at the mask's edges, which at low noise is far more than
the lensing does. Filtered by conjugate gradients (`wiener.masked_wiener`) they do not.
"""

from dataclasses import dataclass, replace

import numpy as np

from limelight.probes.cmb_lensing.grid import Grid, fft, filtered, ifft, real_parts
from limelight.probes.cmb_lensing.noise import Data
from limelight.probes.cmb_lensing.quadratic import QuadraticEstimator, mean_field
from limelight.probes.cmb_lensing.sky import beam
from limelight.probes.cmb_lensing.spectra import Spectra
from limelight.probes.cmb_lensing.wiener import Masked, masked_wiener

SKIES = 100  # of the mean field


@dataclass(frozen=True)
class MaskedQuadratic:
    """EE + EB under a mask (npix, npix) of 0 to 1. mean_field (npix, npix): what it finds of the mask alone."""

    estimator: QuadraticEstimator
    mask: np.ndarray
    mean_field: np.ndarray | float = 0.0

    @property
    def grid(self) -> Grid:
        return self.estimator.grid

    @property
    def data(self) -> Data:
        return self.estimator.data

    @property
    def spectra(self) -> Spectra:
        return self.estimator.spectra

    def with_mean(self) -> "MaskedQuadratic":
        """The same with the mean field of simulated skies, which depend on nothing but mask, sky and noise."""
        rng = np.random.default_rng(0)
        return replace(self, mean_field=mean_field(replace(self, mean_field=0.0), self.mask, SKIES, rng))

    def estimate(self, q: np.ndarray, u: np.ndarray) -> np.ndarray:
        """κ maps (n, npix, npix) of observed Q and U times the mask; not Wiener filtered, and 0 far outside of the mask."""
        return np.stack([self.parts(*maps)[0] for maps in zip(q, u, strict=True)])

    def answer(self, q: np.ndarray, u: np.ndarray) -> np.ndarray:
        """The estimate behind a Wiener filter, times the mask: what networks are trained on. (n, npix, npix)"""
        return self.mask * filtered(self.grid, self.estimate(q, u), self.estimator.wiener)

    def parts(self, q: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(κ, ∂P_W/∂x, ∂P_W/∂y, Wiener-filtered E) of one patch (npix, npix); see `QuadraticEstimator.filtered_maps`."""
        grid, spectra, masked = self.grid, self.spectra, Masked(self.grid, self.data, self.mask)
        kept, maps = grid.sample(self.data.kept(spectra.ells)), masked.unmasked(q, u)
        modes, _ = masked_wiener(masked, maps, spectra.lensed_ee, spectra.lensed_bb)
        residual = masked.weight * (maps - masked.observed(modes, None)) / grid.pixel**2
        barred = ifft(fft(residual) * beam(grid, self.data.beam_fwhm) * kept)
        e = real_parts(modes)[0]
        some = spectra.lensed_ee > 0
        tilt = np.where(some, self.estimator.gradient / np.where(some, spectra.lensed_ee, 1), 0)
        signal = e * grid.sample(tilt) * kept * grid.spin
        along_x, along_y = (ifft(signal * 1j * slope) for slope in (grid.lx, grid.ly))
        slope = (barred.conj() * along_x).real + 1j * (barred.conj() * along_y).real
        kappa = ifft(fft(slope) * self.estimator.divergence).real - self.mean_field
        return kappa, along_x, along_y, ifft(e).real
