"""Figures of the tables of benchmarks.streamed: widths beside the rival's, what features are worth, and hours.

example: python -m benchmarks.streamed_figure --tables docs/results/streamed --rival docs/results/money.csv
             --output docs/results/streamed
"""

import argparse
import csv
import itertools
from collections.abc import Iterable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from limelight.errors import plain_errors
from limelight.figures.style import COLOURS, PAGE_IN, PUBLISHED, TRUTH, save, style

HOURS, NOISE_UK = 6000, 60.6  # arXiv:1808.07487, on 1.5° × 1.5°; per voxel of arXiv:1905.10376
NOISES = {"none": "no noise", "comap": "60.6 µK per paper voxel", "season2": "95 µK per paper voxel"}
TESTS = {"prior": "over the prior", "fiducial": "at fiducial Li"}
FEWEST = 10  # sources a map that a bin is drawn for


def table(path: Path) -> list[dict]:
    """The rows of a CSV file, numbers as floats."""
    with open(path, encoding="utf-8", newline="") as file:
        return [{key: _number(value) for key, value in row.items()} for row in csv.DictReader(file)]


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def widths_figure(rows: list[dict], rival: list[dict]) -> Figure:
    """Width of the 95 % interval over the truth, per luminosity: columns noises, rows tests."""
    with style():
        figure = Figure(figsize=(PAGE_IN, 5.2))
        axes = figure.subplots(2, 3, sharex=True, sharey=True)
        for (i, test), (j, noise) in itertools.product(enumerate(TESTS), enumerate(NOISES)):
            here, panel = [row for row in rows if row["test"] == test], axes[i, j]
            mine = [row for row in here if row["noise"] == noise and row["method"] == "quantiles"]
            _line(panel, (r for r in mine if r["mean_known"] == "True"), "quantiles, mean known", color=COLOURS[0])
            unknown = [r for r in mine if r["mean_known"] == "False"]
            _line(panel, unknown, "quantiles, mean unknown", color=COLOURS[5], ls="--")
            other = [row for row in here if row["noise"] == noise and row["method"] == "mixture density"]
            _line(panel, (r for r in other if r["mean_known"] == "True"), "mixture density", color=COLOURS[2], lw=0.9)
            old = (r for r in rival if r["test"] == f"{test}_{noise}" and str(r["method"]).startswith("rival"))
            _line(panel, old, "rival, P(k) + VID", color=COLOURS[1])
            _line(panel, (r for r in here if r["method"] == "ideal"), "ideal: halos known", color=PUBLISHED, lw=0.9)
            panel.set(xscale="log", yscale="log", ylim=(0.01, 3))
            if i == 0:
                panel.set_title(NOISES[noise])
            else:
                panel.set_xlabel("$L$ [L$_\\odot$]")
            if j == 0:
                panel.set_ylabel(f"{TESTS[test]}\n95 % interval / truth")
        handles = {label: h for panel in axes.flat for h, label in zip(*panel.get_legend_handles_labels(), strict=True)}
        figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=3)
        return figure


def _line(panel: Axes, rows: Iterable[dict], label: str, **look) -> None:
    kept = [row for row in rows if row["mean_count"] >= FEWEST and row["width_95"] != ""]
    if kept:
        panel.plot([r["luminosity_lsun"] for r in kept], [r["width_95"] for r in kept], label=label, **look)


def scores_figure(gains: list[dict]) -> Figure:
    """Left: by how much convolutions lower the pinball loss, by network and test. Right: nats over the prior."""
    with style():
        figure = Figure(figsize=(PAGE_IN, 2.2))
        left, right = figure.subplots(1, 2)
        added = [r for r in gains if r["what"] == "convolutions over summaries" and r["kind"] == "quantiles"]
        networks = list(dict.fromkeys(str(r["network"]) for r in added))
        for i, test in enumerate(dict.fromkeys(str(r["test"]) for r in added)):
            here = [r for r in added if r["test"] == test]
            places = [networks.index(str(r["network"])) + 0.2 * (i - 1) for r in here]
            values, errors = ([100 * r[key] for r in here] for key in ("pinball_gain", "pinball_gain_error"))
            label = test.replace("_", " ")
            left.errorbar(values, places, xerr=errors, fmt="os^D"[i % 4], ms=4, color=COLOURS[i], label=label)
        left.axvline(0, color=TRUTH, lw=0.8)
        left.set(yticks=range(len(networks)), yticklabels=[name.replace("_", " ") for name in networks])
        left.set(ylim=(-0.6, len(networks) - 0.4), xlabel="% by which convolutions lower the pinball loss")
        left.legend(fontsize=6)
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
    parser.add_argument(
        "--rival", type=Path, required=True, metavar="MONEY.csv", help="table with the rival's intervals"
    )
    parser.add_argument("--output", type=Path, required=True, help="figures to write, without .png")
    args = parser.parse_args()
    gains, hours = (table(args.tables.with_name(f"{args.tables.name}_{name}.csv")) for name in ("gains", "hours"))
    save(widths_figure(table(args.tables.with_suffix(".csv")), table(args.rival)), args.output.with_suffix(".pdf"))
    save(scores_figure(gains), args.output.with_name(args.output.name + "_scores.pdf"))
    save(hours_figure(hours), args.output.with_name(args.output.name + "_hours.pdf"))


if __name__ == "__main__":
    with plain_errors():
        main()
