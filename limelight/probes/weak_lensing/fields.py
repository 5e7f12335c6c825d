"""Gaussian and shifted lognormal maps of κ on a periodic square, their exact likelihood and the Fisher bound.

A shifted lognormal map is κ = λ (exp(g − s²/2) − 1), with g Gaussian of the correlation ln(1 + ξ_κ/λ²) and variance s²:
κ has the power C_ℓ and never falls below −λ. ln(1 + κ/λ) is Gaussian again, so that without noise its modes, independent
but for conjugates, make the whole likelihood (Hilbert et al. 2011, arXiv:1105.3980):

    ln L(θ) = −½ Σ_k [ |Y_k − μ_k|² / (n² p(k)) + ln p(k) ],   μ_k = 0 but for the mean, which is −s²/2

Gaussian maps are their own g, and take white noise, too. p(k) is C_ℓ per area of a pixel.
"""

import functools
from dataclasses import dataclass

import numpy as np

from limelight.probes.weak_lensing.spectra import convergence_power

ARCMIN = np.pi / 10800
STEP = 1e-3  # of the derivatives by θ


@dataclass(frozen=True)
class Square:
    """A periodic square of n × n pixels, and how its maps are made."""

    pixels: int
    pixel_arcmin: float
    redshift: float
    shift: float | None  # λ; None: Gaussian maps


@functools.cache
def modes_of(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(which class each mode of fft2 is in (n, n), |k| of each class in rad per pixel, modes of each class).

    Modes that a symmetry of the square exchanges have the same power, and are one class.
    """
    i = np.abs(np.fft.fftfreq(n, 1 / n)).astype(int)
    low, high = np.minimum(i[:, None], i[None]), np.maximum(i[:, None], i[None])
    key, which, count = np.unique(high * n + low, return_inverse=True, return_counts=True)
    return which.reshape(n, n), 2 * np.pi / n * np.hypot(key // n, key % n), count


def map_power(theta: np.ndarray, square: Square) -> np.ndarray:
    """p(k) of κ itself, (m, classes); the map's mean has that of waves twice its length."""
    k = modes_of(square.pixels)[1] / (square.pixel_arcmin * ARCMIN)
    k = np.where(k > 0, k, k[1] / 2)
    return convergence_power(theta, k, square.redshift) / (square.pixel_arcmin * ARCMIN) ** 2


def gaussian_power(theta: np.ndarray, square: Square) -> tuple[np.ndarray, np.ndarray]:
    """p(k) of g (m, classes) and its variance s² (m,); of Gaussian maps p(k) of κ, and 0."""
    power = map_power(theta, square)
    if square.shift is None:
        return power, np.zeros(len(power))
    n = square.pixels
    which = modes_of(n)[0]
    first = np.unique(which, return_index=True)[1]
    found, variance = np.empty_like(power), np.empty(len(power))
    for i, one in enumerate(power):
        correlation = np.log1p(np.fft.ifft2(one[which]).real / square.shift**2)
        found[i], variance[i] = np.fft.fft2(correlation).real.ravel()[first], correlation[0, 0]
    return found, variance


def draw_maps(theta: np.ndarray, square: Square, rng: np.random.Generator) -> np.ndarray:
    """One map of κ for each θ (m, 2), (m, n, n) float32."""
    which = modes_of(square.pixels)[0]
    power, variance = gaussian_power(theta, square)
    white = np.fft.fft2(rng.standard_normal((len(theta), square.pixels, square.pixels)))
    g = np.fft.ifft2(white * np.sqrt(power[:, which])).real
    if square.shift is None:
        return g.astype(np.float32)
    return (square.shift * np.expm1(g - variance[:, None, None] / 2)).astype(np.float32)


def log_likelihood(maps: np.ndarray, theta: np.ndarray, square: Square, sigma: float = 0.0) -> np.ndarray:
    """ln L of θ (t, 2) for maps (m, n, n), (m, t), up to a constant of each map; σ: white noise of Gaussian maps."""
    n = square.pixels
    which, _, count = modes_of(n)
    power, variance = gaussian_power(theta, square)
    power = power + sigma**2
    y = np.asarray(maps, np.float64)
    y = y if square.shift is None else np.log1p(y / square.shift)
    modes = np.fft.fft2(y)
    mean = modes[:, 0, 0].real.copy()
    modes[:, 0, 0] = 0
    measured = np.stack([np.bincount(which.ravel(), one.ravel(), len(count)) for one in np.abs(modes) ** 2])
    found = measured @ (1 / (n**2 * power)).T + np.log(power) @ count
    return -0.5 * (found + (mean[:, None] + variance * n**2 / 2) ** 2 / (n**2 * power[:, 0]))


def fisher(theta: np.ndarray, square: Square, sigma: float = 0.0) -> np.ndarray:
    """F (2, 2) at θ (2,): ½ Σ_k ∂ ln p ∂ ln p, and what the mean of ln(1 + κ/λ) says."""
    sides = np.array([theta * (1 + sign * STEP * one) for one in np.eye(2) for sign in (1, -1)])
    power, variance = gaussian_power(np.vstack([theta, sides]), square)
    power = power + sigma**2
    step = 2 * STEP * np.asarray(theta)
    slopes = (np.log(power[1::2]) - np.log(power[2::2])) / step[:, None]
    mean = -0.5 * (variance[1::2] - variance[2::2]) / step
    return (
        0.5 * (slopes * modes_of(square.pixels)[2]) @ slopes.T + np.outer(mean, mean) * square.pixels**2 / power[0, 0]
    )
