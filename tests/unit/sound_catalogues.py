"""Sound foreign boxes and light-cones with clustering, which the checks must let through; and how many they refuse.

All of them: `python tests/unit/sound_catalogues.py [first seed]` (minutes). The test takes a few.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from limelight.cosmology import Cosmology
from limelight.errors import LimelightError
from limelight.halos.box import generate_box
from limelight.halos.config import Lightcones
from limelight.halos.coverage import check_box, check_cone
from limelight.halos.formats.common import Foreign
from limelight.halos.generator import generate_lightcone
from limelight.halos.speeds import check_observed, check_speeds
from limelight.matter.particle_mesh import friends_of_friends, run_particle_mesh

COSMOLOGY = Cosmology()
SPLITS = {"train": [0], "validation": [1], "test": [2]}
CRITICAL_H2 = 2.775e11  # Msun/Mpc³ for h = 1
FLOORS = (2.5e10, 3e11, 2e12)  # a light-cone is also judged with its heaviest halos alone: fewer, more clustered


def particle_mesh_box(side: float, particles: int, redshift: float, seed: int, least: int = 10) -> Foreign:
    """Friends-of-friends halos of a small particle-mesh run, in a box of side Mpc."""
    position, velocity, _ = run_particle_mesh(side, particles, redshift, COSMOLOGY, seed, steps=10)
    place, speed, members = friends_of_friends(position, velocity, side, least=least)
    particle = CRITICAL_H2 * COSMOLOGY.omega_m * COSMOLOGY.h**2 * (side / particles) ** 3
    return Foreign(place, speed, members * particle, redshift, side, path=Path(f"pm {side:g} Mpc, seed {seed}"))


def boxes(seeds: range, particle_mesh: list[tuple[float, int, float]]) -> Iterator[Foreign]:
    """Particle-mesh boxes and generated ones, of several sizes, redshifts and mass floors."""
    for seed in seeds:
        for side, particles, redshift in particle_mesh:
            yield particle_mesh_box(side, particles, redshift, seed)
        for side, redshift, floor in ((50.0, 2.9, 2.5e10), (100.0, 2.9, 5e11), (100.0, 0.5, 2e12)):
            box = generate_box(Lightcones(field_deg=1, **SPLITS, mass_min_msun=floor), side, redshift, COSMOLOGY, seed)
            path = Path(f"box of {side:g} Mpc, seed {seed}")
            yield Foreign(box.position_mpc, box.velocity_kms, box.mass_msun, redshift, box.side_mpc, path=path)


def judge_boxes(sound: Iterator[Foreign]) -> list[str]:
    """The verdict on each: empty, or the line of the refusal."""
    verdicts = []
    for box in sound:
        try:
            check_box(box, COSMOLOGY)
            check_speeds(box.velocity_kms, box.position_mpc, box.redshift, COSMOLOGY, box.path, box.box_mpc)
            verdicts.append("")
        except LimelightError as error:
            verdicts.append(str(error))
    return verdicts


def judge_cones(seeds: range, field_deg: float, band: tuple[float, float]) -> list[str]:
    """The verdicts on generated light-cones above each of the FLOORS."""
    verdicts, half = [], float(np.radians(field_deg / 2))
    for seed in seeds:
        settings = Lightcones(field_deg=field_deg, **SPLITS, mass_min_msun=FLOORS[0])
        cone = generate_lightcone(settings, *band, COSMOLOGY, seed)
        for floor in FLOORS:
            keep = cone.mass_msun >= floor
            where = f"cone of {field_deg:g}°, z = {band}, seed {seed}, {keep.sum()} above {floor:g} Msun"
            position, velocity = cone.position_mpc[keep], cone.velocity_kms[keep]
            try:
                check_cone(position, cone.mass_msun[keep], half, band, COSMOLOGY, "tinker08", where)
                check_speeds(velocity, position, sum(band) / 2, COSMOLOGY, where)
                observed = cone.redshift_observed[keep]
                check_observed(observed, cone.redshift[keep], observed, where)
                verdicts.append("")
            except LimelightError as error:
                verdicts.append(str(error))
    return verdicts


if __name__ == "__main__":
    start = int(sys.argv[1]) if len(sys.argv) > 1 else 0  # the first seed
    kinds = {
        "boxes": lambda: judge_boxes(boxes(range(start, start + 5), [(50.0, 48, 2.9), (100.0, 64, 0.5)])),
        "cones of 0.5°": lambda: judge_cones(range(start, start + 6), 0.5, (2.4, 3.4)),
        "cones of 1.4°, narrow band": lambda: judge_cones(range(start, start + 6), 1.4, (2.8, 3.0)),
        "cones of 1.4°": lambda: judge_cones(range(start, start + 3), 1.4, (2.4, 3.4)),
    }
    for kind, judge in kinds.items():
        verdicts = judge()
        refused = [line for line in verdicts if line]
        print(f"{kind}: {len(refused)} of {len(verdicts)} refused", *refused, sep="\n  ", flush=True)
