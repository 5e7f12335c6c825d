"""Convolutional networks for maps of two axes: a small one, a residual one, and the published one of weak lensing."""

import torch
from torch import Tensor, nn

from limelight.errors import problem
from limelight.networks.checks import vector, whole

WIDTHS = (16, 32, 64, 64)
# Ribli et al. (arXiv:1902.03663): channels and kernel of each layer; an average of 2×2 follows each group but the last
PUBLISHED = (
    ((32, 3), (32, 3)),
    ((64, 3), (64, 3)),
    ((128, 3), (64, 1), (128, 3)),
    ((256, 3), (128, 1), (256, 3)),
    ((512, 3), (256, 1), (512, 3)),
    ((512, 3), (256, 1), (512, 3), (256, 1), (512, 3)),
)


def kappa_small(input_shape: tuple[int, ...], output_shape: tuple[int, ...], dense: int = 128) -> nn.Module:
    """Four layers of 16, 32, 64 and 64 channels; dense: width before the output."""
    channels, _ = plane_of("kappa_small", input_shape, 8)
    return Small(channels, vector(output_shape), whole("dense", dense, 1, 8192))


def kappa_residual(
    input_shape: tuple[int, ...], output_shape: tuple[int, ...], width: int = 16, dense: int = 128
) -> nn.Module:
    """Three stages of two residual blocks; width: channels of the first stage, doubled by each further one."""
    channels, _ = plane_of("kappa_residual", input_shape, 8)
    whole("width", width, 1, 512)
    return Residual(channels, vector(output_shape), width, whole("dense", dense, 1, 8192))


def kappa_published(input_shape: tuple[int, ...], output_shape: tuple[int, ...], padding: bool = False) -> nn.Module:
    """The network of Ribli et al. and Zorrilla Matilla et al. (arXiv:1902.03663, arXiv:2007.06529); made for 512² pixels.

    padding: keep the size of the map in each convolution, for maps that the published layers would use up.
    """
    if not isinstance(padding, bool):
        raise problem("networks.options.padding", repr(padding), "true or false", "change it")
    channels, _ = plane_of("kappa_published", input_shape, 2 ** (len(PUBLISHED) - 1) if padding else LEAST)
    return Published(channels, vector(output_shape), padding)


def left(side: int) -> int:
    """Pixels along a side that the published layers leave."""
    for number, group in enumerate(PUBLISHED):
        side -= sum(kernel - 1 for _, kernel in group)
        side = side // 2 if number + 1 < len(PUBLISHED) else side
    return side


LEAST = next(side for side in range(100, 1000) if left(side) >= 1)


def plane_of(architecture: str, input_shape: tuple[int, ...], least: int) -> tuple[int, int]:
    """(channels, pixels of the shorter side) of maps of two axes with at least so many pixels along each."""
    if len(input_shape) != 3 or min(input_shape[1:]) < least:
        found = f"data of {' × '.join(map(str, input_shape[1:]))} pixels for {architecture}"
        expected = f"two axes of at least {least} pixels"
        raise problem("networks.architecture", found, expected, "choose another architecture")
    return input_shape[0], min(input_shape[1:])


def convolution(before: int, after: int, kernel: int = 3, padding: bool = True) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    layer = nn.Conv2d(before, after, kernel, padding=kernel // 2 if padding else 0, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(after), nn.ReLU())


class Trunk(nn.Module):
    """Layers that halve the map; the means of every layer's channels over the map, so that all scales reach the answer."""

    def __init__(self, channels: int):
        super().__init__()
        widths = (channels, *WIDTHS)
        self.layers = nn.ModuleList(convolution(*pair) for pair in zip(widths[:-1], widths[1:], strict=True))
        self.pool = nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for number, layer in enumerate(self.layers):
            x = layer(x if number == 0 else self.pool(x))
            kept.append(x.mean(dim=(2, 3)))
        return torch.cat(kept, dim=1)


class Small(nn.Module):
    """Trunk, a dense layer, the output."""

    def __init__(self, channels: int, outputs: int, dense: int):
        super().__init__()
        self.trunk = Trunk(channels)
        self.dense = nn.Sequential(nn.Linear(sum(WIDTHS), dense), nn.ReLU())
        self.output = nn.Linear(dense, outputs)

    def features(self, x: Tensor) -> Tensor:
        """(b, dense) numbers that the output is made of."""
        return self.dense(self.trunk(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.features(x))


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, before: int, after: int, stride: int):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after))
        same = before == after and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(before, after, 1, stride, bias=False)
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.second(self.first(x)) + self.shortcut(x))


class Residual(nn.Module):
    """Stem, three stages of two blocks, means over the map, a dense layer, the output."""

    def __init__(self, channels: int, outputs: int, width: int, dense: int):
        super().__init__()
        widths = (width, width, 2 * width, 4 * width)
        self.stem = convolution(channels, width)
        stages = zip(widths[:-1], widths[1:], (1, 2, 2), strict=True)
        self.stages = nn.ModuleList(nn.Sequential(Block(a, b, stride), Block(b, b, 1)) for a, b, stride in stages)
        self.dense = nn.Sequential(nn.Linear(sum(widths), dense), nn.ReLU())
        self.output = nn.Linear(dense, outputs)

    def features(self, x: Tensor) -> Tensor:
        """(b, dense) numbers that the output is made of."""
        x = self.stem(x)
        kept = [x.mean(dim=(2, 3))]
        for stage in self.stages:
            x = stage(x)
            kept.append(x.mean(dim=(2, 3)))
        return self.dense(torch.cat(kept, dim=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.features(x))


class Published(nn.Module):
    """The published layers, the mean over what is left of the map (without padding 6 × 6 of 512 × 512), the output."""

    def __init__(self, channels: int, outputs: int, padding: bool):
        super().__init__()
        layers: list[nn.Module] = []
        for number, group in enumerate(PUBLISHED):
            for after, kernel in group:
                layers.append(convolution(channels, after, kernel, padding))
                channels = after
            if number + 1 < len(PUBLISHED):
                layers.append(nn.AvgPool2d(2))
        self.layers = nn.Sequential(*layers)
        self.output = nn.Linear(channels, outputs)

    def features(self, x: Tensor) -> Tensor:
        """(b, 512) means of the last channels."""
        return self.layers(x).mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.features(x))
