"""`limelight`, the default network: small, normalised per map, and able to see a map's overall brightness.

Its options are the choices that docs/training.md compares.

Group norm keeps no memory between maps, so that validation behaves as training does (batch norm made the paper's
validation loss spike). But it also divides each map's own brightness away, the first thing that a luminosity function
shows in; four moments of the input therefore go around the convolutions straight to the head.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limelight.networks.checks import cube, one_of, ratios, vector
from limelight.networks.layers import Conv3d

MOMENTS = 4
FAR = 20.0  # asinh(T/s) of 2.4e8 s: from there on it is a logarithm to float32


def limelight(
    input_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
    filters: int = 8,
    norm: str = "group",
    pool: str = "mean_max",
    moments: bool = True,
    scales: list[float] | tuple[float, ...] = (1, 10, 100),
) -> nn.Module:
    """The default network. filters: of the stem and first block; the later blocks double it up to 8 × filters.

    norm: "group", "batch" or "none"; pool: what is kept of the last block's maps, "mean", "max" or "mean_max"; moments:
    whether four moments of the input go straight to the head; scales: see `rescaled`, one input channel each. Of data of
    several channels the map is the first; the others are taken as they are.
    """
    one_of("filters", filters, (4, 8, 16, 32, 64, 128))  # group norm takes them in fours
    one_of("norm", norm, tuple(NORMS))
    one_of("pool", pool, ("mean", "max", "mean_max"))
    one_of("moments", moments, (True, False))
    cube("limelight", input_shape)
    sizes = ratios("scales", scales)
    return Limelight(vector(output_shape), filters, NORMS[norm], pool, moments, sizes, further=input_shape[0] - 1)


class GroupNorm(nn.GroupNorm):
    """Group norm in float32, whatever autocast makes of its input: as on a GPU, and on a CPU four times as fast."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float())


NORMS = {
    "group": lambda width: GroupNorm(width // 4, width),
    "batch": nn.BatchNorm3d,
    "none": lambda width: nn.Identity(),
}


class Limelight(nn.Module):
    """Stem 5 × 5 × 3, four residual blocks, global mean and max, moments of the map, dense 256, output."""

    def __init__(
        self,
        n_outputs: int,
        filters: int,
        norm: Callable,
        pool: str,
        moments: bool,
        scales: list[float],
        further: int = 0,
    ):
        super().__init__()
        self.scales, self.pool = scales, pool
        channels = len(scales) + further
        self.stem = Conv3d(channels, filters, (5, 5, 3), stride=(2, 2, 1), padding=(2, 2, 1))
        self.stem_norm = norm(filters)
        widths = [filters, filters, 2 * filters, 4 * filters, 8 * filters]
        self.blocks = nn.ModuleList(
            Block(before, after, norm, stride=1 if i == 0 else 2)
            for i, (before, after) in enumerate(zip(widths[:-1], widths[1:], strict=True))
        )
        self.moments = MOMENTS * channels if moments else 0
        self.dense = nn.Linear((2 if pool == "mean_max" else 1) * widths[-1] + self.moments, 256)
        self.output = nn.Linear(256, n_outputs)
        self.register_buffer("moment_mean", torch.zeros(self.moments))
        self.register_buffer("moment_std", torch.ones(self.moments))

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Take the scale of the moments from a first batch of inputs, (b, channels, x, y, f).

        They differ between maps by a tenth of themselves; brought to unit spread, the head sees them from the first step.
        """
        if not self.moments:
            return
        m = moments(rescaled(x, self.scales))
        self.moment_mean.copy_(m.mean(dim=0))
        self.moment_std.copy_(m.std(dim=0).clamp(min=1e-3))

    def features(self, x: Tensor) -> Tensor:
        """The 256 numbers before the output layer."""
        x = rescaled(x, self.scales)
        m = (moments(x) - self.moment_mean) / self.moment_std if self.moments else x.new_zeros(len(x), 0)
        x = F.relu(self.stem_norm(self.stem(x)))
        for block in self.blocks:
            x = block(x)
        kept = {"mean": x.mean(dim=(2, 3, 4)), "max": x.amax(dim=(2, 3, 4))}
        pooled = torch.cat([*(kept[name] for name in self.pool.split("_")), m.to(x.dtype)], dim=1)
        return F.relu(self.dense(pooled))

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.features(x))


def rescaled(x: Tensor, scales: list[float]) -> Tensor:
    """asinh(T/s) seen at several scales: x (b, c, x, y, f) -> (b, scales + c − 1, x, y, f).

    Channel i is asinh(T/(scales[i] s)), made of the first of x; the others of x follow as they are. It is worked out as
    asinh(sinh(x)/scale), and |x| − ln(scale) far out, where sinh would overflow. Other inputs than asinh come to no harm: a
    scale of 1 leaves any input as it is.
    """
    if scales == [1.0]:
        return x
    x, further = x[:, :1].float(), x[:, 1:].float()
    size = x.abs()
    near = size.clamp(max=FAR)
    linear = torch.sinh(near)
    channels = [x if s == 1 else torch.sign(x) * (asinh(linear / s) + (size - near)) for s in scales]
    return torch.cat([*channels, further], dim=1)


def asinh(x: Tensor) -> Tensor:
    """asinh of x ≥ 0. On a CPU torch.asinh takes one number at a time, and a tenth of a training step."""
    square = x.square()
    return torch.log1p(x + square / (1 + torch.sqrt(1 + square)))


class Block(nn.Module):
    """Two 3³ convolutions, normalised, added to a 1³ projection of the input."""

    def __init__(self, before: int, after: int, norm: Callable, stride: int):
        super().__init__()
        self.first = Conv3d(before, after, 3, stride=stride, padding=1, bias=False)
        self.first_norm = norm(after)
        self.second = Conv3d(after, after, 3, padding=1, bias=False)
        self.second_norm = norm(after)
        self.project = before != after or stride > 1
        if self.project:
            self.shortcut = Conv3d(before, after, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.first_norm(self.first(x)))
        y = self.second_norm(self.second(y))
        return F.relu(y + (self.shortcut(x) if self.project else x))


def moments(x: Tensor) -> Tensor:
    """Mean and the roots of the second to fourth central moments of channels, in units of x: (b, c, x, y, f) -> (b, 4 c)."""
    flat = x.float().flatten(2)
    mean = flat.mean(dim=2)
    d = flat - mean[..., None]
    square = d.square()
    second = square.mean(dim=2).sqrt()
    third = (square * d).mean(dim=2)
    fourth = square.square().mean(dim=2).pow(0.25)
    return torch.cat([mean, second, third.sign() * third.abs().pow(1 / 3), fourth], dim=1)
