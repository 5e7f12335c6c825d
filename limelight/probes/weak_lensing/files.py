"""Other people's convergence maps: the table that names their files.

It is a CSV with one row per file and the columns file (relative to the table), omega_m, sigma8 and realisation, and dataset
where files are HDF5. Maps of one box have one realisation, so that training and test share no box.
"""

from collections import Counter
from pathlib import Path

import numpy as np

from limelight.errors import LimelightError, problem
from limelight.files import read_csv
from limelight.probes.weak_lensing.config import Maps
from limelight.probes.weak_lensing.map_files import read_maps
from limelight.probes.weak_lensing.spectra import PARAMETERS

COLUMNS = ("file", *PARAMETERS, "realisation")
MOST = {"omega_m": 1.0, "sigma8": 3.0}
RMS = (1e-5, 1.0)  # of κ without noise, whatever the pixels


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
        file = path.parent / str(table["file"][row])
        found = read_maps(file, name, data) * np.float32(data.files.scale)
        if not RMS[0] <= (rms := float(found.std(dtype=np.float64))) <= RMS[1]:
            words = f"values that spread by {rms:.3g}, times files.scale"
            raise problem(file, words, f"κ, which spreads by {RMS[0]:g} to {RMS[1]:g}", "set files.scale")
        maps.append(found)
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
        most = np.inf if counts else MOST[name]
        wrong = (values < 0) | (values != np.round(values)) if counts else (values <= 0) | (values > most)
        if wrong.any():
            expected = "whole numbers from 0" if counts else f"numbers above 0, up to {most:g}"
            raise problem(f"{path}: {name}", values[wrong][:1], expected, "mend it")
    if "dataset" in table and table["dataset"].dtype.kind == "f":  # names may be numbers
        table["dataset"] = np.array([f"{name:g}" for name in table["dataset"]])
    parts = table["dataset"] if "dataset" in table else [""] * len(table["file"])
    files = [(path.parent / str(name)).resolve() for name in table["file"]]  # whatever way leads there, links too
    rows = Counter(f"{file} {part}".strip() for file, part in zip(files, parts, strict=True))
    if again := [row for row, count in rows.items() if count > 1]:
        expected = "each once: a test must not hold maps that training saw"
        raise problem(f"{path}: file", f"{again[0]} in {rows[again[0]]} rows", expected, "leave the others out")
    return table
