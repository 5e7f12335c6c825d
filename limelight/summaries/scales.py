"""The scales at which images are judged: shells of wave number, and what figures call them."""

import math
from dataclasses import dataclass

import numpy as np

from limelight.data.axes import Axis, OutputAxis
from limelight.summaries.power import PowerBins, power_bins

SHELLS = 8


@dataclass(frozen=True)
class Scales:
    """Shells of |k|."""

    axis: OutputAxis  # their label, unit and edges
    bins: PowerBins


def scales_of(axes: tuple[Axis, ...], edges: np.ndarray | None = None, label: str = "wave number") -> Scales:
    """Shells of the images on some axes: from half the longest wave's |k| to the lowest Nyquist wave number.

    Wave numbers are in radians over the axes' unit, or over pixels where the axes have different units. edges: others than
    SHELLS shells of equal width.
    """
    same = len({axis.unit for axis in axes}) == 1 and axes[0].unit != "pixel"
    sides = tuple(abs(axis.high - axis.low) / axis.n if same else 1.0 for axis in axes)
    if edges is None:
        longest = max(axis.n * side for axis, side in zip(axes, sides, strict=True))
        edges = np.linspace(math.pi / longest, math.pi / max(sides), SHELLS + 1)
    unit = f"1/{axes[0].unit if same else 'pixel'}"
    bins = power_bins(tuple(axis.n for axis in axes), sides, edges)
    return Scales(OutputAxis(label, unit, edges=tuple(np.asarray(edges, float).tolist())), bins)


def judged_axis(scales: OutputAxis, channels: tuple[str, ...]) -> OutputAxis:
    """What the numbers (channels, shells) are that images are judged by, flat: shells, or the names of all of them."""
    if len(channels) == 1:
        return scales
    edges = scales.edges
    shells = [f"{low:.4g}–{high:.4g}" for low, high in zip(edges[:-1], edges[1:], strict=True)]
    words = f"{scales.label} [{scales.unit}]" if scales.unit else scales.label
    return OutputAxis(words, names=tuple(f"{name} {shell}" for name in channels for shell in shells))
