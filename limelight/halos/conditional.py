"""Where halos form: the conditional mass function of the ellipsoidal-collapse barrier, calibrated per mass band.

A band of mass M sees the linear density δ (today's amplitude) smoothed until its variance on the grid is S. Its rate per
cell is n V w(δ), with the moving barrier of Sheth & Tormen (2002, MNRAS 329, 61, eqs. 4 and 7)

    w = C max(T − αδ, 0) exp(−(B − αδ)² / 2(s − S)),   B = √a δc [1 + β (s / a δc²)^γ],   T = Σ_{n≤5} (S − s)ⁿ/n! ∂ⁿB/∂sⁿ,

s = σ²(M), δc = 1.686/D(z). C makes ⟨w⟩ = 1, so that the mass function is exact; α makes ⟨wδ⟩/S = D (b − 1), so that the
large-scale bias is.
"""

from dataclasses import dataclass
from math import factorial

import numpy as np

from limelight.cosmology import COLLAPSE_THRESHOLD

BARRIER = (0.707, 0.485, 0.615)  # a, β, γ
NODES = 96  # of the Gauss–Hermite quadrature: reaches 13 σ, past the peak of w of the rarest halos
ALPHA = np.linspace(-2.0, 2.0, 81)


@dataclass(frozen=True)
class Rate:
    """Coefficients of w(δ) = factor · max(turn − slope·δ, 0) · exp(−(barrier − slope·δ)² · width); arrays (g, b)."""

    factor: np.ndarray
    turn: np.ndarray
    barrier: np.ndarray
    slope: np.ndarray
    width: np.ndarray
    bias_error: np.ndarray  # (achieved − wanted) ⟨wδ⟩/S over the wanted b D; 0 where the calibration succeeds


def moving_barrier(s: np.ndarray, variance: np.ndarray, growth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """B(s) and T(s, S) for s = σ²(M) and the field's variance S, all of today, at growth D(z)."""
    a, beta, gamma = BARRIER
    threshold = COLLAPSE_THRESHOLD / growth
    power_term = np.sqrt(a) * threshold * beta * (s / (a * threshold**2)) ** gamma
    barrier = np.sqrt(a) * threshold + power_term
    turn, falling = barrier, 1.0
    for n in range(1, 6):
        falling = falling * (gamma - n + 1)  # ∂ⁿ s^γ = γ (γ − 1) … s^(γ − n)
        turn = turn + ((variance - s) / s) ** n / factorial(n) * falling * power_term
    return barrier, turn


def density_nodes() -> np.ndarray:
    """The standardised densities δ/√S at which the calibration evaluates w."""
    return np.polynomial.hermite_e.hermegauss(NODES)[0]


def calibrate(
    s: np.ndarray, variance: np.ndarray, growth: np.ndarray, bias: np.ndarray, free: np.ndarray | float = 1.0
) -> Rate:
    """Solve C and α for every redshift g and band b.

    s, variance (b,): σ²(M) and S today; growth (g,); bias (g, b) wanted. Bands whose bias no α reaches get the nearest.
    free: mean share of a cell's mass that heavier halos leave at density √S x, (g, b, nodes) at x = density_nodes(); C
    restores the abundance that it costs.
    """
    x, weight = np.polynomial.hermite_e.hermegauss(NODES)
    weight = weight / weight.sum()
    growth = growth[:, None]
    barrier, turn = moving_barrier(s, variance, growth)
    width = np.broadcast_to(0.5 / (s - variance), barrier.shape)
    spread = np.sqrt(variance)
    wanted = growth * (bias - 1)

    def weights(alpha: np.ndarray) -> np.ndarray:
        shift = (alpha * spread)[..., None] * x
        return np.maximum(turn[..., None] - shift, 0) * np.exp(-((barrier[..., None] - shift) ** 2) * width[..., None])

    def response(alpha: np.ndarray) -> np.ndarray:
        """⟨wδ⟩ / (S ⟨w⟩)."""
        w = weights(alpha)
        return w @ (weight * x) / (w @ weight * spread)

    # The response grows with α up to a maximum near α² S = s − S; bracket the root below it, then bisect.
    responses = np.stack([response(np.full_like(barrier, a)) for a in ALPHA])
    best = np.argmax(responses, axis=0)
    reached = (responses >= wanted) & (np.arange(len(ALPHA))[:, None, None] <= best)
    upper = np.where(reached.any(axis=0), np.argmax(reached, axis=0), best)
    low, high = ALPHA[np.maximum(upper - 1, 0)], ALPHA[upper]
    for _ in range(40):
        middle = 0.5 * (low + high)
        too_low = response(middle) < wanted
        low, high = np.where(too_low, middle, low), np.where(too_low, high, middle)
    factor = 1 / ((weights(high) * free) @ weight)
    error = (response(high) - wanted) / (growth * bias)
    return Rate(factor, turn, barrier, high, np.ascontiguousarray(width), error)
