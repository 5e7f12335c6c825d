"""How networks are shown fields of galaxies: as images, or as the histograms of their pixels."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from limelight.data.targets import FieldTarget
from limelight.probes.galaxy_field.fields import CELL, HISTOGRAM_REACH, HISTOGRAM_STEPS
from limelight.training.presentation import PlainPresentation, Truths
from limelight.training.symmetries import draw_symmetry, shifted, symmetry


@dataclass(frozen=True)
class GalaxyPresentation(PlainPresentation):
    """Fields turned, mirrored and moved; noise; and arcsinh, whose scale is the network's noise."""

    noise: float = 0.0
    scale: float | None = 1.0  # None: as they are recorded
    histogram: bool = False

    def augment(self, x: Tensor, y: Truths, random: torch.Generator) -> tuple[Tensor, Truths]:
        turns = draw_symmetry(len(x), flips=True, quarter_turns=True, random=random)
        x = symmetry(x, *turns, axes=(2, 3))
        if not isinstance(self.target, FieldTarget):
            return shifted(x, random), y
        steps = torch.randint(0, x.shape[-1] // CELL, (2,), generator=random, device=random.device)
        cells = symmetry(y["cells"], *turns, axes=(2, 3)).roll(steps.tolist(), (2, 3))
        return x.roll((CELL * steps).tolist(), (2, 3)), {**y, "cells": cells}

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
