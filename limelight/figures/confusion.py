"""Confusion matrices of classifiers."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from limelight.errors import problem
from limelight.evaluation.evaluation_file import Evaluation
from limelight.figures.common import panel_grid
from limelight.figures.figure import StudyFigure
from limelight.figures.style import COLUMN_IN, PAGE_IN

NOT_OBSERVED = (
    "dataset",
    "loss",
    "training_rows",
    "shown",
    "parameter_names",
)  # settings that do not affect a test's data


def confusion_matrix(evaluations: list[Evaluation], shown: Sequence[int] = ()) -> Figure:
    """The share of each true class's rows that the classifier assigns to each class, one panel per way of observing."""
    first = evaluations[0]
    if "accuracy" not in first.totals or len({e.network for e in evaluations}) > 1:
        networks = ", ".join(dict.fromkeys(e.network for e in evaluations))
        raise problem("confusion_matrix", f"evaluations of {networks}", CONFUSION_MATRIX.needs, "choose others")
    groups, names = observed_alike(evaluations), [name.replace("_", " ") for name in first.axis.names]
    columns = min(3, len(groups))
    side = min(PAGE_IN / columns, COLUMN_IN, 0.9 + 0.7 * len(names))
    figure = Figure(figsize=(columns * side, -(-len(groups) // columns) * (side + 0.1)))
    for panel, group in zip(panel_grid(figure, len(groups), columns, sharex=True, sharey=True), groups, strict=True):
        counts = confusion(group)
        _cells(panel, counts)
        tests = "\n".join(e.test.replace("_", " ") for e in group)
        panel.set_title(f"{tests}: {accuracy(counts):.1%} right", fontsize=8)
        panel.set_xticks(range(len(names)), names, rotation=30, ha="right", rotation_mode="anchor", fontsize=8)
        panel.set_yticks(range(len(names)), names, fontsize=8)
        panel.minorticks_off()
        panel.tick_params(length=0)
        panel.set_xlabel("predicted class")
        if panel.get_subplotspec().is_first_col():
            panel.set_ylabel("true class")
    return figure


CONFUSION_MATRIX = StudyFigure(
    confusion_matrix, "evaluation files of one classifier", "confusion_matrix.rst", "Which class?", same=("axis",)
)


def observed_alike(evaluations: Sequence[Evaluation]) -> list[list[Evaluation]]:
    """Group the tests that differ only in their datasets, in the order given.

    Settings that are constant for a dataset (its parameters) distinguish datasets, not ways of observing.
    """
    seen: dict[tuple[str, str], set[str]] = {}
    words = [{k: repr(v) for k, v in e.settings.items() if k not in NOT_OBSERVED} for e in evaluations]
    for e, said in zip(evaluations, words, strict=True):
        for key, value in said.items():
            seen.setdefault((key, e.settings["dataset"]), set()).add(value)
    own = {key for key, _ in seen if all(len(values) == 1 for (other, _), values in seen.items() if other == key)}
    groups: dict[str, list[Evaluation]] = {}
    for e, said in zip(evaluations, words, strict=True):
        groups.setdefault(repr({key: value for key, value in said.items() if key not in own}), []).append(e)
    return list(groups.values())


def confusion(evaluations: Sequence[Evaluation]) -> np.ndarray:
    """(classes, classes) int: rows of data by the class that they are of, and by the most probable one."""
    counts = np.zeros((evaluations[0].truth.shape[1],) * 2, np.int64)
    for e in evaluations:
        np.add.at(counts, (e.truth.argmax(axis=1), e.predicted.argmax(axis=1)), 1)
    return counts


def accuracy(counts: np.ndarray) -> float:
    """Share of the rows of a confusion matrix whose class is right."""
    return float(np.trace(counts) / counts.sum())


def _cells(panel: Axes, counts: np.ndarray) -> None:
    """Shares of each row in colour, with their numbers; a class without data stays empty."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    panel.imshow(shares, cmap="Blues", vmin=0, vmax=1, origin="upper")
    for (row, column), share in np.ndenumerate(shares):
        words = f"{share:.1%}\n{counts[row, column]}" if counts[row].any() else ""
        colour = "w" if share > 0.55 else "k"
        panel.text(column, row, words, ha="center", va="center", color=colour, fontsize=8)
