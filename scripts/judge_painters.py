#!/usr/bin/env python3
"""Hold painted halos against the true ones of unseen boxes (docs/halo_field.md).

example: python scripts/judge_painters.py --config config/halo_field.yaml --networks networks/*/model.pt \\
    --tests shards/boxes/8.h5 shards/boxes/9.h5 --others shards/boxes/0.h5 shards/boxes/1.h5 --output painted/statistics.csv
"""

import sys
import time
from pathlib import Path

from limelight.arguments import Arguments
from limelight.errors import plain_errors


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument(
        "--networks", type=Path, nargs="+", required=True, metavar="MODEL.pt", help="its trained painters"
    )
    parser.add_argument(
        "--tests", type=Path, nargs="+", required=True, metavar="SHARD.h5", help="test boxes of all its tests"
    )
    parser.add_argument(
        "--others",
        type=Path,
        nargs="+",
        required=True,
        metavar="SHARD.h5",
        help="training and validation boxes: the scatter from box to box is told by them too",
    )
    parser.add_output(
        "--output",
        metavar="S.csv",
        help="table; figures of slices and of statistics stand beside it",
        beside=(".slices.pdf", ".slices.png", ".ratios.pdf", ".ratios.png"),
    )
    args = parser.parse_args()
    from limelight.figures.style import save, style
    from limelight.files import write_csv
    from limelight.probes.halo_field import figures, stages
    from limelight.probes.halo_field.judging import COLUMNS

    start = time.monotonic()
    study = stages.load(args.config)
    rows, example = stages.judge_painters(study, args.networks, args.tests, args.others)
    write_csv(args.output, rows, 5, COLUMNS)
    with style():
        slices, ratios = figures.slices_figure(*example), figures.statistics_figure(rows, rows[0]["test"])
    save(slices, args.output.with_suffix(".slices.png"), args.tests)
    save(ratios, args.output.with_suffix(".ratios.png"), args.tests)
    print(f"{args.output}: {len(rows)} rows; {time.monotonic() - start:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
