"""Calibration of a posterior's intervals, and the information they add to the prior."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from limelight.figures.common import output_axis, over_outputs
from limelight.figures.style import COLOURS, PAGE_IN, TRUTH, style
from limelight.inference.intervals import Intervals

BANDS = {0.68: COLOURS[0], 0.95: COLOURS[1]}
SHOWN_COUNT = 1.0  # sources per row of data that a bin of counts needs to be drawn


def calibration_figure(rows: list[dict], arrays: dict, result: Intervals, title: str) -> Figure:
    """Coverage and information gained per output, and how ranks and TARP shares depart from uniform.

    rows, arrays: the output of inference.calibration_table.calibration_rows for the result.
    """
    axis, count = result.axis, result.truth.shape[1]
    word, least = "bin" if axis.edges else "output", SHOWN_COUNT if result.counts else -np.inf
    bins = [row for row in rows if isinstance(row["bin"], int) and row["mean_truth"] >= least]

    def drawn(name: str) -> tuple[np.ndarray, np.ndarray]:
        values = np.full(count, np.nan)
        values[[row["bin"] for row in bins]] = [row.get(name, np.nan) for row in bins]
        return over_outputs(axis, values)

    with style():
        figure = Figure(figsize=(PAGE_IN, 4.6))
        (cover, gain), (rank, together) = figure.subplots(2, 2)
        for level, colour in BANDS.items():
            percent = f"{100 * level:.0f}"
            error = bins[0][f"error_{percent}"] if bins and f"error_{percent}" in bins[0] else 0.0
            cover.axhspan(level - 2 * error, level + 2 * error, color=colour, alpha=0.15, lw=0)
            cover.axhline(level, color=colour, lw=0.8)
            cover.plot(*drawn(f"covered_{percent}"), color=colour, marker="o", lw=1.0, label=f"{percent} % intervals")
        cover.set_ylim(0.4, 1.02)
        cover.set_ylabel("share of truths inside")
        cover.legend(loc="lower left")
        gain.plot(*drawn("gain_nats"), color=COLOURS[2], marker="s", lw=1.0)
        gain.axhline(0, color=TRUTH, lw=0.8)
        gain.set_ylabel("gained over the prior [nats]")
        for axes in (cover, gain):
            output_axis(axes, axis, count)
        if "rank" in arrays and arrays["filled"].any():
            single = [(f"ranks of single {word}s", arrays["rank"][:, i]) for i in np.flatnonzero(arrays["filled"])]
            _departure(rank, single)
            _departure(together, [(f"all {word}s: ellipsoid", arrays["joint"]), (f"all {word}s: TARP", arrays["tarp"])])
        rank.set_ylabel("share below − credibility")
        for axes, words in ((rank, f"ranks, {word} by {word}"), (together, f"all {word}s together")):
            axes.set_xlabel("credibility")
            axes.set_title(words)
        figure.suptitle(title, fontsize=9.5)
        return figure


def _departure(axes: Axes, shares: list[tuple[str, np.ndarray]]) -> None:
    """Cumulative share minus the uniform one, with the band that contains 95 % of calibrated ones at each point."""
    grid = np.linspace(0, 1, 201)
    m = min(len(values) for _, values in shares)
    band = 2 * np.sqrt(grid * (1 - grid) / m)
    axes.fill_between(grid, -band, band, color="0.9", lw=0)
    axes.axhline(0, color=TRUTH, lw=0.8)
    many = len(shares) > len(COLOURS)
    for k, (label, values) in enumerate(shares):
        if np.isnan(values).any():  # TARP of one row of data
            continue
        line = np.searchsorted(np.sort(values), grid, side="right") / len(values) - grid
        kind = (
            {"color": COLOURS[0], "lw": 0.5, "alpha": 0.5} if many else {"color": COLOURS[k], "lw": 1.2, "label": label}
        )
        axes.plot(grid, line, **kind)
    if not many:
        axes.legend(loc="best")
    axes.set_xlim(0, 1)
