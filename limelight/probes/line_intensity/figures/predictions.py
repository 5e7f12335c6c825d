"""Predictions of a network, and their errors."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from limelight.data.axes import OutputAxis
from limelight.evaluation.evaluation_file import Evaluation
from limelight.figures.common import colour_and_marker, legend_name, stretched
from limelight.figures.figure import ANY_TESTS
from limelight.figures.style import COLOURS, COLUMN_IN, GUIDE, PAGE_IN, PUBLISHED, TRUTH, style
from limelight.probes.line_intensity.columns import incomplete
from limelight.probes.line_intensity.figures.common import (
    BINS_AND_QUANTITY,
    COUNTS,
    counts_axis,
    edges_lsun,
    line_figure,
    luminosity_axis,
    maps_of_all,
    noise_words,
)
from limelight.probes.line_intensity.metrics import fractional_errors
from limelight.probes.line_intensity.published import CNN, MCMC, paper_sigma_uk, published_bands

DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)), "-.")  # of the truths, where tests have maps of several line models


def luminosity_function(evaluations: list[Evaluation], maps: Sequence[int]) -> Figure:
    """Predicted and true luminosity function of chosen test maps, and below each their ratio, under every test."""
    shown = maps_of_all(evaluations, maps)
    first = evaluations[0]
    edges = edges_lsun(first)
    width = COLUMN_IN if len(shown) == 1 else PAGE_IN
    figure = Figure(figsize=(width, 3.9))
    axes = figure.subplots(2, len(shown), sharex=True, sharey="row", squeeze=False, height_ratios=(2.2, 1))
    for (top, bottom), i in zip(axes.T, shown, strict=True):
        for truth, dashes in zip(_distinct([e.truth[i] for e in evaluations]), DASHES, strict=False):
            top.stairs(truth, edges, color=TRUTH, lw=1.2, ls=dashes, baseline=None)
        if first.target["quantity"] in COUNTS:  # the smallest possible error from one map
            poisson = np.divide(
                1, np.sqrt(first.truth[i]), out=np.full(len(edges) - 1, np.nan), where=first.truth[i] > 0
            )
            bottom.fill_between(edges, *(stretched(1 + s * poisson) for s in (-1, 1)), step="post", color="0.88", lw=0)
        for k, e in enumerate(evaluations):
            kind = {**colour_and_marker(k), "lw": 1.0, "markevery": (k, max(len(evaluations), 3))}
            top.plot(e.axis.centers, np.where(e.predicted[i] > 0, e.predicted[i], np.nan), **kind)
            bottom.plot(e.axis.centers, 1 + fractional_errors(e.predicted[i], e.truth[i]), **kind)
        bottom.axhline(1, color=TRUTH, lw=0.8)
        bottom.set_ylim(0, 2)
        luminosity_axis(bottom, first.axis)
        top.set_title(f"test map {i}")
    counts_axis(
        axes[0, 0],
        first.target["quantity"],
        [e.truth[shown] for e in evaluations] + [e.predicted[shown] for e in evaluations],
    )
    axes[1, 0].set_ylabel("predicted / true")
    models = list(dict.fromkeys(e.settings["line_model"]["name"] for e in evaluations))
    handles = [
        Line2D([], [], color=TRUTH, lw=1.2, ls=dashes, label="true" + (f", {model}" if len(models) > 1 else ""))
        for model, dashes in zip(models, DASHES, strict=False)
    ]
    handles += [
        Line2D([], [], **colour_and_marker(k), lw=1.0, label=legend_name(e, evaluations))
        for k, e in enumerate(evaluations)
    ]
    if first.target["quantity"] in COUNTS:
        handles.append(Patch(color="0.88", label=r"$\pm 1/\sqrt{N}$ of the truth"))
    figure.legend(handles=handles, loc="outside upper center", ncols=2 if len(shown) == 1 else min(len(handles), 5))
    return figure


def _distinct(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Tests on the same maps share one truth: draw it once."""
    return list({array.tobytes(): array for array in arrays}.values())


def error_bands(evaluations: list[Evaluation], maps: Sequence[int] = ()) -> Figure:
    """95 % band and median of (predicted − true)/true over all test maps, one panel per test, with published bands."""
    columns = min(len(evaluations), 3)
    rows = math.ceil(len(evaluations) / columns)
    width = PAGE_IN if columns > 1 else COLUMN_IN * 1.25
    figure = Figure(figsize=(width, 0.9 + rows * (2.6 if columns > 1 else 3.0)))
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    tops = []
    labels = {}
    for k, (panel, e) in enumerate(zip(axes.flat, evaluations, strict=False)):
        edges, s = edges_lsun(e), e.statistics
        colour = colour_and_marker(k)["color"]
        enough = s["n_used"] >= min(20, len(e.truth) / 4)  # a 95 % range of fewer maps says nothing
        names = ("p2.5", "p97.5", "p50", "two_sigma_lower", "two_sigma_upper")
        low, high, median, *two_sigma = (np.where(enough, s[name], np.nan) for name in names)
        panel.stairs(high, edges, baseline=low, fill=True, color=colour, alpha=0.3, lw=0)
        panel.stairs(median, edges, baseline=None, color=colour, lw=1.4)
        for side in two_sigma:
            panel.stairs(side, edges, baseline=None, color=colour, lw=0.9, ls=(0, (1, 1)))
        for label, luminosity, lower, upper in published_bands(e):
            kind = labels.setdefault(label, {"color": PUBLISHED, "ls": ("--", "-.", (0, (5, 1)))[len(labels) % 3]})
            for bound in (lower, upper):
                panel.plot(luminosity, bound, lw=1.0, **kind)
        tops.append(np.nan_to_num(np.r_[high, two_sigma[1]]))
        panel.axhline(0, color=GUIDE, lw=0.6)
        luminosity_axis(panel, e.axis)
        name, noise = legend_name(e, evaluations), _noise_beside_paper(e)
        title = f"{name}, {len(e.truth)} maps" + (f"\n{noise}" if noise != name else "")
        panel.set_title(title, fontsize=8.5)
    axes[0, 0].set_ylim(-1.05, float(np.clip(1.1 * np.percentile(tops, 98), 1.2, 3.0)))
    for panel in axes.flat[len(evaluations) :]:
        panel.set_axis_off()
    for row in axes:
        row[0].set_ylabel("(predicted − true) / true")
    grey = "0.45"
    handles = [
        Patch(color=grey, alpha=0.4, lw=0, label="95 % of test maps"),
        Line2D([], [], color=grey, lw=1.4, label="median"),
        Line2D([], [], color=grey, lw=0.9, ls=(0, (1, 1)), label=r"$\pm 2\sigma$ about the truth"),
    ]
    handles += [Line2D([], [], lw=1.0, label=label, **kind) for label, kind in labels.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=2 if columns > 1 else 1, fontsize=8)
    return figure


LUMINOSITY_FUNCTION = line_figure(
    luminosity_function, ANY_TESTS, "luminosity_function.rst", "Predictions", same=BINS_AND_QUANTITY, rows=True
)
ERROR_BANDS = line_figure(
    error_bands,
    ANY_TESTS,
    "error_bands.rst",
    "Error bars",
    same=BINS_AND_QUANTITY,
    tables=(CNN, MCMC),
)


def _noise_beside_paper(evaluation: Evaluation) -> str:
    """The test's noise, and the same noise on the finer voxels of the published numbers."""
    words, sigma = noise_words(evaluation), paper_sigma_uk(evaluation)
    other = sigma > 0 and abs(sigma / np.max(evaluation.settings["noise_sigma_uk"]) - 1) > 0.02
    return f"{words}\n({sigma:.3g} µK on 256 × 256 × 100)" if other else words


def prediction(table: dict[str, np.ndarray], quantity: str, percentiles: np.ndarray, title: str) -> Figure:
    """The luminosity function read off one cube, over that of the training maps: percentiles (5, bins)."""
    with style():
        figure = Figure(figsize=(COLUMN_IN * 1.25, 3.2))
        panel = figure.subplots()
        lum, axis = table["luminosity_lsun"], luminosity_bins(table)
        panel.fill_between(lum, percentiles[0], percentiles[4], color="0.87", lw=0, label="95 % of training maps")
        panel.stairs(
            table[quantity],
            10 ** np.asarray(axis.edges),
            baseline=None,
            color=COLOURS[0],
            lw=1.4,
            label="read off the cube",
        )
        shade_incomplete(panel, table)
        counts_axis(panel, quantity, [percentiles, table[quantity]])
        luminosity_axis(panel, axis)
        panel.set_title(title)
        figure.legend(loc="outside lower center", ncols=2)
    return figure


def posterior_figure(
    table: dict[str, np.ndarray], title: str, warning: str = "", rivals: dict[str, dict[str, np.ndarray]] | None = None
) -> Figure:
    """A map's luminosity function with its 68 and 95 % intervals; table: of apply.posterior_table.

    rivals: tables of the same map by classical rivals, by name, which are drawn as a median and the ends of their 95 %.
    """
    with style():
        figure = Figure(figsize=(4.2, 3.4), layout="none")  # a third of the time it takes is the layout's
        axes = figure.add_axes((0.13, 0.14, 0.84, 0.79))
        x = table["luminosity_lsun"]
        foot = 0.5
        for low, high, shade, label in (("dn_q2.5", "dn_q97.5", 0.2, "95 %"), ("dn_q16", "dn_q84", 0.4, "68 %")):
            band = [np.maximum(table[name], foot / 2) for name in (low, high)]
            axes.fill_between(x, *band, color=COLOURS[0], alpha=shade, lw=0, label=label, step="mid")
        axes.step(x, np.maximum(table["dn"], foot / 2), where="mid", color=COLOURS[0], lw=1.2, label="median")
        for colour, (name, other) in zip(COLOURS[1:], (rivals or {}).items(), strict=False):
            for column, line, label in (("dn", "-", name), ("dn_q2.5", ":", f"{name}, 95 %"), ("dn_q97.5", ":", None)):
                axes.step(x, np.maximum(other[column], foot / 2), line, where="mid", color=colour, lw=1, label=label)
        shade_incomplete(axes, table)
        axes.set_yscale("log")
        axes.set_ylim(foot, 3 * max(table["dn_q97.5"].max(), 1))
        axes.set_ylabel(r"sources per bin $\mathrm{d}N$")
        luminosity_axis(axes, luminosity_bins(table))
        axes.legend(loc="upper right", title=warning or None)
        axes.set_title(title, color=GUIDE)
        return figure


def shade_incomplete(axes: Axes, table: dict[str, np.ndarray]) -> None:
    """Hatch the bins in which the training catalogues miss sources, so that counts are lower limits."""
    for i in np.flatnonzero(incomplete(table)):
        low, high = (10 ** table[f"log10_lum_{end}"][i] for end in ("lower", "upper"))
        label = "lower limits" if i == np.flatnonzero(incomplete(table))[0] else None
        axes.axvspan(low, high, facecolor="none", edgecolor="0.8", hatch="////", lw=0, zorder=0, label=label)


def luminosity_bins(table: dict[str, np.ndarray]) -> OutputAxis:
    """The luminosity bins of a table of limelight.probes.line_intensity.apply."""
    edges = np.append(table["log10_lum_lower"], table["log10_lum_upper"][-1])
    return OutputAxis("luminosity", "Lsun", log10=True, edges=tuple(edges.tolist()))
