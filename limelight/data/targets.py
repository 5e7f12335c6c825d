"""Targets: what a network is asked to answer, as numbers that can be trained on, and back.

A target turns the truths of a shard into the quantity itself (`truth`), that quantity into what a network is trained on
(`encode`), and a network's answer into the quantity (`decode`). All three take numpy arrays and torch tensors alike and
return float64 of the same kind. Standardising is the training's business, not the target's.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from limelight.data.axes import OutputAxis
from limelight.errors import problem

Array = Any  # a numpy array or a torch tensor
LIKELIHOODS = ("poisson", "negative_binomial")  # losses of vectors of counts
# losses of images of counts
FIELD_LOSSES = ("poisson_field", "negative_binomial_field", "bernoulli_poisson_field", "adversarial")
# losses under which a spread is answered, too
TWO_OUTPUTS = ("gaussian", "negative_binomial_field", "bernoulli_poisson_field", "adversarial")
DATASET = "dataset"  # the truth that every row has: the number of its dataset among the network's


class Target(Protocol):
    """What a network answers for one row: an array of `shape`."""

    shape: tuple[int, ...]
    axis: OutputAxis
    counts: (
        bool  # whole numbers of things, encoded as log10(1 + N): likelihoods of counts and dequantising are for them
    )
    classes: bool  # probabilities of classes that exclude one another
    error_unit: str  # of `comparable`; empty where each output has its own

    def truth(self, y: Mapping[str, Array]) -> Array:
        """The quantity itself, (n, *shape) float64, from the truths of n rows."""

    def encode(self, values: Array, y: Mapping[str, Array]) -> Array:
        """What the network is trained on, (n, *shape)."""

    def decode(self, encoded: Array, y: Mapping[str, Array]) -> Array:
        """The quantity again; answers that the quantity cannot have (a negative count) become the nearest that it can."""

    def comparable(self, encoded: Array, y: Mapping[str, Array]) -> Array:
        """Encoded answers on the scale on which errors are given (for counts dex, log10(1 + N))."""


class Unencoded:
    """A target whose truths a network answers as they are."""

    def encode(self, values: Array, y: Mapping[str, Array]) -> Array:
        return values

    def decode(self, encoded: Array, y: Mapping[str, Array]) -> Array:
        return encoded

    def comparable(self, encoded: Array, y: Mapping[str, Array]) -> Array:
        return encoded


@dataclass(frozen=True)
class VectorTarget(Unencoded):
    """Numbers that stand in the shard under one name, (n, k): parameters, directions, bins of something."""

    name: str  # of the truth in the shard
    axis: OutputAxis
    shape: tuple[int, ...]
    counts: bool = False
    classes: bool = False
    error_unit: str = ""

    def truth(self, y: Mapping[str, Array]) -> Array:
        return _float64(y[self.name])


@dataclass(frozen=True)
class FieldTarget(Unencoded):
    """Images that stand in the shard under these names, (n, channels, *axes) each, one after the other as channels."""

    names: tuple[str, ...]  # of the truths in the shard
    axis: OutputAxis
    shape: tuple[int, ...]  # (channels of all, *axes)
    counts: bool = False
    classes: bool = False
    error_unit: str = ""

    def truth(self, y: Mapping[str, Array]) -> Array:
        return _joined([_float64(y[name]) for name in self.names])


@dataclass(frozen=True)
class ClassTarget(Unencoded):
    """Which of several kinds a row is of: probabilities, (n, k). By default the kinds are the network's datasets."""

    names: tuple[str, ...]
    label: str = "dataset"
    truth_name: str = DATASET
    counts: bool = False
    classes: bool = True
    error_unit: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.names),)

    @property
    def axis(self) -> OutputAxis:
        return OutputAxis(self.label, names=self.names)

    def truth(self, y: Mapping[str, Array]) -> Array:
        """Zeros and a one."""
        number = y[self.truth_name]
        if _is_tensor(number):
            from torch.nn.functional import one_hot

            return one_hot(number.long(), len(self.names)).double()
        if np.min(number, initial=0) < 0:
            expected = f"rows of {', '.join(self.names)}"
            raise problem("data", "rows that are of none of the classes", expected, "leave them out")
        return np.eye(len(self.names))[np.asarray(number, np.int64)]


def built_shape(loss: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the outputs of a network that answers (*shape,), under a loss; a mean and its variance are two."""
    return (2 * shape[0], *shape[1:]) if loss in TWO_OUTPUTS else tuple(shape)


def _float64(values: Array) -> Array:
    return values.double() if _is_tensor(values) else np.asarray(values, np.float64)


def _joined(parts: list[Array]) -> Array:
    if len(parts) == 1:
        return parts[0]
    if not _is_tensor(parts[0]):
        return np.concatenate(parts, axis=1)
    from torch import cat

    return cat(parts, dim=1)


def _is_tensor(values: Array) -> bool:
    """Whether it is a torch tensor; what has none need not wait for torch to load."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(values, torch.Tensor)
