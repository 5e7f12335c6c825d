"""Training data as a table: features, statistics, answers and parameters, one row per presentation.

A head is quick to train and a trunk is slow to run, so every row of data is shown to the trained trunk a few times, each
time with fresh noise, foregrounds and one of the exact symmetries, and what comes out is kept. Never blanked or dimmed: a
posterior must have the study's prior, and those data are not of it; a share of empty data can be made a part of the prior.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from limelight.data.targets import Array, Target
from limelight.seeds import torch_seed
from limelight.summaries.inputs import sky_and_channels, sky_power
from limelight.training.presentation import Data, Presentation

BATCH = 40
LN10 = float(np.log(10))
MOST = 1e12  # things of one kind in one row


@dataclass(frozen=True)
class Mixed:
    """Shares of presentations that are not of the data as drawn, of answers that are counts."""

    empty: float = 0.0  # nothing but noise
    superposed: float = 0.0  # two rows of the data in one


NOTHING_MIXED = Mixed()


@dataclass
class Table:
    """n presentations of data on the device."""

    features: Tensor  # (n, F) float32: what the trunk makes of the data
    statistics: Tensor  # (n, k) float32: of the data as presented (map_statistics)
    answers: Tensor  # (n, d) float32: of the posterior's target, counts as they are, all else encoded
    theta: Tensor  # (n, p) float32: parameters of the simulation; NaN where a row has none
    row: Tensor  # (n,) int64: which row of the data
    of_prior: Tensor  # (n,) bool: as drawn; neither empty nor superposed

    def __len__(self) -> int:
        return len(self.features)


@torch.no_grad()
def make_table(
    trunk: nn.Module,
    data: Data,
    target: Target,
    presentation: Presentation,
    times: int,
    seed: int,
    stage: str,
    mixed: Mixed = NOTHING_MIXED,
) -> Table:
    """Show every row `times` times to a trunk in evaluation mode; random numbers depend on (seed, stage, batch).

    Parameters
    ----------
    target
        Of the posterior.
    presentation
        Without moves that change the distribution of the data (`Presentation.unaltered`).
    mixed
        Which share of presentations are of no row of the data alone; see `shown`.
    """
    rows = torch.arange(len(data)).repeat(times)
    found, seen, right, drawn = [], [], [], []
    for i, part in enumerate(rows.split(BATCH)):
        random = torch.Generator(data.device).manual_seed(torch_seed(seed, stage, i))
        inputs, answers, of_prior = shown(data, part, target, presentation, random, mixed)
        found.append(trunk.features(inputs).float())
        seen.append(map_statistics(inputs))
        right.append(answers)
        drawn.append(of_prior)
    rows = rows.to(data.device)
    return Table(torch.cat(found), torch.cat(seen), torch.cat(right), data.theta[rows], rows, torch.cat(drawn))


def shown(
    data: Data, rows: Tensor, target: Target, presentation: Presentation, random: torch.Generator, mixed: Mixed
) -> tuple[Tensor, Tensor, Tensor]:
    """Network inputs (b, …) of the rows, drawn anew, their answers (b, d), which may turn with them, and which are as drawn.

    The others (`mixed`) are empty data with answers of 0, or hold the light of another row of the data as well and, since
    counts add, its answers.
    """
    x, y = presentation.augment(*data.batch(rows), random)
    answers, kind = answers_of(y, target).float(), None
    if mixed.empty or mixed.superposed:
        kind = torch.rand(len(x), generator=random, device=random.device)
        axes = [1] * (x.ndim - 1)
    if mixed.superposed:
        other = torch.randint(len(data), (len(x),), generator=random, device=random.device)
        more, truths = presentation.augment(*data.batch(other.to(rows.device)), random)
        over = (kind >= mixed.empty) & (kind < mixed.empty + mixed.superposed)
        x = torch.where(over.view(-1, *axes), x + more, x)
        answers = torch.where(over[:, None], answers + answers_of(truths, target).float(), answers)
    if mixed.empty:
        empty = kind < mixed.empty
        x = torch.where(empty.view(-1, *axes), 0.0, x)
        answers = torch.where(empty[:, None], 0.0, answers)
    as_drawn = torch.ones(len(x), dtype=torch.bool, device=x.device)
    if kind is not None:
        as_drawn = kind >= mixed.empty + mixed.superposed
    return presentation.observe(x, random), answers, as_drawn


def answers_of(y: Mapping[str, Array], target: Target) -> Array:
    """What a posterior answers, (n, d): counts as they are, all else encoded; y: truths, numpy or torch."""
    truth = target.truth(y)
    return truth if target.counts else target.encode(truth, y)


def map_statistics(inputs: Tensor) -> Tensor:
    """A few plain numbers of network inputs (b, channels, *axes), (b, 13): what a network may have learnt to overlook.

    The first two axes are taken as the sky; further axes and channels are taken together as channels.

    Mean, the roots of the second to fourth central moment (units of the input), the spread of the channels' means and of
    their spreads, the largest and smallest value, and log10 of the mean power in five equal steps of |k| on the sky. Maps
    of 10 pixels a side and fewer lack waves in some of the steps, which are left out: down to (b, 8) of a single pixel.
    """
    x = sky_and_channels(inputs.float())
    flat = x.flatten(1)
    mean = flat.mean(dim=1)
    d = flat - mean[:, None]
    square = d.square()
    third = (square * d).mean(dim=1)
    moments = [
        mean,
        square.mean(dim=1).sqrt(),
        third.sign() * third.abs().pow(1 / 3),
        square.square().mean(dim=1).pow(0.25),
    ]
    of_sky = (len(x), -1, x.shape[-1])  # (b, xy, f)
    middle, pixels = d.reshape(of_sky).mean(dim=1), x.shape[1] * x.shape[2]
    within = (square.reshape(of_sky).mean(dim=1) - middle.square()).clamp(min=0).mul(pixels / max(1, pixels - 1)).sqrt()
    spreads = [middle.std(dim=1, correction=0), within.std(dim=1, correction=0)]
    extremes = [flat.amax(dim=1), flat.amin(dim=1)]
    return torch.cat([torch.stack([*moments, *spreads, *extremes], dim=1), sky_power(x)], dim=1)


def continuous(answers: Tensor, target: Target, random: torch.Generator) -> Tensor:
    """A posterior's answers as a continuous quantity: counts dequantised, all else as it is."""
    return dequantised(answers, random) if target.counts else answers


def finished(y: Tensor, target: Target) -> Tensor:
    """Undo `continuous`."""
    return whole_counts(y) if target.counts else y


def dequantised(counts: Tensor, random: torch.Generator) -> Tensor:
    """log10(1 + N + u), u uniform in [0, 1): counts as a continuous quantity, whose density bounds their probability.

    A density would grow without limit on the repeated values log10 1, log10 2, …; `whole_counts` undoes it exactly.
    """
    u = torch.rand(counts.shape, generator=random, device=counts.device, dtype=counts.dtype)
    return torch.log1p(counts + u) / LN10


def whole_counts(y: Tensor) -> Tensor:
    """Counts of dequantised values: ⌊10^y − 1⌋, from 0 to MOST (of data unlike any it knows a head may say anything)."""
    return torch.expm1(y * LN10).floor().clamp(0, MOST)
