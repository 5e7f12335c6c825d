"""How a network is shown line maps: dimming, superposing, symmetries, foregrounds, noise, preprocessing.

Every presentation is made batch-wise on the device, with its own noise. Random numbers come from a generator that the caller
keys by (seed, network, epoch, step), never from what was drawn before: a resumed run therefore shows the very same batches.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from limelight.data.shard import Header
from limelight.data.targets import Target
from limelight.errors import problem
from limelight.probes.line_intensity.config import LineNetwork, LineTraining
from limelight.probes.line_intensity.labels import EXTENSION_BINS, log10_lum_edges
from limelight.probes.line_intensity.maps.foregrounds import add_foregrounds
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.instrument import (
    add_noise,
    draw_setting,
    noise_pattern,
    noise_sigma,
    pooled_sigma,
)
from limelight.probes.line_intensity.maps.pooling import TRANSFORMS, transform
from limelight.probes.line_intensity.settings import LineObservation
from limelight.probes.line_intensity.shards import grid_of
from limelight.training.presentation import Data, Truths, answers
from limelight.training.symmetries import draw_symmetry, symmetry

MIN_SPREAD_DEX = 0.01  # a bin that hardly varies over the training maps must not outweigh the others


@dataclass(frozen=True)
class Augmentation:
    """In which shares of the presentations a map is changed together with its luminosity function; see the config."""

    blank_fraction: float = 0.0
    dim_fraction: float = 0.0
    superpose_fraction: float = 0.0
    flips: bool = False
    quarter_turns: bool = False


@dataclass(frozen=True)
class LinePresentation:
    """What is done to a map before a network sees it. Maps are (b, 1, x, y, frequency), block sums without noise."""

    target: Target
    bin_width: float  # of the luminosity bins, dex
    grid: Grid
    noise: tuple[tuple[float, float], ...]  # per named setting: range of σ, µK per fine voxel
    foregrounds: Mapping | None  # a setting of observation.foregrounds
    transform: str  # preprocessing
    scale_uk: float
    augmentation: Augmentation = Augmentation()
    beam_fwhm_arcmin: float = 0.0  # that the maps were smoothed by, and that foregrounds therefore are
    patterns: tuple = ()  # per named setting: how σ varies over the field, (x, y), or None; empty: nowhere
    zero_level_known: bool = True  # otherwise each map's own mean is subtracted

    @property
    def adds_noise(self) -> bool:
        return max(high for _, high in self.noise) > 0

    def augment(self, x: Tensor, y: Truths, random: torch.Generator) -> tuple[Tensor, Truths]:
        """Maps that are blank, dimmed, turned, or laid over one another, with their exact counts."""
        maps, n_above, shares = x[:, 0], y["n_above"], self.augmentation
        rows, device = len(maps), random.device
        fate = torch.rand(rows, generator=random, device=device)
        steps_down = torch.randint(1, dim_steps(self.bin_width) + 1, (rows,), generator=random, device=device)
        turns = draw_symmetry(rows, shares.flips, shares.quarter_turns, random)
        blank = fate < shares.blank_fraction
        dim = ~blank & (fate < shares.blank_fraction + shares.dim_fraction)
        maps, counts = dimmed(maps, n_above, steps_down * dim, self.bin_width)
        maps = torch.where(blank[:, None, None, None], 0.0, symmetry(maps, *turns))
        counts = torch.where(blank[:, None], 0.0, counts)
        if shares.superpose_fraction:
            over = torch.rand(rows, generator=random, device=device) < shares.superpose_fraction
            maps, counts = superposed(maps, counts, over & ~blank)
        return maps[:, None], {**y, "n_above": counts}

    def observe(self, x: Tensor, random: torch.Generator) -> Tensor:
        """Foregrounds, noise and preprocessing of clean maps; each draws one named noise setting, and σ from its range."""
        maps = x[:, 0]
        if self.foregrounds is not None:
            maps = add_foregrounds(maps, self.foregrounds, self.grid, random, self.beam_fwhm_arcmin)
        if self.adds_noise:
            per_channel = torch.as_tensor(pooled_sigma(self.grid), dtype=torch.float32, device=maps.device)
            sigma, setting = draw_setting(list(self.noise), len(maps), random)
            sigma = sigma[:, None] * per_channel
            if any(pattern is not None for pattern in self.patterns):
                flat = np.ones(self.grid.pooled_shape[:2])
                patterns = np.stack([flat if pattern is None else pattern for pattern in self.patterns])
                over_field = torch.as_tensor(patterns, dtype=torch.float32, device=maps.device)[setting]
                sigma = sigma[:, None, None] * over_field[..., None]
            maps = add_noise(maps, sigma, random)
        if not self.zero_level_known:
            maps = without_mean(maps)
        return transform(maps, self.transform, self.scale_uk)[:, None]

    def moments(self, data: Data) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation per bin of what the network is told to answer, (bins,) float64 each.

        Over the training maps and over blanking, dimming and superposing in their shares (otherwise a blank map would lie a
        hundred standard deviations off); the partners are maps half the set apart. Bins without spread get 1; log targets at
        least MIN_SPREAD_DEX.
        """
        shares, n_above = self.augmentation, data.y["n_above"]
        blank, over = shares.blank_fraction, shares.superpose_fraction
        dim = min(shares.dim_fraction, 1 - blank)
        steps = dim_steps(self.bin_width)
        parts = [(1 - blank - dim, 0)] + [(dim / steps, k) for k in range(1, steps + 1) if dim]

        def answer(counts: Tensor, rows: slice = slice(None)) -> Tensor:
            return answers({"n_above": counts, "volume_mpc3": data.y["volume_mpc3"][rows]}, self.target)

        first = second = 0.0
        nothing = answer(torch.zeros_like(n_above[:1]), slice(1))[0]
        offset = answer(n_above).mean(dim=0)  # moments about it: no digits lost
        twice = n_above + n_above.roll(len(data) // 2, dims=0)
        kinds = [(n_above, 1 - over)] + ([(twice, over)] if over else [])
        for share, k, counts in [(part * share, k, counts) for counts, part in kinds for share, k in parts]:
            t = answer(counts[:, k:]) - offset
            first, second = first + share * t.mean(dim=0), second + share * t.square().mean(dim=0)
        first, second = first + blank * (nothing - offset), second + blank * (nothing - offset).square()
        spread = (second - first.square()).clamp(min=0).sqrt()
        if self.target.transform != "none":
            spread = spread.clamp(min=MIN_SPREAD_DEX)
        return offset + first, torch.where(spread > 0, spread, 1.0)

    def unaltered(self) -> "LinePresentation":
        """Without blanking, dimming and superposing: symmetries alone."""
        symmetries = replace(self.augmentation, blank_fraction=0.0, dim_fraction=0.0, superpose_fraction=0.0)
        return replace(self, augmentation=symmetries)

    def silent(self) -> "LinePresentation":
        return replace(self.with_noise(0.0), foregrounds=None)

    def bare(self) -> "LinePresentation":
        return replace(self, transform="none", scale_uk=1.0)

    def with_noise(self, sigma_uk: float) -> "LinePresentation":
        """The same with white noise of one σ, µK per fine voxel."""
        return replace(self, noise=((sigma_uk, sigma_uk),))


def without_mean(maps: Tensor) -> Tensor:
    """Maps (…, x, y, f) less the mean of each, summed in float64."""
    return maps - maps.mean(dim=(-3, -2, -1), keepdim=True, dtype=torch.float64).to(maps.dtype)


def dim_steps(bin_width: float) -> int:
    """Largest dimming, in whole luminosity bins: a factor of 10, or what the counts above the last bin allow."""
    return max(1, min(EXTENSION_BINS, int(1 / bin_width + 1e-9)))


def dimmed(maps: Tensor, n_above: Tensor, steps_down: Tensor, bin_width: float) -> tuple[Tensor, Tensor]:
    """Maps whose every halo is fainter by whole luminosity bins, with their exact counts.

    A halo at L then shines with L · 10^(−k·width), so that N(≥ edge_j) becomes N(≥ edge_(j+k)). steps_down (b,) int holds k.
    Returns maps (b, x, y, f) and counts (b, columns − EXTENSION_BINS).
    """
    factor = 10 ** (-steps_down.double() * bin_width)
    columns = torch.arange(n_above.shape[1] - EXTENSION_BINS, device=n_above.device)
    counts = n_above.gather(1, steps_down[:, None] + columns)
    return maps * factor.float()[:, None, None, None], counts


def superposed(maps: Tensor, counts: Tensor, over: Tensor) -> tuple[Tensor, Tensor]:
    """Maps (b, x, y, f) and counts (b, columns), with the map before it in the batch laid over each that `over` (b,) says.

    Light adds and so do counts, exactly: sources where sources are, up to twice as many. The first map's is the last one's.
    """
    maps = maps + over[:, None, None, None] * maps.roll(1, dims=0)
    return maps, counts + over[:, None] * counts.roll(1, dims=0)


def line_presentation(
    network: LineNetwork, observation: LineObservation, header: Header, target: Target
) -> LinePresentation:
    """How a network is shown maps: in training with its own observation, in a test with the test's and unchanged.

    A test's observation has no preprocessing of its own: the network's counts. Refuses noise that makes values negative
    where the network cannot read them.
    """
    grid, beam_fwhm_arcmin = grid_of(header.geometry)
    edges = log10_lum_edges(header.truths["labels"])
    training = observation.preprocessing is not None
    noise = observation.noise.values()
    sigma = tuple(noise_sigma(setting, observation.instrument, grid) for setting in noise)
    name = network.preprocessing.transform
    if not training and not TRANSFORMS[name].negative and max(high for _, high in sigma) > 0:
        fix = "use another test, or train with asinh or signed_log"
        raise problem("noise of the test", f"noise for a network that reads {name} of maps without", "no noise", fix)
    return LinePresentation(
        target=target,
        bin_width=float(edges[1] - edges[0]),
        grid=grid,
        noise=sigma,
        foregrounds=observation.foregrounds,
        transform=name,
        scale_uk=network.preprocessing.scale_uk,
        augmentation=augmentation_of(network.training) if training else Augmentation(),
        beam_fwhm_arcmin=beam_fwhm_arcmin,
        patterns=tuple(noise_pattern(setting, grid) for setting in noise),
        zero_level_known=network.preprocessing.zero_level is None,
    )


def augmentation_of(training: LineTraining) -> Augmentation:
    """The augmentation keys of the config's `training`."""
    return Augmentation(**{name: getattr(training, name) for name in Augmentation.__dataclass_fields__})
