"""Axes: those of the data that a network sees, and that of the numbers it answers."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Axis:
    """One axis of the data: n equal steps from low to high, in a unit."""

    name: str
    unit: str
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class OutputAxis:
    """What the outputs of a network are, in the words and numbers that figures and tables need.

    Either `names`, one per output (parameters, classes), or `edges`, one more than there are outputs (bins). Outputs that
    form an image have neither: their axes are those of the data, and `channels` says what each channel shows.
    """

    label: str  # such as "luminosity"
    unit: str = ""
    log10: bool = False  # whether `edges` are log10 of the quantity
    names: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()
    channels: tuple[str, ...] = ()

    @property
    def centers(self) -> np.ndarray:
        """Middle of each bin in the quantity itself (geometric where the edges are logarithms), (bins,)."""
        edges = np.asarray(self.edges, np.float64)
        middle = 0.5 * (edges[1:] + edges[:-1])
        return 10**middle if self.log10 else middle


def axis_from(found: Mapping) -> OutputAxis:
    """An output axis from its plain form (dataclasses.asdict), as files hold it."""
    return OutputAxis(**{**found, **{key: tuple(found.get(key, ())) for key in ("names", "edges", "channels")}})
