"""The luminosity functions themselves: what a network predicts, in which unit, and how widely it varies."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from limelight.evaluation.evaluation_file import Evaluation
from limelight.figures.common import MOST_ROWS, check_size, line_style, networks_of, short_names
from limelight.figures.figure import ANY_TESTS, ONE_EACH
from limelight.figures.style import COLOURS, COLUMN_IN, GUIDE, PAGE_IN, PUBLISHED, TRUTH
from limelight.probes.line_intensity.figures.common import (
    BINS_AND_QUANTITY,
    QUANTITIES,
    counts_axis,
    in_quantity,
    line_figure,
    luminosity_axis,
)
from limelight.probes.line_intensity.figures.compare import log_ratio
from limelight.probes.line_intensity.published import MCMC, published_table

SYMBOLS = {"n_above": r"$N({>}L)$", "dn": r"$\mathrm{d}N$", "phi": r"$\phi$", "l_phi": r"$L\,\phi$"}


def label_shapes(evaluations: list[Evaluation], maps: Sequence[int]) -> Figure:
    """N(>L), dN and φ of the first evaluation's truths relative to their first bin: one map, and the mean of all (thin).

    Lφ is dN times a constant, for bins equal in log L. Right: the slope d log / d log L of the mean.
    """
    e = evaluations[0]
    i = next((i for i in maps if i < len(e.truth)), 0)
    figure = Figure(figsize=(PAGE_IN, 3.2))
    left, right = figure.subplots(1, 2)
    for k, name in enumerate(("n_above", "dn", "phi")):
        symbol = SYMBOLS[name] + r" $\propto L\,\phi$" * (name == "dn")
        values = in_quantity(e, e.truth, name)
        mean = values.mean(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            one, smooth = values[i] / values[i, 0], mean / mean[0]
            slope = np.gradient(np.log10(mean), np.log10(e.axis.centers))
        kind = line_style(k)
        left.plot(e.axis.centers, np.where(one > 0, one, np.nan), **kind, markevery=(k, 4), lw=1.2, label=symbol)
        left.plot(e.axis.centers, np.where(smooth > 0, smooth, np.nan), color=kind["color"], lw=0.6)
        right.plot(e.axis.centers, np.where(np.isfinite(slope), slope, np.nan), **kind, markevery=(k, 4), lw=1.2)
    left.set_yscale("log")
    left.set_ylabel("over its first bin")
    right.set_ylabel(r"slope $\mathrm{d}\log/\mathrm{d}\log L$ of the mean")
    for panel in (left, right):
        luminosity_axis(panel, e.axis)
    handles, _ = left.get_legend_handles_labels()
    handles.append(Line2D([], [], color=GUIDE, lw=0.6, label="mean of all maps"))
    figure.legend(handles=handles, loc="outside upper center", ncols=4)
    left.set_title(f"test map {i}", fontsize=8.5)
    return figure


def counts_and_densities(evaluations: list[Evaluation], maps: Sequence[int] = ()) -> Figure:
    """The same luminosity functions as sources in a map's bin, and as density Lφ next to the published MCMC interval.

    Median, 68 % and 95 % of the first evaluation's truths.
    """
    e = evaluations[0]
    figure = Figure(figsize=(PAGE_IN, 3.4))
    left, right = figure.subplots(1, 2)
    for panel, name in ((left, "dn"), (right, "l_phi")):
        low, below, middle, above, high = np.percentile(in_quantity(e, e.truth, name), (2.5, 16, 50, 84, 97.5), axis=0)
        panel.fill_between(e.axis.centers, low, high, color=COLOURS[0], alpha=0.2, lw=0, label="95 % of test maps")
        panel.fill_between(e.axis.centers, below, above, color=COLOURS[0], alpha=0.4, lw=0, label="68 %")
        panel.plot(e.axis.centers, middle, color=COLOURS[0], label="median")
        panel.set_yscale("log")
        panel.set_ylabel(QUANTITIES[name])
        luminosity_axis(panel, e.axis)
    left.set_ylim(bottom=0.5)
    table = published_table(MCMC)[""]
    lum = table["luminosity_lsun"]
    right.plot(lum, table["l_phi_underlying"], color=TRUTH, lw=1.1, label="truth of 1808.07487")
    for side, label in (("l_phi_lower95", "its MCMC, 95 %"), ("l_phi_upper95", "_")):
        right.plot(lum, table[side], color=PUBLISHED, ls="--", lw=1.1, label=label)
    handles, labels = right.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5)
    return figure


def log_ratio_units(evaluations: list[Evaluation], maps: Sequence[int] = ()) -> Figure:
    """Effect of the unit on a ratio of logarithms: the same predictions as counts and as densities (notes, eqs. 4 and 5).

    95 % of test maps and median of predicted/true, of log dN/log dN, and of log Lφ/log Lφ; one row per evaluation.
    """
    check_size("evaluations", len(evaluations), MOST_ROWS)
    figure = Figure(figsize=(PAGE_IN, 0.5 + 2.2 * len(evaluations)))
    axes = figure.subplots(len(evaluations), 3, sharex=True, sharey=True, squeeze=False)
    titles = (
        "values (any unit)",
        r"$\log_{10}$ of counts $\mathrm{d}N$",
        r"$\log_{10}$ of densities $L\phi$ [Mpc$^{-3}$]",
    )
    for row, e, label in zip(axes, evaluations, short_names(evaluations), strict=True):
        counts, density = (
            [in_quantity(e, values, name) for values in (e.predicted, e.truth)] for name in ("dn", "l_phi")
        )
        usable = (counts[1] > 0).mean(axis=0) > 0.5
        ratio = np.divide(*counts, out=np.full(counts[1].shape, np.nan), where=counts[1] > 0)
        for panel, values in zip(row, (ratio, log_ratio(*counts), log_ratio(*density)), strict=True):
            values = np.where(usable & np.isfinite(values).any(axis=0), values, np.nan)
            kept = np.isfinite(values).any(axis=0)
            low, middle, high = np.full((3, len(kept)), np.nan)
            low[kept], middle[kept], high[kept] = np.nanpercentile(values[:, kept], (2.5, 50, 97.5), axis=0)
            panel.fill_between(e.axis.centers, low, high, color=COLOURS[0], alpha=0.25, lw=0)
            panel.plot(e.axis.centers, middle, color=COLOURS[0])
            panel.axhline(1, color=TRUTH, lw=0.8)
            luminosity_axis(panel, e.axis)
            panel.label_outer()
        words = f"{label}\n" if len(evaluations) > 1 else ""
        row[0].set_ylabel(f"{words}predicted / true")
    axes[0, 0].set_ylim(0.4, 1.6)
    for panel, title in zip(axes[0], titles, strict=True):
        panel.set_title(title, fontsize=9)
    return figure


def label_spreads(evaluations: list[Evaluation], maps: Sequence[int] = ()) -> Figure:
    """Spread of the training maps' luminosity functions, one column per network: mean ± 2σ over its first bin, and per bin.

    As Figs. 47 to 49 of the notes. Shaded darker: 95 % of the maps, which unlike mean − 2σ never falls below zero.
    """
    shown = networks_of(evaluations)
    check_size("networks", len(shown))
    figure = Figure(figsize=(COLUMN_IN * 1.25 if len(shown) == 1 else PAGE_IN, 4.6))
    axes = figure.subplots(2, len(shown), sharex=True, squeeze=False)
    highest, foot = 1.0, 1.0
    for (top, bottom), e in zip(axes.T, shown, strict=True):
        mean, std, lum = e.training["mean"], e.training["std"], e.axis.centers
        for panel, unit in ((top, np.full(len(mean), mean[0])), (bottom, mean)):
            scale = np.divide(1, unit, out=np.full(len(mean), np.nan), where=unit > 0)
            middle, low, high = (scale * x for x in (mean, mean - 2 * std, mean + 2 * std))
            p = e.training["percentiles"][[0, 4]] * scale
            panel.fill_between(lum, *p, color=COLOURS[0], alpha=0.35, lw=0)
            for side in (low, high):
                panel.plot(lum, np.where(side > 0, side, np.nan), color=COLOURS[0], lw=1.0, ls=(0, (4, 1.5)))
            panel.plot(lum, middle, color=TRUTH, lw=1.2)
        reach = float(
            np.clip(1.6 * (np.nanpercentile(high, 75) - 1), 0.1, 7)
        )  # 5 % or a factor of 5: each its own scale
        bottom.set_ylim(max(0, 1 - reach), 1 + reach)
        highest = max(highest, float(np.max(mean + 2 * std)) / mean[0] if mean[0] > 0 else 1.0)
        foot = min(foot, float(np.min(mean[mean > 0])) / mean[0] if mean[0] > 0 else 1.0)
        top.set_title(e.network.replace("_", " "))
        luminosity_axis(bottom, e.axis)
    for k, top in enumerate(axes[0]):
        top.set_yscale("log")
        top.set_ylim(max(foot / 3, 1e-7), 3 * highest)
        top.tick_params(labelleft=k == 0)
    axes[0, 0].set_ylabel(f"{SYMBOLS[shown[0].target['quantity']]} over the mean's first bin")
    axes[1, 0].set_ylabel("over the mean of each bin")
    handles = [
        Line2D([], [], color=TRUTH, lw=1.2, label="mean of training maps"),
        Line2D([], [], color=COLOURS[0], lw=1.0, ls=(0, (4, 1.5)), label=r"mean $\pm 2\sigma$"),
        Line2D([], [], color=COLOURS[0], lw=6, alpha=0.35, label="95 % of them"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


def training_spread(evaluations: list[Evaluation], maps: Sequence[int] = ()) -> Figure:
    """The luminosity functions of the training maps: median, 68 % and 95 % ranges, and below them over their mean."""
    shown = networks_of(evaluations)
    figure = Figure(figsize=(COLUMN_IN * 1.25 if len(shown) == 1 else PAGE_IN, 4.4))
    axes = figure.subplots(2, len(shown), sharex=True, sharey="row", squeeze=False, height_ratios=(2, 1))
    for (top, bottom), e in zip(axes.T, shown, strict=True):
        p, mean, lum = e.training["percentiles"], e.training["mean"], e.axis.centers
        share = np.divide(p, mean, out=np.full(p.shape, np.nan), where=mean > 0)
        for panel, values in ((top, p), (bottom, share)):
            panel.fill_between(
                lum, values[0], values[4], color=COLOURS[0], alpha=0.2, lw=0, label="95 % of training maps"
            )
            panel.fill_between(lum, values[1], values[3], color=COLOURS[0], alpha=0.4, lw=0, label="68 %")
            panel.plot(lum, values[2], color=COLOURS[0], label="median")
        top.plot(lum, mean, color=COLOURS[1], ls="--", lw=1.1, label="mean")
        bottom.axhline(1, color=COLOURS[1], ls="--", lw=1.1)
        bottom.set_ylim(0, float(np.clip(1.15 * np.nanpercentile(share[4], 95), 1.5, 6)))
        luminosity_axis(bottom, e.axis)
        if len(shown) > 1:
            top.set_title(e.network.replace("_", " "))
    counts_axis(axes[0, 0], shown[0].target["quantity"], [e.training["percentiles"] for e in shown])
    axes[1, 0].set_ylabel("over the mean")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2)
    return figure


LABEL_SHAPES = line_figure(label_shapes, "one evaluation file", "label_shapes.rst", "Comparisons", rows=True)
COUNTS_AND_DENSITIES = line_figure(
    counts_and_densities,
    "one evaluation file",
    "counts_and_densities.rst",
    "Comparisons",
    tables=(MCMC,),
)
LOG_RATIO_UNITS = line_figure(log_ratio_units, ANY_TESTS, "log_ratio_units.rst", "Comparisons")
LABEL_SPREADS = line_figure(label_spreads, ONE_EACH, "label_spreads.rst", "Comparisons", same=BINS_AND_QUANTITY)
TRAINING_SPREAD = line_figure(training_spread, ONE_EACH, "training_spread.rst", "Training", same=BINS_AND_QUANTITY)
