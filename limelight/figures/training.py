"""How a network was trained, and on what."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, MaxNLocator, NullLocator

from limelight.evaluation.evaluation_file import Evaluation
from limelight.figures.common import counts_axis, networks_of
from limelight.figures.style import COLOURS, COLUMN_IN, GUIDE, PAGE_IN, luminosity_axis

LOSSES = {
    "mse": "mean square",
    "log_cosh": "mean log-cosh",
    "msle": "mean squared log",
    "poisson": "−ln Poisson likelihood a bin",
    "negative_binomial": "−ln negative binomial likelihood a bin",
}


def loss_history(evaluations: list[Evaluation], maps: Sequence[int] = ()) -> Figure:
    """Loss and squared error by epoch, training and validation, beside "always the training mean"; a row a network."""
    shown = networks_of(evaluations)
    figure = Figure(figsize=(PAGE_IN, 0.4 + 2.6 * len(shown)))
    axes = figure.subplots(len(shown), 2, squeeze=False, sharex="row")
    for row, e in zip(axes, shown, strict=True):
        for panel, name in zip(row, ("loss", "mse"), strict=True):
            _history(panel, e, name)
            panel.set_xlabel("epoch")
            if len(shown) > 1:
                panel.set_title(e.network.replace("_", " "))
        standardised = ", standardised target" if e.target["standardise"] else ""
        row[0].set_ylabel(f"loss: {LOSSES.get(e.settings['loss'], e.settings['loss'])}{standardised}")
        row[1].set_ylabel(f"mean squared error [{_squared_unit(e)}]")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    return figure


def training_histories(evaluations: list[Evaluation], maps: Sequence[int] = ()) -> Figure:
    """Loss and squared error by epoch of several networks, a column each."""
    shown = networks_of(evaluations)
    lines = -(-len(shown) // 4)
    across = -(-len(shown) // lines)
    figure = Figure(figsize=(PAGE_IN, 0.4 + (3.4 if across < 4 else 3.0) * lines))
    blocks = figure.subfigures(lines, 1, squeeze=False)[:, 0]
    for block, start in zip(blocks, range(0, len(shown), across), strict=True):
        axes = block.subplots(2, across, squeeze=False, sharex="col")
        for column in axes.T[len(shown) - start :]:
            for panel in column:
                panel.set_axis_off()
        before = None
        for column, e in zip(axes.T, shown[start : start + across], strict=False):
            for panel, name in zip(column, ("loss", "mse"), strict=True):
                _history(panel, e, name)
            column[0].set_title(e.network.replace("_", " "))
            column[1].set_xlabel("epoch")
            words = (
                f"loss: {LOSSES.get(e.settings['loss'], e.settings['loss'])}",
                f"mean squared error [{_squared_unit(e)}]",
            )
            if words != before:  # one label serves its neighbours to the right
                for panel, label in zip(column, words, strict=True):
                    panel.set_ylabel(label, fontsize=8.5)
            before = words
    handles, labels = blocks[0].axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    return figure


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
    return "dex$^2$" if e.target["transform"] != "none" else "target$^2$"


def training_spread(evaluations: list[Evaluation], maps: Sequence[int] = ()) -> Figure:
    """The luminosity functions of the training maps: median, 68 % and 95 % ranges, and below them over their mean."""
    shown = networks_of(evaluations)
    figure = Figure(figsize=(COLUMN_IN * 1.25 if len(shown) == 1 else PAGE_IN, 4.4))
    axes = figure.subplots(2, len(shown), sharex=True, sharey="row", squeeze=False, height_ratios=(2, 1))
    for (top, bottom), e in zip(axes.T, shown, strict=True):
        p, mean, lum = e.training["percentiles"], e.training["mean"], e.luminosity_lsun
        share = np.divide(p, mean, out=np.full(p.shape, np.nan), where=mean > 0)
        for panel, values in ((top, p), (bottom, share)):
            panel.fill_between(
                lum, values[0], values[4], color=COLOURS[0], alpha=0.2, lw=0, label="95 % of training maps"
            )
            panel.fill_between(lum, values[1], values[3], color=COLOURS[0], alpha=0.4, lw=0, label="68 %")
            panel.plot(lum, values[2], color=COLOURS[0], label="median")
        top.plot(lum, mean, color=COLOURS[1], ls="--", lw=1.1, label="mean")
        bottom.axhline(1, color=COLOURS[1], ls="--", lw=1.1)
        bottom.set_ylim(0, float(np.clip(1.15 * np.nanpercentile(share[4], 95), 1.5, 6)))
        luminosity_axis(bottom, (e.log10_lum_edges[0], e.log10_lum_edges[-1]))
        if len(shown) > 1:
            top.set_title(e.network.replace("_", " "))
    counts_axis(axes[0, 0], shown[0].target["quantity"], [e.training["percentiles"] for e in shown])
    axes[1, 0].set_ylabel("over the mean")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2)
    return figure
