"""Networks under many conditions: other line models, more noise, fewer training maps; and all of them as matrices."""

import itertools
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator

from limelight.errors import problem
from limelight.evaluation.evaluation_file import Evaluation
from limelight.figures.common import (
    MOST_ROWS,
    check_size,
    colour_and_marker,
    legend_name,
    line_style,
    stretched,
)
from limelight.figures.figure import ANY_TESTS
from limelight.figures.matrix import SUMMARY_MATRIX as ANY_MATRIX
from limelight.figures.matrix import matrices
from limelight.figures.predictions import spread_panel
from limelight.figures.style import COLOURS, GUIDE, PAGE_IN, TRUTH
from limelight.probes.line_intensity.figures.common import (
    BINS_AND_QUANTITY,
    counts_axis,
    edges_lsun,
    line_figure,
    luminosity_axis,
    maps_of_all,
    noise_words,
    within_reach,
)
from limelight.probes.line_intensity.published import paper_sigma_uk

DEX2, GAIN, LOWEST = r"mean square error [dex$^2$]", "always the mean / network", "lowest spread ratio"


def summary_matrix(evaluations: list[Evaluation], maps: Sequence[int] = ()) -> Figure:
    """Networks (rows) against tests (columns): error in dex, its gain over the training mean, and lowest spread ratio.

    The ratio uses bins of 100 sources or more. Classifiers have no such numbers; their cells stay empty.
    """
    names = {DEX2: "mse_dex", GAIN: "gain_dex"}
    numbers = {words: lambda e, name=name: e.totals.get(name, np.nan) for words, name in names.items()}
    return matrices(evaluations, numbers, {LOWEST: lambda e: e.totals.get("lowest_spread_ratio_100", np.nan)})


def spread_ratio(evaluations: list[Evaluation], maps: Sequence[int] = ()) -> Figure:
    """Spread of the predictions over the spread of the truths, per bin and test: 0 is a constant answer."""
    figure, panel = spread_panel(evaluations)
    first = evaluations[0]
    luminosity_axis(panel, first.axis)
    thin = np.all([e.statistics["mean_counts"] < 100 for e in evaluations], axis=0)
    handles = []
    for k, e in enumerate(evaluations):
        label = ", ".join(dict.fromkeys((legend_name(e, evaluations), noise_words(e))))
        handles.append(Line2D([], [], **colour_and_marker(k), lw=1.2, label=label))
    if thin.any():
        where, top = stretched(thin), panel.get_xaxis_transform()
        panel.fill_between(edges_lsun(first), 0, 1, where=where, step="post", color="0.93", lw=0, transform=top)
        handles.append(Patch(color="0.93", label="fewer than 100 sources per bin, in every test"))
    figure.legend(handles=handles, loc="outside upper center", ncols=1)
    return figure


def cross_predictions(evaluations: list[Evaluation], maps: Sequence[int]) -> Figure:
    """One row per network, one column per test (for a single test: per map): truth, prediction, median of the training maps.

    A prediction that follows the dashed median rather than the truth is remembered, not read.
    """
    networks, tests = (list(dict.fromkeys(getattr(e, key) for e in evaluations)) for key in ("network", "test"))
    check_size("tests", len(tests))
    check_size("networks", len(networks), MOST_ROWS)
    shown = maps_of_all(evaluations, maps)
    columns = [(test, i) for test in tests for i in (shown[:3] if len(tests) == 1 else shown[:1])]
    figure = Figure(figsize=(PAGE_IN, 0.8 + 1.75 * len(networks)))
    axes = figure.subplots(len(networks), len(columns), sharex=True, sharey=True, squeeze=False)
    for panel in axes.flat:
        panel.set_visible(False)
    for e, (j, (test, i)) in itertools.product(evaluations, enumerate(columns)):
        if e.test != test:
            continue
        panel = axes[networks.index(e.network), j]
        panel.set_visible(True)
        panel.stairs(e.truth[i], edges_lsun(e), color=TRUTH, lw=1.2, baseline=None)
        panel.plot(e.axis.centers, e.training["percentiles"][2], color=COLOURS[1], lw=1.1, ls=(0, (4, 1.5)))
        predicted = np.where(e.predicted[i] > 0, e.predicted[i], np.nan)
        panel.plot(e.axis.centers, predicted, **line_style(0), lw=1.0, markevery=3)
        luminosity_axis(panel, e.axis)
        panel.set_title(f"{e.network} on {e.test}, map {i}".replace("_", " "), fontsize=8)
        panel.label_outer()
    values = [e.truth[i] for e in evaluations] + [e.training["percentiles"][2] for e in evaluations]
    values += [within_reach(e.predicted[i], e.truth[i]) for e in evaluations]
    counts_axis(axes[0, 0], evaluations[0].target["quantity"], values)
    words = axes[0, 0].get_ylabel()
    axes[0, 0].set_ylabel("")
    figure.supylabel(words, fontsize=9.5)
    handles = [
        Line2D([], [], color=TRUTH, lw=1.2, label="true"),
        Line2D([], [], **line_style(0), lw=1.0, label="predicted"),
        Line2D([], [], color=COLOURS[1], lw=1.1, ls=(0, (4, 1.5)), label="median of its training maps"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


def noise_sweep(evaluations: list[Evaluation], maps: Sequence[int] = ()) -> Figure:
    """Error and lowest spread ratio against the test's noise, one line per network. Needs two or more fixed levels."""
    ranged = [e.test for e in evaluations if np.ndim(e.settings["noise_sigma_uk"])]
    levels = {e.settings["noise_sigma_uk"] for e in evaluations if e.test not in ranged}
    if ranged or len(levels) < 2:
        found = f"noise drawn from a range in {', '.join(ranged)}" if ranged else "one noise level"
        raise problem("noise_sweep", found, "tests of two or more fixed noise levels", "choose other tests")
    networks = list(dict.fromkeys(e.network for e in evaluations))
    figure = Figure(figsize=(PAGE_IN, 3.2))
    left, right = figure.subplots(1, 2)
    for k, network in enumerate(networks):
        own = sorted((e for e in evaluations if e.network == network), key=paper_sigma_uk)
        sigma = [paper_sigma_uk(e) for e in own]
        kind = {**line_style(k), "lw": 1.2, "label": network.replace("_", " ")}
        left.plot(sigma, [e.totals["mse_dex"] for e in own], **kind)
        mean = [e.totals["mse_mean_dex"] for e in own]
        left.plot(sigma, mean, color=kind["color"], lw=0.9, ls=":")
        right.plot(sigma, [e.totals["lowest_spread_ratio_100"] for e in own], **kind)
    noisy = sorted({paper_sigma_uk(e) for e in evaluations} - {0.0})
    for panel in (left, right):
        panel.set_xscale("symlog", linthresh=noisy[0], linscale=0.4)
        panel.set_xlim(left=-0.05 * noisy[0], right=1.3 * noisy[-1])
        panel.set_xlabel("test noise [µK, on voxels of 1.4°/256, 80 MHz]")
    left.set_yscale("log")
    left.set_ylabel(DEX2)
    right.set_ylabel("lowest spread ratio (bins ≥ 100)")
    right.axhline(1, color=GUIDE, lw=0.7)
    right.set_ylim(bottom=0)
    handles, _ = left.get_legend_handles_labels()
    handles.append(Line2D([], [], color=GUIDE, lw=0.9, ls=":", label="always the training mean"))
    figure.legend(handles=handles, loc="outside upper center", ncols=4)
    return figure


def map_scaling(evaluations: list[Evaluation], maps: Sequence[int] = ()) -> Figure:
    """Error against the number of training maps, one line per test. Needs at least two networks with different numbers."""
    counts = [e.settings["training_rows"] for e in evaluations]
    if not all(counts) or len(set(counts)) < 2:
        found = "an evaluation that does not say" if not all(counts) else f"{counts[0]} in all"
        expected = "networks trained on two or more numbers of maps"
        raise problem(
            "map_scaling: training maps", found, expected, "choose others (training.max_maps), or evaluate again"
        )
    figure = Figure(figsize=(PAGE_IN / 2 * 1.25, 3.2))
    panel = figure.subplots()
    for k, test in enumerate(dict.fromkeys(e.test for e in evaluations)):
        own = sorted((e for e in evaluations if e.test == test), key=lambda e: e.settings["training_rows"])
        words = ", ".join(dict.fromkeys((test.replace("_", " "), noise_words(own[0]))))
        x = [e.settings["training_rows"] for e in own]
        panel.plot(x, [e.totals["mse_dex"] for e in own], **line_style(k), lw=1.2, label=words)
        panel.plot(x, [e.totals["mse_mean_dex"] for e in own], color=line_style(k)["color"], lw=0.9, ls=":")
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xticks(sorted(set(counts)), [f"{n}" for n in sorted(set(counts))])
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_xlabel("training maps")
    panel.set_ylabel(DEX2)
    handles, _ = panel.get_legend_handles_labels()
    handles.append(Line2D([], [], color=GUIDE, lw=0.9, ls=":", label="always the training mean"))
    figure.legend(handles=handles, loc="outside upper center", ncols=1)
    return figure


SUMMARY_MATRIX = line_figure(summary_matrix, ANY_MATRIX.needs, "summary_matrix.rst", ANY_MATRIX.chapter)
SPREAD_RATIO = line_figure(
    spread_ratio, ANY_TESTS, "spread_ratio.rst", "Does it read its data?", same=BINS_AND_QUANTITY
)
CROSS_PREDICTIONS = line_figure(
    cross_predictions, ANY_TESTS, "cross_predictions.rst", "Comparisons", same=BINS_AND_QUANTITY, rows=True
)
NOISE_SWEEP = line_figure(
    noise_sweep, "evaluation files of tests with different noise", "noise_sweep.rst", "Comparisons"
)
MAP_SCALING = line_figure(
    map_scaling, "evaluation files of networks of different max_maps", "map_scaling.rst", "Comparisons"
)
