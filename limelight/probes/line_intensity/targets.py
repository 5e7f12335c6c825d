"""What networks read off a line map: its luminosity function in one of several quantities, or which model painted it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from limelight.data.axes import OutputAxis
from limelight.data.shard import Header
from limelight.data.targets import Array, ClassTarget, Target
from limelight.probes.line_intensity.labels import (
    from_target,
    log10_lum_edges,
    one_source,
    quantity,
    to_target,
)


@dataclass(frozen=True)
class LuminosityTarget:
    """A luminosity function in bins, from the counts above the bins' edges (labels.quantity, labels.to_target)."""

    quantity: str  # labels.QUANTITIES
    transform: str  # labels.TRANSFORMS
    log10_lum_edges: tuple[float, ...]  # (bins + 1,)
    classes: bool = False
    error_unit: str = "dex"

    @property
    def bins(self) -> int:
        return len(self.log10_lum_edges) - 1

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.bins,)

    @property
    def axis(self) -> OutputAxis:
        return line_axis(self.log10_lum_edges)

    @property
    def edges(self) -> np.ndarray:
        """log10 Lsun, (bins + 1,) float64."""
        return np.asarray(self.log10_lum_edges, np.float64)

    @property
    def counts(self) -> bool:
        return (self.quantity, self.transform) == ("dn", "log10_1p")

    def truth(self, y: Mapping[str, Array]) -> Array:
        return self.exactly(y, self.quantity)

    def exactly(self, y: Mapping[str, Array], name: str) -> Array:
        """Any quantity of labels.QUANTITIES from the counts themselves, (n, bins)."""
        return quantity(y["n_above"][:, : self.bins + 1], self.edges, y["volume_mpc3"], name)

    def encode(self, values: Array, y: Mapping[str, Array]) -> Array:
        return to_target(values, self.transform, self._one(values, y))

    def decode(self, encoded: Array, y: Mapping[str, Array]) -> Array:
        """The quantity; an answer below nothing, which the transforms allow, is nothing."""
        found = from_target(encoded, self.transform, self._one(encoded, y))
        return np.maximum(found, 0.0) if isinstance(found, np.ndarray) else found.clamp(min=0.0)

    def sources(self, values: Array, y: Mapping[str, Array]) -> Array:
        """Sources per bin (above the bin's lower edge for n_above) of a quantity (n, bins)."""
        return values / self._one(values, y) if self.quantity in ("phi", "l_phi") else values

    def comparable(self, encoded: Array, y: Mapping[str, Array]) -> Array:
        """log10(1 + sources), numpy."""
        return np.log10(1 + np.maximum(self.sources(self.decode(encoded, y), y), 0))

    def _one(self, like: Array, y: Mapping[str, Array]) -> Array | float:
        return one_source(like, self.edges, y["volume_mpc3"], self.quantity)


def line_axis(log10_lum_edges: Sequence[float]) -> OutputAxis:
    """The axis of counts between luminosity edges, log10 Lsun."""
    return OutputAxis("luminosity", "Lsun", log10=True, edges=tuple(float(edge) for edge in log10_lum_edges))


def line_target(quantity: str, transform: str, datasets: tuple[str, ...], header: Header) -> Target:
    """The target of a network of the config; datasets: the line models whose maps it is shown."""
    if quantity == "line_model":
        return ClassTarget(datasets, label="line model")
    return LuminosityTarget(quantity, transform, tuple(log10_lum_edges(header.truths["labels"]).tolist()))
