"""How maps of κ are observed and shown: symmetries, shape noise, smoothing, masks."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from limelight.probes.weak_lensing.config import Survey
from limelight.summaries.convergence import smoothed
from limelight.training.presentation import PlainPresentation, Truths
from limelight.training.symmetries import draw_symmetry, shifted, symmetry

HIGH = 3.0  # σ of the map above which a pixel is one of its peaks


def shape_noise(survey: Survey, pixel_arcmin: float) -> float:
    """σ of κ in a pixel from the galaxies' intrinsic shapes (van Waerbeke 2000, astro-ph/9909160)."""
    if survey.n_gal is None:
        return 0.0
    return survey.ellipticity / math.sqrt(2 * survey.n_gal * pixel_arcmin**2)


@dataclass(frozen=True)
class LensingPresentation(PlainPresentation):
    """Maps turned and mirrored (and, where opposite edges touch, moved); noise, smoothing, holes; κ over a scale."""

    survey: Survey = Survey()
    pixel_arcmin: float = 1.0
    noise: float = 0.0  # σ per pixel
    scale: float = 1.0
    periodic: bool = False

    def augment(self, x: Tensor, y: Truths, random: torch.Generator) -> tuple[Tensor, Truths]:
        turned = symmetry(x, *draw_symmetry(len(x), flips=True, quarter_turns=True, random=random), axes=(2, 3))
        return (shifted(turned, random) if self.periodic else turned), y

    def observe(self, x: Tensor, random: torch.Generator) -> Tensor:
        if self.noise:
            x = x + self.noise * torch.randn(x.shape, generator=random, device=x.device)
        if self.survey.smoothing_arcmin:
            x = smoothed(x[:, 0], self.survey.smoothing_arcmin / self.pixel_arcmin, self.periodic)[:, None]
        if self.survey.masked:
            radius = self.survey.hole_arcmin / self.pixel_arcmin
            x = x * open_sky(len(x), x.shape[-1], self.survey.masked, radius, random)
        if self.survey.removed:
            x = torch.where(removed(x, self.survey.removed), 0.0, x)
        return x / self.scale

    def silent(self) -> "LensingPresentation":
        return self.with_noise(0.0)

    def as_recorded(self) -> "LensingPresentation":
        survey = self.survey.model_copy(update={"masked": 0.0})  # the map has the holes that it has
        return replace(self, noise=0.0, survey=survey)

    def bare(self) -> "LensingPresentation":
        return replace(self, scale=1.0)

    def with_noise(self, level: float) -> "LensingPresentation":
        return replace(self, noise=level)


def removed(x: Tensor, what: str) -> Tensor:
    """Which pixels of maps (b, 1, n, n) are below 0 ("negative"), or above 3 σ of their map ("peaks")."""
    return x < 0 if what == "negative" else x > HIGH * x.std(dim=(2, 3), keepdim=True)


def open_sky(count: int, pixels: int, masked: float, radius: float, random: torch.Generator) -> Tensor:
    """1 outside round holes and 0 inside, (count, 1, pixels, pixels): as many holes as cover a share on average.

    radius: in pixels. Holes may overlap and hang over the edge, where they go on at the opposite one.
    """
    device = random.device
    holes = max(1, round(-math.log1p(-masked) * pixels**2 / (math.pi * radius**2)))
    centres = pixels * torch.rand(count, holes, 2, generator=random, device=device)
    found = torch.ones(count, 1, pixels, pixels, device=device)
    at = torch.arange(pixels, device=device) + 0.5
    for hole in range(holes):
        x, y = ((at[None] - centres[:, hole, i, None] + pixels / 2) % pixels - pixels / 2 for i in (0, 1))
        found[:, 0] *= (x[:, :, None] ** 2 + y[:, None, :] ** 2 >= radius**2).float()
    return found
