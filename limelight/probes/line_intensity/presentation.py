"""How a network is shown line maps: dimming, superposing, symmetries, foregrounds, pipeline, noise, preprocessing.

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
from limelight.probes.line_intensity.config import LineNetwork, LineTraining, Preprocessing
from limelight.probes.line_intensity.inputs import Recorded, network_inputs
from limelight.probes.line_intensity.labels import EXTENSION_BINS, log10_lum_edges
from limelight.probes.line_intensity.maps.config import Noise
from limelight.probes.line_intensity.maps.foregrounds import add_foregrounds
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.instrument import (
    add_noise,
    draw_setting,
    noise_pattern,
    noise_sigma,
    pooled_sigma,
)
from limelight.probes.line_intensity.maps.pooling import TRANSFORMS
from limelight.probes.line_intensity.maps.survey_noise import SurveyNoise, survey_noise
from limelight.probes.line_intensity.pipeline import Pipeline, make_pipeline
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
    preprocessing: Preprocessing
    augmentation: Augmentation = Augmentation()
    beam_fwhm_arcmin: float = 0.0  # that the maps were smoothed by, and that foregrounds therefore are
    # Per named noise setting: how σ varies over the field, (x, y) or (x, y, f), and what is observed, (x, y, f) bool; None:
    # the same everywhere, and all of it. Empty: so in all settings
    patterns: tuple = ()
    masks: tuple = ()
    in_log: tuple[bool, ...] = ()  # whether σ is even in its logarithm between the ends of its range
    pipeline: Pipeline | None = None
    added_uk: float = 0.0  # to every voxel as recorded, for the audit; in the unit of a pooled voxel
    unseen_uk: float = 0.0  # in voxels that are masked, likewise

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
        maps = symmetry(maps, *turns)
        if shares.blank_fraction or shares.dim_fraction:
            dim = ~blank & (fate < shares.blank_fraction + shares.dim_fraction)
            maps, counts = dimmed(maps, n_above, steps_down * dim, self.bin_width)
            maps = torch.where(blank[:, None, None, None], 0.0, maps)
            counts = torch.where(blank[:, None], 0.0, counts)
        else:  # a stream shows each map to many networks, and these passes over it cost as much as its summaries
            counts = n_above[:, : n_above.shape[1] - EXTENSION_BINS]
        if shares.superpose_fraction:
            over = torch.rand(rows, generator=random, device=device) < shares.superpose_fraction
            maps, counts = superposed(maps, counts, over & ~blank)
        return maps[:, None], {**y, "n_above": counts}

    def observe(self, x: Tensor, random: torch.Generator) -> Tensor:
        """Network inputs (b, channels, x, y, f) of clean maps, recorded with draws of their own and then preprocessed."""
        return network_inputs(self.record(x[:, 0], random), self.preprocessing)

    def record(self, maps: Tensor, random: torch.Generator) -> Recorded:
        """What a survey publishes of clean maps (b, x, y, f).

        In this order: radio sources; the pipeline's factor and transfer function, which act on the sky alone; ripple and
        noise, each map with one of the named settings and σ from its range; mask; and what the pipeline takes off the noisy
        map, means and then modes.
        """
        if self.foregrounds is not None:
            maps = add_foregrounds(maps, self.foregrounds, self.grid, random, self.beam_fwhm_arcmin)
        if self.pipeline is not None:
            maps = self.pipeline.before_noise(maps, random)
        sigma, observed = maps.new_zeros(1, 1, 1, 1), None
        if self.adds_noise or any(mask is not None for mask in self.masks):
            level, setting = draw_setting(list(self.noise), len(maps), random, self.in_log)
            sigma = self._sigma(level, setting)
            observed = self._observed(setting)
        if self.adds_noise:
            shaped = self.pipeline.shape_noise if self.pipeline is not None else None
            maps = add_noise(maps, sigma, random, shaped)
        found = Recorded(maps, sigma, observed)
        if self.pipeline is not None:
            found = replace(found, maps=self.pipeline.after_noise(found))
        if self.added_uk:
            found = replace(found, maps=found.maps + self.added_uk)
        if observed is not None:
            found = replace(found, maps=torch.where(observed, found.maps, self.unseen_uk))
        return found

    def _sigma(self, level: Tensor, setting: Tensor) -> Tensor:
        """σ (b, x, y, f), or with axes of length 1, of maps with these σ per fine voxel and these settings (b,)."""
        per_channel = torch.as_tensor(pooled_sigma(self.grid), dtype=torch.float32, device=level.device)
        sigma = level[:, None, None, None] * per_channel
        if any(pattern is not None for pattern in self.patterns):
            shape = (
                self.grid.pooled_shape if any(np.ndim(p) == 3 for p in self.patterns) else self.grid.pooled_shape[:2]
            )
            each = [np.ones(shape) if p is None else _to_shape(p, shape) for p in self.patterns]
            over_field = torch.as_tensor(np.stack(each), dtype=torch.float32, device=level.device)[setting]
            sigma = sigma * (over_field if over_field.ndim == 4 else over_field[..., None])
        return sigma

    def _observed(self, setting: Tensor) -> Tensor | None:
        """What is observed of maps with these settings (b,), (b, x, y, f) bool; None: all."""
        if all(mask is None for mask in self.masks):
            return None
        whole = np.ones(self.grid.pooled_shape, bool)
        masks = np.stack([whole if mask is None else mask for mask in self.masks])
        return torch.as_tensor(masks, device=setting.device)[setting]

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
        pipeline = None if self.pipeline is None else self.pipeline.silent()
        return replace(self.with_noise(0.0), foregrounds=None, pipeline=pipeline)

    def bare(self) -> "LinePresentation":
        """The same without preprocessing, but for means that the network takes off."""
        plain = Preprocessing(transform="none", scale_uk=1.0, remove_means=self.preprocessing.remove_means)
        return replace(self, preprocessing=plain)

    def with_noise(self, sigma_uk: float) -> "LinePresentation":
        """The same with white noise of one σ, µK per fine voxel; of masks, that of the first setting stays."""
        return replace(self, noise=((sigma_uk, sigma_uk),), patterns=(), masks=self.masks[:1], in_log=())

    def at(self, share: float) -> "LinePresentation":
        """The same at every step of a training."""
        return self

    @property
    def uses_zero_level(self) -> bool:
        """Whether a constant that is added to a recorded map changes what the network sees."""
        return not self.preprocessing.remove_means


def _to_shape(pattern: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A pattern (x, y) or (x, y, f) over a shape of as many axes or more."""
    return np.broadcast_to(pattern if pattern.ndim == len(shape) else pattern[..., None], shape)


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
    surveys = [survey_noise(setting.survey, grid) if setting.survey else None for setting in noise]
    sigma = tuple(
        noise_sigma(setting, observation.instrument, grid, survey.sigma_uk if survey else 1.0)
        for setting, survey in zip(noise, surveys, strict=True)
    )
    name = network.preprocessing.transform
    if not training and not TRANSFORMS[name].negative and max(high for _, high in sigma) > 0:
        fix = "use another test, or train with asinh or signed_log"
        raise problem("noise of the test", f"noise for a network that reads {name} of maps without", "no noise", fix)
    patterns = [pattern_of(setting, survey, grid) for setting, survey in zip(noise, surveys, strict=True)]
    masked = [survey is not None and setting.mask is not False for setting, survey in zip(noise, surveys, strict=True)]
    return LinePresentation(
        target=target,
        bin_width=float(edges[1] - edges[0]),
        grid=grid,
        noise=sigma,
        foregrounds=observation.foregrounds,
        preprocessing=network.preprocessing,
        augmentation=augmentation_of(network.training) if training else Augmentation(),
        beam_fwhm_arcmin=beam_fwhm_arcmin,
        patterns=tuple(patterns),
        masks=tuple(survey.observed if seen else None for survey, seen in zip(surveys, masked, strict=True)),
        in_log=tuple(survey is not None for survey in surveys),
        pipeline=make_pipeline(observation.filter, grid, header) if observation.filter else None,
    )


def pattern_of(setting: Noise, survey: SurveyNoise | None, grid: Grid) -> np.ndarray | None:
    """How σ varies over the field, (x, y) or (x, y, f); where a survey saw nothing but shall be seen, its largest σ."""
    if survey is None:
        return noise_pattern(setting, grid)
    return np.where(survey.observed, survey.pattern, survey.pattern.max())


def augmentation_of(training: LineTraining) -> Augmentation:
    """The augmentation keys of the config's `training`."""
    return Augmentation(**{name: getattr(training, name) for name in Augmentation.__dataclass_fields__})
