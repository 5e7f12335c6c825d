"""The halo catalogue and its HDF5 file, `lightcones/{seed}.h5`.

The observer stands at the origin and looks along +z. Sky positions are Peak Patch's: ra = atan2(−x, z), dec = asin(y/χ).
"""

import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from limelight.cosmology import SPEED_OF_LIGHT_KMS, Cosmology
from limelight.errors import one_line, problem
from limelight.files import attribute, check_finite, read_hdf5, write_hdf5

KIND = "light-cone"
COLUMNS = ("position_mpc", "velocity_kms", "mass_msun", "redshift", "redshift_observed")
UNITS = {"position_mpc": "Mpc", "velocity_kms": "km/s", "mass_msun": "Msun", "redshift": "", "redshift_observed": ""}
CHUNK_ROWS = 1 << 18
ZLIB_HEADER = b"\x78\x01"  # of a stream whose raw blocks follow, and then their checksum (RFC 1950)


@dataclass
class HaloCatalogue:
    """Halos on a light-cone; n rows, float32 columns.

    geometry holds what the catalogue covers: field_deg (side of the square on the tangent plane), redshift_min,
    redshift_max (of the observed redshifts that are complete), mass_min_msun.
    """

    position_mpc: np.ndarray  # (n, 3) comoving
    velocity_kms: np.ndarray  # (n, 3) peculiar
    mass_msun: np.ndarray  # (n,)
    redshift: np.ndarray  # (n,) cosmological, of the comoving distance
    redshift_observed: np.ndarray  # (n,) with the peculiar velocity along the line of sight
    cosmology: Cosmology = field(default_factory=Cosmology)
    geometry: dict = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.mass_msun)


def observed_redshift(position_mpc: np.ndarray, velocity_kms: np.ndarray, redshift: np.ndarray) -> np.ndarray:
    """z_obs = z + (1 + z) v_los / c with v_los the velocity along each halo's own line of sight; float64 (n,)."""
    position = position_mpc.astype(np.float64)
    distance = np.sqrt(np.einsum("ij,ij->i", position, position))
    v_los = np.einsum("ij,ij->i", position, velocity_kms.astype(np.float64)) / distance
    return redshift + (1 + redshift) * v_los / SPEED_OF_LIGHT_KMS


def tangent_plane_deg(position_mpc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gnomonic (TAN) sky coordinates (x, y) in degrees, float64 (n,) each, about the +z axis.

    position_mpc (n, 3), seen from the origin.
    x = deg(−X/Z) grows with right ascension, y = deg(Y/Z) with declination. On this plane a turn about the line of sight
    is a plain rotation, subfields tile without gaps, and the FITS keyword pair RA---TAN / DEC--TAN describes it exactly.
    """
    depth = position_mpc[:, 2].astype(np.float64)
    return np.degrees(-position_mpc[:, 0] / depth), np.degrees(position_mpc[:, 1] / depth)


def write_catalogue(path: str | Path, halos: HaloCatalogue, attributes: dict[str, object]) -> None:
    """Write a light-cone file: float32 columns in compressed chunks (lossless), units and geometry as attributes."""
    attributes = {**attributes, "cosmology": asdict(halos.cosmology), "geometry": halos.geometry, "n_halos": len(halos)}
    import torch

    with write_hdf5(path, KIND, attributes) as file, ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for name in COLUMNS:
            values = np.ascontiguousarray(getattr(halos, name), dtype=np.float32)
            rows = max(1, min(CHUNK_ROWS, len(values)))
            dataset = file.create_dataset(
                name,
                values.shape,
                "<f4",
                chunks=(rows, *values.shape[1:]),
                compression="gzip",
                compression_opts=1,
                shuffle=True,
            )
            dataset.attrs["unit"] = UNITS[name]
            starts = range(0, len(values), rows)
            chunks = pool.map(lambda i, values=values, rows=rows: _compressed(values[i : i + rows], rows), starts)
            for start, chunk in zip(starts, chunks, strict=True):
                dataset.id.write_direct_chunk((start,) + (0,) * (values.ndim - 1), chunk)


def _compressed(values: np.ndarray, rows: int) -> bytes:
    """A chunk of float32 rows as HDF5's shuffle and gzip filters would leave it, for any reader.

    Of shuffled floats only the bytes of sign and exponent compress: the lower half is stored as it is, and the upper half
    needs no search for repeated strings. Huffman codes alone are three times as fast as gzip's fastest level and 2 % larger,
    and half of them are half the work. HDF5's own filters also work on one thread only.
    """
    chunk = np.zeros((rows, *values.shape[1:]), dtype="<f4")  # the last one of a file is filled up
    chunk[: len(values)] = values
    shuffled = np.ascontiguousarray(chunk.reshape(-1).view(np.uint8).reshape(-1, 4).T)
    store = zlib.compressobj(0, zlib.DEFLATED, -zlib.MAX_WBITS)
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_HUFFMAN_ONLY)
    stored = 2 if len(values) == rows else 0  # zeros to fill up with are packed, too
    lower = store.compress(shuffled[:stored]) + store.flush(zlib.Z_SYNC_FLUSH)
    upper = packer.compress(shuffled[stored:]) + packer.flush()
    return ZLIB_HEADER + lower + upper + zlib.adler32(shuffled).to_bytes(4, "big")


@one_line("a light-cone file")
def read_catalogue(path: str | Path) -> HaloCatalogue:
    """Read a light-cone file; refuses empty, truncated, ragged, non-finite or non-physical ones with one clear line."""
    with read_hdf5(path, KIND, COLUMNS) as file:
        columns = {name: check_finite(file[name][...], f"{path}: {name}") for name in COLUMNS}
        cosmology = Cosmology(**attribute(file, "cosmology"))
        geometry = attribute(file, "geometry")
    rows = {name: len(values) for name, values in columns.items()}
    if (
        len(set(rows.values())) != 1
        or columns["position_mpc"].shape[1:] != (3,)
        or columns["velocity_kms"].shape[1:] != (3,)
    ):
        raise problem(
            path, f"columns of lengths {rows}", "equal lengths, positions and velocities (n, 3)", "make it again"
        )
    if not rows["mass_msun"]:
        raise problem(
            path, "no halos", "at least one halo", "check the field, redshift range and mass floor of its source"
        )
    if columns["mass_msun"].min() <= 0:
        raise problem(
            f"{path}: mass_msun", f"mass {columns['mass_msun'].min():g}", "masses above 0 Msun", "mend its source"
        )
    return HaloCatalogue(**columns, cosmology=cosmology, geometry=geometry)
