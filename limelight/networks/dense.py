"""`dense`: fully connected layers on all numbers of a row, for data that are no pictures: spectra, histograms, moments."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limelight.errors import problem
from limelight.networks.checks import vector, whole


def dense(
    input_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
    hidden: int = 128,
    layers: int = 2,
    squares: bool = False,
    skip: bool = False,
) -> nn.Module:
    """hidden: width of each layer; squares: the squares of the numbers stand beside them, of which powers are sums; skip:
    the numbers themselves stand beside the last layer's, so that what is linear in them costs no layers.
    """
    whole("hidden", hidden, 1, 8192)
    whole("layers", layers, 1, 8)
    for name, value in (("squares", squares), ("skip", skip)):
        if not isinstance(value, bool):
            raise problem(f"networks.options.{name}", repr(value), "true or false", "change it")
    inputs = 1
    for n in input_shape:
        inputs *= n
    return Dense(inputs, vector(output_shape), hidden, layers, squares, skip)


class Dense(nn.Module):
    """Linear and SiLU, `layers` times; output."""

    def __init__(self, inputs: int, outputs: int, hidden: int, layers: int, squares: bool, skip: bool):
        super().__init__()
        self.squares, self.skip = squares, skip
        widths = [inputs * (2 if squares else 1)] + [hidden] * layers
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in zip(widths[:-1], widths[1:], strict=True))
        self.output = nn.Linear(hidden + (widths[0] if skip else 0), outputs)

    def features(self, x: Tensor) -> Tensor:
        """(b, F) numbers that the output is made of."""
        x = x.flatten(1)
        if self.squares:
            x = torch.cat([x, x.square()], dim=1)
        shown = x
        for layer in self.layers:
            x = F.silu(layer(x))
        return torch.cat([x, shown], dim=1) if self.skip else x

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.features(x))
