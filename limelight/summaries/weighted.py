"""Power and one-point function of maps whose noise is uneven and whose voxels are partly masked."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
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


def matched_filter(maps: Tensor, sigma: Tensor, fwhm_pixels: float) -> tuple[Tensor, Tensor]:
    """(best amplitude of a source behind a Gaussian beam over its error, that error) at each voxel, (b, x, y, f) each.

    With the beam b, of height 1, around a voxel: Σ b T/σ² / √(Σ b²/σ²), and 1/√(Σ b²/σ²), over the voxels of a channel.
    White noise gives a variance of 1 everywhere. Nothing is taken to lie beyond the map's edges.

    Parameters
    ----------
    maps, sigma
        (b, x, y, f), of white noise; infinite where nothing was observed, where maps play no part.
    fwhm_pixels
        Of the beam.
    """
    width = fwhm_pixels / math.sqrt(8 * math.log(2))
    reach = max(1, math.ceil(3 * width))
    place = torch.arange(-reach, reach + 1, dtype=maps.dtype, device=maps.device)
    beam, inverse = torch.exp(-(place**2) / (2 * width**2)), sigma.square().reciprocal()
    light = _across(torch.where(inverse > 0, maps * inverse, 0.0), beam)
    error = _across(inverse, beam.square()).clamp(min=1e-30).rsqrt()
    return light * error, error


def _across(maps: Tensor, kernel: Tensor) -> Tensor:
    """Maps (b, x, y, f), each channel convolved with an even kernel (k,) along x and y; zeros beyond the edges."""
    planes, half = maps.permute(0, 3, 1, 2).flatten(0, 1)[:, None], len(kernel) // 2
    planes = F.conv2d(planes, kernel.view(1, 1, -1, 1), padding=(half, 0))
    planes = F.conv2d(planes, kernel.view(1, 1, 1, -1), padding=(0, half))
    return planes[:, 0].unflatten(0, (len(maps), -1)).permute(0, 2, 3, 1)


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
