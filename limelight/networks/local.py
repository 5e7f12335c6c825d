"""`local`: a fully convolutional network that answers what there is in each cell of an image, from what lies about it.

A cell is a square of a few pixels. What makes the label of a cell lies near it, so that one image teaches as much as it has
cells, where a network that answers one set of numbers for the whole image learns from that alone.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limelight.errors import problem
from limelight.networks.checks import one_of, whole
from limelight.networks.images import PADDING
from limelight.networks.layers import Conv2d


def local(
    input_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
    filters: int = 16,
    layers: int = 4,
    padding: str = "zeros",
) -> nn.Module:
    """filters: of each layer; layers: after the first; padding: zeros, or circular where opposite edges touch."""
    whole("filters", filters, 1, 1024)
    whole("layers", layers, 0, 32)
    one_of("padding", padding, PADDING)
    where = "networks.architecture"
    if len(input_shape) != 3 or len(output_shape) != 3:
        found = f"data of shape {input_shape} and answers of shape {output_shape} for local"
        raise problem(where, found, "images: (channels, x, y) both", "choose another architecture")
    step = input_shape[1] // output_shape[1]
    if any(side != step * cells for side, cells in zip(input_shape[1:], output_shape[1:], strict=True)):
        found = (
            f"{output_shape[1]} × {output_shape[2]} answers from {input_shape[1]} × {input_shape[2]} pixels by local"
        )
        raise problem(where, found, "cells of as many pixels along x as along y", "choose another architecture")
    return Local(input_shape[0], output_shape[0], step, filters, layers, padding)


class Local(nn.Module):
    """A convolution from pixels to cells, residual layers of kernel 3 between cells, and one answer of each cell."""

    def __init__(self, channels: int, outputs: int, step: int, filters: int, layers: int, padding: str):
        super().__init__()
        self.first = Conv2d(channels, filters, 3 * step, stride=step, padding=step, padding_mode=padding)
        self.layers = nn.ModuleList(Conv2d(filters, filters, 3, padding=1, padding_mode=padding) for _ in range(layers))
        self.output = nn.Conv2d(filters, outputs, 1)

    def maps(self, x: Tensor) -> list[Tensor]:
        """What each layer makes of x, (b, filters, *cells) each."""
        found = [F.silu(self.first(x))]
        for layer in self.layers:
            found.append(found[-1] + F.silu(layer(found[-1])))
        return found

    def features(self, x: Tensor) -> Tensor:
        """(b, F): over all cells, the mean of each answer, and the means and ln of the mean squares of each layer."""
        maps = self.maps(x)
        kept = [self.output(maps[-1]).float().mean(dim=(2, 3))]
        for one in maps:
            flat = one.float().flatten(2)
            kept += [flat.mean(dim=2), (flat.square().mean(dim=2) + 1e-6).log()]
        return torch.cat(kept, dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.maps(x)[-1])
