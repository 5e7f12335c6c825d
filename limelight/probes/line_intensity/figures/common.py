"""Shared by the figures of lines: words for quantities and noise, and the axes of luminosity functions."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes

from limelight.data.axes import OutputAxis
from limelight.errors import problem
from limelight.evaluation.evaluation_file import Evaluation
from limelight.figures.common import output_axis
from limelight.figures.figure import StudyFigure
from limelight.probes.line_intensity.labels import quantity as in_bins

QUANTITIES = {
    "dn": r"sources per bin $\mathrm{d}N$",
    "n_above": r"sources above $L$, $N({>}L)$",
    "phi": r"$\phi = \mathrm{d}n/\mathrm{d}L$ [Mpc$^{-3}\,L_\odot^{-1}$]",
    "l_phi": r"$L\,\phi(L)$ [Mpc$^{-3}$]",
}
LUMINOSITY = r"line luminosity $L$ [$L_\odot$]"
BINS_AND_QUANTITY = ("axis", "target.quantity")  # what files of one figure must agree in
COUNTS = ("dn", "n_above")  # quantities that are whole numbers of sources


def line_figure(
    function: Callable,
    needs: str,
    caption: str,
    chapter: str,
    same: tuple[str, ...] = (),
    tables: tuple[str, ...] = (),
    rows: bool = False,
) -> StudyFigure:
    """A StudyFigure of luminosity functions; networks that predict none (classifiers) are refused."""
    statistics = ("mean_counts",)
    caption = f"line_intensity/{caption}"
    return StudyFigure(function, needs, caption, chapter, same=same, tables=tables, statistics=statistics, rows=rows)


def edges_lsun(evaluation: Evaluation) -> np.ndarray:
    """Edges of an evaluation's luminosity bins, Lsun (bins + 1,)."""
    return 10 ** np.asarray(evaluation.axis.edges, np.float64)


def in_quantity(evaluation: Evaluation, values: np.ndarray, name: str) -> np.ndarray:
    """Convert values (m, bins) of an evaluation's own quantity to another one, float64 (m, bins).

    N(>L) made from bins counts up to the last upper edge. Bins made from N(>L) are its differences, and NaN in the last.
    """
    values, own = np.asarray(values, np.float64), evaluation.target["quantity"]
    if own == name:
        return values
    volume, edges = np.asarray(evaluation.rows["volume_mpc3"]), np.asarray(evaluation.axis.edges, np.float64)
    one_each = np.broadcast_to(np.arange(values.shape[1], -1, -1.0), (len(values), values.shape[1] + 1))
    if own == "n_above":
        dn = np.full(values.shape, np.nan)
        dn[:, :-1] = values[:, :-1] - values[:, 1:]
    else:
        dn = values / in_bins(one_each, edges, volume, own)
    if name == "n_above":
        return np.cumsum(dn[:, ::-1], axis=1)[:, ::-1]
    return dn * in_bins(one_each, edges, volume, name)


def noise_words(evaluation: Evaluation) -> str:
    """The test's noise in words: σ, and whose voxel it belongs to."""
    sigma = evaluation.settings["noise_sigma_uk"]
    low, high = np.broadcast_to(sigma, 2)
    words = "no noise"
    if high > 0:
        value = f"{low:.3g}" if low == high else f"{low:.3g}–{high:.3g}"
        words = rf"$\sigma$ = {value} µK per map voxel"
        if evaluation.settings["noise"].get("survey"):
            words = rf"$\sigma$ of a survey, {value} µK per map voxel if even"
        ratio = evaluation.settings["noise"].get("edge_ratio", 1)
        words += f", × {ratio:g} towards the edges" if ratio != 1 else ""
    words += ", filtered" if evaluation.settings.get("filter") else ""
    return f"{words}, radio sources" if evaluation.settings["foregrounds"] != "none" else words


def adds_to_maps(evaluation: Evaluation) -> bool:
    """Whether the test adds noise or radio sources to its maps."""
    return bool(np.max(evaluation.settings["noise_sigma_uk"]) > 0 or evaluation.settings["foregrounds"] != "none")


def luminosity_axis(panel: Axes, axis: OutputAxis) -> None:
    """A logarithmic luminosity axis in Lsun over the range of the labels."""
    output_axis(panel, axis, len(axis.edges) - 1)
    panel.set_xlabel(LUMINOSITY)


def maps_of_all(evaluations: list[Evaluation], maps: Sequence[int]) -> list[int]:
    """Those of the chosen maps that every test has; LimelightError when there is none."""
    least = min(len(e.truth) for e in evaluations)
    shown = [i for i in maps if i < least]
    if not shown:
        raise problem("maps", f"maps {list(maps)}", f"test maps below {least}, which all tests have", "choose others")
    return shown


def counts_axis(panel: Axes, quantity: str, values: list[np.ndarray]) -> None:
    """A logarithmic axis of the predicted quantity that holds the positive values and starts at half a source."""
    positive = np.concatenate([np.ravel(v)[np.ravel(v) > 0] for v in values])
    top = positive.max() if len(positive) else 1.0
    panel.set_yscale("log")
    panel.set_ylim(0.5 if quantity in COUNTS else positive.min(initial=top) / 2, 3 * top)
    panel.set_ylabel(QUANTITIES[quantity])


def within_reach(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Predictions up to 100 times the largest truth: values beyond leave the axis, or they would flatten all others."""
    return np.minimum(predicted, 100 * np.nanmax(truth))
