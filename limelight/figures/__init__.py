"""Figures of a study, each from evaluation files alone. `FIGURES` names them; `draw` makes one."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from limelight.errors import problem
from limelight.evaluation.evaluation_file import Evaluation
from limelight.figures.matrix import cross_predictions, map_scaling, noise_sweep, summary_matrix
from limelight.figures.style import style
from limelight.figures.training import loss_history, training_histories, training_spread
from limelight.probes.line_intensity.figures.compare import (
    compare_bands,
    compare_predictions,
    error_per_bin,
    typical_fits,
)
from limelight.probes.line_intensity.figures.labels import (
    blank_maps,
    counts_and_densities,
    label_shapes,
    label_spreads,
    log_ratio_units,
)
from limelight.probes.line_intensity.figures.maps import map_slices
from limelight.probes.line_intensity.figures.predictions import (
    blank_map,
    error_bands,
    luminosity_function,
    spread_ratio,
)


class Kind(NamedTuple):
    """A figure: its function (evaluations, maps) -> Figure, what it is made from, and its caption in workflow/report.

    same: what its evaluations must agree in.
    """

    function: Callable[[list[Evaluation], Sequence[int]], Figure]
    needs: str
    caption: str
    same: tuple[str, ...] = ("bins", "quantity")


BINS, ANY = ("bins",), ()
SAME = {
    "bins": lambda a, b: np.array_equal(a.log10_lum_edges, b.log10_lum_edges),
    "quantity": lambda a, b: a.target["quantity"] == b.target["quantity"],
}
ALL, ONE = "evaluation files of one or several tests", "one evaluation file of each network"
FIGURES = {
    "map_slices": Kind(map_slices, ALL, "map_slices.rst"),
    "luminosity_function": Kind(luminosity_function, ALL, "luminosity_function.rst"),
    "error_bands": Kind(error_bands, ALL, "error_bands.rst"),
    "spread_ratio": Kind(spread_ratio, ALL, "spread_ratio.rst"),
    "blank_map": Kind(blank_map, ALL, "blank_map.rst"),
    "loss_history": Kind(loss_history, ONE, "loss_history.rst"),
    "training_spread": Kind(training_spread, ONE, "training_spread.rst"),
    # of several networks, for a study's `comparisons`
    "compare_predictions": Kind(compare_predictions, ALL, "compare_predictions.rst", BINS),
    "compare_bands": Kind(compare_bands, ALL, "compare_bands.rst", BINS),
    "error_per_bin": Kind(error_per_bin, ALL, "error_per_bin.rst", BINS),
    "typical_fits": Kind(typical_fits, ALL, "typical_fits.rst", ANY),
    "training_histories": Kind(training_histories, ONE, "training_histories.rst", ANY),
    "label_shapes": Kind(label_shapes, "one evaluation file", "label_shapes.rst", ANY),
    "label_spreads": Kind(label_spreads, ONE, "label_spreads.rst"),
    "counts_and_densities": Kind(counts_and_densities, "one evaluation file", "counts_and_densities.rst", ANY),
    "log_ratio_units": Kind(log_ratio_units, ALL, "log_ratio_units.rst", ANY),
    "blank_maps": Kind(blank_maps, ONE, "blank_maps.rst"),
    "cross_predictions": Kind(cross_predictions, ALL, "cross_predictions.rst"),
    "summary_matrix": Kind(summary_matrix, "evaluation files of any networks and tests", "summary_matrix.rst", ANY),
    "noise_sweep": Kind(noise_sweep, "evaluation files of tests with different noise", "noise_sweep.rst", ANY),
    "map_scaling": Kind(map_scaling, "evaluation files of networks of different max_maps", "map_scaling.rst", ANY),
}


def check_figures(study: dict, each_network: Iterable[str]) -> None:
    """Refuse a study that asks for figures which do not exist. each_network: those that are drawn of single networks."""
    asked = [(f"comparisons.{name}.figure", entry["figure"], FIGURES) for name, entry in study["comparisons"].items()]
    asked += [("figures.each_network", name, each_network) for name in study["figures"].get("each_network", [])]
    for where, name, known in asked:
        if name not in known:
            raise problem(where, f"'{name}'", f"one of {', '.join(known)}", "choose one")


def draw(name: str, evaluations: list[Evaluation], maps: Sequence[int] | None = None) -> Figure:
    """Draw the figure of that name in the house style; maps: the test maps shown one by one (the study's choice if None).

    Raises LimelightError for an unknown name, no evaluations, or evaluations whose luminosity bins or quantity differ.
    """
    if name not in FIGURES:
        raise problem("figure", f"'{name}'", f"one of {', '.join(FIGURES)}", "choose one")
    if not evaluations:
        raise problem("figure", "no evaluations", FIGURES[name].needs, "name them")
    if maps is not None and min(maps) < 0:
        raise problem("maps", f"map {min(maps)}", "numbers from 0 up", "count from 0")
    first = evaluations[0]
    for e in evaluations[1:]:
        for what in FIGURES[name].same:
            if not SAME[what](e, first):
                found = f"{e.network}/{e.test} beside {first.network}/{first.test} with other {what}"
                raise problem(f"figure {name}", found, f"evaluations of the same {what}", "draw them apart")
    with style():
        return FIGURES[name].function(evaluations, list(first.settings["maps"] if maps is None else maps))
