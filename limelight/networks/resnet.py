"""The residual network of Pfeffer, Breysse & Stein (arXiv:1905.10376): a 3D ResNet-50 with double-width bottlenecks.

The bottlenecks are those of ResNeXt (arXiv:1611.05431) with a single group, 3/4/6/3 of them with 128/256/512/1024 inner
and 256/512/1024/2048 outer filters. That, with biases on the convolutions, is what gives the network its 159.6 M numbers
(159,518,929 trained ones and 70,224 running means and variances of batch norm); the narrower bottlenecks of the usual
ResNet-50 would give 48 M.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from limelight.networks.checks import cube, share, vector, whole
from limelight.networks.layers import Conv3d

STAGES = ((3, 1), (4, 2), (6, 4), (3, 8))  # bottlenecks, width in units of the first stage's


def resnet3d(
    input_shape: tuple[int, ...], output_shape: tuple[int, ...], filters: int = 64, dropout: float = 0.5
) -> nn.Module:
    """The paper's 3D ResNet. filters: of the stem, from which every width follows; dropout: before the output."""
    whole("filters", filters, 1, 512)
    share("dropout", dropout)
    cube("resnet3d", input_shape)
    return ResNet(input_shape[0], vector(output_shape), filters, dropout)


class ResNet(nn.Module):
    """Stem 7³ stride 2, max pooling 3³ stride 2, four stages of bottlenecks, global average pool, dense 1000, output."""

    def __init__(self, n_inputs: int, n_outputs: int, filters: int, dropout: float):
        super().__init__()
        self.stem = nn.Sequential(
            Conv3d(n_inputs, filters, 7, stride=2, padding=3),
            nn.BatchNorm3d(filters),
            nn.LeakyReLU(),
            nn.MaxPool3d(3, stride=2, padding=1),
        )
        blocks: list[nn.Module] = []
        channels = filters
        for stage, (count, width) in enumerate(STAGES):
            for block in range(count):
                stride = 2 if block == 0 and stage > 0 else 1
                blocks.append(Bottleneck(channels, 2 * filters * width, 4 * filters * width, stride, block == 0))
                channels = 4 * filters * width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(
            nn.Linear(channels, 1000), nn.BatchNorm1d(1000), nn.ReLU(), nn.Dropout(dropout), nn.Linear(1000, n_outputs)
        )

    @property
    def output(self) -> nn.Linear:
        return self.head[-1]

    def features(self, x: Tensor) -> Tensor:
        """The 1000 numbers before the output layer."""
        x = self.blocks(self.stem(x))
        return self.head[:-1](x.mean(dim=(2, 3, 4)))

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.features(x))


class Bottleneck(nn.Module):
    """x + (1³ → 3³ → 1³ convolutions, batch norm after each); the first of a stage projects x to the new shape."""

    def __init__(self, channels: int, inner: int, outer: int, stride: int, project: bool):
        super().__init__()
        self.residual = nn.Sequential(
            Conv3d(channels, inner, 1),
            nn.BatchNorm3d(inner),
            nn.LeakyReLU(),
            Conv3d(inner, inner, 3, stride=stride, padding=1),
            nn.BatchNorm3d(inner),
            nn.LeakyReLU(),
            Conv3d(inner, outer, 1),
            nn.BatchNorm3d(outer),
        )
        self.shortcut = nn.Identity()
        if project:
            self.shortcut = nn.Sequential(Conv3d(channels, outer, 1, stride=stride), nn.BatchNorm3d(outer))

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.shortcut(x) + self.residual(x))
