"""Networks by name. Each takes maps (batch, 1, x, y, frequency) and returns (batch, n_outputs).

To add one, write a function of (input_shape, n_outputs, **options) that returns an nn.Module, and give it a line below.
"""

import inspect

from torch import nn

from limelight.errors import problem
from limelight.registry import Registry

REGISTRY = Registry(
    "networks.architecture",
    {
        "limelight": "limelight.networks.residual:limelight",
        "cnn2d": "limelight.networks.cnn:cnn2d",
        "cnn3d": "limelight.networks.cnn:cnn3d",
        "resnet3d": "limelight.networks.resnet:resnet3d",
    },
)


def build(architecture: str, options: dict, input_shape: tuple[int, int, int], n_outputs: int) -> nn.Module:
    """The network of a registered name, with weights drawn from torch's global stream.

    Parameters
    ----------
    architecture
        A name in REGISTRY.
    options
        Arguments of the architecture.
    input_shape
        (x, y, frequency) of a pooled map.
    n_outputs
        How many numbers the network answers.

    Raises LimelightError for an unknown name or option, or an option outside its range.
    """
    function = REGISTRY.load(architecture)
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
