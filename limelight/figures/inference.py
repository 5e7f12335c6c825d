"""Posteriors: their calibration, and the money plot."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from limelight.figures.style import COLOURS, GUIDE, MARKERS, PAGE_IN, PUBLISHED, TRUTH, luminosity_axis, style

BANDS = {0.68: COLOURS[0], 0.95: COLOURS[1]}
SHOWN_COUNT = 1.0  # sources a map that a bin needs to be drawn


def calibration_figure(rows: list[dict], arrays: dict, edges_log10: Sequence[float], title: str) -> Figure:
    """Coverage and information gained per luminosity, and how ranks and TARP shares depart from uniform.

    rows, arrays: of evaluation.calibrate.calibrate.
    """
    bins = [row for row in rows if isinstance(row["bin"], int) and row["mean_count"] >= SHOWN_COUNT]
    luminosity = np.array([row["luminosity_lsun"] for row in bins])
    with style():
        figure = Figure(figsize=(PAGE_IN, 4.6))
        (cover, gain), (rank, together) = figure.subplots(2, 2)
        for level, colour in BANDS.items():
            percent = f"{100 * level:.0f}"
            share = np.array([row.get(f"covered_{percent}", np.nan) for row in bins])
            error = bins[0][f"error_{percent}"] if bins and f"error_{percent}" in bins[0] else 0.0
            cover.axhspan(level - 2 * error, level + 2 * error, color=colour, alpha=0.15, lw=0)
            cover.axhline(level, color=colour, lw=0.8)
            cover.plot(luminosity, share, color=colour, marker="o", lw=1.0, label=f"{percent} % intervals")
        cover.set_ylim(0.4, 1.02)
        cover.set_ylabel("share of truths inside")
        cover.legend(loc="lower left")
        gain.plot(luminosity, [row.get("gain_nats", np.nan) for row in bins], color=COLOURS[2], marker="s", lw=1.0)
        gain.axhline(0, color=TRUTH, lw=0.8)
        gain.set_ylabel("gained over the prior [nats]")
        for axes in (cover, gain):
            luminosity_axis(axes, (edges_log10[0], edges_log10[-1]))
        if "rank" in arrays and arrays["filled"].any():
            _departure(rank, [("ranks of single bins", arrays["rank"][:, i]) for i in np.flatnonzero(arrays["filled"])])
            _departure(together, [("all bins: ellipsoid", arrays["joint"]), ("all bins: TARP", arrays["tarp"])])
        rank.set_ylabel("share below − credibility")
        for axes, words in ((rank, "ranks, bin by bin"), (together, "all bins together")):
            axes.set_xlabel("credibility")
            axes.set_title(words)
        figure.suptitle(title, fontsize=9.5)
        return figure


def _departure(axes: Axes, shares: list[tuple[str, np.ndarray]]) -> None:
    """Cumulative share minus the uniform one, with the band that 95 % of honest ones stay in at each point."""
    grid = np.linspace(0, 1, 201)
    m = min(len(values) for _, values in shares)
    band = 2 * np.sqrt(grid * (1 - grid) / m)
    axes.fill_between(grid, -band, band, color="0.9", lw=0)
    axes.axhline(0, color=TRUTH, lw=0.8)
    many = len(shares) > len(COLOURS)
    for k, (label, values) in enumerate(shares):
        line = np.searchsorted(np.sort(values), grid, side="right") / len(values) - grid
        kind = (
            {"color": COLOURS[0], "lw": 0.5, "alpha": 0.5} if many else {"color": COLOURS[k], "lw": 1.2, "label": label}
        )
        axes.plot(grid, line, **kind)
    if not many:
        axes.legend(loc="best")
    axes.set_xlim(0, 1)


def money_figure(rows: list[dict], edges_log10: Sequence[float]) -> Figure:
    """95 % intervals about the truth, and the share of truths they hold, per luminosity: columns noises, rows line models.

    rows: of evaluation.money.money_table. The ideal of a line model stands in all its panels, the published interval where
    the noise is its own.
    """
    tests = [row for row in rows if row.get("test") and row["method"] != "ideal"]
    models = list(dict.fromkeys(row["line_model"] for row in tests))
    noises = sorted({round(row["noise_uk_per_paper_voxel"], 2) for row in tests})
    methods = list(dict.fromkeys(row["method"] for row in tests))
    colour = {method: COLOURS[i % len(COLOURS)] for i, method in enumerate(methods)}
    marker = {method: MARKERS[i % len(MARKERS)] for i, method in enumerate(methods)}
    with style():
        figure = Figure(figsize=(PAGE_IN, 0.6 + 3.1 * len(models)))
        ratios = [2.2, 1] * len(models)
        axes = figure.subplots(
            2 * len(models), len(noises), sharex=True, sharey="row", squeeze=False, height_ratios=ratios
        )
        for j, noise in enumerate(noises):
            for i, model in enumerate(models):
                top, bottom = axes[2 * i, j], axes[2 * i + 1, j]
                here = [
                    r for r in tests if r["line_model"] == model and round(r["noise_uk_per_paper_voxel"], 2) == noise
                ]
                ideal = [r for r in rows if r["method"] == "ideal" and r["line_model"] == model]
                _band(top, ideal, color="0.8", lw=0, zorder=0)
                if abs(noise - 60.6) < 6:
                    _edges(top, [r for r in rows if r["method"] == "published MCMC"], color=PUBLISHED, ls="--", lw=1.2)
                for method in methods:
                    mine = _filled([r for r in here if r["method"] == method])
                    kind = {"color": colour[method], "lw": 1.1}
                    _edges(top, mine, **kind)
                    x = [r["luminosity_lsun"] for r in mine]
                    top.plot(x, [r["bias"] for r in mine], lw=0, marker=marker[method], ms=2, color=colour[method])
                    bottom.plot(x, [r["covered_95"] for r in mine], **kind)
                top.axhline(0, color=TRUTH, lw=0.7)
                bottom.axhline(0.95, color=TRUTH, lw=0.7)
                top.set_ylim(-1, 2)
                bottom.set_ylim(0.5, 1.02)
                if i == 0:
                    top.set_title("no noise" if noise == 0 else f"{noise:.3g} µK per paper voxel")
                if j == 0:
                    top.set_ylabel(f"{model.replace('_', ' ')}\ninterval / truth − 1")
                    bottom.set_ylabel("covered")
                luminosity_axis(bottom, (edges_log10[0], edges_log10[-1]))
        for axis in axes[:-1].ravel():
            axis.set_xlabel("")
        handles = [Line2D([], [], color=colour[m], marker=marker[m], ms=3, lw=1.1, label=m) for m in methods]
        handles.append(Line2D([], [], color="0.8", lw=6, label="ideal: halos known"))
        handles.append(Line2D([], [], color=PUBLISHED, ls="--", lw=1.2, label="published MCMC (1808.07487)"))
        figure.legend(handles=handles, loc="outside upper center", ncols=3)
        return figure


def _filled(rows: list[dict]) -> list[dict]:
    return [row for row in rows if row.get("mean_count", SHOWN_COUNT) >= SHOWN_COUNT and "width_95" in row]


def _edges(axes: Axes, rows: list[dict], **kind) -> None:
    for side in ("lower_95", "upper_95"):
        axes.plot([row["luminosity_lsun"] for row in rows], [row[side] for row in rows], **kind)


def _band(axes: Axes, rows: list[dict], **kind) -> None:
    rows = _filled(rows)
    if rows:
        x, low, high = ([row[name] for row in rows] for name in ("luminosity_lsun", "lower_95", "upper_95"))
        axes.fill_between(x, low, high, **kind)


def posterior_figure(table: dict[str, np.ndarray], title: str, warning: str = "") -> Figure:
    """A map's luminosity function with its 68 and 95 % intervals; table: of evaluation.apply.posterior_table."""
    with style():
        figure = Figure(figsize=(4.2, 3.4))
        axes = figure.subplots()
        x = table["luminosity_lsun"]
        foot = 0.5
        for low, high, shade, label in (("dn_q2.5", "dn_q97.5", 0.2, "95 %"), ("dn_q16", "dn_q84", 0.4, "68 %")):
            band = [np.maximum(table[name], foot / 2) for name in (low, high)]
            axes.fill_between(x, *band, color=COLOURS[0], alpha=shade, lw=0, label=label, step="mid")
        axes.step(x, np.maximum(table["dn"], foot / 2), where="mid", color=COLOURS[0], lw=1.2, label="median")
        axes.set_yscale("log")
        axes.set_ylim(foot, 3 * max(table["dn_q97.5"].max(), 1))
        axes.set_ylabel(r"sources per bin $\mathrm{d}N$")
        luminosity_axis(axes, (table["log10_lum_lower"][0], table["log10_lum_upper"][-1]))
        axes.legend(loc="upper right", title=warning or None)
        axes.set_title(title, color=GUIDE)
        return figure
