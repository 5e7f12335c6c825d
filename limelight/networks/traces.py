"""`traces`: one-dimensional convolutions for a pulse that may stand anywhere in a trace.

There is no normalisation: the size of a pulse over the noise is what tells it from noise. The largest value of every feature
map says whether its pattern occurs at all, the mean says how busy the whole trace is.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limelight.errors import problem
from limelight.networks.checks import one_of, vector, whole


def traces(
    input_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
    filters: int = 16,
    layers: int = 3,
    kernel: int = 31,
    dense: int = 64,
) -> nn.Module:
    """filters: of the first layer, the others have twice as many; kernel: of the first layer, odd, the others' is 7."""
    whole("filters", filters, 1, 1024)
    whole("layers", layers, 1, 8)
    one_of("kernel", kernel, tuple(range(3, 128, 2)))
    whole("dense", dense, 1, 8192)
    if len(input_shape) != 2:
        found = f"data of {len(input_shape) - 1} axes for traces"
        raise problem("networks.architecture", found, "one axis, time", "choose another architecture")
    return Traces(input_shape[0], vector(output_shape), filters, layers, kernel, dense)


def trace_layers(channels: int, filters: int, layers: int, kernel: int) -> nn.ModuleList:
    """Convolutions over time, each with stride 2."""
    widths = [channels, filters] + [2 * filters] * (layers - 1)
    kernels = [kernel] + [7] * (layers - 1)
    return nn.ModuleList(
        nn.Conv1d(before, after, size, stride=2, padding=size // 2)
        for before, after, size in zip(widths[:-1], widths[1:], kernels, strict=True)
    )


class Traces(nn.Module):
    """Convolutions, their largest and mean values, dense, output."""

    def __init__(self, channels: int, outputs: int, filters: int, layers: int, kernel: int, dense: int):
        super().__init__()
        self.convolutions = trace_layers(channels, filters, layers, kernel)
        self.dense = nn.Linear(2 * self.convolutions[-1].out_channels, dense)
        self.output = nn.Linear(dense, outputs)

    def features(self, x: Tensor) -> Tensor:
        """(b, dense) numbers that the output is made of."""
        for convolution in self.convolutions:
            x = F.silu(convolution(x))
        return F.silu(self.dense(torch.cat([x.amax(dim=2), x.mean(dim=2)], dim=1)))

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.features(x))
