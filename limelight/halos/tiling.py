"""Periodic boxes onto a light-cone, and a foreign light-cone into the field.

Space around the observer is tiled with copies of the box. Each tile has its own random translation, permutation of axes and
reflections (Blaizot et al. 2005, astro-ph/0309305), so that no structure is seen twice from the same side; structures end at
tile faces. Each distance shell takes the snapshot nearest in redshift, with the tile's same turn, so that the web goes on
through the change of snapshot.
"""

import itertools
from collections.abc import Iterator

import numpy as np

from limelight.cosmology import SPEED_OF_LIGHT_KMS, Cosmology
from limelight.errors import problem
from limelight.halos.formats.common import Foreign
from limelight.seeds import generator

PAD_KMS = 3000.0  # halos beyond the observed band that peculiar velocities may bring into it
TILES_MAX = 100_000
TILE_SHIFT = 1 << 20  # makes tile numbers positive, as seeds want them
BOX_RANGE_MPC = (5.0, 20000.0)


def padded_redshifts(redshift_min: float, redshift_max: float) -> tuple[float, float]:
    """The cosmological redshifts from which halos can be observed between redshift_min and redshift_max."""
    pad = PAD_KMS / SPEED_OF_LIGHT_KMS
    return max(redshift_min - (1 + redshift_min) * pad, 0.0), redshift_max + (1 + redshift_max) * pad


def in_cone(position_mpc: np.ndarray, half_width: float, near_mpc: float, far_mpc: float) -> np.ndarray:
    """Which of (n, 3) positions lie in the square |X/Z|, |Y/Z| ≤ half_width ahead of the observer, near ≤ χ < far."""
    reach = half_width * position_mpc[:, 2]
    inside = (np.abs(position_mpc[:, 0]) <= reach) & (np.abs(position_mpc[:, 1]) <= reach) & (position_mpc[:, 2] > 0)
    distance2 = np.einsum("ij,ij->i", position_mpc, position_mpc)
    return inside & (distance2 >= near_mpc**2) & (distance2 < far_mpc**2)


def tiles_of_cone(box_mpc: float, half_width: float, near_mpc: float, far_mpc: float) -> Iterator[tuple[int, int, int]]:
    """Tiles (i, j, k) that the cone may touch; tile (i, j, k) spans [i − ½, i + ½), [j − ½, j + ½), [k, k + 1) boxes."""
    nearest = near_mpc / np.sqrt(1 + 2 * half_width**2)  # the near shell meets the corner ray at this depth
    for k in range(int(nearest // box_mpc), int(far_mpc // box_mpc) + 1):
        widest = half_width * min((k + 1) * box_mpc, far_mpc)
        side = int(np.floor(widest / box_mpc + 0.5))
        columns = np.array(list(itertools.product(range(-side, side + 1), repeat=2)))
        low = box_mpc * np.concatenate([columns - 0.5, np.full((len(columns), 1), k)], axis=1)
        closest, farthest = distance_range(low, low + box_mpc)
        for i, j in columns[(closest < far_mpc) & (farthest >= near_mpc)].tolist():
            yield i, j, k


def distance_range(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The smallest and largest distance from the observer within cubes given by opposite corners (..., 3)."""
    closest = np.linalg.norm(np.maximum(np.maximum(low, -high), 0), axis=-1)
    return closest, np.linalg.norm(np.maximum(np.abs(low), np.abs(high)), axis=-1)


def cone_volume(half_width: float, near_mpc: float, far_mpc: float) -> float:
    """Volume of the cone in Mpc³; the square |x|, |y| ≤ t on the tangent plane subtends 4 atan(t² / √(1 + 2 t²))."""
    return 4 * np.arctan(half_width**2 / np.sqrt(1 + 2 * half_width**2)) * (far_mpc**3 - near_mpc**3) / 3


def snapshot_shells(redshifts: list[float], near_z: float, far_z: float) -> list[tuple[float, float]]:
    """The redshift range of each snapshot (sorted): halfway to its neighbours, cut to the cone; empty where low ≥ high."""
    edges = [near_z, *((a + b) / 2 for a, b in itertools.pairwise(redshifts)), far_z]
    return [
        (max(low, near_z), min(high, far_z)) if n else (near_z, min(high, far_z))
        for n, (low, high) in enumerate(itertools.pairwise(edges))
    ]


def check_snapshots(snapshots: list[Foreign], near_z: float, far_z: float, reach: float, where: object) -> None:
    """Refuse boxes of different sides, senseless sides, and snapshots too far in redshift from where they would stand in."""
    sides = sorted({round(snapshot.box_mpc, 3) for snapshot in snapshots})
    if sides[-1] - sides[0] > 1e-3 * sides[-1]:
        raise problem(
            where, f"boxes of {sides[0]:g} and {sides[-1]:g} Mpc", "one box side", "give one simulation's files"
        )
    if not BOX_RANGE_MPC[0] <= sides[0] <= BOX_RANGE_MPC[1]:
        expected = f"{BOX_RANGE_MPC[0]:g} to {BOX_RANGE_MPC[1]:g} Mpc"
        raise problem(where, f"a box of {sides[0]:g} Mpc", expected, "check box_mpc and its unit (Mpc, without h)")
    redshifts = [snapshot.redshift for snapshot in snapshots]
    shells = snapshot_shells(redshifts, near_z, far_z)
    gaps = [max(abs(low - z), abs(high - z)) for z, (low, high) in zip(redshifts, shells, strict=True) if low < high]
    if max(gaps) > reach:
        found = f"snapshots at z = {', '.join(f'{z:.3f}' for z in redshifts)} for z = {near_z:.3f} to {far_z:.3f}"
        expected = f"a snapshot within {reach:g} of every redshift"
        raise problem(where, found, expected, "add snapshots, or raise catalogue.redshift_reach if you accept that")


def place_boxes(
    snapshots: list[Foreign],
    cosmology: Cosmology,
    field_deg: float,
    near_z: float,
    far_z: float,
    seed: int,
    lightcone: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions (n, 3) Mpc, velocities (n, 3) km/s and masses (n,) of a light-cone cut out of tiled snapshots.

    snapshots: sorted by redshift, one box side. field_deg: side of the square on the tangent plane. The tile (i, j, k) of
    a light-cone draws from its own stream of the study seed, so the halos do not depend on field, range or order.
    """
    box, half_width = snapshots[0].box_mpc, np.radians(field_deg / 2)
    shells = snapshot_shells([snapshot.redshift for snapshot in snapshots], near_z, far_z)
    edges_mpc = [(cosmology.comoving_distance(low), cosmology.comoving_distance(high)) for low, high in shells]
    near, far = float(cosmology.comoving_distance(near_z)), float(cosmology.comoving_distance(far_z))
    copies = cone_volume(half_width, near, far) / box**3
    if copies > TILES_MAX:
        found = f"a box of {box:g} Mpc, {copies:.0f} copies of it in the light-cone"
        raise problem("lightcones", found, f"at most {TILES_MAX} copies", "use a larger box or a smaller field")
    units = [np.mod(snapshot.position_mpc / box, 1.0) for snapshot in snapshots]
    kept = [], [], []
    for tile in tiles_of_cone(box, half_width, near, far):
        rng = generator(seed, "tiling", lightcone, *(number + TILE_SHIFT for number in tile))
        axes, signs, shift = rng.permutation(3), rng.choice([-1.0, 1.0], 3), rng.random(3)
        corner = np.array([tile[0] - 0.5, tile[1] - 0.5, tile[2]])
        closest, farthest = distance_range(corner * box, (corner + 1) * box)
        for snapshot, place, (shell_near, shell_far) in zip(snapshots, units, edges_mpc, strict=True):
            if shell_near >= shell_far or closest >= shell_far or farthest < shell_near:
                continue
            position = (np.mod(place[:, axes] * signs + shift, 1.0) + corner) * box
            chosen = np.flatnonzero(in_cone(position, half_width, shell_near, shell_far))
            kept[0].append(position[chosen])
            kept[1].append(snapshot.velocity_kms[chosen][:, axes] * signs)
            kept[2].append(snapshot.mass_msun[chosen])
    return np.concatenate(kept[0]), np.concatenate(kept[1]), np.concatenate(kept[2])


def turn_to_axis(direction: np.ndarray) -> np.ndarray:
    """The rotation matrix (3, 3) that turns a direction onto +z by the shortest way (Rodrigues' formula)."""
    x, y, z = np.asarray(direction, dtype=np.float64) / np.linalg.norm(direction)
    if z < -1 + 1e-12:
        return np.diag([1.0, -1.0, -1.0])  # half a turn about x
    cross = np.array([[0, 0, -x], [0, 0, -y], [x, y, 0]])
    return np.eye(3) + cross + cross @ cross / (1 + z)


def field_center(center_deg: tuple[float, float]) -> np.ndarray:
    """The direction of Peak Patch's (cen_x_fov, cen_y_fov): ra = atan2(−x, z), dec = asin(y/χ)."""
    ra, dec = np.radians(center_deg)
    return np.array([-np.sin(ra) * np.cos(dec), np.sin(dec), np.cos(ra) * np.cos(dec)])
