"""The plain convolutional networks of the notes, in two and three dimensions (the 2D one takes frequency as channels).

A layer is a 0-padded convolution, batch norm, ReLU and dropout, then a step that halves the map: a convolution of kernel 2
and stride 2, or a pooling layer. The filters double from layer to layer. Two dense layers end it.

Halving rounds up ("same" pooling): 64 × 64 × 10 → 32 × 32 × 5 → 16 × 16 × 3 → 8 × 8 × 2 → 4 × 4 × 1 → 2 × 2 × 1 → 1 × 1 × 1.
An axis of length 1 stays; the second half of a pooling kernel along it meets only padding. With 64 filters and 6 layers
the convolutions then hold 120.2 M weights, as the notes' network does.
"""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from limelight.networks.checks import cube, one_of, share, vector, whole
from limelight.networks.layers import Conv2d, Conv3d


def cnn2d(
    input_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
    layers: int = 6,
    kernel: int = 3,
    filters: int = 64,
    dropout: float = 0.5,
    batch_norm: bool = True,
    first_bias: bool = True,
    pool: str = "conv",
) -> nn.Module:
    """The notes' 2D CNN: convolutions over the sky, frequency channels as input channels."""
    return CNN(input_shape, output_shape, 2, layers, kernel, filters, dropout, batch_norm, first_bias, pool)


def cnn3d(
    input_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
    layers: int = 6,
    kernel: int = 3,
    filters: int = 64,
    dropout: float = 0.5,
    batch_norm: bool = True,
    first_bias: bool = True,
    pool: str = "conv",
) -> nn.Module:
    """The notes' 3D CNN: convolutions over the sky and frequency; the defaults are those of "Something Finally works"."""
    return CNN(input_shape, output_shape, 3, layers, kernel, filters, dropout, batch_norm, first_bias, pool)


class CNN(nn.Module):
    """Layers of (convolution, batch norm, ReLU, dropout, halving), then dense 1000 and the output.

    layers: 1 to 6; kernel: of the convolutions, odd; filters: of the first layer; dropout: share of values dropped in
    training; first_bias: whether the first convolution has a bias (without one, that bias cannot stand in for the map);
    pool: "conv", "max" or "avg".
    """

    def __init__(self, input_shape, output_shape, dims, layers, kernel, filters, dropout, batch_norm, first_bias, pool):
        super().__init__()
        whole("layers", layers, 1, 6)
        one_of("kernel", kernel, (1, 3, 5, 7))
        whole("filters", filters, 1, 1024)
        share("dropout", dropout)
        one_of("batch_norm", batch_norm, (True, False))
        one_of("first_bias", first_bias, (True, False))
        one_of("pool", pool, ("conv", "max", "avg"))
        self.dims = dims
        convolution = (Conv2d, Conv3d)[dims - 2]
        norm = (nn.BatchNorm2d, nn.BatchNorm3d)[dims - 2]
        shape = list(cube("cnn2d or cnn3d", input_shape)[:dims])
        channels = input_shape[0] if dims == 3 else input_shape[0] * input_shape[3]
        body: list[nn.Module] = []
        for layer in range(layers):
            width = filters * 2**layer
            body.append(convolution(channels, width, kernel, padding=kernel // 2, bias=first_bias or layer > 0))
            if batch_norm:
                body.append(norm(width))
            body += [nn.ReLU(), nn.Dropout(dropout), halving(pool, width, dims)]
            shape = [-(-n // 2) for n in shape]
            channels = width
        self.body = nn.Sequential(*body)
        inputs = channels * math.prod(shape)
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(inputs, 1000), nn.ReLU(), nn.Linear(1000, vector(output_shape))
        )

    @property
    def output(self) -> nn.Linear:
        return self.head[-1]

    def features(self, x: Tensor) -> Tensor:
        """The 1000 numbers before the output layer."""
        if self.dims == 2:
            x = x.movedim(4, 2).flatten(1, 2)  # (b, c, x, y, f) -> (b, c f, x, y)
        return self.head[:-1](self.body(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.features(x))


def halving(pool: str, width: int, dims: int) -> nn.Module:
    """A layer that halves every axis, rounding up; an axis of length 1 stays."""
    return StridedConvolution(width, dims) if pool == "conv" else Pooling(pool, dims)


class Pooling(nn.Module):
    """Largest or mean value of blocks of 2; a block at an odd end holds only what is inside the map."""

    def __init__(self, pool: str, dims: int):
        super().__init__()
        self.pool = getattr(F, f"{pool}_pool{dims}d")

    def forward(self, x: Tensor) -> Tensor:
        block = [min(2, n) for n in x.shape[2:]]  # an axis of length 1 stays
        return self.pool(x, block, stride=block, ceil_mode=True)


class StridedConvolution(nn.Module):
    """Convolution of kernel 2 and stride 2 that 0-pads odd axes at their end, then ReLU."""

    def __init__(self, width: int, dims: int):
        super().__init__()
        self.convolution = (Conv2d, Conv3d)[dims - 2](width, width, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        padding = [pad for n in reversed(x.shape[2:]) for pad in (0, n % 2)]  # F.pad starts from the last axis
        return F.relu(self.convolution(F.pad(x, padding)))
