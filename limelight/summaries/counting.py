"""What a map of sources holds for whoever counts them: its power, its one-point function and its mean, as a few numbers.

All of them are computed batch-wise on the device. A network can stand on them (`limelight.networks.counting`), and so can
the head of a posterior.
"""

import math
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import torch
from torch import Tensor

from limelight.errors import problem

LEAST_POWER = 1e-12  # of log10: an empty map has none


@dataclass(frozen=True)
class Counting:
    """Which summaries are taken of maps (b, 1, x, y, f).

    power: log10 of the mean power of each cell of the plane of waves across and along the line of sight (both in whole waves
    a map, in logarithmic steps). It holds the monopole and the anisotropy that multipoles tell. A wave of k = 0 counts in no
    cell. Unit: that of the map squared over `scale` squared, per voxel.

    histogram: log(1 + n) of the number n of voxels in each of `bins` bins, equal in asinh(T / scale): linear within ± scale,
    logarithmic beyond. The first and the last bin take what lies outside.

    mean: asinh of the map's mean over scale / √voxels, its error where scale is the noise.
    """

    shape: tuple[int, int, int]  # of the maps: x, y, f
    scale: float  # unit of the histogram, in the map's own
    low: float  # lower end of the histogram, in `scale`
    high: float  # upper end
    bins: int
    across: int  # steps of the waves on the sky
    along: int  # steps of those along the line of sight

    def __post_init__(self):
        if not self.low < self.high:
            raise problem("networks.options: low, high", f"{self.low:g}, {self.high:g}", "low < high", "swap them")

    @cached_property
    def cells(self) -> tuple[np.ndarray, np.ndarray]:
        """The waves in order of their cell, and where each cell ends: `wave_cells`."""
        return wave_cells(self.shape, self.across, self.along)

    @property
    def names(self) -> dict[str, slice]:
        """Where each kind of summary stands among the numbers."""
        ends = np.cumsum([0, len(self.cells[1]) - 1, self.bins, 1]).tolist()
        return {name: slice(*ends[i : i + 2]) for i, name in enumerate(("power", "histogram", "mean"))}

    def __len__(self) -> int:
        return self.names["mean"].stop

    def __call__(self, maps: Tensor) -> Tensor:
        """Summaries (b, len(self)) float32 of maps (b, 1, x, y, f)."""
        cubes = maps[:, 0].float() / self.scale
        mean = torch.asinh(cubes.mean(dim=(1, 2, 3)) * math.sqrt(math.prod(self.shape)))
        return torch.cat([self.power(cubes), self.histogram(cubes), mean[:, None]], dim=1)

    def power(self, cubes: Tensor) -> Tensor:
        """log10 of the mean power in each cell, (b, cells), of cubes (b, x, y, f) in units of `scale`."""
        order, ends = (torch.as_tensor(part, device=cubes.device) for part in self.cells)
        found = torch.fft.rfftn(cubes, dim=(1, 2, 3))
        waves = found.real.square().addcmul_(found.imag, found.imag).flatten(1)
        sums = waves[:, order].double().cumsum(1)[:, ends - 1].diff(dim=1)  # less the first cell, that of k = 0
        return (sums / ends.diff() / math.prod(self.shape) + LEAST_POWER).log10().float()

    def histogram(self, cubes: Tensor) -> Tensor:
        """log(1 + n) of the voxels in each bin, (b, bins), of cubes (b, x, y, f) in units of `scale`."""
        low, high, flat = math.asinh(self.low), math.asinh(self.high), cubes.flatten(1)
        place = ((quick_asinh(flat) - low) * (self.bins / (high - low))).clamp_(0, self.bins - 1).long()
        return flat.new_zeros(len(flat), self.bins).scatter_add_(1, place, torch.ones_like(flat)).log1p()


def quick_asinh(x: Tensor) -> Tensor:
    """asinh, in operations that torch vectorises: four times as fast."""
    return torch.copysign((x.abs() + (x.square() + 1).sqrt()).log(), x)


def blurred(cubes: Tensor, sigma: float) -> Tensor:
    """Cubes (b, x, y, f) behind a Gaussian on the sky of σ pixels that mirrors their edges; white noise keeps its σ.

    It would be 1/(2√π σ) of what it was, inside, and is brought back.
    """
    if sigma == 0:
        return cubes
    x, y = (_gaussian(n, sigma).to(cubes) for n in cubes.shape[1:3])
    return torch.einsum("ij,bjkf,lk->bilf", x, cubes, y) * (2 * math.sqrt(math.pi) * sigma)


@cache
def _gaussian(side: int, sigma: float) -> Tensor:
    """The matrix (side, side) that blurs along one axis."""
    from scipy.ndimage import gaussian_filter1d

    return torch.from_numpy(gaussian_filter1d(np.eye(side), sigma, axis=0, mode="mirror"))


def wave_cells(shape: tuple[int, int, int], across: int, along: int) -> tuple[np.ndarray, np.ndarray]:
    """(waves of the real transform in the order of their cells, int64; where each cell ends among them, (cells + 1,)).

    Waves across and along the line of sight are counted in whole waves a map; steps that hold no wave are left out. The
    first cell is that of k = 0 alone. Waves whose conjugates the real transform leaves out count once, like all others.
    """
    sky = [np.fft.fftfreq(n, 1 / n) for n in shape[:2]]
    k_sky = np.hypot(sky[0][:, None], sky[1][None, :])[..., None]
    k_line = np.fft.rfftfreq(shape[2], 1 / shape[2])[None, None]
    cell = (_step(k_sky, across) * (along + 1) + _step(k_line, along)).ravel()
    return np.argsort(cell, kind="stable"), np.cumsum(np.unique(cell, return_counts=True)[1])


def _step(k: np.ndarray, steps: int) -> np.ndarray:
    """Which logarithmic step each wave number is in: 0 for k below a half, then 1 to `steps`."""
    top = math.log(max(k.max(), 1.0) / 0.5) * (1 + 1e-9)
    with np.errstate(divide="ignore"):
        place = np.floor(np.log(k / 0.5) / top * steps)
    return np.where(k < 0.5, 0, np.clip(place, 0, steps - 1) + 1).astype(np.int64)
