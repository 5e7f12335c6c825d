"""How traces and events are observed: noise, the clocks of an array, stronger pulses at the beginning of a training."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from limelight.probes.air_shower.noise import Noise
from limelight.training.presentation import PlainPresentation, Truths


@dataclass(frozen=True)
class TracePresentation(PlainPresentation):
    """Traces of one antenna (b, 1, samples) under noise. A pulse may as well have the other sign."""

    noise: Noise | None = None
    level: float = 1.0  # rms of the noise; it is 1 wherever SNR means what pulses.py says
    lift: float = 0.0  # added to the peak over rms of every pulse of a training row
    first_lift: float = 0.0  # at the first step of a training
    over: float = 1.0  # share of the training over which it falls to zero
    whiten: bool = False

    def at(self, share: float) -> "TracePresentation":
        return replace(self, lift=self.first_lift * max(0.0, 1 - share / self.over))

    def augment(self, x: Tensor, y: Truths, random: torch.Generator) -> tuple[Tensor, Truths]:
        sign = 1 - 2 * torch.randint(0, 2, (len(x), 1, 1), generator=random, device=random.device)
        snr = y["snr"]  # 0 of rows without a shower
        larger = torch.where(snr > 0, 1 + self.lift / snr.clamp(min=1e-6), 1.0)
        return x * sign * larger.float()[:, None, None], {**y, "snr": snr * larger}

    def observe(self, x: Tensor, random: torch.Generator) -> Tensor:
        recorded = x + self.level * self.noise.draw(x.shape[:-1], random)
        return self.noise.whitened(recorded) if self.whiten else recorded

    def bare(self) -> "TracePresentation":
        return replace(self, whiten=False)

    def unaltered(self) -> "TracePresentation":
        return replace(self, lift=0.0)

    def silent(self) -> "TracePresentation":
        return self.with_noise(0.0)

    def with_noise(self, level: float) -> "TracePresentation":
        return replace(self, level=level)


@dataclass(frozen=True)
class ArrayPresentation(PlainPresentation):
    """Events of an array (b, 2, antennas, samples): voltage, and the time of each sample in µs by the antenna's own clock.

    Networks are shown three channels more: where each antenna stands, in µs of light's travel.
    """

    noise: Noise | None = None
    level: float = 1.0
    clock_us: float = 0.0  # σ of each antenna's clock, anew for each event
    positions: Tensor | None = None  # (antennas, 3) in µs of light's travel; None: they are not shown

    def observe(self, x: Tensor, random: torch.Generator) -> Tensor:
        voltage = x[:, :1] + self.level * self.noise.draw((len(x), 1, x.shape[2]), random)
        wrong = torch.randn(len(x), 1, x.shape[2], 1, generator=random, device=random.device)
        shown = [voltage, x[:, 1:] + self.clock_us * wrong]
        if self.positions is not None:
            place = self.positions.T.to(x.device)[None, :, :, None]
            shown.append(place.expand(len(x), -1, -1, x.shape[3]))
        return torch.cat(shown, dim=1)

    def silent(self) -> "ArrayPresentation":
        return replace(self, level=0.0, clock_us=0.0)

    def bare(self) -> "ArrayPresentation":
        return replace(self, positions=None)

    def with_noise(self, level: float) -> "ArrayPresentation":
        return replace(self, level=level)
