"""Cubes to and from FITS with a world coordinate system, and a user's own cube read for a trained network.

On the sky a subfield lies in its light-cone's turned frame, whose axis is put at RA = Dec = 0: the tangent point of the
RA---TAN / DEC--TAN plane, so that the WCS is exact for every subfield.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import h5py
import numpy as np
from astropy import units
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning
from astropy.wcs import WCS, FITSFixedWarning, InconsistentAxisTypesError, SingularMatrixError

from limelight.data.shard import KIND as SHARD
from limelight.data.shard import open_shard, read_header
from limelight.errors import problem
from limelight.files import FORMAT_VERSION, atomic_path, attribute, check_finite, read_hdf5
from limelight.probes.line_intensity.maps.files import KIND as MAPS
from limelight.probes.line_intensity.maps.files import open_maps, read_map
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.pooling import pool
from limelight.probes.line_intensity.shards import PROBE, grid_of

BUNIT = {"uK": "uK", "Jy/sr": "Jy/sr"}
EQUAL = 1e-6  # relative difference up to which pixels count as square


def wcs_header(grid: Grid, center_deg: np.ndarray, pooled: bool) -> fits.Header:
    """FITS header of a map: RA, Dec (TAN about the light-cone's axis) and frequency in Hz, of fine or pooled voxels."""
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
    with atomic_path(output) as part:
        hdu.writeto(part, overwrite=True)


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

    if Path(path).is_file() and h5py.is_hdf5(path):
        with h5py.File(path, "r") as file:
            if int(file.attrs.get("limelight_format", 0)) == FORMAT_VERSION:
                return str(file.attrs["limelight_kind"])
    with read_hdf5(path, MAPS):  # says what is wrong with it
        return MAPS


def read_cube(path: str | Path, index: int = 0) -> tuple[np.ndarray, dict]:
    """A cube (x, y, f) float32 and its geometry, from FITS or from a limelight maps file or shard (its map `index`).

    The geometry is as in the header of a network's training maps: size_deg, pixels, channels, freq_min_ghz, freq_max_ghz,
    unit, pool_pixels, pool_channels (how many fine voxels each voxel of the file sums; pixels and channels count fine
    voxels) and, where the file says so, rest_freq_ghz and beam_fwhm_arcmin. x grows with right ascension, y with
    declination, channel 0 is the lowest frequency. Raises LimelightError for other axes, units, shapes, or NaN.
    """
    if Path(path).suffix.lower() in (".fits", ".fit", ".fts", ".gz"):
        return read_fits(path)
    with _opened(path) as (_, _, read, grid, beam):
        return read(index), {**asdict(grid), "beam_fwhm_arcmin": beam}


def pool_as_trained(cube: np.ndarray, geometry: dict, trained: dict) -> tuple[np.ndarray, dict]:
    """A cube of read_cube summed as a network's training maps were, with what its file is silent about taken from them.

    Only a fine cube is summed; nothing else is made to fit (evaluation.predict.check_geometry judges the result). A beam is
    never applied: a measured cube has had its own.
    """
    silent = {
        key: trained[key] for key in ("rest_freq_ghz", "beam_fwhm_arcmin") if key not in geometry and key in trained
    }
    geometry = {**geometry, **silent}
    for axis, lengths in (("pixels", cube.shape[:2]), ("channels", cube.shape[2:])):
        block = trained[f"pool_{axis}"]
        if geometry[f"pool_{axis}"] != 1 or any(n % block for n in lengths):
            continue
        cube = pool(cube, block, 1) if axis == "pixels" else pool(cube, 1, block)
        geometry[f"pool_{axis}"] = block
    return cube, geometry


def read_fits(path: str | Path) -> tuple[np.ndarray, dict]:
    """read_cube for FITS: the first image of three axes, of which one is RA, one Dec and one frequency."""
    if not Path(path).is_file():
        raise problem(path, "no such file", "a FITS cube", "check the path")
    try:
        with (
            warnings.catch_warnings(action="ignore", category=AstropyUserWarning),
            fits.open(path, memmap=False) as hdus,
        ):
            hdu = next((h for h in hdus if h.is_image and h.header.get("NAXIS", 0) >= 3), None)
            if hdu is None:
                raise problem(path, "no image of three axes", "a cube in RA, Dec and frequency", "export a cube")
            data, header = np.asarray(hdu.data), hdu.header.copy()
    except (OSError, TypeError, ValueError) as error:
        raise problem(path, f"an unreadable file ({error})", "a whole FITS file", "copy or make it again") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        try:
            wcs = WCS(header)
        except (ValueError, InconsistentAxisTypesError, SingularMatrixError) as error:
            raise problem(path, f"a WCS that astropy refuses ({error})", "RA, Dec, frequency", "mend it") from None
    cube = data.T  # FITS order: axis i of the array is axis i + 1 of the header
    while cube.ndim > 3 and cube.shape[-1] == 1:  # an empty Stokes axis
        cube = cube[..., 0]
    if cube.ndim != 3:
        raise problem(path, f"axes of lengths {data.T.shape}", "three axes", "give one cube without further axes")
    types = [name.split("-")[0].upper() for name in wcs.wcs.ctype][:3]
    if sorted(types) != ["DEC", "FREQ", "RA"]:
        expected = "RA, DEC and FREQ"
        raise problem(path, f"CTYPE {', '.join(wcs.wcs.ctype) or 'absent'}", expected, "regrid it to these axes")
    matrix = wcs.pixel_scale_matrix[:3, :3]
    if np.any(np.abs(matrix - np.diag(np.diag(matrix))) > EQUAL * np.abs(np.diag(matrix)).min()):
        raise problem(path, "axes turned against RA and Dec", "axes along them", "turn or regrid the cube")
    order = [types.index(name) for name in ("RA", "DEC", "FREQ")]
    cube, steps = cube.transpose(order), np.diag(matrix)[order]
    for axis, step in enumerate(steps):
        if step < 0:
            cube = np.flip(cube, axis)
    pixel_x, pixel_y, width_hz = (abs(float(step)) for step in steps)  # deg, deg, Hz: wcslib's units
    if cube.shape[0] != cube.shape[1] or abs(pixel_x - pixel_y) > EQUAL * pixel_x:
        found = f"{cube.shape[0]} × {cube.shape[1]} pixels of {pixel_x:g}° × {pixel_y:g}°"
        raise problem(path, found, "a square of square pixels", "cut or regrid the cube")
    nf = cube.shape[2]
    axis = order[2]
    reference, place = float(wcs.wcs.crval[axis]), float(wcs.wcs.crpix[axis])
    ends = [reference + (channel - place) * float(steps[2]) for channel in (1, nf)]
    block, channels = int(header.get("LLPOOLPX", 1)), int(header.get("LLPOOLCH", 1))
    cube, unit = _in_known_unit(cube, str(header.get("BUNIT", "")), path)
    geometry = {
        "size_deg": pixel_x * cube.shape[0],
        "pixels": cube.shape[0] * block,
        "channels": nf * channels,
        "freq_min_ghz": (min(ends) - width_hz / 2) / 1e9,
        "freq_max_ghz": (max(ends) + width_hz / 2) / 1e9,
        "unit": unit,
        "pool_pixels": block,
        "pool_channels": channels,
    }
    if header.get("RESTFRQ", 0) > 0:
        geometry["rest_freq_ghz"] = header["RESTFRQ"] / 1e9
    if "LLBEAM" in header:
        geometry["beam_fwhm_arcmin"] = float(header["LLBEAM"])
    return check_finite(np.ascontiguousarray(cube, dtype=np.float32), path), geometry


def _in_known_unit(cube: np.ndarray, bunit: str, path: str | Path) -> tuple[np.ndarray, str]:
    """The cube in µK or Jy/sr, whichever its BUNIT can be turned into by a mere factor."""
    try:
        given = units.Unit(bunit.strip()) if bunit.strip() else None
    except ValueError:
        given = None
    for name, unit in (("uK", units.uK), ("Jy/sr", units.Jy / units.sr)):
        if given is not None and given.is_equivalent(unit):
            factor = given.to(unit)
            return (cube if factor == 1 else cube * factor), name
    expected = "K, mK, uK, or Jy/sr, MJy/sr"
    raise problem(path, f"BUNIT '{bunit}'", expected, "convert the cube and set BUNIT")
