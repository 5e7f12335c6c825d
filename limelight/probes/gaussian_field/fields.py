"""Gaussian random fields with a power-law spectrum, and the exact posterior of its amplitude and slope.

A field lives on n × n pixels of a periodic square. With the wave number k in units of the PIVOT, each Fourier mode has the
power P(k) = A k^s (the mean of the field is zero), and white noise adds σ² to every mode. Modes are independent, so that

    ln L(A, s) = −½ Σ_k [ |d_k|² / (n² (P(k) + σ²)) + ln(P(k) + σ²) ]

is the whole likelihood: the sum runs over all n² − 1 modes, each of a conjugate pair counting half.
"""

import math

import numpy as np

PIVOT = 2 * math.pi / 8  # per pixel: waves of eight pixels
PARAMETERS = ("log10_amplitude", "slope")


def wave_numbers(pixels: int) -> np.ndarray:
    """|k| of every mode of a square in units of PIVOT, (n, n); 0 for the mean."""
    k = 2 * np.pi * np.fft.fftfreq(pixels) / PIVOT
    return np.hypot(k[:, None], k[None, :])


def power(theta: np.ndarray, pixels: int) -> np.ndarray:
    """P(k) for θ (m, 2) of PARAMETERS, (m, n, n); 0 for the mean."""
    k = wave_numbers(pixels)
    log_k = np.log10(np.where(k > 0, k, 1.0))
    found = 10 ** (theta[:, 0, None, None] + theta[:, 1, None, None] * log_k)
    return np.where(k > 0, found, 0.0)


def draw_fields(theta: np.ndarray, pixels: int, rng: np.random.Generator) -> np.ndarray:
    """One field for each θ (m, 2), (m, n, n) float32."""
    white = rng.standard_normal((len(theta), pixels, pixels))
    return np.fft.ifft2(np.fft.fft2(white) * np.sqrt(power(theta, pixels))).real.astype(np.float32)


def log_likelihood(observed: np.ndarray, theta: np.ndarray, sigma: float) -> np.ndarray:
    """ln L of θ (m, 2) for one observed field (n, n) with white noise σ, (m,), up to a constant."""
    n = observed.shape[0]
    measured = np.abs(np.fft.fft2(observed.astype(np.float64))) ** 2 / n**2
    some = wave_numbers(n) > 0
    expected = power(theta, n)[:, some] + sigma**2
    return -0.5 * np.sum(measured[some] / expected + np.log(expected), axis=1)


def exact_posterior(
    observed: np.ndarray, sigma: float, low: np.ndarray, high: np.ndarray, steps: int = 81
) -> tuple[np.ndarray, np.ndarray]:
    """Mean (2,) and standard deviation (2,) of the exact posterior under a prior even between low and high, (2,) each."""
    axes = [np.linspace(a, b, steps) for a, b in zip(low, high, strict=True)]
    theta = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    log_l = log_likelihood(observed, theta, sigma)
    weight = np.exp(log_l - log_l.max())
    weight /= weight.sum()
    mean = weight @ theta
    return mean, np.sqrt(weight @ (theta - mean) ** 2)


def fisher_bound(theta: np.ndarray, pixels: int, sigma: float) -> np.ndarray:
    """The least standard deviation that an unbiased estimate of each parameter can have at θ (m, 2), (m, 2).

    F_ij = ½ Σ_k ∂_i ln(P + σ²) ∂_j ln(P + σ²), the Fisher information of independent Gaussian modes.
    """
    k = wave_numbers(pixels)
    some = k > 0
    signal = power(theta, pixels)[:, some]
    share = math.log(10) * signal / (signal + sigma**2)
    slopes = np.stack([share, share * np.log10(k[some])], axis=1)  # (m, 2, modes)
    return np.sqrt(np.diagonal(np.linalg.inv(0.5 * slopes @ slopes.transpose(0, 2, 1)), axis1=1, axis2=2))
