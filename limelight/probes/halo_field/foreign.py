"""Boxes of another simulation: a periodic cube's density fields and halos from an HDF5 file (docs/halo_field.md).

Datasets, on the study's cells with axes (z, y, x): `lpt`, the overdensity that painters are shown, `evolved`, that of the
simulation, and `velocity_kms` (3, …), the mean velocity of the matter in each cell. `halos` (n, 7): x, y, z in comoving Mpc
from 0 to the side, velocities in km/s, masses in Msun; no factors of h. Attributes: side_mpc, redshift.
"""

from pathlib import Path

import h5py
import numpy as np

from limelight.errors import problem
from limelight.files import open_hdf5
from limelight.probes.halo_field.boxes import Halos, PairedBox
from limelight.probes.halo_field.config import Boxes

ATTRIBUTES = ("side_mpc", "redshift")
CLOSE = 1e-4  # how far an attribute may be from the config's, relative to it; redshifts: absolute


def read_box(path: str | Path, data: Boxes) -> PairedBox:
    """The box of a file; LimelightError in one line for anything that does not fit the study."""
    shapes = {"lpt": (data.cells,) * 3, "evolved": (data.cells,) * 3, "velocity_kms": (3, *(data.cells,) * 3)}
    with open_hdf5(path) as file:
        for name in ATTRIBUTES:
            expected = getattr(data, name)
            found = file.attrs.get(name)
            if found is None or not abs(float(found) - expected) <= CLOSE * max(1.0, expected):
                raise problem(f"{path}, attribute {name}", f"{found}", f"{expected:g}, as in the config", "correct one")
        fields = {name: _array(file, path, name, shape) for name, shape in shapes.items()}
        halos = _array(file, path, "halos", (None, 7)).astype(np.float64)
    for name in ("lpt", "evolved"):
        if fields[name].min() < -1 - CLOSE or abs(fields[name].mean()) > 0.01:
            found = f"{fields[name].min():.3g} at least, {fields[name].mean():.3g} on average"
            raise problem(
                f"{path}, {name}", found, "an overdensity: -1 at least, 0 on average", "divide by the mean, less 1"
            )
    place, mass = halos[:, :3], halos[:, 6]
    if len(halos) and not (place.min() >= 0 and place.max() <= data.side_mpc):
        found = f"places from {place.min():.4g} to {place.max():.4g}"
        raise problem(
            f"{path}, halos", found, f"0 to {data.side_mpc:g} Mpc", "wrap them around the box, in Mpc without h"
        )
    if len(halos) and not mass.min() > 0:
        raise problem(f"{path}, halos", f"a mass of {mass.min():g}", "Msun above 0", "leave such rows out")
    return PairedBox(fields["lpt"], fields["evolved"], fields["velocity_kms"], Halos(place, halos[:, 3:6], mass))


def _array(file: h5py.File, path: str | Path, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """A dataset of finite float32 numbers of a shape; None: any length."""
    wanted = " × ".join("n" if size is None else str(size) for size in shape)
    if name not in file:
        raise problem(path, f"no dataset {name}", f"one of {wanted}", "add it")
    found = file[name]
    fits = len(found.shape) == len(shape) and all(w in (None, n) for n, w in zip(found.shape, shape, strict=True))
    if not fits:
        raise problem(f"{path}, {name}", f"the shape {found.shape}", wanted, "put it on the study's cells")
    values = np.asarray(found[...], np.float32)
    if not np.isfinite(values).all():
        raise problem(f"{path}, {name}", "values that are not finite", "numbers", "mend them")
    return values
