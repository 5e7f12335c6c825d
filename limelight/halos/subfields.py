"""Turning a light-cone about the line of sight and cutting it into map fields, and their file `subfields/{seed}.h5`.

On the tangent plane a turn about the line of sight is a plain rotation and the cone's footprint is a square, so which
subfield fits and which two share sky are exact questions about squares. A turn carries positions and velocities along
together; what lies along the line of sight (both redshifts) stays as it is.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import h5py
import numpy as np

from limelight.cosmology import Cosmology
from limelight.errors import one_line, problem, reading
from limelight.files import attribute, check_finite, read_hdf5, write_hdf5
from limelight.halos.catalogue import HaloCatalogue, tangent_plane_deg
from limelight.halos.config import Subfields as SubfieldCuts
from limelight.section import plain

KIND = "subfields"
TABLE = ("rotation_deg", "reflected", "row", "column", "center_deg", "overlaps", "offsets")
COLUMNS = ("sky_deg", "redshift", "redshift_observed", "mass_msun")
UNITS = {"sky_deg": "deg", "redshift": "", "redshift_observed": "", "mass_msun": "Msun"}
FAR_DEG = 1e9  # where halos behind the observer are put: on no tile, however turned
TOLERANCE = 1e-9  # of a subfield's side: rounding, not overlap and not sticking out


@dataclass
class Subfields:
    """The subfields of one light-cone, s rows, in the order rotation, mirror image, row (y), column (x)."""

    rotation_deg: np.ndarray  # (s,) turn of the light-cone, counter-clockwise on the (x, y) tangent plane
    reflected: np.ndarray  # (s,) bool: x mirrored after the turn
    row: np.ndarray  # (s,) int, along y
    column: np.ndarray  # (s,) int, along x
    center_deg: np.ndarray  # (s, 2) on the tangent plane of the turned light-cone
    overlaps: np.ndarray  # (s, s) bool: the two share sky of the light-cone
    size_deg: float
    offsets: np.ndarray | None = None  # (s + 1,) int64 into the halo columns of the file
    lightcone: int = -1
    cosmology: Cosmology = field(default_factory=Cosmology)
    settings: dict = field(default_factory=dict)  # the config section `subfields`
    geometry: dict = field(default_factory=dict)  # of the light-cone

    def __len__(self) -> int:
        return len(self.row)


@dataclass
class SubfieldHalos:
    """The halos of one subfield, n rows."""

    sky_deg: np.ndarray  # (n, 2) float64, tangent plane of the turned light-cone
    redshift: np.ndarray  # (n,) float32
    redshift_observed: np.ndarray  # (n,) float32
    mass_msun: np.ndarray  # (n,) float32


def cos_sin(angle_deg: float) -> tuple[float, float]:
    """Cosine and sine of an angle in degrees, exact at quarter turns."""
    quarter, rest = divmod(math.fmod(angle_deg, 360.0), 90.0)
    c, s = math.cos(math.radians(rest)), math.sin(math.radians(rest))
    return ((c, s), (-s, c), (-c, -s), (s, -c))[int(quarter) % 4]


def turn_plane(sky_deg: np.ndarray, angle_deg: float, reflected: bool = False) -> np.ndarray:
    """Turn points (n, 2) of the tangent plane counter-clockwise by an angle, then mirror x if asked; float64 (n, 2)."""
    c, s = cos_sin(angle_deg)
    turned = np.empty(sky_deg.shape, np.float64)
    turned[:, 0] = c * sky_deg[:, 0] - s * sky_deg[:, 1]
    turned[:, 1] = s * sky_deg[:, 0] + c * sky_deg[:, 1]
    if reflected:
        np.negative(turned[:, 0], out=turned[:, 0])
    return turned


def unturn_plane(sky_deg: np.ndarray, angle_deg: float, reflected: bool = False) -> np.ndarray:
    """Undo turn_plane."""
    return turn_plane(sky_deg * [-1.0, 1.0] if reflected else sky_deg, -angle_deg)


def tile_centers(size_deg: float, per_side: int) -> np.ndarray:
    """Centres of the tiles along one axis, degrees (per_side,), the grid centred on the line of sight."""
    return (np.arange(per_side) + 0.5 - per_side / 2) * size_deg


def tile_edges(size_deg: float, per_side: int) -> np.ndarray:
    """Edges of the tiles along one axis, degrees (per_side + 1,); to the last bit where a map of the tile begins."""
    centers = tile_centers(size_deg, per_side)
    return np.append(centers - size_deg / 2, centers[-1] + size_deg / 2)


def plan_subfields(field_deg: float, section: SubfieldCuts) -> Subfields:
    """Lay out the subfields that lie wholly inside a light-cone of side field_deg (degrees, tangent plane).

    section: the config's `subfields`. Raises LimelightError when none fits at any rotation.
    """
    size, per_side = section.size_deg, section.per_side
    middle = tile_centers(size, per_side)
    row, column = (grid.ravel() for grid in np.indices((per_side, per_side)))
    center = np.stack([middle[column], middle[row]], axis=1)
    corners = center[:, None] + size / 2 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])  # (tiles, 4, 2)
    rows, polygons = [], []
    for rotation in section.rotations_deg:
        for reflected in (False, True) if section.reflections else (False,):
            on_sky = unturn_plane(corners.reshape(-1, 2), rotation, reflected).reshape(corners.shape)
            inside = np.all(np.abs(on_sky) <= field_deg / 2 + TOLERANCE * size, axis=(1, 2))
            polygons.append(on_sky[inside])
            rows += [(rotation, reflected, row[i], column[i], *center[i]) for i in np.flatnonzero(inside)]
    if not rows:
        raise problem(
            "subfields",
            f"no {size:g}° subfield of {per_side} × {per_side} inside the {field_deg:g}° light-cone at any rotation",
            f"squares that fit into a {field_deg:g}° square",
            "make size_deg or per_side smaller, lightcones.field_deg larger, or rotate by multiples of 90°",
        )
    rotation, reflected, row, column, x, y = map(np.array, zip(*rows, strict=True))
    return Subfields(
        rotation_deg=rotation.astype(np.float64),
        reflected=reflected.astype(bool),
        row=row,
        column=column,
        center_deg=np.stack([x, y], axis=1),
        overlaps=squares_overlap(np.concatenate(polygons), size),
        size_deg=size,
        settings=plain(section),
    )


def squares_overlap(corners: np.ndarray, size_deg: float) -> np.ndarray:
    """Which pairs of equal squares, given by their corners (s, 4, 2), share a positive area; bool (s, s).

    Separating axes: two convex polygons are disjoint exactly if their shadows on the normal of some edge are. A square has
    two normals. Touching edges or corners do not overlap.
    """
    side = (corners[:, [1, 3]] - corners[:, [0]]) / size_deg  # (s, 2, 2) unit vectors along the edges
    overlap = np.ones((len(corners), len(corners)), bool)
    for i, axes in enumerate(side):  # one row at a time: s can be thousands
        shadow = corners @ axes.T  # (s, 4, 2) on the two normals of square i
        low, high = shadow.min(axis=1), shadow.max(axis=1)
        shared = np.minimum(high, high[i]) - np.maximum(low, low[i])
        overlap[i] = np.all(shared > TOLERANCE * size_deg, axis=1)
    return overlap & overlap.T  # the normals of both squares


def cut_subfields(halos: HaloCatalogue, plan: Subfields) -> Iterator[tuple[int, SubfieldHalos]]:
    """Yield (index, halos) of each subfield in the order of the plan. Tiles are half-open, so a halo is in one at most.

    Works on the tangent plane in float64; beside the catalogue it holds at most ~40 bytes a halo at a time.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        sky = np.stack(tangent_plane_deg(halos.position_mpc), axis=1)
    sky[halos.position_mpc[:, 2] <= 0] = FAR_DEG
    per_side = int(plan.settings["per_side"])
    edges = tile_edges(plan.size_deg, per_side)
    outside = per_side * per_side
    turns = np.stack([plan.rotation_deg, plan.reflected], axis=1)
    starts = np.flatnonzero(np.r_[True, np.any(turns[1:] != turns[:-1], axis=1)])
    for start, stop in zip(starts, np.r_[starts[1:], len(plan)], strict=True):
        turn = float(plan.rotation_deg[start]), bool(plan.reflected[start])
        tile = _tile_index(sky, *turn, edges)
        order = np.argsort(tile, kind="stable")  # radix sort: keys of 16 bits
        counts = np.bincount(tile, minlength=outside + 1)
        del tile
        ends = np.cumsum(counts)
        for index in range(start, stop):
            number = plan.row[index] * per_side + plan.column[index]
            mine = order[ends[number] - counts[number] : ends[number]]
            yield (
                index,
                SubfieldHalos(
                    sky_deg=turn_plane(sky[mine], *turn),
                    redshift=halos.redshift[mine],
                    redshift_observed=halos.redshift_observed[mine],
                    mass_msun=halos.mass_msun[mine],
                ),
            )


def _tile_index(sky_deg: np.ndarray, angle_deg: float, reflected: bool, edges: np.ndarray) -> np.ndarray:
    """Row * per_side + column of the tile of each halo, per_side² outside the grid; small unsigned integers (n,)."""
    per_side = len(edges) - 1
    tile = np.empty(len(sky_deg), np.uint16 if per_side < 256 else np.uint32)
    for part in range(0, len(sky_deg), 1 << 20):  # in pieces that stay in the cache, for memory's sake
        turned = turn_plane(sky_deg[part : part + (1 << 20)], angle_deg, reflected)
        column, row = (np.searchsorted(edges, turned[:, axis], side="right") - 1 for axis in (0, 1))
        inside = (column >= 0) & (column < per_side) & (row >= 0) & (row < per_side)
        tile[part : part + (1 << 20)] = np.where(inside, row * per_side + column, per_side * per_side)
    return tile


def write_subfields(
    path: str | Path, halos: HaloCatalogue, section: SubfieldCuts, attributes: dict[str, object]
) -> Subfields:
    """Cut a light-cone and write `subfields/{seed}.h5`, one subfield after the other; return the table as written.

    section: the config's `subfields`; attributes: provenance and `lightcone`.
    """
    plan = plan_subfields(float(halos.geometry["field_deg"]), section)
    attributes = {
        **attributes,
        "subfields": plan.settings,
        "size_deg": plan.size_deg,
        "cosmology": asdict(halos.cosmology),
        "geometry": halos.geometry,
    }
    offsets = np.zeros(len(plan) + 1, np.int64)
    with write_hdf5(path, KIND, attributes) as file:
        for name in COLUMNS:
            shape = (0, 2) if name == "sky_deg" else (0,)
            dtype = np.float64 if name == "sky_deg" else np.float32
            dataset = file.create_dataset(
                name,
                shape=shape,
                maxshape=(None, *shape[1:]),
                dtype=dtype,
                chunks=(1 << 16, *shape[1:]),
                fletcher32=True,  # a checksum of each chunk: damage is an error
            )
            dataset.attrs["unit"] = UNITS[name]
        for index, part in cut_subfields(halos, plan):
            n = len(part.mass_msun)
            offsets[index + 1] = offsets[index] + n
            for name in COLUMNS:
                file[name].resize(offsets[index + 1], axis=0)
                file[name][offsets[index] :] = getattr(part, name)
        plan = replace(plan, offsets=offsets, cosmology=halos.cosmology, geometry=halos.geometry)
        for name in TABLE:
            file[name] = getattr(plan, name)
        file["rotation_deg"].attrs["unit"] = file["center_deg"].attrs["unit"] = "deg"
    return plan


@one_line("a subfields file")
def read_subfields(path: str | Path) -> Subfields:
    """Read the table of a subfields file; refuses a truncated or inconsistent one with one clear line."""
    with read_hdf5(path, KIND, (*TABLE, *COLUMNS)) as file:
        return _read_table(file, path)


def read_subfield_halos(path: str | Path) -> Iterator[tuple[int, SubfieldHalos]]:
    """Yield (index, halos) of each subfield of a file in turn, checked; one subfield in memory at a time."""
    with read_hdf5(path, KIND, (*TABLE, *COLUMNS)) as file:
        with reading(path, "a subfields file"):
            table = _read_table(file, path)
        for index in range(len(table)):
            rows = slice(table.offsets[index], table.offsets[index + 1])
            columns = {name: check_finite(file[name][rows], f"{path}: {name} of subfield {index}") for name in COLUMNS}
            if len(columns["mass_msun"]) and columns["mass_msun"].min() <= 0:
                raise problem(
                    f"{path}: mass_msun of subfield {index}",
                    "masses of 0 Msun or less",
                    "masses above 0",
                    "make it again",
                )
            yield index, SubfieldHalos(**columns)


def _read_table(file: h5py.File, path: str | Path) -> Subfields:
    """The table of an open subfields file, its rows and offsets checked against the halo columns."""
    table = {name: file[name][...] for name in TABLE}
    lengths = {name: file[name].shape[0] for name in COLUMNS}
    n, offsets = len(table["row"]), table["offsets"]
    if (
        any(len(table[name]) != n for name in TABLE if name != "offsets")
        or len(offsets) != n + 1
        or n == 0
        or offsets[0] != 0
        or np.any(np.diff(offsets) < 0)
        or set(lengths.values()) != {int(offsets[-1])}
    ):
        raise problem(
            path,
            f"{n} subfields, offsets ending at {offsets[-1] if len(offsets) else None} and columns of lengths {lengths}",
            "offsets that cover every column",
            "delete it and run make_subfields.py again",
        )
    return Subfields(
        **table,
        size_deg=float(attribute(file, "size_deg")),
        lightcone=int(attribute(file, "lightcone")),
        cosmology=Cosmology(**attribute(file, "cosmology")),
        settings=attribute(file, "subfields"),
        geometry=attribute(file, "geometry"),
    )
