"""Networks by name. Each takes data (batch, channels, *axes) and returns (batch, *output_shape).

To add one, write a function of (input_shape, output_shape, **options) that returns an nn.Module, and give it a line below. A
posterior can stand on a network whose module has `features(x)`, a vector per row, and `output`, the layer that makes the
answer of it: then forward(x) is output(features(x)). Where it has `kinds`, {name: slice of the features}, a posterior can
choose among them.
"""

import inspect
from typing import TYPE_CHECKING

from limelight.errors import problem
from limelight.registry import Registry

if TYPE_CHECKING:  # the names of networks are read with every config, which torch would hold up
    from torch import nn

REGISTRY = Registry(
    "networks.architecture",
    {
        "limelight": "limelight.networks.residual:limelight",
        "cnn2d": "limelight.networks.cnn:cnn2d",
        "cnn3d": "limelight.networks.cnn:cnn3d",
        "resnet3d": "limelight.networks.resnet:resnet3d",
        "convnet": "limelight.networks.convnet:convnet",
        "dense": "limelight.networks.dense:dense",
        "healpix": "limelight.networks.healpix:healpix",
        "resunet": "limelight.networks.resunet:resunet",
        "classical": "limelight.networks.classical:classical",
        "gated": "limelight.networks.gated:gated",
        "counting": "limelight.networks.counting:counting",
        "crossing": "limelight.networks.crossing:crossing",
        "traces": "limelight.networks.traces:traces",
        "antennas": "limelight.networks.antennas:antennas",
        "kappa_small": "limelight.networks.lensing:kappa_small",
        "kappa_residual": "limelight.networks.lensing:kappa_residual",
        "kappa_published": "limelight.networks.lensing:kappa_published",
        "statistics": "limelight.networks.statistics:statistics",
        "inception": "limelight.networks.inception:inception",
        "lenet": "limelight.networks.zoo:lenet",
        "alexnet": "limelight.networks.zoo:alexnet",
        "vgg": "limelight.networks.zoo:vgg",
        "googlenet": "limelight.networks.zoo:googlenet",
        "resnet": "limelight.networks.zoo:resnet",
        "local": "limelight.networks.local:local",
    },
)


def build(architecture: str, options: dict, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> "nn.Module":
    """The network of a registered name, with weights drawn from torch's global stream.

    Parameters
    ----------
    architecture
        A name in REGISTRY.
    options
        Arguments of the architecture.
    input_shape
        Of one row of data: (channels, *axes).
    output_shape
        Of one answer: (k,) for a vector, (channels, *axes) for an image.

    Raises LimelightError for an unknown name or option, or an option outside its range.
    """
    function = REGISTRY.load(architecture)
    known = [name for name in inspect.signature(function).parameters if name not in ("input_shape", "output_shape")]
    for name in options:
        if name not in known:
            raise problem(
                f"networks.options of {architecture}",
                f"'{name}'",
                f"options {', '.join(known)}",
                "mend the option's name",
            )
    return function(tuple(input_shape), tuple(output_shape), **options)
