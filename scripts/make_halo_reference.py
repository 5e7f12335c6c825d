#!/usr/bin/env python3
"""Make the N-body truth of the halo validation, resources/halo_reference*.csv: minutes on two cores, needed once.

A particle-mesh run (256³ particles in 128 Mpc, or 192³ in 96 Mpc; mesh twice as fine, 32 steps from 2LPT at z = 19 to 2.9)
and friends-of-friends halos of 20 particles and more; the table holds their counts in cells, power and one-point function.

example: python scripts/make_halo_reference.py --reference independent
"""

import sys

from limelight.arguments import Arguments
from limelight.errors import plain_errors, problem


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--reference", metavar="fitted|independent", required=True, help="which of the two runs")
    parser.add_output("--output", required=False, help="CSV to write (default: its place in resources/)")
    args = parser.parse_args()
    from limelight.cosmology import Cosmology
    from limelight.halos.reference import REDSHIFT, REFERENCES, write_reference
    from limelight.halos.validation import clustering_statistics
    from limelight.matter.particle_mesh import friends_of_friends, run_particle_mesh

    if args.reference not in REFERENCES:
        raise problem("--reference", f"'{args.reference}'", f"one of {', '.join(REFERENCES)}", "choose one")
    run = REFERENCES[args.reference]
    position, velocity, _ = run_particle_mesh(run.side_mpc, run.particles, REDSHIFT, Cosmology(), run.seed)
    centre, _, members = friends_of_friends(position, velocity, run.side_mpc)
    output = args.output or run.table
    write_reference(output, clustering_statistics(centre, members, run.side_mpc))
    print(f"{output}: {len(members):,} halos", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
