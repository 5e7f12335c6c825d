"""AbacusSummit CompaSO halo catalogues in ASDF (arXiv:2110.11408): halo_info boxes and light-cones (arXiv:2110.11413).

Boxes store positions in units of the box (−½ to ½) and velocities as redshift-space displacements in units of the box;
light-cones store pos_interp in Mpc/h and vel_interp in km/s. A halo's mass is its particle number times the particle mass.
The blocks are compressed with Blosc, which asdf leaves to the `blosc` package.
"""

import struct
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from limelight.cosmology import Cosmology
from limelight.errors import problem
from limelight.halos.config import Catalogue
from limelight.halos.formats.common import Foreign, check_h, header_numbers, need_column, reading

HEADER = ("BoxSizeHMpc", "H0", "Omega_M", "Redshift", "ParticleMassHMsun", "VelZSpace_to_kms")
KNOWN = {"omega_l": "Omega_DE", "ns": "n_s"}  # ours: the header's, where it has them
SIGMA8 = ("sigma8_m", "sigma8_cb", "sigma8")  # all matter's, that without neutrinos (0.4 % more), or unsaid
ZELDOVICH = (
    "ZD_Pk_sigma",
    "ZD_Pk_norm",
    "InitialRedshift",
)  # σ of the initial conditions, its radius in Mpc/h, their z
MIN_PARTICLES = 1  # halos merged away in the cleaned catalogues carry 0 particles


def read(path: Path, options: Catalogue, cosmology: Cosmology) -> Foreign:
    """Read one halo_info file; a light-cone differs from a box by its pos_interp."""
    header, (position, velocity, particles), cone = _load(path, options)
    known = ("Omega_DE", "omega_b", "n_s", "w0", "wa", *SIGMA8, *ZELDOVICH)
    number = header_numbers(path, header, (*HEADER, *(name for name in known if name in header)))
    h = check_h(path, number["H0"] / 100)
    if abs(number.get("w0", -1.0) + 1) > 1e-6 or abs(number.get("wa", 0.0)) > 1e-6:
        found = f"w0 = {header.get('w0')}, wa = {header.get('wa')}"
        raise problem(path, found, "a flat ΛCDM universe (w0 = −1, wa = 0)", "use a simulation of base cosmology")
    found = {"omega_m": number["Omega_M"], "h": h}
    found |= {ours: number[name] for ours, name in KNOWN.items() if name in number}
    if "omega_b" in number:
        found["omega_b"] = number["omega_b"] / h**2
    if (sigma8 := _sigma8(number)) is not None:
        found["sigma8"] = sigma8
    keep = particles >= MIN_PARTICLES
    mass = particles[keep] * (number["ParticleMassHMsun"] / h)
    left_out = {"halos without particles (merged away)": int(np.count_nonzero(~keep))}
    box = number["BoxSizeHMpc"]
    if cone:
        origin = header["LightConeOrigins"].ravel()[:3]
        if origin.shape != (3,):
            raise problem(path, "no LightConeOrigins", "a light-cone's header", "check lightcones.source")
        notes = {"units": f"Mpc/h → Mpc with h = {h:g}, positions from the observer at {origin.tolist()} Mpc/h"}
        position = (position[keep] - origin) / h
        return Foreign(position, velocity[keep], mass, cosmology=found, notes=notes, left_out=left_out)
    notes = {"units": f"box units × {box:g} Mpc/h → Mpc with h = {h:g}; velocities × VelZSpace_to_kms"}
    return Foreign(
        position_mpc=position[keep] * (box / h),
        velocity_kms=velocity[keep] * number["VelZSpace_to_kms"],
        mass_msun=mass,
        redshift=number["Redshift"],
        box_mpc=box / h,
        cosmology=found,
        notes=notes,
        left_out=left_out,
    )


def _sigma8(number: dict[str, float]) -> float | None:
    """σ8 today of a header's numbers: as it is written, or that of the initial conditions with linear growth taken out.

    None where the header has neither. AbacusSummit's own has only ZD_Pk_sigma_ratio, the growth from its file of P(k) on.
    """
    written = next((number[name] for name in SIGMA8 if name in number), None)
    if written is not None or not all(name in number for name in ZELDOVICH) or number["ZD_Pk_norm"] != 8:
        return written
    growth = Cosmology(omega_m=number["Omega_M"]).growth(number["InitialRedshift"])
    return number["ZD_Pk_sigma"] / float(growth) if number["ZD_Pk_sigma"] > 0 else None  # 0: not scaled by it


def _load(path: Path, options: Catalogue) -> tuple[dict, list[np.ndarray], bool]:
    """The header, the columns we need (decompressed, float64) and whether they are a light-cone's."""
    import asdf  # only this format needs it, and blosc

    with reading(path, "AbacusSummit ASDF"), asdf.config_context() as config, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # asdf warns that abacusutils is not installed; it is not needed
        config.add_extension(_extension())
        with asdf.open(path, memmap=False) as file:
            if "header" not in file or "data" not in file:
                raise problem(path, "no 'header' and 'data'", "a CompaSO halo_info file", "check lightcones.source")
            columns = file["data"]
            cone = "pos_interp" in columns
            names = ("pos_interp", "vel_interp", "N_interp") if cone else ("x_L2com", "v_L2com", "N")
            names = (*names[:2], options.mass_column or names[2])
            for name in names:
                need_column(path, name, sorted(columns))
            arrays = [np.array(columns[name]).astype(np.float64) for name in names]
            header = dict(file["header"])
            header["LightConeOrigins"] = np.array(header.get("LightConeOrigins", []), dtype=np.float64)
    rows = arrays[2].shape[:1]
    if [values.shape for values in arrays] != [(*rows, 3), (*rows, 3), rows]:
        shapes = ", ".join(f"{name} {values.shape}" for name, values in zip(names, arrays, strict=True))
        raise problem(path, f"columns of shapes {shapes}", "(n, 3), (n, 3) and (n,)", "copy or make the file again")
    return header, arrays, cone


def _extension() -> object:
    """An asdf extension that undoes Blosc: each block is a run of (big-endian uint32 length, Blosc chunk)."""
    import blosc
    from asdf.extension import Compressor, Extension

    class Blosc(Compressor):
        label = b"blsc"

        def decompress(self, blocks: Iterable[bytes], out: memoryview, **options) -> int:
            data, out = memoryview(b"".join(bytes(block) for block in blocks)), memoryview(out).cast("B")
            start, written = 0, 0
            while start < len(data):
                (length,) = struct.unpack_from("!I", data, start)
                chunk = blosc.decompress(bytes(data[start + 4 : start + 4 + length]))
                if written + len(chunk) > len(out):
                    raise ValueError("a block longer than its header says")
                out[written : written + len(chunk)] = chunk
                start, written = start + 4 + length, written + len(chunk)
            if written != len(out):
                raise ValueError("a block shorter than its header says")
            return written

    class BloscExtension(Extension):
        extension_uri = "asdf://limelight/extensions/blosc-1.0.0"
        compressors = [Blosc()]

    return BloscExtension()
