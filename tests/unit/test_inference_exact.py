"""Posteriors on a grid against Gaussians in closed form."""

import numpy as np
import pytest
from scipy import stats

from limelight.data.axes import OutputAxis
from limelight.errors import LimelightError
from limelight.inference.exact import (
    DENSITY,
    described,
    draws_of,
    grid_of,
    information_row,
    marginals,
    matching,
    moments,
    normalised,
    of_draws,
    points,
    ranks,
    shares,
)
from limelight.inference.intervals import Intervals, quantiles_of

GRID = (np.linspace(0, 1, 101),)
PLANE = (np.linspace(0, 1, 61), np.linspace(-2, 2, 81))


def gaussians(mean: np.ndarray, width: float) -> np.ndarray:
    """ln mass on GRID of Gaussians about mean (m,)."""
    return normalised(stats.norm.logpdf(GRID[0], mean[:, None], width), GRID)


def intervals(mean: np.ndarray, width: float, truth: np.ndarray, test: str = "t", **extra) -> Intervals:
    mass = gaussians(mean, width)
    drawn = draws_of(mass, GRID, 400, np.random.default_rng(0))
    return Intervals(
        method="m",
        test=test,
        settings={"grid": described(GRID)},
        axis=OutputAxis("parameter", names=("a",)),
        truth=truth[:, None],
        quantiles=quantiles_of(drawn),
        rows={"group": np.zeros(len(mean), int), "row": np.arange(len(mean))},
        seconds=np.zeros(len(mean)),
        counts=False,
        samples=drawn,
        extra={DENSITY: mass, **extra},
    )


def test_shares_are_those_of_the_trapezoidal_rule():
    found = np.exp(shares(PLANE))
    assert found.sum() == pytest.approx(1)
    x, y = points(PLANE).T
    f = (1 + x) * np.exp(y)
    plane = np.trapezoid(np.trapezoid(f.reshape(61, 81), PLANE[1], axis=1), PLANE[0]) / 4
    assert found @ f == pytest.approx(plane)


def test_moments_marginals_and_ranks_of_a_plane_are_those_of_its_gaussians():
    x, y = points(PLANE).T
    log_density = stats.norm.logpdf(x, 0.5, 0.05) + stats.norm.logpdf(y, 0.2, 0.3)
    mass = normalised(log_density[None] + 1234, PLANE)
    mean, width = moments(mass, PLANE)
    np.testing.assert_allclose(mean, [[0.5, 0.2]], atol=1e-6)
    np.testing.assert_allclose(width, [[0.05, 0.3]], rtol=1e-4)
    assert [one.shape for one in marginals(mass, PLANE)] == [(1, 61), (1, 81)]
    found = ranks(mass, np.array([[0.55, -0.1]]), PLANE)
    np.testing.assert_allclose(found, [[stats.norm.cdf(1), stats.norm.cdf(-1)]], atol=3e-3)


def test_draws_follow_the_density_and_keep_to_the_prior():
    mass = gaussians(np.array([0.3, 0.99]), 0.1)
    drawn = draws_of(mass, GRID, 20_000, np.random.default_rng(1))
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    mean, width = moments(mass, GRID)
    np.testing.assert_allclose(drawn.mean(axis=1), mean, atol=3e-3)
    np.testing.assert_allclose(drawn.std(axis=1), width, rtol=0.03)
    known = moments(of_draws(drawn[:1, :2000], GRID), GRID)
    np.testing.assert_allclose(known[1], width[:1], rtol=0.08)


def test_what_is_lost_is_the_divergence_of_gaussians():
    """KL of N(m, s) from N(m', s') is ln(s'/s) + (s² + (m − m')²)/2s'² − ½."""
    rng = np.random.default_rng(2)
    truth = rng.uniform(0.35, 0.65, 400)
    mean = truth + 0.05 * rng.standard_normal(400)
    exact = intervals(mean, 0.05, truth)
    row = information_row(exact, intervals(mean + 0.01, 0.06, truth, p_value=np.r_[0.001, np.ones(399)]), "q")
    expected = np.log(0.06 / 0.05) + (0.05**2 + 0.01**2) / (2 * 0.06**2) - 0.5
    assert row["nats_lost"] == pytest.approx(expected, rel=2e-3)
    assert row["nats_known"] == pytest.approx(-np.log(0.05 * np.sqrt(2 * np.pi * np.e)), rel=2e-3)
    assert row["width_over_exact"] == pytest.approx(1.2, rel=1e-3)
    assert row["bias"] == pytest.approx(0.01 / 0.05, rel=1e-2)
    assert row["unlike"] == 1 / 400
    own = information_row(exact, exact, "exact")
    assert own["nats_lost"] == 0
    assert own["rank_p"] > 1e-3
    assert own["covered_68"] == pytest.approx(0.68, abs=4 * own["error_68"])


def test_a_method_without_a_density_is_judged_by_its_draws():
    truth = np.linspace(0.3, 0.7, 30)
    exact, other = intervals(truth, 0.05, truth), intervals(truth, 0.05, truth)
    del other.extra[DENSITY]
    assert information_row(exact, other, "draws")["nats_lost"] < 0.05


def test_rows_are_matched_by_what_they_are_and_other_tests_refused():
    truth = np.linspace(0.3, 0.7, 5)
    exact, some = intervals(truth, 0.05, truth), intervals(truth[3:1:-1], 0.05, truth[3:1:-1])
    some.rows["row"] = np.array([3, 2])
    np.testing.assert_array_equal(matching(exact, some), [3, 2])
    np.testing.assert_allclose(grid_of(exact)[0], GRID[0])
    assert information_row(exact, some, "some")["nats_lost"] == pytest.approx(0, abs=1e-12)
    some.rows["row"] = np.array([3, 9])
    for other in (some, intervals(truth, 0.05, truth, test="another")):
        with pytest.raises(LimelightError, match=r"intervals: found m on .* of other rows; expected rows of t"):
            matching(exact, other)
