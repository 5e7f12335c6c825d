"""Many networks on many tests: one number for each pair, as a matrix."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from limelight.evaluation.evaluation_file import Evaluation
from limelight.figures.figure import StudyFigure
from limelight.figures.style import PAGE_IN, TRUTH

MATRIX_COLOURS = "viridis"  # its lightness grows evenly: the order of values survives print in grey


def summary_matrix(evaluations: list[Evaluation], shown: Sequence[int] = ()) -> Figure:
    """Networks (rows) against tests (columns): error, its gain over always answering the training mean, and spread ratio.

    Classifiers have their accuracy in place of the spread ratio.
    """
    numbers = {
        "mean square error of the target": lambda e: e.totals["mse_target"],
        "always the mean / network": lambda e: e.totals["gain_target"],
    }
    shares = {"lowest spread ratio": lambda e: np.nan_to_num(e.statistics["spread_ratio"], nan=np.inf).min()}
    if all("accuracy" in e.totals for e in evaluations):
        shares = {"share of rows right": lambda e: e.totals["accuracy"]}
    return matrices(evaluations, numbers, shares)


def matrices(
    evaluations: list[Evaluation],
    numbers: dict[str, Callable[[Evaluation], float]],
    shares: dict[str, Callable[[Evaluation], float]],
) -> Figure:
    """A matrix of networks (rows) and tests (columns) for each number of an evaluation; pairs not tested stay empty.

    Parameters
    ----------
    numbers
        {title: evaluation -> number}, coloured by their logarithm.
    shares
        The same, coloured from 0 to 1.
    """
    networks, tests = (list(dict.fromkeys(getattr(e, key) for e in evaluations)) for key in ("network", "test"))
    figure = Figure(figsize=(PAGE_IN, 1.4 + 0.24 * len(networks) + 0.05 * max(map(len, tests))))
    every = {**numbers, **shares}
    axes = figure.subplots(1, len(every), sharey=True)
    for panel, (words, number) in zip(axes, every.items(), strict=True):
        table = np.full((len(networks), len(tests)), np.nan)
        for e in evaluations:
            table[networks.index(e.network), tests.index(e.test)] = number(e)
        _matrix(panel, table, Normalize(0, 1) if words in shares else _log_norm(table))
        panel.set_xticks(range(len(tests)), [t.replace("_", " ") for t in tests], rotation=60, ha="right", fontsize=7.5)
        panel.set_yticks(range(len(networks)), [n.replace("_", " ") for n in networks], fontsize=7.5)
        panel.set_title(words, fontsize=8.5)
    axes[0].set_ylabel("network")
    figure.supxlabel("test", fontsize=9.5)
    return figure


SUMMARY_MATRIX = StudyFigure(
    summary_matrix, "evaluation files of any networks and tests", "summary_matrix.rst", "Comparisons"
)


def _log_norm(table: np.ndarray) -> LogNorm:
    """A logarithmic scale from the least to the largest value, a decade at least: like values look alike."""
    good = table[np.isfinite(table) & (table > 0)]
    low, high = (good.min(), good.max()) if len(good) else (0.1, 1.0)
    middle = np.sqrt(low * high)
    return LogNorm(min(low, middle / 10**0.5), max(high, middle * 10**0.5))


def _matrix(panel: Axes, table: np.ndarray, norm: Normalize) -> None:
    """Coloured cells with their numbers, dark on light or light on dark."""
    panel.imshow(np.ma.masked_invalid(table), norm=norm, cmap=MATRIX_COLOURS, aspect="auto", origin="upper")
    panel.tick_params(which="both", length=0)
    panel.minorticks_off()
    size = 7 if table.shape[1] <= 6 else 5.5
    for (i, j), value in np.ndenumerate(table):
        if np.isfinite(value):
            dark = float(norm(np.clip(value, norm.vmin, norm.vmax))) > 0.55
            words = _short(value)
            panel.text(j, i, words, ha="center", va="center", size=size, color=TRUTH if dark else "white")


def _short(value: float) -> str:
    """Two digits in at most five characters, so that they fit their cell: 0.65, 65, 6.5e3, .0065, 6e-4."""
    if 0.001 <= abs(value) < 0.1:
        return f"{value:.2g}".replace("0.", ".", 1)
    plain = f"{value:.0f}" if 10 <= abs(value) < 1000 else f"{value:.2g}"
    return plain if len(plain) <= 5 else f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
