"""A FITS cube of anyone's, read with astropy: which HDU, which axes, which unit, where on the sky."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from limelight.errors import LimelightError, problem
from limelight.probes.line_intensity.maps.cube import Cube

if TYPE_CHECKING:  # imported where it is used: files that are not FITS are read without its half second
    from astropy.io import fits
    from astropy.wcs import WCS

SUFFIXES = (".fits", ".fit", ".fts", ".fz")
NOT_A_MAP = re.compile(
    r"(^|[_\W\d])(rms|noise|sigma|std|stdev|err|error|unc|var|variance|ivar|weights?|wht|cov(erage)?|exp(osure)?|n?hits?|"
    r"nsamples?|mask|flags?|dq|beam|psf)([_\W\d]|$)",
    re.IGNORECASE,
)
A_MAP = re.compile(r"(^|[_\W\d])(map|signal|sci|data|cube|image|coadd|temperature|intensity)([_\W\d]|$)", re.IGNORECASE)
MOST_VOXELS = 2_000_000_000  # 8 GB of float32


def is_fits(path: str | Path) -> bool:
    """By its name (with .gz, .bz2 or .fz behind it or not), else by its first bytes."""
    path = Path(path)
    if path.suffix.lower() in (".gz", ".bz2") or {one.lower() for one in path.suffixes} & set(SUFFIXES):
        return True
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(9) == b"SIMPLE  ="


def read_fits(path: str | Path, hdu: str | None = None) -> Cube:
    """The cube of a FITS file, as it lies there: `cube.upright` turns it along the axes of training maps.

    Parameters
    ----------
    hdu
        Name or number of the HDU to take. Without it the only cube, or the only one that its EXTNAME (or BTYPE) calls a map;
        never one that it calls an RMS, a weight or the like.

    An extension MASK of the same shape marks voxels that are missing (those that are not 0). Raises LimelightError for
    what is no whole FITS file, and for other axes or units.
    """
    with open_fits(path) as hdus:
        number = choose_hdu(hdus, hdu, path)
        header = hdus[number].header.copy()
        data = np.asarray(hdus[number].data)
        mask = _mask(hdus, number, path)
        return cube_from(data, mask, header, _words(hdus, number), path)


@contextlib.contextmanager
def open_fits(path: str | Path) -> Iterator[fits.HDUList]:
    """Yield the HDUs of a FITS file; whatever is wrong with its bytes is one line that names the file."""
    from astropy.io import fits

    if not Path(path).is_file():
        raise problem(path, "no such file", "a FITS cube", "check the path")
    try:
        with warnings.catch_warnings(action="ignore"), fits.open(path, memmap=False, uint=False) as hdus:
            yield hdus
    except (LimelightError, MemoryError, PermissionError):
        raise
    except Exception as error:  # noqa: BLE001 - astropy, gzip, bz2 and wcslib answer damage with many kinds of exception
        words = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise problem(path, f"an unreadable file ({words})", "a whole FITS file", "copy or make it again") from None


def name_of(hdu) -> str:
    """What an HDU calls itself: EXTNAME, or what BTYPE says that its values are."""
    return " ".join(str(hdu.header.get(key, "")).strip() for key in ("EXTNAME", "BTYPE")).strip()


def _extname(hdu) -> str:
    return str(hdu.header.get("EXTNAME", "")).strip().lower()


def _words(hdus: fits.HDUList, number: int) -> str:
    name = name_of(hdus[number])
    return f"HDU {number}" + (f" '{name}'" if name else "") + f" of {len(hdus)}"


def is_cube(hdu) -> bool:
    long = [n for n in (hdu.header.get(f"NAXIS{i + 1}", 0) for i in range(hdu.header.get("NAXIS", 0))) if n != 1]
    return hdu.is_image and len(long) >= 3


def choose_hdu(hdus: fits.HDUList, asked: str | None, path: object) -> int:
    """Number of the HDU to read; see `read_fits`."""
    cubes = [number for number, hdu in enumerate(hdus) if is_cube(hdu)]
    listed = "; ".join(_words(hdus, number) for number in cubes)
    if asked is not None:
        chosen = [number for number in cubes if asked.lower() in (str(number), _extname(hdus[number]))]
        if len(chosen) != 1:
            raise problem(f"{path}: --hdu", f"'{asked}'", f"one of the cubes ({listed or 'none'})", "name one of them")
    else:
        maps = [number for number in cubes if not NOT_A_MAP.search(name_of(hdus[number]))]
        named = [number for number in maps if A_MAP.search(name_of(hdus[number]))]
        chosen = named if len(named) == 1 and 0 not in maps else maps  # a primary HDU without a name is the map
        if not cubes:
            raise problem(path, "no image of three axes", "a cube in RA, Dec and frequency", "export a cube")
        if not maps:
            fix = "give the map itself, or say --hdu if this is it"
            raise problem(path, f"only {listed}", "a map, not its noise, weights or mask", fix)
        if len(chosen) > 1 and chosen[0] != 0:
            raise problem(
                path, f"several cubes ({listed})", "to know which is the map", "say which: --hdu NAME or number"
            )
    hdu = hdus[chosen[0]]
    voxels = int(np.prod([int(hdu.header[f"NAXIS{i + 1}"]) for i in range(hdu.header["NAXIS"])], dtype=float))
    if voxels > MOST_VOXELS:
        raise problem(path, f"{voxels:.3g} voxels", f"at most {MOST_VOXELS:.0e}", "cut the cube")
    return chosen[0]


def _mask(hdus: fits.HDUList, number: int, path: object) -> np.ndarray | None:
    """The extension MASK that belongs to a cube, where there is one."""
    for hdu in hdus:
        if _extname(hdu) == "mask" and hdu is not hdus[number] and hdu.is_image:
            mask, shape = np.asarray(hdu.data), hdus[number].shape
            if mask.size and mask.shape != shape[-mask.ndim :]:
                found = f"a MASK of shape {mask.shape} for a cube of {shape}"
                raise problem(path, found, "one shape", "mend or remove the extension MASK")
            return np.broadcast_to(mask != 0, shape)
    return None


def cube_from(data: np.ndarray, mask: np.ndarray | None, header: fits.Header, source: str, path: object) -> Cube:
    """The Cube of an image (NumPy's axis order) and its header."""
    if data.dtype.kind not in "fiub":
        raise problem(path, f"values of type {data.dtype}", "numbers", "mend or remake the file")
    from astropy.wcs import WCS, WCSSUB_LATITUDE, WCSSUB_LONGITUDE

    rest_ghz = rest_frequency_ghz(header, path)
    header = header.copy()
    if rest_ghz is not None:  # as wcslib reads it, and once
        header.remove("RESTFREQ", ignore_missing=True)
        header["RESTFRQ"] = 1e9 * rest_ghz
    try:
        wcs = WCS(header)
    except Exception as error:  # noqa: BLE001 - wcslib's faults have many classes
        words = " ".join(str(error).split())[:200]
        raise problem(path, f"a WCS that astropy refuses ({words})", "RA, Dec, frequency", "mend it") from None
    sky_axes, axis_f = cube_axes(wcs, data.T.shape, path)
    order = [*sky_axes, axis_f]
    arrays = [None if one is None else _three_axes(one.T, order) for one in (data, mask)]
    values, unit = _in_known_unit(arrays[0], header, path)
    values = np.ascontiguousarray(values, dtype=np.float32)
    if np.isinf(values).any():
        found = f"{int(np.isinf(values).sum())} of {values.size} values infinite"
        raise problem(path, found, "numbers, or NaN where there are no data", "mend or remake the file")
    missing = np.isnan(values) if arrays[1] is None else np.isnan(values) | arrays[1]
    block, channels = (int(header.get(key, 1)) for key in ("LLPOOLPX", "LLPOOLCH"))
    if min(block, channels) < 1:
        raise problem(path, f"LLPOOLPX {block}, LLPOOLCH {channels}", "1 or more", "mend the header")
    return Cube(
        values=values,
        missing=missing if missing.any() else None,
        unit=unit,
        pixel_deg=(np.nan, np.nan),  # measured by `upright`
        freq_edges_ghz=frequency_edges_ghz(wcs, values.shape[2], path),
        rest_freq_ghz=rest_ghz,
        beam_arcmin=beam_of(header, path),
        pool_pixels=block,
        pool_channels=channels,
        sky=wcs.sub([WCSSUB_LONGITUDE, WCSSUB_LATITUDE]),
        source=source,
    )


def cube_axes(wcs: WCS, lengths: tuple[int, ...], path: object) -> tuple[tuple[int, int], int]:
    """((axes of RA and Dec), axis of frequency), from 0 in FITS order; all others must have length 1 (Stokes I, say)."""
    types = [str(name) for name in wcs.wcs.ctype]
    expected = "RA, DEC and a spectral axis (FREQ, VRAD, VOPT, VELO or WAVE)"
    found = f"CTYPE {', '.join(types) or 'absent'}"
    sky, spectral = (wcs.wcs.lng, wcs.wcs.lat), wcs.wcs.spec
    if min(sky) < 0 or spectral < 0 or not types[sky[0]].startswith("RA"):
        raise problem(path, found, expected, "regrid it to these axes")
    for axis in set(range(len(lengths))) - {*sky, spectral}:
        if lengths[axis] != 1:
            found = f"an axis {types[axis] or axis + 1} of length {lengths[axis]}"
            raise problem(path, found, f"no axis beside {expected}", "give one cube of it (of Stokes, I)")
        stokes = wcs.wcs.crval[axis] + (1 - wcs.wcs.crpix[axis]) * wcs.wcs.cdelt[axis]
        if types[axis] == "STOKES" and abs(stokes - 1) > 0.5:
            raise problem(path, f"Stokes parameter {stokes:g}", "1, which is I", "give the intensity")
    matrix = wcs.pixel_scale_matrix
    across = matrix[np.ix_([*sky], [spectral])], matrix[np.ix_([spectral], [*sky])]
    if any(np.abs(part).max() > 0 for part in across):
        raise problem(path, "axes of sky and frequency mixed (PC or CD)", "separate ones", "regrid the cube")
    return sky, spectral


def _three_axes(array: np.ndarray, order: list[int]) -> np.ndarray:
    """An array in FITS order with its three axes in this order; the others, of length 1, left out."""
    others = [axis for axis in range(array.ndim) if axis not in order]
    return array.transpose([*order, *others]).reshape([array.shape[axis] for axis in order])


def rest_frequency_ghz(header: fits.Header, path: object) -> float | None:
    """RESTFRQ or its alias RESTFREQ in GHz, as a number or as text, or c over RESTWAV; None where the header is silent."""
    from astropy import units

    found = {}
    for key in ("RESTFRQ", "RESTFREQ", "RESTWAV"):
        if header.get(key) in (None, "", 0):
            continue
        try:
            value = float(header[key])
        except (TypeError, ValueError):
            raise problem(f"{path}: {key}", repr(header[key]), "a number of Hz (or m)", "mend the header") from None
        if value > 0:
            found[key] = units.Quantity(value, "m" if key == "RESTWAV" else "Hz").to_value("GHz", units.spectral())
    if found and max(found.values()) > min(found.values()) * 1.001:
        words = ", ".join(f"{key} {value:.6g} GHz" for key, value in found.items())
        raise problem(path, words, "one rest frequency", "remove the wrong one")
    return next(iter(found.values()), None)


def frequency_edges_ghz(wcs: WCS, channels: int, path: object) -> np.ndarray:
    """Edges of the channels (f + 1,) GHz, from any spectral axis that wcslib can turn into frequency."""
    from astropy.wcs import WCSSUB_SPECTRAL

    spectral = wcs.sub([WCSSUB_SPECTRAL])
    given = str(spectral.wcs.ctype[0])
    try:
        if not given.startswith("FREQ"):
            spectral.wcs.sptr("FREQ-???")
        pixels = np.arange(channels + 1) + 0.5
        edges = spectral.wcs.p2s(pixels[:, None], 1)["world"][:, 0] / 1e9
    except Exception as error:  # noqa: BLE001 - wcslib's faults have many classes
        words = " ".join(str(error).split())[:160]
        fix = "set RESTFRQ, or regrid the cube to frequency"
        raise problem(path, f"an axis {given} without frequencies ({words})", "one in frequency", fix) from None
    steps = np.diff(edges)
    if not (np.isfinite(edges).all() and (edges > 0).all() and ((steps > 0).all() or (steps < 0).all())):
        found = f"an axis {given} of frequencies {edges[0]:.4g} to {edges[-1]:.4g} GHz"
        raise problem(path, found, "frequencies above 0 that rise or fall", "mend the header's spectral axis")
    return edges


def beam_of(header: fits.Header, path: object) -> tuple[float, float] | None:
    """FWHM (long, short) in arcmin: limelight's own LLBEAM, or BMAJ and BMIN in degrees; None where they are absent."""
    own = "LLBEAM" in header
    names = ("LLBEAM",) if own else ("BMAJ", "BMIN")
    given = [header[name] for name in names if header.get(name) is not None]
    if not given or (not own and "BMAJ" not in header):
        return None
    try:
        axes = [float(one) * (1 if own else 60) for one in given]
    except (TypeError, ValueError):
        axes = [np.nan]
    if own and axes[0] >= 0:
        return axes[0], axes[0]
    if not own and max(axes) <= 0:  # 0 and -1 stand for an unknown beam
        return None
    if not min(axes) >= 0:
        found, expected = ", ".join(map(repr, given)), f"{'arcmin' if own else 'degrees'} of 0 or more"
        raise problem(f"{path}: {', '.join(names)}", found, expected, "mend the header")
    return max(axes), min(axes) or max(axes)


def _in_known_unit(cube: np.ndarray, header: fits.Header, path: object) -> tuple[np.ndarray, str]:
    """The cube in µK or Jy/sr, whichever its BUNIT can be turned into by a mere factor."""
    from astropy import units

    bunit, beam = str(header.get("BUNIT", "")).strip(), beam_of(header, path)
    try:
        given = units.Unit(bunit) if bunit else None
    except ValueError:
        given = None
    if given is not None and beam and beam[1] > 0 and given.is_equivalent(units.Jy / units.beam):
        solid_angle = np.pi / (4 * np.log(2)) * beam[0] * beam[1] * units.arcmin**2
        factor = given.to(units.Jy / units.beam) / solid_angle.to_value(units.sr)
        return cube * factor, "Jy/sr"
    for name, unit in (("uK", units.uK), ("Jy/sr", units.Jy / units.sr)):
        if given is not None and given.is_equivalent(unit):
            factor = given.to(unit)
            return (cube if factor == 1 else cube * factor), name
    expected = "K, mK, uK, or Jy/sr, MJy/sr (Jy/beam with BMAJ and BMIN)"
    raise problem(path, f"BUNIT '{bunit}'", expected, "convert the cube and set BUNIT")
