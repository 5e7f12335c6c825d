"""From a recorded map, its σ and its mask to what a network is shown: the same for simulated maps and for a user's own."""

import functools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from limelight.probes.line_intensity.config import Preprocessing
from limelight.probes.line_intensity.maps.filters import inverse_variance, remove_means
from limelight.probes.line_intensity.maps.pooling import transform

WEIGHT_MAX = 1e6  # of scale/σ: what a voxel without noise is taken to have


@dataclass(frozen=True)
class Recorded:
    """Maps as a survey publishes them, in the unit of a pooled voxel."""

    maps: Tensor  # (b, x, y, f) float32; what stands in voxels that were not observed plays no part
    sigma: Tensor  # (b, x, y, f) of the white noise, or with axes of length 1; 0: none; finite
    observed: Tensor | None = None  # (b, x, y, f) bool, or with axes of length 1; None: everywhere

    @functools.cached_property
    def weights(self) -> Tensor:
        """1/σ² (b, x, y, f) of each voxel, 0 where nothing was observed."""
        return inverse_variance(self.sigma, self.observed, self.maps.shape)


@dataclass(frozen=True)
class CubeNoise:
    """What a survey says of the noise of a prepared cube: (x, y, f) each, in the cube's own unit."""

    sigma: np.ndarray  # of white noise; of any value where nothing was observed
    observed: np.ndarray  # bool


def recorded(cube: np.ndarray, noise: CubeNoise | None) -> Recorded:
    """A prepared cube (x, y, f) as a batch of one recorded map; without noise all of it counts alike."""
    maps = torch.as_tensor(cube, dtype=torch.float32)[None]
    if noise is None:
        return Recorded(maps, torch.zeros(1, 1, 1, 1))
    observed = torch.as_tensor(noise.observed)[None]
    sigma = torch.as_tensor(np.where(noise.observed, noise.sigma, 0), dtype=torch.float32)[None]
    return Recorded(torch.where(observed, maps, 0.0), sigma, observed)


def values_seen(found: Recorded, removed: str | None) -> Tensor:
    """Values (b, x, y, f) that a network reads: without the means of `preprocessing.remove_means`, 0 where not observed."""
    if removed is not None:
        return remove_means(found.maps, found.weights, removed)
    return found.maps if found.observed is None else torch.where(found.observed, found.maps, 0.0)


def network_inputs(found: Recorded, preprocessing: Preprocessing) -> Tensor:
    """Inputs (b, 1 + further, x, y, f) float32 of a network with this `preprocessing`.

    The first channel is the transformed map; `preprocessing.inputs` says which follow. All are 0 where nothing was observed.
    """
    values = values_seen(found, preprocessing.remove_means)
    channels = [transform(values, preprocessing.transform, preprocessing.scale_uk)]
    asked = preprocessing.inputs or ()
    if asked:
        observed = torch.ones_like(values) if found.observed is None else found.observed.expand_as(values).float()
        sigma = found.sigma.expand_as(values)
        smallest = preprocessing.scale_uk / WEIGHT_MAX
        further = {
            "snr": lambda: torch.asinh(values / sigma.clamp(min=smallest)),
            "weight": lambda: torch.asinh(preprocessing.scale_uk / sigma.clamp(min=smallest)) * observed,
            "mask": lambda: observed,
        }
        channels += [further[name]() for name in asked]
    return torch.stack(channels, dim=1)
