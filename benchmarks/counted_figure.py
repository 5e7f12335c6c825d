"""The table of benchmarks.counted as a figure: widths of 95 % intervals, by how many simulations heads learnt from.

example: python -m benchmarks.counted_figure --tables docs/results/counting
"""

import argparse
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.streamed_figure import FEWEST, TESTS, table
from limelight.errors import plain_errors
from limelight.figures.style import COLOURS, PAGE_IN, PUBLISHED, save, style

PANELS = {  # title: noise, whether heads know the mean
    "60.6 µK, mean unknown": ("comap", "False"),
    "60.6 µK, mean known": ("comap", "True"),
    "no noise": ("none", "True"),
}
LINES = {":": "1536", "--": "6144", "-": ""}  # by how many simulations heads learnt from; the last: from all


def widths_over_simulations(rows: list[dict]) -> Figure:
    """Widths of 95 % intervals over the truth: rows tests, columns noises; on the rival's maps where it has sampled some."""
    with style():
        figure = Figure(figsize=(PAGE_IN, 4.7))
        axes = figure.subplots(len(TESTS), len(PANELS), sharex=True, sharey=True)
        for line, (test, name) in zip(axes, TESTS.items(), strict=True):
            here = [row for row in rows if row["test"] == test and row["mean_count"] >= FEWEST]
            for panel, (title, (noise, known)) in zip(line, PANELS.items(), strict=True):
                of_noise = [row for row in here if row["noise"] == noise]
                _heads(panel, [row for row in of_noise if row["mean_known"] == known])
                rival = [row for row in of_noise if str(row["method"]).startswith("rival")]
                _line(panel, rival, "rival", color=COLOURS[1])
                ideal = [row for row in here if row["method"] == "ideal"]
                _line(panel, ideal, "ideal: halos known", color=PUBLISHED, lw=0.9)
                panel.set(xscale="log", yscale="log", ylim=(0.015, 3))
                if test == next(iter(TESTS)):
                    panel.set_title(title)
                else:
                    panel.set_xlabel("$L$ [L$_\\odot$]")
            line[0].set_ylabel(f"{name}\n95 % interval / truth")
        handles = {label: h for panel in axes.flat for h, label in zip(*panel.get_legend_handles_labels(), strict=True)}
        figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=3)
        return figure


def _heads(panel: Axes, rows: list[dict]) -> None:
    for look, number in LINES.items():
        some = f", {number} simulations" if number else ""
        mine = [row for row in rows if row["method"] == f"quantiles{some}, recalibrated"]
        _line(panel, mine, f"heads{some or ', all simulations'}", color=COLOURS[0], ls=look)


def _line(panel: Axes, rows: list[dict], label: str, **look) -> None:
    if rows:
        widths = [row["width_95"] if row["shared_width_95"] == "" else row["shared_width_95"] for row in rows]
        panel.plot([row["luminosity_lsun"] for row in rows], widths, label=label, **look)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path, required=True, help="tables of benchmarks.counted, without .csv")
    path = parser.parse_args().tables
    save(widths_over_simulations(table(path.with_suffix(".csv"))), path.with_suffix(".pdf"))


if __name__ == "__main__":
    with plain_errors():
        main()
