"""Several runs of saliency side by side: what strides leave in the picture, and how far from its place a network looks.

What the checks condemn on a network is marked so here, too.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from limelight.errors import problem
from limelight.figures.common import check_size, line_style, no_ticks, show_plane
from limelight.figures.figure import StudyFigure
from limelight.figures.saliency import DASHES, FAILS, mark
from limelight.figures.style import GUIDE, PAGE_IN, TRUTH
from limelight.saliency.saliency_file import Picture, Saliency

MOST_RUNS = 4
SHOWN_FIRST = "gradient"  # the method that is compared, where a run has it


def saliency_strides(files: list[Saliency], shown: Sequence[int] = ()) -> Figure:
    """Mean attribution of all pixels of each run, and its means by place modulo four pixels, with their errors over rows."""
    check_size("runs", len(files), MOST_RUNS)
    figure = Figure(figsize=(PAGE_IN, 0.5 + 2 * PAGE_IN / max(3, len(files))))
    axes = figure.subplots(2, len(files), squeeze=False)
    for panels, run in zip(axes.T, files, strict=True):
        answer, one = _of_all_pixels(run)
        plane = one.mean.sum(axis=tuple(range(3, one.mean.ndim))).sum(axis=0)
        show_plane(panels[0], plane / plane.mean(), run.header.axes, vmin=0, vmax=2.5)
        panels[0].set_title(_words(run, answer, one, ": "), fontsize=8, color=FAILS if one.faults else TRUTH)
        _classes(panels[1], one.tables["stride"], one.tables["stride_error"])
        for panel in panels:
            no_ticks(panel)
        mark(panels[0], one)
    axes[0, 0].set_ylabel("attribution over its mean", fontsize=8)
    axes[1, 0].set_ylabel("mean by place modulo four", fontsize=8)
    return figure


def _classes(panel: Axes, mean: np.ndarray, error: np.ndarray) -> None:
    panel.imshow(mean, vmin=0.5, vmax=1.5, cmap="RdBu_r")
    for (i, j), value in np.ndenumerate(mean):
        panel.text(j, i, f"{value:.2f}\n±{error[i, j]:.2f}", ha="center", va="center", fontsize=6)
    panel.set_xlabel(f"{mean.min():.2f} to {mean.max():.2f}", fontsize=7.5)


def saliency_reach(files: list[Saliency], shown: Sequence[int] = ()) -> Figure:
    """Attribution by distance from the answer's place, beside exact estimators; dotted: how far a network can see at all."""
    figure = Figure(figsize=(PAGE_IN, 2.9))
    profile, within = figure.subplots(1, 2)
    found = [
        (run, answer, run.pictures[answer, _method(run)])
        for run in files
        for answer in run.answers
        if "radius" in run.pictures[answer, _method(run)].tables
    ]
    if not found:
        raise problem("saliency_reach", "no answer of a pixel or region", "runs with one", "give their answers a place")
    for k, (run, answer, one) in enumerate(found):
        look = {**line_style(k), "marker": ""}
        _distance(profile, within, one, label=_words(run, answer, one, ", "), **look)
        within.axvline(one.numbers["receptive"], color=look["color"], lw=0.8, ls=":")
    exact = {name: one for run in files for (_, name), one in run.references.items()}
    for i, (name, one) in enumerate(exact.items()):
        _distance(profile, within, one, label=f"exact: {name}", color=GUIDE, ls=DASHES[i % len(DASHES)])
    profile.set_yscale("log")
    _, top = profile.get_ylim()
    profile.set_ylim(top * 1e-10, top)  # below stands what is 0 but for rounding
    profile.set_ylabel("mean attribution of a pixel")
    within.set_ylabel("attribution within")
    within.set_ylim(0, 1.02)
    for panel in (profile, within):
        panel.set_xlabel("distance from the output [pixels]")
    figure.legend(*profile.get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=7.5)
    return figure


def _distance(profile: Axes, within: Axes, one: Picture, **look) -> None:
    r = np.arange(len(one.tables["radius"]))
    profile.plot(r, np.where(one.tables["radius"] > 0, one.tables["radius"], np.nan), lw=1.1, **look)
    within.plot(r + 0.5, one.tables["within"], lw=1.1, **look)


def _words(run: Saliency, answer: str, one: Picture, between: str) -> str:
    """Network and answer of a run, and whether the checks condemn what is shown."""
    return f"{run.network}{between}{answer}{' (FAILS)' if one.faults else ''}".replace("_", " ")


def _method(run: Saliency) -> str:
    return SHOWN_FIRST if SHOWN_FIRST in run.methods else run.methods[0]


def _of_all_pixels(run: Saliency) -> tuple[str, Picture]:
    """The first answer of a run that has no place, as the compared method shows it."""
    for answer in run.answers:
        one = run.pictures[answer, _method(run)]
        if "radius" not in one.tables:
            return answer, one
    found = f"run {run.name} with answers {', '.join(run.answers)}"
    raise problem("saliency_strides", found, "an answer of all pixels", f"add one to saliency.{run.name}")


RUNS, CHAPTER = "saliency files", "What does it look at?"
SALIENCY_STRIDES = StudyFigure(saliency_strides, RUNS, "saliency_strides.rst", CHAPTER, reads="saliency")
SALIENCY_REACH = StudyFigure(saliency_reach, RUNS, "saliency_reach.rst", CHAPTER, reads="saliency")
