"""Block sums of maps, and the invertible logs that compress their range. NumPy arrays and torch tensors alike."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from limelight.errors import problem

if TYPE_CHECKING:  # these logs are looked up with every config, which torch would hold up
    import torch

Array = TypeVar("Array", np.ndarray, "torch.Tensor")
OFFSET_UK = 1e-6  # of the notes' log10(T + 1e-6) + 6


def pool(cube: Array, pool_pixels: int, pool_channels: int) -> Array:
    """Sum blocks of pool_pixels × pool_pixels × pool_channels of a map (..., x, y, f); the dtype stays.

    One axis at a time, the slow axes first: each step adds whole contiguous rows.
    """
    *lead, nx, ny, nf = cube.shape
    for axis, n, block in (("x", nx, pool_pixels), ("y", ny, pool_pixels), ("frequency", nf, pool_channels)):
        if n % block:
            raise problem(
                f"pooling along {axis}", f"{n} voxels in blocks of {block}", "a divisor", "change grid.pool_*"
            )
    if pool_pixels > 1:
        cube = cube.reshape(*lead, nx // pool_pixels, pool_pixels, ny, nf).sum(-3)
        cube = cube.reshape(*lead, nx // pool_pixels, ny // pool_pixels, pool_pixels, nf).sum(-2)
    if pool_channels > 1:
        cube = cube.reshape(*cube.shape[:-1], nf // pool_channels, pool_channels).sum(-1)
    return cube


class Transform(NamedTuple):
    """A logarithm of map values, forward(x, scale) elementwise."""

    forward: Callable
    negative: bool  # whether it exists for the negative values that noise makes


def _log10_offset(x: Array, scale: float) -> Array:
    import torch

    return (x + OFFSET_UK).log10() + 6 if torch.is_tensor(x) else np.log10(x + OFFSET_UK) + 6


def _signed_log(x: Array, scale: float) -> Array:
    import torch

    m = torch if torch.is_tensor(x) else np
    return m.sign(x) * m.log1p(m.abs(x) / scale) / math.log(10)


def _asinh(x: Array, scale: float) -> Array:
    import torch

    return (torch.asinh if torch.is_tensor(x) else np.arcsinh)(x / scale)


# The notes' two logs: log10(T + 1e-6) + 6 (zero stays zero; T >= 0 only, a config that adds noise to it is refused) and
# sign(T) log10(|T| + 1), which is signed_log with scale 1. asinh(T/scale) is linear below the scale and a log above it.
TRANSFORMS = {
    "none": Transform(lambda x, scale: x, negative=True),
    "log10_offset": Transform(_log10_offset, negative=False),
    "signed_log": Transform(_signed_log, negative=True),
    "asinh": Transform(_asinh, negative=True),
}


def transform(maps: Array, name: str, scale_uk: float = 1.0) -> Array:
    """Apply a named transform to map values (µK or Jy/sr, as pooled); scale_uk serves signed_log and asinh."""
    return _get(name).forward(maps, scale_uk)


def _get(name: str) -> Transform:
    if name not in TRANSFORMS:
        raise problem("preprocessing.transform", f"'{name}'", f"one of {', '.join(TRANSFORMS)}", "choose one of them")
    return TRANSFORMS[name]
