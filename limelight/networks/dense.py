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
) -> nn.Module:
    """hidden: width of each layer; squares: the squares of the numbers stand beside them, of which powers are sums."""
    whole("hidden", hidden, 1, 8192)
    whole("layers", layers, 1, 8)
    if not isinstance(squares, bool):
        raise problem("networks.options.squares", repr(squares), "true or false", "change it")
    inputs = 1
    for n in input_shape:
        inputs *= n
    return Dense(inputs, vector(output_shape), hidden, layers, squares)


class Dense(nn.Module):
    """Linear and SiLU, `layers` times; output."""

    def __init__(self, inputs: int, outputs: int, hidden: int, layers: int, squares: bool):
        super().__init__()
        self.squares = squares
        widths = [inputs * (2 if squares else 1)] + [hidden] * layers
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in zip(widths[:-1], widths[1:], strict=True))
        self.output = nn.Linear(hidden, outputs)

    def features(self, x: Tensor) -> Tensor:
        """(b, hidden) numbers that the output is made of."""
        x = x.flatten(1)
        if self.squares:
            x = torch.cat([x, x.square()], dim=1)
        for layer in self.layers:
            x = F.silu(layer(x))
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.features(x))
