"""The zoo: five image networks that made history, small, for images of two axes and for cubes of three.

Each is a short function with its reference. What is kept of each is its idea: the order of its layers and the ratios of
their widths. `filters` sets the width of the first layer. All have batch norm behind their convolutions and ReLU (LeNet had
neither, AlexNet and VGG no norm), so that they differ in their architecture alone, and train in minutes. Every halving
rounds up, and an axis of length 1 stays, so that the same function takes 45 × 45 pixels and 64 × 64 × 10 voxels.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limelight.errors import problem
from limelight.networks.checks import share, vector, whole
from limelight.networks.cnn import Pooling
from limelight.networks.layers import Conv2d, Conv3d

CONVOLUTIONS = {2: Conv2d, 3: Conv3d}
NORMS = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
Shape = tuple[int, ...]


def lenet(input_shape: Shape, output_shape: Shape, filters: int = 6) -> nn.Module:
    """LeNet-5 (LeCun, Bottou, Bengio & Haffner 1998, Proc. IEEE 86, 2278): two 5-wide convolutions, mean pooling, dense."""
    axes = _axes("lenet", input_shape)
    whole("filters", filters, 1, 512)
    widths, body = [input_shape[0], filters, round(16 / 6 * filters)], []
    for before, after in zip(widths[:-1], widths[1:], strict=True):
        body += [convolution(axes, before, after, 5), Pooling("avg", axes)]
    return Network(body, widths[-1], _halved(input_shape, 2), (120, 84), vector(output_shape))


def alexnet(input_shape: Shape, output_shape: Shape, filters: int = 16, dropout: float = 0.0) -> nn.Module:
    """AlexNet (Krizhevsky, Sutskever & Hinton 2012, NIPS 25): a wide first kernel, max pooling, five convolutions, two dense
    layers. The first kernel is 7 wide of stride 2 in place of 11 of stride 4: images here are a fifth as wide."""
    axes = _axes("alexnet", input_shape)
    whole("filters", filters, 1, 512)
    share("dropout", dropout)
    w = [round(ratio * filters) for ratio in (1, 8 / 3, 4, 4, 8 / 3)]
    body = [
        convolution(axes, input_shape[0], w[0], 7, stride=2),
        convolution(axes, w[0], w[1], 5),
        Pooling("max", axes),
        convolution(axes, w[1], w[2], 3),
        convolution(axes, w[2], w[3], 3),
        convolution(axes, w[3], w[4], 3),
        Pooling("max", axes),
    ]
    return Network(body, w[4], _halved(input_shape, 3), (256, 256), vector(output_shape), dropout)


def vgg(input_shape: Shape, output_shape: Shape, filters: int = 12, dropout: float = 0.0) -> nn.Module:
    """VGG, configuration A (Simonyan & Zisserman 2014, arXiv:1409.1556): kernels of 3 alone, blocks of one or two
    convolutions, each twice as wide as the one before it, max pooling; four of its five blocks, one dense layer of two."""
    axes = _axes("vgg", input_shape)
    whole("filters", filters, 1, 512)
    share("dropout", dropout)
    body, before = [], input_shape[0]
    for block, count in enumerate((1, 1, 2, 2)):
        for _ in range(count):
            after = filters * 2**block
            body.append(convolution(axes, before, after, 3))
            before = after
        body.append(Pooling("max", axes))
    return Network(body, before, _halved(input_shape, 4), (256,), vector(output_shape), dropout)


def googlenet(input_shape: Shape, output_shape: Shape, filters: int = 16, dropout: float = 0.0) -> nn.Module:
    """GoogLeNet (Szegedy et al. 2014, arXiv:1409.4842) with batch norm (Ioffe & Szegedy 2015): a stem, five of its nine
    inception modules (3a, 3b, 4a, 4b, 5a), the mean over the image, output; without its auxiliary classifiers."""
    axes = _axes("googlenet", input_shape)
    whole("filters", filters, 4, 512)
    share("dropout", dropout)
    body = [
        convolution(axes, input_shape[0], filters, 7, stride=2),
        convolution(axes, filters, 2 * filters, 3),
        Pooling("max", axes),
    ]
    before = 2 * filters
    for width, halved in ((4, False), (6, True), (8, False), (8, True), (12, False)):
        body.append(Inception(axes, before, width * filters))
        before = width * filters
        if halved:
            body.append(Pooling("max", axes))
    return Network([*body, Mean()], before, (), (), vector(output_shape), dropout)


def resnet(input_shape: Shape, output_shape: Shape, filters: int = 12, blocks: int = 1) -> nn.Module:
    """ResNet (He, Zhang, Ren & Sun 2015, arXiv:1512.03385) of basic blocks, `blocks` of them in each of four stages (two:
    its ResNet-18): a stem, stages each twice as wide as the one before it and half as fine, the mean over the image, output.
    The stem is 3 wide of stride 1, as for its small images."""
    axes = _axes("resnet", input_shape)
    whole("filters", filters, 1, 512)
    whole("blocks", blocks, 1, 8)
    body, before = [convolution(axes, input_shape[0], filters, 3)], filters
    for stage in range(4):
        for block in range(blocks):
            after = filters * 2**stage
            body.append(Basic(axes, before, after, stride=2 if stage and not block else 1))
            before = after
    return Network([*body, Mean()], before, (), (), vector(output_shape))


class Network(nn.Module):
    """Layers of an image, dense layers, output."""

    def __init__(
        self, body: list[nn.Module], channels: int, shape: Shape, dense: Shape, outputs: int, dropout: float = 0.0
    ):
        super().__init__()
        self.body = nn.Sequential(*body)
        before, head = channels * math.prod(shape), [nn.Flatten()]
        for width in dense:
            head += [nn.Linear(before, width), nn.ReLU(), nn.Dropout(dropout)]
            before = width
        self.head = nn.Sequential(*head, *([] if dense else [nn.Dropout(dropout)]))
        self.output = nn.Linear(before, outputs)

    def features(self, x: Tensor) -> Tensor:
        """The numbers before the output layer, (b, F)."""
        return self.head(self.body(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.features(x))


class Inception(nn.Module):
    """Kernels of 1, 3 and 5 and a max pooling side by side, of 1/4, 1/2, 1/8 and 1/8 of the channels (as in 3a)."""

    def __init__(self, axes: int, before: int, after: int):
        super().__init__()
        eighth = after // 8
        self.axes = axes
        self.one = convolution(axes, before, after - 6 * eighth, 1)
        self.three = nn.Sequential(
            convolution(axes, before, 3 * eighth, 1), convolution(axes, 3 * eighth, 4 * eighth, 3)
        )
        narrow = max(1, eighth // 2)
        self.five = nn.Sequential(convolution(axes, before, narrow, 1), convolution(axes, narrow, eighth, 5))
        self.pooled = convolution(axes, before, eighth, 1)

    def forward(self, x: Tensor) -> Tensor:
        largest = (F.max_pool2d if self.axes == 2 else F.max_pool3d)(x, 3, stride=1, padding=1)
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pooled(largest)], dim=1)


class Basic(nn.Module):
    """x + two convolutions of 3; where the shape changes, x passes a convolution of 1."""

    def __init__(self, axes: int, before: int, after: int, stride: int):
        super().__init__()
        self.residual = nn.Sequential(
            convolution(axes, before, after, 3, stride), *list(convolution(axes, after, after, 3))[:2]
        )
        same = before == after and stride == 1
        self.shortcut = nn.Identity() if same else nn.Sequential(*list(convolution(axes, before, after, 1, stride))[:2])

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.shortcut(x) + self.residual(x))


class Mean(nn.Module):
    """Of each channel over the image."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).mean(dim=2)


def convolution(axes: int, before: int, after: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution with zeros around the image, batch norm, ReLU. The norm has the bias."""
    layer = CONVOLUTIONS[axes](before, after, kernel, stride=stride, padding=kernel // 2, bias=False)
    return nn.Sequential(layer, NORMS[axes](after), nn.ReLU())


def _axes(architecture: str, input_shape: Shape) -> int:
    axes = len(input_shape) - 1
    if axes not in CONVOLUTIONS:
        found = f"data of {axes} axes for {architecture}"
        raise problem("networks.architecture", found, "two axes or three", "choose another architecture")
    return axes


def _halved(input_shape: Shape, times: int) -> Shape:
    shape = input_shape[1:]
    for _ in range(times):
        shape = tuple(-(-n // 2) for n in shape)
    return shape
