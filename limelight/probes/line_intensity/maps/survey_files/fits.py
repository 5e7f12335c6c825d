"""A FITS cube of any survey with its σ, weights and mask: extensions of the same file, or files beside it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from limelight.errors import problem
from limelight.probes.line_intensity.maps.cube import Cube, steps_on_sky
from limelight.probes.line_intensity.maps.read_fits import choose_hdu, cube_from, is_cube, name_of, open_fits
from limelight.probes.line_intensity.maps.regrid import rebinned
from limelight.probes.line_intensity.maps.survey import EQUAL, SurveyMap
from limelight.probes.line_intensity.maps.survey_files.raw import MOST_VOXELS, Raw, Told, assemble

if TYPE_CHECKING:
    from astropy.io import fits

# What an extension holds, by its name, and σ as a power of it
KINDS = {
    "sigma": (re.compile(r"(^|[_\W\d])(rms|noise|sigma|std|stdev|err|error|unc)([_\W\d]|$)", re.IGNORECASE), 1.0),
    "variance": (re.compile(r"(^|[_\W\d])(var|variance)([_\W\d]|$)", re.IGNORECASE), 0.5),
    "weight": (re.compile(r"(^|[_\W\d])(ivar|weights?|wht)([_\W\d]|$)", re.IGNORECASE), -0.5),
}
MASK = re.compile(r"(^|[_\W\d])(mask|flags?)([_\W\d]|$)", re.IGNORECASE)
SHIFT = 0.1  # of a step, by which places may differ
HITS = re.compile(r"(^|[_\W\d])(n?hits?|nsamples?)([_\W\d]|$)", re.IGNORECASE)


def read_fits_survey(path: str | Path, told: Told) -> SurveyMap:
    """The survey map of a FITS cube. σ is of the same unit as the map unless its own BUNIT says otherwise."""
    with open_fits(path) as hdus:
        number = choose_hdu(hdus, told.hdu, path)
        hdu, others = hdus[number], [one for i, one in enumerate(hdus) if i != number and is_cube(one)]
        if np.prod(hdu.shape, dtype=float) > MOST_VOXELS:
            raise problem(path, f"{np.prod(hdu.shape, dtype=float):.3g} voxels", f"at most {MOST_VOXELS:.0e}", "cut it")
        header = hdu.header.copy()
        source = f"HDU {number} {name_of(hdu)}".strip()
        cube = _cube(hdu.data, header, path)
        sigma, words = _noise(others, told, header, hdu.shape, path)
        missing = _masks(others, told, header, hdu.shape, path)
        counted = [one for one in others if HITS.search(name_of(one)) and one.shape == hdu.shape]
        for one in counted[:1]:
            _check_axes(one, header, path)
        hits = next((np.asarray(one.data) for one in counted), None)
        planes = [None if one is None else _cube(one, header, path, raw=True) for one in (missing, hits)]
    notes = [words] if words else []
    noise = None if sigma is None else _cube(sigma, header, path)
    steps, over_field = steps_on_sky(cube, path)
    if over_field.min() < 0.98 or over_field.max() > 1.02:
        notes.append(f"pixels of {over_field.min():.3f} to {over_field.max():.3f} times the middle one's sides")
    factor = np.float32(1)
    if cube.unit == "Jy/sr":
        from limelight.probes.line_intensity.maps.units import intensity_per_kelvin

        factor = (1e6 / intensity_per_kelvin(cube.freq_ghz)).astype(np.float32)
        notes.append("intensities turned into brightness temperatures")
    values, noise = cube.values * factor, None if noise is None else noise.values * factor
    missing, hits = (None if one is None else one.values for one in planes)
    if missing is not None:
        values = np.where(missing == 0, values, np.nan)
    values, noise, hits, frequency = _equal_channels(values, noise, hits, cube.freq_edges_ghz, notes)
    nx, ny, _ = values.shape
    ra, dec = (float(value) for value in cube.sky.wcs_pix2world((nx - 1) / 2, (ny - 1) / 2, 0))
    if cube.beam_arcmin is None and told.beam_arcmin is None:
        notes.append("no beam in the header: none assumed (--beam changes it)")
    raw = Raw(
        values_uk=values,
        sigma_uk=noise,
        hits=hits,
        x_deg=(np.arange(nx) - (nx - 1) / 2) * steps[0, 0],
        y_deg=(np.arange(ny) - (ny - 1) / 2) * steps[1, 1],
        frequency_ghz=frequency,
        source=source,
        beam_arcmin=0.0 if cube.beam_arcmin is None else float(np.sqrt(np.prod(cube.beam_arcmin))),
        center_deg=(ra % 360, dec),
        notes=notes,
    )
    return assemble(raw, told, path)


def _equal_channels(
    values: np.ndarray, sigma: np.ndarray | None, hits: np.ndarray | None, edges: np.ndarray, notes: list[str]
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None, np.ndarray]:
    """(map, σ, hits, middles of channels): those of VOPT and WAVE, which differ in width, as means in as many of one width.

    Of a voxel that is missing, NaN, or without hits nothing is known of those that take in a part of it.
    """
    widths = np.diff(edges)
    if np.abs(widths / widths.mean() - 1).max() <= EQUAL / 2:
        return values, sigma, hits, (edges[1:] + edges[:-1]) / 2
    new = np.linspace(edges.min(), edges.max(), len(edges))
    notes.append(f"channels of {np.abs(widths).min():.4g} to {np.abs(widths).max():.4g} GHz brought to one width")
    if sigma is not None:
        values = np.where(np.isfinite(sigma), values, np.nan)
        variance = np.where(np.isfinite(sigma), sigma, 0).astype(np.float64) ** 2
        low, high = np.minimum(edges[1:], edges[:-1]), np.maximum(edges[1:], edges[:-1])
        share = (np.minimum(high, new[1:, None]) - np.maximum(low, new[:-1, None])).clip(min=0) / np.diff(new)[:, None]
        sigma = np.sqrt(variance @ (share**2).T)
    if hits is not None:
        hits = rebinned(np.where(hits > 0, hits, np.nan), edges, new)
    return rebinned(values, edges, new), sigma, hits, (new[1:] + new[:-1]) / 2


def _cube(data: np.ndarray, header: fits.Header, path: object, raw: bool = False) -> Cube:
    """The Cube of an image with the map's header; infinite values are missing. raw: the values as they are."""
    header = header.copy()
    if raw:
        header["BUNIT"] = "uK"
    data = np.asarray(data)
    if data.dtype.kind == "f" and np.isinf(data).any():
        data = np.where(np.isinf(data), np.nan, data)
    return cube_from(data, None, header, "", path)


def _noise(
    others: list, told: Told, header: fits.Header, shape: tuple[int, ...], path: object
) -> tuple[np.ndarray | None, str]:
    """(σ in the map's unit, where it comes from): of an extension, or of the file --noise."""
    where = path
    if told.noise is not None:
        where = told.noise
        with open_fits(where) as hdus:
            others = [one for one in hdus if is_cube(one)]
            if len(others) == 1:
                named = name_of(others[0]) or Path(where).name.partition(".fit")[0]
                return _as_sigma(others[0], _kind(named), header, shape, where), f"σ from {Path(where).name}"
            return _noise_of(others, header, shape, where)
    return _noise_of(others, header, shape, where)


def _noise_of(
    others: list, header: fits.Header, shape: tuple[int, ...], where: object
) -> tuple[np.ndarray | None, str]:
    for kind in KINDS:
        for one in others:
            if KINDS[kind][0].search(name_of(one)):
                return _as_sigma(one, kind, header, shape, where), f"σ from {name_of(one)}, a {kind}"
    return None, ""


def _kind(name: str) -> str | None:
    return next((kind for kind, (pattern, _) in KINDS.items() if pattern.search(name)), None)


def _as_sigma(hdu, kind: str | None, header: fits.Header, shape: tuple[int, ...], where: object) -> np.ndarray:
    """σ in the map's own unit, float64; infinite where a weight is 0."""
    if kind is None:
        expected = "a name that says σ (RMS, NOISE, SIGMA), variance (VAR) or weight (IVAR, WEIGHT)"
        raise problem(where, f"a cube called '{name_of(hdu)}'", expected, "set its EXTNAME, or rename the file")
    if hdu.shape != shape:
        raise problem(where, f"{kind} of shape {hdu.shape}", f"{shape}, the map's", "give the map's own")
    _check_axes(hdu, header, where)
    from astropy import units

    power, factor = KINDS[kind][1], 1.0
    own, mine = str(hdu.header.get("BUNIT", "")).strip(), units.Unit(str(header["BUNIT"]).strip())
    if own:
        try:
            factor = units.Unit(own).to(mine ** (1 / power))
        except (ValueError, units.UnitConversionError):
            expected = f"({mine})^{1 / power:g}, as {kind} of the map"
            raise problem(f"{where}: BUNIT", f"'{own}'", expected, "mend the header, or remove BUNIT") from None
    values = np.asarray(hdu.data, np.float64) * factor
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(values > 0, np.where(values > 0, values, 1) ** power, np.inf)


def _check_axes(hdu, header: fits.Header, where: object) -> None:
    """Refuse a cube whose header has other axes than the map's, as far as it says: shapes do not tell which way they run."""
    for axis in range(1, hdu.header["NAXIS"] + 1):
        theirs, ours = (_axis(one, axis) for one in (hdu.header, header))
        if theirs is None or ours is None:
            continue
        off = theirs[2] - ours[2]
        off = (off + 180) % 360 - 180 if ours[0].startswith("RA") else off
        if theirs[0] != ours[0] or abs(theirs[1] / ours[1] - 1) > EQUAL or abs(off) > SHIFT * abs(ours[1]):
            found, expected = ("{0} from {2:.6g} in steps of {1:.4g}".format(*one) for one in (theirs, ours))
            fix = "write it on the map's own axes, or leave the axes out of its header"
            raise problem(f"{where}: axis {axis}", found, f"{expected}, the map's", fix)


def _axis(header: fits.Header, number: int) -> tuple[str, float, float] | None:
    """(kind, step, where its first pixel lies) of an axis; None where a header does not say all of it."""
    values = [header.get(f"{key}{number}") for key in ("CTYPE", "CDELT", "CRVAL", "CRPIX")]
    if None in values:
        return None
    step, value, pixel = map(float, values[1:])
    return str(values[0]).strip(), step, value + (1 - pixel) * step


def _masks(others: list, told: Told, header: fits.Header, shape: tuple[int, ...], path: object) -> np.ndarray | None:
    """Not 0 where voxels are missing: an extension MASK or FLAGS, and the file --mask."""
    found = [one for one in others if MASK.search(name_of(one)) and not _kind(name_of(one))]
    arrays = [np.asarray(one.data) != 0 for one in found]
    for one in found:
        _check_axes(one, header, path)
    if told.mask is not None:
        with open_fits(told.mask) as hdus:
            cubes = [one for one in hdus if is_cube(one)]
            if len(cubes) != 1:
                raise problem(told.mask, f"{len(cubes)} cubes", "one mask", "give a file with one")
            _check_axes(cubes[0], header, told.mask)
            arrays.append(np.asarray(cubes[0].data) != 0)
    for one in arrays:
        if one.shape != shape:
            raise problem(
                told.mask or path, f"a mask of shape {one.shape}", f"{shape}, the map's", "give the map's own"
            )
    return np.any(arrays, axis=0).astype(np.float32) if arrays else None
