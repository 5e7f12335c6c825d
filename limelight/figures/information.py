"""Posteriors beside the exact one: a few rows overlaid, what each method loses, and where the truths fall."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from limelight.figures.common import line_style
from limelight.figures.style import GUIDE, PAGE_IN, TRUTH, style
from limelight.inference.exact import DENSITY, grid_of, marginals, matching, of_draws, ranks
from limelight.inference.intervals import Intervals

SHOWN = 4  # rows overlaid, evenly spread
BINS = 10
FEWEST = 10 * BINS  # rows of which a histogram says something


def information_figure(found: Mapping[str, Intervals], rows: Sequence[dict]) -> Figure:
    """found: posteriors by name, the exact one first; rows: of the table, in the same order."""
    with style():
        return _figure(found, rows)


def _figure(found: Mapping[str, Intervals], rows: Sequence[dict]) -> Figure:
    exact = next(iter(found.values()))
    grid = grid_of(exact)
    names = [name.replace("_", " ") for name in found]
    figure = Figure(figsize=(PAGE_IN, 3.6 + 0.16 * len(found)))
    above, below = figure.subfigures(2, 1, height_ratios=(1.7, 1.7 + 0.16 * len(found)))
    shown = np.unique(np.linspace(0, len(exact.truth) - 1, SHOWN).round().astype(int))
    panels = above.subplots(1, len(shown), squeeze=False)[0]
    ranked = {}
    for k, (name, one) in enumerate(zip(names, found.values(), strict=True)):
        where = matching(exact, one)
        mass = one.extra[DENSITY] if DENSITY in one.extra else of_draws(one.samples, grid)
        ranked[name] = ranks(mass, exact.truth[where], grid)[:, 0]
        look = {"color": TRUTH, "lw": 2.0, "marker": ""} if k == 0 else {**line_style(k - 1), "marker": "", "lw": 1.0}
        density = marginals(mass, grid)[0] / (grid[0][1] - grid[0][0])
        density[:, [0, -1]] *= 2
        for panel, row in zip(panels, shown, strict=True):
            at = np.flatnonzero(where == row)
            panel.plot(grid[0], density[at[0]] if len(at) else np.full(len(grid[0]), np.nan), label=name, **look)
    output = exact.axis.names[0].replace("_", " ") if exact.axis.names else exact.axis.label
    for panel, row in zip(panels, shown, strict=True):
        panel.axvline(exact.truth[row, 0], color=GUIDE, lw=0.8, ls=":")
        panel.set_xlabel(output)
        panel.set_yticks([])
    panels[0].set_ylabel("posterior density")
    lost, pit = below.subplots(1, 2, width_ratios=(1, 1))
    places = np.arange(len(rows) - 1)
    for k, row in zip(places, rows[1:], strict=True):
        lost.errorbar(row["nats_lost"], k, xerr=row["nats_error"], **{**line_style(k), "ls": ""})
    lost.set_yticks(places, names[1:], fontsize=7)
    lost.minorticks_off()
    lost.invert_yaxis()
    if all(row["nats_lost"] > 0 for row in rows[1:]):
        lost.set_xscale("log")
        lost.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))  # more would overlap where methods lose alike
        lost.xaxis.set_major_formatter("{x:g}")
        lost.xaxis.set_minor_formatter("")
    lost.set_xlabel("nats lost against the exact posterior")
    for k, (name, rank) in enumerate(ranked.items()):
        if len(rank) < min(FEWEST, len(exact.truth)):
            continue
        look = {"color": TRUTH, "lw": 1.6} if k == 0 else {**line_style(k - 1), "marker": "", "lw": 1.0}
        heights = np.histogram(rank, BINS, (0, 1), density=True)[0]
        pit.step(np.linspace(0, 1, BINS + 1), np.append(heights, heights[-1]), where="post", label=name, **look)
    pit.axhline(1, color=GUIDE, lw=0.7, ls=":")
    pit.set_xlabel("posterior probability below the truth")
    pit.set_ylabel("density over rows")
    pit.set_ylim(0, None)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=5, fontsize=7)
    return figure
