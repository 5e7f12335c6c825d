"""How training went, epoch by epoch."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, MaxNLocator, NullLocator

from limelight.evaluation.evaluation_file import Evaluation
from limelight.figures.common import networks_of
from limelight.figures.figure import ONE_EACH, StudyFigure
from limelight.figures.style import COLOURS, GUIDE, PAGE_IN

LOSSES = {
    "mse": "mean square",
    "mae": "mean absolute error",
    "log_cosh": "mean log-cosh",
    "msle": "mean squared log",
    "poisson": "−ln Poisson likelihood per output",
    "negative_binomial": "−ln negative binomial likelihood per output",
    "cross_entropy": "cross entropy [nats]",
}


def loss_history(evaluations: list[Evaluation], shown: Sequence[int] = ()) -> Figure:
    """Loss and squared error by epoch, training and validation, with "always the training mean"; one row per network."""
    networks = networks_of(evaluations)
    figure = Figure(figsize=(PAGE_IN, 0.4 + 2.6 * len(networks)))
    axes = figure.subplots(len(networks), 2, squeeze=False, sharex="row")
    for row, e in zip(axes, networks, strict=True):
        for panel, name, words in zip(row, ("loss", "mse"), _words(e), strict=True):
            _history(panel, e, name)
            panel.set_xlabel("epoch")
            panel.set_ylabel(words)
            if len(networks) > 1:
                panel.set_title(e.network.replace("_", " "))
        if e.target["standardise"]:
            row[0].set_ylabel(f"{row[0].get_ylabel()}, standardised target")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    return figure


def training_histories(evaluations: list[Evaluation], shown: Sequence[int] = ()) -> Figure:
    """Loss and squared error by epoch of several networks, one column each."""
    networks = networks_of(evaluations)
    lines = -(-len(networks) // 4)
    across = -(-len(networks) // lines)
    figure = Figure(figsize=(PAGE_IN, 0.4 + (3.4 if across < 4 else 3.0) * lines))
    blocks = figure.subfigures(lines, 1, squeeze=False)[:, 0]
    for block, start in zip(blocks, range(0, len(networks), across), strict=True):
        axes = block.subplots(2, across, squeeze=False, sharex="col")
        for column in axes.T[len(networks) - start :]:
            for panel in column:
                panel.set_axis_off()
        before = None
        for column, e in zip(axes.T, networks[start : start + across], strict=False):
            for panel, name in zip(column, ("loss", "mse"), strict=True):
                _history(panel, e, name)
            column[0].set_title(e.network.replace("_", " "))
            column[1].set_xlabel("epoch")
            words = _words(e)
            if words != before:  # one label serves its neighbours to the right
                for panel, label in zip(column, words, strict=True):
                    panel.set_ylabel(label, fontsize=8.5)
            before = words
    handles, labels = blocks[0].axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    return figure


LOSS_HISTORY = StudyFigure(loss_history, ONE_EACH, "loss_history.rst", "Training")
TRAINING_HISTORIES = StudyFigure(training_histories, ONE_EACH, "training_histories.rst", "Training")


def _words(e: Evaluation) -> tuple[str, str]:
    """Labels of a network's loss and of its squared error."""
    loss = e.settings["loss"]
    return f"loss: {LOSSES.get(loss, loss)}", f"mean squared error [{_squared_unit(e)}]"


def _history(panel: Axes, e: Evaluation, name: str) -> None:
    """One quantity by epoch: training filled and solid, validation open and dashed, so that no legend can swap them."""
    history, epoch = e.history, e.history["epoch"]
    every = max(1, len(epoch) // 12)
    panel.plot(epoch, history[f"train_{name}"], color=COLOURS[0], marker="o", markevery=every, label="training")
    kind = {"color": COLOURS[1], "marker": "s", "ls": "--", "mfc": "white", "markevery": every}
    panel.plot(epoch, history[f"validation_{name}"], **kind, label="validation")
    panel.axhline(float(history[f"mean_predictor_{name}"][-1]), color=GUIDE, ls=":", label="always the training mean")
    shown = np.concatenate([np.ravel(line.get_ydata()) for line in panel.lines])
    if shown.min() > 0:  # a likelihood's loss may fall below zero
        panel.set_yscale("log")
        if shown.max() < 10 * shown.min():
            panel.yaxis.set_minor_formatter(FormatStrFormatter("%g"))
    panel.set_xlim(epoch[0] - 0.5, epoch[-1] + 0.5)
    panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    panel.xaxis.set_minor_locator(NullLocator())


def _squared_unit(e: Evaluation) -> str:
    """The unit of a network's squared error: a target with a transform is a logarithm."""
    if "accuracy" in e.totals:
        return "probability$^2$"
    return "dex$^2$" if e.target.get("transform", "none") != "none" else "target$^2$"
