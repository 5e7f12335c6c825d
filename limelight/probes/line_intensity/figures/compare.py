"""Several networks or tests compared: single maps, 95 % bands, errors per bin."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from limelight.evaluation.evaluation_file import Evaluation
from limelight.figures.common import MOST_ROWS, check_size, line_style, short_names
from limelight.figures.figure import ANY_TESTS
from limelight.figures.style import COLUMN_IN, GUIDE, PAGE_IN, PUBLISHED, TRUTH
from limelight.probes.line_intensity.figures.common import (
    counts_axis,
    edges_lsun,
    in_quantity,
    line_figure,
    luminosity_axis,
    maps_of_all,
    noise_words,
    within_reach,
)
from limelight.probes.line_intensity.metrics import fractional_errors, fractional_statistics, log10_1p
from limelight.probes.line_intensity.published import CNN, MCMC, paper_sigma_uk, published_bands, published_mcmc

FEW_MAPS = 40  # section 7 of the notes takes its variance over so many maps


def compare_predictions(evaluations: list[Evaluation], maps: Sequence[int]) -> Figure:
    """Several networks on the same test maps: prediction, its ratio to the truth, and the ratio of the logarithms.

    One column per map, or per line model where tests have several (the first chosen map of each). All are shown in the first
    one's quantity.
    """
    first = evaluations[0]
    name, edges = first.target["quantity"], edges_lsun(first)
    groups = _same_truth(evaluations)
    alone = all(len({e.network for e in group}) == len(group) for group in groups)  # its column says which test it is
    key = (lambda e: e.network) if alone else id
    lines = list(dict.fromkeys(map(key, evaluations)))
    shown = maps_of_all(evaluations, maps)
    columns = [(group, i) for group in groups for i in (shown if len(groups) == 1 else shown[:1])]
    check_size("maps or line models", len(columns))
    figure = Figure(figsize=(COLUMN_IN * 1.25 if len(columns) == 1 else PAGE_IN, 5.4))
    axes = figure.subplots(3, len(columns), sharex=True, sharey="row", squeeze=False, height_ratios=(2.2, 1, 1))
    values, ratios, logs = [], [], []
    for panels, (group, i) in zip(axes.T, columns, strict=True):
        truth = in_quantity(group[0], group[0].truth, name)[i]
        panels[0].stairs(truth, edges, color=TRUTH, lw=1.3, baseline=None)
        values.append(truth)
        for e in group:
            k = lines.index(key(e))
            kind = {**line_style(k), "lw": 1.0, "markevery": (k % 4, 4)}
            predicted = in_quantity(e, e.predicted, name)[i]
            panels[0].plot(e.axis.centers, np.where(predicted > 0, predicted, np.nan), **kind)
            ratios.append(1 + fractional_errors(predicted, truth))
            logs.append(log_ratio(predicted, truth))
            panels[1].plot(e.axis.centers, ratios[-1], **kind)
            panels[2].plot(e.axis.centers, logs[-1], **kind)
            values.append(within_reach(predicted, truth))
        for panel in panels[1:]:
            panel.axhline(1, color=TRUTH, lw=0.8)
        luminosity_axis(panels[2], first.axis)
        model = f", {group[0].settings['line_model']['name']}" if len(groups) > 1 else ""
        panels[0].set_title(f"test map {i}{model}")
    counts_axis(axes[0, 0], name, values)
    for panel, shares, words in ((axes[1, 0], ratios, "ratio"), (axes[2, 0], logs, r"ratio of $\log_{10}$")):
        panel.set_ylim(*_about_one(np.concatenate(shares)))
        panel.set_ylabel(words)
    handles = [Line2D([], [], color=TRUTH, lw=1.3, label="true")]
    words = [name.replace("_", " ") for name in lines] if alone else short_names(evaluations)
    handles += [Line2D([], [], **line_style(k), lw=1.0, label=label) for k, label in enumerate(words)]
    figure.legend(handles=handles, loc="outside upper center", ncols=2 if len(columns) == 1 else 4)
    return figure


def _about_one(ratios: np.ndarray) -> tuple[float, float]:
    """Limits that show most ratios well: 1 ± 4 times the spread of 68 % of them, between 2 % and 100 %."""
    off = np.abs(ratios[np.isfinite(ratios)] - 1)
    reach = float(np.clip(4 * np.percentile(off, 68), 0.02, 1)) if len(off) else 1.0
    return 1 - reach, 1 + reach


def log_ratio(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """log10 predicted / log10 truth, the ratio y of the notes' eq. 2; NaN where either is not positive or truth is 1."""
    fine = (predicted > 0) & (truth > 0) & (truth != 1)
    logs = [np.log10(np.where(fine, x, 10.0)) for x in (predicted, truth)]
    return np.where(fine, logs[0] / logs[1], np.nan)


def compare_bands(evaluations: list[Evaluation], maps: Sequence[int] = ()) -> Figure:
    """95 % bands of several networks, one column per test: ± 2σ about the truth over 40 maps, and percentiles over all maps.

    In grey the published CNN's band of the nearest scenario and, with Li maps whatever their noise, the published MCMC's.
    Over 40 maps or fewer only the first row is drawn.
    """
    tests = list(dict.fromkeys(e.test for e in evaluations))
    check_size("tests", len(tests))
    networks = list(dict.fromkeys(e.network for e in evaluations))
    name = evaluations[0].target["quantity"]
    rows = 1 if max(len(e.truth) for e in evaluations) <= FEW_MAPS else 2
    size = (COLUMN_IN * 1.25 if len(tests) == 1 else PAGE_IN, 0.9 + 2.5 * rows)
    figure = Figure(figsize=size)
    axes = figure.subplots(rows, len(tests), sharex=True, sharey=True, squeeze=False)
    published, tops = {}, []
    for e in evaluations:
        column, k = axes[:, tests.index(e.test)], networks.index(e.network)
        predicted, truth = (in_quantity(e, values, name) for values in (e.predicted, e.truth))
        few = np.unique(
            np.linspace(0, len(truth) - 1, min(FEW_MAPS, len(truth))).astype(int)
        )  # spread over light-cones
        for panel, rows_used, ends in zip(
            column, (few, slice(None)), (("two_sigma_lower", "two_sigma_upper"), ("p2.5", "p97.5")), strict=False
        ):
            low, high = _band(predicted[rows_used], truth[rows_used], ends)
            for side in (low, high):
                panel.plot(e.axis.centers, side, **line_style(k), lw=1.1, markevery=(k % 4, 4))
            if k == 0:
                panel.fill_between(e.axis.centers, low, high, color=line_style(k)["color"], alpha=0.12, lw=0)
            tops.append(high)
            beside = [*published_bands(e), *([published_mcmc()] if e.settings["line_model"]["model"] == "li" else [])]
            for label, luminosity, *sides in beside:
                kind = published.setdefault(
                    label, {"color": PUBLISHED, "ls": ("--", "-.", (0, (1, 1.2)))[len(published) % 3]}
                )
                for side in sides:
                    panel.plot(luminosity, side, lw=1.2, **kind)
    axes[0, 0].set_ylim(-1.05, float(np.clip(1.1 * np.nanpercentile(np.concatenate(tops), 97), 1.2, 3)))
    for column, test in zip(axes.T, tests, strict=True):
        e = next(e for e in evaluations if e.test == test)
        column[0].set_title(_test_words(e))
        luminosity_axis(column[-1], e.axis)
    for panel in axes.flat:
        panel.axhline(0, color=GUIDE, lw=0.6)
    for row, words in zip(axes[:, 0], (rf"{FEW_MAPS} maps: $\pm 2\sigma$", "all maps: 95 %"), strict=False):
        row.set_ylabel(f"(predicted − true) / true\n{words}")
    handles = [
        Line2D([], [], **line_style(k), lw=1.1, label=network.replace("_", " ")) for k, network in enumerate(networks)
    ]
    handles += [Line2D([], [], lw=1.2, label=label, **kind) for label, kind in published.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=1 if len(tests) == 1 else 2)
    return figure


def error_per_bin(evaluations: list[Evaluation], maps: Sequence[int] = ()) -> Figure:
    """Error per bin of several networks and tests: standard deviation about the truth, and root mean square in dex.

    Dotted: always predicting the training mean, for each one shown.
    """
    figure = Figure(figsize=(PAGE_IN, 3.5))
    left, right = figure.subplots(1, 2)
    name = evaluations[0].target["quantity"]
    for k, e in enumerate(evaluations):
        kind = {**line_style(k), "lw": 1.2, "markevery": (k % 4, 4)}
        predicted, truth = (in_quantity(e, values, name) for values in (e.predicted, e.truth))
        left.plot(e.axis.centers, _band(predicted, truth, ("std",))[0], **kind)
        right.plot(e.axis.centers, e.statistics["rms_dex"], **kind)
        mean = np.sqrt(e.statistics["mse_mean_dex"])
        right.plot(e.axis.centers, mean, color=kind["color"], lw=0.9, ls=":")
    left.set_ylabel(r"standard deviation of (predicted − true) / true")
    right.set_ylabel(r"rms of $\log_{10}(1 + N)$ [dex]")
    left.set_ylim(0, min(left.get_ylim()[1], 1.5))
    right.set_yscale("log")
    for panel in (left, right):
        luminosity_axis(panel, evaluations[0].axis)
    handles = [*_handles(evaluations), Line2D([], [], color=GUIDE, lw=0.9, ls=":", label="always the training mean")]
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


def typical_fits(evaluations: list[Evaluation], maps: Sequence[int] = ()) -> Figure:
    """Of each network's test maps the best, the middle and the worst fit, and the one with fewest bright sources.

    One row per evaluation. Bright: the upper third of the bins. Fits are ranked by mean square of log10(1 + N).
    """
    check_size("evaluations", len(evaluations), MOST_ROWS)
    figure = Figure(figsize=(PAGE_IN, 0.5 + 2.1 * len(evaluations)))
    axes = figure.subplots(len(evaluations), 4, sharex=True, sharey="row", squeeze=False)
    for row, e, label in zip(axes, evaluations, short_names(evaluations), strict=True):
        counts = [in_quantity(e, values, "dn") for values in (e.predicted, e.truth)]
        error = np.nanmean((log10_1p(counts[0]) - log10_1p(counts[1])) ** 2, axis=1)
        order = np.argsort(error, kind="stable")
        bright = np.nansum(counts[1][:, -(counts[1].shape[1] // 3) :], axis=1)
        chosen = {"best": order[0], "middle": order[len(order) // 2], "worst": order[-1]}
        chosen["fewest bright"] = np.argmin(bright)
        for panel, (words, i) in zip(row, chosen.items(), strict=True):
            panel.stairs(e.truth[i], edges_lsun(e), color=TRUTH, lw=1.2, baseline=None)
            predicted = np.where(e.predicted[i] > 0, e.predicted[i], np.nan)
            panel.plot(e.axis.centers, predicted, **line_style(0), lw=1.0, markevery=3)
            panel.set_title(f"{words}: map {i}, {error[i]:.2g} dex$^2$", fontsize=8)
            luminosity_axis(panel, e.axis)
            panel.label_outer()
        counts_axis(row[0], e.target["quantity"], [e.truth, within_reach(e.predicted, e.truth)])
        if len(evaluations) > 1:
            row[0].set_ylabel(f"{label}\n{row[0].get_ylabel()}")
    handles = [Line2D([], [], color=TRUTH, lw=1.2, label="true"), Line2D([], [], **line_style(0), label="predicted")]
    figure.legend(handles=handles, loc="outside upper center", ncols=2)
    return figure


COMPARE_PREDICTIONS = line_figure(
    compare_predictions, ANY_TESTS, "compare_predictions.rst", "Comparisons", same=("axis",), rows=True
)
COMPARE_BANDS = line_figure(
    compare_bands,
    ANY_TESTS,
    "compare_bands.rst",
    "Comparisons",
    same=("axis",),
    tables=(CNN, MCMC),
)
ERROR_PER_BIN = line_figure(error_per_bin, ANY_TESTS, "error_per_bin.rst", "Comparisons", same=("axis",))
TYPICAL_FITS = line_figure(typical_fits, ANY_TESTS, "typical_fits.rst", "Comparisons")


def _band(predicted: np.ndarray, truth: np.ndarray, names: tuple[str, ...]) -> list[np.ndarray]:
    """Statistics of the fractional error per bin; NaN where fewer than 20 maps (or a quarter of them) count."""
    found = fractional_statistics(predicted, truth)
    enough = found["n_used"] >= min(FEW_MAPS // 2, len(truth) / 4)
    return [np.where(enough, found[name], np.nan) for name in names]


def _same_truth(evaluations: list[Evaluation]) -> list[list[Evaluation]]:
    """Evaluations on the same maps together, in the order given."""
    groups: dict[tuple, list[Evaluation]] = {}
    for e in evaluations:
        rows = tuple(np.asarray(e.rows[key]).tobytes() for key in ("group", "subfield", "draw", "volume_mpc3"))
        groups.setdefault((e.settings["line_model"]["name"], *rows), []).append(e)
    return list(groups.values())


def _test_words(evaluation: Evaluation) -> str:
    """A test in a panel's title: name, line model, noise, and the noise on the published voxels where it differs."""
    sigma = paper_sigma_uk(evaluation)
    beside = f"\n({sigma:.3g} µK on 256 × 256 × 100)" if sigma > 0 else ""
    return "\n".join(dict.fromkeys((evaluation.test.replace("_", " "), noise_words(evaluation)))) + beside


def _handles(evaluations: list[Evaluation]) -> list[Line2D]:
    return [Line2D([], [], **line_style(k), lw=1.1, label=label) for k, label in enumerate(short_names(evaluations))]
