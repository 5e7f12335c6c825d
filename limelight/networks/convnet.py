"""`convnet`: a plain convolutional network for data of one, two or three axes and any number of channels.

It has no normalisation, so that the size of its input reaches its answer. It sees the whole of the data through averages of
every feature map and of its square, which is what a power spectrum is made of.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limelight.errors import problem
from limelight.networks.checks import vector, whole
from limelight.networks.layers import Conv1d, Conv2d, Conv3d

CONVOLUTIONS = (Conv1d, Conv2d, Conv3d)


def convnet(
    input_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
    filters: int = 16,
    layers: int = 3,
    dense: int = 128,
    skip: bool = False,
) -> nn.Module:
    """filters: of the first layer, doubled by each further one; layers: of convolutions; dense: width before the output.

    skip: the averages stand beside the dense layer's numbers, for heads that find more in them than the answer needs.
    """
    whole("filters", filters, 1, 1024)
    whole("layers", layers, 1, 8)
    whole("dense", dense, 1, 8192)
    if not isinstance(skip, bool):
        raise problem("networks.options.skip", repr(skip), "true or false", "change it")
    if not 2 <= len(input_shape) <= 4:
        found = f"data of {len(input_shape) - 1} axes for convnet"
        raise problem("networks.architecture", found, "one to three axes", "choose another architecture")
    return ConvNet(len(input_shape) - 1, input_shape[0], vector(output_shape), filters, layers, dense, skip)


class ConvNet(nn.Module):
    """Convolutions of kernel 3 (the first of 5), stride 2 from the second on; means and mean squares; dense; output."""

    def __init__(self, axes: int, channels: int, outputs: int, filters: int, layers: int, dense: int, skip: bool):
        super().__init__()
        convolution = CONVOLUTIONS[axes - 1]
        widths = [channels] + [filters * 2**layer for layer in range(layers)]
        self.convolutions = nn.ModuleList(
            convolution(before, after, 5 if i == 0 else 3, stride=1 if i == 0 else 2, padding=2 if i == 0 else 1)
            for i, (before, after) in enumerate(zip(widths[:-1], widths[1:], strict=True))
        )
        self.dense = nn.Linear(2 * sum(widths[1:]), dense)
        self.skip = skip
        self.output = nn.Linear(dense + (self.dense.in_features if skip else 0), outputs)

    def features(self, x: Tensor) -> Tensor:
        """(b, F) numbers that the output is made of."""
        kept = []
        for convolution in self.convolutions:
            x = F.silu(convolution(x))
            flat = x.float().flatten(2)
            kept += [flat.mean(dim=2), (flat.square().mean(dim=2) + 1e-6).log()]
        averages = torch.cat(kept, dim=1)
        found = F.silu(self.dense(averages))
        return torch.cat([found, averages], dim=1) if self.skip else found

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.features(x))
