#!/usr/bin/env python3
"""Write one map of a maps or pooled file as a FITS cube with a world coordinate system (RA, Dec, frequency).

example: python scripts/export_fits.py --input results/demo/shards/li10/9.h5 --map 0 --output cube.fits
"""

from pathlib import Path

from limelight.arguments import Arguments, whole
from limelight.errors import plain_errors


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--input", type=Path, required=True, help="maps or pooled file")
    parser.add_argument("--map", type=whole(0), default=0, help="which of its maps, counted from 0 (default: 0)")
    parser.add_output("--output", help="FITS file to write")
    args = parser.parse_args()
    from limelight.probes.line_intensity.maps.fits import export_map

    export_map(args.input, args.map, args.output)


if __name__ == "__main__":
    with plain_errors():
        main()
