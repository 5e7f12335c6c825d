"""Figures of lines that were told apart: the maps beside one another, and how well each scale, voxel and peak came back."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from limelight.errors import problem
from limelight.evaluation.evaluation_file import Evaluation
from limelight.figures.common import (
    check_size,
    legend_name,
    line_style,
    middle_plane,
    no_ticks,
    show_plane,
    wave_number_axis,
)
from limelight.figures.figure import StudyFigure
from limelight.figures.style import GUIDE, PAGE_IN
from limelight.probes.line_intensity.mixture.judge import EDGES, precision_recall
from limelight.summaries.reconstruction import Spectra, bootstrap, correlation

NEEDS = "evaluation files of one test whose networks answer images of lines"
LOOKS = {"wiener": (0, (4, 1.5)), "pca": (0, (1, 1))}
MOST_LINES = 3


def separated_maps(evaluations: list[Evaluation], shown: Sequence[int]) -> Figure:
    """One channel of one row: what was recorded, and of each line the truth, the network's answer and the estimators'."""
    e = evaluations[0]
    _check(evaluations)
    check_size("lines", len(e.channels), MOST_LINES)
    row = next((i for i in shown if i < len(e.truth)), 0)
    names = [name for name in LOOKS if any(one.startswith(f"{name}_") for one in e.estimators_of(0))]
    columns = ["recorded", "true", *(one.network.replace("_", " ") for one in evaluations), *names]
    figure = Figure(figsize=(PAGE_IN, 0.35 + 0.95 * PAGE_IN / len(columns) * len(e.channels)))
    axes = figure.subplots(len(e.channels), len(columns), squeeze=False)
    for channel, (line, panels) in enumerate(zip(e.channels, axes, strict=True)):
        planes = [middle_plane(e.truth[row, channel])]
        planes += [middle_plane(one.predicted[row, one.channels.index(line)]) for one in evaluations]
        planes += [middle_plane(e.examples[f"{name}_{line}"][row]) for name in names]
        low, high = np.percentile(planes[0], (1, 99.7))
        number = list(e.header.geometry["maps"]).index(e.header.geometry["lines"][line]["map"])
        recorded = middle_plane(e.examples["noisy"][row, number])
        drawn = show_plane(panels[0], recorded, e.header.axes)
        figure.colorbar(drawn, ax=panels[0], fraction=0.05, pad=0.02).ax.tick_params(labelsize=6)
        for panel, plane in zip(panels[1:], planes, strict=True):
            drawn = show_plane(panel, plane, e.header.axes, vmin=low, vmax=max(high, low + 1e-30))
        figure.colorbar(drawn, ax=list(panels[1:]), fraction=0.02, pad=0.01).ax.tick_params(labelsize=6)
        panels[0].set_ylabel(f"{line} [µK]", fontsize=8)
    for panel, words in zip(axes[0], columns, strict=True):
        panel.set_title(words, fontsize=8)
    for panel in axes.flat:
        no_ticks(panel)
    return figure


def separated_scales(evaluations: list[Evaluation], shown: Sequence[int] = ()) -> Figure:
    """Of each line: correlation with the truth and power over the truth's by scale, and the distribution of voxels."""
    e = evaluations[0]
    _check(evaluations)
    check_size("lines", len(e.channels), MOST_LINES)
    figure = Figure(figsize=(PAGE_IN, 0.7 + 2.2 * len(e.channels)))
    axes = figure.subplots(len(e.channels), 3, squeeze=False)
    handles = {}
    for channel, (line, panels) in enumerate(zip(e.channels, axes, strict=True)):
        for k, one in enumerate(evaluations):
            mine = one.channels.index(line)
            score = precision_recall(one.spectra["peaks"][:, mine])
            words = legend_name(one, evaluations)
            handles[words] = _lines(panels, one, mine, line, one.spectra["voxels"][:, mine], score, line_style(k))
        for name in e.estimators_of(channel):
            kind = name.removesuffix(f"_{line}")
            look = {"color": GUIDE, "ls": LOOKS[kind], "marker": ""}
            shares = e.spectra[f"{name}_voxels"][:, 0]
            score = precision_recall(e.spectra[f"{name}_peaks"][:, 0])
            handles[kind] = _lines(panels, e, channel, line, shares, score, look, name)
        _true_voxels(panels[2], e.spectra["voxels_true"][:, channel])
        panels[0].set_ylabel(f"{line}: correlation $r$", fontsize=8)
        panels[1].set_ylabel("power over the truth's", fontsize=8)
        panels[2].set_ylabel("share of voxels", fontsize=8)
        panels[2].set_xlabel("(T − mean) / σ of the true map", fontsize=8)
        panels[2].legend(fontsize=6, title="precision, recall of peaks", title_fontsize=6)
        for panel in panels[:2]:
            wave_number_axis(panel, e.scales)
            panel.axhline(1, color=GUIDE, lw=0.6, ls=":")
        panels[0].set_ylim(0, 1.02)
        panels[1].set_ylim(0, 2)
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=4, fontsize=7.5)
    return figure


def _check(evaluations: list[Evaluation]) -> None:
    first = evaluations[0]
    wrong = [e.network for e in evaluations if e.scales is None or set(e.channels) != set(first.channels)]
    if wrong or len({e.test for e in evaluations}) > 1:
        found = f"networks {', '.join(wrong) or 'of several tests'}"
        raise problem("figure", found, NEEDS, "choose others")


def _lines(panels: Sequence[Axes], e: Evaluation, channel: int, line: str, shares, score, look: dict, estimator=""):
    """One method in the three panels of a line; returns what stands in the legend."""
    spectra = e.spectra_of(channel, estimator) if estimator else e.spectra_of(channel)
    for panel, statistic in zip(panels, (correlation, _power_ratio), strict=False):
        values, errors = (np.where(np.isfinite(part), part, np.nan) for part in bootstrap(statistic, spectra))
        bars = panel.errorbar(e.spectra["k_mean"], values, errors, lw=1.1, elinewidth=0.7, ms=2.5, **look)
    middles = (EDGES[1:] + EDGES[:-1]) / 2
    plain = {**look, "marker": ""}
    panels[2].plot(middles, shares.mean(axis=0), lw=1.0, label="{:.0%}, {:.0%}".format(*np.nan_to_num(score)), **plain)
    return bars.lines[0]


def _true_voxels(panel: Axes, shares: np.ndarray) -> None:
    panel.plot((EDGES[1:] + EDGES[:-1]) / 2, shares.mean(axis=0), color="black", lw=1.4, label="truth")
    panel.set_yscale("log")
    panel.set_xscale("symlog", linthresh=1)


def _power_ratio(spectra: Spectra) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return spectra.predicted.sum(0) / spectra.truth.sum(0)


SEPARATED_MAPS = StudyFigure(
    separated_maps, NEEDS, "line_mixture/separated_maps.rst", "Predictions", same=("test", "target.shape"), rows=True
)
SEPARATED_SCALES = StudyFigure(
    separated_scales, NEEDS, "line_mixture/separated_scales.rst", "Predictions", same=("test", "scales")
)
