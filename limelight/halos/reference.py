"""The N-body references of the halo validation: their settings, tables, and the generator's box of the same phases."""

from dataclasses import dataclass
from pathlib import Path

from limelight.cosmology import Cosmology
from limelight.errors import problem
from limelight.files import resource_path, write_text
from limelight.halos.box import HaloBox, generate_box
from limelight.matter.chunks import chunk_runner
from limelight.matter.initial import Box, periodic_field

REDSHIFT = 2.9
FOLDER = resource_path("")


@dataclass(frozen=True)
class Reference:
    """One N-body run: particles³ in a periodic cube, and the file of its statistics."""

    side_mpc: float
    particles: int
    seed: int
    table: Path


REFERENCES = {
    "fitted": Reference(
        128.0, 256, 11, FOLDER / "halo_reference.csv"
    ),  # two constants of the generator were read off it
    "independent": Reference(96.0, 192, 12, FOLDER / "halo_reference_independent.csv"),  # nothing was
}


def box_redshift(redshift_min: float, redshift_max: float) -> float:
    """Where a study's generator is held against theory: at the N-body runs' redshift if in its band, else mid-band."""
    return REDSHIFT if redshift_min <= REDSHIFT <= redshift_max else 0.5 * (redshift_min + redshift_max)


def write_reference(path: str | Path, statistics: dict[tuple, float]) -> None:
    """Write the statistics of the reference halos as CSV."""
    lines = ["quantity,density_per_mpc3,at,value"]
    lines += [f"{name},{density:g},{at:.6g},{value:.6g}" for (name, density, at), value in statistics.items()]
    write_text(path, "\n".join(lines) + "\n")


def read_reference(statistics: dict[tuple, float], path: str | Path) -> dict[tuple, float]:
    """The reference's values under the keys of `statistics`, which it must have been made for."""
    if not Path(path).is_file():
        raise problem(path, "no such file", "the N-body reference", "run scripts/make_halo_reference.py")
    rows = [line.split(",") for line in Path(path).read_text(encoding="utf-8").splitlines()[1:]]
    if len(rows) != len(statistics) or any(row[0] != key[0] for row, key in zip(rows, statistics, strict=True)):
        raise problem(path, "another set of statistics", "those of this version", "run scripts/make_halo_reference.py")
    return {key: float(row[3]) for row, key in zip(rows, statistics, strict=True)}


def box_of_reference(reference: Reference, lightcones: dict, cosmology: Cosmology, cell_mpc: float = 1.0) -> HaloBox:
    """The generator's halos in the reference's universe: the same phases on coarser cells."""
    side = reference.side_mpc
    fine = Box((reference.particles,) * 3, side / reference.particles)
    with chunk_runner() as run:
        modes = periodic_field(fine, cosmology, reference.seed, "cpu", run).modes
    settings = lightcones | {"cell_mpc": side / (2 * round(side / cell_mpc / 2)), "mass_min_msun": 2.5e10}
    return generate_box(settings, side, REDSHIFT, cosmology, reference.seed, modes=modes)
