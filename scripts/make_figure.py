#!/usr/bin/env python3
"""Draw one figure of a study, as PDF and as PNG beside it, from evaluation files alone.

figures: {figures}

example: python scripts/make_figure.py --figure error_bands --evaluation evaluation/limelight/*.h5 --output error_bands.pdf
"""

import argparse
import sys
from pathlib import Path

from limelight.errors import plain_errors, problem
from limelight.evaluation.evaluation_file import read_evaluation
from limelight.figures import FIGURES, draw
from limelight.figures.style import save


def main() -> None:
    about = __doc__.format(figures=", ".join(FIGURES))
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figure", required=True, choices=FIGURES, metavar="NAME", help="which figure")
    parser.add_argument("--evaluation", type=Path, nargs="+", required=True, metavar="E.h5", help="evaluation files")
    parser.add_argument("--maps", type=int, nargs="+", help="test maps shown one by one (default: the study's choice)")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="F.pdf", help="the PDF; a PNG is written beside it"
    )
    args = parser.parse_args()
    if args.output.suffix != ".pdf":
        raise problem("--output", f"'{args.output}'", "a name that ends in .pdf", "the PNG is written beside it")
    figure = draw(args.figure, [read_evaluation(path) for path in args.evaluation], args.maps)
    save(figure, args.output, args.evaluation)
    print(f"{args.output} and .png: {args.figure} of {len(args.evaluation)} evaluations", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
