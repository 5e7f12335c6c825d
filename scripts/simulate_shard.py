#!/usr/bin/env python3
"""Simulate one realisation of a dataset with the study's probe: a shard that networks train on (docs/data_format.md).

Probes whose data take several stages (line_intensity) have scripts of their own for them.

example: python scripts/simulate_shard.py --config config/gaussian_field.yaml --dataset fields --realisation 3 --output 3.h5
"""

import sys
import time
from pathlib import Path

from limelight.arguments import Arguments, whole
from limelight.errors import plain_errors


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--dataset", required=True, help="name of the dataset in the config")
    parser.add_argument("--realisation", type=whole(0), required=True, metavar="N", help="which realisation")
    parser.add_output("--output", metavar="SHARD.h5", help="shard to write")
    args = parser.parse_args()
    from limelight.stages.simulate import simulate
    from limelight.study.config import load_study

    start = time.monotonic()
    found = simulate(load_study(args.config), args.dataset, args.realisation, args.output)
    print(f"{args.output}: {len(found)} rows; {time.monotonic() - start:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
