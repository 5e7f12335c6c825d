"""Readers of other people's convergence maps: FITS, npy and HDF5 files that a table names.

The table is a CSV with one row per file and the columns file (relative to the table), omega_m, sigma8 and realisation, and
dataset where files are HDF5. A file holds one map (n, n) or several (m, n, n), all of the study's number of pixels. Maps of
one box have one realisation, so that training and test share no box.
"""

import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from limelight.errors import LimelightError, problem, reading
from limelight.files import check_finite, open_hdf5, read_csv, refuse_unbounded
from limelight.probes.weak_lensing.config import Maps
from limelight.probes.weak_lensing.spectra import PARAMETERS

COLUMNS = ("file", *PARAMETERS, "realisation")
LARGEST = 4e9  # bytes of one file's maps
TOLERANCE = 0.01  # of the pixels' side
EXPECTED = "maps of κ as FITS, npy or HDF5"


def read_realisation(data: Maps, realisation: int) -> tuple[np.ndarray, np.ndarray]:
    """(maps (m, n, n) float32, θ (m, 2)) of a realisation, at most data.maps of them, in the order of the table.

    Raises LimelightError for a table without it, and for files that are missing, damaged, or of another shape.
    """
    path = Path(data.files.table)
    table = read_table(path)
    rows = np.flatnonzero(table["realisation"] == realisation)
    if not len(rows):
        known = np.unique(table["realisation"]).astype(int).tolist()
        found = f"no row of realisation {realisation}"
        raise problem(path, found, f"one of {known[:20]}", "name others in `realisations`, or complete the table")
    maps: list[np.ndarray] = []
    theta: list[np.ndarray] = []
    for row in rows:
        name = str(table["dataset"][row]) if "dataset" in table else ""
        found = read_maps(path.parent / str(table["file"][row]), name, data.pixels, data.pixel_arcmin)
        maps.append(found * np.float32(data.files.scale))
        theta.append(np.tile([table[key][row] for key in PARAMETERS], (len(found), 1)))
    return np.concatenate(maps)[: data.maps], np.concatenate(theta)[: data.maps].astype(np.float64)


def files_of(data: Maps, realisation: int) -> list[str]:
    """The table and the files that it names of a realisation; of one that cannot be read, which the job tells, it alone."""
    path = Path(data.files.table)
    try:
        table = read_table(path)
    except LimelightError:
        return [str(path)]
    names = table["file"][table["realisation"] == realisation]
    return [str(path), *dict.fromkeys(str(path.parent / str(name)) for name in names)]


def read_table(path: Path) -> dict[str, np.ndarray]:
    """The columns of the table; LimelightError where one is missing or makes no sense."""
    table = read_csv(path, "table of convergence maps")
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise problem(path, f"no column {missing[0]}", f"columns {', '.join(COLUMNS)}", "add it")
    for name in (*PARAMETERS, "realisation"):
        values = table[name]
        if values.dtype.kind != "f" or not np.isfinite(values).all():
            raise problem(f"{path}: {name}", "text or empty fields", "a number in every row", "mend the table")
        counts = name == "realisation"
        wrong = (values < 0) | (values != np.round(values)) if counts else values <= 0
        if wrong.any():
            expected = "whole numbers from 0" if counts else "numbers above 0"
            raise problem(f"{path}: {name}", values[wrong][:1], expected, "mend it")
    parts = table["dataset"] if "dataset" in table else [""] * len(table["file"])
    files = [(path.parent / str(name)).resolve() for name in table["file"]]  # whatever way leads there, links too
    rows = Counter(f"{file} {part}".strip() for file, part in zip(files, parts, strict=True))
    if again := [row for row, count in rows.items() if count > 1]:
        expected = "each once: a test must not hold maps that training saw"
        raise problem(f"{path}: file", f"{again[0]} in {rows[again[0]]} rows", expected, "leave the others out")
    return table


def read_maps(path: Path, dataset: str, pixels: int, pixel_arcmin: float) -> np.ndarray:
    """Maps (m, pixels, pixels) float32 of one file. Nothing in it is executed, and sizes are looked at before it is read.

    Of formats, FITS alone may say how large its pixels are; others than pixel_arcmin are refused.
    """
    if not path.is_file():
        raise problem(path, "no such file", EXPECTED, "mend the table, or put the file there")
    ending = path.suffix.lower()
    if ending == ".npy":
        with reading(path, EXPECTED):
            found = np.load(path, mmap_mode="r", allow_pickle=False)
            shape, kind = found.shape, found.dtype.kind
            check_shape(path, shape, kind, pixels)
            values = np.array(found, np.float32)
    elif ending in (".h5", ".hdf5"):
        values = _of_hdf5(path, dataset, pixels)
    elif ending in (".fits", ".fit", ".fts"):
        values = _of_fits(path, pixels, pixel_arcmin)
    else:
        raise problem(path, f"the ending {ending or 'of none'}", ".fits, .npy, .h5 or .hdf5", "convert the file")
    return check_finite(values.reshape(-1, pixels, pixels), path)


def check_shape(path: Path, shape: tuple[int, ...], kind: str, pixels: int) -> None:
    """Refuse an array that is no stack of square maps of so many pixels, or that is too large to read."""
    if len(shape) not in (2, 3) or shape[-2:] != (pixels, pixels) or kind not in "fiu":
        expected = f"numbers of shape ({pixels}, {pixels}) or (maps, {pixels}, {pixels})"
        raise problem(
            path, f"an array of shape {shape} and kind '{kind}'", expected, "set data.pixels, or cut the maps"
        )
    if 4 * float(np.prod(shape, dtype=np.float64)) > LARGEST:
        raise problem(path, f"{shape[0]} maps", f"at most {LARGEST:.0g} bytes in a file", "split it")


def _of_hdf5(path: Path, dataset: str, pixels: int) -> np.ndarray:
    with reading(path, EXPECTED), open_hdf5(path) as file:
        if not dataset or dataset not in file or not hasattr(file[dataset], "shape"):
            found = f"no dataset '{dataset}'" if dataset else "no name of its dataset"
            raise problem(path, found, f"one of {', '.join(list(file)[:20])}", "name it in the table's column dataset")
        check_shape(path, file[dataset].shape, file[dataset].dtype.kind, pixels)
        refuse_unbounded(dataset, file[dataset])
        return file[dataset][...].astype(np.float32)


def _of_fits(path: Path, pixels: int, pixel_arcmin: float) -> np.ndarray:
    from astropy.io import fits  # a second of import that only these files need

    with reading(path, EXPECTED), fits.open(path, memmap=True) as units:
        images = [unit for unit in units if unit.is_image and unit.header.get("NAXIS", 0) >= 2]
        if not images:
            raise problem(path, "no image", "a FITS image of κ", "give another file")
        header = images[0].header
        shape = tuple(int(header[f"NAXIS{i}"]) for i in range(header["NAXIS"], 0, -1))
        check_shape(path, shape, "f", pixels)
        sides = pixel_sides(header)
        if sides is not None and np.abs(sides / pixel_arcmin - 1).max() > TOLERANCE:
            found = f"pixels of {sides[0]:.4g} × {sides[1]:.4g} arcmin"
            raise problem(path, found, f"data.pixel_arcmin, {pixel_arcmin:g}", "set it, or regrid the maps")
        return np.array(images[0].data, np.float32)


def pixel_sides(header: Mapping) -> np.ndarray | None:
    """Sides (2,) of the pixels in arcmin, as a FITS header has them; None where it does not say it in angles."""
    from astropy import units
    from astropy.wcs import WCS
    from astropy.wcs.utils import proj_plane_pixel_scales

    with warnings.catch_warnings(action="ignore"):
        wcs = WCS(header, naxis=2)
    scales = [abs(one) * unit for one, unit in zip(proj_plane_pixel_scales(wcs), wcs.wcs.cunit, strict=True)]
    if not all(scale.unit.is_equivalent(units.deg) for scale in scales):
        return None
    return np.array([scale.to_value(units.arcmin) for scale in scales])
