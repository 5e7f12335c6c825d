"""Pairs: the 2LPT density of a periodic box and the friends-of-friends halos of a particle-mesh run with the same phases."""

from dataclasses import dataclass

import numpy as np
import torch

from limelight.cosmology import Cosmology
from limelight.matter.cells import lpt_overdensity
from limelight.matter.chunks import chunk_runner
from limelight.matter.initial import Box, LinearField, displacements, resampled
from limelight.matter.lagrangian import lpt_factors
from limelight.matter.particle_mesh import cloud_in_cell, friends_of_friends, run_particle_mesh
from limelight.probes.halo_field.layout import LEAST_PARTICLES, particle_mass


@dataclass(frozen=True)
class Halos:
    """Halos of one box: places (n, 3) as x, y, z in Mpc, velocities (n, 3) in km/s, masses (n,) in Msun."""

    position: np.ndarray
    velocity: np.ndarray
    mass: np.ndarray


@dataclass(frozen=True)
class PairedBox:
    """Fields on cells³ cells, axes (z, y, x), of one box: overdensities, and the 2LPT velocity (3, …) as x, y, z in km/s."""

    lpt: np.ndarray
    evolved: np.ndarray
    velocity: np.ndarray
    halos: Halos


def paired_box(
    side_mpc: float,
    particles: int,
    cells: int,
    redshift: float,
    cosmology: Cosmology,
    seed: int,
    steps: int,
    waves: str = "particles",
) -> PairedBox:
    """One box: particles³ are moved to the redshift by 2LPT and, from the same phases, by a particle mesh.

    FoF masses are whole numbers of particles. Each halo's is spread evenly over one particle mass about its own, so that
    densities of ln M can be fitted to them.

    waves: "particles", or "cells" for a 2LPT density made of no more than the cells know, as light-cones have it. All is
    then moved by half a cell, so that the particles of that density start from the middles of the cells.
    """
    position, velocity, field = run_particle_mesh(side_mpc, particles, redshift, cosmology, seed, steps=steps)
    centre, drift, members = friends_of_friends(position, velocity, side_mpc, least=LEAST_PARTICLES)
    offset = 0.5 * side_mpc / cells if waves == "cells" else 0.0
    evolved = cell_density(torch.from_numpy(position + np.float32(offset)), side_mpc, cells)
    lpt, speed = lpt_fields(field, redshift, cosmology, cells, offset)
    if waves == "cells":
        lpt = coarse_lpt_density(field, redshift, cosmology, cells)
        centre = np.mod(centre + offset, side_mpc)
    rng = np.random.default_rng([seed, len(members)])
    mass = particle_mass(side_mpc, particles, cosmology) * (members + rng.uniform(-0.5, 0.5, len(members)))
    return PairedBox(lpt, evolved, speed, Halos(centre, drift, mass))


def coarse_lpt_density(field: LinearField, redshift: float, cosmology: Cosmology, cells: int) -> np.ndarray:
    """Overdensity (cells³) of 2LPT from those waves of a periodic field that the cells hold: one particle in each cell."""
    box = Box((cells,) * 3, field.box.shape[0] * field.box.cell_mpc / cells)
    with chunk_runner() as run:
        psi = displacements(LinearField(box, resampled(field.modes, cells)), run)
    first, second = (float(f) for f in lpt_factors(redshift, cosmology)[:2])
    return lpt_overdensity(psi, box.cell_mpc, lambda planes: (first, second)).numpy()


def lpt_fields(
    field: LinearField, redshift: float, cosmology: Cosmology, cells: int, offset: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Overdensity (cells³) and mean velocity (3, cells³) km/s of 2LPT from a periodic linear field, whose modes are kept.

    offset: by which all particles are moved along every axis, Mpc.
    """
    box = field.box
    with chunk_runner() as run:
        psi = displacements(LinearField(box, field.modes.clone()), run).permute(1, 2, 3, 0).reshape(-1, 6)
    first, second, first_speed, second_speed = (float(f) for f in lpt_factors(redshift, cosmology))
    axes = [torch.arange(n, dtype=torch.float32) * box.cell_mpc for n in box.shape]
    position = torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], dim=-1).reshape(-1, 3)
    position += psi[:, :3] * first + psi[:, 3:] * second + offset
    speed = psi[:, :3] * first_speed + psi[:, 3:] * second_speed
    side = box.shape[0] * box.cell_mpc
    index = torch.from_numpy(cell_index(position.numpy(), side, cells))
    number = torch.bincount(index, minlength=cells**3).clamp(min=1)
    mean = [torch.bincount(index, speed[:, axis], minlength=cells**3) / number for axis in range(3)]
    velocity = torch.stack(mean).reshape(3, cells, cells, cells).float().numpy()
    return cell_density(position, side, cells), velocity


def cell_density(position: torch.Tensor, side_mpc: float, cells: int) -> np.ndarray:
    """Overdensity (z, y, x) float32 of equal masses in clouds of one cell, about the middles of `cell_index`'s cells."""
    half = 0.5 * side_mpc / cells  # cloud_in_cell has its nodes at the cells' lower corners
    return cloud_in_cell((position - half).remainder(side_mpc).numpy(), side_mpc, cells)


def cell_index(position: np.ndarray, side_mpc: float, cells: int) -> np.ndarray:
    """Flat index (z, y, x) of the cell of each place (n, 3) given as x, y, z in Mpc."""
    place = np.floor(np.asarray(position, np.float64) * (cells / side_mpc)).astype(np.int64) % cells
    return (place[:, 2] * cells + place[:, 1]) * cells + place[:, 0]


def halo_counts(halos: Halos, edges_msun: np.ndarray, side_mpc: float, cells: int) -> np.ndarray:
    """Halos of each mass band in each cell, (bands, z, y, x) float32."""
    bands = len(edges_msun) - 1
    band = np.searchsorted(edges_msun, halos.mass, side="right") - 1
    inside = (band >= 0) & (band < bands)
    flat = band[inside] * cells**3 + cell_index(halos.position[inside], side_mpc, cells)
    return np.bincount(flat, minlength=bands * cells**3).reshape(bands, cells, cells, cells).astype(np.float32)
