"""Ranks and coverage of the mocks of benchmarks.survey_coverage: a row for each depth, method and luminosity, and a figure.

Of a calibrated posterior the truths' ranks among its draws are uniform: p_ks of Kolmogorov and Smirnov, p_chi2 of five equal
bins. Widths are of 1 + counts, 95 %, medians over mocks; nats the mean ln of the ratio of 68 % widths, prior over posterior,
the prior's being percentiles of the training maps' counts. An interval without width, as of a map with no source in a bin,
counts there as 0.001 dex, some 8 nats; gain_nats, of the log score, and the CRPS are free of that (docs/inference.md).

example: python -m benchmarks.survey_ranks --rows season2.csv future.csv --training results/mine/shards/li_full/*.h5 \\
    --output docs/results/line_intensity/survey_ranks.csv --figure ranks.png
"""

import argparse
import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import chisquare, kstest, kstwo, norm, rankdata

from benchmarks.survey_gain import prior_percentiles
from limelight.data.shard import read_shards
from limelight.errors import plain_errors, problem
from limelight.figures.style import COLOURS, GUIDE, PAGE_IN, save, style
from limelight.files import read_csv, write_csv

NAMES = {"season2": "season 2", "future": "ten times deeper"}
HISTOGRAM, CHI2 = 10, 5  # bins of rank: of the figure, of the test
SETS = 2000  # of ranks, drawn for comparison


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, nargs="+", required=True, help="of benchmarks.survey_coverage")
    parser.add_argument("--training", type=Path, nargs="+", required=True, help="shards of the prior")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args()
    tables = [read_csv(path, "rows of benchmarks.survey_coverage") for path in args.rows]
    rows = {name: np.concatenate([one[name] for one in tables]) for name in tables[0]}
    # a study of several depths names what answers by its depth, too
    rows["method"] = np.array([str(name).split()[0] for name in rows["method"]])
    prior, found = np.log10(1 + prior_percentiles(read_shards(args.training))[1]), {}
    for depth in dict.fromkeys(rows["depth"].tolist()):
        for method in dict.fromkeys(rows["method"].tolist()):
            if (some := (rows["depth"] == depth) & (rows["method"] == method)).any():
                found[depth, method] = by_bin({name: column[some] for name, column in rows.items()})
    table = [row for key, one in found.items() for row in rows_of(*key, one, prior)]
    write_csv(args.output, table, digits=4)
    for (depth, method), one in found.items():
        mine = [row for row in table if row["depth"] == depth and row["method"] == method]
        p = np.array([[row["p_ks"], row["p_chi2"]] for row in mine])
        uneven, chance = uneven_bins(one["rank"]), chance_of_uneven(one["rank"])
        inside = [np.mean([row[f"inside_{level}"] for row in mine]) for level in (68, 95)]
        gain, score = (np.mean([row[name] for row in mine]) for name in ("gain_nats", "crps_over_prior"))
        print(
            f"{depth}, {method}: {len(one['rank'])} mocks, {inside[0]:.3f} and {inside[1]:.3f} inside; bins below p = 0.05:"
            f" {(p < 0.05).sum(axis=0)} of {len(p)} (KS, χ²), least {p.min(axis=0)}; of even ranks that go together as these"
            f" {chance:.3f} have {uneven} such bins (KS) or more; mean rank {one['rank'].mean():.3f};"
            f" {gain:.3f} nats gained; CRPS {score:.3f} of the prior's"
        )
    if args.figure:
        save(figure(found), args.figure)


def by_bin(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The columns of one depth and method as (mocks, bins)."""
    bins = len(np.unique(rows["log10_lum"]))
    order = np.lexsort((rows["log10_lum"], rows["mock"]))
    pairs = np.column_stack([rows["mock"], rows["log10_lum"]])
    if len(np.unique(pairs, axis=0)) != len(pairs) or len(pairs) % bins:
        expected = "each bin of each mock once: rows of one run, of one network and one rival"
        raise problem(
            "--rows", f"{len(pairs)} rows of {len(np.unique(rows['mock']))} mocks", expected, "give these alone"
        )
    return {name: column[order].reshape(-1, bins) for name, column in rows.items()}


def uneven_bins(ranks: np.ndarray) -> np.ndarray:
    """In how many bins ranks (..., mocks, bins) are not uniform, with p < 0.05 by Kolmogorov and Smirnov, (...)."""
    mocks = ranks.shape[-2]
    ordered, steps = np.sort(ranks, axis=-2), np.arange(mocks + 1)[:, None] / mocks
    furthest = np.maximum(steps[1:] - ordered, ordered - steps[:-1]).max(axis=-2)
    return (furthest > kstwo.ppf(0.95, mocks)).sum(axis=-1)


def chance_of_uneven(ranks: np.ndarray) -> float:
    """Share of sets of uniform ranks with at least as many uneven bins as these (mocks, bins).

    Bins of one sky rise and fall together, so that a set which is uneven in one is so in many. The sets are Gaussian ones
    with the correlations of these ranks' normal scores.
    """
    places = rankdata(ranks, axis=0) / (len(ranks) + 1)  # whatever their own distribution
    together = np.corrcoef(norm.ppf(places), rowvar=False)
    rng = np.random.default_rng(0)
    drawn = rng.multivariate_normal(np.zeros(len(together)), together, (SETS, len(ranks)), method="eigh")
    return float(np.mean(uneven_bins(norm.cdf(drawn)) >= uneven_bins(ranks)))


def rows_of(depth: str, method: str, one: dict[str, np.ndarray], prior: np.ndarray) -> list[dict]:
    """A row per luminosity bin; prior: (5, bins) in dex of 1 + counts."""
    made, planted = [], np.log10(1 + one["planted"])
    low, lower, middle, upper, high = (
        np.log10(1 + one[f"q{level}"]) for level in ("0.025", "0.16", "0.5", "0.84", "0.975")
    )
    for j in range(planted.shape[1]):
        ranks, truth = one["rank"][:, j], planted[:, j]
        counts = np.histogram(ranks, np.linspace(0, 1, CHI2 + 1))[0]
        narrower = (prior[3, j] - prior[1, j]) / np.maximum(upper[:, j] - lower[:, j], 1e-3)
        made.append(
            {
                "depth": depth,
                "method": method,
                "log10_lum": one["log10_lum"][0, j],
                "mocks": len(ranks),
                "planted_median": np.median(one["planted"][:, j]),
                "prior_width_95_dex": prior[4, j] - prior[0, j],
                "width_95_dex": np.median(high[:, j] - low[:, j]),
                "nats": np.mean(np.log(narrower)),
                "gain_nats": one["gain_nats"][:, j].mean(),
                "crps_over_prior": one["crps"][:, j].mean() / one["prior_crps"][:, j].mean(),
                "bias_dex": np.median(middle[:, j] - truth),
                "rms_dex": np.sqrt(np.mean((middle[:, j] - truth) ** 2)),
                "inside_68": np.mean((lower[:, j] <= truth) & (truth <= upper[:, j])),
                "inside_95": np.mean((low[:, j] <= truth) & (truth <= high[:, j])),
                "mean_rank": ranks.mean(),
                "p_ks": kstest(ranks, "uniform").pvalue,
                "p_chi2": chisquare(counts).pvalue,
            }
        )
    return made


def figure(found: dict[tuple[str, str], dict[str, np.ndarray]]) -> Figure:
    """A panel per depth and method: the share of ranks below each value, less that of uniform ones, a line per bin."""
    methods, columns = list(dict.fromkeys(method for _, method in found)), min(2, len(found))
    lines = math.ceil(len(found) / columns)
    with style():
        made = Figure(figsize=(PAGE_IN, 1.9 * lines + 0.4))
        axes = made.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for panel, ((depth, method), one) in zip(axes, found.items(), strict=False):
            panel.set_title(f"{NAMES.get(depth, depth)}: {method}")
            ranks = np.sort(one["rank"], axis=0)
            band, steps = kstwo.ppf(0.95, len(ranks)), np.arange(1, len(ranks) + 1) / len(ranks)
            panel.axhspan(-band, band, color=GUIDE, alpha=0.15, lw=0)
            colour = COLOURS[methods.index(method) % len(COLOURS)]
            panel.plot(ranks, steps[:, None] - ranks, color=colour, lw=0.5, alpha=0.5)
            panel.axhline(0, color=GUIDE, lw=0.7)
            edges = np.linspace(0, 1, HISTOGRAM + 1)
            share = np.histogram(one["rank"], edges)[0] / one["rank"].size * HISTOGRAM
            panel.stairs(0.2 * (share - 1), edges, color="k", lw=1)
            panel.set(xlim=(0, 1), ylim=(-0.45, 0.45))
        for panel in axes[len(found) :]:  # of an odd number the last
            panel.remove()
        made.supxlabel("rank of the truth among the draws")
        made.supylabel("share below, less the rank")
    return made


if __name__ == "__main__":
    with plain_errors():
        main()
