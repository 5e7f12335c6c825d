"""Power and one-point function of maps whose noise is uneven and whose voxels are partly masked."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from limelight.summaries.power import PowerBins, shell_means, transformed


def pseudo_power(maps: Tensor, weights: Tensor, bins: PowerBins) -> Tensor:
    """Power of weighted maps in each shell over the mean of the weights' square, float64 (b, shells).

    Where all weights are equal it is P(k). A power that hardly changes over the width of the weights' own transform comes
    out right; otherwise modes are coupled, and means of it must be taken from simulations that are weighted alike. White
    noise adds `noise_pseudo_power`.

    Parameters
    ----------
    maps, weights
        (b, *shape) of `bins`; of no consequence where the weight is 0.
    """
    square = weights.double().square().mean(dim=tuple(range(1, maps.ndim)))
    power = shell_means(transformed(maps * weights, bins).abs().square().double(), bins)
    return power / square[:, None].clamp(min=1e-300)


def noise_pseudo_power(sigma: Tensor, weights: Tensor, voxel_mpc: tuple[float, ...]) -> Tensor:
    """What white noise of σ (b, *shape) adds to `pseudo_power` in every shell, on average: Σ w² σ² / Σ w² V_voxel, (b,)."""
    square = weights.double().square()
    over = tuple(range(1, sigma.ndim))
    return (square * sigma.double().square()).sum(over) / square.sum(over) * math.prod(voxel_mpc)


@dataclass(frozen=True)
class SigmaClasses:
    """Voxels in classes of their noise: how many times the least σ of their map, between `limits`."""

    limits: tuple[float, ...]  # rising, above 1

    def __len__(self) -> int:
        return len(self.limits) + 1

    def numbers(self, sigma: Tensor, observed: Tensor) -> Tensor:
        """The class (b, *shape) of each voxel; −1 where nothing was observed."""
        flat = torch.where(observed, sigma, torch.inf).flatten(1)
        times = flat / flat.amin(dim=1, keepdim=True).clamp(min=1e-30)
        number = torch.bucketize(times, torch.tensor(self.limits, dtype=times.dtype, device=times.device), right=True)
        return torch.where(observed.flatten(1), number, -1).view_as(sigma)


def classed_histogram(values: Tensor, number: Tensor, classes: int, edges: Tensor) -> Tensor:
    """Share of the voxels of each class in each bin [lower, upper) of values, float64 (b, classes, bins).

    values (b, *shape), such as temperatures in units of their noise; number: of SigmaClasses. What lies beyond the edges
    counts in the outermost bins, so that the shares of a class add up to 1, or are 0 where it has no voxel.
    """
    bins, b = len(edges) - 1, len(values)
    place = torch.bucketize(values.flatten(1), edges[1:-1].to(values), right=True)
    flat = number.flatten(1)
    row = torch.arange(b, device=values.device)[:, None]
    index = torch.where(flat < 0, b * classes * bins, (row * classes + flat) * bins + place)
    one = torch.ones(index.numel(), dtype=torch.float64, device=index.device)
    counts = torch.zeros(b * classes * bins + 1, dtype=torch.float64, device=index.device)
    counts = counts.scatter_add_(0, index.reshape(-1), one)[:-1].view(b, classes, bins)  # bincount lacks shapes alone
    return counts / counts.sum(dim=2, keepdim=True).clamp(min=1)
