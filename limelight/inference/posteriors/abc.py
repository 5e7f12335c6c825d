"""Approximate Bayesian computation on summaries: rejection, local-linear adjustment, and population Monte Carlo."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

EXPECTED = 10  # proposals that a round must have been expected to accept before it may be given up


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


def adjusted(
    values: np.ndarray,
    summaries: np.ndarray,
    observed: np.ndarray,
    distance: np.ndarray,
    own_weights: np.ndarray | float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Regression adjustment (Beaumont, Zhang & Balding 2002) of accepted values (k, d): (adjusted (k, d), weights (k,)).

    A weighted local-linear regression on summaries (k, p) takes out their distance from the observed (p,); weights are
    Epanechnikov's in the distance, times those that the values have of their own, normalised. A ridge of 1e-6 keeps
    summaries that say the same from doing harm.
    """
    weights = np.maximum(1 - (distance / max(distance.max(), 1e-300)) ** 2, 1e-12) * own_weights
    weights = weights / weights.sum()
    offset = summaries - observed
    scale = offset.std(axis=0) + 1e-300
    design = np.column_stack([np.ones(len(offset)), offset / scale])
    normal = (design * weights[:, None]).T @ design + 1e-6 * np.eye(design.shape[1])
    slope = np.linalg.solve(normal, (design * weights[:, None]).T @ values)
    return values - design[:, 1:] @ slope[1:], weights


class Particles(NamedTuple):
    """Accepted simulations, n rows."""

    theta: np.ndarray  # (n, p) parameters
    weights: np.ndarray  # (n,), their sum 1
    distance: np.ndarray  # (n,) of their summaries from the observed ones
    summaries: np.ndarray  # (n, q)
    answers: np.ndarray  # (n, d): what else is known of each simulation

    @property
    def effective(self) -> float:
        """How many particles of equal weight would say as much."""
        return float(1 / np.square(self.weights).sum())


def population(
    simulate: Callable[[np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]],
    log_prior: Callable[[np.ndarray], np.ndarray],
    start: Particles,
    observed: np.ndarray,
    white: np.ndarray,
    rng: np.random.Generator,
    quantile: float = 0.75,
    least_acceptance: float = 0.02,
    rounds: int = 50,
    batch: int = 40,
) -> tuple[Particles, list[dict]]:
    """Population Monte Carlo (Beaumont et al. 2009): (particles, history of the rounds).

    simulate(θ (m, p), rng) -> summaries (m, q) and answers (m, d), NaN for what the prior does not allow after all;
    log_prior (m,), −inf outside. start: draws from the prior, accepted by rejection. Each round lowers the largest distance
    to a quantile of the last round's and moves particles by a Gaussian of twice their covariance, `batch` proposals at a
    time. The first round that finds fewer than `least_acceptance` of its proposals near enough is the last, and what it had
    accepted is left out.
    """
    particles, history = start, []
    for _ in range(rounds):
        threshold = float(np.quantile(particles.distance, quantile))
        kernel = 2 * np.atleast_2d(np.cov(particles.theta.T, aweights=particles.weights))
        root = np.linalg.cholesky(kernel + 1e-12 * np.trace(kernel) * np.eye(len(kernel)))
        accepted, count, tried, simulations = [], 0, 0, 0
        while count < len(start.theta) and not EXPECTED <= least_acceptance * tried > count:
            first = particles.theta[rng.choice(len(particles.theta), batch, p=particles.weights)]
            proposal = first + rng.standard_normal(first.shape) @ root.T
            proposal = proposal[np.isfinite(log_prior(proposal))]
            tried += batch
            if not len(proposal):
                continue
            simulations += len(proposal)
            summaries, answers = simulate(proposal, rng)
            distance = np.linalg.norm((summaries - observed) @ white.T, axis=1)
            near = distance < threshold  # NaN is not
            accepted.append((proposal[near], distance[near], summaries[near], answers[near]))
            count += int(near.sum())
        done = count >= len(start.theta)
        history.append(
            {"threshold": threshold, "proposals": tried, "simulations": simulations, "accepted": count, "done": done}
        )
        if not done:
            break
        theta, *others = (np.concatenate(x)[: len(start.theta)] for x in zip(*accepted, strict=True))
        log_weights = log_prior(theta) - np.log(_kernel_density(theta, particles.theta, particles.weights, root))
        weights = np.exp(log_weights - log_weights.max())
        particles = Particles(theta, weights / weights.sum(), *others)
    return particles, history


def _kernel_density(at: np.ndarray, theta: np.ndarray, weights: np.ndarray, root: np.ndarray) -> np.ndarray:
    """Σ_j w_j N(at_i; θ_j, R Rᵀ) up to a constant, (n,)."""
    moved, centre = (x @ np.linalg.inv(root).T for x in (at, theta))
    square = ((moved[:, None] - centre[None]) ** 2).sum(axis=-1)
    return np.exp(-0.5 * square) @ weights + 1e-300


def resample(values: np.ndarray, weights: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` rows of weighted values (n, d), drawn with replacement."""
    return values[rng.choice(len(values), count, p=weights / weights.sum())]
