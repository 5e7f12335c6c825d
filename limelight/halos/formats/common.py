"""What every reader of a foreign catalogue hands on, the units they may come in, and the checks they all pass."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from limelight.cosmology import Cosmology
from limelight.errors import LimelightError, problem
from limelight.files import refuse_unread
from limelight.halos.config import Catalogue

# Each unit: (factor, power of h): value in our unit = value × factor × h^power. Lengths are comoving.
LENGTH_UNITS = {"Mpc": (1.0, 0), "Mpc/h": (1.0, -1), "kpc": (1e-3, 0), "kpc/h": (1e-3, -1)}
MASS_UNITS = {
    "Msun": (1.0, 0),
    "Msun/h": (1.0, -1),
    "1e10 Msun": (1e10, 0),
    "1e10 Msun/h": (1e10, -1),
    "log10 Msun": (1.0, 0),
    "log10 Msun/h": (1.0, -1),
}
# Power of the scale factor that makes a peculiar velocity in km/s: Gadget's snapshots store v/√a, Subfind's GroupVel v·a.
SPEED_UNITS = {"km/s": 0.0, "km/s sqrt(a)": 0.5, "km/s/a": -1.0}

SPEED_MAX_KMS = 20000.0  # along one axis; no halo moves so fast, a wrong unit does
MASS_RANGE_MSUN = (1e9, 1e17)  # where the heaviest halo of a catalogue must lie
DISTANCE_MAX_MPC = 20000.0  # beyond the particle horizon there are only wrong units


@dataclass
class Foreign:
    """Halos as read from one foreign file, already in limelight's units; n rows.

    redshift and box_mpc are those of a snapshot in a periodic box; both None for a light-cone around the observer.
    """

    position_mpc: np.ndarray  # (n, 3) comoving
    velocity_kms: np.ndarray  # (n, 3) peculiar
    mass_msun: np.ndarray  # (n,)
    redshift: float | None = None
    box_mpc: float | None = None
    redshift_observed: np.ndarray | None = None  # (n,) where the file has its own
    cosmology: dict = field(default_factory=dict)  # what the file says of omega_m, omega_b, h, ns, sigma8, omega_l
    center_deg: tuple[float, float] = (0.0, 0.0)  # where a light-cone's field lies: Peak Patch's cen_x_fov, cen_y_fov
    rows: tuple[int, int] | None = None  # (in this piece, in all pieces) where the file says so
    notes: dict = field(default_factory=dict)  # what was converted, for the light-cone file
    left_out: dict = field(default_factory=dict)  # {why: how many rows of the file}
    mass_range_msun: tuple[float, float] | None = None  # of the whole file, above the mass floor or not; None: no halos
    path: Path | None = None  # the file, or the first of those that were joined
    files: tuple[Path, ...] = ()  # all that were joined
    bounds_mpc: np.ndarray | None = None  # (2, 3) lowest and highest corner of this piece, where the file says so

    def __len__(self) -> int:
        return len(self.mass_msun)


@contextlib.contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Around the calls of a library that reads a file: what it raises on a damaged one becomes one clear line.

    HDF5, ASDF and Parquet libraries raise almost anything on damaged bytes (KeyError, RuntimeError, TypeError, ...).
    """
    if not path.is_file():
        raise problem(path, "no such file", f"a {kind} file", "check lightcones.files")
    try:
        yield
    except (LimelightError, PermissionError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError):
            refuse_unread(path, error)
        text = " ".join(str(error).split())[:200]
        found = f"a damaged file ({type(error).__name__}: {text})"
        raise problem(
            path, found, f"a whole {kind} file", "copy or make it again, or check lightcones.source"
        ) from None


def header_numbers(path: Path, header: dict, names: tuple[str, ...]) -> dict[str, float]:
    """Some numbers of a header as floats; LimelightError names the one that is missing or no number."""
    numbers = {}
    for name in names:
        if name not in header:
            raise problem(path, f"no header entry '{name}'", f"{', '.join(names)}", "check lightcones.source")
        try:
            numbers[name] = float(header[name])
        except (TypeError, ValueError):
            raise problem(path, f"{name} = {header[name]!r}", "a number", "mend the header") from None
        if not math.isfinite(numbers[name]):
            raise problem(path, f"{name} = {numbers[name]}", "a finite number", "mend the header")
    return numbers


def check_h(path: Path, h: float) -> float:
    """A Hubble constant over 100 km/s/Mpc that can be one."""
    if not 0.1 < h < 2:
        raise problem(path, f"h = {h:g} in the header", "0.1 to 2", "mend the header")
    return h


def unit(where: object, name: str, units: dict) -> float | tuple[float, int]:
    """Look up a unit by name; LimelightError lists the known ones."""
    if name not in units:
        raise problem(where, f"unit '{name}'", f"one of {', '.join(units)}", "write it exactly so in the config")
    return units[name]


def to_mpc(where: object, values: np.ndarray, name: str, h: float) -> np.ndarray:
    """Comoving lengths in a named unit → Mpc."""
    factor, power = unit(where, name, LENGTH_UNITS)
    return values * (factor * h**power)


def to_msun(where: object, values: np.ndarray, name: str, h: float) -> np.ndarray:
    """Masses in a named unit → Msun."""
    factor, power = unit(where, name, MASS_UNITS)
    if name.startswith("log10"):
        with np.errstate(over="ignore"):  # an overflow becomes inf, which the checks report
            values = 10.0 ** np.asarray(values, dtype=np.float64)
    return values * (factor * h**power)


def to_kms(where: object, values: np.ndarray, name: str, scale_factor: float) -> np.ndarray:
    """Velocities in a named unit → peculiar km/s."""
    return values * scale_factor ** unit(where, name, SPEED_UNITS)


def need_redshift(path: Path, options: Catalogue, where_it_stands: str) -> float:
    """The redshift that the config gives for a snapshot whose file is silent about it."""
    if options.redshift is None:
        expected = f"the redshift of the snapshot ({where_it_stands})"
        raise problem(path, "no redshift", expected, "give lightcones.catalogue.redshift")
    return float(options.redshift)


def need_box(path: Path, options: Catalogue, where_it_stands: str) -> float:
    """The box side that the config gives for a snapshot whose file is silent about it, Mpc."""
    if options.box_mpc is None:
        expected = f"the side of the periodic box ({where_it_stands})"
        raise problem(path, "no box size", expected, "give lightcones.catalogue.box_mpc, in Mpc without h")
    return float(options.box_mpc)


def need_column(path: Path, name: str, columns: list[str], fix: str = "check the file or its column names") -> None:
    """Refuse a file that lacks a column."""
    if name not in columns:
        listed = ", ".join(columns[:40]) + (" …" if len(columns) > 40 else "")
        raise problem(path, f"no column '{name}' among {listed or 'none at all'}", f"a column '{name}'", fix)


def check(halos: Foreign, path: Path) -> Foreign:
    """Refuse what no halo catalogue can be: ragged columns, NaN, masses, speeds or places out of this world.

    Returns it with masses that are 0 left in only if there are none: finders write 0 for "no such mass", and readers drop
    those rows themselves.
    """
    n = len(halos.mass_msun)
    for name, value in (("a redshift", halos.redshift), ("a box side in Mpc", halos.box_mpc)):
        if value is not None and not (
            math.isfinite(value) and value > -1e-6
        ):  # a snapshot of today may be a hair below 0
            raise problem(path, f"{name} of {value:g}", "a finite number, not below 0", "mend the header")
    if not all(map(math.isfinite, halos.center_deg)):
        raise problem(path, f"a field centred at {halos.center_deg}", "finite angles", "mend the header")
    for name, values, shape in (
        ("positions", halos.position_mpc, (n, 3)),
        ("velocities", halos.velocity_kms, (n, 3)),
        ("masses", halos.mass_msun, (n,)),
        ("observed redshifts", halos.redshift_observed, (n,)),
    ):
        if values is None:
            continue
        if values.shape != shape:
            found = f"{name} of shape {values.shape} beside {n} masses"
            raise problem(path, found, f"shape {shape}", "mend the file: its columns must be equally long")
        bad = int(values.size - np.count_nonzero(np.isfinite(values)))
        if bad:
            found = f"{bad} of {values.size} {name} NaN or infinite"
            raise problem(path, found, "finite numbers", "drop those halos or make the file again")
    if not n:
        return halos
    if halos.mass_msun.min() <= 0:
        count = int(np.count_nonzero(halos.mass_msun <= 0))
        found = f"{count} of {n} masses at or below zero (lowest {halos.mass_msun.min():g})"
        raise problem(path, found, "masses above 0 Msun", "drop those halos, or name the right mass column")
    heaviest = float(halos.mass_msun.max())
    if not MASS_RANGE_MSUN[0] <= heaviest <= MASS_RANGE_MSUN[1]:
        found = f"a heaviest halo of {heaviest:.3g} Msun"
        expected = f"{MASS_RANGE_MSUN[0]:g} to {MASS_RANGE_MSUN[1]:g} Msun"
        raise problem(path, found, expected, "check the mass unit (1e10 Msun/h, log10?) and the mass column")
    fastest = float(np.abs(halos.velocity_kms).max())
    if fastest > SPEED_MAX_KMS:
        expected = f"peculiar velocities below {SPEED_MAX_KMS:g} km/s"
        raise problem(path, f"a speed of {fastest:.3g} km/s", expected, "check the velocity unit")
    return check_places(halos, path)


def check_places(halos: Foreign, path: Path) -> Foreign:
    """Positions must lie within their periodic box, or within the horizon; pieces need not fill the box."""
    low, high = halos.position_mpc.min(axis=0), halos.position_mpc.max(axis=0)
    if halos.box_mpc is None:
        farthest = float(np.abs([low, high]).max())
        if farthest > DISTANCE_MAX_MPC:
            expected = f"comoving distances below {DISTANCE_MAX_MPC:g} Mpc"
            raise problem(path, f"a halo at {farthest:.3g} Mpc", expected, "check the position unit (kpc, kpc/h?)")
        return halos
    span = float((high - low).max())
    if span > halos.box_mpc * (1 + 1e-4):
        found = f"positions that span {span:.4g} Mpc in a box of {halos.box_mpc:.4g} Mpc"
        raise problem(path, found, "positions inside the box", "check the units of positions and box (Mpc, Mpc/h?)")
    return halos


def combined_cosmology(config: Cosmology, found: dict) -> Cosmology:
    """The config's cosmology with what a file's header says put in its place."""
    known = {
        name: float(found.get(name, getattr(config, name))) for name in ("omega_m", "omega_b", "h", "ns", "sigma8")
    }
    return Cosmology(**known)
