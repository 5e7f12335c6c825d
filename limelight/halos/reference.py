"""The N-body references of the halo validation: their settings, tables, and the generator's box of the same phases."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from limelight.cosmology import Cosmology
from limelight.errors import problem
from limelight.files import read_csv, resource_path, write_csv
from limelight.halos.box import HaloBox, generate_box
from limelight.halos.config import Lightcones
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
    # Two constants of the generator were read off an earlier run of these phases, whose early forces were wrong
    "fitted": Reference(128.0, 256, 11, FOLDER / "halo_reference.csv"),
    "independent": Reference(96.0, 192, 12, FOLDER / "halo_reference_independent.csv"),
}


def box_redshift(redshift_min: float, redshift_max: float) -> float:
    """Where a study's generator is held against theory: at the N-body runs' redshift if in its band, else mid-band."""
    return REDSHIFT if redshift_min <= REDSHIFT <= redshift_max else 0.5 * (redshift_min + redshift_max)


def write_reference(path: str | Path, statistics: dict[tuple, float]) -> None:
    """Write the statistics of the reference halos as CSV."""
    rows = [
        {"quantity": name, "density_per_mpc3": float(density), "at": float(at), "value": float(value)}
        for (name, density, at), value in statistics.items()
    ]
    write_csv(path, rows, digits=6)


def read_reference(statistics: dict[tuple, float], path: str | Path) -> dict[tuple, float]:
    """The reference's values under the keys of `statistics`, which it must have been made for."""
    table = read_csv(path, "the N-body reference of scripts/make_halo_reference.py")
    if list(table["quantity"]) != [name for name, _, _ in statistics]:
        raise problem(path, "another set of statistics", "those of this version", "run scripts/make_halo_reference.py")
    return dict(zip(statistics, table["value"].tolist(), strict=True))


def box_of_reference(
    reference: Reference, lightcones: Lightcones, cosmology: Cosmology, cell_mpc: float = 1.0,
    make: Callable[..., HaloBox] = generate_box
) -> HaloBox:  # fmt: skip
    """The generator's halos in the reference's universe: the same phases on coarser cells. make: as generate_box."""
    side = reference.side_mpc
    fine = Box((reference.particles,) * 3, side / reference.particles)
    with chunk_runner() as run:
        modes = periodic_field(fine, cosmology, reference.seed, "cpu", run).modes
    own = {"cell_mpc": side / (2 * round(side / cell_mpc / 2)), "mass_min_msun": 2.5e10}
    settings = lightcones.model_copy(update=own)
    return make(settings, side, REDSHIFT, cosmology, reference.seed, modes=modes)
