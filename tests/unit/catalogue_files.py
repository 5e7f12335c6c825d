"""Small foreign catalogues written from the published layouts, and the study that reads them: shared by the format tests."""

import copy
import pickle
import zipfile
from pathlib import Path

import h5py
import numpy as np
import yaml
from colossus.cosmology import cosmology as colossus_cosmology
from colossus.lss import mass_function as colossus_mass_function

from limelight.cosmology import Cosmology
from limelight.halos import foreign
from limelight.halos.catalogue import HaloCatalogue
from limelight.probes.line_intensity.config import LineStudy
from limelight.probes.line_intensity.settings import lightcone_settings
from limelight.study.config import resolve_study

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
H = 0.7
TNG = {"omega_m": 0.3089, "omega_b": 0.0486, "h": 0.6774, "ns": 0.9667, "sigma8": 0.8159}
BOLSHOI = {"omega_m": 0.307, "omega_b": 0.048, "h": 0.678, "ns": 0.96, "sigma8": 0.823}
ABACUS = {"omega_m": 0.315192, "omega_b": 0.0493, "h": 0.6736, "ns": 0.9649, "sigma8": 0.8076}


def import_lightcone(study: LineStudy, lightcone: int) -> tuple[HaloCatalogue, dict]:
    """One light-cone of a study of foreign halos, as scripts/import_lightcone.py makes it."""
    settings = lightcone_settings(study)
    given = study.lightcones, settings.cosmology, settings.redshift_range, study.seed
    return foreign.import_lightcone(*given, lightcone)


def study(tmp_path: Path, **lightcones: object) -> LineStudy:
    """The demo study with another source of light-cones; its catalogue has no networks to train."""
    raw = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text())
    cosmology = lightcones.pop("study_cosmology", None)
    grid = lightcones.pop("grid", {})
    raw["lightcones"] = {**raw["lightcones"], "train": [0], "validation": [1], "test": [2], **lightcones}
    raw["subfields"] = {"size_deg": raw["lightcones"]["field_deg"], "per_side": 1}
    raw["grid"] |= grid
    if cosmology:
        raw["cosmology"] = dict(cosmology)
    return resolve_study(copy.deepcopy(raw), tmp_path / "study.yaml")


def box_halos(n: int = 300, box: float = 100.0, seed: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Uniform positions in [0, box), velocities in km/s, masses from 3e10 to 1e13 (n(>M) ∝ 1/M)."""
    rng = np.random.default_rng(seed)
    mass = 3e10 / rng.uniform(3e-3, 1, n)
    return rng.uniform(0, box, (n, 3)), rng.normal(0, 200, (n, 3)), mass


def tinker_above(masses: np.ndarray, redshift: float) -> np.ndarray:
    """n(>M) of Tinker08 in 1/Mpc³ by colossus alone (its own σ(M)), up to 1e15 Msun."""
    params = {"flat": True, "H0": 70.0, "Om0": 0.286, "Ob0": 0.047, "sigma8": 0.82, "ns": 0.96, "relspecies": False}
    colossus_cosmology.setCosmology("check", params=params, persistence="")
    density = colossus_mass_function.massFunction(masses * H, redshift, mdef="200m", model="tinker08", q_out="dndlnM")
    density = density * H**3
    steps = (density[1:] + density[:-1]) / 2 * np.diff(np.log(masses))
    return np.concatenate([np.cumsum(steps[::-1])[::-1], [0.0]])


def tinker_masses(volume: float, redshift: float, floor: float) -> np.ndarray:
    """A Poisson sample of Tinker08 from colossus alone, Msun."""
    mass = np.logspace(np.log10(floor), 15, 800)
    above = tinker_above(mass, redshift)
    rng = np.random.default_rng(11)
    count = rng.poisson(above[0] * volume)
    return np.exp(np.interp(-rng.uniform(0, above[0], count), -above, np.log(mass)))


def write_rockstar(path: Path, position: np.ndarray, velocity: np.ndarray, mass: np.ndarray, **header: object) -> Path:
    """Rockstar's out_*.list: positions Mpc/h, masses Msun/h; columns in Rockstar's order, cut after VZ, with PID."""
    values = {"a": 0.25, "Om": 0.286, "Ol": 0.714, "h": H, "box": 100.0} | header
    lines = [
        header.get("names", "#ID DescID Mvir Vmax Vrms Rvir Rs Np X Y Z VX VY VZ PID"),
        f"#a = {values['a']:.6f}",
        f"#Om = {values['Om']:.6f}; Ol = {values['Ol']:.6f}; h = {values['h']:.6f}",
        "#FOF linking length: 0.280000",
        "#Unbound Threshold: 0.500000; FOF Refinement Threshold: 0.700000",
        "#Particle mass: 1.03289e+08 Msun/h",
        f"#Box size: {values['box']:.6f} Mpc/h",
        "#Units: Masses in Msun / h",
    ]
    for n, (x, v, m) in enumerate(zip(position, velocity, mass, strict=True)):
        parent = header.get("parents", [-1] * len(mass))[n]
        numbers = " ".join(f"{value:.5f}" for value in (*x, *v))
        lines.append(f"{n} -1 {m:.5e} 100.0 90.0 50.0 5.0 100 {numbers} {parent}")
    path.write_text("\n".join(lines) + "\n")
    return path


def write_subfind(path: Path, position, velocity, mass, total: int | None = None, **header: object) -> Path:
    """A group catalogue as IllustrisTNG publishes it: ckpc/h, 1e10 Msun/h, GroupVel in km/s/a."""
    with h5py.File(path, "w") as file:
        attrs = {
            "Redshift": 3.0,
            "Time": 0.25,
            "BoxSize": 100000.0,
            "HubbleParam": H,
            "Omega0": 0.286,
            "OmegaLambda": 0.714,
            "Ngroups_ThisFile": len(mass),
            "Ngroups_Total": len(mass) if total is None else total,
        } | header
        head = file.create_group("Header")
        for name, value in attrs.items():
            if value is not None:
                head.attrs[name] = value
        if len(mass):
            group = file.create_group("Group")
            group["GroupPos"] = (position * 1000).astype(np.float32)
            group["GroupVel"] = (velocity * attrs["Time"]).astype(np.float32)
            group["Group_M_Mean200"] = (mass / 1e10).astype(np.float32)
    return path


def cone_halos(
    n: int = 4000, field_deg: float = 1.4, z: tuple[float, float] = (2.3, 3.5), seed: int = 1, cosmology=None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Halos in a pyramid ahead of the observer, a little wider than the field; masses as box_halos."""
    rng = np.random.default_rng(seed)
    cosmology = cosmology or Cosmology()
    near, far = cosmology.comoving_distance(np.array(z))
    tangent = rng.uniform(-1, 1, (n, 2)) * np.radians(0.55 * field_deg)
    sight = np.concatenate([tangent, np.ones((n, 1))], axis=1)
    sight /= np.linalg.norm(sight, axis=1, keepdims=True)
    distance = rng.uniform(near**3, far**3, n) ** (1 / 3)
    return sight * distance[:, None], rng.normal(0, 200, (n, 3)), 3e10 / rng.uniform(3e-3, 1, n)


def observed(position: np.ndarray, velocity: np.ndarray, cosmology: Cosmology | None = None) -> np.ndarray:
    """z + (1 + z) v_los / c, written out."""
    distance = np.sqrt((position**2).sum(axis=1))
    z = (cosmology or Cosmology()).redshift_at(distance)
    return z + (1 + z) * (position * velocity).sum(axis=1) / distance / 299792.458


HEADER = {"Omega_M": 0.286, "Omega_B": 0.047, "Omega_L": 0.714, "h": 0.7, "ns": 0.96, "sigma8": 0.82}


def write_peakpatch(path: Path, position, velocity, mass, header: object = None, **change: object) -> Path:
    """A Peak Patch .npz as its users save it: np.savez with a dict as cosmo_header. change: None drops a column."""
    columns = {
        **dict(zip("xyz", position.T, strict=True)),
        **dict(zip(("vx", "vy", "vz"), velocity.T, strict=True)),
        "M": mass,
        "zhalo": observed(position, velocity),
        "zform": np.full(len(mass), 5.0),
    }
    columns = {name: np.asarray(values, dtype=np.float32) for name, values in columns.items()} | change
    columns = {name: values for name, values in columns.items() if values is not None}
    np.savez(path, cosmo_header=dict(HEADER) if header is None else header, **columns)
    return path


def replace_header(path: Path, payload: bytes) -> Path:
    """Put another pickle in place of cosmo_header's, as an attacker would."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    body = members["cosmo_header.npy"]
    start = 10 + int.from_bytes(body[8:10], "little")
    members["cosmo_header.npy"] = body[:start] + payload
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


class Bomb:
    """An object whose pickle runs a command when it is loaded."""

    def __init__(self, touched: Path):
        self.touched = touched

    def __reduce__(self):
        import os

        return os.system, (f"touch {self.touched}",)


def bomb(touched: Path) -> bytes:
    return pickle.dumps({"Omega_M": Bomb(touched)})


def write_pksc(path: Path, position, velocity, mass, width: int = 33, redshift: float = 3.0) -> Path:
    """Peak Patch's own binary: int32 N, float32 RTHmax, float32 redshift, N records of float32."""
    radius = (mass / (4 / 3 * np.pi * 2.775e11 * 0.286 * 0.7**2)) ** (1 / 3)
    records = np.zeros((len(mass), width), dtype="<f4")
    records[:, :3], records[:, 3:6], records[:, 6] = position, velocity, radius
    with open(path, "wb") as file:
        np.array([len(mass)], "<i4").tofile(file)
        np.array([radius.max(), redshift], "<f4").tofile(file)
        records.tofile(file)
    return path
