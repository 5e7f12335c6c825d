"""A figure of a study: how it is drawn, from which files, and where the report shows it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

ANY_TESTS, ONE_EACH = (
    "evaluation files of one or several tests",
    "one evaluation file of each network",
)  # what figures need


@dataclass(frozen=True)
class StudyFigure:
    """A figure, drawn from files alone.

    Attributes
    ----------
    function
        (files, shown) -> Figure. files: the contents of one or more files; shown: numbers of the rows of data to show one
        by one.
    needs
        The files it is drawn from, in words for error messages.
    caption
        The file below workflow/report that explains how to read it.
    chapter
        Its chapter in the report.
    reads
        The kind of its files: evaluation, layers, audit or saliency.
    same
        What its files must agree in, as paths of attributes and keys, such as "axis" or "target.quantity".
    statistics
        The statistics of an evaluation that it requires.
    tables
        The files of resources/ that it also uses.
    of_one
        Whether it is drawn from a single file.
    rows
        Whether it shows rows of data one by one.
    """

    function: Callable[[list, Sequence[int]], Figure]
    needs: str
    caption: str
    chapter: str
    reads: str = "evaluation"
    same: tuple[str, ...] = ()
    statistics: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    of_one: bool = False
    rows: bool = False
