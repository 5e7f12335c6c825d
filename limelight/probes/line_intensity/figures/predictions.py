"""What the network predicts, and how far that can be trusted."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from limelight.errors import problem
from limelight.evaluation.evaluation_file import Evaluation
from limelight.figures.common import (
    QUANTITIES,
    adds_to_maps,
    colour_and_marker,
    counts_axis,
    legend_name,
    networks_of,
    noise_words,
    paper_sigma_uk,
    published_bands,
)
from limelight.figures.style import COLOURS, COLUMN_IN, GUIDE, PAGE_IN, PUBLISHED, TRUTH, luminosity_axis, style
from limelight.probes.line_intensity.metrics import fractional_errors

DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)), "-.")  # of the truths, where tests have maps of several line models


def luminosity_function(evaluations: list[Evaluation], maps: Sequence[int]) -> Figure:
    """Predicted and true luminosity function of chosen test maps, and below each their ratio, under every test."""
    n_maps = min(len(e.truth) for e in evaluations)
    shown = [i for i in maps if i < n_maps]
    if not shown:
        raise problem("maps", f"maps {list(maps)}", f"test maps below {n_maps}", "choose others")
    first = evaluations[0]
    edges = 10**first.log10_lum_edges
    width = COLUMN_IN if len(shown) == 1 else PAGE_IN
    figure = Figure(figsize=(width, 3.9))
    axes = figure.subplots(2, len(shown), sharex=True, sharey="row", squeeze=False, height_ratios=(2.2, 1))
    for (top, bottom), i in zip(axes.T, shown, strict=True):
        for truth, dashes in zip(_distinct([e.truth[i] for e in evaluations]), DASHES, strict=False):
            top.stairs(truth, edges, color=TRUTH, lw=1.2, ls=dashes, baseline=None)
        if first.target["quantity"] in ("dn", "n_above"):  # the least any reader of one map could err by
            poisson = np.divide(
                1, np.sqrt(first.truth[i]), out=np.full(len(edges) - 1, np.nan), where=first.truth[i] > 0
            )
            bottom.fill_between(edges, *(_steps(1 + s * poisson) for s in (-1, 1)), step="post", color="0.88", lw=0)
        for k, e in enumerate(evaluations):
            kind = {**colour_and_marker(k), "lw": 1.0, "markevery": (k, max(len(evaluations), 3))}
            top.plot(e.luminosity_lsun, np.where(e.predicted[i] > 0, e.predicted[i], np.nan), **kind)
            bottom.plot(e.luminosity_lsun, 1 + fractional_errors(e.predicted[i], e.truth[i]), **kind)
        bottom.axhline(1, color=TRUTH, lw=0.8)
        bottom.set_ylim(0, 2)
        luminosity_axis(bottom, (first.log10_lum_edges[0], first.log10_lum_edges[-1]))
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
    if first.target["quantity"] in ("dn", "n_above"):
        handles.append(Patch(color="0.88", label=r"$\pm 1/\sqrt{N}$ of the truth"))
    figure.legend(handles=handles, loc="outside upper center", ncols=2 if len(shown) == 1 else min(len(handles), 5))
    return figure


def _distinct(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Tests on the same maps share one truth: draw it once."""
    return list({array.tobytes(): array for array in arrays}.values())


def _steps(values: np.ndarray) -> np.ndarray:
    """Values of bins as heights at all edges for step='post'."""
    return np.append(values, values[-1])


def error_bands(evaluations: list[Evaluation], maps: Sequence[int] = ()) -> Figure:
    """95 % band and median of (predicted − true)/true over all test maps, a panel a test, published bands over it."""
    columns = min(len(evaluations), 3)
    rows = math.ceil(len(evaluations) / columns)
    width = PAGE_IN if columns > 1 else COLUMN_IN * 1.25
    figure = Figure(figsize=(width, 0.9 + rows * (2.6 if columns > 1 else 3.0)))
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    tops = []
    labels = {}
    for k, (panel, e) in enumerate(zip(axes.flat, evaluations, strict=False)):
        edges, s = 10**e.log10_lum_edges, e.statistics
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
        luminosity_axis(panel, (e.log10_lum_edges[0], e.log10_lum_edges[-1]))
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


def _noise_beside_paper(evaluation: Evaluation) -> str:
    """The test's noise, and what it would be on the finer voxels that the published noise figures belong to."""
    words, sigma = noise_words(evaluation), paper_sigma_uk(evaluation)
    other = sigma > 0 and abs(sigma / np.max(evaluation.settings["noise_sigma_uk"]) - 1) > 0.02
    return f"{words}\n({sigma:.3g} µK on 256 × 256 × 100)" if other else words


def spread_ratio(evaluations: list[Evaluation], maps: Sequence[int] = ()) -> Figure:
    """Spread of the predictions over the spread of the truths, per bin and test: 1 reads the map, 0 repeats itself."""
    figure = Figure(figsize=(COLUMN_IN * 1.25, 3.2))
    panel = figure.subplots()
    first = evaluations[0]
    edges = 10**first.log10_lum_edges
    thin = np.all([e.statistics["mean_counts"] < 100 for e in evaluations], axis=0)
    if thin.any():
        panel.fill_between(
            edges, 0, 1, where=_steps(thin), step="post", color="0.93", lw=0, transform=panel.get_xaxis_transform()
        )
    for height, dashes in ((1.0, "-"), (0.8, (0, (4, 2)))):
        panel.axhline(height, color=GUIDE, lw=0.7, ls=dashes)
    for k, e in enumerate(evaluations):
        label = ", ".join(dict.fromkeys((legend_name(e, evaluations), noise_words(e))))
        panel.plot(
            e.luminosity_lsun,
            e.statistics["spread_ratio"],
            **colour_and_marker(k),
            markevery=(k, 3),
            lw=1.2,
            label=label,
        )
    top = max(np.nan_to_num(e.statistics["spread_ratio"]).max() for e in evaluations)
    panel.set_ylim(0, float(np.clip(1.1 * top, 1.2, 2.0)))  # bins with next to no sources may go through the roof
    panel.set_ylabel(r"$\sigma$(predicted) / $\sigma$(true)")
    luminosity_axis(panel, (first.log10_lum_edges[0], first.log10_lum_edges[-1]))
    handles, _ = panel.get_legend_handles_labels()
    if thin.any():
        handles.append(Patch(color="0.93", label="fewer than 100 sources a bin, in every test"))
    figure.legend(handles=handles, loc="outside upper center", ncols=1)
    return figure


def blank_map(evaluations: list[Evaluation], maps: Sequence[int] = ()) -> Figure:
    """What a network says of an empty map: it should say nothing; the mean of its training labels means it memorised."""
    shown = networks_of(evaluations)
    figure = Figure(figsize=(COLUMN_IN * 1.25 if len(shown) == 1 else PAGE_IN, 3.6))
    axes = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    handles = {}
    for panel, e in zip(axes, shown, strict=True):
        mid, low, high = (e.training["percentiles"][i] for i in (2, 0, 4))
        band = panel.fill_between(e.luminosity_lsun, low, high, color="0.87", lw=0)
        (middle,) = panel.plot(e.luminosity_lsun, mid, color="0.45", lw=1.2)
        (blank,) = panel.plot(e.luminosity_lsun, e.blank["clean"], color=TRUTH, lw=1.4)
        handles |= {"95 % of training maps": band, "their median": middle, "empty map, no noise": blank}
        for k, other in enumerate(evaluations):
            if other.network == e.network and adds_to_maps(other):
                median = np.median(other.blank["noisy"], axis=0)
                (line,) = panel.plot(other.luminosity_lsun, median, **colour_and_marker(k), markevery=(k, 3), lw=1.1)
                handles[f"empty map, {noise_words(other)}"] = line
        if len(shown) > 1:
            panel.set_title(e.network.replace("_", " "))
        counts = e.target["quantity"] in ("dn", "n_above")
        smallest = e.training["mean"][e.training["mean"] > 0].min()
        panel.set_yscale("symlog", linthresh=1 if counts else smallest, linscale=0.5)
        panel.set_ylim(bottom=-0.1 * (1 if counts else smallest))
        panel.axhline(0, color=GUIDE, lw=0.6)
        luminosity_axis(panel, (e.log10_lum_edges[0], e.log10_lum_edges[-1]))
    axes[0].set_ylabel(QUANTITIES[shown[0].target["quantity"]])
    figure.legend(list(handles.values()), list(handles), loc="outside upper center", ncols=2 if len(shown) > 1 else 1)
    return figure


def prediction(table: dict[str, np.ndarray], quantity: str, percentiles: np.ndarray, title: str) -> Figure:
    """The luminosity function read off one cube, over the range of the training maps' (percentiles (5, bins))."""
    with style():
        figure = Figure(figsize=(COLUMN_IN * 1.25, 3.2))
        panel = figure.subplots()
        lum, edges = table["luminosity_lsun"], np.append(table["log10_lum_lower"], table["log10_lum_upper"][-1])
        panel.fill_between(lum, percentiles[0], percentiles[4], color="0.87", lw=0, label="95 % of training maps")
        panel.stairs(table[quantity], 10**edges, baseline=None, color=COLOURS[0], lw=1.4, label="read off the cube")
        counts_axis(panel, quantity, [percentiles, table[quantity]])
        luminosity_axis(panel, (edges[0], edges[-1]))
        panel.set_title(title)
        figure.legend(loc="outside lower center", ncols=2)
    return figure
