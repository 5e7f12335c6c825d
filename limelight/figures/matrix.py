"""Many networks on many tests: matrices, and what noise and the number of maps do."""

import itertools
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from limelight.errors import problem
from limelight.evaluation.evaluation_file import Evaluation
from limelight.figures.common import counts_axis, line_style, noise_words, paper_sigma_uk
from limelight.figures.style import COLOURS, GUIDE, PAGE_IN, TRUTH, luminosity_axis
from limelight.probes.line_intensity.figures.compare import MOST_ROWS, check_size, within_reach

MATRIX_COLOURS = "viridis"  # its lightness grows evenly: the order of values survives print in grey
NUMBERS = {
    "mse_dex": r"mean square error [dex$^2$]",
    "gain_dex": "always the mean / network",
    "lowest_spread_ratio_100": "lowest spread ratio",
}


def summary_matrix(evaluations: list[Evaluation], maps: Sequence[int] = ()) -> Figure:
    """Networks (rows) against tests (columns): error, its gain over always answering the training mean, and spread ratio.

    A cell a pair; pairs that were not tested stay empty. "Trained on A, tested on B" where networks differ in line model.
    """
    networks, tests = (list(dict.fromkeys(getattr(e, key) for e in evaluations)) for key in ("network", "test"))
    figure = Figure(figsize=(PAGE_IN, 1.4 + 0.24 * len(networks) + 0.05 * max(map(len, tests))))
    axes = figure.subplots(1, 3, sharey=True)
    for panel, (name, words) in zip(axes, NUMBERS.items(), strict=True):
        table = np.full((len(networks), len(tests)), np.nan)
        for e in evaluations:
            table[networks.index(e.network), tests.index(e.test)] = e.totals[name]
        _matrix(panel, table, Normalize(0, 1) if name == "lowest_spread_ratio_100" else _log_norm(table))
        panel.set_xticks(range(len(tests)), [t.replace("_", " ") for t in tests], rotation=60, ha="right", fontsize=7.5)
        panel.set_yticks(range(len(networks)), [n.replace("_", " ") for n in networks], fontsize=7.5)
        panel.set_title(words, fontsize=8.5)
    axes[0].set_ylabel("network")
    figure.supxlabel("test", fontsize=9.5)
    return figure


def _log_norm(table: np.ndarray) -> LogNorm:
    """A logarithmic scale from the least to the largest value, a decade at least: like values look alike."""
    good = table[np.isfinite(table) & (table > 0)]
    low, high = (good.min(), good.max()) if len(good) else (0.1, 1.0)
    middle = np.sqrt(low * high)
    return LogNorm(min(low, middle / 10**0.5), max(high, middle * 10**0.5))


def _matrix(panel: Axes, table: np.ndarray, norm: Normalize) -> None:
    """Coloured cells with their numbers, dark on light or light on dark."""
    panel.imshow(np.ma.masked_invalid(table), norm=norm, cmap=MATRIX_COLOURS, aspect="auto", origin="upper")
    panel.tick_params(which="both", length=0)
    panel.minorticks_off()
    size = 7 if table.shape[1] <= 6 else 5.5
    for (i, j), value in np.ndenumerate(table):
        if np.isfinite(value):
            dark = float(norm(np.clip(value, norm.vmin, norm.vmax))) > 0.55
            words = _short(value)
            panel.text(j, i, words, ha="center", va="center", size=size, color=TRUTH if dark else "white")


def _short(value: float) -> str:
    """Two digits in at most five characters, so that they fit their cell: 0.65, 65, 6.5e3, .0065, 6e-4."""
    if 0.001 <= abs(value) < 0.1:
        return f"{value:.2g}".replace("0.", ".", 1)
    plain = f"{value:.0f}" if 10 <= abs(value) < 1000 else f"{value:.2g}"
    return plain if len(plain) <= 5 else f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")


def cross_predictions(evaluations: list[Evaluation], maps: Sequence[int]) -> Figure:
    """A row a network, a column a test (of a single test: a map): truth, prediction, and the median of the training maps.

    A prediction that follows the dashed median rather than the truth is remembered, not read.
    """
    networks, tests = (list(dict.fromkeys(getattr(e, key) for e in evaluations)) for key in ("network", "test"))
    check_size("tests", len(tests))
    check_size("networks", len(networks), MOST_ROWS)
    shown = [i for i in maps if all(i < len(e.truth) for e in evaluations)]
    if not shown:
        least = min(len(e.truth) for e in evaluations)
        raise problem("maps", f"maps {list(maps)}", f"test maps below {least}, which all tests have", "choose others")
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
        panel.stairs(e.truth[i], 10**e.log10_lum_edges, color=TRUTH, lw=1.2, baseline=None)
        panel.plot(e.luminosity_lsun, e.training["percentiles"][2], color=COLOURS[1], lw=1.1, ls=(0, (4, 1.5)))
        predicted = np.where(e.predicted[i] > 0, e.predicted[i], np.nan)
        panel.plot(e.luminosity_lsun, predicted, **line_style(0), lw=1.0, markevery=3)
        luminosity_axis(panel, (e.log10_lum_edges[0], e.log10_lum_edges[-1]))
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
    """Error and lowest spread ratio against the test's noise, a line a network. Fixed noise levels only, two at least."""
    ranged = [e.test for e in evaluations if isinstance(e.settings["noise_sigma_uk"], list)]
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
    left.set_ylabel(NUMBERS["mse_dex"])
    right.set_ylabel("lowest spread ratio (bins ≥ 100)")
    right.axhline(1, color=GUIDE, lw=0.7)
    right.set_ylim(bottom=0)
    handles, _ = left.get_legend_handles_labels()
    handles.append(Line2D([], [], color=GUIDE, lw=0.9, ls=":", label="always the training mean"))
    figure.legend(handles=handles, loc="outside upper center", ncols=4)
    return figure


def map_scaling(evaluations: list[Evaluation], maps: Sequence[int] = ()) -> Figure:
    """Error against the number of training maps, a line a test. Two networks with different numbers at least."""
    counts = [e.settings.get("training_maps", 0) for e in evaluations]
    if not all(counts) or len(set(counts)) < 2:
        found = "an evaluation that does not say" if not all(counts) else f"{counts[0]} in all"
        expected = "networks trained on two or more numbers of maps"
        raise problem(
            "map_scaling: training maps", found, expected, "choose others (training.max_maps), or evaluate again"
        )
    figure = Figure(figsize=(PAGE_IN / 2 * 1.25, 3.2))
    panel = figure.subplots()
    for k, test in enumerate(dict.fromkeys(e.test for e in evaluations)):
        own = sorted((e for e in evaluations if e.test == test), key=lambda e: e.settings["training_maps"])
        words = ", ".join(dict.fromkeys((test.replace("_", " "), noise_words(own[0]))))
        x = [e.settings["training_maps"] for e in own]
        panel.plot(x, [e.totals["mse_dex"] for e in own], **line_style(k), lw=1.2, label=words)
        panel.plot(x, [e.totals["mse_mean_dex"] for e in own], color=line_style(k)["color"], lw=0.9, ls=":")
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xticks(sorted(set(counts)), [f"{n}" for n in sorted(set(counts))])
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_xlabel("training maps")
    panel.set_ylabel(NUMBERS["mse_dex"])
    handles, _ = panel.get_legend_handles_labels()
    handles.append(Line2D([], [], color=GUIDE, lw=0.9, ls=":", label="always the training mean"))
    figure.legend(handles=handles, loc="outside upper center", ncols=1)
    return figure
