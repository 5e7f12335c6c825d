"""Files of convergence maps: FITS, npy, HDF5, and the binary files of kappaTNG; flat maps, or the whole sky.

A file holds one flat map (n, n), a stack (m, n, n), or a sky in HEALPix' order of rings (12 nside²), out of which squares
are cut that do not overlap. Flat maps are averaged over squares of `files.average` pixels and cut into squares of `pixels`.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from limelight.errors import problem, reading
from limelight.files import check_finite, open_hdf5, refuse_unbounded
from limelight.probes.weak_lensing.config import Maps

LARGEST = 4e9  # bytes of one file's maps
TOLERANCE = 0.01  # of the pixels' side
EXPECTED = "maps of κ as FITS, npy, HDF5 or kappaTNG's .dat"
ENDINGS = ".fits, .npy, .h5, .hdf5 or .dat"
APART = 0.79  # of the spacing of HEALPix' pixels: no two of their centres are nearer
RAYS = 4  # along each side of a pixel that is cut out of a sky


def read_maps(path: Path, dataset: str, data: Maps) -> np.ndarray:
    """Maps (m, pixels, pixels) float32 of one file. Nothing in it is executed, and sizes are looked at before it is read.

    Of formats, FITS alone may say how large its pixels are; others than pixel_arcmin are refused.
    """
    if not path.is_file():
        raise problem(path, "no such file", EXPECTED, "mend the table, or put the file there")
    ending = path.suffix.lower()
    if ending == ".npy":
        with reading(path, EXPECTED):
            found = np.load(path, mmap_mode="r", allow_pickle=False)
            check_shape(path, found.shape, found.dtype.kind, data)
            values = np.array(found, np.float32)
    elif ending in (".h5", ".hdf5"):
        values = _of_hdf5(path, dataset, data)
    elif ending in (".fits", ".fit", ".fts"):
        values = _of_fits(path, data)
    elif ending == ".dat":
        values = _of_binary(path, data)
    else:
        raise problem(path, f"the ending {ending or 'of none'}", ENDINGS, "convert the file")
    values = check_finite(values, path)
    if values.ndim == 1:
        values = squares_of_sky(values, data)
    return cut(values.reshape(-1, *values.shape[-2:]), data)


def check_shape(path: Path, shape: tuple[int, ...], kind: str, data: Maps) -> None:
    """Refuse an array that is neither a sky nor one or more flat maps of so many pixels, or that is too large to read."""
    side = data.pixels * data.files.average
    flat = len(shape) in (2, 3) and shape[-1] == shape[-2] and shape[-1] >= side and shape[-1] % side == 0
    if not (flat or is_sky(shape)) or kind not in "fiu":
        expected = f"numbers of shape (n, n) or (maps, n, n), n a multiple of {side}, or a sky of 12 nside²"
        fix = "set data.pixels and files.average, or cut the maps"
        raise problem(path, f"an array of shape {shape} and kind '{kind}'", expected, fix)
    if 4 * float(np.prod(shape, dtype=np.float64)) > LARGEST:
        raise problem(path, f"an array of shape {shape}", f"at most {LARGEST:.0g} bytes in a file", "split it")
    if is_sky(shape) and (arcmin := spacing_arcmin(nside_of(shape[0]))) > data.pixel_arcmin:
        found = f"a sky with {arcmin:.2g}' between its pixels"
        raise problem(path, found, f"at most data.pixel_arcmin, {data.pixel_arcmin:g}'", "set larger pixels")


def cut(maps: np.ndarray, data: Maps) -> np.ndarray:
    """Averages of flat maps (m, n, n) in squares of `pixels`, row by row."""
    fine, n, few = data.files.average, maps.shape[-1] // data.files.average, data.pixels
    maps = maps.reshape(-1, n, fine, n, fine).mean(axis=(2, 4)) if fine > 1 else maps
    return maps.reshape(-1, n // few, few, n // few, few).swapaxes(2, 3).reshape(-1, few, few)


def is_sky(shape: tuple[int, ...]) -> bool:
    """Whether an array can be a map of the whole sky."""
    return len(shape) == 1 and shape[0] == 12 * nside_of(shape[0]) ** 2 and nside_of(shape[0]).bit_count() == 1


def nside_of(pixels: int) -> int:
    return int(round((pixels / 12) ** 0.5))


def spacing_arcmin(nside: int) -> float:
    """Root of the area of a HEALPix pixel."""
    return float(np.degrees((np.pi / 3) ** 0.5 / nside) * 60)


def squares_of_sky(sky: np.ndarray, data: Maps) -> np.ndarray:
    """Squares (m, n, n) of tangent planes about the pixels of the finest HEALPix grid about which they do not overlap.

    At most data.maps of them, spread over the sky; n is `pixels` times `files.average`. A pixel is the mean of RAYS² rays.
    """
    from ducc0.healpix import Healpix_Base  # of the extra `cmb`

    n = data.pixels * data.files.average
    side = np.radians(data.pixels * data.pixel_arcmin / 60)
    across = 60 * np.degrees(2 * np.arctan(side / 2**0.5))
    if across > APART * spacing_arcmin(1):
        found = f"squares of {np.degrees(side):.3g}°"
        expected = "at most 34°: larger ones would overlap on the sky"
        raise problem("data.pixels", found, expected, "take fewer or smaller pixels")
    coarse = 1
    while APART * spacing_arcmin(2 * coarse) >= across:
        coarse *= 2
    count = min(data.maps, 12 * coarse**2)
    fine = Healpix_Base(nside_of(len(sky)), "RING")
    offset = ((np.arange(RAYS * n) + 0.5) / (RAYS * n) - 0.5) * side
    found = np.empty((count, n, n), np.float32)
    for i, middle in enumerate(Healpix_Base(coarse, "RING").pix2vec(np.arange(count) * (12 * coarse**2) // count)):
        east = np.array([-middle[1], middle[0], 0.0])
        east /= np.linalg.norm(east)
        rays = middle + offset[:, None, None] * np.cross(middle, east) + offset[:, None] * east
        found[i] = sky[fine.vec2pix(rays)].reshape(n, RAYS, n, RAYS).mean(axis=(1, 3))
    return found


def _of_hdf5(path: Path, dataset: str, data: Maps) -> np.ndarray:
    with reading(path, EXPECTED), open_hdf5(path) as file:
        if not dataset or dataset not in file or not hasattr(file[dataset], "shape"):
            found = f"no dataset '{dataset}'" if dataset else "no name of its dataset"
            raise problem(path, found, f"one of {', '.join(list(file)[:20])}", "name it in the table's column dataset")
        check_shape(path, file[dataset].shape, file[dataset].dtype.kind, data)
        refuse_unbounded(dataset, file[dataset])
        return file[dataset][...].astype(np.float32)


def _of_fits(path: Path, data: Maps) -> np.ndarray:
    from astropy.io import fits  # a second of import that only these files need

    with reading(path, EXPECTED), fits.open(path, memmap=True) as units:
        images = [unit for unit in units if unit.is_image and unit.header.get("NAXIS", 0) >= 2]
        if not images:
            raise problem(path, "no image", "a FITS image of κ", "give another file")
        header = images[0].header
        shape = tuple(int(header[f"NAXIS{i}"]) for i in range(header["NAXIS"], 0, -1))
        check_shape(path, shape, "f", data)
        sides = pixel_sides(header)
        if sides is not None and np.abs(sides * data.files.average / data.pixel_arcmin - 1).max() > TOLERANCE:
            wide, high = sides * data.files.average
            found = f"pixels of {wide:.4g} × {high:.4g} arcmin"
            raise problem(path, found, f"data.pixel_arcmin, {data.pixel_arcmin:g}", "set it, or regrid the maps")
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


def _of_binary(path: Path, data: Maps) -> np.ndarray:
    """The first record of a kappaTNG file: n as int32, κ (n, n) as float64, n again."""
    with reading(path, EXPECTED), open(path, "rb") as file:
        n = int(np.fromfile(file, "<i4", 1)[0])
        check_shape(path, (n, n), "f", data)
        values, again = np.fromfile(file, "<f8", n * n), np.fromfile(file, "<i4", 1)
        if len(again) == 0 or again[0] != n:
            raise problem(path, f"no {n} behind {n} × {n} numbers", "a whole file of kappaTNG", "copy the file again")
        return values.reshape(n, n).astype(np.float32)
