#!/usr/bin/env python3
"""Say what a limelight file is: its kind, what made it, and what it holds (any HDF5 stage, model.pt, history.csv, figures).

example: python scripts/describe.py results/demo/networks/limelight/model.pt
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from limelight.describe import describe  # noqa: E402
from limelight.errors import plain_errors  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="+", metavar="FILE", help="files to describe")
    for path in parser.parse_args().file:
        print(describe(path))


if __name__ == "__main__":
    with plain_errors():
        main()
