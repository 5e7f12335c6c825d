"""Networks that predict images: single rows, true and predicted."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from limelight.errors import problem
from limelight.evaluation.evaluation_file import Evaluation
from limelight.figures.common import (
    MOST_ROWS,
    check_size,
    legend_name,
    middle_plane,
    no_ticks,
    show_plane,
    some_channels,
)
from limelight.figures.figure import ANY_TESTS, StudyFigure
from limelight.figures.style import PAGE_IN


def image_examples(evaluations: list[Evaluation], shown: Sequence[int]) -> Figure:
    """Truth, prediction and their difference, one row per test, row of data and channel; the middle plane of each.

    Of as many of the channels, and then of the rows of data, as fit on a page.
    """
    count = evaluations[0].truth.shape[1] if evaluations[0].truth.ndim > 3 else 1
    channels = some_channels(count, MOST_ROWS // len(evaluations))
    some = list(shown)[: max(1, MOST_ROWS // (len(evaluations) * len(channels)))]
    rows = [(e, i, channel) for e in evaluations for i in some if i < len(e.truth) for channel in channels]
    check_size("rows", len(rows), MOST_ROWS)
    if not rows or evaluations[0].truth.ndim < 4:
        found = f"rows {list(shown)} of answers of shape {evaluations[0].truth.shape[1:]}"
        raise problem("image_examples", found, "rows that the tests have, of images", "choose others")
    figure = Figure(figsize=(PAGE_IN, 0.5 + len(rows) * PAGE_IN / 3.4))
    axes = figure.subplots(len(rows), 3, squeeze=False)
    for panels, (e, i, channel) in zip(axes, rows, strict=True):
        truth, predicted = (middle_plane(values[i, channel]) for values in (e.truth, e.predicted))
        low, high = np.percentile(truth, (0.5, 99.5))
        reach = float(np.percentile(np.abs(predicted - truth), 99.5)) or 1.0
        scales = [{"vmin": low, "vmax": max(high, low + 1e-30)}] * 2 + [
            {"vmin": -reach, "vmax": reach, "cmap": "RdBu_r"}
        ]
        for panel, plane, scale in zip(panels, (truth, predicted, predicted - truth), scales, strict=True):
            drawn = show_plane(panel, plane, e.header.axes, **scale)
            no_ticks(panel)
            figure.colorbar(drawn, ax=panel, fraction=0.05, pad=0.02).ax.tick_params(labelsize=7)
        name = f"{e.channels[channel]}, " if count > 1 else ""
        panels[0].set_ylabel(f"{name}{legend_name(e, evaluations)}, row {i}", fontsize=8)
    for panel, words in zip(axes[0], ("true", "predicted", "predicted − true"), strict=True):
        panel.set_title(words)
    return figure


IMAGE_EXAMPLES = StudyFigure(
    image_examples, ANY_TESTS, "image_examples.rst", "Predictions", same=("target.shape",), rows=True
)
