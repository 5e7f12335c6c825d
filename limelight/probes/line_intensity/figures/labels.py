"""The luminosity functions themselves: what a network is asked for, in which unit, and how widely it varies."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from limelight.evaluation.evaluation_file import Evaluation
from limelight.figures.common import (
    QUANTITIES,
    in_quantity,
    line_style,
    networks_of,
    panel_grid,
    published_table,
    short_names,
)
from limelight.figures.style import COLOURS, COLUMN_IN, GUIDE, PAGE_IN, PUBLISHED, TRUTH, luminosity_axis
from limelight.probes.line_intensity.figures.compare import MOST_ROWS, check_size, log_ratio

SYMBOLS = {"n_above": r"$N({>}L)$", "dn": r"$\mathrm{d}N$", "phi": r"$\phi$", "l_phi": r"$L\,\phi$"}


def label_shapes(evaluations: list[Evaluation], maps: Sequence[int]) -> Figure:
    """N(>L), dN and φ of the first evaluation's truths over their first bin: one map, and the mean of all (thin).

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
            slope = np.gradient(np.log10(mean), np.log10(e.luminosity_lsun))
        kind = line_style(k)
        left.plot(e.luminosity_lsun, np.where(one > 0, one, np.nan), **kind, markevery=(k, 4), lw=1.2, label=symbol)
        left.plot(e.luminosity_lsun, np.where(smooth > 0, smooth, np.nan), color=kind["color"], lw=0.6)
        right.plot(e.luminosity_lsun, np.where(np.isfinite(slope), slope, np.nan), **kind, markevery=(k, 4), lw=1.2)
    left.set_yscale("log")
    left.set_ylabel("over its first bin")
    right.set_ylabel(r"slope $\mathrm{d}\log/\mathrm{d}\log L$ of the mean")
    for panel in (left, right):
        luminosity_axis(panel, (e.log10_lum_edges[0], e.log10_lum_edges[-1]))
    handles, _ = left.get_legend_handles_labels()
    handles.append(Line2D([], [], color=GUIDE, lw=0.6, label="mean of all maps"))
    figure.legend(handles=handles, loc="outside upper center", ncols=4)
    left.set_title(f"test map {i}", fontsize=8.5)
    return figure


def counts_and_densities(evaluations: list[Evaluation], maps: Sequence[int] = ()) -> Figure:
    """The same luminosity functions as sources in a map's bin, and as density Lφ beside the published MCMC interval.

    Median, 68 % and 95 % of the first evaluation's truths.
    """
    e = evaluations[0]
    figure = Figure(figsize=(PAGE_IN, 3.4))
    left, right = figure.subplots(1, 2)
    for panel, name in ((left, "dn"), (right, "l_phi")):
        low, below, middle, above, high = np.percentile(in_quantity(e, e.truth, name), (2.5, 16, 50, 84, 97.5), axis=0)
        panel.fill_between(e.luminosity_lsun, low, high, color=COLOURS[0], alpha=0.2, lw=0, label="95 % of test maps")
        panel.fill_between(e.luminosity_lsun, below, above, color=COLOURS[0], alpha=0.4, lw=0, label="68 %")
        panel.plot(e.luminosity_lsun, middle, color=COLOURS[0], label="median")
        panel.set_yscale("log")
        panel.set_ylabel(QUANTITIES[name])
        luminosity_axis(panel, (e.log10_lum_edges[0], e.log10_lum_edges[-1]))
    left.set_ylim(bottom=0.5)
    table = published_table("ihle2018_interval.csv")[""]
    lum = table["luminosity_lsun"]
    right.plot(lum, table["l_phi_underlying"], color=TRUTH, lw=1.1, label="truth of 1808.07487")
    for side, label in (("l_phi_lower95", "its MCMC, 95 %"), ("l_phi_upper95", "_")):
        right.plot(lum, table[side], color=PUBLISHED, ls="--", lw=1.1, label=label)
    handles, labels = right.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5)
    return figure


def log_ratio_units(evaluations: list[Evaluation], maps: Sequence[int] = ()) -> Figure:
    """What the unit does to a ratio of logarithms: the same predictions as counts and as densities (notes, eqs. 4 and 5).

    95 % of test maps and median of predicted/true, of log dN/log dN, and of log Lφ/log Lφ; a row an evaluation.
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
            panel.fill_between(e.luminosity_lsun, low, high, color=COLOURS[0], alpha=0.25, lw=0)
            panel.plot(e.luminosity_lsun, middle, color=COLOURS[0])
            panel.axhline(1, color=TRUTH, lw=0.8)
            luminosity_axis(panel, (e.log10_lum_edges[0], e.log10_lum_edges[-1]))
            panel.label_outer()
        words = f"{label}\n" if len(evaluations) > 1 else ""
        row[0].set_ylabel(f"{words}predicted / true")
    axes[0, 0].set_ylim(0.4, 1.6)
    for panel, title in zip(axes[0], titles, strict=True):
        panel.set_title(title, fontsize=9)
    return figure


def label_spreads(evaluations: list[Evaluation], maps: Sequence[int] = ()) -> Figure:
    """Spread of the training maps' luminosity functions, a column a network: mean ± 2σ over its first bin, and per bin.

    As Figs. 47 to 49 of the notes. Shaded darker: 95 % of the maps, which unlike mean − 2σ never falls below nothing.
    """
    shown = networks_of(evaluations)
    check_size("networks", len(shown))
    figure = Figure(figsize=(COLUMN_IN * 1.25 if len(shown) == 1 else PAGE_IN, 4.6))
    axes = figure.subplots(2, len(shown), sharex=True, squeeze=False)
    highest, foot = 1.0, 1.0
    for (top, bottom), e in zip(axes.T, shown, strict=True):
        mean, std, lum = e.training["mean"], e.training["std"], e.luminosity_lsun
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
        luminosity_axis(bottom, (e.log10_lum_edges[0], e.log10_lum_edges[-1]))
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


def blank_maps(evaluations: list[Evaluation], maps: Sequence[int] = ()) -> Figure:
    """What several networks say of an empty map without noise, over 95 % of their training maps; a panel a network."""
    shown = networks_of(evaluations)
    figure = Figure(figsize=(PAGE_IN, 0.6 + 2.2 * -(-len(shown) // 3)))
    panels = panel_grid(figure, len(shown), sharex=True, sharey=True)
    for k, (panel, e) in enumerate(zip(panels, shown, strict=True)):
        p = e.training["percentiles"]
        panel.fill_between(e.luminosity_lsun, p[0], p[4], color="0.87", lw=0, label="95 % of training maps")
        panel.plot(e.luminosity_lsun, p[2], color="0.45", lw=1.0, label="their median")
        blank = np.asarray(e.blank["clean"])
        panel.plot(e.luminosity_lsun, blank, color=COLOURS[1], marker="s", markevery=3, lw=1.2, label="empty map")
        panel.axhline(0, color=GUIDE, lw=0.6)
        luminosity_axis(panel, (e.log10_lum_edges[0], e.log10_lum_edges[-1]))
        panel.set_title(e.network.replace("_", " "))
        if k % 3 == 0:
            panel.set_ylabel(QUANTITIES[e.target["quantity"]])
        if k + 3 < len(shown):
            panel.set_xlabel("")
    smallest = min(1.0, *(float(e.training["mean"][e.training["mean"] > 0].min(initial=1.0)) for e in shown))
    foot = 1.0 if shown[0].target["quantity"] in ("dn", "n_above") else smallest
    panels[0].set_yscale("symlog", linthresh=foot, linscale=0.5)
    panels[0].set_ylim(bottom=-0.1 * foot)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure
