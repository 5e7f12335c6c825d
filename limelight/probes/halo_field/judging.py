"""Painters beside the truth: statistics of unseen boxes over the true ones, with the scatter from box to box."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from limelight.probes.halo_field.clustering import (
    correlation_ceiling,
    spectra_between,
    statistics_of,
)
from limelight.probes.halo_field.painting import Painted
from limelight.summaries.power import power_bins
from limelight.summaries.reconstruction import correlation

COLUMNS = ("test", "painter", "statistic", "at", "true", "painted", "ratio", "ratio_error", "box_scatter", "pull")
FEWEST = 4  # boxes that tell a scatter


@dataclass(frozen=True)
class Truth:
    """The true halos of a test."""

    test: str
    counts: np.ndarray  # (boxes, z, y, x)
    side_mpc: float
    scatter: Mapping[tuple[str, float], float]  # from box to box over their mean, of boxes of the same universe


def box_scatter(counts: np.ndarray, side_mpc: float, k_edges: np.ndarray) -> dict[tuple[str, float], float]:
    """Standard deviation over the mean of each statistic, over true boxes (m, z, y, x); none of fewer than FEWEST."""
    if len(counts) < FEWEST:
        return {}
    each = [statistics_of(box, side_mpc, k_edges) for box in counts]
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            key: float(np.std([one[key] for one in each], ddof=1) / abs(np.mean([one[key] for one in each])))
            for key in each[0]
        }


def judge(truth: Truth, painter: str, painted: Painted, k_edges: np.ndarray) -> list[dict]:
    """Rows of the table.

    `ratio` is that of the sums over boxes (and draws), of r and of ln L too: r over its ceiling, ln L over a uniform
    field's. Its error is `jackknife`'s over boxes; of one box alone, the scatter of its draws. `pull` is how far the ratio
    is from 1, in units of the scatter from box to box.
    """
    side = truth.side_mpc
    true = [statistics_of(box, side, k_edges) for box in truth.counts]
    drawn = [[statistics_of(box, side, k_edges) for box in boxes] for boxes in painted.drawn]
    rows = []
    for key in true[0]:
        right = np.array([one[key] for one in true])
        found = np.array([[one.get(key, np.nan) for one in boxes] for boxes in drawn])
        mean, scatter = found.mean(axis=0), truth.scatter.get(key, np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = float(mean.sum() / right.sum())
            error = jackknife(lambda kept, a=mean, b=right: a[kept].sum() / b[kept].sum(), len(right))
            error = np.std(found / right) if len(right) == 1 else error
        values = (truth.test, painter, *key, right.mean(), mean.mean(), ratio, error, scatter, (ratio - 1) / scatter)
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows + correlation_rows(truth, painter, painted, k_edges) + [likelihood_row(truth, painter, painted)]


def jackknife(statistic: Callable[[np.ndarray], np.ndarray | float], boxes: int) -> np.ndarray | float:
    """Standard error of a statistic of boxes, from its values without each; NaN of one box.

    statistic: of the numbers of those that are kept.
    """
    if boxes < 2:
        return np.full_like(statistic(np.arange(boxes)), np.nan)
    without = [statistic(np.delete(np.arange(boxes), i)) for i in range(boxes)]
    return np.sqrt(boxes - 1) * np.std(without, axis=0)


def correlation_rows(truth: Truth, painter: str, painted: Painted, k_edges: np.ndarray) -> list[dict]:
    """r(k) with the true halos: of the expected number, beside its ceiling (as `true`), and of what is painted."""
    spectra = spectra_between(painted.mean, truth.counts, truth.side_mpc, k_edges)
    drawn = [spectra_between(boxes, truth.counts, truth.side_mpc, k_edges) for boxes in painted.drawn]
    number, volume = truth.counts.sum(axis=(1, 2, 3)), truth.side_mpc**3

    def expected(kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        power = spectra[kept].truth.mean(axis=(0, 1))
        return correlation(spectra[kept])[0], correlation_ceiling(power, number[kept].mean(), volume)

    def of_halos(kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.mean([correlation(one[kept])[0] for one in drawn], axis=0), expected(kept)[1] ** 2

    def over_ceiling(values: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(values[1] > 0, values[0] / values[1], np.nan)

    at, rows = k_means(truth, k_edges), []
    for name, told in (("r of the expected number", expected), ("r of the painted halos", of_halos)):
        values = told(np.arange(len(number)))
        error = jackknife(lambda kept, told=told: over_ceiling(told(kept)), len(number))
        for k, r, most, ratio, one in zip(at, *values, over_ceiling(values), error, strict=True):
            if not np.isfinite(k):  # no wave of the box is in this shell
                continue
            row = (truth.test, painter, name, k, most, r, ratio, one, np.nan, np.nan)
            rows.append(dict(zip(COLUMNS, row, strict=True)))
    return rows


def k_means(truth: Truth, k_edges: np.ndarray) -> np.ndarray:
    """Mean |k| of the waves in each shell, 1/Mpc."""
    cell = truth.side_mpc / truth.counts.shape[-1]
    return power_bins(truth.counts.shape[1:], (cell,) * 3, k_edges).k_mean


def likelihood_row(truth: Truth, painter: str, painted: Painted) -> dict:
    """ln of the probability of the true counts per halo, beside that of a uniform Poisson field (as `true`)."""
    halos = truth.counts.sum(axis=(1, 2, 3))
    lost = np.broadcast_to(painted.nats_lost, halos.shape)

    def over_uniform(kept: np.ndarray) -> float:
        return np.average(lost[kept], weights=halos[kept]) / uniform_nats(truth.counts[kept])

    found, uniform = np.average(lost, weights=halos), uniform_nats(truth.counts)
    error = jackknife(over_uniform, len(halos)) if np.ndim(painted.nats_lost) else np.nan
    values = (truth.test, painter, "ln L per halo", 0.0, -uniform, -found, found / uniform, error, np.nan, np.nan)
    return dict(zip(COLUMNS, values, strict=True))


def uniform_nats(counts: np.ndarray) -> float:
    """−ln of the probability of counts, over their sum, of a Poisson process of the right mean and no structure."""
    mean = counts.mean()
    return float((mean - counts * np.log(mean) + gammaln(counts + 1)).sum() / counts.sum())
