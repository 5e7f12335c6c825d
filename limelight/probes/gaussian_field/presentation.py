"""How networks are shown fields."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from limelight.training.presentation import PlainPresentation, Truths
from limelight.training.symmetries import draw_symmetry, shifted, symmetry


@dataclass(frozen=True)
class FieldPresentation(PlainPresentation):
    """Fields turned, mirrored and moved around their square, with white noise. All of it leaves the parameters alone."""

    noise: float = 0.0

    def augment(self, x: Tensor, y: Truths, random: torch.Generator) -> tuple[Tensor, Truths]:
        turns = draw_symmetry(len(x), flips=True, quarter_turns=True, random=random)
        return shifted(symmetry(x, *turns, axes=(2, 3)), random), y

    def observe(self, x: Tensor, random: torch.Generator) -> Tensor:
        return x + self.noise * torch.randn(x.shape, generator=random, device=x.device)

    def silent(self) -> "FieldPresentation":
        return self.with_noise(0.0)

    def with_noise(self, level: float) -> "FieldPresentation":
        return replace(self, noise=level)
