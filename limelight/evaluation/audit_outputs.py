"""What the audit judges of an answer: each output of a vector, and of images each channel's shells of wave number."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from limelight.data.axes import OutputAxis
from limelight.data.targets import FieldTarget
from limelight.evaluation.images import power_of_rows
from limelight.summaries.scales import Scales, judged_axis
from limelight.training.presentation import Presentation


@dataclass(frozen=True)
class Outputs:
    """How a kind of target is judged: each output by itself, or images by their shells of wave number."""

    squares: Callable[[np.ndarray], np.ndarray]  # (m, *shape) -> mean squares over rows (k,)
    spread: Callable[[np.ndarray], np.ndarray]  # (m, *shape), centred -> standard deviations (k,)
    values: Callable[[np.ndarray], np.ndarray]  # (m, *shape) -> (m, k)
    axis: OutputAxis | None = None  # of the k outputs, where it is not the target's


def mean_squares(values: np.ndarray) -> np.ndarray:
    """Of each output, over rows."""
    return np.mean(values**2, axis=0)


VECTOR = Outputs(mean_squares, lambda values: values.std(axis=0), lambda values: values)


def is_image(presentation: Presentation) -> bool:
    """Whether answers are images."""
    return isinstance(presentation.target, FieldTarget)


def image_outputs(target: FieldTarget, scales: Scales) -> Outputs:
    """Images judged by the power of each channel in each shell."""

    def power(values: np.ndarray) -> np.ndarray:
        return power_of_rows(values, scales).reshape(len(values), -1)

    def squares(values: np.ndarray) -> np.ndarray:
        return power(values).mean(axis=0)

    channels = target.axis.channels or tuple(f"channel {i}" for i in range(target.shape[0]))
    axis = judged_axis(scales.axis, channels)
    return Outputs(squares, lambda values: np.sqrt(squares(values)), lambda values: np.sqrt(power(values)), axis)
