"""A small particle-mesh N-body run and friends-of-friends halos: the clustering truth beside fitted functions.

Leapfrog (kick-drift-kick) in ln a from a 2LPT start; forces by FFT on a mesh, cloud-in-cell both ways. Units: Mpc, km/s
and comoving momenta p = a² dx/dt, so that dx = p ∫dt/a² and dp = −∇Φ ∫dt/a with ∇²Φ = 3/2 Ωm H0² δ.
"""

import numpy as np
import torch
from scipy.integrate import quad
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from limelight.cosmology import Cosmology
from limelight.matter.chunks import chunk_runner
from limelight.matter.fourier import irfftn, rfftn
from limelight.matter.initial import Box, LinearField, displacements, periodic_field
from limelight.matter.lagrangian import lpt_factors
from limelight.progress import progress

CHUNK = 1 << 21  # particles at a time


def run_particle_mesh(
    side_mpc: float,
    particles: int,
    redshift: float,
    cosmology: Cosmology,
    seed: int,
    redshift_start: float = 19.0,
    steps: int = 16,
    mesh_per_particle: int = 2,
) -> tuple[np.ndarray, np.ndarray, LinearField]:
    """Evolve particles³ equal masses in a periodic cube from 2LPT to a redshift.

    Returns positions (n, 3) in [0, side) Mpc, peculiar velocities (n, 3) km/s, and the linear field it started from.
    """
    box = Box((particles,) * 3, side_mpc / particles)
    with chunk_runner() as run:
        field = periodic_field(box, cosmology, seed, "cpu", run)
        start = LinearField(box, field.modes.clone())
        psi = displacements(start, run).permute(1, 2, 3, 0).reshape(-1, 6)
    first, second, first_speed, second_speed = (float(f) for f in lpt_factors(redshift_start, cosmology))
    axis = torch.arange(particles, dtype=torch.float32) * box.cell_mpc
    position = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")[::-1], dim=-1).reshape(-1, 3)
    position += psi[:, :3] * first + psi[:, 3:] * second
    momentum = (psi[:, :3] * first_speed + psi[:, 3:] * second_speed) / (1 + redshift_start)
    del psi, start
    cells = particles * mesh_per_particle
    edges = np.geomspace(1 / (1 + redshift_start), 1 / (1 + redshift), steps + 1)
    add_forces(position, momentum, side_mpc, cells, cosmology, _kick(cosmology, edges[0], np.sqrt(edges[0] * edges[1])))
    for i in progress(range(steps), "particle mesh", total=steps):
        position += momentum * _drift(cosmology, edges[i], edges[i + 1])
        position.remainder_(side_mpc)
        kick_from = np.sqrt(edges[i] * edges[i + 1])
        kick_to = np.sqrt(edges[i + 1] * edges[i + 2]) if i + 2 <= steps else edges[i + 1]
        add_forces(position, momentum, side_mpc, cells, cosmology, _kick(cosmology, kick_from, kick_to))
    return position.numpy(), (momentum * (1 + redshift)).numpy(), field


def _drift(cosmology: Cosmology, low: float, high: float) -> float:
    """∫ dt/a² between two scale factors, Mpc s/km."""
    return quad(lambda a: 1 / (a**3 * cosmology.hubble(1 / a - 1)), low, high)[0]


def _kick(cosmology: Cosmology, low: float, high: float) -> float:
    """∫ dt/a between two scale factors."""
    return quad(lambda a: 1 / (a**2 * cosmology.hubble(1 / a - 1)), low, high)[0]


def add_forces(
    position: torch.Tensor, momentum: torch.Tensor, side_mpc: float, cells: int, cosmology: Cosmology, kick: float
) -> None:
    """momentum −= ∇Φ kick, the density and the forces in clouds of one mesh cell."""
    density = cloud_in_cell(position, side_mpc, cells)
    modes = rfftn(density)
    del density
    k = Box((cells,) * 3, side_mpc / cells).wavenumbers()
    k = [torch.from_numpy(v.astype(np.float32)).reshape(s) for v, s in zip(k, _BROADCAST, strict=True)]
    squared = k[0] ** 2 + k[1] ** 2 + k[2] ** 2
    squared[0, 0, 0] = 1
    modes.div_(squared).mul_(1.5 * cosmology.omega_m * (100 * cosmology.h) ** 2 * kick)
    modes[0, 0, 0] = 0
    del squared
    for wave in k:  # undo the two cloud-in-cell windows, to the mesh's own resolution
        modes.div_(torch.sinc(wave * (side_mpc / cells / (2 * np.pi))) ** 4)
    for axis in range(3):
        odd = k[axis].clone()
        odd.view(-1)[cells // 2] = 0
        force = irfftn(modes * (1j * odd), s=(cells,) * 3).reshape(-1)
        for begin in range(0, len(position), CHUNK):
            index, weight = _clouds(position[begin : begin + CHUNK], side_mpc, cells)
            momentum[begin : begin + CHUNK, 2 - axis] += sum(force[i] * w for i, w in zip(index, weight, strict=True))


_BROADCAST = ((-1, 1, 1), (1, -1, 1), (1, 1, -1))


def cloud_in_cell(position: torch.Tensor, side_mpc: float, cells: int) -> torch.Tensor:
    """Overdensity (z, y, x) of equal masses shared between the eight nearest cell centres."""
    density = torch.zeros(cells**3, dtype=torch.float32)
    for begin in range(0, len(position), CHUNK):
        for index, weight in zip(*_clouds(position[begin : begin + CHUNK], side_mpc, cells), strict=True):
            density.index_add_(0, index, weight)
    return (density * (cells**3 / len(position)) - 1).reshape(cells, cells, cells)


def _clouds(position: torch.Tensor, side_mpc: float, cells: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Flat indices and weights of the eight cells that each particle shares."""
    place = position * (cells / side_mpc)
    low = place.floor()
    part = place - low
    low = low.long()
    near = [low[:, axis] % cells for axis in range(3)]
    far = [(low[:, axis] + 1) % cells for axis in range(3)]
    indices, weights = [], []
    for corner in range(8):
        x, y, z = ((far if corner >> axis & 1 else near)[axis] for axis in range(3))
        wx, wy, wz = (part[:, axis] if corner >> axis & 1 else 1 - part[:, axis] for axis in range(3))
        indices.append((z * cells + y) * cells + x)
        weights.append(wx * wy * wz)
    return indices, weights


def friends_of_friends(
    position: np.ndarray, velocity: np.ndarray, side_mpc: float, linking: float = 0.2, least: int = 20
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Groups of particles linked below `linking` mean separations, of at least so many members.

    Returns centres of mass (g, 3), mean velocities (g, 3) and member numbers (g,), the largest first.
    """
    spacing = side_mpc / len(position) ** (1 / 3)
    wrapped = np.mod(position.astype(np.float64), side_mpc)
    crowded = _crowded(wrapped, side_mpc, linking * spacing)
    wrapped, velocity = wrapped[crowded], velocity[crowded]
    pairs = cKDTree(wrapped, boxsize=side_mpc).query_pairs(linking * spacing, output_type="ndarray")
    n = len(wrapped)
    graph = coo_matrix((np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    del pairs
    _, group = connected_components(graph, directed=False)
    members = np.bincount(group)
    anchor = np.zeros((len(members), 3))
    anchor[group] = wrapped  # any member: distances from it survive the periodic edge
    offset = wrapped - anchor[group]
    offset -= side_mpc * np.round(offset / side_mpc)
    centre = np.stack([np.bincount(group, offset[:, i]) for i in range(3)], 1) / members[:, None] + anchor
    speed = np.stack([np.bincount(group, velocity[:, i]) for i in range(3)], 1) / members[:, None]
    order = np.argsort(-members, kind="stable")
    order = order[members[order] >= least]
    return np.mod(centre[order], side_mpc), speed[order], members[order]


def _crowded(position: np.ndarray, side_mpc: float, length: float) -> np.ndarray:
    """Particles that have another in their own or a neighbouring cell of `length`: the others link to nobody."""
    cells = int(side_mpc / length)
    place = np.minimum((position * (cells / side_mpc)).astype(np.int64), cells - 1)
    occupied = np.zeros((cells,) * 3, dtype=np.uint8)
    np.add.at(occupied, tuple(place.T), 1)
    near = occupied
    for axis in range(3):
        near = np.minimum(near.astype(np.uint16) + np.roll(near, 1, axis) + np.roll(near, -1, axis), 250).astype(
            np.uint8
        )
    return near[tuple(place.T)] > 1
