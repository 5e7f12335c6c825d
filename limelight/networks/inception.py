"""`inception`: residual inception blocks over a cube of cells, as in the halo painting of arXiv:1903.10524.

A 1³ layer, blocks in which convolutions of 1³, 3³ and 5³ cells stand side by side and correct what came in, and 1³ layers to
the answer. With two blocks of 10 filters an answer sees 9³ cells and there are some 31,500 weights, as published. Opposite
sides of the cube touch: the boxes are periodic.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limelight.errors import problem
from limelight.networks.checks import cube, whole

KERNELS = (1, 3, 5)


def inception(
    input_shape: tuple[int, ...], output_shape: tuple[int, ...], filters: int = 10, blocks: int = 2
) -> nn.Module:
    """The network.

    Parameters
    ----------
    filters
        Of every convolution.
    blocks
        Each widens what an answer sees by two cells on every side.
    """
    whole("filters", filters, 1, 512)
    whole("blocks", blocks, 1, 8)
    axes = cube("inception", input_shape)
    if len(output_shape) != 4 or tuple(output_shape[1:]) != axes or min(axes) < KERNELS[-1]:
        found, expected = f"data {input_shape} and answers {output_shape}", "both on the same cube, of 5³ cells or more"
        raise problem("networks.architecture", found, expected, "choose another architecture")
    return Inception(input_shape[0], output_shape[0], filters, blocks)


class Block(nn.Module):
    """Three sizes of convolution side by side, mixed, and added to what came in."""

    def __init__(self, filters: int):
        super().__init__()
        self.sizes = nn.ModuleList(
            nn.Conv3d(filters, filters, k, padding=k // 2, padding_mode="circular") for k in KERNELS
        )
        self.mix = nn.Conv3d(len(KERNELS) * filters, filters, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mix(F.leaky_relu(torch.cat([size(x) for size in self.sizes], dim=1), 0.1))


class Inception(nn.Module):
    """See `inception`."""

    def __init__(self, channels: int, outputs: int, filters: int, blocks: int):
        super().__init__()
        self.first = nn.Conv3d(channels, filters, 1)
        self.blocks = nn.Sequential(*(Block(filters) for _ in range(blocks)))
        self.hidden = nn.Conv3d(filters, filters, 1)
        self.output = nn.Conv3d(filters, outputs, 1)
        self.reach = blocks * (max(KERNELS) // 2)  # cells that an answer sees on each side of its own

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(F.leaky_relu(self.first(x), 0.1))
        return self.output(F.leaky_relu(self.hidden(x), 0.1))
