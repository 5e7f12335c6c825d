"""The voxel intensity distribution: how many voxels of a map lie in each bin of temperature."""

import math

import numpy as np
import torch
from torch import Tensor

from limelight.errors import problem


def temperature_edges(low_uk: float, high_uk: float, bins: int, spacing: str = "log") -> np.ndarray:
    """Edges (bins + 1,) in µK, equal in the temperature or in its logarithm."""
    if not low_uk < high_uk or (spacing == "log" and low_uk <= 0):
        expected = "low < high, and low > 0 for logarithmic bins"
        raise problem("voxel intensity distribution", f"{low_uk:g} to {high_uk:g} µK, {spacing}", expected, "mend them")
    return (np.geomspace if spacing == "log" else np.linspace)(low_uk, high_uk, bins + 1)


def voxel_histogram(maps: Tensor, edges: np.ndarray | Tensor, subtract_mean: bool = True) -> Tensor:
    """Voxels of each map (b, ...) in each half-open bin [lower, upper), float64 (b, bins); those outside are not counted.

    subtract_mean: the map's own mean first, as arXiv:1808.07487 does, for an instrument that cannot see it.
    """
    flat = maps.reshape(len(maps), -1)
    if subtract_mean:
        flat = flat - flat.mean(1, keepdim=True, dtype=torch.float64).to(flat.dtype)
    edges = torch.as_tensor(edges, dtype=flat.dtype, device=flat.device)
    bins = len(edges) - 1
    index = torch.bucketize(flat, edges, right=True)  # 0 below the first edge, bins + 1 from the last on
    index = index + (bins + 2) * torch.arange(len(flat), device=flat.device)[:, None]
    return torch.bincount(index.reshape(-1), minlength=len(flat) * (bins + 2)).view(-1, bins + 2)[:, 1:-1].double()


def expected_histogram(values: Tensor, share: Tensor, edges: Tensor, sigma: Tensor, voxels: float) -> Tensor:
    """Mean voxel counts (b, bins) of maps whose voxels hold `values` (b, n) in shares (b, n), each blurred by a Gaussian σ.

    sigma: (b, n) or a number, in the values' unit: white noise, and what stands between neighbouring values.
    """
    place = (edges - values[..., None]) / (math.sqrt(2) * torch.as_tensor(sigma)[..., None]).clamp(min=1e-30)
    below = (share[..., None, :] @ torch.erf(place))[..., 0, :] / 2  # the constant half cancels in the difference
    return voxels * below.diff(dim=-1)
