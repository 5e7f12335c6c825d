"""A small N-body run and friends-of-friends halos: the clustering truth beside fitted functions. Units: Mpc, km/s."""

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from limelight.cosmology import Cosmology
from limelight.matter.chunks import chunk_runner
from limelight.matter.initial import Box, LinearField, periodic_field
from limelight.matter.mesh import Growth, density_modes, deposit, inverse_laplacian, move, poisson, push, started
from limelight.progress import progress

START = 19.0  # redshift at which the particles start
MESH_PER_PARTICLE = 2  # cells of the mesh for each particle, along an axis


def run_particle_mesh(
    side_mpc: float,
    particles: int,
    redshift: float,
    cosmology: Cosmology,
    seed: int,
    steps: int = 32,
) -> tuple[np.ndarray, np.ndarray, LinearField]:
    """Evolve particles³ equal masses in a periodic cube from 2LPT at START to a redshift, in steps of equal ln a.

    Returns positions (n, 3) in [0, side) Mpc, peculiar velocities (n, 3) km/s, and the linear field it started from.
    """
    box = Box((particles,) * 3, side_mpc / particles)
    with chunk_runner() as run:
        field = periodic_field(box, cosmology, seed, "cpu", run)
    position, momentum = started(LinearField(box, field.modes.clone()), START, cosmology)
    cells = MESH_PER_PARTICLE * particles
    inverse, grow = inverse_laplacian(side_mpc, cells), Growth(cosmology)
    edges = np.geomspace(1 / (1 + START), 1 / (1 + redshift), steps + 1)
    middles = np.sqrt(edges[:-1] * edges[1:])
    begin, end = np.append(edges[0], middles), np.append(middles, edges[-1])  # of the kicks
    for i in progress(range(steps + 1), "particle mesh", total=steps + 1):
        if i:
            drift = grow.drift(middles[i - 1], edges[i - 1], edges[i])
            move(position, momentum, np.float32(drift), np.float32(side_mpc))
        modes = density_modes(position, side_mpc, cells).mul_(inverse)
        push(position, momentum, side_mpc, modes, poisson(cosmology) * grow.kick(edges[i], begin[i], end[i]))
    return position, momentum * np.float32(1 + redshift), field


def cloud_in_cell(position: np.ndarray, side_mpc: float, cells: int) -> np.ndarray:
    """Overdensity (z, y, x) float32 of equal masses at (n, 3) in [0, side], shared between the eight nearest nodes.

    Nodes are the lower corners of the cells.
    """
    density = np.zeros((cells,) * 3, np.float32)
    deposit(position, density, np.float32(cells / side_mpc))
    return density * np.float32(cells**3 / len(position)) - 1


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
