"""The money plot: 95 % intervals of every method on the same maps with the same noise."""

import itertools

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from limelight.data.axes import OutputAxis
from limelight.figures.style import COLOURS, MARKERS, PAGE_IN, PUBLISHED, TRUTH, style
from limelight.probes.line_intensity.figures.common import luminosity_axis
from limelight.probes.line_intensity.published import MCMC_NOISE_UK

SHOWN_COUNT = 1.0  # sources per map that a bin needs to be drawn


def money_figure(rows: list[dict], axis: OutputAxis) -> Figure:
    """95 % intervals about the truth and the share of truths inside, per luminosity. Columns: noises; rows: line models.

    rows: of money.money_table; axis: of their luminosity bins. The ideal of a line model appears in all its panels, the
    published interval where the noise is the same.
    """
    tests = [row for row in rows if row.get("test") and row["method"] != "ideal"]
    models = list(dict.fromkeys(row["line_model"] for row in tests))
    noises = sorted({round(row["noise_uk_per_paper_voxel"], 2) for row in tests})
    looks = {
        method: {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}
        for i, method in enumerate(dict.fromkeys(row["method"] for row in tests))
    }
    with style():
        figure = Figure(figsize=(PAGE_IN, 0.6 + 3.1 * len(models)))
        ratios = [2.2, 1] * len(models)
        axes = figure.subplots(
            2 * len(models), len(noises), sharex=True, sharey="row", squeeze=False, height_ratios=ratios
        )
        for (i, model), (j, noise) in itertools.product(enumerate(models), enumerate(noises)):
            top, bottom = axes[2 * i : 2 * i + 2, j]
            _band(top, [r for r in rows if r["method"] == "ideal" and r["line_model"] == model])
            if abs(noise - MCMC_NOISE_UK) < 6:
                _edges(top, [r for r in rows if r["method"] == "published MCMC"], color=PUBLISHED, ls="--", lw=1.2)
            here = [r for r in tests if r["line_model"] == model and round(r["noise_uk_per_paper_voxel"], 2) == noise]
            _methods(top, bottom, here, looks)
            luminosity_axis(bottom, axis)
            if i == 0:
                top.set_title("no noise" if noise == 0 else f"{noise:.3g} µK per paper voxel")
            if j == 0:
                top.set_ylabel(f"{model.replace('_', ' ')}\ninterval / truth − 1")
                bottom.set_ylabel("covered")
        for panel in axes[:-1].ravel():
            panel.set_xlabel("")
        handles = [Line2D([], [], **look, ms=3, lw=1.1, label=method) for method, look in looks.items()]
        handles.append(Line2D([], [], color="0.8", lw=6, label="ideal: halos known"))
        handles.append(Line2D([], [], color=PUBLISHED, ls="--", lw=1.2, label="published MCMC (1808.07487)"))
        figure.legend(handles=handles, loc="outside upper center", ncols=3)
        return figure


def _methods(top: Axes, bottom: Axes, rows: list[dict], looks: dict[str, dict]) -> None:
    """The methods of one line model under one noise: intervals and bias above, coverage below."""
    for method, look in looks.items():
        mine = _filled([row for row in rows if row["method"] == method])
        _edges(top, mine, color=look["color"], lw=1.1)
        x = [row["luminosity_lsun"] for row in mine]
        top.plot(x, [row["bias"] for row in mine], lw=0, ms=2, **look)
        bottom.plot(x, [row["covered_95"] for row in mine], color=look["color"], lw=1.1)
    top.axhline(0, color=TRUTH, lw=0.7)
    bottom.axhline(0.95, color=TRUTH, lw=0.7)
    top.set_ylim(-1, 2)
    bottom.set_ylim(0.5, 1.02)


def _filled(rows: list[dict]) -> list[dict]:
    return [row for row in rows if row.get("mean_count", SHOWN_COUNT) >= SHOWN_COUNT and "width_95" in row]


def _edges(axes: Axes, rows: list[dict], **kind) -> None:
    for side in ("lower_95", "upper_95"):
        axes.plot([row["luminosity_lsun"] for row in rows], [row[side] for row in rows], **kind)


def _band(axes: Axes, rows: list[dict]) -> None:
    rows = _filled(rows)
    if rows:
        x, low, high = ([row[name] for row in rows] for name in ("luminosity_lsun", "lower_95", "upper_95"))
        axes.fill_between(x, low, high, color="0.8", lw=0, zorder=0)
