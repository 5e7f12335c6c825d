"""How a network is shown the polarised sky: turned and mirrored, with noise, cut, and as maps, moments or spectra."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from limelight.probes.reionisation.config import Instrument
from limelight.probes.reionisation.harmonics import symmetries
from limelight.probes.reionisation.instrument import noise_of
from limelight.training.presentation import PlainPresentation, Truths


@dataclass(frozen=True, eq=False)
class TauPresentation(PlainPresentation):
    """Turns and mirror images are exact symmetries of the sky, so they come before noise and mask, which have none."""

    instrument: Instrument = Instrument()
    nside: int = 8
    lmax: int = 23
    stored: bool = False  # whether the data come with their noise
    transform: Callable[[Tensor], Tensor] | None = None

    def augment(self, x: Tensor, y: Truths, random: torch.Generator) -> tuple[Tensor, Truths]:
        if self.stored:
            return x, y
        pixels, signs = (torch.from_numpy(np.ascontiguousarray(a)).to(x.device) for a in symmetries(self.nside))
        which = torch.randint(0, len(signs), (len(x),), generator=random, device=random.device).to(x.device)
        turned = x.gather(2, pixels[which][:, None].expand(-1, 2, -1))
        sign = torch.stack([torch.ones_like(signs), signs], dim=1)[which].to(x.dtype)
        return turned * sign[:, :, None], y

    def observe(self, x: Tensor, random: torch.Generator) -> Tensor:
        noise = noise_of(self.instrument, self.nside, self.lmax)
        if not self.stored:
            x = x + noise.draw(len(x), random).to(x.device)
        x = x * noise.seen.to(x.device)
        return x if self.transform is None else self.transform(x)

    def silent(self) -> "TauPresentation":
        return self.with_noise(0.0)

    def bare(self) -> "TauPresentation":
        return replace(self, transform=None)

    def with_noise(self, level: float) -> "TauPresentation":
        instrument = Instrument(cut_deg=self.instrument.cut_deg, pixel_uk_arcmin=level)
        return replace(self, instrument=instrument)
