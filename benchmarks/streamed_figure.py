"""Figures of the tables of benchmarks.streamed: widths, coverage, what features are worth, and hours.

example: python -m benchmarks.streamed_figure --tables docs/results/streamed_levels
"""

import argparse
import csv
import itertools
from collections.abc import Iterable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.streamed_verdicts import AT_LSUN, FLOOR
from limelight.errors import plain_errors
from limelight.figures.style import COLOURS, PAGE_IN, PUBLISHED, TRUTH, save, style

HOURS, NOISE_UK = 6000, 60.6  # arXiv:1808.07487, on 1.5° × 1.5°; per voxel of arXiv:1905.10376
NOISES = {
    "none": "no noise",
    "half": "30 µK",
    "comap": "60.6 µK",
    "season2": "95 µK",
    "twice": "190 µK",
}  # per paper voxel
TESTS = {"prior": "over the prior", "fiducial": "at fiducial Li"}
FEWEST = 10  # sources a map that a bin is drawn for
METHODS = {  # what the legend says: (which rows, how they look)
    "quantiles, mean known": (
        lambda r: r["method"] == "quantiles" and r["mean_known"] == "True",
        {"color": COLOURS[0]},
    ),
    "quantiles, mean unknown": (
        lambda r: r["method"] == "quantiles" and r["mean_known"] == "False",
        {"color": COLOURS[5], "ls": "--"},
    ),
    "rival, P(k) + VID": (lambda r: str(r["method"]).startswith("rival"), {"color": COLOURS[1]}),
    "ideal: halos known": (lambda r: r["method"] == "ideal", {"color": PUBLISHED, "lw": 0.9}),
}


def table(path: Path) -> list[dict]:
    """The rows of a CSV file, numbers as floats."""
    with open(path, encoding="utf-8", newline="") as file:
        return [{key: _number(value) for key, value in row.items()} for row in csv.DictReader(file)]


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def widths_figure(rows: list[dict]) -> Figure:
    """The money figure: columns noises; above widths of 95 % intervals over the truth, below the share of truths inside."""
    with style():
        figure = Figure(figsize=(PAGE_IN, 6.4))
        axes = figure.subplots(4, len(NOISES), sharex=True, sharey="row", height_ratios=[3, 1, 3, 1])
        for (i, test), (j, noise) in itertools.product(enumerate(TESTS), enumerate(NOISES)):
            panel, below = axes[2 * i, j], axes[2 * i + 1, j]
            here = [r for r in rows if r["test"] == test]
            for label, (keep, look) in METHODS.items():
                mine = [r for r in here if keep(r) and (r["noise"] == noise or r["method"] == "ideal")]
                _line(panel, mine, "width_95", label, **look)
                _line(below, (r for r in mine if r["rank_covered_95"] != ""), "rank_covered_95", label, **look)
            floor = FLOOR.get((test, noise, True))
            if floor:
                panel.plot(AT_LSUN, floor, "x", color=TRUTH, ms=3, label="first trial, 23,900 simulations")
            panel.set(xscale="log", yscale="log", ylim=(0.015, 3))
            below.axhline(0.95, color=TRUTH, lw=0.6, ls=":")
            below.set(ylim=(0.84, 1.01))
            if i == 0:
                panel.set_title(NOISES[noise])
            if j == 0:
                panel.set_ylabel(f"{TESTS[test]}\n95 % interval / truth")
                below.set_ylabel("inside")
        for panel in axes[-1]:
            panel.set_xlabel("$L$ [L$_\\odot$]")
        handles = {label: h for panel in axes.flat for h, label in zip(*panel.get_legend_handles_labels(), strict=True)}
        figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=3)
        return figure


def _line(panel: Axes, rows: Iterable[dict], column: str, label: str, **look) -> None:
    kept = [row for row in rows if row["mean_count"] >= FEWEST and row[column] != ""]
    if kept:
        panel.plot([r["luminosity_lsun"] for r in kept], [r[column] for r in kept], label=label, **look)


def scores_figure(scores: list[dict], gains: list[dict]) -> Figure:
    """Left: pinball loss of one head over the simulations that it learnt from, by network. Right: nats over the prior."""
    with style():
        figure = Figure(figsize=(PAGE_IN, 2.2))
        left, right = figure.subplots(1, 2)
        kept = [
            r
            for r in scores
            if r["test"] == "prior" and r["kind"] == "quantiles" and r["members"] == 1 and not r["draws"]
        ]
        kept = [r for r in kept if r["features"] == "power+histogram+mean" and r["seed"] == 1]
        for i, network in enumerate(dict.fromkeys(r["network"] for r in kept)):
            mine = sorted(
                (r["learnt_from"], r["pinball_dex"], r["pinball_error"]) for r in kept if r["network"] == network
            )
            learnt, loss, error = zip(*mine, strict=True)
            left.errorbar(learnt, loss, yerr=error, fmt="o-", ms=3, color=COLOURS[i], label=str(network))
        left.set(xscale="log", yscale="log", xlabel="simulations", ylabel="pinball loss [dex]")
        left.legend(fontsize=7)
        whole = [r for r in gains if r["what"] == "map over prior" and r["test"] in ("prior", "fiducial")]
        names = [f"{r['network']}, {r['test']}".replace("_", " ") for r in whole]
        right.barh(
            names, [r["nats"] for r in whole], color=COLOURS[2], xerr=[r["nats_error"] for r in whole], ecolor=TRUTH
        )
        right.tick_params(axis="y", labelsize=7)
        right.set_xlabel("nats gained over the prior")
        return figure


def hours_figure(rows: list[dict], known: float = 0.1) -> Figure:
    """Half width of the 68 % interval over luminosity, one line for each length of observation."""
    with style():
        figure = Figure(figsize=(PAGE_IN, 2.6))
        for panel, (test, title) in zip(figure.subplots(1, 2, sharey=True), TESTS.items(), strict=True):
            mine = [r for r in rows if r["test"] == test and r["mean_count"] >= 1]
            for i, noise in enumerate(sorted({r["noise_uk_per_paper_voxel"] for r in mine}, reverse=True)):
                one = [r for r in mine if r["noise_uk_per_paper_voxel"] == noise]
                here = sorted((r["luminosity_lsun"], r["half_width_68_dex"]) for r in one)
                label = f"{HOURS * (NOISE_UK / noise) ** 2:.0f} h ({noise:.0f} µK)" if noise else "no noise"
                panel.plot(*zip(*here, strict=True), color=COLOURS[i] if noise else PUBLISHED, label=label)
            panel.axhline(known, color=TRUTH, lw=0.8, ls=":")
            panel.set(xscale="log", yscale="log", xlabel="$L$ [L$_\\odot$]", title=title)
        figure.axes[0].set_ylabel("half of the 68 % interval [dex]")
        figure.axes[0].legend(fontsize=7)
        return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path, required=True, help="tables of benchmarks.streamed, without .csv")
    args = parser.parse_args()
    names = ("scores", "gains", "hours")
    scores, gains, hours = (table(args.tables.with_name(f"{args.tables.name}_{name}.csv")) for name in names)
    save(widths_figure(table(args.tables.with_suffix(".csv"))), args.tables.with_suffix(".pdf"))
    save(scores_figure(scores, gains), args.tables.with_name(args.tables.name + "_scores.pdf"))
    save(hours_figure(hours), args.tables.with_name(args.tables.name + "_hours.pdf"))


if __name__ == "__main__":
    with plain_errors():
        main()
