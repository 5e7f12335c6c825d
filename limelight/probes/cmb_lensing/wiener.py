"""Wiener filters: the most probable E of observed Q and U, in closed form on a periodic patch and iterated under a mask."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from limelight.errors import problem
from limelight.probes.cmb_lensing.grid import Array, Grid, eb_modes, ifft, like, real_parts
from limelight.probes.cmb_lensing.noise import Data
from limelight.probes.cmb_lensing.sky import beam, noise_power, remap, remap_transposed


def wiener_transfer(grid: Grid, signal: np.ndarray, data: Data) -> np.ndarray:
    """C/(C + N) over the beam, for E modes as observed on a periodic patch (npix, npix); 0 for multipoles not used.

    signal: C_EE at ℓ = 0, 1, 2, …: the lensed one for maps as observed, the unlensed one for delensed maps.
    """
    ells = np.arange(len(signal), dtype=np.float64)
    sharp = 1 / np.maximum(beam(grid, data.beam_fwhm), 1e-30)
    return grid.sample(data.kept(ells) * signal / (signal + data.noise(ells))) * sharp


def wiener_e(grid: Grid, q: Array, u: Array, signal: np.ndarray, data: Data) -> Array:
    """Wiener-filtered E maps (..., npix, npix) of observed Q and U on a periodic patch, numpy or torch."""
    e, _ = eb_modes(grid, q, u)
    return ifft(e * like(wiener_transfer(grid, signal, data), e)).real


@dataclass(frozen=True)
class Masked:
    """Observed Q and U under a mask, one patch, and the linear model behind them.

    The maps are mask × (A s + n): A turns modes of E and B into Q + iU, lenses them and smooths them with the beam. Their
    weight in the likelihood is (mask/σ)², as if the noise grew as 1/mask, so that the edges of a taper count little.
    """

    grid: Grid
    data: Data
    mask: np.ndarray  # 0 to 1, (npix, npix)

    def __post_init__(self) -> None:
        if self.mask.shape != (self.grid.npix,) * 2 or not (0 <= self.mask.min() <= self.mask.max() <= 1):
            found = f"shape {self.mask.shape}, values {self.mask.min():g} to {self.mask.max():g}"
            side = self.grid.npix
            raise problem(
                "cmb_lensing: mask", found, f"{side} × {side} pixels of 0 to 1", "give the mask of these maps"
            )

    @property
    def weight(self) -> np.ndarray:
        """The inverse variance of Q and of U in each pixel, 1/µK²."""
        return (self.mask * self.grid.pixel_arcmin / self.data.sigma_p) ** 2

    def unmasked(self, q: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Q + iU over the mask, 0 where the mask is 0."""
        return np.where(self.mask > 0, (q + 1j * u) / np.where(self.mask > 0, self.mask, 1), 0)

    def observed(self, modes: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
        """Maps of Q + iU for modes of E + iB, lensed by alpha (radians; None: not lensed) and behind the beam."""
        turned = modes * self.grid.spin
        if alpha is not None:
            turned = np.fft.fft2(remap(self.grid, turned, alpha))
        return np.fft.ifft2(turned * beam(self.grid, self.data.beam_fwhm))

    def observed_transposed(self, maps: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
        """The adjoint of `observed` in plain sums over pixels and modes."""
        turned = np.fft.fft2(maps) * beam(self.grid, self.data.beam_fwhm) / self.grid.npix**2
        if alpha is not None:
            turned = remap_transposed(self.grid, np.fft.ifft2(turned) * self.grid.npix**2, alpha)
        return turned * self.grid.spin.conj()


def masked_wiener(
    masked: Masked,
    maps: np.ndarray,
    signal_ee: np.ndarray,
    signal_bb: np.ndarray,
    alpha: np.ndarray | None = None,
    start: np.ndarray | None = None,
    tolerance: float = 1e-3,
    most_rounds: int = 500,
) -> tuple[np.ndarray, np.ndarray]:
    """Wiener-filtered modes of E + iB under a mask, by conjugate gradients.

    Parameters
    ----------
    maps : Q + iU over the mask (`Masked.unmasked`), (npix, npix) complex
    signal_ee, signal_bb : prior spectra; with alpha the unlensed ones (B: zeros), without it the lensed ones
    alpha : deflection of the model, complex (npix, npix) in radians; None for none
    start : the second answer of an earlier call, to begin there
    tolerance : norm of the residual at which to stop, over that of the right-hand side

    Returns
    -------
    modes of E + iB (npix, npix), and E and B over the roots of their prior spectra (2, npix, npix), to start from next time
    """
    grid = masked.grid
    roots = np.sqrt(np.stack([grid.sample(signal_ee), grid.sample(signal_bb)])) * grid.npix / grid.pixel

    def to_modes(white: np.ndarray) -> np.ndarray:
        return white[0] * roots[0] + 1j * white[1] * roots[1]

    def to_white(maps: np.ndarray) -> np.ndarray:
        return np.stack(real_parts(masked.observed_transposed(masked.weight * maps, alpha))) * roots

    power = (roots * grid.pixel / grid.npix) ** 2 / noise_power(masked.data.sigma_p)
    diagonal = 1 + power * beam(grid, masked.data.beam_fwhm) ** 2 * np.mean(masked.mask**2)
    white = conjugate_gradients(
        lambda x: x + to_white(masked.observed(to_modes(x), alpha)),
        to_white(maps),
        diagonal,
        np.zeros_like(roots, dtype=np.complex128) if start is None else start,
        tolerance,
        most_rounds,
    )
    return to_modes(white), white


def conjugate_gradients(
    operator: Callable[[np.ndarray], np.ndarray],
    right: np.ndarray,
    diagonal: np.ndarray,
    start: np.ndarray,
    tolerance: float,
    most_rounds: int,
) -> np.ndarray:
    """Solve operator(x) = right for a symmetric, positive operator, with its diagonal (about) to precondition."""
    x = start
    residual = right - operator(x)
    direction = residual / diagonal
    size = np.vdot(residual, direction).real
    goal = (tolerance * np.linalg.norm(right)) ** 2
    for _ in range(most_rounds):
        if np.vdot(residual, residual).real <= goal:
            break
        image = operator(direction)
        step = size / np.vdot(direction, image).real
        x = x + step * direction
        residual = residual - step * image
        preconditioned = residual / diagonal
        new = np.vdot(residual, preconditioned).real
        direction = preconditioned + new / size * direction
        size = new
    return x
