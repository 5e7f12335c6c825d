"""What two maps of the same sources have in common: cross power, deconvolved distribution, and stacks.

All three see nothing, on average, of what is in one of the two alone: noise, a zero level, light of other redshifts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from limelight.summaries.counting import wave_cells


def deconvolved_distribution(maps: Tensor, other: Tensor, limits: Sequence[float], u: Sequence[float]) -> Tensor:
    """The deconvolved distribution estimator (Breysse, Chung & Ihle 2022, arXiv:2210.14890), complex (b, classes, u).

    D_i(u) = φ_i(u) / φ_0(u) − 1 with φ_i the mean of exp(iuT) over the voxels of class i, where i of the `limits` (rising)
    are not above the voxel's value in `other`, such as its number of galaxies. What is in T independently of `other`
    multiplies all φ_i alike and drops out. Where the voxels of class N hold N sources with temperatures of distribution p,
    and nothing else that depends on `other`, D_N = p̃(u)^N − 1. A class without voxels has D = 0.

    Parameters
    ----------
    maps, other
        (b, *shape) each.
    u
        In one over the unit of maps. The scatter of φ_0 over φ_0 grows as exp(u²σ²/2) with noise σ: u of at most 1.5/σ.
    """
    number = torch.bucketize(
        other.flatten(1).contiguous(), torch.as_tensor(limits, dtype=other.dtype, device=other.device), right=True
    )
    member = torch.nn.functional.one_hot(number, len(limits) + 1).to(maps.dtype)  # (b, voxels, classes)
    count = member.sum(dim=1)
    found = []
    for one in u:
        phase = one * maps.flatten(1)
        parts = [torch.einsum("bv,bvc->bc", wave, member) for wave in (phase.cos(), phase.sin())]
        phi = torch.complex(*parts) / count.clamp(min=1)
        found.append(torch.where(count[:, 1:] > 0, phi[:, 1:] / (phi[:, :1] + 1e-12) - 1, 0))
    ratio = torch.stack(found, dim=2)
    return torch.where((count[:, :1] > 0)[..., None], ratio, 0)


@dataclass(frozen=True)
class Crossing:
    """Summaries of pairs of maps (b, x, y, f), of which the second may count galaxies.

    cross: mean of Re⟨a b*⟩ in the cells of waves of `summaries.counting`, per voxel; dde: real and imaginary parts; stack:
    the mean of the first map at each distance from the sources of the second, less the map's own mean.
    """

    shape: tuple[int, int, int]
    across: int  # logarithmic steps of the waves on the sky
    along: int  # and along the line of sight
    limits: tuple[float, ...]  # of the classes of the second map
    u: tuple[float, ...]
    reach: int  # voxels, of the stack, both across and along

    @cached_property
    def cells(self) -> tuple[np.ndarray, np.ndarray]:
        return wave_cells(self.shape, self.across, self.along)

    @cached_property
    def rings(self) -> np.ndarray:
        """The ring of the stack that each offset of a periodic map belongs to, flat; the last one holds what is farther."""
        steps = [np.abs(np.fft.fftfreq(n, 1 / n)) for n in self.shape]
        across = np.rint(np.hypot(steps[0][:, None], steps[1][None]))[..., None]
        ring = np.where((across <= self.reach) & (steps[2] <= self.reach), across * (self.reach + 1) + steps[2], -1)
        return np.where(ring < 0, (self.reach + 1) ** 2, ring).astype(np.int64).ravel()

    @property
    def names(self) -> dict[str, slice]:
        """Where each kind of summary stands among the numbers of a pair."""
        sizes = (len(self.cells[1]) - 1, 2 * len(self.limits) * len(self.u), (self.reach + 1) ** 2)
        ends = np.cumsum([0, *sizes]).tolist()
        return {name: slice(*ends[i : i + 2]) for i, name in enumerate(("cross", "dde", "stack"))}

    def __len__(self) -> int:
        return self.names["stack"].stop

    def __call__(self, maps: Tensor, other: Tensor) -> Tensor:
        """(b, len(self)) float32 of pairs (b, x, y, f)."""
        dde = torch.view_as_real(deconvolved_distribution(maps, other, self.limits, self.u)).flatten(1)
        product = torch.fft.rfftn(maps, dim=(1, 2, 3)) * torch.fft.rfftn(other, dim=(1, 2, 3)).conj()
        return torch.cat([self.cross(product), dde, self.stack(product, maps, other)], dim=1).float()

    def cross(self, product: Tensor) -> Tensor:
        """Mean of each cell, (b, cells), of the product of two transforms."""
        order, ends = (torch.as_tensor(part, device=product.device) for part in self.cells)
        sums = product.real.flatten(1)[:, order].double().cumsum(1)[:, ends - 1].diff(dim=1)  # less the cell of k = 0
        return sums / ends.diff() / float(np.prod(self.shape))

    def stack(self, product: Tensor, maps: Tensor, other: Tensor) -> Tensor:
        """Mean of the map in each ring around the sources, (b, rings)."""
        around = torch.fft.irfftn(product, s=self.shape, dim=(1, 2, 3)).flatten(1).double()
        around = around / other.flatten(1).sum(1, keepdim=True).clamp(min=1) - maps.flatten(1).mean(1, keepdim=True)
        rings = torch.as_tensor(self.rings, device=maps.device)
        count = (self.reach + 1) ** 2
        sums = around.new_zeros(len(around), count + 1).index_add_(1, rings, around)
        voxels = np.maximum(np.bincount(self.rings, minlength=count + 1), 1)
        return (sums / torch.as_tensor(voxels, device=maps.device))[:, :count]
