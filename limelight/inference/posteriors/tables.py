"""Training maps as a table: features, statistics, counts and parameters, a row a presentation.

A head is quick to train and a trunk is slow to run, so every map is shown to the trained trunk a few times, each time with
fresh noise, foregrounds and one of the square's symmetries, and what comes out is kept. Never blanked or dimmed: a posterior
must have the study's prior, and those maps are not of it.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from limelight.seeds import torch_seed
from limelight.training.data import Maps, Presentation, present

BATCH = 40
LN10 = float(np.log(10))
MOST = 1e12  # sources in a bin


@dataclass
class Table:
    """n presentations of maps on the device."""

    features: Tensor  # (n, F) float32: what the trunk makes of the map
    statistics: Tensor  # (n, k) float32: of the map as presented (map_statistics)
    counts: Tensor  # (n, bins) float32: sources per luminosity bin
    parameters: Tensor  # (n, p) float32: of the line model; NaN where a row's model has no such parameter
    row: Tensor  # (n,) int64: which map

    def __len__(self) -> int:
        return len(self.features)


@torch.no_grad()
def make_table(
    module: nn.Module, data: Maps, parameters: np.ndarray, how: Presentation, times: int, seed: int, stage: str
) -> Table:
    """Show every map `times` times to a trunk in evaluation mode; random numbers hang on (seed, stage, batch).

    data: maps and labels (training.data.on_device); parameters (n, p).
    """
    how, device = unaltered(how), data.n_above.device
    rows = torch.arange(len(data)).repeat(times)
    found, seen = [], []
    for i, part in enumerate(rows.split(BATCH)):
        random = torch.Generator(device).manual_seed(torch_seed(seed, stage, i))
        inputs = present(data, part, how, random)[0]
        found.append(features(module, inputs))
        seen.append(map_statistics(inputs))
    rows = rows.to(device)
    counts = (data.n_above[:, : how.bins] - data.n_above[:, 1 : how.bins + 1]).float()
    known = torch.as_tensor(parameters, dtype=torch.float32, device=device)
    return Table(torch.cat(found), torch.cat(seen), counts[rows], known[rows], rows)


def unaltered(how: Presentation) -> Presentation:
    """The presentation without blanking, dimming and superposing: symmetries alone."""
    shares = {key: 0.0 for key in how.augmentation if key.endswith("_fraction")}
    return replace(how, augmentation={**how.augmentation, **shares})


def map_statistics(inputs: Tensor) -> Tensor:
    """A few plain numbers of network inputs (b, 1, x, y, f), (b, 13): what a network may have learnt to overlook.

    Mean, the roots of the second to fourth central moment (units of the input), the spread of the channels' means and of
    their spreads, the largest and smallest value, and log10 of the mean power in five equal steps of |k| on the sky. Maps
    of 10 pixels a side and fewer lack waves in some of the steps, which are left out: down to (b, 8) of a single pixel.
    """
    x = inputs.float()[:, 0]
    flat = x.flatten(1)
    mean = flat.mean(dim=1)
    d = flat - mean[:, None]
    third = d.pow(3).mean(dim=1)
    moments = [
        mean,
        d.square().mean(dim=1).sqrt(),
        third.sign() * third.abs().pow(1 / 3),
        d.pow(4).mean(dim=1).pow(0.25),
    ]
    channels = x.flatten(1, 2)  # (b, xy, f)
    within = channels.std(dim=1, correction=int(channels.shape[1] > 1))
    spreads = [channels.mean(dim=1).std(dim=1, correction=0), within.std(dim=1, correction=0)]
    extremes = [flat.amax(dim=1), flat.amin(dim=1)]
    power = torch.fft.rfft2(x - mean[:, None, None, None], dim=(1, 2)).abs().square().mean(dim=3)
    k = torch.hypot(torch.fft.fftfreq(x.shape[1])[:, None], torch.fft.rfftfreq(x.shape[2])[None])
    steps = (k / 0.5 * 5).long().clamp(max=4)
    waves = [((steps == i) & (k > 0)).to(x.device) for i in range(5) if ((steps == i) & (k > 0)).any()]
    powers = [(power[:, these].mean(dim=1) + 1e-12).log10() for these in waves]
    return torch.stack([*moments, *spreads, *extremes, *powers], dim=1)


def dequantised(counts: Tensor, random: torch.Generator) -> Tensor:
    """log10(1 + N + u), u uniform in [0, 1): counts as a continuous quantity, whose density bounds their probability.

    A density would grow without limit on the repeated values log10 1, log10 2, …; `to_counts` undoes it exactly.
    """
    u = torch.rand(counts.shape, generator=random, device=counts.device, dtype=counts.dtype)
    return torch.log1p(counts + u) / LN10


def to_counts(y: Tensor) -> Tensor:
    """Counts of dequantised values: ⌊10^y − 1⌋, from 0 to MOST (of a map unlike any it knows a head may say anything)."""
    return torch.expm1(y * LN10).floor().clamp(0, MOST)
