"""Which pixels the exact estimators look at: derivatives of one pixel of their answer, to hold saliency maps against.

Both are worked out by hand, without automatic differentiation. Maps are numpy, of shape (npix, npix).
"""

import numpy as np

from limelight.probes.cmb_lensing.grid import Grid, fft, ifft
from limelight.probes.cmb_lensing.noise import Data
from limelight.probes.cmb_lensing.quadratic import QuadraticEstimator
from limelight.probes.cmb_lensing.wiener import wiener_transfer

EXACT = {"kappa": "quadratic, filtered", "e": "Wiener filter"}  # what stands beside a network's saliency, by truth


def exact_saliency(
    estimator: QuadraticEstimator, truth: str, recorded: np.ndarray, pixel: tuple[int, int]
) -> dict[str, np.ndarray]:
    """Saliency (n, 2, npix, npix) of one pixel of the answer that has least error among simple ones, at n recorded Q, U."""
    if truth == "kappa":
        found = [quadratic_kernel(estimator, *maps, pixel, estimator.wiener) for maps in recorded.astype(np.float64)]
    else:
        found = [wiener_kernel(estimator.grid, estimator.spectra.lensed_ee, estimator.data, pixel)] * len(recorded)
    return {EXACT[truth]: np.array(found)}


def wiener_kernel(grid: Grid, signal: np.ndarray, data: Data, pixel: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """dE(pixel)/dQ and dE(pixel)/dU of the Wiener filter for E on a periodic patch, the same for all maps.

    They are the waves W cos 2φ_l and W sin 2φ_l summed over all modes: spin-2 patterns about the pixel.
    """
    transfer = wiener_transfer(grid, signal, data)
    about_origin = ifft(transfer * grid.spin).real, ifft(transfer * -1j * grid.spin).real
    return tuple(np.roll(one, pixel, (0, 1)) for one in about_origin)


def quadratic_kernel(
    estimator: QuadraticEstimator,
    q: np.ndarray,
    u: np.ndarray,
    pixel: tuple[int, int],
    transfer: np.ndarray | float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """dκ(pixel)/dQ and dκ(pixel)/dU of the quadratic estimator at the observed maps q and u.

    transfer: what each mode of κ is multiplied with, such as `estimator.wiener`.

    κ(pixel) = Σ_n Re[v*(n) (P̄* ∂P_W/∂x + i P̄* ∂P_W/∂y as real parts)] with the weights v of the divergence. As each of P̄ and
    P_W is linear in Q + iU, the derivative is that of the one with the other held, summed.
    """
    grid = estimator.grid
    barred, along_x, along_y = estimator.filtered_maps(q, u)
    here = np.zeros((grid.npix, grid.npix))
    here[pixel] = 1.0
    weight = ifft(fft(here) * (estimator.divergence * transfer).conj())  # κ(pixel) = Re Σ weight* (slope_x + i slope_y)
    by_barred = weight.real * along_x + weight.imag * along_y
    inverse_e, inverse_b, signal = estimator.filters
    by_signal = fft(weight.real * barred) * (-1j * grid.lx) + fft(weight.imag * barred) * (-1j * grid.ly)
    total = _filtered_back(grid, fft(by_barred), inverse_e, inverse_b)
    total = total + _filtered_back(grid, by_signal, signal, np.zeros_like(signal))
    return total.real, total.imag


def _filtered_back(grid: Grid, modes: np.ndarray, of_e: np.ndarray, of_b: np.ndarray) -> np.ndarray:
    """The adjoint of filtering E by of_e and B by of_b: the same again, since it is symmetric. Modes in, complex map out."""
    spinless = ifft(modes * grid.spin.conj())
    filtered = fft(spinless.real) * of_e + 1j * fft(spinless.imag) * of_b
    return ifft(filtered * grid.spin)


def mean_radius(maps: tuple[np.ndarray, ...], pixel: tuple[int, int], power: float = 2.0) -> float:
    """Mean distance from a pixel, in pixels, weighted with √(Σ maps²) to a power.

    2 is the attribution; 1, the size of the saliency itself, gives more to its wide and faint skirts.
    """
    total = sum(one**2 for one in maps) ** (power / 2)
    return float(np.sum(_distance(total.shape[0], pixel) * total) / total.sum())


def _distance(npix: int, pixel: tuple[int, int]) -> np.ndarray:
    """Distance of each pixel from one of them in pixels, around the edges where that is shorter."""
    away = [np.abs(np.arange(npix) - place) for place in pixel]
    away = [np.minimum(one, npix - one) for one in away]
    return np.hypot(away[0][:, None], away[1][None, :])
