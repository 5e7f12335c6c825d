#!/usr/bin/env python3
"""Make resources/halo_reference.csv, the N-body truth of the halo validation: minutes on two cores, needed once.

A particle-mesh run (256³ particles, 128 Mpc, mesh 512³, 16 steps from 2LPT at z = 19 to 2.9) and friends-of-friends
halos of 20 particles and more; the table holds their counts in cells, power and one-point function.

example: python scripts/make_halo_reference.py --output resources/halo_reference.csv
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from limelight.cosmology import Cosmology  # noqa: E402
from limelight.errors import plain_errors  # noqa: E402
from limelight.halos.particle_mesh import friends_of_friends, run_particle_mesh  # noqa: E402
from limelight.halos.reference import PARTICLES, REDSHIFT, SEED, SIDE_MPC, write_reference  # noqa: E402
from limelight.halos.validation import clustering_statistics  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="CSV to write")
    args = parser.parse_args()
    position, velocity, _ = run_particle_mesh(SIDE_MPC, PARTICLES, REDSHIFT, Cosmology(), SEED)
    centre, _, members = friends_of_friends(position, velocity, SIDE_MPC)
    write_reference(args.output, clustering_statistics(centre, members, SIDE_MPC))
    print(f"{args.output}: {len(members):,} halos", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
