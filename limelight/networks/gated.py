"""`gated`: images from images by residual blocks that multiply two convolutions of what they see.

A product of two filtered maps is what a quadratic estimator is made of: where the answer is hidden in correlations between
modes, the first layer can find it. Two pixels of each axis are folded into channels first, which makes it four times as
quick, and unfolded at the end.
"""

import torch
from torch import Tensor, nn

from limelight.networks.checks import one_of, share, whole
from limelight.networks.images import BRANCHES, PADDING, Dropout, ImageNetwork, WaveFilter, check_images, check_start
from limelight.networks.layers import Conv2d

FIRST_STEP = 0.2  # of each block's change, learnt from there on: deep sums of products start tame


def gated(
    input_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
    filters: int = 40,
    blocks: int = 6,
    kernel: int = 3,
    fold: int = 2,
    dropout: float = 0.0,
    test_dropout: bool = False,
    padding: str = "zeros",
    branches: str = "joint",
    filtered: int = 0,
    start_from: list[int] = [],  # noqa: B006 - read only
) -> nn.Module:
    """The gated network.

    Parameters
    ----------
    filters, blocks, kernel
        Channels throughout, residual blocks, and side of every convolution.
    fold
        Pixels of each axis that are folded into channels; 1: none.
    dropout, test_dropout
        Share of values dropped before each block in training; whether in tests too.
    padding
        zeros, or circular for periodic maps.
    branches
        joint, or separate: one network for each answer.
    filtered
        Maps that a trunk makes beside its answers. A filter of waves of all of them, which is learnt, is added to the
        answers, which then have a gain of their own on each scale and reach across the whole map. 0: no filter.
    start_from
        Of each answer the input channel that it corrects, −1 for none.
    """
    whole("filters", filters, 1, 1024)
    whole("blocks", blocks, 1, 64)
    one_of("kernel", kernel, (3, 5, 7, 9))
    whole("fold", fold, 1, 8)
    whole("filtered", filtered, 0, 64)
    share("dropout", dropout)
    one_of("test_dropout", test_dropout, (True, False))
    one_of("padding", padding, PADDING)
    one_of("branches", branches, BRANCHES)
    check_images("gated", input_shape, output_shape, fold, kernel * fold)
    channels, outputs, shape = input_shape[0], output_shape[0], tuple(output_shape[1:])
    start = check_start(start_from, channels, outputs)

    def trunk(count: int) -> nn.Module:
        return Gated(channels, count, filters, blocks, kernel, fold, padding, (dropout, test_dropout), filtered, shape)

    return ImageNetwork(trunk, outputs, branches, start)


class Gated(nn.Module):
    """One trunk, for maps of a shape."""

    def __init__(
        self,
        channels: int,
        outputs: int,
        filters: int,
        blocks: int,
        kernel: int,
        fold: int,
        padding: str,
        dropout: tuple[float, bool],
        filtered: int,
        shape: tuple[int, ...],
    ):
        super().__init__()
        self.filtered = filtered

        def convolution(before: int, after: int) -> nn.Module:
            return Conv2d(before, after, kernel, padding=kernel // 2, padding_mode=padding)

        self.fold = nn.PixelUnshuffle(fold) if fold > 1 else nn.Identity()
        self.unfold = nn.PixelShuffle(fold) if fold > 1 else nn.Identity()
        self.first = convolution(channels * fold**2, filters)
        self.blocks = nn.ModuleList(Block(filters, convolution, dropout) for _ in range(blocks))
        self.output = convolution(filters, outputs * fold**2)
        if filtered:
            self.beside = convolution(filters, filtered * fold**2)
            self.waves = WaveFilter(outputs + filtered, outputs, shape)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.fold(x))
        for block in self.blocks:
            x = block(x)
        answer = self.unfold(self.output(x))
        if not self.filtered:
            return answer
        return answer + self.waves(torch.cat([answer, self.unfold(self.beside(x))], dim=1))


class Block(nn.Module):
    """x + step · convolution(a · b), where a and b are convolutions of x and b begins near one."""

    def __init__(self, filters: int, convolution, dropout: tuple[float, bool]):
        super().__init__()
        self.dropout = Dropout(*dropout)
        self.pair = convolution(filters, 2 * filters)
        self.last = convolution(filters, filters)
        self.step = nn.Parameter(torch.full((1,), FIRST_STEP))
        with torch.no_grad():
            self.pair.bias[filters:] = 1.0

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.pair(self.dropout(x)).chunk(2, dim=1)
        return x + self.step.to(x.dtype) * self.last(a * b)
