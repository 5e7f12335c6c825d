"""Plain numbers of data as a network is shown them, by name, and the ranges that they take in training.

A model file carries the ranges, so that whoever gives the network other data later can be told what is off about them.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

LEVELS = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)  # of the one-point function
POWER_STEPS = 5
MARGIN = 0.5  # of the way from the middle to the end of a range, by which it is widened
MAD = 1.4826  # σ of a Gaussian over its median absolute deviation


def sky_and_channels(inputs: Tensor) -> Tensor:
    """(b, channels, *axes) as (b, x, y, channels and further axes); what has one axis gets a second of length 1."""
    x = inputs if inputs.ndim > 3 else inputs[..., None]
    return x.movedim(1, -1).flatten(3)


def sky_power(x: Tensor) -> Tensor:
    """log10 of the mean power of (b, x, y, f) in POWER_STEPS equal steps of |k| on the sky, up to Nyquist's and beyond.

    Maps of 10 pixels a side and fewer lack waves in some of the steps, which are left out.
    """
    waves = torch.fft.rfft2(x - x.mean(dim=(1, 2, 3), keepdim=True), dim=(1, 2))
    power = waves.real.square().addcmul_(waves.imag, waves.imag).mean(dim=3)
    k = torch.hypot(torch.fft.fftfreq(x.shape[1])[:, None], torch.fft.rfftfreq(x.shape[2])[None])
    steps = (k / 0.5 * POWER_STEPS).long().clamp(max=POWER_STEPS - 1)
    rings = [((steps == i) & (k > 0)).to(x.device) for i in range(POWER_STEPS)]
    powers = [(power[:, these].mean(dim=1) + 1e-12).log10() for these in rings if these.any()]
    return torch.stack(powers, dim=1) if powers else power.new_empty(len(x), 0)


def noise_level(x: Tensor) -> Tensor:
    """Robust σ (b, f) of white noise in each channel of (b, x, y, f); 0 where there are fewer than 2 × 2 pixels.

    From the differences within blocks of 2 × 2 pixels, which see little of what is smooth, through their median, which sees
    little of bright sources.
    """
    if min(x.shape[1:3]) < 2:
        return x.new_zeros(len(x), x.shape[3])
    nx, ny = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    a, b, c, d = (x[:, i:nx:2, j:ny:2] for i in (0, 1) for j in (0, 1))
    return MAD * ((a - b - c + d) / 2).abs().flatten(1, 2).median(dim=1).values


def input_statistics(inputs: Tensor) -> dict[str, Tensor]:
    """Statistics of data (b, channels, *axes), (b, k) float32 each, in the data's own unit; the first two axes are the sky.

    channel_mean, channel_spread, channel_noise and channel_zeros (the share of exact zeros) of each of the channels and
    further axes taken together; quantiles of all values at LEVELS; sky_power (log10) and power_slope, the same less that of
    the smallest scale; relative_spread, log10 of the channels' over their median; spectrum_spread: of the means along the
    channels, over the sky; mean, of all values, which knows less of noise than the channels' do.
    """
    x = sky_and_channels(inputs.float())
    flat = x.flatten(1, 2)
    ordered = x.flatten(1).sort(dim=1).values
    places = [round(level * (ordered.shape[1] - 1)) for level in LEVELS]
    spread, power = flat.std(dim=1, correction=0), sky_power(x)
    of_usual = spread.clamp(min=1e-30) / spread.median(dim=1, keepdim=True).values.clamp(min=1e-30)
    return {
        "mean": x.flatten(1).mean(dim=1, keepdim=True),
        "channel_mean": flat.mean(dim=1),
        "channel_spread": spread,
        "channel_noise": noise_level(x),
        "channel_zeros": (flat == 0).float().mean(dim=1),
        "quantiles": ordered[:, places],
        "sky_power": power,
        "power_slope": power[:, :-1] - power[:, -1:],
        "relative_spread": of_usual.log10(),
        "spectrum_spread": x.mean(dim=3).flatten(1).std(dim=1, correction=0, keepdim=True),
    }


def ranges(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Of each statistic (n, k) over all parts: (3, k) its least, middle and largest value, on the CPU."""
    joined = {name: torch.cat([part[name].cpu() for part in parts]) for name in parts[0]}
    return {name: torch.stack([v.amin(0), v.median(0).values, v.amax(0)]) for name, v in joined.items()}


@dataclass(frozen=True)
class Compared:
    """One statistic of data (k,), and the widened range that it may lie in."""

    found: np.ndarray
    low: np.ndarray
    middle: np.ndarray
    high: np.ndarray  # the largest of training, not widened
    least: np.ndarray  # widened
    most: np.ndarray

    @property
    def below(self) -> np.ndarray:
        return self.found < self.least

    @property
    def above(self) -> np.ndarray:
        return self.found > self.most


def compared(found: np.ndarray, known: np.ndarray, margin: float = MARGIN) -> Compared:
    """A statistic (k,) beside its range in training (3, k): least, middle, largest."""
    low, middle, high = known.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        in_log = low * (low / middle) ** margin  # what is above 0 stays so
    least = np.where((low > 0) & (middle > 0), in_log, low - margin * (middle - low))
    return Compared(found.astype(np.float64), low, middle, high, least, high + margin * (high - middle))
