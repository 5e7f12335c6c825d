"""Networks that answer images: how well each scale is reconstructed, beside the estimators that saw the same data."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from limelight.errors import problem
from limelight.evaluation.evaluation_file import Evaluation
from limelight.figures.common import legend_name, line_style, some_channels, wave_number_axis
from limelight.figures.figure import ANY_TESTS, StudyFigure
from limelight.figures.style import COLOURS, GUIDE, PAGE_IN
from limelight.summaries.reconstruction import bootstrap, correlation, noise, transfer

STATISTICS = {
    "correlation": (correlation, "correlation $r$ with the truth"),
    "noise": (noise, r"noise $1/r^2 - 1$"),
    "transfer": (transfer, "transfer, predicted × true over true²"),
}
DASHES = ((0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))  # of estimators
MOST_CHANNELS = 4


def reconstruction(evaluations: list[Evaluation], shown: Sequence[int] = ()) -> Figure:
    """Correlation, noise and transfer of every channel by scale: a line for each network and test, dashed for estimators.

    Of more than MOST_CHANNELS as many are drawn, from the first to the last; the evaluations hold all.
    """
    first = evaluations[0]
    if first.scales is None:
        raise problem("reconstruction", f"answers of shape {first.truth.shape[1:]}", "images", "choose another figure")
    channels = some_channels(len(first.channels), MOST_CHANNELS)
    figure = Figure(figsize=(PAGE_IN, 0.8 + 2.4 * len(channels)))
    axes = figure.subplots(len(channels), len(STATISTICS), squeeze=False, sharex=True)
    handles: dict[str, Line2D] = {}
    for channel, panels in zip(channels, axes, strict=True):
        for panel, name in zip(panels, STATISTICS, strict=True):
            handles |= _lines(panel, evaluations, channel, name)
            panel.set_ylabel(STATISTICS[name][1], fontsize=8.5)
        panels[0].set_title(first.channels[channel], loc="left")
    for panel in axes[:-1].flat:
        panel.set_xlabel("")
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=3, fontsize=7.5)
    return figure


def _lines(panel: Axes, evaluations: list[Evaluation], channel: int, name: str) -> dict[str, Line2D]:
    """One statistic of a channel over the scales; what is drawn, by its name in the legend."""
    statistic, drawn = STATISTICS[name][0], {}
    tests = list(dict.fromkeys(e.test for e in evaluations))
    for k, e in enumerate(evaluations):
        shift = 1 + 0.012 * (k - (len(evaluations) - 1) / 2)  # so that error bars can be told apart
        found = e.statistics[name][channel], e.statistics[f"{name}_error"][channel]
        drawn[legend_name(e, evaluations)] = _line(panel, e, found, shift, **line_style(k))
        for i, estimator in enumerate(e.estimators_of(channel)):
            words = f"{estimator.replace('_', ' ')}, {e.test.replace('_', ' ')}"
            colour = GUIDE if len(tests) == 1 else COLOURS[tests.index(e.test) % len(COLOURS)]
            if words not in drawn:
                found = bootstrap(statistic, e.spectra_of(channel, estimator))
                drawn[words] = _line(panel, e, found, 1.0, color=colour, ls=DASHES[i % len(DASHES)], marker="")
    wave_number_axis(panel, evaluations[0].scales)
    if name == "noise":
        panel.set_yscale("log")
    else:
        panel.set_ylim(min(0.0, panel.get_ylim()[0]), max(1.05, min(panel.get_ylim()[1], 1.5)))
        panel.axhline(1, color=GUIDE, lw=0.7, ls=":")
    return drawn


def _line(panel: Axes, e: Evaluation, found: tuple[np.ndarray, np.ndarray], shift: float, **look) -> Line2D:
    """Values with their standard errors at the mean wave number of each shell."""
    values, errors = (np.where(np.isfinite(part), part, np.nan) for part in found)
    bars = panel.errorbar(e.spectra["k_mean"] * shift, values, errors, lw=1.1, elinewidth=0.7, ms=2.5, **look)
    return bars.lines[0]


RECONSTRUCTION = StudyFigure(
    reconstruction,
    ANY_TESTS,
    "reconstruction.rst",
    "Predictions",
    same=("axis", "scales", "target.shape"),
    statistics=("correlation", "noise", "transfer"),
)
