"""`limelight`, the default network: small, normalised per map, and able to see a map's overall brightness.

Group norm keeps no memory between maps, so that validation behaves as training does (batch norm made the paper's
validation loss spike). But it also divides each map's own brightness away, the first thing that a luminosity function
shows in; four moments of the input therefore go around the convolutions straight to the head.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limelight.networks.checks import one_of
from limelight.networks.layers import Conv3d


def limelight(input_shape: tuple[int, int, int], n_outputs: int, filters: int = 8) -> nn.Module:
    """The default network. filters: of the stem and first block; the later blocks double it up to 8 × filters."""
    one_of("filters", filters, (4, 8, 16, 32, 64, 128))  # group norm takes them in fours
    return Limelight(n_outputs, filters)


class Limelight(nn.Module):
    """Stem 5 × 5 × 3, four residual blocks, global mean and max, moments of the map, dense 256, output."""

    def __init__(self, n_outputs: int, filters: int):
        super().__init__()
        self.stem = Conv3d(1, filters, (5, 5, 3), stride=(2, 2, 1), padding=(2, 2, 1))
        self.stem_norm = nn.GroupNorm(filters // 4, filters)
        widths = [filters, filters, 2 * filters, 4 * filters, 8 * filters]
        self.blocks = nn.ModuleList(
            Block(before, after, stride=1 if i == 0 else 2)
            for i, (before, after) in enumerate(zip(widths[:-1], widths[1:], strict=True))
        )
        self.dense = nn.Linear(2 * widths[-1] + 4, 256)
        self.output = nn.Linear(256, n_outputs)
        self.register_buffer("moment_mean", torch.zeros(4))
        self.register_buffer("moment_std", torch.ones(4))

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Take the scale of the moments from a first batch of inputs, (b, 1, x, y, f).

        They differ between maps by a tenth of themselves; brought to unit spread, the head sees them from the first step.
        """
        m = moments(x)
        self.moment_mean.copy_(m.mean(dim=0))
        self.moment_std.copy_(m.std(dim=0).clamp(min=1e-3))

    def forward(self, x: Tensor) -> Tensor:
        m = (moments(x) - self.moment_mean) / self.moment_std
        x = F.relu(self.stem_norm(self.stem(x)))
        for block in self.blocks:
            x = block(x)
        features = torch.cat([x.mean(dim=(2, 3, 4)), x.amax(dim=(2, 3, 4)), m.to(x.dtype)], dim=1)
        return self.output(F.relu(self.dense(features)))


class Block(nn.Module):
    """Two 3³ convolutions with group norm, added to a 1³ projection of the input."""

    def __init__(self, before: int, after: int, stride: int):
        super().__init__()
        self.first = Conv3d(before, after, 3, stride=stride, padding=1, bias=False)
        self.first_norm = nn.GroupNorm(after // 4, after)
        self.second = Conv3d(after, after, 3, padding=1, bias=False)
        self.second_norm = nn.GroupNorm(after // 4, after)
        self.project = before != after or stride > 1
        if self.project:
            self.shortcut = Conv3d(before, after, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.first_norm(self.first(x)))
        y = self.second_norm(self.second(y))
        return F.relu(y + (self.shortcut(x) if self.project else x))


def moments(x: Tensor) -> Tensor:
    """Mean and the roots of the second to fourth central moments of each map: (b, 1, x, y, f) -> (b, 4), units of x."""
    flat = x.float().flatten(1)
    mean = flat.mean(dim=1)
    d = flat - mean[:, None]
    second = d.square().mean(dim=1).sqrt()
    third = d.pow(3).mean(dim=1)
    fourth = d.pow(4).mean(dim=1).pow(0.25)
    return torch.stack([mean, second, third.sign() * third.abs().pow(1 / 3), fourth], dim=1)
