#!/usr/bin/env python3
"""Say what a limelight file is: its kind, what made it, and what it holds (any HDF5 stage, model.pt, history.csv, figures).

example: python scripts/describe.py results/demo/networks/limelight/model.pt
"""

from pathlib import Path

from limelight.arguments import Arguments
from limelight.errors import plain_errors


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("file", type=Path, nargs="+", metavar="FILE", help="files to describe")
    args = parser.parse_args()
    from limelight.describe import describe

    for path in args.file:
        print(describe(path))


if __name__ == "__main__":
    with plain_errors():
        main()
