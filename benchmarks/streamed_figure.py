"""Figures of the tables of benchmarks.streamed: widths beside the rival's, and what simulations and features are worth.

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


def scores_figure(scores: list[dict]) -> Figure:
    """Left: the mean width over simulations learnt from. Right: nats over the prior, by noise."""
    with style():
        figure = Figure(figsize=(PAGE_IN, 2.6))
        left, right = figure.subplots(1, 2)
        whole = [r for r in scores if r["features"] == "all" and r["members"] == 3 and r["test"] == "prior"]
        for look, (network, label) in zip(COLOURS, {"comap": "60.6 µK", "quiet": "no noise"}.items(), strict=False):
            mine = [r for r in whole if r["network"] == network and r["kind"] == "quantiles"]
            mine = sorted(mine, key=lambda row: row["learnt_from"])
            x, y = ([row[key] for row in mine] for key in ("learnt_from", "pinball_dex"))
            left.errorbar(x, y, [row["pinball_error"] for row in mine], color=look, marker="o", label=label)
        left.set(xscale="log", yscale="log", xlabel="simulations", ylabel="pinball loss [dex]")
        left.legend()
        nats = [r for r in whole if r["kind"] == "mdn"]
        blind = next((row for row in nats if row["blind"] == "True"), None)
        bars = [row for row in nats if row is not blind]
        names = [str(row["network"]).replace("_", " ") for row in bars]
        if blind:
            right.barh(names, [r["log_score"] - blind["log_score"] for r in bars], color=COLOURS[2],
                       xerr=[r["log_score_error"] for r in bars], ecolor=TRUTH)  # fmt: skip
        right.set_xlabel("nats gained over the prior")
        return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path, required=True, help="tables of benchmarks.streamed, without .csv")
    parser.add_argument(
        "--rival", type=Path, required=True, metavar="MONEY.csv", help="table with the rival's intervals"
    )
    parser.add_argument("--output", type=Path, required=True, help="figures to write, without .png")
    args = parser.parse_args()
    scores = table(args.tables.with_name(args.tables.name + "_scores.csv"))
    save(widths_figure(table(args.tables.with_suffix(".csv")), table(args.rival)), args.output.with_suffix(".pdf"))
    save(scores_figure(scores), args.output.with_name(args.output.name + "_scores.pdf"))


if __name__ == "__main__":
    with plain_errors():
        main()
