"""A trained network on a user's own Q and U: maps in FITS in, κ or E in FITS out.

All that is known of the network stands in its model file; the study it was trained in is not needed.
"""

from pathlib import Path

import numpy as np
import torch
from astropy.io import fits
from torch import nn

from limelight.data.shard import header_from
from limelight.errors import problem
from limelight.files import atomic_path
from limelight.probes.cmb_lensing.probe import NAMES, PROBE
from limelight.training.losses import decoded_outputs

UNITS = {"uk": 1.0, "µk": 1.0, "k": 1e6, "mk": 1e3, "uk_cmb": 1.0, "k_cmb": 1e6}  # to µK
CONVENTIONS = ("COSMO", "IAU")
TOLERANCE = 1e-3  # of the pixels' side
MOST_PIXELS = 4096


def read_qu(path: str | Path, convention: str = "") -> tuple[np.ndarray, fits.Header]:
    """Q and U (2, y, x) in µK with the signs of grid.py, and the header, of a FITS image of Q, U or T, Q, U.

    The convention of its signs is that of the header (POLCCONV) or the one given. COSMO (HEALPix): Q > 0 from north to
    south, U > 0 from south-east to north-west; IAU: U has the other sign. Raises LimelightError for anything else.
    """
    try:
        with fits.open(path, memmap=True) as file:
            header = next((hdu.header for hdu in file if hdu.header.get("NAXIS", 0) == 3), None)
            if (
                header is None
                or max(header["NAXIS1"], header["NAXIS2"]) > MOST_PIXELS
                or header["NAXIS3"] not in (2, 3)
            ):
                found = "no image of three axes" if header is None else f"{[header[f'NAXIS{i}'] for i in (1, 2, 3)]}"
                expected = f"(x, y, 2 or 3) with Q, U or T, Q, U, at most {MOST_PIXELS} pixels a side"
                raise problem(path, found, expected, "write the maps as one image")
            data = next(hdu.data for hdu in file if hdu.header is header)
            maps = np.asarray(data[-2:], np.float64)
    except OSError as error:
        raise problem(path, f"no FITS file ({error})", "a FITS image", "check the path") from None
    unit = str(header.get("BUNIT", "")).strip().lower()
    if unit not in UNITS:
        raise problem(f"{path}: BUNIT", f"'{header.get('BUNIT', '')}'", "uK or K", "write the unit into the header")
    if not np.isfinite(maps).all():
        raise problem(
            path, "pixels that are not finite", "numbers; 0 where nothing is seen", "fill them, and give a mask"
        )
    told = str(header.get("POLCCONV", "")).strip().upper()
    if convention and told and told != convention:
        raise problem(f"{path}: POLCCONV", told, f"{convention}, as was asked for", "leave one of them out")
    if (told or convention) not in CONVENTIONS:
        fix = "write POLCCONV into the header, or give --convention"
        raise problem(f"{path}: POLCCONV", f"'{told}'", "COSMO or IAU: the sign of U hangs on it", fix)
    q, u = maps * UNITS[unit]
    mirrored = (header.get("CDELT1", -1.0) > 0) != (header.get("CDELT2", 1.0) < 0)
    if ((told or convention) == "IAU") != mirrored:
        u = -u
    return np.stack([-q, u]), header


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


@torch.no_grad()
def reconstruct(module: nn.Module, info: dict, maps: np.ndarray, device: str = "cpu") -> dict[str, np.ndarray]:
    """The answers of a network to Q and U (2, y, x) in µK as they were recorded, by name of the truth, (y, x) each.

    Nothing is added to the maps: their noise should be that which the network was trained with. A network trained under a
    mask sees them through it.
    """
    network, header = PROBE.network(info["entry"]), header_from(info["header"])
    recorded = PROBE.presentation(network, info["observation"], header).with_noise(0.0)
    inputs = recorded.observe(torch.as_tensor(maps, dtype=torch.float32)[None], torch.Generator())
    answers = decoded_outputs(module(inputs.to(device)).double().cpu().numpy(), info["target"])[0]
    if not np.isfinite(answers).all():
        raise problem("the network", "an answer that is not finite", "numbers", "check the map's unit and values")
    return dict(zip(network.target.maps, answers, strict=True))


def write_maps(path: str | Path, answers: dict[str, np.ndarray], like: fits.Header, made: dict[str, str]) -> None:
    """Write answers as one FITS image for each, with the coordinates of the map they were read from."""
    kept = [key for key in like if key[:5] in ("CTYPE", "CRVAL", "CRPIX", "CDELT", "CUNIT") and key[-1] in "12"]
    hdus: list = [fits.PrimaryHDU()]
    for name, values in answers.items():
        hdu = fits.ImageHDU(values.astype(np.float32), name=name.upper())
        hdu.header.update({key: like[key] for key in kept})
        hdu.header["BUNIT"] = "uK" if name == "e" else ""
        hdu.header["CONTENT"] = ("unlensed E" if NAMES[name] == "E" else "convergence", "what this image shows")
        hdus.append(hdu)
    for key, value in made.items():
        hdus[0].header[key] = value
    with atomic_path(path) as part:
        fits.HDUList(hdus).writeto(part, output_verify="exception")
