"""`counting`: power, one-point function and mean of the map, and beside them, if asked for, what convolutions see.

The summaries are fixed; a last linear layer makes the answer of them. It is a poor answer. The network is there for
posteriors, whose heads stand on its features, and to say what convolutions add to summaries.
"""

import math

import torch
from torch import Tensor, nn

from limelight.errors import problem
from limelight.networks.checks import cube, one_of, vector, whole
from limelight.networks.residual import NORMS, Limelight
from limelight.summaries.counting import Counting


def counting(
    input_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
    scale: float = 1.0,
    low: float = -4.0,
    high: float = 60.0,
    bins: int = 42,
    across: int = 12,
    along: int = 5,
    filters: int = 0,
    pool_channels: int = 1,
) -> nn.Module:
    """The network; it reads maps without preprocessing (transform: none).

    Parameters
    ----------
    scale
        Unit of the histogram, best the noise of one of the network's voxels (a block sum, in the maps' unit).
    low, high, bins
        Ends of the histogram in `scale`, and its number of bins.
    across, along
        Logarithmic steps of the waves on the sky, and along the line of sight.
    filters
        Of the convolutions that stand beside the summaries, as those of `limelight`; 0: there are none.
    pool_channels
        Channels that the convolutions see summed; the summaries see all.
    """
    shape = cube("counting", input_shape)
    whole("bins", bins, 2, 1000)
    whole("across", across, 1, 100)
    whole("along", along, 1, 100)
    one_of("filters", filters, (0, 4, 8, 16, 32, 64, 128))
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 < scale < math.inf:
        raise problem("networks.options.scale", repr(scale), "a number above 0", "change it")
    if shape[2] % whole("pool_channels", pool_channels, 1, 10_000):
        found = f"{shape[2]} channels in blocks of {pool_channels}"
        raise problem("networks.options.pool_channels", found, f"a divisor of {shape[2]}", "change it")
    summaries = Counting(shape, float(scale), float(low), float(high), bins, across, along)
    return CountingNetwork(vector(output_shape), summaries, filters, pool_channels)


class CountingNetwork(nn.Module):
    """Standardised summaries, features of convolutions beside them, and a linear layer on both."""

    def __init__(self, n_outputs: int, summaries: Counting, filters: int, pool_channels: int):
        super().__init__()
        self.summaries, self.pool_channels = summaries, pool_channels
        self.trunk = Limelight(1, filters, NORMS["group"], "mean_max", True, [1.0, 10.0]) if filters else None
        if self.trunk is not None:
            self.trunk.output = nn.Identity()
        self.output = nn.Linear(len(summaries) + (256 if filters else 0), n_outputs)
        self.register_buffer("mean", torch.zeros(len(summaries)))
        self.register_buffer("std", torch.ones(len(summaries)))

    @property
    def kinds(self) -> dict[str, slice]:
        """Where each kind of feature stands: power, histogram, mean, convolutions."""
        seen = {"convolutions": slice(len(self.summaries), self.output.in_features)} if self.trunk is not None else {}
        return {**self.summaries.names, **seen}

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Take the scale of the summaries from a first batch of inputs, (b, 1, x, y, f)."""
        found = self.summaries(x)
        self.mean.copy_(found.mean(dim=0))
        self.std.copy_(found.std(dim=0).clamp(min=1e-2))
        if self.trunk is not None:
            self.trunk.calibrate(self.seen(x))

    def seen(self, x: Tensor) -> Tensor:
        """What the convolutions see: asinh(T / noise) of blocks of channels."""
        b, _, nx, ny, nf = x.shape
        blocks = x.reshape(b, 1, nx, ny, nf // self.pool_channels, self.pool_channels).sum(-1)
        return torch.asinh(blocks / (self.summaries.scale * math.sqrt(self.pool_channels)))

    def features(self, x: Tensor) -> Tensor:
        """The standardised summaries, (b, S), and after them 256 numbers of the convolutions where there are some."""
        with torch.no_grad():
            found = (self.summaries(x) - self.mean) / self.std
        return found if self.trunk is None else torch.cat([found, self.trunk.features(self.seen(x))], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.features(x))
