"""Figures of the report on one real map: null tests, and halos found again."""

import numpy as np
from matplotlib.figure import Figure

from limelight.figures.style import COLOURS, GUIDE, PAGE_IN, TRUTH, style
from limelight.probes.line_intensity.figures.common import luminosity_axis
from limelight.probes.line_intensity.figures.predictions import luminosity_bins
from limelight.probes.line_intensity.survey_report import MapReport, Reading

GROUPS = 4  # of luminosity bins, by colour


def nulls_figure(report: MapReport) -> Figure:
    """Upper ends of the 95 % intervals of maps without light, beside the prior's interval and the map's own."""
    with style():
        figure = Figure(figsize=(PAGE_IN, 3.2))
        left, right = figure.subplots(1, 2, sharey=True)
        x = report.reading.table["luminosity_lsun"]
        for axes, readings, title in (
            (left, report.nulls, "maps without light"),
            (right, [report.reading, *report.splits], "the map and its splits"),
        ):
            low, high = np.maximum(report.prior[[0, 4]], 0.25)
            axes.fill_between(x, low, high, color="0.88", lw=0, step="mid", label="prior, 95 %")
            for i, one in enumerate(readings):
                _interval(axes, x, one, COLOURS[i % len(COLOURS)], alone=len(readings) > 3)
            axes.set_yscale("log")
            axes.set_title(title)
            luminosity_axis(axes, luminosity_bins(report.reading.table))
            axes.legend(fontsize=7)
        left.set_ylabel(r"sources per bin $\mathrm{d}N$")
    return figure


def _interval(axes, x: np.ndarray, one: Reading, colour: str, alone: bool) -> None:
    low, middle, high = (np.maximum(one.table[name], 0.25) for name in ("dn_q2.5", "dn", "dn_q97.5"))
    if not alone:
        axes.fill_between(x, low, high, color=colour, alpha=0.2, lw=0, step="mid")
    axes.step(x, high if alone else middle, where="mid", color=colour, lw=1.0, label=one.name)


def injections_figure(report: MapReport) -> Figure:
    """Sources found again against sources added, and the slope in each bin."""
    with style():
        figure = Figure(figsize=(PAGE_IN, 3.2))
        left, right = figure.subplots(1, 2)
        found, x = report.injections, report.reading.table["luminosity_lsun"]
        for i, part in enumerate(np.array_split(np.arange(len(x)), GROUPS)):
            added, again = found.added[:, part].sum(axis=1), found.found[:, part].sum(axis=1)
            span = f"{x[part[0]]:.0e} to {x[part[-1]]:.0e}"
            left.plot(added, again, "o", color=COLOURS[i], label=f"{span} Lsun", ms=3)
        reach = found.added.sum(axis=1).max()
        left.plot([0, reach], [0, reach], color=TRUTH, lw=0.8)
        left.set_xscale("symlog", linthresh=10)
        left.set_yscale("symlog", linthresh=10)
        left.set_xlabel("sources added")
        left.set_ylabel("rise of the median answer")
        left.legend(fontsize=7)
        right.axhline(1, color=GUIDE, lw=0.8)
        right.step(x, found.slope, where="mid", color=COLOURS[0], label="answer")
        right.step(x, found.expected, ":", where="mid", color=COLOURS[0], label="of simulated maps")
        right.step(x, found.data_slope, where="mid", color=COLOURS[1], label="without the prior")
        right.legend(fontsize=7)
        right.set_ylim(-0.2, 2)
        right.set_ylabel("slope of found against added, in dex")
        luminosity_axis(right, luminosity_bins(report.reading.table))
    return figure
