"""A plain table of halos, CSV, HDF5, Parquet or .npz, with a map from our columns to its names and units in the config.

Columns x, y, z with optional vx, vy, vz; or, for a light-cone, ra, dec (degrees), redshift and optional redshift_observed.
With box_mpc and redshift it is a snapshot of a periodic box, else a light-cone around the observer.
"""

import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from limelight.cosmology import SPEED_OF_LIGHT_KMS, Cosmology
from limelight.errors import problem
from limelight.halos.config import Catalogue
from limelight.halos.formats import npz
from limelight.halos.formats.common import Foreign, need_column, need_redshift, reading, to_kms, to_mpc, to_msun
from limelight.halos.formats.text import check_header, read_columns, read_head, second_line
from limelight.section import plain

KEY = "lightcones.catalogue.columns"
BOX_COLUMNS, SKY_COLUMNS, SPEED_COLUMNS = ("x", "y", "z"), ("ra", "dec", "redshift"), ("vx", "vy", "vz")
OPTIONAL = ("redshift_observed",)


def read(path: Path, options: Catalogue, cosmology: Cosmology) -> Foreign:
    """Read a table. options: columns {ours: theirs}, units {position, velocity, mass}, box_mpc, redshift."""
    columns, units = options.columns, plain(options.units)
    known = (*BOX_COLUMNS, *SPEED_COLUMNS, "mass", *SKY_COLUMNS, *OPTIONAL)
    for name in columns:
        if name not in known:
            raise problem(f"{KEY}.{name}", "an unknown column", f"one of {', '.join(known)}", "rename it")
    on_sky = "ra" in columns or "dec" in columns
    required = (*(SKY_COLUMNS if on_sky else BOX_COLUMNS), "mass")
    for name in required:
        if name not in columns:
            given = ", ".join(columns) or "nothing"
            raise problem(KEY, f"no '{name}' (only {given})", f"names for {', '.join(required)}", "add it")
    moving = [name for name in SPEED_COLUMNS if name in columns]
    if moving and (on_sky or len(moving) != 3):
        expected = "none of vx, vy, vz beside ra and dec (give redshift_observed)" if on_sky else "all of vx, vy, vz"
        raise problem(KEY, f"only {', '.join(moving)}", expected, "add or remove columns")
    readers = {
        ".npz": _npz,
        ".h5": _hdf5,
        ".hdf5": _hdf5,
        ".parquet": _parquet,
        ".csv": _text,
        ".txt": _text,
        ".dat": _text,
    }
    if path.suffix not in readers:
        raise problem(path, f"ending '{path.suffix}'", f"one of {', '.join(readers)}", "rename or convert it")
    values = _columns(path, columns, readers[path.suffix])
    mass = to_msun(f"{path}: units.mass", values["mass"], units.get("mass", "Msun"), cosmology.h)
    notes = {"units": ", ".join(f"{name} in {text}" for name, text in units.items()) + f"; h = {cosmology.h:g}"}
    if on_sky:
        return _from_sky(values, mass, options, cosmology, notes)
    position = np.stack([values[name] for name in BOX_COLUMNS], axis=1)
    position = to_mpc(f"{path}: units.position", position, units.get("position", "Mpc"), cosmology.h)
    box = options.box_mpc
    redshift = None if box is None else need_redshift(path, options, "a table does not hold it")
    if moving:
        velocity = np.stack([values[name] for name in SPEED_COLUMNS], axis=1)
        speed_unit = units.get("velocity", "km/s")
        if speed_unit != "km/s" and redshift is None:
            raise problem(f"{path}: units.velocity", f"'{speed_unit}' on a light-cone", "km/s", "convert them first")
        velocity = to_kms(f"{path}: units.velocity", velocity, speed_unit, 1 / (1 + (redshift or 0.0)))
    else:
        velocity = np.zeros_like(position)
        notes["velocities"] = "none in the table: halos at rest, observed redshifts are cosmological"
    return Foreign(position, velocity, mass, redshift, box, values.get("redshift_observed"), notes=notes)


def _from_sky(values: dict, mass: np.ndarray, options: Catalogue, cosmology: Cosmology, notes: dict) -> Foreign:
    """Halos at (ra, dec, cosmological redshift) → positions around an observer who looks at catalogue.center_deg."""
    ra, dec = np.radians(values["ra"]), np.radians(values["dec"])
    ra0, dec0 = np.radians(options.center_deg)
    redshift = np.asarray(values["redshift"], dtype=np.float64)
    # unit vectors to the halo, dotted with west, north and the field's centre
    x = -np.cos(dec) * np.sin(ra - ra0)
    y = np.sin(dec) * np.cos(dec0) - np.cos(dec) * np.sin(dec0) * np.cos(ra - ra0)
    z = np.sin(dec) * np.sin(dec0) + np.cos(dec) * np.cos(dec0) * np.cos(ra - ra0)
    sight = np.stack([x, y, z], axis=1)
    observed = values.get("redshift_observed")
    speed = 0.0 * redshift if observed is None else SPEED_OF_LIGHT_KMS * (observed - redshift) / (1 + redshift)
    if observed is None:
        notes["velocities"] = "no redshift_observed in the table: halos at rest"
    distance = cosmology.comoving_distance(redshift)
    return Foreign(sight * distance[:, None], sight * speed[:, None], mass, redshift_observed=observed, notes=notes)


def _columns(path: Path, columns: dict[str, str], reader: Callable) -> dict[str, np.ndarray]:
    """{our name: values (n,)}; a name such as Group/GroupPos[0] picks a column of a 2-D array."""
    parts = {ours: re.fullmatch(r"(.+?)(?:\[(\d+)\])?", str(theirs)).groups() for ours, theirs in columns.items()}
    arrays = reader(path, sorted({name for name, _ in parts.values()}))
    values = {}
    for ours, (name, index) in parts.items():
        array = arrays[name]
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
            kind = getattr(array, "dtype", type(array).__name__)
            raise problem(f"{path}: {name}", f"values of type {kind}", "numbers", "mend the column")
        if array.ndim != (1 if index is None else 2) or (index is not None and int(index) >= array.shape[1]):
            expected = "one column of numbers; pick one of a 2-D array as name[0]"
            raise problem(f"{path}: {columns[ours]}", f"shape {array.shape}", expected, f"mend {KEY}.{ours}")
        values[ours] = array if index is None else array[:, int(index)]
    lengths = {name: len(array) for name, array in values.items()}
    if len(set(lengths.values())) != 1:
        raise problem(
            path, f"columns of lengths {lengths}", "columns of equal length", "mend the file or the column map"
        )
    return values


def _npz(path: Path, wanted: list[str]) -> dict[str, np.ndarray]:
    return npz.read_npz(path, tuple(wanted), f"mend {KEY}")


def _hdf5(path: Path, wanted: list[str]) -> dict[str, np.ndarray]:
    with reading(path, "HDF5"), h5py.File(path, "r") as file:
        there = []
        file.visititems(lambda name, item: there.append(name) if isinstance(item, h5py.Dataset) else None)
        for name in wanted:
            need_column(path, name, there, f"mend {KEY}")
        return {name: np.asarray(file[name]) for name in wanted}


def _parquet(path: Path, wanted: list[str]) -> dict[str, np.ndarray]:
    import pyarrow.parquet  # only this format needs it

    with reading(path, "Parquet"), pyarrow.parquet.ParquetFile(path) as file:
        for name in wanted:
            need_column(path, name, file.schema_arrow.names, f"mend {KEY}")
        table = file.read(columns=wanted, use_threads=False)
        return {name: table[name].to_numpy() for name in wanted}


def _text(path: Path, wanted: list[str]) -> dict[str, np.ndarray]:
    """Text with a line of column names (with or without #), separated by commas or white space."""
    comments, first = read_head(path)
    lines = comments or [first]
    named = (line for line in reversed(lines) if set(wanted) <= set(_names(line)))
    line = next(named, lines[-1])  # other comments may stand above and below the names
    there, delimiter = _names(line), "," if "," in line else None
    for name in wanted:
        need_column(path, name, there, f"mend {KEY}; the names stand in the line above the numbers")
    row = first if comments else second_line(path)
    check_header(path, there, wanted, row, delimiter)
    rows = read_columns(path, [there.index(name) for name in wanted], delimiter, skip=0 if comments else 1)
    return dict(zip(wanted, rows.T, strict=True))


def _names(line: str) -> list[str]:
    return [name.strip().strip('"') for name in line.split("," if "," in line else None)]
