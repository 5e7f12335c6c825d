#!/usr/bin/env python3
"""Reconstruct the convergence or E from your own maps of Q and U: FITS in, FITS out.

The map is one FITS image (x, y, 2 or 3) of Q, U or T, Q, U, or two images (x, y), Q and then U, with BUNIT (uK or K), CDELT1
and CDELT2 in degrees and POLCCONV (COSMO or IAU); maps of pixell, which says neither unit nor convention, need --unit and
--convention. A network trained with the loss gaussian also gives the error of each pixel, and of modes.

Pixels must be those the network was trained on (`python scripts/describe.py model.pt` shows them), and the noise (--noise,
σ_P in µK arcmin) that which it was trained with, or in its range. A network trained on periodic patches takes opposite edges
as neighbours; train one with a margin and a taper for cut-outs of the sky. Its taper is put on the map, unless the map has
it already (--mask); any other mask must be 1 wherever the network looks.

example: python scripts/predict_lensing.py --network results/cmb_lensing/networks/kappa/model.pt --map qu.fits \\
    --noise 1.0 --output kappa.fits
"""

import sys
from pathlib import Path

from limelight import __version__
from limelight.arguments import Arguments
from limelight.errors import plain_errors, problem


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--network", type=Path, required=True, metavar="model.pt", help="trained network")
    parser.add_argument(
        "--map", type=Path, required=True, nargs="+", metavar="QU.fits", help="the map to read, or Q.fits and U.fits"
    )
    parser.add_argument(
        "--mask", type=Path, metavar="MASK.fits", help="what the map was multiplied with, 0 to 1 (default: nothing)"
    )
    parser.add_argument("--noise", type=float, required=True, metavar="σ_P", help="of the map, µK arcmin in Q and in U")
    parser.add_argument(
        "--convention", choices=("COSMO", "IAU"), default="", help="of the sign of U, where no header says it"
    )
    parser.add_argument("--unit", choices=("uK", "K"), default="", help="of the map, where no header says it")
    parser.add_output("--output", metavar="K.fits", help="maps to write")
    args = parser.parse_args()
    from limelight.probes.cmb_lensing.apply import (
        check_map,
        check_noise,
        doubts,
        masked_already,
        mode_tables,
        read_pair,
        reconstruct,
        shown,
        write_maps,
    )
    from limelight.stages.answer import unlike_training
    from limelight.training.checkpoint import load_model

    module, info = load_model(args.network)
    if len(args.map) > 2:
        raise problem("--map", f"{len(args.map)} files", "one, or Q and U", "give these")
    maps, header = read_pair(args.map, args.convention, args.unit)
    check_map(maps, header, info, args.map[0])
    check_noise(args.noise, info)
    masked = args.mask is not None and masked_already(args.mask, info)
    for doubt in [*unlike_training([shown(info, maps, masked, bare=True)], info), *doubts(maps, info, args.noise)]:
        print(f"limelight: warning: {args.map[0]}: {doubt}", file=sys.stderr)
    answers = reconstruct(module, info, maps, masked=masked)
    made = {"CREATOR": f"limelight {__version__}", "NETWORK": info["network"]}
    write_maps(args.output, answers, header, made, mode_tables(info))
    if info["header"]["geometry"]["periodic"] and not info["header"]["geometry"]["taper_deg"]:
        note = "was trained on periodic patches: near the edges of a cut-out of the sky its answer is wrong"
        print(f"limelight: note: {info['network']} {note}", file=sys.stderr)
    words = ", ".join(f"{name} with a standard deviation of {values.std():.3g}" for name, values in answers.items())
    print(f"{args.output}: {words}", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
