"""The file of fine maps, `maps/{model}/{seed}.h5`: one per line model and light-cone.

Labels, parameters and geometry stand in the same file as the maps, row for row. It is written one map at a time.
"""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from limelight.errors import problem, reading
from limelight.files import attribute, check_finite, read_hdf5, write_hdf5
from limelight.probes.line_intensity.config import Labels, MapDataset
from limelight.probes.line_intensity.labels import EXTENSION_BINS, log10_lum_edges
from limelight.probes.line_intensity.lines.models import get_model
from limelight.probes.line_intensity.maps.grid import Grid, grid_from
from limelight.section import plain

if TYPE_CHECKING:
    from limelight.probes.line_intensity.maps.paint import PaintedMap

KIND = "maps"
ROWS = (
    "subfield",
    "draw",
    "rotation_deg",
    "reflected",
    "center_deg",
    "overlaps",
    "parameters",
    "n_above",
    "volume_mpc3",
)
COMMON = (*ROWS, "log10_lum_edges", "maps")
ROW_UNITS = {"rotation_deg": "deg", "center_deg": "deg", "volume_mpc3": "Mpc^3"}


def write_maps(
    path: str | Path,
    painted: "Iterable[PaintedMap]",
    subfields,
    grid: Grid,
    line_model: str,
    settings: MapDataset,
    labels: Labels,
    attributes: dict[str, object],
) -> None:
    """Stream painted maps into a maps file, a chunk each.

    painted: every subfield's settings.draws maps (paint.paint_subfields); subfields: halos.subfields.Subfields;
    settings: the config's line_models[line_model]; attributes: provenance.
    """
    names = list(get_model(settings.model, settings.parameters).parameters)
    n = len(subfields) * settings.draws
    edges = log10_lum_edges(plain(labels), EXTENSION_BINS)
    attributes = {
        **attributes,
        "grid": asdict(replace(grid, pool_pixels=1, pool_channels=1)),  # pooling is a later stage's business
        "unit": grid.unit,
        "labels": plain(labels),
        "line_model": {"name": line_model, **plain(settings)},
        "parameter_names": names,
        "lightcone": subfields.lightcone,
        "cosmology": asdict(subfields.cosmology),
    }
    with write_hdf5(path, KIND, attributes) as file:
        shape, one = (n, *grid.shape), (1, *grid.shape)
        maps = file.create_dataset("maps", shape=shape, dtype=np.float32, chunks=one, fletcher32=True)
        maps.attrs["unit"] = grid.unit
        rows = {
            "subfield": np.empty(n, np.int64),
            "draw": np.empty(n, np.int64),
            "parameters": np.empty((n, len(names))),
            "n_above": np.empty((n, len(edges)), np.int64),
            "volume_mpc3": np.empty(n),
        }
        done = 0
        for done, one in enumerate(painted, start=1):
            maps[done - 1] = one.cube
            rows["subfield"][done - 1], rows["draw"][done - 1] = one.subfield, one.draw
            rows["parameters"][done - 1] = [one.parameters[name] for name in names]
            rows["n_above"][done - 1] = one.n_above
            rows["volume_mpc3"][done - 1] = one.volume_mpc3
        if done != n:
            raise problem(
                path, f"{done} painted maps", f"{n}: {settings.draws} per subfield", "remake the subfields file"
            )
        which = rows["subfield"]
        for name in ("rotation_deg", "reflected", "center_deg"):
            rows[name] = getattr(subfields, name)[which]
        rows["overlaps"] = subfields.overlaps[np.ix_(which, which)]
        _write_rows(file, rows, edges)


def _write_rows(file: h5py.File, rows: dict[str, np.ndarray], edges: np.ndarray) -> None:
    for name in ROWS:
        file[name] = rows[name]
        if name in ROW_UNITS:
            file[name].attrs["unit"] = ROW_UNITS[name]
    file["log10_lum_edges"] = edges
    file["log10_lum_edges"].attrs["unit"] = "log10 Lsun"


@contextlib.contextmanager
def open_maps(path: str | Path) -> Iterator[tuple[h5py.File, Grid]]:
    """Yield a maps file with its grid, its rows checked; the maps themselves stay on disk until read."""
    with read_hdf5(path, KIND, COMMON) as file:
        with reading(path, "a maps file"):
            grid = _checked_grid(file, path)
        yield file, grid


def _checked_grid(file: h5py.File, path: str | Path) -> Grid:
    """The grid of an open maps file, whose rows fit it and one another."""
    grid = grid_from(attribute(file, "grid"), f"{path}: grid")
    shape, n = file["maps"].shape, file["maps"].shape[0]
    lengths = {name: file[name].shape[0] for name in ROWS}
    if n == 0:
        raise problem(path, "no maps", "at least one map", "delete it and run its stage again")
    if shape[1:] != grid.shape or set(lengths.values()) != {n} or file["maps"].dtype != np.float32:
        found = f"maps {shape} of {file['maps'].dtype}, rows {lengths}"
        raise problem(path, found, f"float32 maps (m, {grid.shape}) and m rows each", "delete it and make it again")
    if file["n_above"].shape[1] != len(file["log10_lum_edges"]):
        found = f"{file['n_above'].shape[1]} counts a map for {len(file['log10_lum_edges'])} luminosity edges"
        raise problem(path, found, "one count an edge", "delete it and make it again")
    return grid


def read_map(file: h5py.File, index: int) -> np.ndarray:
    """One map of an open file, float32, checked to be finite."""
    n = len(file["maps"])
    if not 0 <= index < n:
        raise problem(file.filename, f"{n} maps", f"map {index} among them", f"choose 0 to {n - 1}")
    return check_finite(file["maps"][index], f"{file.filename}: map {index}")
