"""Painters beside the truth: statistics of unseen boxes over the true ones, with the scatter from box to box."""

from collections.abc import Mapping
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

    `ratio` is that of the sums over boxes (and draws). Its error is the scatter of the paired ratios, of each box and draw,
    over the root of the number of boxes. `pull` is how far the ratio is from 1, in units of the scatter from box to box.
    """
    side = truth.side_mpc
    true = [statistics_of(box, side, k_edges) for box in truth.counts]
    drawn = [[statistics_of(box, side, k_edges) for box in boxes] for boxes in painted.drawn]
    rows = []
    for key in true[0]:
        right = np.array([one[key] for one in true])
        found = np.array([[one.get(key, np.nan) for one in boxes] for boxes in drawn])
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = found.mean() / right.mean()
            error = np.std(found / right) / np.sqrt(len(right))
        scatter = truth.scatter.get(key, np.nan)
        values = (truth.test, painter, *key, right.mean(), found.mean(), ratio, error, scatter, (ratio - 1) / scatter)
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows + correlation_rows(truth, painter, painted, k_edges) + [likelihood_row(truth, painter, painted)]


def correlation_rows(truth: Truth, painter: str, painted: Painted, k_edges: np.ndarray) -> list[dict]:
    """r(k) with the true halos: of the expected number, beside its ceiling (as `true`), and of what is painted."""
    spectra = spectra_between(painted.mean, truth.counts, truth.side_mpc, k_edges)
    drawn = [correlation(spectra_between(boxes, truth.counts, truth.side_mpc, k_edges))[0] for boxes in painted.drawn]
    power = spectra.truth.mean(axis=(0, 1))
    ceiling = correlation_ceiling(power, truth.counts.sum(axis=(1, 2, 3)).mean(), truth.side_mpc**3)
    at, rows = k_means(truth, k_edges), []
    for name, found, most in (
        ("r of the expected number", correlation(spectra)[0], ceiling),
        ("r of the painted halos", np.mean(drawn, axis=0), ceiling**2),
    ):
        for k, r, top in zip(at, found, most, strict=True):
            if not np.isfinite(k):  # no wave of the box is in this shell
                continue
            values = (truth.test, painter, name, k, top, r, r / top if top else np.nan, np.nan, np.nan, np.nan)
            rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def k_means(truth: Truth, k_edges: np.ndarray) -> np.ndarray:
    """Mean |k| of the waves in each shell, 1/Mpc."""
    cell = truth.side_mpc / truth.counts.shape[-1]
    return power_bins(truth.counts.shape[1:], (cell,) * 3, k_edges).k_mean


def likelihood_row(truth: Truth, painter: str, painted: Painted) -> dict:
    """ln of the probability of the true counts per halo, beside that of a uniform Poisson field (as `true`)."""
    uniform = -uniform_nats(truth.counts)
    values = (truth.test, painter, "ln L per halo", 0.0, uniform, -painted.nats_lost, np.nan, np.nan, np.nan, np.nan)
    return dict(zip(COLUMNS, values, strict=True))


def uniform_nats(counts: np.ndarray) -> float:
    """−ln of the probability of counts, over their sum, of a Poisson process of the right mean and no structure."""
    mean = counts.mean()
    return float((mean - counts * np.log(mean) + gammaln(counts + 1)).sum() / counts.sum())
