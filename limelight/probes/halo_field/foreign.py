"""Boxes of another simulation: a periodic cube's density fields and halos from an HDF5 file (docs/halo_field.md).

Datasets, on the study's cells with axes (z, y, x): `lpt`, the overdensity that painters are shown, `evolved`, that of the
simulation, and `velocity_kms` (3, …), the mean velocity of the matter in each cell. `halos` (n, 7): x, y, z in comoving Mpc
from 0 to the side, velocities in km/s, masses in Msun; no factors of h. Attributes: side_mpc, redshift.
"""

from collections.abc import Iterator
from itertools import permutations, product
from pathlib import Path

import h5py
import numpy as np

from limelight.errors import problem, reading
from limelight.files import open_hdf5, refuse_unbounded
from limelight.probes.halo_field.boxes import Halos, PairedBox, cell_index
from limelight.probes.halo_field.config import Boxes

ATTRIBUTES = ("side_mpc", "redshift")
CLOSE = 1e-4  # how far an attribute may be from the config's, relative to it; redshifts: absolute
SOME = 100  # halos: of fewer nothing is said of units and axes
MOST_CELLS = 64  # along each side, at which axes are compared
FILLED = 0.9  # of the side: what places reach at least


def read_box(path: str | Path, data: Boxes) -> PairedBox:
    """The box of a file; LimelightError in one line for anything that does not fit the study."""
    shapes = {"lpt": (data.cells,) * 3, "evolved": (data.cells,) * 3, "velocity_kms": (3, *(data.cells,) * 3)}
    with open_hdf5(path) as file:
        with reading(path, f"numbers as attributes {' and '.join(ATTRIBUTES)}", "write them as numbers"):
            for name in ATTRIBUTES:
                expected, found = getattr(data, name), file.attrs.get(name)
                if found is None or not abs(float(found) - expected) <= CLOSE * max(1.0, expected):
                    where = f"{path}, attribute {name}"
                    raise problem(where, f"{found}", f"{expected:g}, as in the config", "correct one")
        fields = {name: _array(file, path, name, shape) for name, shape in shapes.items()}
        halos = _array(file, path, "halos", (None, 7)).astype(np.float64)
    for name in ("lpt", "evolved"):
        if fields[name].min() < -1 - CLOSE or abs(fields[name].mean()) > 0.01:
            found = f"{fields[name].min():.3g} at least, {fields[name].mean():.3g} on average"
            expected = "an overdensity: -1 at least, 0 on average"
            raise problem(f"{path}, {name}", found, expected, "divide by the mean, less 1")
    for found, expected, fix in doubts(halos, fields["evolved"], data):
        raise problem(f"{path}, halos", found, expected, fix)
    if found := turned_words(fields["lpt"], fields["evolved"]):
        expected = "both fields with axes (z, y, x), each upwards"
        raise problem(f"{path}, lpt", found, expected, "turn one: painters are shown it")
    box = Halos(halos[:, :3], halos[:, 3:6], halos[:, 6])
    return PairedBox(fields["lpt"], fields["evolved"], fields["velocity_kms"], box)


def doubts(halos: np.ndarray, evolved: np.ndarray, data: Boxes) -> Iterator[tuple[str, str, str]]:
    """(found, expected, what to do) of whatever is wrong about halos (n, 7): other units, other axes, too few."""
    if not len(halos):
        return
    place, mass, least = halos[:, :3], halos[:, 6], data.mass_edges_msun[0]
    if not (place.min() >= 0 and place.max() <= data.side_mpc):
        found = f"places from {place.min():.4g} to {place.max():.4g}"
        yield found, f"0 to {data.side_mpc:g} Mpc", "wrap them around the box, in Mpc without h"
    if not mass.min() > 0:
        yield f"a mass of {mass.min():g}", "Msun above 0", "leave such rows out"
    if not mass.max() >= least:
        expected = f"some above {least:.3g} Msun, where the first mass band begins"
        yield f"no mass above {mass.max():.3g}", expected, "give masses in Msun without h, or lower mass_edges_msun"
    if len(halos) < SOME:
        return
    if mass.min() > 2 * least:
        expected = f"all of them from {least:.3g} Msun on, where the first mass band begins"
        yield f"no mass below {mass.min():.3g}", expected, "give masses in Msun without h, or raise mass_edges_msun"
    if (reach := place.max(axis=0).min()) < FILLED * data.side_mpc:
        expected = f"ones in the whole of {data.side_mpc:g} Mpc"
        yield f"places up to {reach:.4g} along one axis", expected, "give places in Mpc without h"
    inside = np.minimum(place, np.nextafter(data.side_mpc, 0))
    counts = np.bincount(cell_index(inside, data.side_mpc, data.cells), minlength=data.cells**3)
    if found := turned_words(counts.reshape(evolved.shape), evolved):
        yield found, "places (x, y, z) and fields with axes (z, y, x)", "exchange or mirror the axes of one"


def turned_words(field: np.ndarray, evolved: np.ndarray) -> str:
    """What is said of a field (z, y, x) that follows `evolved` better with axes exchanged or mirrored; else nothing."""
    field, evolved = (blocks - blocks.mean() for blocks in (coarser(field), coarser(evolved)))
    size = np.sqrt(np.mean(field**2) * np.mean(evolved**2))
    if not size > 0:
        return ""
    ways = [(order, flips) for order in permutations(range(3)) for flips in product((1, -1), repeat=3)]
    own, *others = (
        float(np.mean(field.transpose(order)[tuple(slice(None, None, step) for step in flips)] * evolved) / size)
        for order, flips in ways
    )
    if max(others) <= own + 5 / len(field) ** 1.5:  # five σ of numbers that have nothing to do with one another
        return ""
    return f"a correlation of {own:.2f} with `evolved`, and of {max(others):.2f} with axes exchanged or mirrored"


def coarser(field: np.ndarray) -> np.ndarray:
    """Means of blocks of a cube, (m, m, m) with m at most MOST_CELLS where the cube's side allows: 48 ways are tried."""
    n = len(field)
    block = next(size for size in range(1, n + 1) if n % size == 0 and n // size <= MOST_CELLS)
    return field.reshape((n // block, block) * 3).mean(axis=(1, 3, 5), dtype=np.float64)


def _array(file: h5py.File, path: str | Path, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """A dataset of finite float32 numbers of a shape; None: any length."""
    wanted = " × ".join("n" if size is None else str(size) for size in shape)
    if name not in file:
        raise problem(path, f"no dataset {name}", f"one of {wanted}", "add it")
    found = file[name]
    fits = len(found.shape) == len(shape) and all(w in (None, n) for n, w in zip(found.shape, shape, strict=True))
    if not fits:
        raise problem(f"{path}, {name}", f"the shape {found.shape}", wanted, "put it on the study's cells")
    with reading(path, "boxes as docs/halo_field.md says"):
        refuse_unbounded(name, found)
        values = np.asarray(found[...], np.float32)
    if not np.isfinite(values).all():
        raise problem(f"{path}, {name}", "values that are not finite", "numbers", "mend them")
    return values
