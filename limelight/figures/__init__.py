"""Figures of a study, each from evaluation files alone. `FIGURES` names them; `draw` makes one."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from limelight.errors import problem
from limelight.evaluation.shards import Evaluation
from limelight.figures.maps import map_slices
from limelight.figures.predictions import blank_map, error_bands, luminosity_function, spread_ratio
from limelight.figures.style import style
from limelight.figures.training import loss_history, training_spread


class Kind(NamedTuple):
    """A figure: its function (evaluations, maps) -> Figure, what it is made from, and its caption in workflow/report."""

    function: Callable[[list[Evaluation], Sequence[int]], Figure]
    needs: str
    caption: str


ALL, ONE = "evaluation files of one or several tests", "one evaluation file of each network"
FIGURES = {
    "map_slices": Kind(map_slices, ALL, "map_slices.rst"),
    "luminosity_function": Kind(luminosity_function, ALL, "luminosity_function.rst"),
    "error_bands": Kind(error_bands, ALL, "error_bands.rst"),
    "spread_ratio": Kind(spread_ratio, ALL, "spread_ratio.rst"),
    "blank_map": Kind(blank_map, ALL, "blank_map.rst"),
    "loss_history": Kind(loss_history, ONE, "loss_history.rst"),
    "training_spread": Kind(training_spread, ONE, "training_spread.rst"),
}


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
        same_bins = (
            len(e.log10_lum_edges) == len(first.log10_lum_edges) and (e.log10_lum_edges == first.log10_lum_edges).all()
        )
        if not same_bins or e.target["quantity"] != first.target["quantity"]:
            found = f"{e.network}/{e.test} beside {first.network}/{first.test} with other bins or quantity"
            raise problem("figure", found, "evaluations that predict the same quantity", "draw them apart")
    with style():
        return FIGURES[name].function(evaluations, list(first.settings["maps"] if maps is None else maps))
