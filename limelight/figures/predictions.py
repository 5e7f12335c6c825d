"""Predictions compared with the truth, for any vector of outputs."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from limelight.data.axes import OutputAxis
from limelight.evaluation.evaluation_file import Evaluation
from limelight.figures.common import (
    colour_and_marker,
    legend_name,
    output_axis,
    output_names,
    over_outputs,
    panel_grid,
    statistics_axis,
)
from limelight.figures.figure import ANY_TESTS, StudyFigure
from limelight.figures.style import COLUMN_IN, GUIDE, PAGE_IN, TRUTH

MOST_OUTPUTS, MOST_ROWS = 9, 2000  # outputs, and rows of each test, that are drawn


def predicted_against_true(evaluations: list[Evaluation], shown: Sequence[int] = ()) -> Figure:
    """Predicted against true, one panel per output and one colour per test; nine of many outputs, evenly spread."""
    first = evaluations[0]
    truth = _flat(first.truth)
    names = output_names(OutputAxis(first.axis.label) if first.scales else first.axis, truth.shape[1])
    outputs = np.unique(np.linspace(0, truth.shape[1] - 1, min(MOST_OUTPUTS, truth.shape[1])).round().astype(int))
    columns = min(len(outputs), 3)
    lines = -(-len(outputs) // columns)
    width = COLUMN_IN * 1.25 if columns == 1 else PAGE_IN
    figure = Figure(figsize=(width, 0.5 + lines * width / columns))
    for panel, i in zip(panel_grid(figure, len(outputs), columns), outputs, strict=True):
        for k, e in enumerate(evaluations):
            rows = slice(0, None, -(-len(e.truth) // MOST_ROWS))
            pair = _flat(e.truth)[rows, i], _flat(e.predicted)[rows, i]
            panel.plot(*pair, **colour_and_marker(k), ls="", ms=2, alpha=0.5, mew=0, rasterized=True)
        ends = min(panel.get_xlim()[0], panel.get_ylim()[0]), max(panel.get_xlim()[1], panel.get_ylim()[1])
        panel.plot(ends, ends, color=TRUTH, lw=0.8)
        panel.set(xlim=ends, ylim=ends, xlabel="true", title=names[i])
        panel.set_box_aspect(1)
        if panel.get_subplotspec().is_first_col():
            panel.set_ylabel("predicted")
    figure.legend(
        handles=_handles(evaluations, ls="", ms=4), loc="outside upper center", ncols=min(len(evaluations), 4)
    )
    return figure


def spread_ratio(evaluations: list[Evaluation], shown: Sequence[int] = ()) -> Figure:
    """Spread of the predictions over the spread of the truths, per output and test: 0 is a constant answer."""
    figure, panel = spread_panel(evaluations)
    figure.legend(handles=_handles(evaluations, lw=1.2), loc="outside upper center", ncols=1)
    return figure


def spread_panel(evaluations: list[Evaluation]) -> tuple[Figure, Axes]:
    """`spread_ratio` without its legend."""
    figure = Figure(figsize=(COLUMN_IN * 1.25, 3.2))
    panel, axis = figure.subplots(), statistics_axis(evaluations[0])
    for height, dashes in ((1.0, "-"), (0.8, (0, (4, 2)))):
        panel.axhline(height, color=GUIDE, lw=0.7, ls=dashes)
    top = 0.0
    for k, e in enumerate(evaluations):
        ratio = e.statistics["spread_ratio"].ravel()
        panel.plot(*over_outputs(axis, ratio), **colour_and_marker(k), markevery=(k, 3), lw=1.2)
        top = max(top, float(np.nan_to_num(ratio).max()))
    panel.set_ylim(0, float(np.clip(1.1 * top, 1.2, 2.0)))  # outputs that hardly vary may go through the roof
    panel.set_ylabel(r"$\sigma$(predicted) / $\sigma$(true)")
    output_axis(panel, axis, len(ratio))
    return figure, panel


PREDICTED_AGAINST_TRUE = StudyFigure(
    predicted_against_true, ANY_TESTS, "predicted_against_true.rst", "Predictions", same=("axis", "target.shape")
)
SPREAD_RATIO = StudyFigure(
    spread_ratio, ANY_TESTS, "spread_ratio.rst", "Does it read its data?", same=("axis", "scales", "target.shape")
)


def _flat(values: np.ndarray) -> np.ndarray:
    """(rows, outputs), whatever the shape of an answer."""
    return values.reshape(len(values), -1)


def _handles(evaluations: list[Evaluation], **kind) -> list[Line2D]:
    return [
        Line2D([], [], **{**colour_and_marker(k), **kind}, label=legend_name(e, evaluations))
        for k, e in enumerate(evaluations)
    ]
