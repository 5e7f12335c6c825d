"""The map files: `maps/{model}/{seed}.h5` (fine) and `pooled/{model}/{seed}.h5`, one file a light-cone.

Labels, parameters and geometry stand in the same file as the maps, row for row. Both are written one map at a time.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from limelight.errors import problem
from limelight.files import attribute, check_finite, read_hdf5, write_hdf5
from limelight.probes.line_intensity.labels import EXTENSION_BINS, log10_lum_edges
from limelight.probes.line_intensity.lines.models import get_model
from limelight.probes.line_intensity.maps.grid import Grid, grid_from
from limelight.probes.line_intensity.maps.instrument import smooth
from limelight.probes.line_intensity.maps.paint import PaintedMap
from limelight.probes.line_intensity.maps.pooling import pool

MAPS, POOLED = "maps", "pooled"
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
CARRIED = ("unit", "labels", "line_model", "parameter_names", "lightcone", "cosmology")  # attributes of both kinds
EXAMPLES = 4  # maps of which a pooled file keeps one fine channel, for figures
ROW_UNITS = {"rotation_deg": "deg", "center_deg": "deg", "volume_mpc3": "Mpc^3"}


def write_maps(
    path: str | Path,
    painted: Iterable[PaintedMap],
    subfields,
    grid: Grid,
    line_model: str,
    settings: dict,
    labels: dict,
    attributes: dict[str, object],
) -> None:
    """Stream painted maps into a maps file, a chunk each.

    painted: every subfield's settings["draws"] maps (paint.paint_subfields); subfields: halos.subfields.Subfields;
    settings: the config's line_models[line_model]; attributes: provenance.
    """
    names = list(get_model(settings["model"], settings.get("parameters")).parameters)
    n = len(subfields) * settings["draws"]
    edges = log10_lum_edges(labels, EXTENSION_BINS)
    attributes = {
        **attributes,
        "grid": asdict(replace(grid, pool_pixels=1, pool_channels=1)),  # pooling is a later stage's business
        "unit": grid.unit,
        "labels": labels,
        "line_model": {"name": line_model, **settings},
        "parameter_names": names,
        "lightcone": subfields.lightcone,
        "cosmology": asdict(subfields.cosmology),
    }
    with write_hdf5(path, MAPS, attributes) as file:
        maps = file.create_dataset("maps", shape=(n, *grid.shape), dtype=np.float32, chunks=(1, *grid.shape))
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
                path, f"{done} painted maps", f"{n}: {settings['draws']} a subfield", "remake the subfields file"
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
def open_maps(path: str | Path, kind: str = MAPS) -> Iterator[tuple[h5py.File, Grid]]:
    """Yield a maps or pooled file with its grid, its rows checked; the maps themselves stay on disk until read."""
    with read_hdf5(path, kind, COMMON) as file:
        grid = grid_from(attribute(file, "grid"), f"{path}: grid")
        shape, n = file["maps"].shape, file["maps"].shape[0]
        expected = grid.shape if kind == MAPS else grid.pooled_shape
        lengths = {name: file[name].shape[0] for name in ROWS}
        if n == 0:
            raise problem(path, "no maps", "at least one map", "delete it and run its stage again")
        if shape[1:] != expected or set(lengths.values()) != {n} or file["maps"].dtype != np.float32:
            found = f"maps {shape} of {file['maps'].dtype}, rows {lengths}"
            raise problem(path, found, f"float32 maps (m, {expected}) and m rows each", "delete it and make it again")
        if file["n_above"].shape[1] != len(file["log10_lum_edges"]):
            found = f"{file['n_above'].shape[1]} counts a map for {len(file['log10_lum_edges'])} luminosity edges"
            raise problem(path, found, "one count an edge", "delete it and make it again")
        yield file, grid


def read_map(file: h5py.File, index: int) -> np.ndarray:
    """One map of an open file, float32, checked to be finite."""
    n = len(file["maps"])
    if not 0 <= index < n:
        raise problem(file.filename, f"{n} maps", f"map {index} among them", f"choose 0 to {n - 1}")
    return check_finite(file["maps"][index], f"{file.filename}: map {index}")


def pool_map(cube: np.ndarray, grid: Grid, beam_fwhm_arcmin: float) -> np.ndarray:
    """A map of fine pixels smoothed by the beam (0: none) and summed in blocks; its channels are fine or pooled already.

    Channels are pooled first: the beam is the same in all of them, and fewer are left to smooth.
    """
    cube = pool(cube, 1, cube.shape[-1] // grid.pooled_shape[-1])
    cube = smooth(cube, beam_fwhm_arcmin, grid.pixel_deg)
    return pool(cube, grid.pool_pixels, 1)


def write_pooled(
    path: str | Path,
    maps_path: str | Path,
    grid: Grid,
    beam_fwhm_arcmin: float,
    attributes: dict[str, object],
    show=iter,
) -> int:
    """Pool every map of a maps file into a pooled file; return how many. grid: the study's, with its pooling.

    show wraps the loop over maps (progress). Raises LimelightError when the file's grid is not the study's.
    """
    with open_maps(maps_path) as (fine, made):
        unpooled = replace(grid, pool_pixels=1, pool_channels=1)
        if made != unpooled:
            ours, theirs = asdict(unpooled), asdict(made)
            differ = ", ".join(f"{key} {theirs[key]}" for key in ours if ours[key] != theirs[key])
            expected = ", ".join(f"{key} {ours[key]}" for key in ours if ours[key] != theirs[key])
            raise problem(maps_path, f"maps with {differ}", f"the config's {expected}", "paint the maps again")
        n, examples = len(fine["maps"]), []
        pooled = np.empty((n, *grid.pooled_shape), np.float32)
        for i in show(range(n)):
            cube = read_map(fine, i)
            pooled[i] = pool_map(cube, grid, beam_fwhm_arcmin)
            if i < EXAMPLES:
                examples.append(cube[:, :, grid.channels // 2])
        attributes = {
            **attributes,
            **{name: attribute(fine, name) for name in CARRIED},
            "grid": asdict(grid),
            "beam_fwhm_arcmin": float(beam_fwhm_arcmin),
        }
        with write_hdf5(path, POOLED, attributes) as file:
            file["maps"] = pooled  # contiguous: read straight into the trainer's array
            file["maps"].attrs["unit"] = f"{grid.unit}, summed over {grid.pool_pixels}² × {grid.pool_channels} voxels"
            file["examples"] = np.stack(examples)
            file["examples"].attrs["unit"] = f"{grid.unit}, fine channel {grid.channels // 2}"
            _write_rows(file, {name: fine[name][...] for name in ROWS}, fine["log10_lum_edges"][...])
    return n


@dataclass
class PooledMaps:
    """The maps of one or more pooled files, m rows."""

    maps: np.ndarray  # (m, x, y, f) float32, block sums without noise
    n_above: np.ndarray  # (m, bins + 1 + EXTENSION_BINS) int64
    log10_lum_edges: np.ndarray  # (bins + 1 + EXTENSION_BINS,)
    volume_mpc3: np.ndarray  # (m,)
    lightcone: np.ndarray  # (m,) int
    subfield: np.ndarray  # (m,) int
    draw: np.ndarray  # (m,) int
    center_deg: np.ndarray  # (m, 2)
    line_model: np.ndarray  # (m,) names
    parameters: np.ndarray  # (m, p); NaN where a row's model has no such parameter
    parameter_names: list[str]
    examples: np.ndarray  # (k, px, px): a fine channel of the first k maps
    grid: Grid
    beam_fwhm_arcmin: float
    labels: dict
    cosmology: dict

    def __len__(self) -> int:
        return len(self.maps)

    @property
    def geometry(self) -> dict:
        """What a network is bound to: the grid with its pooling and unit, and the beam."""
        return {**asdict(self.grid), "beam_fwhm_arcmin": self.beam_fwhm_arcmin}


def read_pooled(paths: Sequence[str | Path]) -> PooledMaps:
    """Read pooled files into one array each; they must agree in grid, pooling, unit, beam, labels and cosmology.

    Raises LimelightError for a wrong, truncated, ragged or NaN-ridden file, and for one given twice.
    """
    if not len(paths):
        raise problem("pooled maps", "no files", "at least one pooled file", "give some")
    headers = [_read_header(path) for path in paths]
    first, seen = headers[0], {}
    for path, header in zip(paths, headers, strict=True):
        for name in ("grid", "beam_fwhm_arcmin", "labels", "cosmology"):
            if header[name] != first[name]:
                expected = f"{first[name]} as in {paths[0]}"
                raise problem(path, f"{name} {header[name]}", expected, "give files of one study")
        key = (header["line_model"], header["lightcone"])
        if key in seen:
            found = f"{key[0]} on light-cone {key[1]}, which {seen[key]} holds too"
            raise problem(path, found, "each light-cone once", "give each file once")
        seen[key] = path
    counts = [len(header["rows"]["subfield"]) for header in headers]
    maps = np.empty((sum(counts), *first["grid"].pooled_shape), np.float32)
    start = 0
    for path, n in zip(paths, counts, strict=True):
        part = maps[start : start + n]
        with read_hdf5(path, POOLED, ("maps",)) as file:
            file["maps"].read_direct(part)
        if not np.isfinite(part.sum(dtype=np.float64)):
            check_finite(part, f"{path}: maps")
        start += n
    names = list(dict.fromkeys(name for header in headers for name in header["parameter_names"]))
    parameters = np.full((len(maps), len(names)), np.nan)
    for stop, n, header in zip(np.cumsum(counts), counts, headers, strict=True):
        columns = [names.index(name) for name in header["parameter_names"]]
        parameters[stop - n : stop, columns] = header["rows"]["parameters"]
    rows = {
        name: np.concatenate([header["rows"][name] for header in headers])
        for name in ("n_above", "volume_mpc3", "subfield", "draw", "center_deg")
    }
    return PooledMaps(
        maps=maps,
        **rows,
        log10_lum_edges=first["edges"],
        lightcone=np.repeat([header["lightcone"] for header in headers], counts),
        line_model=np.repeat([header["line_model"] for header in headers], counts),
        parameters=parameters,
        parameter_names=names,
        examples=first["examples"],
        **{name: first[name] for name in ("grid", "beam_fwhm_arcmin", "labels", "cosmology")},
    )


def _read_header(path: str | Path) -> dict:
    """All of a pooled file but its maps."""
    with open_maps(path, POOLED) as (file, grid):
        rows = {name: file[name][...] for name in ROWS if name != "overlaps"}
        for name in ("volume_mpc3", "parameters"):
            check_finite(rows[name], f"{path}: {name}")
        return {
            "grid": grid,
            "rows": rows,
            "edges": file["log10_lum_edges"][...],
            "examples": file["examples"][...] if "examples" in file else np.empty((0, grid.pixels, grid.pixels)),
            "line_model": attribute(file, "line_model")["name"],
            **{
                name: attribute(file, name)
                for name in ("beam_fwhm_arcmin", "labels", "cosmology", "lightcone", "parameter_names")
            },
        }
