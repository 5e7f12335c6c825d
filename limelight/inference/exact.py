"""Posteriors held against the exact one, where theory gives it, on a grid over the prior.

A density on a grid stands as ln of the mass of each point, (m, g): the density there times the point's share of the prior,
normalised. Every method is cut to the prior so, for the prior is known to all of them.
"""

from collections.abc import Sequence

import numpy as np

from limelight.data.axes import OutputAxis
from limelight.data.shard import Rows
from limelight.data.targets import Target
from limelight.errors import problem
from limelight.inference.calibration import LEVELS, coverage, rank_p_value
from limelight.inference.intervals import Intervals, quantiles_of
from limelight.inference.posteriors.misspecification import UNLIKE
from limelight.inference.posteriors.tables import answers_of
from limelight.seeds import generator

Grid = Sequence[np.ndarray]  # even steps of each answer
DENSITY = "log_mass"  # the name of these arrays in an intervals file
LEAST = -60.0  # ln of a mass that counts as none: a method that rules the truth out loses this much, not all
COLUMNS = (
    "posterior",
    "method",
    "test",
    "rows",
    "nats_known",
    "nats_lost",
    "nats_error",
    "width_over_exact",
    "bias",
    "rank_p",
    *(f"{name}_{100 * level:.0f}" for level in LEVELS for name in ("covered", "error")),
    "unlike",
    "share_of_information",
)


def points(grid: Grid) -> np.ndarray:
    """All points of a grid, (g, d), the last axis running fastest."""
    return np.stack(np.meshgrid(*grid, indexing="ij"), axis=-1).reshape(-1, len(grid))


def shares(grid: Grid) -> np.ndarray:
    """ln of the share of the prior's volume that each point stands for (trapezoidal rule), (g,)."""
    found = np.zeros(())
    for axis in grid:
        weight = np.ones(len(axis))
        weight[[0, -1]] = 0.5
        found = found[..., None] + np.log(weight / weight.sum())
    return found.ravel()


def normalised(log_density: np.ndarray, grid: Grid) -> np.ndarray:
    """ln mass (m, g) of ln densities (m, g) that are known up to a constant of each row."""
    found = log_density + shares(grid)
    return np.maximum(found - _log_sum(found), LEAST)


def _log_sum(values: np.ndarray) -> np.ndarray:
    most = values.max(axis=1, keepdims=True)
    return most + np.log(np.exp(values - most).sum(axis=1, keepdims=True))


def of_draws(draws: np.ndarray, grid: Grid) -> np.ndarray:
    """ln mass (m, g) of the Gaussian kernel estimates of draws (m, s, d), for methods that have no density."""
    at = points(grid).T
    from scipy import stats  # a second of import that only this needs

    found = [stats.gaussian_kde(one.T.astype(np.float64)).logpdf(at) for one in draws]
    return normalised(np.maximum(found, LEAST), grid)


def marginals(log_mass: np.ndarray, grid: Grid) -> list[np.ndarray]:
    """The mass of each axis alone, (m, its points) each."""
    mass = np.exp(log_mass).reshape(len(log_mass), *map(len, grid))
    return [mass.sum(axis=tuple(j + 1 for j in range(len(grid)) if j != i)) for i in range(len(grid))]


def moments(log_mass: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each answer, (m, d) each."""
    parts = marginals(log_mass, grid)
    mean = np.stack([mass @ axis for mass, axis in zip(parts, grid, strict=True)], axis=1)
    square = np.stack([mass @ axis**2 for mass, axis in zip(parts, grid, strict=True)], axis=1)
    return mean, np.sqrt(np.maximum(square - mean**2, 0))


def ranks(log_mass: np.ndarray, truth: np.ndarray, grid: Grid) -> np.ndarray:
    """The posterior's probability below each truth, (m, d) of truths (m, d): even in (0, 1) if it is calibrated."""
    found = np.empty(truth.shape)
    for j, (mass, axis) in enumerate(zip(marginals(log_mass, grid), grid, strict=True)):
        density = mass.copy()
        density[:, [0, -1]] *= 2  # the ends stand for half a step
        below = np.cumsum((density[:, 1:] + density[:, :-1]) / 2, axis=1)
        below = np.concatenate([np.zeros((len(mass), 1)), below], axis=1) / below[:, -1:]
        found[:, j] = [np.interp(t, axis, one) for t, one in zip(truth[:, j], below, strict=True)]
    return found


def draws_of(log_mass: np.ndarray, grid: Grid, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draws (m, count, d) of densities on a grid, spread evenly over each point's cell within the prior."""
    at = points(grid)
    step = np.array([axis[1] - axis[0] for axis in grid])
    low, high = (np.array([axis[end] for axis in grid]) for end in (0, -1))
    found = np.empty((len(log_mass), count, len(grid)))
    for i, one in enumerate(np.exp(log_mass)):
        chosen = at[rng.choice(len(at), count, p=one / one.sum())]
        below, above = np.maximum(chosen - step / 2, low), np.minimum(chosen + step / 2, high)
        found[i] = rng.uniform(below, above)
    return found


def exact_intervals(
    method: str,
    log_density: np.ndarray,
    grid: Grid,
    target: Target,
    found: Rows,
    test: str,
    seed: int,
    samples: int = 500,
) -> Intervals:
    """The exact posterior of the rows of a test as an intervals file has it.

    log_density (m, g): ln of the posterior's density at the points of the grid, up to a constant of each row.
    """
    if not np.isfinite(log_density).all():
        raise problem(f"the exact posterior of {test}", "densities that are not finite", "numbers", "look at its data")
    log_mass, truth = normalised(log_density, grid), answers_of(found.y, target)
    drawn = draws_of(log_mass, grid, samples, generator(seed, f"draws of the exact posterior on {test}"))
    return Intervals(
        method=f"exact: {method}",
        test=test,
        settings={"dataset": str(found.dataset[0]), "grid": described(grid)},
        axis=OutputAxis(**vars(target.axis)),
        truth=truth,
        quantiles=quantiles_of(drawn),
        rows=found.identifiers,
        seconds=np.zeros(len(truth)),
        counts=False,
        samples=drawn.astype(np.float32),
        extra={DENSITY: log_mass},
    )


def described(grid: Grid) -> list[list[float]]:
    """[low, high, points] of each axis."""
    return [[float(axis[0]), float(axis[-1]), len(axis)] for axis in grid]


def grid_of(exact: Intervals) -> list[np.ndarray]:
    """The grid of an exact posterior's file."""
    return [np.linspace(low, high, int(n)) for low, high, n in exact.settings["grid"]]


def matching(exact: Intervals, other: Intervals) -> np.ndarray:
    """The rows (m,) of the exact posterior's file that another has; LimelightError where they are of other data."""
    place = {key: i for i, key in enumerate(zip(*(v.tolist() for v in exact.rows.values()), strict=True))}
    keys = list(zip(*(v.tolist() for v in other.rows.values()), strict=True))
    if list(exact.rows) != list(other.rows) or not all(key in place for key in keys) or exact.test != other.test:
        expected = f"rows of {exact.test}, as the exact posterior has them"
        raise problem("intervals", f"{other.method} on {other.test} of other rows", expected, "make them again")
    return np.array([place[key] for key in keys])


def information_row(exact: Intervals, other: Intervals, name: str) -> dict:
    """What a posterior loses against the exact one: one row of the table.

    nats_known: what the exact posterior knows beyond the even prior, on average over the rows. nats_lost: the mean of the
    Kullback-Leibler divergence ∫ p ln(p/q) of a method's q from the exact p, with its error over rows. width_over_exact: the
    mean of the ratios of standard deviations. bias: how far its mean lies above the exact one on average, in the exact
    posterior's σ, of the answer where that is largest. Ranks are the probability below the truth. unlike: the share of rows
    that the misspecification check warns of. share_of_information: of an IMNN, det F over the largest there is.
    """
    grid, rows = grid_of(exact), matching(exact, other)
    p = exact.extra[DENSITY][rows]
    q = other.extra[DENSITY] if DENSITY in other.extra else of_draws(other.samples, grid)
    mass = np.exp(p)
    lost, known = np.sum(mass * (p - q), axis=1), np.sum(mass * (p - shares(grid)), axis=1)
    (mean, spread), (exact_mean, exact_spread) = moments(q, grid), moments(p, grid)
    exact_spread = np.maximum(exact_spread, 1e-300)
    bias = np.mean((mean - exact_mean) / exact_spread, axis=0)
    rank = ranks(q, exact.truth[rows], grid)
    row = {
        "posterior": name,
        "method": other.method,
        "test": other.test,
        "rows": len(rows),
        "nats_known": known.mean(),
        "nats_lost": lost.mean(),
        "nats_error": lost.std() / np.sqrt(len(lost)),
        "width_over_exact": np.mean(spread / exact_spread),
        "bias": bias[np.argmax(np.abs(bias))],
        "rank_p": rank_p_value(rank).min(),
    }
    for level in LEVELS:
        share, error = coverage(rank, level)
        row[f"covered_{100 * level:.0f}"], row[f"error_{100 * level:.0f}"] = share.mean(), error.mean()
    if "p_value" in other.extra:
        row["unlike"] = float(np.mean(other.extra["p_value"] < UNLIKE))
    if "share_of_information" in other.settings:
        row["share_of_information"] = other.settings["share_of_information"]
    return row
