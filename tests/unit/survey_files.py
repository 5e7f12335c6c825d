"""Files as surveys publish them, written from their layouts with h5py, NumPy and astropy alone."""

from pathlib import Path

import h5py
import numpy as np
from astropy.io import fits

SIDEBANDS, CHANNELS, NX, NY = 4, 8, 12, 10
CENTER = 170.0, 52.3  # right ascension and declination of a field, degrees
PIXEL = 2 / 60


def sky(seed: int = 1) -> dict[str, np.ndarray]:
    """A map in kelvin with its σ, hits and axes, (sideband, channel, y, x), all rising; a rim of one pixel is not seen."""
    rng = np.random.default_rng(seed)
    shape = SIDEBANDS, CHANNELS, NY, NX
    sigma = rng.uniform(20e-6, 200e-6, shape)
    seen = np.ones(shape, bool)
    seen[..., 0, :] = seen[..., -1, :] = seen[..., 0] = seen[..., -1] = False
    width = 8 / (SIDEBANDS * CHANNELS)
    return {
        "map": rng.normal(0, 1, shape) * sigma,
        "sigma": sigma,
        "hits": rng.integers(100, 1000, shape),
        "seen": seen,
        "ra": CENTER[0] + (np.arange(NX) - (NX - 1) / 2) * PIXEL / np.cos(np.radians(CENTER[1])),
        "dec": CENTER[1] + (np.arange(NY) - (NY - 1) / 2) * PIXEL,
        "freq": (26 + width * (np.arange(SIDEBANDS * CHANNELS) + 0.5)).reshape(SIDEBANDS, CHANNELS),
    }


def expected(one: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(µK, σ, seen) in the project's order (x, y, channel)."""
    arrays = (1e6 * one["map"], 1e6 * one["sigma"], one["seen"])
    return tuple(array.reshape(-1, NY, NX).transpose(2, 1, 0) for array in arrays)


def unseen(one: dict[str, np.ndarray], never: str) -> dict[str, np.ndarray]:
    """The same with voxels that were never hit as files have them: nan, zero or inf."""
    value, noise = {"nan": (np.nan, np.nan), "zero": (0, 0), "inf": (0, np.inf)}[never]
    hidden = ~one["seen"]
    return {
        **one,
        "map": np.where(hidden, value, one["map"]),
        "sigma": np.where(hidden, noise, one["sigma"]),
        "hits": np.where(hidden, 0, one["hits"]),
    }


def downwards(
    one: dict[str, np.ndarray], ra: bool = True, sidebands: tuple[int, ...] = (0, 2)
) -> dict[str, np.ndarray]:
    """The same sky with right ascension and some sidebands stored downwards."""
    one = {name: np.array(value) for name, value in one.items()}
    for name in ("map", "sigma", "hits", "seen"):
        for s in sidebands:
            one[name][s] = one[name][s, ::-1]
        one[name] = one[name][..., ::-1] if ra else one[name]
    for s in sidebands:
        one["freq"][s] = one["freq"][s, ::-1]
    one["ra"] = one["ra"][::-1] if ra else one["ra"]
    return one


def write_old(path: Path, one: dict[str, np.ndarray], hits: bool = True) -> Path:
    """COMAP's older names: map_coadd, rms_coadd, nhit_coadd, x, y, freq."""
    with h5py.File(path, "w") as file:
        file["map_coadd"], file["rms_coadd"] = one["map"], one["sigma"]
        if hits:
            file["nhit_coadd"] = one["hits"]
        file["x"], file["y"], file["freq"] = one["ra"], one["dec"], one["freq"]
        file["n_x"], file["n_y"], file["patch_center"] = NX, NY, np.array(CENTER)
    return path


def write_new(path: Path, one: dict[str, np.ndarray], modes: int = 5) -> Path:
    """The newer names: sigma_wn_coadd, ra_centers, dec_centers, freq_centers, flags of the map filter."""
    with h5py.File(path, "w") as file:
        file["map_coadd"], file["sigma_wn_coadd"] = one["map"], one["sigma"]
        file["ra_centers"], file["dec_centers"], file["freq_centers"] = one["ra"], one["dec"], one["freq"]
        file["is_pca_subtr"], file["n_pca"], file["pca_norm"] = modes > 0, modes, "approx"
        file["patch_center"] = np.array(CENTER)
    return path


def fits_header(one: dict[str, np.ndarray], unit: str = "K") -> fits.Header:
    """Plate carrée about the field's declination with RA downwards, as observers write it; square pixels on the sky."""
    header = fits.Header()
    step = PIXEL / np.cos(np.radians(CENTER[1]))
    width = 8 / (SIDEBANDS * CHANNELS)
    for axis, name, value, pixel, delta in (
        (1, "RA---CAR", CENTER[0], (NX + 1) / 2, -step),
        (2, "DEC--CAR", 0.0, (NY + 1) / 2 - CENTER[1] / PIXEL, PIXEL),
        (3, "FREQ", 1e9 * (26 + width / 2), 1.0, 1e9 * width),
    ):
        header[f"CTYPE{axis}"], header[f"CRVAL{axis}"], header[f"CRPIX{axis}"] = name, value, pixel
        header[f"CDELT{axis}"], header[f"CUNIT{axis}"] = delta, "Hz" if axis == 3 else "deg"
    header["BUNIT"], header["RESTFRQ"], header["BMAJ"], header["BMIN"] = unit, 115.27e9, 4.5 / 60, 4.5 / 60
    return header


def in_fits(array: np.ndarray) -> np.ndarray:
    """(channel, y, x) with RA downwards, of an array of `sky`."""
    return array.reshape(-1, NY, NX)[..., ::-1]
