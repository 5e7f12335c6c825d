"""Peak Patch light-cones: `.npz` as limlam_mocker reads them (both ways) and `.pksc` as Peak Patch writes them.

Published layouts: limlam_mocker (github.com/georgestein/limlam_mocker, arXiv:1808.07487) and Peak Patch
(arXiv:1810.07727). The observer is at the origin and looks along +z; ra = atan2(−x, z), dec = asin(y/χ).
"""

import math
import pickle
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from limelight.cosmology import Cosmology
from limelight.errors import problem
from limelight.files import atomic_path
from limelight.halos.catalogue import HaloCatalogue
from limelight.halos.config import Catalogue
from limelight.halos.formats.common import Foreign
from limelight.halos.formats.npz import read_npz

HEADER_NAMES = {
    "omega_m": "Omega_M",
    "omega_b": "Omega_B",
    "omega_l": "Omega_L",
    "h": "h",
    "ns": "ns",
    "sigma8": "sigma8",
}
RECORD_WIDTHS = (10, 11, 33)  # float32 numbers a halo in a .pksc
PKSC_HEADER_BYTES = 12
PKSC_DENSITY_H2 = 2.775e11  # Msun/Mpc³, the critical density of h = 1 in Peak Patch's M = 4/3 π R³ ρ Ωm h²


def read(path: Path, options: Catalogue, cosmology: Cosmology) -> Foreign:
    """Read a Peak Patch catalogue, by its ending: .npz or .pksc."""
    readers = {".npz": read_peakpatch_npz, ".pksc": read_pksc}
    if path.suffix not in readers:
        raise problem(
            path, f"ending '{path.suffix}'", ".npz or .pksc", "rename it, or choose another lightcones.source"
        )
    return readers[path.suffix](path, options, cosmology)


def read_peakpatch_npz(path: Path, options: Catalogue, cosmology: Cosmology) -> Foreign:
    """Columns x y z (Mpc), vx vy vz (km/s), M (Msun), zhalo (with the peculiar velocity), and the cosmo_header."""
    mass = options.mass_column or "M"
    wanted = ("cosmo_header", "x", "y", "z", "vx", "vy", "vz", mass, "zhalo?")
    content = read_npz(path, wanted, "give a Peak Patch file as limlam_mocker reads it")
    header = content.pop("cosmo_header")
    if not isinstance(header, dict):
        raise problem(f"{path}: cosmo_header", "an array of numbers", "a dict (0-d object array)", "mend its writer")
    for name in (*HEADER_NAMES.values(), "cen_x_fov", "cen_y_fov"):
        value = header.get(name, 0.0)
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise problem(f"{path}: cosmo_header", f"{name} = {value!r}", "a finite number", "mend the header")
    return Foreign(
        position_mpc=_stack(path, content, "xyz"),
        velocity_kms=_stack(path, content, ("vx", "vy", "vz")),
        mass_msun=content[mass],
        redshift_observed=content.get("zhalo"),
        cosmology={ours: float(header[theirs]) for ours, theirs in HEADER_NAMES.items() if theirs in header},
        center_deg=(float(header.get("cen_x_fov", 0.0)), float(header.get("cen_y_fov", 0.0))),
        notes={"units": "Mpc, km/s, Msun without h, as Peak Patch writes them; nothing converted"},
    )


def _stack(path: Path, content: dict, columns: str | tuple[str, ...]) -> np.ndarray:
    lengths = {name: content[name].shape for name in columns}
    if len(set(lengths.values())) != 1 or len(lengths[columns[0]]) != 1:
        raise problem(path, f"columns of shapes {lengths}", "columns of equal length", "make the file again")
    return np.stack([content[name] for name in columns], axis=1)


def read_pksc(path: Path, options: Catalogue, cosmology: Cosmology) -> Foreign:
    """int32 N, float32 RTHmax, float32 redshift, then N float32 records: x y z vx vy vz R_TH, Lagrangian place, more.

    The mass is that of R_TH at the mean density, M = 4/3 π R³ · 2.775e11 Ωm h² Msun. With lightcones.catalogue.box_mpc it
    is a periodic box at the header's redshift, else a light-cone around the observer.
    """
    if not path.is_file():
        raise problem(path, "no such file", "a .pksc file", "check lightcones.files")
    size = path.stat().st_size
    fix = "copy the file again, or choose another lightcones.source"
    if size < PKSC_HEADER_BYTES:
        raise problem(path, f"{size} bytes", f"a header of {PKSC_HEADER_BYTES} bytes at least", fix)
    with open(path, "rb") as file:
        count = int(np.fromfile(file, "<i4", 1)[0])
        _, redshift = np.fromfile(file, "<f4", 2)
        body = size - PKSC_HEADER_BYTES
        if count <= 0:
            raise problem(path, f"a header of {count} halos", "at least one halo", fix)
        width, rest = divmod(body, 4 * count)
        if rest or width not in RECORD_WIDTHS:
            found = f"{body} bytes for {count} halos, a record of {body / (4 * count):.3f} numbers"
            raise problem(path, found, "10, 11 or 33 numbers a halo", fix)
        records = np.fromfile(file, "<f4", count * width).reshape(count, width)
    radius = records[:, 6].astype(np.float64)
    density = PKSC_DENSITY_H2 * cosmology.omega_m * cosmology.h**2
    box = options.box_mpc
    return Foreign(
        position_mpc=records[:, 0:3].copy(),
        velocity_kms=records[:, 3:6].copy(),
        mass_msun=4 / 3 * np.pi * radius**3 * density,
        redshift=None if box is None else float(redshift),
        box_mpc=box,
        notes={"mass": f"4/3 π R_TH³ × 2.775e11 Ωm h² with the config's Ωm {cosmology.omega_m:g}, h {cosmology.h:g}"},
    )


def write_peakpatch_npz(path: str | Path, halos: HaloCatalogue, formation_redshift: np.ndarray) -> None:
    """Write a light-cone with the arrays, types and sign conventions that limlam_mocker's loader expects.

    cosmo_header is a 0-d object array that holds a dict; Omega_M + Omega_L is 1 exactly, which that loader asserts.
    zhalo includes the peculiar velocity. formation_redshift: (n,), its zform.
    """
    cosmology = halos.cosmology
    header = {
        "Omega_M": float(cosmology.omega_m),
        "Omega_B": float(cosmology.omega_b),
        "Omega_L": 1.0 - float(cosmology.omega_m),
        "h": float(cosmology.h),
        "ns": float(cosmology.ns),
        "sigma8": float(cosmology.sigma8),
        "cen_x_fov": 0.0,
        "cen_y_fov": 0.0,
    }
    columns = {
        **dict(zip("xyz", halos.position_mpc.T, strict=True)),
        **dict(zip(("vx", "vy", "vz"), halos.velocity_kms.T, strict=True)),
        "M": halos.mass_msun,
        "zhalo": halos.redshift_observed,
        "zform": formation_redshift,
    }
    with atomic_path(path) as part, zipfile.ZipFile(part, "w") as archive:
        with _member(archive, "cosmo_header") as member:
            described = {"descr": "|O", "fortran_order": False, "shape": ()}
            np.lib.format.write_array_header_1_0(member, described)
            member.write(_old_pickle(header))
        for name, values in columns.items():
            with _member(archive, name) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(values, dtype=np.float32))


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    # a fixed date: the same light-cone gives the same bytes
    entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
    return archive.open(entry, "w", force_zip64=True)


def _old_pickle(header: dict) -> bytes:
    """The pickle of a 0-d object array that every numpy and Python can read: limlam_mocker ran on Python 2.

    In protocol 2 module names stand as plain lines; numpy 2 alone knows its own as numpy._core.
    """
    data = pickle.dumps(np.array(header, dtype=object), protocol=2)
    return data.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
