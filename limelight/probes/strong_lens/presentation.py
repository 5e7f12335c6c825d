"""How images are observed: turned and mirrored, noise of the sky and of their own light, arcsinh."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from limelight.training.presentation import PlainPresentation, Truths
from limelight.training.symmetries import draw_symmetry, symmetry


@dataclass(frozen=True)
class LensPresentation(PlainPresentation):
    """Images (b, 3, x, y) in any of the eight positions of the square, whose truths turn with them."""

    sky: tuple[float, ...] = ()  # σ per pixel and band
    electrons: float = 1.0  # per unit of flux
    level: float = 1.0  # of all noise
    shown: bool = True  # as arcsinh of the pixels over the sky's σ; otherwise as they are recorded

    def augment(self, x: Tensor, y: Truths, random: torch.Generator) -> tuple[Tensor, Truths]:
        turns = draw_symmetry(len(x), flips=True, quarter_turns=True, random=random)
        return symmetry(x, *turns, axes=(2, 3)), {**y, "parameters": turned(y["parameters"], *turns)}

    def observe(self, x: Tensor, random: torch.Generator) -> Tensor:
        sky = torch.tensor(self.sky, dtype=x.dtype, device=x.device)[:, None, None]
        sigma = (sky.square() + x.clamp(min=0) / self.electrons).sqrt()
        x = x + self.level * sigma * torch.randn(x.shape, generator=random, device=x.device)
        return torch.asinh(x / sky) if self.shown else x

    def bare(self) -> "LensPresentation":
        return replace(self, shown=False)

    def silent(self) -> "LensPresentation":
        return self.with_noise(0.0)

    def with_noise(self, level: float) -> "LensPresentation":
        return replace(self, level=level)


def turned(parameters: Tensor, transpose: Tensor, flip_x: Tensor, flip_y: Tensor) -> Tensor:
    """θ_E, e1, e2, x, y (b, 5) of images that limelight.training.symmetries.symmetry turned so.

    Exchanging x and y changes the sign of e1 (cos 2φ), either mirror that of e2 (sin 2φ).
    """
    theta_e, e1, e2, x, y = parameters.unbind(1)
    x, y = torch.where(transpose, y, x), torch.where(transpose, x, y)
    e1 = torch.where(transpose, -e1, e1)
    e2 = torch.where(flip_x ^ flip_y, -e2, e2)
    return torch.stack([theta_e, e1, e2, torch.where(flip_x, -x, x), torch.where(flip_y, -y, y)], dim=1)
