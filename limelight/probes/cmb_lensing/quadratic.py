"""The quadratic estimator of κ from EE and EB, on numpy arrays and torch tensors (differentiable, any device).

The gradient of the likelihood of Q and U with respect to α is Re[P̄* ∇P_W] at each pixel, with P̄ = Q + iU divided by the
total power of E and of B, and P_W that of Wiener-filtered E alone. Its divergence over the response 1/N0 is the estimate.
The E part of P̄ gives the EE estimator, the B part the EB one, and their sum, weighted by 1/N0, the two together.
"""

import functools
from dataclasses import dataclass

import numpy as np

from limelight.probes.cmb_lensing import noise
from limelight.probes.cmb_lensing.grid import Array, Grid, eb_modes, fft, ifft, like
from limelight.probes.cmb_lensing.noise import Data
from limelight.probes.cmb_lensing.sky import beam, simulate, white_noise
from limelight.probes.cmb_lensing.spectra import Spectra


@dataclass(frozen=True)
class QuadraticEstimator:
    """EE + EB for one patch, sky and noise.

    gradient: lensed-gradient EE (`spectra.gradient_ee`), at ℓ = 0, 1, 2, …
    """

    grid: Grid
    spectra: Spectra
    gradient: np.ndarray
    data: Data

    @functools.cached_property
    def inverse_ee(self) -> np.ndarray:
        """1/(C_EE + N) at each ℓ."""
        return noise.inverse_total(self.spectra.lensed_ee, self.data)

    @functools.cached_property
    def inverse_bb(self) -> np.ndarray:
        """1/(C_BB + N) at each ℓ."""
        return noise.inverse_total(self.spectra.lensed_bb, self.data)

    @functools.cached_property
    def response_curves(self) -> tuple[np.ndarray, np.ndarray]:
        """1/N0 of φ from EE and from EB at L = 0 … lmax."""
        at = noise.spaced(len(self.gradient) - 1)
        parts = noise.response(at, self.gradient, self.inverse_ee, self.inverse_bb)
        return tuple(noise.between(at, one, np.arange(len(self.gradient), dtype=np.float64)) for one in parts)

    @functools.cached_property
    def n0_kappa(self) -> np.ndarray:
        """N0 of κ from EE and EB together at L = 0 … lmax; inf where there is no information."""
        total = sum(self.response_curves)
        ells = np.arange(len(total), dtype=np.float64)
        return np.where(total > 0, ells**4 / 4 / np.where(total > 0, total, 1), np.inf)

    @functools.cached_property
    def wiener(self) -> np.ndarray:
        """C_κκ/(C_κκ + N0) on each mode: what to multiply the estimate with for the least error, (npix, npix)."""
        return self.grid.sample(self.spectra.kappa / (self.spectra.kappa + self.n0_kappa))

    @functools.cached_property
    def filters(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What E, B and E are multiplied with for P̄ (E and B) and P_W; the beam is undone here, each (npix, npix)."""
        sharp = 1 / np.maximum(beam(self.grid, self.data.beam_fwhm), 1e-30)
        curves = (self.inverse_ee, self.inverse_bb, self.gradient * self.inverse_ee)
        return tuple(self.grid.sample(curve) * sharp for curve in curves)

    @functools.cached_property
    def divergence(self) -> np.ndarray:
        """What g_x + i g_y has to be multiplied with to give κ: (L²/2) (−i)(L_x − i L_y)/(1/N0), (npix, npix).

        The κ of a real g is the real part of the map of these modes.
        """
        total = self.grid.sample(sum(self.response_curves))
        slope = -1j * (self.grid.lx - 1j * self.grid.ly) * self.grid.ell**2 / 2
        return np.where(total > 0, slope / np.where(total > 0, total, 1), 0)

    def estimate(self, q: Array, u: Array) -> Array:
        """κ maps (..., npix, npix) of observed Q and U maps; not Wiener filtered."""
        return self._estimate(q, u, (1.0, 1.0), self.divergence)

    def filtered_maps(self, q: Array, u: Array, parts: tuple[float, float] = (1.0, 1.0)) -> tuple[Array, Array, Array]:
        """P̄, ∂P_W/∂x and ∂P_W/∂y, complex maps (..., npix, npix); parts: factors of E and of B in P̄."""
        grid = self.grid
        e, b = eb_modes(grid, q, u)
        inverse_e, inverse_b, signal, spin = (like(one, e) for one in (*self.filters, grid.spin))
        barred = ifft((parts[0] * inverse_e * e + 1j * parts[1] * inverse_b * b) * spin)
        filtered = signal * e * spin
        return barred, ifft(filtered * like(1j * grid.lx, e)), ifft(filtered * like(1j * grid.ly, e))

    def _estimate(self, q: Array, u: Array, parts: tuple[float, float], divergence: np.ndarray) -> Array:
        barred, along_x, along_y = self.filtered_maps(q, u, parts)
        slope = (barred.conj() * along_x).real + 1j * (barred.conj() * along_y).real
        modes = fft(slope)
        return ifft(modes * like(divergence, modes)).real


def mean_field(
    estimator: QuadraticEstimator, mask: np.ndarray, n: int, rng: np.random.Generator, oversample: int = 1
) -> np.ndarray:
    """What the estimator finds on average in n simulated skies under a mask (npix, npix): the mask's own imprint on κ.

    Subtract it from an estimate of (Q, U) mask, which then estimates mask² κ. Its own scatter falls as 1/√n.
    """
    grid, data = estimator.grid, estimator.data
    total = np.zeros((grid.npix, grid.npix))
    for _ in range(n):
        sky = simulate(grid, estimator.spectra, 1, rng, oversample, grid.npix // 2, data.beam_fwhm)
        seen = [(one + white_noise(grid, data.sigma_p, (1,), rng)) * mask for one in (sky.q, sky.u)]
        total += estimator.estimate(*seen)[0]
    return total / n
