"""`statistics`: what is counted on maps of two axes, and beside it, if asked for, what convolutions see.

Power spectrum, peaks, minima and Minkowski functionals at several smoothing scales are computed from each map as it is
shown, noise and all; nothing of them is trained. A dense layer makes the network's answer of them; a posterior stands on the
numbers themselves, and can choose among their kinds.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

from limelight.errors import problem
from limelight.networks.checks import vector, whole
from limelight.networks.lensing import WIDTHS, Trunk, plane_of
from limelight.summaries.convergence import minkowski, peak_counts, smoothed
from limelight.summaries.power import power_bins, power_spectrum

PEAKS, FUNCTIONALS = (-2.0, 6.0), (-3.0, 4.0)  # heights in σ of the smoothed maps; minima mirror the peaks
KINDS = ("power", "peaks", "minima", "minkowski")


def statistics(
    input_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
    smoothing: list | tuple = (0.0, 1.0, 2.0),
    bins: int = 12,
    periodic: bool = False,
    convolutions: bool = False,
    hidden: int = 64,
) -> nn.Module:
    """The network.

    Parameters
    ----------
    smoothing
        σ of the Gaussians behind which peaks, minima and functionals are counted, pixels; 0: the map as it is.
    bins
        Of ℓ in the power spectrum, and of height in each other statistic.
    periodic
        Whether opposite edges of the maps touch.
    convolutions
        Whether the layers of `kappa_small` stand beside the statistics, trained together with the answer.
    hidden
        Width of the dense layer.
    """
    _, side = plane_of("statistics", input_shape, 8)
    if input_shape[0] != 1 or input_shape[1] != input_shape[2]:
        found = f"data of shape {input_shape} for statistics"
        raise problem("networks.architecture", found, "square maps of one channel", "choose another architecture")
    for name, value in (("periodic", periodic), ("convolutions", convolutions)):
        if not isinstance(value, bool):
            raise problem(f"networks.options.{name}", repr(value), "true or false", "change it")
    numbers = isinstance(smoothing, list | tuple) and len(smoothing) > 0
    if not numbers or not all(type(one) in (int, float) and 0 <= one <= side / 8 for one in smoothing):
        expected = f"a list of numbers from 0 to {side / 8:g} pixels"
        raise problem("networks.options.smoothing", repr(smoothing), expected, "change it")
    whole("bins", bins, 2, 100)
    summaries = Summaries(side, tuple(map(float, smoothing)), bins, periodic)
    return StatisticsNetwork(vector(output_shape), summaries, convolutions, whole("hidden", hidden, 1, 8192))


class Summaries(nn.Module):
    """Power, peaks, minima and Minkowski functionals of maps (b, 1, n, n), as numbers of even scatter."""

    def __init__(self, side: int, smoothing: tuple[float, ...], bins: int, periodic: bool):
        super().__init__()
        self.smoothing, self.n_bins, self.periodic = smoothing, bins, periodic
        edges = np.geomspace(math.pi / side, math.pi, bins + 1)
        shells = power_bins((side, side), (1.0, 1.0), edges)
        filled = np.flatnonzero(shells.modes > 0)  # low shells of a small map may hold no wave
        self.shells = power_bins((side, side), (1.0, 1.0), np.append(edges[filled], edges[-1]))
        self.register_buffer("spread", torch.ones(len(smoothing)))  # σ of the maps behind each Gaussian

    @property
    def names(self) -> dict[str, slice]:
        """Where each kind stands among the numbers."""
        per_scale = self.n_bins * len(self.smoothing)
        ends = np.cumsum([0, len(self.shells.modes), per_scale, per_scale, 3 * per_scale]).tolist()
        return {name: slice(*ends[i : i + 2]) for i, name in enumerate(KINDS)}

    def __len__(self) -> int:
        return self.names[KINDS[-1]].stop

    def measure(self, x: Tensor) -> None:
        """Take the scale of heights from a first batch of maps."""
        maps = x[:, 0].float()
        for i, sigma in enumerate(self.smoothing):
            self.spread[i] = smoothed(maps, sigma, self.periodic).std().clamp(min=1e-12)

    def forward(self, x: Tensor) -> Tensor:
        maps = x[:, 0].float()
        power = power_spectrum(maps, self.shells.to(x.device))[:, 0].clamp(min=1e-20).log().float()
        peaks, minima, functionals = [], [], []
        for sigma, spread in zip(self.smoothing, self.spread, strict=True):
            here = smoothed(maps, sigma, self.periodic)
            here = (here - here.mean(dim=(1, 2), keepdim=True)) / spread
            heights, levels = (torch.linspace(*ends, self.n_bins + 1, device=x.device) for ends in (PEAKS, FUNCTIONALS))
            peaks.append(peak_counts(here, heights, self.periodic).sqrt())
            minima.append(peak_counts(-here, heights, self.periodic).sqrt())
            functionals.append(minkowski(here, levels, self.periodic).flatten(1))
        return torch.cat([power, *peaks, *minima, *functionals], dim=1)


class StatisticsNetwork(nn.Module):
    """Standardised statistics, the means of convolutions beside them, a dense layer, the output."""

    def __init__(self, outputs: int, summaries: Summaries, convolutions: bool, hidden: int):
        super().__init__()
        self.summaries = summaries
        self.trunk = Trunk(1) if convolutions else None
        numbers = len(summaries) + (sum(WIDTHS) if convolutions else 0)
        self.output = nn.Sequential(nn.Linear(numbers, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
        self.register_buffer("mean", torch.zeros(len(summaries)))
        self.register_buffer("std", torch.ones(len(summaries)))

    @property
    def kinds(self) -> dict[str, slice]:
        """Where each kind of feature stands: power, peaks, minima, minkowski, convolutions."""
        seen = (
            {"convolutions": slice(len(self.summaries), len(self.summaries) + sum(WIDTHS))}
            if self.trunk is not None
            else {}
        )
        return {**self.summaries.names, **seen}

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Take the scale of the statistics from a first batch of inputs, (b, 1, n, n)."""
        self.summaries.measure(x)
        found = self.summaries(x)
        self.mean.copy_(found.mean(dim=0))
        spread = found.std(dim=0)
        self.std.copy_(torch.where(spread > 1e-6, spread, 1.0))

    def features(self, x: Tensor) -> Tensor:
        """The standardised statistics, (b, S), and after them the means of the convolutions where there are some."""
        with torch.no_grad():
            found = (self.summaries(x) - self.mean) / self.std
        return found if self.trunk is None else torch.cat([found, self.trunk(x)], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.features(x))
