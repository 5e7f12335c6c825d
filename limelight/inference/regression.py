"""The mean of noisy simulations as a smooth function of their parameters, for likelihoods where theory has no formula."""

from dataclasses import dataclass

import numpy as np

NEIGHBOURS, ROUNDS = 60, 3  # of fit_uneven_mean
WIDTHS = np.geomspace(1e-6, 1e3, 28)  # of the ridge, as shares of the largest singular value


@dataclass(frozen=True)
class SmoothMean:
    """A quadratic polynomial and cubic radial functions |x − centre|³, the latter as far as the data ask for them."""

    low: np.ndarray  # (c,) coordinates are counted from here
    span: np.ndarray  # (c,) in these units
    centres: np.ndarray  # (k, c)
    of_polynomial: np.ndarray  # (p, d)
    of_centres: np.ndarray  # (k, d)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Mean (m, d) at points (m, c)."""
        at = (points - self.low) / self.span
        return polynomial(at) @ self.of_polynomial + radial(at, self.centres) @ self.of_centres


def polynomial(at: np.ndarray) -> np.ndarray:
    """1, x and all products of two coordinates, (m, p) at (m, c)."""
    first, second = np.triu_indices(at.shape[1])
    return np.column_stack([np.ones(len(at)), at, at[:, first] * at[:, second]])


def radial(at: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Cubes of the distances (m, k) of (m, c) from (k, c)."""
    return np.sqrt(np.square(at[:, None] - centres).sum(axis=2)) ** 3


def fit_smooth_mean(
    points: np.ndarray, values: np.ndarray, centres: np.ndarray, scatter: np.ndarray | None = None
) -> tuple[SmoothMean, np.ndarray, np.ndarray]:
    """Penalised least squares of simulated values (n, d) at points (n, c).

    One penalty for all d, on the radial functions alone: that of the least generalised cross-validation (Craven & Wahba
    1979). So the d should have about the same scatter. scatter (n,): by how much each simulation scatters, and so counts
    less; None: all alike.

    Returns
    -------
    (mean, residuals (n, d) of each simulation about the mean that the others give, leverages (n,): the variance of the
    mean over that of one simulation).
    """
    low, span = points.min(axis=0), np.maximum(np.ptp(points, axis=0), 1e-12)
    at, centres = (points - low) / span, (centres - low) / span
    root = np.ones((len(points), 1)) if scatter is None else 1 / scatter[:, None]
    base, functions, values, n = root * polynomial(at), root * radial(at, centres), root * values, len(points)
    q, r = np.linalg.qr(base)
    inside = q.T @ functions
    u, s, vt = np.linalg.svd(functions - q @ inside, full_matrices=False)
    left = values - q @ (q.T @ values)
    along = u.T @ left
    beyond = np.square(left).sum() - np.square(along).sum()  # what no radial function explains
    shares = s**2 / (s**2 + (WIDTHS[:, None] * s[0]) ** 2)
    misfit = beyond + (np.square(1 - shares) * np.square(along).sum(axis=1)).sum(axis=1)
    best = np.argmin(misfit / (n - base.shape[1] - shares.sum(axis=1)) ** 2)
    share = shares[best]
    of_centres = vt.T @ ((share / np.maximum(s, 1e-300))[:, None] * along)
    of_polynomial = np.linalg.solve(r, q.T @ values - inside @ of_centres)
    leverage = np.square(q).sum(axis=1) + np.square(u) @ share
    residuals = (left - u @ (share[:, None] * along)) / (1 - leverage)[:, None] / root
    return SmoothMean(low, span, centres, of_polynomial, of_centres), residuals, leverage


def fit_uneven_mean(
    points: np.ndarray, values: np.ndarray, centres: np.ndarray
) -> tuple[SmoothMean, np.ndarray, np.ndarray]:
    """`fit_smooth_mean` of simulations that scatter more in some places than in others.

    Each counts by the root mean square of what is left of its NEIGHBOURS nearest, over all d; from equal scatter in ROUNDS.
    Without it the places of large scatter decide the mean everywhere else as well.
    """
    from scipy.spatial import cKDTree

    at = (points - points.min(axis=0)) / np.maximum(np.ptp(points, axis=0), 1e-12)
    near = cKDTree(at).query(at, k=min(NEIGHBOURS, len(at)))[1]
    smooth, left, leverage = fit_smooth_mean(points, values, centres)
    for _ in range(ROUNDS):
        scatter = np.sqrt(np.square(left).mean(axis=1)[near].mean(axis=1))
        smooth, left, leverage = fit_smooth_mean(points, values, centres, np.maximum(scatter, 1e-12))
    return smooth, left, leverage
