"""Seconds of one map's posterior: networks against the rival, as ratios of medians.

Files drawn with --timed, on one machine that did nothing else:
  python scripts/sample_posterior.py --timed --config C --test T --posterior posterior.pt --maps P.h5 --output n.h5
  python scripts/run_rival.py --timed ... --output r.h5
  python -m benchmarks.posterior_seconds r.h5 n.h5        # the first file is what the others are compared with
"""

import argparse
from pathlib import Path

import numpy as np

from limelight.errors import plain_errors, problem
from limelight.inference.intervals import read_intervals


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("intervals", type=Path, nargs="+", metavar="I.h5", help="intervals files with seconds")
    slowest = None
    for path in parser.parse_args().intervals:
        result = read_intervals(path)
        if not result.seconds.any():
            raise problem(path, "no seconds", "a file drawn with --timed", "draw it again with --timed")
        median = float(np.median(result.seconds))
        slowest = slowest or median
        words = f"{result.method}: {median:.3g} s a map (median of {len(result.seconds)})"
        print(f"{words}, {slowest / median:.3g} × as fast as the first")


if __name__ == "__main__":
    with plain_errors():
        main()
