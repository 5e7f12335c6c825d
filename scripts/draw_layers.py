#!/usr/bin/env python3
"""Draw the filters or the feature maps of a network from its layers file, as PDF and as PNG beside it.

example: python scripts/draw_layers.py --figure feature_maps --layers layers/limelight.h5 --output feature_maps.pdf
"""

import argparse
import sys
from pathlib import Path

from limelight.errors import plain_errors, problem
from limelight.evaluation.layers import read_layers
from limelight.figures.layers import LAYER_FIGURES
from limelight.figures.style import save


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figure", required=True, choices=LAYER_FIGURES, help="which figure")
    parser.add_argument("--layers", type=Path, required=True, metavar="L.h5", help="file of scripts/show_layers.py")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="F.pdf", help="the PDF; a PNG is written beside it"
    )
    args = parser.parse_args()
    if args.output.suffix != ".pdf":
        raise problem("--output", f"'{args.output}'", "a name that ends in .pdf", "the PNG is written beside it")
    save(LAYER_FIGURES[args.figure](read_layers(args.layers)), args.output, [args.layers])
    print(f"{args.output} and .png: {args.figure} of {args.layers}", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
