"""Networks by name. Each takes maps (batch, 1, x, y, frequency) and returns (batch, n_outputs).

To add one, write a function of (input_shape, n_outputs, **options) that returns an nn.Module, and give it a line below.
"""

import inspect
from collections.abc import Callable

from torch import nn

from limelight.errors import problem
from limelight.networks.cnn import cnn2d, cnn3d
from limelight.networks.residual import limelight
from limelight.networks.resnet import resnet3d

REGISTRY: dict[str, Callable[..., nn.Module]] = {
    "limelight": limelight,
    "cnn2d": cnn2d,
    "cnn3d": cnn3d,
    "resnet3d": resnet3d,
}


def build(architecture: str, options: dict, input_shape: tuple[int, int, int], n_outputs: int) -> nn.Module:
    """The network of a registered name, with weights drawn from torch's global stream.

    options: arguments of the architecture; input_shape: (x, y, frequency) of a pooled map.
    Raises LimelightError for an unknown name or option, or an option outside its range.
    """
    if architecture not in REGISTRY:
        raise problem(
            "networks.architecture", f"'{architecture}'", f"one of {', '.join(REGISTRY)}", "choose a registered network"
        )
    function = REGISTRY[architecture]
    known = [name for name in inspect.signature(function).parameters if name not in ("input_shape", "n_outputs")]
    for name in options:
        if name not in known:
            raise problem(
                f"networks.options of {architecture}",
                f"'{name}'",
                f"options {', '.join(known)}",
                "mend the option's name",
            )
    return function(tuple(input_shape), n_outputs, **options)
