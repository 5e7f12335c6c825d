"""The N-body reference of the halo validation: its settings, its table, and the generator's box of the same phases."""

from pathlib import Path

from limelight.cosmology import Cosmology
from limelight.errors import problem
from limelight.files import write_text
from limelight.halos.box import HaloBox, generate_box
from limelight.halos.chunks import chunk_runner
from limelight.halos.initial import Box, periodic_field

SIDE_MPC, PARTICLES, REDSHIFT, SEED = 128.0, 256, 2.9, 11
TABLE = Path(__file__).resolve().parents[2] / "resources" / "halo_reference.csv"


def write_reference(path: str | Path, statistics: dict[tuple, float]) -> None:
    """Write the statistics of the reference halos as CSV."""
    lines = ["quantity,density_per_mpc3,at,value"]
    lines += [f"{name},{density:g},{at:.6g},{value:.6g}" for (name, density, at), value in statistics.items()]
    write_text(path, "\n".join(lines) + "\n")


def read_reference(statistics: dict[tuple, float], path: str | Path = TABLE) -> dict[tuple, float]:
    """The reference's values under the keys of `statistics`, which it must have been made for."""
    if not Path(path).is_file():
        raise problem(path, "no such file", "the N-body reference", "run scripts/make_halo_reference.py")
    rows = [line.split(",") for line in Path(path).read_text(encoding="utf-8").splitlines()[1:]]
    if len(rows) != len(statistics) or any(row[0] != key[0] for row, key in zip(rows, statistics, strict=True)):
        raise problem(path, "another set of statistics", "those of this version", "run scripts/make_halo_reference.py")
    return {key: float(row[3]) for row, key in zip(rows, statistics, strict=True)}


def box_of_reference(lightcones: dict, cosmology: Cosmology, cell_mpc: float = 1.0) -> HaloBox:
    """The generator's halos in the reference's universe: the same phases on coarser cells."""
    fine = Box((PARTICLES,) * 3, SIDE_MPC / PARTICLES)
    with chunk_runner() as run:
        modes = periodic_field(fine, cosmology, SEED, "cpu", run).modes
    settings = lightcones | {"cell_mpc": SIDE_MPC / (2 * round(SIDE_MPC / cell_mpc / 2)), "mass_min_msun": 2.5e10}
    return generate_box(settings, SIDE_MPC, REDSHIFT, cosmology, SEED, modes=modes)
