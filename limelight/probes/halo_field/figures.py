"""Figures of halo fields: slices, statistics over the truth, counts in cells, n(M|δ) on FoF points, chains, ranks."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from limelight.figures.common import line_style
from limelight.figures.style import GUIDE, MAP_COLOURS, PAGE_IN, TRUTH

MOST_SLICES = 5
THICKNESS = 4  # cells of a slice, along z
KS_95 = 1.358  # 95 % of the Kolmogorov-Smirnov statistic, times √n and a little more (Stephens 1970, JRSS B 32, 115)
KINDS = {
    "power": "$P/P_{true}$",
    "equilateral bispectrum": "equilateral $B/B_{true}$",
    "squeezed bispectrum": "squeezed $B/B_{true}$",
}


def slices_figure(density: np.ndarray, true: np.ndarray, painted: dict[str, np.ndarray]) -> Figure:
    """A slice of THICKNESS cells of one box: density, true halos, what each painter paints and by how much it differs."""
    shown = dict(list(painted.items())[:MOST_SLICES])
    figure = Figure(figsize=(PAGE_IN, 0.3 + 2 * PAGE_IN / (2 + len(shown))))
    axes = figure.subplots(2, 2 + len(shown), squeeze=False)
    planes = {"density": np.log(np.clip(1 + density, 0.05, None))[:THICKNESS].mean(axis=0)}
    planes["true halos"] = true[:THICKNESS].sum(axis=0)
    planes |= {name.replace("_", " "): box[:THICKNESS].sum(axis=0) for name, box in shown.items()}
    most = max(1.0, float(np.percentile(planes["true halos"], 99.5)))
    for i, (name, plane) in enumerate(planes.items()):
        scale = {} if i == 0 else {"vmin": 0, "vmax": most}
        axes[0, i].imshow(plane, cmap=MAP_COLOURS, **scale)
        axes[0, i].set_title(name, fontsize=8)
        if i > 1:
            axes[1, i].imshow(plane - planes["true halos"], cmap="RdBu_r", vmin=-most, vmax=most)
    if shown:
        axes[1, 2].set_ylabel("minus the truth", fontsize=8)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    for axis in axes[1, :2]:
        axis.set_visible(False)
    return figure


def statistics_figure(rows: list[dict], test: str) -> Figure:
    """Power, bispectra, r(k), counts in cells and voids of every painter over the truth; grey: scatter from box to box."""
    mine = [row for row in rows if row["test"] == test]
    painters = list(dict.fromkeys(row["painter"] for row in mine))
    figure = Figure(figsize=(PAGE_IN, 5.2))
    panels = figure.subplots(2, 3)
    handles = {}
    for panel, (kind, label) in zip(panels.flat, KINDS.items(), strict=False):
        _ratios(panel, [row for row in mine if row["statistic"] == kind], painters, handles)
        panel.set_xlabel("$k$ [1/Mpc]")
        panel.set_ylabel(label)
    _correlations(panels[1, 0], mine, painters)
    counts = [row for row in mine if row["statistic"].startswith("cells with")]
    _ratios(panels[1, 1], counts, painters, handles, _count_words)
    panels[1, 1].set_xlabel("$N$")
    panels[1, 1].set_ylabel("cells with $N$ halos, over true")
    voids = [row for row in mine if row["statistic"] == "empty regions"]
    _ratios(panels[1, 2], voids, painters, handles, lambda row: f"{row['at']:g}")
    panels[1, 2].set_ylabel("empty regions, over true")
    panels[1, 2].set_xlabel("side [Mpc]")
    figure.legend(handles.values(), [name.replace("_", " ") for name in handles], loc="outside upper center", ncols=4)
    return figure


def _count_words(row: dict) -> str:
    return f"{row['at']:g}" if row["statistic"] == "cells with" else f">{row['at']:g}"


def _ratios(panel: Axes, rows: list[dict], painters: list[str], handles: dict, words=None) -> None:
    """Lines of ratio over `at`, or over places in a row where `words` name them."""
    for k, painter in enumerate(painters):
        mine = [row for row in rows if row["painter"] == painter]
        if not mine:
            continue
        at = np.arange(len(mine)) if words else np.array([row["at"] for row in mine])
        scatter = np.array([row["box_scatter"] for row in mine])
        if k == 0:
            panel.fill_between(at, 1 - scatter, 1 + scatter, color=GUIDE, alpha=0.15, lw=0)
            if words:
                panel.set_xticks(at, [words(row) for row in mine])
        found, errors = (np.array([row[key] for row in mine]) for key in ("ratio", "ratio_error"))
        bars = panel.errorbar(at, found, errors, lw=1, elinewidth=0.6, ms=2.5, **line_style(k))
        handles[painter] = bars.lines[0]
    panel.axhline(1, color=TRUTH, lw=0.6, ls=":")
    panel.set_ylim(0, 2)


def _correlations(panel: Axes, rows: list[dict], painters: list[str]) -> None:
    for k, painter in enumerate(painters):
        mine = [row for row in rows if (row["painter"], row["statistic"]) == (painter, "r of the expected number")]
        panel.plot([row["at"] for row in mine], [row["painted"] for row in mine], lw=1, ms=2.5, **line_style(k))
        if k == 0:
            panel.plot([row["at"] for row in mine], [row["true"] for row in mine], color=TRUTH, lw=0.8, ls="--")
    panel.set_xlabel("$k$ [1/Mpc]")
    panel.set_ylabel("$r$ (dashed: ceiling)")
    panel.axhline(0, color=GUIDE, lw=0.6, ls=":")


def ladder_figure(rows: list[dict]) -> Figure:
    """ln L per halo of unseen boxes of each bias model: of where halos stand, over a uniform field's, and of masses."""
    names = [f"{row['model']}, {row['likelihood']}".replace("_", " ") for row in rows]
    figure = Figure(figsize=(PAGE_IN, 0.7 + 0.25 * len(rows)))
    panels = figure.subplots(1, 2, sharey=True)
    found = [[row["counts"] - row["uniform"] for row in rows], [row["masses"] for row in rows]]
    words = ("where halos stand: $\\ln L$ over a uniform field's", "masses: $\\ln L$")
    for panel, values, label in zip(panels, found, words, strict=True):
        panel.plot(values, np.arange(len(rows)), "o", ms=4)
        for at, value in enumerate(values):
            panel.annotate(f"{value:.3f}", (value, at), (0, 4), textcoords="offset points", fontsize=6, ha="center")
        panel.margins(x=0.15, y=0.2)
        panel.set_xlabel(f"{label} per halo", fontsize=8)
    panels[0].set_yticks(np.arange(len(rows)), names)
    panels[0].invert_yaxis()
    return figure


def bands_figure(rows: list[dict]) -> Figure:
    """n(M|δ) of each model, 68 and 95 % of the posterior, in bins of density; points: the FoF halos."""
    models = list(dict.fromkeys((row["model"], row["likelihood"]) for row in rows))
    figure = Figure(figsize=(PAGE_IN, 2.3 * ((len(models) + 1) // 2) + 0.4))
    panels = figure.subplots((len(models) + 1) // 2, 2, squeeze=False, sharex=True, sharey=True)
    for panel, model in zip(panels.flat, models, strict=False):
        mine = [row for row in rows if (row["model"], row["likelihood"]) == model]
        for k, density in enumerate(dict.fromkeys(row["density"] for row in mine)):
            there = [row for row in mine if row["density"] == density]
            look = line_style(k)
            mass = [row["mass_msun"] for row in there]
            for low, high, alpha in (("q0.025", "q0.975", 0.15), ("q0.16", "q0.84", 0.3)):
                edges = [[row[key] for row in there] for key in (low, high)]
                panel.fill_between(mass, *edges, color=look["color"], alpha=alpha, lw=0)
            points = [[row[key] for row in there] for key in ("fof", "fof_error")]
            panel.errorbar(mass, *points, fmt="o", ms=3, color=look["color"], label=f"1 + δ = {density:.2g}")
        panel.set_title(f"{model[0]}, {model[1]}".replace("_", " "))
        panel.set_xscale("log")
        panel.set_yscale("log")
    for panel in panels.flat[len(models) :]:
        panel.set_visible(False)
    for panel in panels[-1]:
        panel.set_xlabel("$M$ [Msun]")
    panels[0, 0].set_ylabel("halos per cell and $\\ln M$")
    panels[0, 0].legend(fontsize=7)
    return figure


def chains_figure(functions: np.ndarray, title: str) -> Figure:
    """Traces and ranks of ln n(M|δ) (chains, samples, points): of the first, the middle and the last point."""
    chosen = sorted({0, functions.shape[2] // 2, functions.shape[2] - 1})
    figure = Figure(figsize=(PAGE_IN, 1.5 * len(chosen) + 0.3))
    panels = figure.subplots(len(chosen), 2, squeeze=False)
    for (trace, rank), point in zip(panels, chosen, strict=True):
        values = functions[:, :, point]
        order = values.ravel().argsort().argsort().reshape(values.shape) / values.size
        for k, (one, placed) in enumerate(zip(values, order, strict=True)):
            colour = line_style(k)["color"]
            trace.plot(one, lw=0.5, color=colour)
            rank.hist(placed, np.linspace(0, 1, 11), histtype="step", color=colour)
        rank.axhline(values.shape[1] / 10, color=GUIDE, lw=0.6, ls=":")
        trace.set_ylabel(f"ln n, point {point + 1}", fontsize=8)
    panels[-1, 0].set_xlabel("step")
    panels[-1, 1].set_xlabel("rank among all chains")
    figure.suptitle(title, fontsize=9)
    return figure


def ranks_figure(ranks: dict[str, np.ndarray]) -> Figure:
    """Calibration of each model: the distribution of the truth's rank (fits, points) minus that of uniform ranks.

    One line for each point of n(M|δ). Grey: where a Kolmogorov-Smirnov test finds nothing at 5 %, one point at a time.
    """
    figure = Figure(figsize=(PAGE_IN, 2.6))
    panels = figure.subplots(1, len(ranks), squeeze=False, sharey=True)[0]
    for panel, (name, found) in zip(panels, ranks.items(), strict=True):
        levels, share = np.linspace(0, 1, 101), np.arange(len(found) + 1) / len(found)
        for k, one in enumerate(np.sort(found, axis=0).T):
            panel.plot(levels, share[np.searchsorted(one, levels)] - levels, lw=0.8, color=line_style(k)["color"])
        root = np.sqrt(len(found))
        reach = KS_95 / (root + 0.12 + 0.11 / root)
        panel.axhspan(-reach, reach, color=GUIDE, alpha=0.15, lw=0)
        panel.axhline(0, color=TRUTH, lw=0.6, ls=":")
        panel.set_title(f"{name.replace('_', ' ')}: {len(found)} fits")
        panel.set_xlabel("rank of the true $n(M|\\delta)$")
    panels[0].set_ylabel("share below, minus uniform")
    return figure
