"""Predictions for maps without any source."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from limelight.evaluation.evaluation_file import Evaluation
from limelight.figures.common import colour_and_marker, networks_of, panel_grid
from limelight.figures.figure import ANY_TESTS, ONE_EACH
from limelight.figures.style import COLOURS, COLUMN_IN, GUIDE, PAGE_IN, TRUTH
from limelight.probes.line_intensity.figures.common import (
    BINS_AND_QUANTITY,
    COUNTS,
    QUANTITIES,
    adds_to_maps,
    line_figure,
    luminosity_axis,
    noise_words,
)

CHAPTER = "Does it read its data?"


def blank_map(evaluations: list[Evaluation], maps: Sequence[int] = ()) -> Figure:
    """Predictions for an empty map: they should be zero; a network that memorised predicts the training mean."""
    shown = networks_of(evaluations)
    figure = Figure(figsize=(COLUMN_IN * 1.25 if len(shown) == 1 else PAGE_IN, 3.6))
    axes = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    handles = {}
    for panel, e in zip(axes, shown, strict=True):
        mid, low, high = (e.training["percentiles"][i] for i in (2, 0, 4))
        band = panel.fill_between(e.axis.centers, low, high, color="0.87", lw=0)
        (middle,) = panel.plot(e.axis.centers, mid, color="0.45", lw=1.2)
        (blank,) = panel.plot(e.axis.centers, e.blank["clean"], color=TRUTH, lw=1.4)
        handles |= {"95 % of training maps": band, "their median": middle, "empty map, no noise": blank}
        for k, other in enumerate(evaluations):
            if other.network == e.network and adds_to_maps(other):
                median = np.median(other.blank["noisy"], axis=0)
                (line,) = panel.plot(other.axis.centers, median, **colour_and_marker(k), markevery=(k, 3), lw=1.1)
                handles[f"empty map, {noise_words(other)}"] = line
        if len(shown) > 1:
            panel.set_title(e.network.replace("_", " "))
        counts = e.target["quantity"] in COUNTS
        smallest = e.training["mean"][e.training["mean"] > 0].min()
        panel.set_yscale("symlog", linthresh=1 if counts else smallest, linscale=0.5)
        panel.set_ylim(bottom=-0.1 * (1 if counts else smallest))
        panel.axhline(0, color=GUIDE, lw=0.6)
        luminosity_axis(panel, e.axis)
    axes[0].set_ylabel(QUANTITIES[shown[0].target["quantity"]])
    figure.legend(list(handles.values()), list(handles), loc="outside upper center", ncols=2 if len(shown) > 1 else 1)
    return figure


def blank_maps(evaluations: list[Evaluation], maps: Sequence[int] = ()) -> Figure:
    """Predictions of several networks for a noiseless empty map, over 95 % of their training maps; one panel per network."""
    shown = networks_of(evaluations)
    figure = Figure(figsize=(PAGE_IN, 0.6 + 2.2 * -(-len(shown) // 3)))
    panels = panel_grid(figure, len(shown), sharex=True, sharey=True)
    for k, (panel, e) in enumerate(zip(panels, shown, strict=True)):
        p = e.training["percentiles"]
        panel.fill_between(e.axis.centers, p[0], p[4], color="0.87", lw=0, label="95 % of training maps")
        panel.plot(e.axis.centers, p[2], color="0.45", lw=1.0, label="their median")
        blank = np.asarray(e.blank["clean"])
        panel.plot(e.axis.centers, blank, color=COLOURS[1], marker="s", markevery=3, lw=1.2, label="empty map")
        panel.axhline(0, color=GUIDE, lw=0.6)
        luminosity_axis(panel, e.axis)
        panel.set_title(e.network.replace("_", " "))
        if k % 3 == 0:
            panel.set_ylabel(QUANTITIES[e.target["quantity"]])
        if k + 3 < len(shown):
            panel.set_xlabel("")
    smallest = min(1.0, *(float(e.training["mean"][e.training["mean"] > 0].min(initial=1.0)) for e in shown))
    foot = 1.0 if shown[0].target["quantity"] in COUNTS else smallest
    panels[0].set_yscale("symlog", linthresh=foot, linscale=0.5)
    panels[0].set_ylim(bottom=-0.1 * foot)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


BLANK_MAP = line_figure(blank_map, ANY_TESTS, "blank_map.rst", CHAPTER, same=BINS_AND_QUANTITY)
BLANK_MAPS = line_figure(blank_maps, ONE_EACH, "blank_maps.rst", CHAPTER, same=BINS_AND_QUANTITY)
