"""The iterative (maximum a posteriori) estimator of κ.

From φ = 0, each step lenses the most probable E of the maps at the present φ, takes what the maps have beyond that, and
moves φ along the gradient of the posterior (Carron & Lewis 2017, arXiv:1704.08230):

    φ ← φ + s [ −∇·Re(P̄* (∇P_W)(n + α)) − φ/C_φφ ] / (R + 1/C_φφ),   P̄ = Aᵀ N⁻¹ (maps − A E_W)

R is the response with unlensed E and no B but noise, the curvature of the likelihood at the true φ. 40 steps of s = 0.3
converge where s = 0.5 often diverges. A step after which the gradient is larger than before is taken back and halved.
"""

import functools
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from limelight.probes.cmb_lensing.grid import Grid, eb_from_qu
from limelight.probes.cmb_lensing.noise import Data, Iterated, between, inverse_total, iterated_n0, response, spaced
from limelight.probes.cmb_lensing.sky import (
    beam,
    deflection,
    inverse_deflection,
    noise_power,
    remap,
    simulate,
    white_noise,
)
from limelight.probes.cmb_lensing.spectra import Spectra
from limelight.probes.cmb_lensing.wiener import Masked, masked_wiener, wiener_transfer


class Reconstruction(NamedTuple):
    """Maps (..., npix, npix) of κ and of E (unlensed): both are posterior means, with less power than truth."""

    kappa: np.ndarray
    e: np.ndarray


@dataclass(frozen=True)
class IterativeEstimator:
    """The estimator for one patch, sky and noise; `mask` as in `wiener.Masked`, None for a periodic patch."""

    grid: Grid
    spectra: Spectra
    data: Data
    mask: np.ndarray | None = None
    mean_field: np.ndarray | None = None  # modes of the gradient that a mask makes by itself, see `masked_mean_field`
    steps: int = 40
    step: float = 0.3

    @functools.cached_property
    def limit(self) -> Iterated:
        """What the analytic iteration promises."""
        return iterated_n0(self.spectra, self.data)

    @functools.cached_property
    def curvature(self) -> np.ndarray:
        """R at L = 0 … lmax."""
        inverse_ee = inverse_total(self.spectra.ee, self.data)
        inverse_bb = inverse_total(np.zeros_like(self.spectra.ee), self.data)
        at = spaced(len(self.spectra.ee) - 1)
        return between(at, sum(response(at, self.spectra.ee, inverse_ee, inverse_bb)), self.spectra.ells)

    @property
    def expected(self) -> np.ndarray:
        """Analytic correlation² of the estimate with κ at L = 0 … lmax, C/(C + N0) (without the bias N1)."""
        information = self.spectra.phi * self.limit.response
        return information / (1 + information)

    def estimate(self, q: np.ndarray, u: np.ndarray) -> Reconstruction:
        """κ and E of observed maps (n, npix, npix) (under a mask: already times the mask)."""
        found = [self._one(one_q, one_u) for one_q, one_u in zip(q, u, strict=True)]
        return Reconstruction(*(np.stack(maps) for maps in zip(*found, strict=True)))

    def _one(self, q: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        grid = self.grid
        prior = grid.sample(self.spectra.phi)
        some = prior > 0
        inverse_prior = np.where(some, 1 / np.where(some, prior, 1), 0)
        curvature = grid.sample(self.curvature) + inverse_prior
        inverse_curvature = np.where(some, 1 / np.where(some, curvature, 1), 0)
        model = _Periodic(self, q, u) if self.mask is None else _UnderMask(self, q, u)
        phi = trusted = np.zeros((grid.npix, grid.npix), dtype=np.complex128)
        direction, least, step = phi, np.inf, self.step
        for _ in range(self.steps):
            alpha = deflection(grid, phi * grid.ell**2 / 2)
            slope = lensing_gradient(grid, *model.e_and_residual(alpha), alpha) - phi * inverse_prior
            if self.mean_field is not None:
                slope = slope - self.mean_field
            size = np.sum(np.abs(slope) ** 2 * inverse_curvature)
            if size < least:
                trusted, direction, least = phi, slope * inverse_curvature, size
            else:
                step /= 2  # it went too far: back, and less far
            phi = trusted + step * direction
        kappa = phi * grid.ell**2 / 2
        e, _ = model.e_and_residual(deflection(grid, kappa))
        return np.fft.ifft2(kappa).real, np.fft.ifft2(e).real


def lensing_gradient(grid: Grid, e: np.ndarray, barred: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Modes of the likelihood's gradient with respect to φ, −∇·Re[P̄* (∇P_W)(n + α)].

    e: modes of Wiener-filtered E; barred: P̄, complex maps; alpha: deflection. All (npix, npix).
    """
    polarisation = e * grid.spin
    along_x, along_y = remap(grid, np.stack([1j * grid.lx * polarisation, 1j * grid.ly * polarisation]), alpha)
    slope_x, slope_y = np.fft.fft2((barred.conj() * np.stack([along_x, along_y])).real)
    return -1j * grid.usable * (grid.lx * slope_x + grid.ly * slope_y)


class _Periodic:
    """E of periodic maps: delens, then filter as if the noise were still white (it nearly is)."""

    def __init__(self, estimator: IterativeEstimator, q: np.ndarray, u: np.ndarray) -> None:
        grid, data = estimator.grid, estimator.data
        kept = grid.sample(data.kept(estimator.spectra.ells))
        self.grid = grid
        self.beam = beam(grid, data.beam_fwhm)
        self.observed = np.fft.fft2(q + 1j * u)
        self.sharp = self.observed * kept / np.maximum(self.beam, 1e-30)
        self.transfer = wiener_transfer(grid, estimator.spectra.ee, data) * self.beam
        self.weight = kept * self.beam / noise_power(data.sigma_p)

    def e_and_residual(self, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Modes of E and the maps P̄, given a deflection."""
        grid = self.grid
        delensed = remap(grid, self.sharp, inverse_deflection(grid, alpha, rounds=3))
        e = np.fft.fft2(eb_from_qu(grid, delensed.real, delensed.imag)[0]) * self.transfer
        expected = np.fft.fft2(remap(grid, e * grid.spin, alpha)) * self.beam
        return e, np.fft.ifft2((self.observed - expected) * self.weight)


class _UnderMask:
    """E of masked maps by conjugate gradients, each beginning at the E before."""

    def __init__(self, estimator: IterativeEstimator, q: np.ndarray, u: np.ndarray) -> None:
        self.masked = Masked(estimator.grid, estimator.data, estimator.mask)
        self.maps = self.masked.unmasked(q, u)
        self.signal = estimator.spectra.ee
        self.kept = estimator.grid.sample(estimator.data.kept(estimator.spectra.ells))
        self.white = None

    def e_and_residual(self, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Modes of E and the maps P̄, given a deflection."""
        masked = self.masked
        no_b = np.zeros_like(self.signal)
        e, self.white = masked_wiener(masked, self.maps, self.signal, no_b, alpha, self.white)
        residual = masked.weight * (self.maps - masked.observed(e, alpha)) / masked.grid.pixel**2
        smooth = beam(masked.grid, masked.data.beam_fwhm) * self.kept
        return e, np.fft.ifft2(np.fft.fft2(residual) * smooth)


def masked_mean_field(estimator: IterativeEstimator, n: int, rng: np.random.Generator) -> np.ndarray:
    """Modes of the gradient at φ = 0 averaged over n skies under the mask: what to give as `mean_field`.

    The skies are those of the model at φ = 0, without lensing (the gradient of ln det of the covariance there).
    """
    grid, data = estimator.grid, estimator.data
    flat = replace(estimator.spectra, phi=np.zeros_like(estimator.spectra.phi))
    none = np.zeros((grid.npix, grid.npix), dtype=np.complex128)
    total = none
    for _ in range(n):
        sky = simulate(grid, flat, 1, rng, 1, grid.npix // 2, data.beam_fwhm)
        q, u = ((one[0] + white_noise(grid, data.sigma_p, (), rng)) * estimator.mask for one in (sky.q, sky.u))
        total = total + lensing_gradient(grid, *_UnderMask(estimator, q, u).e_and_residual(none), none)
    return total / n
