"""`counting`: power, one-point function and mean of the map, and beside them, if asked for, what convolutions see.

The summaries are fixed; a last linear layer makes the answer of them. It is a poor answer. The network is there for
posteriors, whose heads stand on its features, and to say what convolutions, or a histogram whose edges are learnt, add to
summaries.
"""

import math

import torch
from torch import Tensor, nn

from limelight.errors import problem
from limelight.networks.checks import cube, one_of, vector, whole
from limelight.networks.residual import NORMS, Limelight
from limelight.networks.soft_histogram import SoftHistogram
from limelight.summaries.counting import Counting

SMOOTHING = (0.0, 1.0, 2.0)  # pixels


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
    soft_bins: int = 0,
    smoothing: list[float] | tuple[float, ...] | None = None,
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
    soft_bins
        Of the histograms whose edges are learnt; 0: there are none.
    smoothing
        σ of the Gaussians on the sky behind which those are taken, pixels; 0: the map as it is. None: 0, 1 and 2.
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
    if whole("soft_bins", soft_bins, 0, 1000) == 1:
        raise problem("networks.options.soft_bins", "1", "0, or 2 at least: one bin has no edge", "change it")
    wanted = SMOOTHING if soft_bins and smoothing is None else smoothing
    widths = () if wanted is None else sigmas(wanted, min(shape[:2]))
    summaries = Counting(shape, float(scale), float(low), float(high), bins, across, along)
    soft = SoftHistogram(summaries.scale, summaries.low, summaries.high, soft_bins, widths) if soft_bins else None
    return CountingNetwork(vector(output_shape), summaries, soft, filters, pool_channels)


def sigmas(values: object, side: int) -> tuple[float, ...]:
    """Widths of Gaussians: a list of numbers, each 0 or from half a pixel to an eighth of the map's side."""
    numbers = list(values) if isinstance(values, list | tuple) else []
    if not numbers or not all(type(one) in (int, float) and (one == 0 or 0.5 <= one <= side / 8) for one in numbers):
        expected = f"a list of numbers, each 0 or from 0.5 to {side / 8:g} pixels"
        raise problem("networks.options.smoothing", repr(values), expected, "change it")
    return tuple(map(float, numbers))


class CountingNetwork(nn.Module):
    """Standardised summaries, a histogram that learns and features of convolutions, and a linear layer on all of them."""

    def __init__(
        self, n_outputs: int, summaries: Counting, soft: SoftHistogram | None, filters: int, pool_channels: int
    ):
        super().__init__()
        self.summaries, self.soft, self.pool_channels = summaries, soft, pool_channels
        self.trunk = Limelight(1, filters, NORMS["group"], "mean_max", True, [1.0, 10.0]) if filters else None
        if self.trunk is not None:
            self.trunk.output = nn.Identity()
        numbers = len(summaries) + (len(soft) if soft else 0)
        self.output = nn.Linear(numbers + (256 if filters else 0), n_outputs)
        self.register_buffer("mean", torch.zeros(numbers))
        self.register_buffer("std", torch.ones(numbers))

    @property
    def kinds(self) -> dict[str, slice]:
        """Where each kind of feature stands: power, histogram, mean, soft_histogram, convolutions."""
        found, fixed, counted = dict(self.summaries.names), len(self.summaries), len(self.mean)
        if self.soft is not None:
            found["soft_histogram"] = slice(fixed, counted)
        if self.trunk is not None:
            found["convolutions"] = slice(counted, self.output.in_features)
        return found

    def counted(self, x: Tensor) -> Tensor:
        """The summaries, and after them the histogram that learns, of inputs (b, 1, x, y, f)."""
        with torch.no_grad():
            found = self.summaries(x)
        return found if self.soft is None else torch.cat([found, self.soft(x[:, 0].float())], dim=1)

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Take the scale of the summaries from a first batch of inputs, (b, 1, x, y, f)."""
        found = self.counted(x)
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
        """The standardised numbers that are counted, (b, S), and after them 256 of the convolutions where there are some."""
        found = (self.counted(x) - self.mean) / self.std
        return found if self.trunk is None else torch.cat([found, self.trunk.features(self.seen(x))], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.features(x))
