"""Tier 2 of the generator: heavier halos leave less mass for lighter ones.

Bands are drawn from the heaviest down. Each halo takes the sphere of matter that it was made of, on the grid of the
density; the rate of lighter halos in a cell is multiplied by the share still free. What this does to a band's abundance
and bias is undone by the calibration, which sees the mean free share at each density.
"""

import numpy as np
import torch

from limelight.cosmology import Cosmology

LARGE_SCALE_MPC = 8.0  # Gaussian radius of the density against which the mask's effect on the bias is measured
BINS = np.linspace(-5.0, 5.0, 41)  # of δ/√S
APART_FROM_MSUN = 3e11  # bands above keep their centres apart; lighter halos are smaller than the cells
REDRAWS = 6
PAINT_CHUNK = 1 << 22  # halo–cell pairs at a time


def free_share_sums(density: torch.Tensor, free: torch.Tensor, spread: float) -> np.ndarray:
    """Cells and their free share summed per bin of δ/√S: (2, bins), from a block of the grid."""
    inner = torch.from_numpy(BINS[1:-1].astype(np.float32)).to(density.device) * spread
    index = torch.bucketize(density.flatten(), inner)
    cells = torch.bincount(index, minlength=len(BINS) - 1)
    total = torch.bincount(index, free.flatten().double(), minlength=len(BINS) - 1)
    return torch.stack([cells.double(), total]).cpu().numpy()


def response_sums(
    rates: torch.Tensor, free: torch.Tensor, around: torch.Tensor, covariance: torch.Tensor
) -> np.ndarray:
    """Sums of w, wδ_L, wm, wmδ_L over a block, the covariance of δ_L with the band's density, and 1; (6,)."""
    masked = rates * free
    sums = [rates.sum(), (rates * around).sum(), masked.sum(), (masked * around).sum()]
    return np.array([*(float(total) for total in sums), float(covariance), 1.0])


def response_change(sums: np.ndarray) -> float:
    """How much the mask changes the response ⟨wδ_L⟩ / (⟨w⟩ ⟨δ_L δ⟩) of a band to large-scale density; sums (g, 6)."""
    bare, bare_moment, masked, masked_moment, covariance, blocks = sums.sum(axis=0)
    return float((masked_moment / masked - bare_moment / bare) / (covariance / blocks)) if masked > 0 else 0.0


def mean_free_share(sums: np.ndarray, distance: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """Mean free share at standardised densities `nodes` for every slab, (g, nodes).

    sums (g, 2, bins) of free_share_sums. The share falls with cosmic time: a straight line in distance is fitted to all
    slabs, so that no slab's own structure is calibrated away.
    """
    cells, free = sums[:, 0], sums[:, 1]
    total = cells.sum(axis=0)
    filled = total >= 30
    mean_distance = (cells * distance[:, None]).sum(axis=0) / np.maximum(total, 1)
    mean = free.sum(axis=0) / np.maximum(total, 1)
    offset = distance[:, None] - mean_distance
    spread = (cells * offset**2).sum(axis=0)
    slope = (offset * (free - cells * mean)).sum(axis=0) / np.maximum(spread, 1e-9)
    slope[spread == 0] = 0
    centres = 0.5 * (BINS[1:] + BINS[:-1])
    shares = np.empty((len(distance), len(nodes)))
    for g, chi in enumerate(distance):
        line = np.clip(mean + slope * (chi - mean_distance), 0.0, 1.0)
        shares[g] = np.interp(nodes, centres[filled], line[filled])
    return shares


def take_mass(
    used: torch.Tensor, corner: tuple[int, int, int], place: torch.Tensor, mass: torch.Tensor, cell_mpc: float,
    cosmology: Cosmology, periodic: bool
) -> None:  # fmt: skip
    """Add the Lagrangian spheres of halos to the used share of the grid's cells (z, y, x), in place.

    corner: the cell (x, y, z) that place (n, 3) counts from. A sphere covers cells by their distance from its rim and is
    scaled to its volume; the share of a cell may pass 1 and is cut off by the reader.
    """
    nz, ny, nx = used.shape
    volume = mass / (cosmology.matter_density * cell_mpc**3)  # in cells
    radius = (3 / (4 * np.pi) * volume) ** (1 / 3)
    reach = int(np.ceil(max(float(radius.max()), 0.5) + 0.5)) if len(mass) else 0
    steps = torch.arange(-reach, reach + 1, device=used.device)
    offsets = torch.stack(torch.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)  # as x, y, z
    start = torch.tensor(corner, device=used.device)
    flat = used.view(-1)
    chunk = max(1, PAINT_CHUNK // len(offsets))
    for begin in range(0, len(mass), chunk):
        where = place[begin : begin + chunk]
        nearest = where.round()
        apart = (offsets[None].float() - (where - nearest)[:, None]).square_().sum(-1).sqrt_()
        rim = radius[begin : begin + chunk].clamp(min=0.5)[:, None] + 0.5
        share = (rim - apart).clamp_(0, 1)
        share *= (volume[begin : begin + chunk] / share.sum(1))[:, None]
        cell = nearest.long()[:, None] + offsets + start
        x, y, z = cell.unbind(-1)
        if periodic:
            x, y, z = x % nx, y % ny, z % nz
        else:
            x, y, z = x.clamp_(0, nx - 1), y.clamp_(0, ny - 1), z.clamp_(0, nz - 1)
        flat.index_add_(0, ((z * ny + y) * nx + x).flatten(), share.flatten())


def lagrangian_radius(mass: torch.Tensor, cosmology: Cosmology) -> torch.Tensor:
    """Radius in Mpc of the sphere of mean density that holds the mass."""
    return (3 * mass / (4 * np.pi * cosmology.matter_density)) ** (1 / 3)


def colliding(
    place: torch.Tensor, radius: torch.Tensor, heavier: list[torch.Tensor], heavier_radius: list[torch.Tensor]
) -> np.ndarray:
    """Indices of halos whose centre lies in the sphere of a heavier halo, of an earlier band or of their own; sorted.

    place (n, 3), radius (n,) in cells; heavier: places and radii of the earlier bands.
    """
    if not len(place):
        return np.zeros(0, dtype=np.int64)
    from scipy.spatial import cKDTree  # a third of a second to import, and most light-cones never ask for it

    tree = cKDTree(place.cpu().numpy())
    size = radius.cpu().numpy()
    pairs = tree.query_pairs(float(size.max()), output_type="ndarray")
    apart = np.linalg.norm(tree.data[pairs[:, 0]] - tree.data[pairs[:, 1]], axis=1)
    first_is_heavier = size[pairs[:, 0]] >= size[pairs[:, 1]]
    lighter = np.where(first_is_heavier, pairs[:, 1], pairs[:, 0])
    bad = [lighter[apart < np.maximum(size[pairs[:, 0]], size[pairs[:, 1]])]]
    if heavier:
        centres, reach = torch.cat(heavier).cpu().numpy(), torch.cat(heavier_radius).cpu().numpy()
        inside = tree.query_ball_point(centres, reach)
        bad += [np.array(hits, dtype=np.int64) for hits in inside if hits]
    return np.unique(np.concatenate(bad))
