"""`classical`: what is classically measured on a map of uneven noise, and a small dense network on that alone.

Power of inverse-variance weighted maps in shells of k across and along the line of sight, and the one-point function of
voxels in classes of their noise. It learns from the same maps as any other network, observed the same way: mode coupling
by mask and weights, and what a pipeline takes off, are in what it learns from. Nothing of the numbers is trained; posteriors
stand on the numbers themselves, so that they can learn from a stream.
"""

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from limelight.errors import problem
from limelight.networks.checks import cube, ratios, vector, whole
from limelight.summaries.power import PowerBins, power_bins, wave_numbers
from limelight.summaries.weighted import SigmaClasses, classed_histogram, pseudo_power

LOW, HIGH = -4.0, 60.0  # ends of the one-point function, in units of the noise
SMALLEST = 1e-6  # of sinh(weight): where nothing was observed


def classical(
    input_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
    scale: float = 10.0,
    shells: int = 12,
    along: int = 3,
    bins: int = 24,
    classes: list[float] | tuple[float, ...] = (2, 4),
    dense: int = 128,
    least_waves: float = 0.0,
) -> nn.Module:
    """The network. Its data have two channels: the map itself (transform: none), and `weight` (preprocessing.inputs).

    scale: preprocessing.scale_uk of its data; shells: of |k|, each split into `along` of k_par / |k|; bins: of the one-point
    function; classes: limits of the classes of σ, over the map's least; dense: width of the two layers before the output;
    least_waves: waves across the sky that are longer, in waves per side of the map, are left out: those that a pipeline took
    most of, and what it left of its own systematics.
    """
    shape = cube("classical", input_shape)
    if input_shape[0] != 2:
        found = f"data of {input_shape[0]} channels for classical"
        raise problem(
            "networks.architecture", found, "two: a map and its weights", "set preprocessing.inputs: [weight]"
        )
    (scale,) = ratios("scale", [scale])
    limits = tuple(ratios("classes", classes))
    if list(limits) != sorted(set(limits)) or limits[0] <= 1:
        raise problem("networks.options.classes", list(classes), "rising numbers above 1", "put them in order")
    whole("shells", shells, 1, 200)
    whole("along", along, 1, 20)
    whole("bins", bins, 2, 1000)
    whole("dense", dense, 1, 8192)
    if not (type(least_waves) in (int, float) and 0 <= least_waves < min(shape[:2]) / 2):
        expected = f"a number from 0 to {min(shape[:2]) / 2:g}, Nyquist's"
        raise problem("networks.options.least_waves", repr(least_waves), expected, "change it")
    waves = wave_shells(shape, shells, along, float(least_waves))
    return Classical(waves, vector(output_shape), scale, bins, SigmaClasses(limits), dense)


class Classical(nn.Module):
    """Standardised summaries, two dense layers, output."""

    def __init__(self, waves: PowerBins, n_outputs: int, scale: float, bins: int, classes: SigmaClasses, dense: int):
        super().__init__()
        self.scale, self.classes, self.waves, self.bins = scale, classes, waves, bins
        self.edges = torch.from_numpy(np.sinh(np.linspace(np.arcsinh(LOW), np.arcsinh(HIGH), bins + 1)))
        summaries = self.kinds["depth"].stop
        self.layers = nn.Sequential(nn.Linear(summaries, dense), nn.SiLU(), nn.Linear(dense, dense), nn.SiLU())
        self.output = nn.Linear(dense, n_outputs)
        self.register_buffer("mean", torch.zeros(summaries))
        self.register_buffer("std", torch.ones(summaries))

    @property
    def kinds(self) -> dict[str, slice]:
        """Where each kind of summary stands."""
        ends = np.cumsum([0, len(self.waves.modes), len(self.classes) * self.bins, 1]).tolist()
        return {name: slice(*ends[i : i + 2]) for i, name in enumerate(("power", "histogram", "depth"))}

    @torch.no_grad()
    def summaries(self, x: Tensor) -> Tensor:
        """Of (b, 2, x, y, f), (b, S) float32: logarithms of powers, roots of shares of voxels, log10 of the least σ."""
        maps, weight = x[:, 0].float(), torch.sinh(x[:, 1].float())  # weight: scale / σ
        observed = weight > SMALLEST
        sigma = torch.where(observed, self.scale / weight.clamp(min=SMALLEST), 0.0)
        if self.waves.index.device != x.device:
            self.waves = self.waves.to(x.device)
        inverse = weight.square()
        inverse = inverse / inverse.flatten(1).amax(dim=1)[:, None, None, None].clamp(min=1e-30)
        power = (pseudo_power(maps / self.scale, inverse, self.waves) + 1e-12).log()
        number = self.classes.numbers(sigma, observed)
        shares = classed_histogram(maps * weight / self.scale, number, len(self.classes), self.edges).sqrt()
        depth = weight.flatten(1).amax(dim=1, keepdim=True).log10()
        return torch.cat([power, shares.flatten(1), depth], dim=1).float()

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Take the scale of the summaries from a first batch of inputs."""
        found = self.summaries(x)
        self.mean.copy_(found.mean(dim=0))
        self.std.copy_(found.std(dim=0).clamp(min=1e-2))

    def features(self, x: Tensor) -> Tensor:
        """The standardised summaries, (b, S)."""
        return (self.summaries(x) - self.mean) / self.std

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.layers(self.features(x)))


def wave_shells(shape: tuple[int, ...], shells: int, along: int, least_waves: float = 0.0) -> PowerBins:
    """Logarithmic shells of |k| up to Nyquist's, each in equal steps of μ = k_par / |k|; empty ones are left out.

    k is that of cubic voxels of side 1: networks know no lengths. Waves of fewer than `least_waves` across the map's plane
    are in none.
    """
    base = power_bins(
        shape, (1.0,) * len(shape), [0.0, 10.0]
    )  # numpy from here on: a network may be built on no device
    k = np.sqrt(sum(each**2 for each in wave_numbers(shape, base.voxel_mpc))).ravel()
    mu, weight, least = np.sqrt(base.mu2.numpy()), base.weight.numpy(), 2 * math.pi / max(shape)
    steps = np.log(np.maximum(k, least) / least) / math.log(math.pi * math.sqrt(3) / least)
    number = (np.minimum(steps, 1 - 1e-9) * shells).astype(int) * along + (np.minimum(mu, 1 - 1e-9) * along).astype(int)
    kx, ky, along_sight = wave_numbers(shape, base.voxel_mpc)
    across = np.hypot(kx * shape[0], ky * shape[1]) / (2 * math.pi) + 0 * along_sight
    used = (k > 0) & (across.ravel() >= least_waves - 1e-9)
    kept = np.unique(number[used])
    index = np.where(used, np.searchsorted(kept, number), len(kept))
    modes = np.bincount(index, weight, len(kept) + 1)[:-1]
    k_mean = np.bincount(index, weight * k, len(kept) + 1)[:-1] / modes
    edges = np.arange(len(kept) + 1.0)  # as many as shells: those of |k| and μ together have no edges in k alone
    return replace(base, k_edges=edges, index=torch.from_numpy(index), modes=modes, k_mean=k_mean)
