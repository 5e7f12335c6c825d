"""How networks are shown lensed maps: moved, turned and mirrored, with fresh noise, and for hybrids with what is known of κ.

Q and U are a spin-2 field. Mirrored at an axis, U changes its sign; mirrored at the diagonal (x and y exchanged), Q does.
E and κ are scalars under all of these, so that the eight symmetries of the square are exact, and on a patch without edges
all shifts by whole pixels are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from limelight.training.presentation import PlainPresentation, Truths
from limelight.training.symmetries import draw_symmetry, symmetry

TYPICAL_UK = 4.0  # of Q and U: networks see numbers of order one


class Features(Protocol):
    """What a hybrid network sees beside Q and U."""

    def __call__(self, recorded: Tensor) -> Tensor:
        """(b, features, y, x) of order one from recorded Q and U (b, 2, y, x) in µK."""


@dataclass(frozen=True)
class LensingPresentation(PlainPresentation):
    """Maps (b, 2, y, x) of Q and U in µK."""

    noise_uk_arcmin: float | Sequence[float] = 0.0  # two numbers: each patch has its own level between them
    pixel_arcmin: float = 1.0
    moves: bool = False  # whether patches may be moved around their square
    mask: Tensor | None = None  # (y, x); None: all of the patch is seen
    features: Features | None = None  # of a hybrid
    scale_uk: float = TYPICAL_UK

    def augment(self, x: Tensor, y: Truths, random: torch.Generator) -> tuple[Tensor, Truths]:
        turns = draw_symmetry(len(x), flips=True, quarter_turns=True, random=random)
        steps = torch.randint(0, x.shape[-1], (2,), generator=random, device=random.device).tolist()
        moved = [turned(x, *turns)]
        moved += [symmetry(y[name], *turns, axes=(2, 3)) for name in self.target.names]
        if self.moves:
            moved = [maps.roll(steps, dims=(2, 3)) for maps in moved]
        return moved[0], {**y, **dict(zip(self.target.names, moved[1:], strict=True))}

    def observe(self, x: Tensor, random: torch.Generator) -> Tensor:
        if self.noise_uk_arcmin:
            sigma = self._level(x, random) / self.pixel_arcmin
            x = x + sigma * torch.randn(x.shape, generator=random, device=x.device)
        if self.mask is not None:
            x = x * self.mask.to(x.device)
        if self.features is None:
            return x / self.scale_uk
        return torch.cat([x / self.scale_uk, self.features(x)], dim=1)

    def _level(self, x: Tensor, random: torch.Generator) -> float | Tensor:
        """Noise of each row, µK arcmin."""
        if not isinstance(self.noise_uk_arcmin, Sequence):
            return self.noise_uk_arcmin
        low, high = self.noise_uk_arcmin
        return low + (high - low) * torch.rand((len(x), 1, 1, 1), generator=random, device=x.device)

    def silent(self) -> "LensingPresentation":
        return self.with_noise(0.0)

    def bare(self) -> "LensingPresentation":
        return replace(self, features=None, scale_uk=1.0)

    def with_noise(self, level: float) -> "LensingPresentation":
        return replace(self, noise_uk_arcmin=level)


class BehindFeatures(nn.Module):
    """A hybrid as a network of Q and U alone, (b, 2, y, x) as `observe` shows them without features."""

    def __init__(self, module: nn.Module, features: Features, scale_uk: float):
        super().__init__()
        self.module, self.features, self.scale_uk = module, features, scale_uk

    def forward(self, x: Tensor) -> Tensor:
        return self.module(torch.cat([x, self.features(x * self.scale_uk)], dim=1))


def turned(x: Tensor, transpose: Tensor, flip_x: Tensor, flip_y: Tensor) -> Tensor:
    """Q and U (b, 2, y, x), each row exchanged and mirrored as its three (b,) booleans say, with the signs of spin 2."""
    moved = symmetry(x, transpose, flip_x, flip_y, axes=(2, 3))
    exchanged = 1 - 2 * transpose.to(x.dtype)
    mirrored = 1 - 2 * (flip_x ^ flip_y).to(x.dtype)
    return moved * torch.stack([exchanged, mirrored], dim=1)[:, :, None, None]
