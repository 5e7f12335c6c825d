"""`resunet`: the residual U-Net of DeepCMB (Caldeira et al., arXiv:1810.01483), with strides, without, or anti-aliased.

Its block is dropout → 5×5 convolution → SELU → batch norm. The encoder halves the resolution and doubles the filters at each
level; the decoder goes back up and takes over what the encoder saw at each resolution. With 64 filters and two levels it has
5.2 M weights, about the size of the public network in its line (EEmGuzman/resunet-cmb).

Where exactly a stride falls is an accident of the pixel grid: maps that are moved by a pixel give other answers, and the
network's attributions show its stride. `down: flat` has no strides; `down: blur` filters before it leaves pixels out.

Of cubes (b, channels, x, y, z) all of it is in three dimensions.
"""

import torch
from torch import Tensor, nn

from limelight.networks.checks import one_of, share, whole
from limelight.networks.images import (
    BRANCHES,
    PADDING,
    Blur,
    Dropout,
    ImageNetwork,
    WaveFilter,
    Widen,
    check_images,
    check_start,
)
from limelight.networks.layers import Conv2d, Conv3d

DOWN = ("stride", "flat", "blur")
MOST_FILTERS = 4  # of the first level's


def resunet(
    input_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
    filters: int = 64,
    levels: int = 2,
    kernel: int = 5,
    down: str = "stride",
    dropout: float = 0.3,
    test_dropout: bool = False,
    batch_norm_memory: float = 0.9,
    padding: str = "zeros",
    branches: str = "joint",
    waves: bool = False,
    start_from: list[int] = [],  # noqa: B006 - read only
) -> nn.Module:
    """The residual U-Net.

    Parameters
    ----------
    filters
        Of the first level; doubled by each further one, up to four times as many.
    levels
        Below the first.
    down
        stride: convolutions of stride 2, and pixels doubled on the way up; flat: no change of resolution; blur: a binomial
        filter before pixels are left out, and after they are put back.
    dropout, test_dropout
        Share of values dropped in training; whether in tests too.
    batch_norm_memory
        Share of the running means that each training step leaves as they are.
    padding
        zeros, or circular for periodic maps.
    branches
        joint, or separate: one network for each answer.
    waves
        Whether its answer corrects that of a linear filter of waves, which it learns beside: what a Wiener filter is.
    start_from
        Of each answer the input channel that it corrects, −1 for none.
    """
    whole("filters", filters, 1, 1024)
    whole("levels", levels, 0, 6)
    one_of("kernel", kernel, (1, 3, 5, 7, 9))
    one_of("down", down, DOWN)
    one_of("test_dropout", test_dropout, (True, False))
    one_of("padding", padding, PADDING)
    one_of("branches", branches, BRANCHES)
    one_of("waves", waves, (True, False))
    share("dropout", dropout)
    share("batch_norm_memory", batch_norm_memory)
    factor = 1 if down == "flat" else 2**levels
    check_images("resunet", input_shape, output_shape, factor, max(kernel, 5) * factor, axes=(2, 3))
    channels, outputs, axes = input_shape[0], output_shape[0], len(input_shape) - 1
    made_of = Parts(kernel, down, dropout, test_dropout, 1 - batch_norm_memory, padding, axes)
    widths = [filters * min(2**level, MOST_FILTERS) for level in range(levels + 1)]
    start = check_start(start_from, channels, outputs)
    linear = WaveFilter(channels, outputs, tuple(input_shape[1:])) if waves else None
    return ImageNetwork(lambda count: ResUNet(channels, count, widths, made_of), outputs, branches, start, linear)


class Parts:
    """What the blocks of one network are made of."""

    def __init__(
        self, kernel: int, down: str, dropout: float, test_dropout: bool, momentum: float, padding: str, axes: int = 2
    ):
        self.axes = axes
        self.kernel, self.down, self.padding, self.momentum = kernel, down, padding, momentum
        self.dropout, self.test_dropout = dropout, test_dropout

    def convolution(self, before: int, after: int, stride: int = 1) -> nn.Module:
        convolve = Conv2d if self.axes == 2 else Conv3d
        return convolve(before, after, self.kernel, stride, padding=self.kernel // 2, padding_mode=self.padding)

    def block(self, before: int, after: int, stride: int = 1) -> nn.Module:
        """dropout → convolution → SELU → batch norm."""
        return nn.Sequential(
            Dropout(self.dropout, self.test_dropout),
            self.convolution(before, after, stride),
            nn.SELU(),
            (nn.BatchNorm2d if self.axes == 2 else nn.BatchNorm3d)(after, momentum=self.momentum),
        )

    def lower(self, before: int, after: int) -> nn.Module:
        """A block to the next level."""
        if self.down == "blur":
            return nn.Sequential(self.block(before, after), Blur(2, self.padding, axes=self.axes))
        return self.block(before, after, 2 if self.down == "stride" else 1)

    def higher(self, before: int, after: int) -> nn.Module:
        """A block to the level above."""
        widen = {"stride": nn.Upsample(scale_factor=2), "blur": Widen(self.padding, self.axes), "flat": nn.Identity()}
        return nn.Sequential(widen[self.down], self.block(before, after))


class ResUNet(nn.Module):
    """One trunk: encoder, decoder with what the encoder saw beside it, and a linear convolution."""

    def __init__(self, channels: int, outputs: int, widths: list[int], made_of: Parts):
        super().__init__()
        pairs = list(zip(widths[:-1], widths[1:], strict=True))
        self.first = made_of.block(channels, widths[0])
        self.residuals = nn.ModuleList(made_of.block(width, width) for width in widths)
        self.lower = nn.ModuleList(made_of.lower(above, below) for above, below in pairs)
        self.higher = nn.ModuleList(made_of.higher(below, above) for above, below in pairs)
        self.joining = nn.ModuleList(made_of.block(2 * above, above) for above, _ in pairs)
        self.output = made_of.convolution(widths[0], outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x = x + self.residuals[0](x)
        seen = [x]
        for lower, residual in zip(self.lower, self.residuals[1:], strict=True):
            x = lower(x)
            x = x + residual(x)
            seen.append(x)
        x = seen.pop()
        for higher, joining in reversed(list(zip(self.higher, self.joining, strict=True))):
            x = higher(x)
            x = x + joining(torch.cat([x, seen.pop()], dim=1))
        return self.output(x)
