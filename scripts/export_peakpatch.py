#!/usr/bin/env python3
"""Write a light-cone as a Peak Patch .npz, the catalogue that limlam_mocker reads.

Positions Mpc, velocities km/s, M in Msun, zhalo with the peculiar velocity, ra = atan2(-x, z), dec = asin(y/chi).
zform is the median formation redshift (half the mass in one progenitor) of the fit of Giocoli et al. 2012.

example: python scripts/export_peakpatch.py --lightcone results/demo/lightcones/3.h5 --output peakpatch_3.npz
"""

import sys
from pathlib import Path

from limelight.arguments import Arguments
from limelight.errors import plain_errors, problem


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--lightcone", type=Path, required=True, help="light-cone file to read")
    parser.add_output("--output", help=".npz file to write")
    args = parser.parse_args()
    from limelight.halos.catalogue import read_catalogue
    from limelight.halos.formation import formation_redshift
    from limelight.halos.formats.peakpatch import write_peakpatch_npz

    if args.output.suffix != ".npz":
        raise problem(args.output, f"ending '{args.output.suffix}'", ".npz", "name the output so")
    halos = read_catalogue(args.lightcone)
    formed = formation_redshift(halos.mass_msun, halos.redshift, halos.cosmology)
    write_peakpatch_npz(args.output, halos, formed)
    print(f"{args.output}: {len(halos):,} halos", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
