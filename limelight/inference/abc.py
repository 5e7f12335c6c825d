"""Approximate Bayesian computation on summaries: rejection, local-linear adjustment, and population Monte Carlo."""

from collections.abc import Callable

import numpy as np


def whitener(covariance: np.ndarray) -> np.ndarray:
    """W (p, p) with |W d|² = dᵀ C⁻¹ d: distances of summaries in units of their noise."""
    return np.linalg.inv(np.linalg.cholesky(covariance))


def nearest(simulated: np.ndarray, observed: np.ndarray, white: np.ndarray, keep: int) -> tuple[np.ndarray, np.ndarray]:
    """Rejection: (rows (keep,) of the simulated summaries (n, p) nearest to the observed (p,), their distances), in order.

    The simulations are draws from the prior; their parameters and labels in these rows are draws from the posterior.
    """
    distance = np.linalg.norm((simulated - observed) @ white.T, axis=1)
    rows = np.argpartition(distance, min(keep, len(distance)) - 1)[:keep]
    rows = rows[np.argsort(distance[rows], kind="stable")]
    return rows, distance[rows]


def adjusted(values: np.ndarray, summaries: np.ndarray, observed: np.ndarray, distance: np.ndarray) -> tuple:
    """Regression adjustment (Beaumont, Zhang & Balding 2002) of accepted values (k, d): (adjusted (k, d), weights (k,)).

    A weighted local-linear regression on summaries (k, p) takes out their distance from the observed (p,); weights are
    Epanechnikov's in the distance, normalised. A ridge of 1e-6 keeps summaries that say the same from doing harm.
    """
    weights = 1 - (distance / max(distance.max(), 1e-300)) ** 2
    weights = np.maximum(weights, 1e-12) / np.maximum(weights, 1e-12).sum()
    offset = summaries - observed
    scale = offset.std(axis=0) + 1e-300
    design = np.column_stack([np.ones(len(offset)), offset / scale])
    normal = (design * weights[:, None]).T @ design + 1e-6 * np.eye(design.shape[1])
    slope = np.linalg.solve(normal, (design * weights[:, None]).T @ values)
    return values - design[:, 1:] @ slope[1:], weights


def population(
    simulate: Callable[[np.ndarray, np.random.Generator], np.ndarray],
    draw_prior: Callable[[int, np.random.Generator], np.ndarray],
    log_prior: Callable[[np.ndarray], np.ndarray],
    observed: np.ndarray,
    white: np.ndarray,
    rng: np.random.Generator,
    particles: int = 500,
    quantile: float = 0.75,
    least_acceptance: float = 0.02,
    rounds: int = 50,
) -> tuple[np.ndarray, np.ndarray, list[dict]]:
    """Population Monte Carlo (Beaumont et al. 2009): (particles (n, p), weights (n,), history of the rounds).

    simulate(θ (n, p), rng) -> summaries (n, q); log_prior (n,), −inf outside. Each round lowers the largest distance to a
    quantile of the last round's and moves particles by a Gaussian of twice their covariance; it ends when fewer proposals
    than `least_acceptance` are accepted.
    """
    theta = draw_prior(particles * 4, rng)
    distance = np.linalg.norm((simulate(theta, rng) - observed) @ white.T, axis=1)
    best = np.argsort(distance, kind="stable")[:particles]
    theta, distance = theta[best], distance[best]
    weights = np.full(particles, 1 / particles)
    history = [{"threshold": float(distance.max()), "acceptance": 0.25, "simulations": particles * 4}]
    for _ in range(rounds):
        threshold = float(np.quantile(distance, quantile))
        kernel = 2 * np.atleast_2d(np.cov(theta.T, aweights=weights))
        root = np.linalg.cholesky(kernel + 1e-12 * np.trace(kernel) * np.eye(len(kernel)))
        accepted, distances, tried = [], [], 0
        while sum(map(len, accepted)) < particles:
            start = theta[rng.choice(particles, particles, p=weights)]
            proposal = start + rng.standard_normal(start.shape) @ root.T
            tried += particles
            proposal = proposal[np.isfinite(log_prior(proposal))]
            if len(proposal):
                far = np.linalg.norm((simulate(proposal, rng) - observed) @ white.T, axis=1)
                accepted.append(proposal[far < threshold])
                distances.append(far[far < threshold])
            if tried * least_acceptance > particles + sum(map(len, accepted)) * least_acceptance * 50:
                return theta, weights, history
        moved = np.concatenate(accepted)[:particles]
        density = _kernel_density(moved, theta, weights, root)
        fresh = np.exp(log_prior(moved) - np.log(density))
        theta, distance, weights = moved, np.concatenate(distances)[:particles], fresh / fresh.sum()
        acceptance = particles / tried
        history.append({"threshold": threshold, "acceptance": acceptance, "simulations": tried})
        if acceptance < least_acceptance:
            break
    return theta, weights, history


def _kernel_density(at: np.ndarray, theta: np.ndarray, weights: np.ndarray, root: np.ndarray) -> np.ndarray:
    """Σ_j w_j N(at_i; θ_j, R Rᵀ) up to a constant, (n,)."""
    moved, centre = (x @ np.linalg.inv(root).T for x in (at, theta))
    square = ((moved[:, None] - centre[None]) ** 2).sum(axis=-1)
    return np.exp(-0.5 * square) @ weights + 1e-300


def resample(values: np.ndarray, weights: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` rows of weighted values (n, d), drawn with replacement."""
    return values[rng.choice(len(values), count, p=weights / weights.sum())]
