"""Posteriors of (Ωm, σ8) beside one another: their areas, and whether these can be believed.

The area of a row is that of the ellipse π Δχ² √det C with Δχ² = 2.30 (68 % of a Gaussian), C the covariance of its density
over the prior; of a test, the geometric mean over rows. A posterior that is too sure of itself has a small area, so that two
more numbers stand beside it: coverage, and the mean of ln p(truth), which nothing but the exact posterior can raise to its
best. exp of the difference of two scores is the ratio of areas that calibrated Gaussians with these scores would have.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from scipy.interpolate import RegularGridInterpolator

from limelight.figures.style import COLOURS, GUIDE, PAGE_IN, style
from limelight.inference import calibration
from limelight.inference.exact import DENSITY, matching, points
from limelight.inference.intervals import Intervals
from limelight.seeds import generator

DELTA = 2.30  # Δχ² of 68 % in two dimensions
RESAMPLINGS = 1000
COLUMNS = (
    "test",
    "posterior",
    "network",
    "rows",
    "area",
    "area_error",
    "area_over_reference",
    "area_over_reference_error",
    "score",
    "score_error",
    "area_by_score",
    "area_by_score_error",
    "covered_68",
    "covered_95",
    "covered_error_68",
    "tarp_68",
    "rank_p",
)


def areas(log_mass: np.ndarray, grid: Sequence[np.ndarray]) -> np.ndarray:
    """Area (m,) of each density on a grid, ln masses (m, g)."""
    at, mass = points(grid), np.exp(log_mass)
    mean = mass @ at
    square = np.einsum("mg,ga,gb->mab", mass, at, at, optimize=True)
    covariance = square - mean[:, :, None] * mean[:, None, :]
    return np.pi * DELTA * np.sqrt(np.linalg.det(covariance).clip(1e-300))


def scores(log_mass: np.ndarray, truth: np.ndarray, grid: Sequence[np.ndarray]) -> np.ndarray:
    """ln p(truth) (m,) of densities on a grid, between its points; masses at the prior's ends stand for half a cell."""
    cell = np.zeros(())
    for axis in grid:
        width = np.full(len(axis), axis[1] - axis[0])
        width[[0, -1]] /= 2
        cell = cell[..., None] + np.log(width)
    shape = tuple(map(len, grid))
    density = log_mass.reshape(-1, *shape) - cell
    return np.array([RegularGridInterpolator(grid, d)(t)[0] for d, t in zip(density, truth, strict=True)])


def with_error(values: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Mean of values (m,) and its error by resampling universes: maps of one truth (m, d) may share their boxes."""
    _, first, universe = np.unique(truth, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))[universe.ravel()]  # universes in the order of their first map
    sums, counts = np.bincount(order, values), np.bincount(order)
    drawn = rng.integers(len(sums), size=(RESAMPLINGS, len(sums)))
    return float(values.mean()), float((sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)).std())


def area_rows(found: Sequence[Intervals], grid: Sequence[np.ndarray], reference: Intervals, seed: int) -> list[dict]:
    """One row per posterior of a test, or of tests on the same rows (COLUMNS).

    Parameters
    ----------
    found
        Intervals, with densities on the grid.
    reference
        What the others are divided by: the exact posterior, or one of them. All see the same rows.
    """
    base = _numbers(reference, grid)
    rows = []
    for one in found:
        rng = generator(seed, f"areas of {name_of(one)} on {one.test}")
        place = matching(reference, replace(one, test=reference.test))  # the same maps, whole or with pixels removed
        area, score = _numbers(one, grid)
        size, size_error = with_error(np.log(area), one.truth, rng)
        ratio, ratio_error = with_error(np.log(area / base[0][place]), one.truth, rng)
        told, told_error = with_error(score, one.truth, rng)
        worse, worse_error = with_error(base[1][place] - score, one.truth, rng)
        joint = calibration.joint_ranks(np.asarray(one.samples, np.float64), one.truth)
        in_68, error_68 = with_error((joint >= 1 - 0.68).astype(float), one.truth, rng)
        in_95, _ = calibration.joint_coverage(joint, 0.95)
        shares = calibration.tarp(np.asarray(one.samples, np.float64), one.truth, rng)
        first = np.unique(one.truth, axis=0, return_index=True)[1]  # maps of one universe are no draws from the prior
        rows.append(
            {
                "test": one.test,
                "posterior": name_of(one),
                "network": one.settings.get("network", ""),
                "rows": len(one.truth),
                "area": np.exp(size),
                "area_error": np.exp(size) * size_error,
                "area_over_reference": np.exp(ratio),
                "area_over_reference_error": np.exp(ratio) * ratio_error,
                "score": told,
                "score_error": told_error,
                "area_by_score": np.exp(worse),
                "area_by_score_error": np.exp(worse) * worse_error,
                "covered_68": in_68,
                "covered_95": in_95,
                "covered_error_68": error_68,
                "tarp_68": float(calibration.tarp_coverage(shares, np.array([0.68]))[0]),
                "rank_p": float(
                    calibration.rank_p_value(calibration.ranks(one.samples[first], one.truth[first])).min()
                ),
            }
        )
    return rows


def name_of(one: Intervals) -> str:
    """The posterior's name in the config; the exact one is exact."""
    return one.settings.get("posterior", "exact")


def _numbers(one: Intervals, grid: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    mass = one.extra[DENSITY]
    return areas(mass, grid), scores(mass, one.truth, grid)


def areas_figure(
    rows: dict[str, list[dict]], contours: dict[str, list[Intervals]], grids: dict[str, Sequence[np.ndarray]]
) -> Figure:
    """Areas over the reference of each group of tests, and the contours of its first row by up to six posteriors.

    grids: of each group, for its prior may be its own.
    """
    with style():
        tests = list(contours)
        figure = Figure(figsize=(PAGE_IN, 1.2 + 2.8 * len(tests)))
        panels = figure.subplots(len(tests), 2, squeeze=False)
        for (left, right), test in zip(panels, tests, strict=True):
            mine = rows[test]
            place = np.arange(len(mine))
            for key, colour, shift in (("area_over_reference", 0, -0.1), ("area_by_score", 1, 0.1)):
                values, errors = ([row[name] for row in mine] for name in (key, f"{key}_error"))
                label = "area" if shift < 0 else "area by score"
                left.errorbar(values, place + shift, xerr=errors, fmt="o", ms=3, color=COLOURS[colour], label=label)
            left.axvline(1, color=GUIDE, lw=0.8)
            left.set(xlabel="over the reference", title=test.replace("_", " "), xscale="log")
            for axis in (left.xaxis.set_major_formatter, left.xaxis.set_minor_formatter):
                axis(FuncFormatter(lambda value, _: f"{value:g}"))
            left.set_yticks(place, [row["posterior"].replace("_", " ") for row in mine], fontsize=6)
            left.invert_yaxis()
            for i, one in enumerate(contours[test][:6]):
                grid = grids[test]
                mass = one.extra[DENSITY][0].reshape(tuple(map(len, grid)))
                order = np.sort(np.exp(mass), axis=None)[::-1]
                level = np.log(order[min(np.searchsorted(np.cumsum(order), 0.68), order.size - 1)])
                right.contour(
                    *grid, mass.T, levels=[level], colors=[COLOURS[i % len(COLOURS)]], linewidths=1, linestyles="solid"
                )
                right.plot([], [], color=COLOURS[i % len(COLOURS)], label=name_of(one).replace("_", " "))
            right.plot(*contours[test][0].truth[0], "k+")
            right.set(xlabel="$\\Omega_m$", ylabel="$\\sigma_8$")
            right.legend(fontsize=5)
        panels[0][0].legend(fontsize=6)
        return figure
