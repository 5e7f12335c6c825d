"""A trained network on a user's own Q and U: maps in FITS in, κ or E in FITS out.

All that is known of the network stands in its model file; the study it was trained in is not needed.
"""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from astropy.io import fits
from astropy.wcs import WCS
from torch import nn

from limelight.data.shard import header_from
from limelight.errors import problem
from limelight.evaluation.images import calibrated_spread
from limelight.files import atomic_path
from limelight.probes.cmb_lensing.grid import Grid, eb_modes
from limelight.probes.cmb_lensing.probe import NAMES, PROBE, mask_of_geometry, noise_range
from limelight.probes.cmb_lensing.sky import taper
from limelight.training.losses import decoded_outputs

UNITS = {"uk": 1.0, "µk": 1.0, "k": 1e6, "mk": 1e3, "uk_cmb": 1.0, "k_cmb": 1e6}  # to µK
CONVENTIONS = ("COSMO", "IAU")
TOLERANCE = 1e-3  # of the pixels' side
ON_SKY, AT_CORNERS = 0.01, 0.03  # of their sides on the sky, in the middle and at the corners: a plane is no sphere
PLAIN = {"PC1_1": 1.0, "PC2_2": 1.0, "PC1_2": 0.0, "PC2_1": 0.0, "CROTA1": 0.0, "CROTA2": 0.0}  # axes along RA and Dec
TURNED = 1e-6  # by how much these may differ
MASK_TOLERANCE = 1e-3
NOISE_TOLERANCE = 0.2  # of the noise, beyond which a network's answer is of other maps
MOST_PIXELS = 4096
OF_E = (200, 1500)  # multipoles in which E is far above B, and above noise of MOST_NOISE
MOST_NOISE = 20.0  # µK arcmin
ODD_B = 0.5  # of the power of E there: of a sound map up to 0.3, of one whose U has the other sign 0.6 and more


def read_pair(paths: Sequence[str | Path], convention: str = "", unit: str = "") -> tuple[np.ndarray, fits.Header]:
    """`read_qu` of one file with Q and U, or of two: Q, then U, on the same pixels."""
    if len(paths) == 1:
        return read_qu(paths[0], convention, unit)
    found = [_image(path, (2,), "(x, y)") for path in paths]
    (q, header), (u, other) = found
    keys = ("NAXIS1", "NAXIS2", "CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CDELT1", "CDELT2", "BUNIT", "POLCCONV")
    if differing := [key for key in keys if header.get(key) != other.get(key)]:
        raise problem(paths[1], f"another {', '.join(differing)} than {paths[0]}", "one grid for Q and U", "match them")
    return _signed(np.stack([q, u]), header, paths[0], convention, unit), header


def read_qu(path: str | Path, convention: str = "", unit: str = "") -> tuple[np.ndarray, fits.Header]:
    """Q and U (2, y, x) in µK with the signs of grid.py, and the header, of a FITS image of Q, U or T, Q, U.

    What pixell's `enmap.write_map` writes is one, without unit and convention, which must then be given.
    The convention of its signs is that of the header (POLCCONV) or the one given. COSMO (HEALPix): Q > 0 from north to
    south, U > 0 from south-east to north-west; IAU: U has the other sign. Raises LimelightError for anything else.
    """
    maps, header = _image(path, (3,), "(x, y, 2 or 3) with Q, U or T, Q, U")
    _check_stokes(header, path)
    return _signed(maps[-2:], header, path, convention, unit), header


def _check_stokes(header: fits.Header, path: str | Path) -> None:
    """Refuse an axis of Stokes parameters whose last two are not Q and U (2 and 3 in FITS), such as I, Q or Q, U, V."""
    if str(header.get("CTYPE3", "")).strip().upper() != "STOKES":
        return
    steps = np.arange(1, header["NAXIS3"] + 1) - header.get("CRPIX3", 1.0)
    kinds = header.get("CRVAL3", 1.0) + steps * header.get("CDELT3", 1.0)
    if np.abs(kinds[-2:] - [2, 3]).max() > 0.01:
        found = f"Stokes parameters {', '.join(f'{kind:g}' for kind in kinds)}"
        raise problem(f"{path}: CRVAL3", found, "2, 3 (Q, U) as the last two", "write Q and U alone")


def _image(path: str | Path, axes: tuple[int, ...], expected: str) -> tuple[np.ndarray, fits.Header]:
    """The first image of so many axes in a FITS file, and its header."""
    try:
        with fits.open(path, memmap=True) as file:
            header = next((hdu.header for hdu in file if hdu.header.get("NAXIS", 0) in axes), None)
            sizes = [] if header is None else [header[f"NAXIS{i + 1}"] for i in range(header["NAXIS"])]
            if not sizes or max(sizes[:2]) > MOST_PIXELS or any(n not in (2, 3) for n in sizes[2:]):
                found = f"an image of {' × '.join(map(str, sizes))}" if sizes else "no image of so many axes"
                raise problem(path, found, f"{expected}, at most {MOST_PIXELS} pixels a side", "write the maps so")
            _refuse_turned(header, path)
            return np.asarray(next(hdu.data for hdu in file if hdu.header is header), np.float64), header
    except OSError as error:
        raise problem(path, f"no FITS file ({error})", "a FITS image", "check the path") from None


def _refuse_turned(header: fits.Header, path: str | Path) -> None:
    """Refuse axes that CDELT1 and CDELT2 alone do not tell: Q and U refer to north, and networks to the pixels' axes."""
    found = {key: header[key] for key, plain in PLAIN.items() if abs(header.get(key, plain) - plain) > TURNED}
    found |= {key: header[key] for key in ("CD1_1", "CD1_2", "CD2_1", "CD2_2") if key in header}
    if found:
        words = ", ".join(f"{key} {value:g}" for key, value in found.items())
        fix = "regrid the map; of axes that are not turned give CDELT1 and CDELT2 alone"
        raise problem(path, words, "axes along right ascension and declination", fix)


def _signed(maps: np.ndarray, header: fits.Header, path: str | Path, convention: str, unit: str) -> np.ndarray:
    """Q and U of a file in µK and in our signs."""
    told_unit = str(header.get("BUNIT", "")).strip().lower()
    if unit and told_unit and UNITS.get(told_unit) != UNITS[unit.lower()]:
        raise problem(f"{path}: BUNIT", f"'{told_unit}'", f"{unit}, as was asked for", "leave one of them out")
    if (told_unit or unit.lower()) not in UNITS:
        fix = "write the unit into the header, or give --unit"
        raise problem(f"{path}: BUNIT", f"'{header.get('BUNIT', '')}'", "uK or K", fix)
    if not np.isfinite(maps).all():
        raise problem(path, "pixels that are not finite", "numbers in every pixel", "cut out a patch without holes")
    told = str(header.get("POLCCONV", "")).strip().upper()
    if convention and told and told != convention:
        raise problem(f"{path}: POLCCONV", told, f"{convention}, as was asked for", "leave one of them out")
    if (told or convention) not in CONVENTIONS:
        fix = "write POLCCONV into the header, or give --convention"
        raise problem(f"{path}: POLCCONV", f"'{told}'", "COSMO or IAU: the sign of U hangs on it", fix)
    q, u = maps * UNITS[told_unit or unit.lower()]
    mirrored = (header.get("CDELT1", -1.0) > 0) != (header.get("CDELT2", 1.0) < 0)
    if ((told or convention) == "IAU") != mirrored:
        u = -u
    return np.stack([-q, u])


def check_map(maps: np.ndarray, header: fits.Header, info: dict, where: object) -> None:
    """Refuse maps (2, y, x) of other pixels than the network's, and networks of other probes."""
    if info["probe"] != PROBE.name:
        fix = "give another model.pt"
        raise problem(f"network {info['network']}", f"one of the probe {info['probe']}", f"one of {PROBE.name}", fix)
    geometry = info["header"]["geometry"]
    shape = (2, geometry["pixels"], geometry["pixels"])
    if maps.shape != shape:
        fix = "cut the map, or train a network on this size"
        raise problem(where, f"maps of {maps.shape[1:]} pixels", f"{shape[1:]}, as the network was trained", fix)
    for key in ("CDELT1", "CDELT2"):
        side = abs(float(header.get(key, 0.0))) * 60
        if abs(side / geometry["pixel_arcmin"] - 1) > TOLERANCE:
            expected = f"{geometry['pixel_arcmin']:g}, as the network was trained"
            raise problem(f"{where}: {key}", f"pixels of {side:g} arcmin", expected, "regrid the map")
    places = ("the middle", *["a corner"] * 4)
    for place, found in zip(places, sides_on_sky(header, shape[1:], where), strict=False):
        allowed = ON_SKY if place == places[0] else AT_CORNERS
        if np.abs(found / geometry["pixel_arcmin"] - 1).max() > allowed:
            words = f"pixels of {found[0]:.4g} × {found[1]:.4g} arcmin on the sky in {place} of the map"
            expected = f"{geometry['pixel_arcmin']:g} each way, as the network was trained"
            fix = "project the map onto a plane about its middle (TAN or ZEA)"
            raise problem(f"{where}: {header['CTYPE1']}", words, expected, fix)


def sides_on_sky(header: fits.Header, shape: tuple[int, int], where: object) -> np.ndarray:
    """Sides of a pixel along x and y, arcmin, in the middle of a map (y, x) and in its corners, (5, 2).

    (0, 2) of a header that does not say where its pixels lie on the sky. In many projections CDELT1 and CDELT2 are not what
    a pixel measures: one of plate carrée at 60 degrees of declination is half as wide.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            wcs = WCS(header, naxis=2)
    except Exception as error:  # noqa: BLE001 - wcslib's faults have many classes
        words = " ".join(str(error).split())[:200]
        raise problem(where, f"a WCS that astropy refuses ({words})", "places on the sky, or none", "mend it") from None
    if not wcs.has_celestial:
        return np.empty((0, 2))
    n_y, n_x = shape
    x, y = np.array([[(n_x - 1) / 2, 0, 0, n_x - 1, n_x - 1], [(n_y - 1) / 2, 0, n_y - 1, 0, n_y - 1]])
    sides = []
    for dx, dy in ((0.5, 0), (0, 0.5)):
        first, second = (wcs.pixel_to_world(x + sign * dx, y + sign * dy) for sign in (-1, 1))
        sides.append(first.separation(second).arcmin)
    return np.stack(sides, axis=1)


def check_noise(noise: float, info: dict) -> None:
    """Refuse another noise (µK arcmin) than the network's."""
    low, high = noise_range(info["observation"]["noise_uk_arcmin"])
    if not low - NOISE_TOLERANCE * max(low, 0.1) <= noise <= high + NOISE_TOLERANCE * max(high, 0.1):
        words = f"about {low:g}" if low == high else f"{low:g} to {high:g}"
        expected = f"{words} µK arcmin, as the network was trained with"
        raise problem("--noise", f"{noise:g} µK arcmin", expected, "train a network for this noise")


def masked_already(path: str | Path, info: dict) -> bool:
    """Whether maps that were multiplied with a mask, a FITS image (x, y) of 0 to 1, have the network's own taper on them.

    If not, the mask must be 1 wherever the network looks. Raises LimelightError for any other: it is nothing that the
    network knows, and its answer would be wrong without a word.
    """
    mask, _ = _image(path, (2,), "(x, y)")
    geometry = info["header"]["geometry"]
    shape = (geometry["pixels"], geometry["pixels"])
    if mask.shape != shape:
        raise problem(path, f"a mask of {mask.shape} pixels", f"{shape}, as the maps", "cut it as the maps")
    own = mask_of_geometry(geometry) if geometry["taper_deg"] else np.ones(shape)
    far = np.abs(mask - 1)[own > MASK_TOLERANCE].max() > MASK_TOLERANCE
    if far and np.abs(mask - own).max() > MASK_TOLERANCE:
        width = geometry["taper_deg"]
        taper = f"or the taper of {width:g} degrees that it knows" if width else "for this network knows no mask"
        fix = "train a network with a margin and this taper_deg"
        raise problem(path, f"{(mask < 1).mean():.0%} of pixels below 1", f"1 wherever it looks, {taper}", fix)
    return bool(far)


def doubts(maps: np.ndarray, info: dict, noise: float) -> list[str]:
    """Whether Q and U (2, y, x) have more B than a sky: with the sign of U of the other convention half of E is B."""
    grid = Grid(info["header"]["geometry"]["pixels"], info["header"]["geometry"]["pixel_arcmin"])
    few = (grid.ell >= OF_E[0]) & (grid.ell <= OF_E[1]) & (grid.usable > 0)
    if noise > MOST_NOISE or not few.any():
        return []
    e, b = eb_modes(grid, *maps * taper(grid, grid.npix * grid.pixel_arcmin / 240))
    share = (np.abs(b[few]) ** 2).sum() / max((np.abs(e[few]) ** 2).sum(), 1e-300)
    if share < ODD_B:
        return []
    return [
        f"B has {share:.2g} of the power of E: a sky has far less; is U of the other convention, or the noise larger?"
    ]


def shown(info: dict, maps: np.ndarray, masked: bool = False, bare: bool = False) -> torch.Tensor:
    """What a network sees of recorded maps (2, y, x) in µK, (1, channels, y, x); bare: before preprocessing."""
    network, header = PROBE.network(info["entry"]), header_from(info["header"])
    recorded = PROBE.presentation(network, info["observation"], header).with_noise(0.0)
    recorded = replace(recorded, mask=None) if masked else recorded
    recorded = recorded.bare() if bare else recorded
    return recorded.observe(torch.as_tensor(maps, dtype=torch.float32)[None], torch.Generator())


@torch.no_grad()
def reconstruct(
    module: nn.Module, info: dict, maps: np.ndarray, device: str = "cpu", masked: bool = False
) -> dict[str, np.ndarray]:
    """The answers of a network to Q and U (2, y, x) in µK as they were recorded, by name of the truth, (y, x) each.

    Nothing is added to the maps: their noise should be that which the network was trained with. A network trained under a
    mask sees them through it, unless they are `masked` already. One that answers its errors gives <name>_error as well, the
    calibrated standard deviation.
    """
    network, inputs = PROBE.network(info["entry"]), shown(info, maps, masked)
    outputs = module(inputs.to(device)).double().cpu().numpy()
    if not np.isfinite(outputs).all():
        raise problem("the network", "an answer that is not finite", "numbers", "check the map's unit and values")
    answers = dict(zip(network.target.maps, decoded_outputs(outputs, info["target"])[0], strict=True))
    spread = calibrated_spread(outputs, info)
    if spread is None:
        return answers
    return answers | {f"{name}_error": one for name, one in zip(network.target.maps, spread[0], strict=True)}


def write_maps(
    path: str | Path, answers: dict[str, np.ndarray], like: fits.Header, made: dict[str, str], modes: Sequence = ()
) -> None:
    """Write answers as one FITS image for each, on the pixels of the map they were read from; modes: of `mode_tables`."""
    kept = [key for key in like if key[:5] in ("CTYPE", "CRVAL", "CRPIX", "CDELT", "CUNIT") and key[-1] in "12"]
    hdus: list = [fits.PrimaryHDU()]
    for name, values in answers.items():
        hdu = fits.ImageHDU(values.astype(np.float32), name=name.upper())
        hdu.header.update({key: like[key] for key in kept})
        truth, _, error = name.partition("_")
        hdu.header["BUNIT"] = "uK" if truth == "e" else ""
        words = "unlensed E" if NAMES[truth] == "E" else "convergence"
        hdu.header["CONTENT"] = (f"error of {words}" if error else words, "what this image shows")
        hdus.append(hdu)
    hdus += modes
    for key, value in made.items():
        hdus[0].header[key] = value
    with atomic_path(path) as part:
        fits.HDUList(hdus).writeto(part, output_verify="exception")


def mode_tables(info: dict) -> list[fits.BinTableHDU]:
    """The error of modes, a table <NAME>_MODES for each map that a network answers with its errors; else none.

    Columns: L_MIN, L_MAX, and ERROR_POWER: the power (unit² steradian) of what is wrong, as on the validation maps.
    """
    if "spread" not in info:
        return []
    edges, tables = np.array(info["spread"]["edges"]), []
    for name, power in zip(info["entry"]["target"]["maps"], info["spread"]["power"], strict=True):
        columns = {"L_MIN": edges[:-1], "L_MAX": edges[1:], "ERROR_POWER": np.array(power)}
        made = [fits.Column(key, "D", array=values) for key, values in columns.items()]
        tables.append(fits.BinTableHDU.from_columns(made, name=f"{name.upper()}_MODES"))
    return tables
