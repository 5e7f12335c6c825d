"""How networks are shown fields of galaxies: as images, or as the histograms of their pixels."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from limelight.probes.galaxy_field.fields import HISTOGRAM_REACH, HISTOGRAM_STEPS
from limelight.training.presentation import PlainPresentation, Truths
from limelight.training.symmetries import draw_symmetry, shifted, symmetry


@dataclass(frozen=True)
class GalaxyPresentation(PlainPresentation):
    """Fields turned, mirrored and moved around their square; noise; and arcsinh, whose scale is the network's noise."""

    noise: float = 0.0
    scale: float | None = 1.0  # None: as they are recorded
    histogram: bool = False

    def augment(self, x: Tensor, y: Truths, random: torch.Generator) -> tuple[Tensor, Truths]:
        turned = symmetry(x, *draw_symmetry(len(x), flips=True, quarter_turns=True, random=random), axes=(2, 3))
        return shifted(turned, random), y

    def observe(self, x: Tensor, random: torch.Generator) -> Tensor:
        x = x + self.noise * torch.randn(x.shape, generator=random, device=x.device)
        if self.scale is None:
            return x
        shown = torch.asinh(x / self.scale)
        return histograms(shown) if self.histogram else shown

    def silent(self) -> "GalaxyPresentation":
        return self.with_noise(0.0)

    def bare(self) -> "GalaxyPresentation":
        return replace(self, scale=None, histogram=False)

    def with_noise(self, level: float) -> "GalaxyPresentation":
        return replace(self, noise=level)


def histograms(x: Tensor) -> Tensor:
    """√ of the numbers of pixels in each step, (b, bands, steps) of (b, bands, n, n): their scatter is even."""
    (low, high), steps = HISTOGRAM_REACH, HISTOGRAM_STEPS
    step = ((x.flatten(2) - low) / (high - low) * steps).long().clamp(0, steps - 1)
    counts = torch.zeros(*x.shape[:2], steps, device=x.device)
    return counts.scatter_add(2, step, torch.ones_like(step, dtype=counts.dtype)).sqrt()
