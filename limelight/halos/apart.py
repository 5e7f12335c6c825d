"""Painted halos too close to a heavier one are placed again: numbers drawn cell by cell know nothing of each other.

Friends-of-friends halos have no others within about the sum of their sizes, which are APART of their Lagrangian radii.
"""

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from limelight.cosmology import Cosmology
from limelight.halos.draw import place_in_cells

APART = 0.4  # read off pairs of halos in the painter's training boxes (docs/halos.md)
LARGEST_MSUN = 1e13  # heavier halos are as wide as these
INSIDE, ELSEWHERE = 4, 4  # tries within the same cell, then in cells of about the same expected number
ALIKE = 0.1  # of the halos of a slab: how far along in their order by expected number such a cell may lie


def keep_apart(
    places: list[Tensor], masses: list[np.ndarray], log_means: list[Tensor], cell_mpc: float, cosmology: Cosmology,
    rng: np.random.Generator
) -> None:  # fmt: skip
    """Place halos again, in place, that stand within a heavier one; after some tries they stay.

    Parameters
    ----------
    places, masses
        Of each mass band, the lightest first: (n, 3) as x, y, z in cells, and (n,) in Msun.
    log_means
        ln of the expected numbers in cells (z, y, x) of each band.
    """
    sizes = [
        APART * (3 * np.minimum(m, LARGEST_MSUN) / (4 * np.pi * cosmology.matter_density)) ** (1 / 3) / cell_mpc
        for m in masses
    ]
    alike: dict[int, AlikeCells] = {}
    for attempt in range(INSIDE + ELSEWHERE):
        losers = too_close([place.numpy() for place in places], masses, sizes)
        for band, lost in enumerate(losers):
            if not len(lost):
                continue
            means = log_means[band]
            x, y, z = places[band][lost].round().long().T
            cells = ((z * means.shape[1] + y) * means.shape[2] + x).clamp(0, means.numel() - 1)
            if attempt >= INSIDE:
                if band not in alike:
                    alike[band] = AlikeCells(means)
                cells = alike[band].draw(cells, rng)
            again = torch.from_numpy(rng.random((3, len(lost)), dtype=np.float32))
            place_in_cells(again, cells, means)
            places[band][lost] = again.T
        if not any(map(len, losers)):
            break


class AlikeCells:
    """The cells of a slab in the order of their expected number: in another of about the same a halo keeps its bias."""

    def __init__(self, log_means: Tensor):
        self.order = torch.argsort(log_means.flatten(), stable=True)
        self.running = torch.cumsum(log_means.flatten()[self.order].exp(), 0, dtype=torch.float64)
        self.rank = torch.empty_like(self.order)
        self.rank[self.order] = torch.arange(len(self.order))

    def draw(self, cells: Tensor, rng: np.random.Generator) -> Tensor:
        """One for each of the flat indices `cells`, by expected number among those within ALIKE of it."""
        total = float(self.running[-1])
        shift = ALIKE * total * (2 * torch.from_numpy(rng.random(len(cells))) - 1)
        wanted = (self.running[self.rank[cells]] + shift).abs()  # beyond an end it comes back
        wanted = torch.where(wanted > total, 2 * total - wanted, wanted)
        found = torch.searchsorted(self.running, wanted, right=True).clamp(max=len(self.order) - 1)
        return self.order[found]


def too_close(places: list[np.ndarray], masses: list[np.ndarray], sizes: list[np.ndarray]) -> list[np.ndarray]:
    """Indices in each band of halos nearer to a heavier one than both sizes together."""
    trees = [cKDTree(place) if len(place) else None for place in places]
    lost: list[set] = [set() for _ in places]
    for heavy, one in enumerate(trees):
        for light, other in enumerate(trees[: heavy + 1]):
            if one is None or other is None:
                continue
            reach = sizes[heavy].max() + sizes[light].max()
            found = one.sparse_distance_matrix(other, reach, output_type="ndarray")
            i, j = found["i"], found["j"]
            near = found["v"] < sizes[heavy][i] + sizes[light][j]
            if heavy == light:  # each pair is there twice, and each halo beside itself
                near &= (masses[heavy][i] > masses[heavy][j]) | ((masses[heavy][i] == masses[heavy][j]) & (i < j))
            lost[light].update(j[near].tolist())
    return [np.array(sorted(one), dtype=np.int64) for one in lost]
