"""Where halos form: the rate of each mass band as a function of the linear density, calibrated in closed terms.

A band of mass M sees the linear density δ (today's amplitude), smoothed and filtered to a field y. Its rate per cell is
n V w(y) with ⟨w⟩ = 1, so that the mass function is exact, and ⟨wδ⟩ on large scales = D (b − 1), so that the bias is.

Contrast (the default): halos sit where y = (1 − c∇²) δ_R, the density against its surroundings as in peak theory
(Bardeen et al. 1986; Desjacques 2013), has a certain height, w ∝ exp(−(y/σ_y − x0)² / 2t²). The spread t and the boost of
the contrast over the large-scale bias were read off the Lagrangian places of friends-of-friends halos in a particle-mesh
run whose forces at early times were wrong (docs/halos.md tells how they do beside a right one): y/σ_y of halos has a
standard deviation near 0.42 at every mass, and δ_R stands
BOOST − BOOST_SLOPE (ν − 1.8) times as high as the large-scale bias alone would have it, ν = 1.686/(σ D).

Barrier: the conditional mass function of Sheth & Tormen (2002, MNRAS 329, 61, eqs. 4 and 7) in the smoothed density,

    w = C max(T − αδ, 0) exp(−(B − αδ)² / 2(s − S)),   B = √a δc [1 + β (s / a δc²)^γ],   T = Σ_{n≤5} (S − s)ⁿ/n! ∂ⁿB/∂sⁿ,

s = σ²(M), S the variance of the field, δc = 1.686/D(z); C and α are solved for by Gauss–Hermite quadrature.
"""

from dataclasses import dataclass
from math import factorial

import numpy as np

from limelight.cosmology import COLLAPSE_THRESHOLD

BARRIER = (0.707, 0.485, 0.615)  # a, β, γ
NODES = 96  # of the Gauss–Hermite quadrature: reaches 13 σ, past the peak of w of the rarest halos
ALPHA = np.linspace(-2.0, 2.0, 81)
SPREAD = 0.42  # standard deviation of y/σ_y at the places of halos
BOOST, BOOST_SLOPE, BOOST_MAX = 1.52, 0.4, 1.8


@dataclass(frozen=True)
class Rate:
    """Coefficients of w(y) = factor · max(turn − tilt·y, 0) · exp(−(barrier − slope·y)² · width); arrays (g, b)."""

    factor: np.ndarray
    turn: np.ndarray
    tilt: np.ndarray
    barrier: np.ndarray
    slope: np.ndarray
    width: np.ndarray
    bias_error: np.ndarray  # (achieved − wanted) ⟨wδ⟩/S over the wanted b D; 0 where the calibration succeeds


def contrast_curvature(
    height: np.ndarray, radii: np.ndarray, squared_k: np.ndarray, variances: np.ndarray
) -> np.ndarray:
    """c (Mpc²) of y = (1 − c∇²) δ_R per band.

    height (b,): ν of the bands; radii (b,): R; squared_k, variances: the waves of the field and their shares.
    """
    boost = np.clip(BOOST - BOOST_SLOPE * (height - 1.8), 1.0, BOOST_MAX)
    shares = [variances * np.exp(-squared_k * radius**2) for radius in radii]
    return np.array([(b - 1) * share.sum() / np.sum(share * squared_k) for b, share in zip(boost, shares, strict=True)])


def contrast_variance(
    radii: np.ndarray, curvature: np.ndarray, squared_k: np.ndarray, variances: np.ndarray
) -> np.ndarray:
    """The variance of y per band that some waves make."""
    pairs = zip(radii, curvature, strict=True)
    return np.array([np.sum(variances * np.exp(-squared_k * r**2) * (1 + c * squared_k) ** 2) for r, c in pairs])


def calibrate_contrast(
    variance: np.ndarray, growth: np.ndarray, bias: np.ndarray, unresolved: np.ndarray | float = 0.0
) -> Rate:
    """w(y) with ⟨w⟩ = 1 and ⟨wδ⟩ = D (b − 1) on large scales, where y is δ: a Gaussian in y/σ_y, of y's variance (b,).

    growth (g,), bias (g, b). The product with y's own Gaussian has mean m = σ_y D (b − 1) and variance SPREAD².
    unresolved (b,): the share of y's variance in waves too short for the grid. The rate is the mean over them: a wider
    Gaussian in the part of y that the grid holds, so that larger cells give the same halos on the scales they resolve.
    """
    width2 = SPREAD**2 / (1 - SPREAD**2)  # t²
    mean = np.sqrt(variance) * growth[:, None] * (bias - 1)
    centre = mean * (1 + width2)
    one = np.ones_like(mean)
    seen = width2 + unresolved * one
    factor = np.sqrt((1 + width2) / seen) * np.exp(centre**2 / (2 * (1 + width2)))
    return Rate(factor, one, 0 * one, centre, one / np.sqrt(variance), 0.5 / seen, 0 * one)


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


def calibrated_rate(
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
    return Rate(factor, turn, high, barrier, high, np.ascontiguousarray(width), error)
