"""What a head answers in, and back: standardised values, all principal components, or a few with the scatter they leave."""

import torch
from torch import Tensor

from limelight.errors import problem

MIN_SPREAD = 1e-3
ROUNDED = 1e-6  # of its mean: what rounding may spread a constant by
GROUPS = 8  # of equal size in a bin's reconstructed value, over which the scatter is followed


def standardise(values: Tensor, any_unit: bool = False) -> dict[str, Tensor]:
    """The scale {mean, std} of values (n, d); std is 1 for a column that hardly varies: it must not outweigh the others.

    any_unit: columns may be as small as they like, such as parameters; only constants do not vary.
    """
    mean, spread = values.mean(dim=0), values.std(dim=0, correction=0)
    least = ROUNDED * mean.abs() if any_unit else MIN_SPREAD
    return {"mean": mean, "std": torch.where(spread > least, spread, 1.0)}


def rotated(values: Tensor, any_unit: bool = False) -> dict[str, Tensor]:
    """The scale of values (n, d) as all their principal components, each of unit spread: {mean, std, components, length}.

    Nothing is lost. What bins have in common, by far the most of their variance, becomes a few answers of their own, whose
    widths a head learns as quickly as any other's.
    """
    scale = standardise(values, any_unit)
    directions = _directions((values - scale["mean"]) / scale["std"])
    found = (values - scale["mean"]) / scale["std"] @ directions.T
    return {**scale, "components": directions, "length": found.std(dim=0, correction=0).clamp(min=MIN_SPREAD)}


def _directions(flat: Tensor) -> Tensor:
    """Principal directions (min(n, d), d) of centred values (n, d), the longest first, their sums not negative."""
    directions = torch.linalg.svd(flat.double(), full_matrices=False)[2].float()
    return directions * torch.where(directions.sum(dim=1, keepdim=True) < 0, -1.0, 1.0)


def principal(values: Tensor, components: int, any_unit: bool = False) -> dict[str, Tensor]:
    """The scale of values (n, d) as so many principal components, and the scatter of each column about them.

    Counts scatter more where they are few, so a column's scatter is taken in GROUPS of equal size of its reconstructed
    value: {mean, std, components (c, d), length (c,), at (d, g), scatter (d, g)}; standardised columns, the components' own
    lengths taken out. The scatter of different columns counts as independent. any_unit: as of `standardise`.
    """
    scale = standardise(values, any_unit)
    flat = (values - scale["mean"]) / scale["std"]
    if not components <= min(flat.shape):
        fix = "lower npe.components"
        raise problem("npe.components", components, f"at most {min(flat.shape)}, bins or training maps", fix)
    directions = _directions(flat)[:components]
    found = flat @ directions.T
    rebuilt = found @ directions
    order = rebuilt.argsort(dim=0)
    sorted_at, left = rebuilt.gather(0, order), (flat - rebuilt).gather(0, order)
    groups = [torch.stack([part.mean(dim=0) for part in sorted_at.tensor_split(GROUPS)], dim=1)]
    groups.append(torch.stack([part.square().mean(dim=0).sqrt() for part in left.tensor_split(GROUPS)], dim=1))
    length = found.std(dim=0, correction=0).clamp(min=MIN_SPREAD)
    return {**scale, "components": directions, "length": length, "at": groups[0], "scatter": groups[1]}


def encode(scale: dict[str, Tensor], values: Tensor) -> Tensor:
    """Values (..., d) as the head has them, (..., d or c)."""
    flat = (values - scale["mean"]) / scale["std"]
    return flat @ scale["components"].T / scale["length"] if "components" in scale else flat


def of_outputs(scale: dict[str, Tensor]) -> Tensor:
    """The matrix (c, d) that turns answers of all principal components (..., c) into standardised values (..., d)."""
    return scale["length"][:, None] * scale["components"]


def decode(scale: dict[str, Tensor], answers: Tensor, random: torch.Generator) -> Tensor:
    """Undo `encode` (..., d); of a few principal components with scatter drawn anew."""
    if "components" not in scale:
        return answers * scale["std"] + scale["mean"]
    rebuilt = answers * scale["length"] @ scale["components"]
    if "scatter" not in scale:
        return rebuilt * scale["std"] + scale["mean"]
    spread = torch.stack(
        [
            interpolate(rebuilt[..., i], at, s)
            for i, (at, s) in enumerate(zip(scale["at"], scale["scatter"], strict=True))
        ],
        dim=-1,
    )
    drawn = torch.randn(rebuilt.shape, generator=random, dtype=rebuilt.dtype, device=rebuilt.device)
    return (rebuilt + spread * drawn) * scale["std"] + scale["mean"]


def interpolate(x: Tensor, at: Tensor, values: Tensor) -> Tensor:
    """Linear interpolation between (at, values), both (g,) with `at` rising; constant beyond the ends."""
    right = torch.searchsorted(at, x.contiguous()).clamp(1, len(at) - 1)
    low, high = at[right - 1], at[right]
    share = ((x - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
    return values[right - 1] + share * (values[right] - values[right - 1])
