"""Cubes to and from FITS with a world coordinate system, and a user's own cube read for a trained network.

On the sky a subfield lies in its light-cone's turned frame, whose axis is put at RA = Dec = 0: the tangent point of the
RA---TAN / DEC--TAN plane, so that the WCS is exact for every subfield.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from limelight.data.shard import KIND as SHARD
from limelight.data.shard import open_shard, read_header
from limelight.errors import problem
from limelight.files import FORMAT_VERSION, atomic_path, attribute, check_finite, open_hdf5, read_hdf5
from limelight.probes.line_intensity.maps.cube import Cube, cube_of, upright
from limelight.probes.line_intensity.maps.files import KIND as MAPS
from limelight.probes.line_intensity.maps.files import open_maps, read_map
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.read_fits import is_fits, read_fits
from limelight.probes.line_intensity.shards import PROBE, grid_of

if TYPE_CHECKING:  # half a second to import, which limelight's own files do without
    from astropy.io import fits

BUNIT = {"uK": "uK", "Jy/sr": "Jy/sr"}


def wcs_header(grid: Grid, center_deg: np.ndarray, pooled: bool) -> fits.Header:
    """FITS header of a map: RA, Dec (TAN about the light-cone's axis) and frequency in Hz, of fine or pooled voxels."""
    from astropy.io import fits

    block, channels = (grid.pool_pixels, grid.pool_channels) if pooled else (1, 1)
    header = fits.Header()
    pixel = grid.pixel_deg * block
    for axis, name, center in ((1, "RA---TAN", center_deg[0]), (2, "DEC--TAN", center_deg[1])):
        low = float(center) - grid.size_deg / 2
        header[f"CTYPE{axis}"], header[f"CUNIT{axis}"], header[f"CRVAL{axis}"] = name, "deg", 0.0
        header[f"CDELT{axis}"], header[f"CRPIX{axis}"] = pixel, 0.5 - low / pixel  # the axis x = 0, counted from 1
    width = 1e9 * grid.channel_ghz * channels
    header["CTYPE3"], header["CUNIT3"], header["CRPIX3"] = "FREQ", "Hz", 1.0
    header["CRVAL3"], header["CDELT3"] = 1e9 * grid.freq_min_ghz + width / 2, width
    header["RESTFRQ"] = (1e9 * grid.rest_freq_ghz, "Hz, of the line")
    header["SPECSYS"], header["RADESYS"] = "TOPOCENT", "ICRS"
    header["BUNIT"] = BUNIT[grid.unit]
    header["LLPOOLPX"] = (block, "fine pixels summed along each sky axis")
    header["LLPOOLCH"] = (channels, "fine channels summed")
    return header


def export_map(source: str | Path, index: int, output: str | Path) -> None:
    """Write one map of a maps file or a shard as FITS, axes (RA, Dec, frequency) in FITS order, float32."""
    from astropy.io import fits

    with _opened(source) as (file, place, read, grid, beam):
        cube = read(index)
        header = wcs_header(grid, file[f"{place}center_deg"][index], pooled=bool(place))
        made_from = attribute(file, "made_from")["line_model"] if place else attribute(file, "line_model")
        header["OBJECT"] = (made_from["name"], "line model")
        for key, name in (("LLSUBFLD", "subfield"), ("LLDRAW", "draw")):
            header[key] = int(file[f"{place}{name}"][index])
        cone = file["group"][index] if place else attribute(file, "lightcone")
        header["LLCONE"] = (int(cone), "light-cone")
        header["LLROTATE"] = (float(file[f"{place}rotation_deg"][index]), "deg, turn of the light-cone")
        header["LLREFLEC"] = (bool(file[f"{place}reflected"][index]), "light-cone mirrored in x after the turn")
        header["LLBEAM"] = (beam, "arcmin, FWHM of the beam; 0 for none")
        header["LLHASH"] = (str(attribute(file, "config_hash")), "of the settings")
        header["ORIGIN"] = f"limelight {attribute(file, 'limelight_version')}"
    hdu = fits.PrimaryHDU(np.ascontiguousarray(cube.T), header)  # (x, y, f) is FITS's own order, NumPy's reversed
    made = io.BytesIO()  # so that a full disk fails in one plain write, which says so
    hdu.writeto(made)
    with atomic_path(output) as part:
        part.write_bytes(made.getbuffer())


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[tuple[h5py.File, str, Callable[[int], np.ndarray], Grid, float]]:
    """A maps file or a shard of line maps: (file, where its rows' columns stand, a reader of one map, grid, beam)."""
    kind = kind_of(path)
    if kind == MAPS:
        with open_maps(path) as (file, grid):
            yield file, "", lambda index: read_map(file, index), grid, 0.0
        return
    if kind != SHARD:
        raise problem(path, f"kind '{kind}'", "a maps file, a shard, or FITS", "give the file of the right stage")
    with open_shard(path) as file:
        header = read_header(file)
        if header.probe != PROBE:
            raise problem(path, f"a shard of the probe {header.probe}", f"one of {PROBE}", "give another file")
        grid, beam = grid_of(header.geometry)

        def read(index: int) -> np.ndarray:
            n = len(file["x"])
            if not 0 <= index < n:
                raise problem(path, f"{n} maps", f"map {index} among them", f"choose 0 to {n - 1}")
            return check_finite(file["x"][index, 0], f"{path}: map {index}")

        yield file, "rows/", read, grid, beam


def kind_of(path: str | Path) -> str:
    """The kind of a limelight HDF5 file; LimelightError when it is none."""
    with contextlib.suppress(OSError, RuntimeError, KeyError, ValueError):  # damage: what follows says so
        if Path(path).is_file() and h5py.is_hdf5(path):
            with open_hdf5(path) as file:
                if int(file.attrs.get("limelight_format", 0)) == FORMAT_VERSION:
                    return str(file.attrs["limelight_kind"])
    with read_hdf5(path, MAPS):  # says what is wrong with it
        return MAPS


def read_cube(path: str | Path, index: int = 0, hdu: str | None = None) -> Cube:
    """A cube from FITS (its `hdu`; see read_fits), or from a limelight maps file or shard (its map `index`).

    x grows with right ascension, y with declination, channel 0 is the lowest frequency. Raises LimelightError for other
    axes, units or shapes.
    """
    if is_fits(path):
        if index:
            raise problem(path, f"--map {index} of a FITS file", "--hdu for FITS, --map for HDF5", "give the other")
        return upright(read_fits(path, hdu), path)
    if hdu is not None:
        raise problem(
            path, f"--hdu {hdu} of a file that is no FITS", "--hdu for FITS, --map for HDF5", "give the other"
        )
    with _opened(path) as (_, _, read, grid, beam):
        return cube_of(read(index), grid, beam, f"map {index}")
