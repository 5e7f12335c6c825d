"""What a network looks at: pictures of saliency, shares by what the pixels are, and the checks of every method.

A method that fails on a network is marked so on every figure, in words and in another colour.
"""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from limelight.data.answers import answer_weights
from limelight.data.axes import axis_from
from limelight.figures.common import check_size, no_ticks, output_axis, over_outputs, show_plane
from limelight.figures.figure import StudyFigure
from limelight.figures.style import COLOURS, GUIDE, PAGE_IN, TRUTH
from limelight.saliency.checks import CHECKS
from limelight.saliency.saliency_file import Picture, Saliency, in_words
from limelight.saliency.shares import DIRECTIONS, VALUE_EDGES, modes, waves
from limelight.study.saliency import Answer

DASHES = ((0, (4, 1.5)), (0, (1, 1)))  # of exact saliencies of estimators
FAILS = COLOURS[1]  # of everything that is written of a condemned method
MOST_ANSWERS = 4
DATA_LOOK = {"color": TRUTH, "lw": 1.6, "alpha": 0.5, "label": "share of what makes the data"}
SHORT = {
    "gradient": "gradient",
    "smoothgrad": "SmoothGrad",
    "input_x_gradient": "input × gradient",
    "integrated_gradients": "integrated gradients",
    "deeplift": "DeepLIFT",
    "guided_backprop": "guided backprop",
    "deconvolution": "deconvolution",
    "occlusion": "occlusion",
    "ablation": "ablation",
}


def saliency_maps(files: list[Saliency], shown: Sequence[int] = ()) -> Figure:
    """Attribution, one row per answer and one column per method; of the first row of data, of images the mean of all."""
    result = files[0]
    _check(result)
    image, methods = len(result.target["shape"]) > 1, result.methods
    lines = [(answer, channel) for answer in result.answers for channel in _channels(result, answer)]
    exact = bool(result.references)
    words = max(len(_fault_lines(one)) for one in result.pictures.values())
    figure = Figure(figsize=(PAGE_IN, 0.9 + (1.15 + 0.1 * words) * len(lines)))
    axes = figure.subplots(len(lines), 1 + len(methods) + exact, squeeze=False)
    for line, (answer, channel) in zip(axes, lines, strict=True):
        _plane(line[0], result.inputs[0, channel], result, low=1)
        line[0].set_ylabel(answer.replace("_", " "), fontsize=8)
        line[0].set_title(f"data: {result.channels[channel]}".replace("_", " "), fontsize=7)
        for panel, method in zip(line[1:], methods, strict=False):
            one = result.pictures[answer, method]
            _plane(panel, _over_further(one.mean)[channel] if image else one.examples[0, channel], result)
            panel.set_title(SHORT[method].replace(" ", "\n", 1), fontsize=7, color=FAILS if one.faults else TRUTH)
            mark(panel, one)
        if exact:
            _exact(line[-1], result, answer, channel)
    figure.suptitle(_title(result, "mean attribution of all rows" if image else "attribution of one row"), fontsize=8.5)
    return figure


def _channels(result: Saliency, answer: str) -> list[int]:
    """Those of a network's channels that there is room for: the ones with most attribution, by the first method."""
    mean = result.pictures[answer, result.methods[0]].mean
    share = mean.reshape(len(mean), -1).sum(axis=1)
    return sorted(np.argsort(-share, kind="stable")[: 2 * MOST_ANSWERS // len(result.answers)].tolist())


def _exact(panel: Axes, result: Saliency, answer: str, channel: int) -> None:
    """What an estimator without a network looks at, where it is known; else nothing."""
    found = {name: one for (of, name), one in result.references.items() if of == answer}
    if not found:
        panel.set_axis_off()
        return
    name, one = next(iter(found.items()))
    _plane(panel, _over_further(one.mean)[channel], result)
    panel.set_title(f"exact:\n{name}", fontsize=7, color=GUIDE)


def mark(panel: Axes, one: Picture) -> None:
    """Say on the picture itself what condemns it."""
    for side in panel.spines.values():
        side.set_color(FAILS if one.faults else GUIDE)
        side.set_linewidth(1.6 if one.faults else 0.7)
    if one.faults:
        panel.set_xlabel("\n".join(_fault_lines(one)), fontsize=5.5, color=FAILS, labelpad=1.5)


def _fault_lines(one: Picture) -> list[str]:
    return [line for fault in ["FAILS:", *one.faults] for line in textwrap.wrap(fault, 18)] if one.faults else []


def _plane(panel: Axes, image: np.ndarray, result: Saliency, low: float = 0) -> None:
    """One plane, clipped at its brightest half percent."""
    no_ticks(panel)
    first, last = np.percentile(image, (low, 99.5))
    show_plane(panel, image, result.header.axes, vmin=first, vmax=last if last > first else first + 1)


def _over_further(values: np.ndarray) -> np.ndarray:
    """(channels, *axes) added up over all axes after the second."""
    return values.sum(axis=tuple(range(3, values.ndim)))


def saliency_shares(files: list[Saliency], shown: Sequence[int] = ()) -> Figure:
    """Shares of attribution by value, wave number, direction, distance and the probe's classes; one row per answer."""
    result = files[0]
    _check(result)
    drawn = [_values, _waves, _directions, *[_distances] * _has_place(result)]
    drawn += [lambda panel, found, answer, name=name: _classes(panel, found, answer, name) for name in result.classes]
    answers = list(result.answers)
    lines, width = [], 3
    for answer in answers:
        lines += [[(answer, draw) for draw in drawn[i : i + width]] for i in range(0, len(drawn), width)]
    figure = Figure(figsize=(PAGE_IN, 0.7 + 2.1 * len(lines)))
    axes = figure.subplots(len(lines), width, squeeze=False)
    for panels, line in zip(axes, lines, strict=True):
        for panel in panels[len(line) :]:
            panel.set_axis_off()
        for panel, (answer, draw) in zip(panels, line, strict=False):
            draw(panel, result, answer)
            if draw is drawn[0]:
                panel.set_title(f"{answer}".replace("_", " "), loc="left", fontweight="bold")
    handles, _ = axes[0, 0].get_legend_handles_labels()
    if any(len(found["amount"]) for found in result.classes.values()):
        handles.append(Line2D([], [], **DATA_LOOK))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=7.5)
    figure.suptitle(_title(result, "dashed: condemned on this network"), fontsize=8.5)
    return figure


def _lines(result: Saliency, answer: str):
    """(method, its picture, how its line looks) of every method."""
    for i, method in enumerate(result.methods):
        one = result.pictures[answer, method]
        label = f"{SHORT[method]}{' (FAILS)' if _fails(result, method) else ''}"
        yield one, {"color": (*COLOURS, GUIDE, "0.6")[i], "ls": "--" if one.faults else "-", "lw": 1.1, "label": label}


def _values(panel: Axes, result: Saliency, answer: str) -> None:
    """Share of attribution over share of pixels, by value in σ from the mean."""
    pixels = result.pixels_by_value.mean(axis=0)
    places = np.arange(len(pixels))
    for one, look in _lines(result, answer):
        share = one.tables["value"].sum(axis=0)
        panel.plot(places, np.divide(share, pixels, out=np.full(len(pixels), np.nan), where=pixels > 0), **look)
    panel.axhline(1, color=TRUTH, lw=0.8, ls=":")
    ends = [f"{edge:g}" for edge in VALUE_EDGES[1:-1]]
    panel.set_xticks(np.arange(len(ends)) + 0.5, ends)
    panel.tick_params(axis="x", which="minor", bottom=False, top=False)
    panel.set_yscale("log")
    panel.set_xlabel("value from the mean [σ]")
    panel.set_ylabel("attribution / pixels")


def _waves(panel: Axes, result: Saliency, answer: str) -> None:
    """Share of attribution over share of modes, by wave number."""
    found, (count, _) = waves(result.header.axes), modes(result.header)
    middle = 0.5 * (found.edges[1:] + found.edges[:-1])
    for one, look in _lines(result, answer):
        panel.plot(
            middle, np.divide(one.tables["wave"], count, out=np.full(len(count), np.nan), where=count > 0), **look
        )
    panel.axhline(1, color=TRUTH, lw=0.8, ls=":")
    panel.set_yscale("log")
    panel.set_xlabel(found.label)
    panel.set_ylabel("attribution / modes")


def _directions(panel: Axes, result: Saliency, answer: str) -> None:
    """Share of attribution over share of modes, by direction; 0 is along the first axis."""
    _, count = modes(result.header)
    for one, look in _lines(result, answer):
        values = np.divide(one.tables["direction"], count, out=np.full(len(count), np.nan), where=count > 0)
        panel.plot(np.arange(DIRECTIONS) * 180 / DIRECTIONS, values, **look)
    panel.axhline(1, color=TRUTH, lw=0.8, ls=":")
    panel.set_ylim(bottom=0)
    panel.set_xlabel("direction of the mode [deg]")
    panel.set_ylabel("attribution / modes")


def _has_place(result: Saliency) -> bool:
    return any("radius" in one.tables for one in result.pictures.values())


def _distances(panel: Axes, result: Saliency, answer: str) -> None:
    """Share of attribution within a distance of the answer's pixel."""
    some = False
    for one, look in _lines(result, answer):
        if "within" in one.tables:
            panel.plot(np.arange(len(one.tables["within"])) + 0.5, one.tables["within"], **look)
            some = True
    if not some:
        panel.set_axis_off()
        return
    exact = {name: one for (of, name), one in result.references.items() if of == answer}
    for dashes, (name, one) in zip(DASHES, exact.items(), strict=False):
        within = one.tables["within"]
        panel.plot(np.arange(len(within)) + 0.5, within, color=GUIDE, ls=dashes, lw=1.1)
        panel.text(0.97, 0.06, f"{name}: dashed", transform=panel.transAxes, ha="right", fontsize=6.5, color=GUIDE)
    panel.set_xscale("log")
    panel.set_ylim(0, 1.02)
    panel.set_xlabel("distance from the output [pixels]")
    panel.set_ylabel("attribution within")


def _classes(panel: Axes, result: Saliency, answer: str, name: str) -> None:
    """Shares of attribution by the probe's classes of pixels, beside shares of what makes the data."""
    found = result.classes[name]
    axis = axis_from(found["axis"])
    for one, look in _lines(result, answer):
        panel.plot(*over_outputs(axis, one.tables[f"class_{name}"]), **look)
    if len(found["amount"]):
        panel.plot(*over_outputs(axis, found["amount"]), **DATA_LOOK)
    output_axis(panel, axis, len(found["pixels"]))
    panel.set_ylim(bottom=0)
    panel.set_ylabel("share")


def saliency_checks(files: list[Saliency], shown: Sequence[int] = ()) -> Figure:
    """Every method put to the test: randomised layers, deletion, the audit's changes, and a table of all checks."""
    result = files[0]
    _check(result)
    table = 0.21 * (len(result.pictures) + len(result.left_out) + 4)
    heights = [*[2.2] * len(result.answers), table]
    figure = Figure(figsize=(PAGE_IN, 0.8 + sum(heights)))
    blocks = np.atleast_1d(figure.subfigures(len(heights), 1, height_ratios=heights))
    for block, answer in zip(blocks[:-1], result.answers, strict=True):
        panels = block.subplots(1, 3)
        _cascade(panels[0], result, answer)
        _curves(panels[1], result, answer)
        _foreseen(panels[2], result, answer)
        panels[0].set_title(answer.replace("_", " "), loc="left", fontweight="bold")
    _table(blocks[-1].subplots(), result)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, fontsize=7.5)
    figure.suptitle(_title(result, "dashed: condemned"), fontsize=8.5)
    return figure


def _cascade(panel: Axes, result: Saliency, answer: str) -> None:
    for one, look in _lines(result, answer):
        panel.plot(np.append(1.0, one.tried.cascade), **look)
    panel.axhline(result.settings["thresholds"]["randomised"], color=GUIDE, lw=0.7, ls=":")
    panel.set_xticks(range(len(result.stages) + 1), ["trained", *result.stages], rotation=60, fontsize=6, ha="right")
    panel.tick_params(axis="x", which="minor", bottom=False, top=False)
    panel.set_ylabel("rank correlation with\nthe trained network's", fontsize=8)
    panel.set_ylim(-0.25, 1.05)


def _curves(panel: Axes, result: Saliency, answer: str) -> None:
    fractions = result.settings["fractions"]
    for one, look in _lines(result, answer):
        panel.plot(fractions, one.tried.deletion, **look)
    panel.plot(fractions, result.random_deletion[answer], color=TRUTH, lw=1.6, alpha=0.5)
    panel.set_xlabel("pixels deleted, by attribution")
    panel.set_ylabel("change of the answer", fontsize=8)


def _foreseen(panel: Axes, result: Saliency, answer: str) -> None:
    """Responses to the audit's changes: what the gradient expects against what the network does, a point per output."""
    if not result.responses:
        panel.set_axis_off()
        return
    shape = tuple(result.target["shape"])
    chosen = answer_weights(Answer.model_validate(result.answers[answer]), shape, result.axis, answer) != 0
    for i, (name, one) in enumerate(result.responses.items()):
        pair = (one[kind].reshape(shape)[chosen] for kind in ("network", "gradient"))
        panel.plot(*pair, ".", ms=3, color=COLOURS[i % len(COLOURS)], label=name.replace("_", " "))
    ends = [-0.5, 2.5]
    panel.plot(ends, ends, color=GUIDE, lw=0.7)
    panel.set_xlim(*ends)
    panel.set_ylim(*ends)
    panel.set_xlabel("response of the network")
    panel.set_ylabel("response that the\ngradient expects", fontsize=8)
    panel.legend(fontsize=6.5)


COLUMNS = {
    "randomised": "weights\nafresh",
    "control": "permuted\nlabels",
    "echo": "pixel\nvalues",
    "completeness": "incom-\nplete",
    "shift": "shifted\nzero",
    "deletion_gain": "deletion",
    "insertion_gain": "insertion",
}


def _table(panel: Axes, result: Saliency) -> None:
    panel.set_axis_off()
    text, looks = [], []
    for (answer, method), one in result.pictures.items():
        checks = [one.tried.checks[name] for name in CHECKS]
        verdict = "; ".join(one.faults) or "passes"
        text.append(
            [SHORT[method], answer.replace("_", " "), *("" if np.isnan(c) else f"{c:.2g}" for c in checks), verdict]
        )
        looks.append(FAILS if one.faults else TRUTH)
    for method, why in result.left_out.items():
        text.append([SHORT[method], "", *[""] * len(CHECKS), f"not to be had: {why}"])
        looks.append(GUIDE)
    widths = [0.15, 0.09, *[0.065] * len(CHECKS), 0.305]
    labels = ["method", "answer", *(COLUMNS[name] for name in CHECKS), "verdict"]
    table = panel.table(text, colLabels=labels, colWidths=widths, cellLoc="left", edges="horizontal", loc="center")
    table.auto_set_font_size(False)
    table.set_fontsize(6.5)
    for (row, _), cell in table.get_celld().items():
        cell.PAD = 0.02
        cell.set_height((1.8 if row == 0 else 1) / (len(text) + 2))
        cell.get_text().set_color(TRUTH if row == 0 else looks[row - 1])
        cell.set_linewidth(0.3)


def _fails(result: Saliency, method: str) -> bool:
    return any(one.faults for (_, name), one in result.pictures.items() if name == method)


def _title(result: Saliency, what: str) -> str:
    about = result.settings
    rows = f"{about['rows']} rows of test {about['test']['name']}; {what}"
    return "\n".join([*textwrap.wrap(in_words(result).replace("_", " "), 110), rows.replace("_", " ")])


def _check(result: Saliency) -> None:
    check_size("answers", len(result.answers), MOST_ANSWERS)


ONE, CHAPTER = "one saliency file", "What does it look at?"
SALIENCY_MAPS = StudyFigure(saliency_maps, ONE, "saliency_maps.rst", CHAPTER, reads="saliency", of_one=True)
SALIENCY_SHARES = StudyFigure(saliency_shares, ONE, "saliency_shares.rst", CHAPTER, reads="saliency", of_one=True)
SALIENCY_CHECKS = StudyFigure(saliency_checks, ONE, "saliency_checks.rst", CHAPTER, reads="saliency", of_one=True)
