#!/usr/bin/env python3
"""Fit the bias models of a study to the halos of training boxes and sample their posteriors with NUTS (docs/halo_field.md).

Interrupt it as you like: finished chains stay in the folder of checkpoints, and the same command goes on with the others.

example: python scripts/sample_bias.py --config config/halo_field.yaml --train shards/boxes/0.h5 \\
    --tests shards/boxes/8.h5 shards/boxes/9.h5 --checkpoints checkpoints/bias --output bias/ladder.csv
"""

import sys
import time
from pathlib import Path

from limelight.arguments import Arguments
from limelight.errors import plain_errors

TABLES = ("bands", "statistics", "calibration")


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument(
        "--train", type=Path, nargs="+", required=True, metavar="SHARD.h5", help="training boxes to fit to"
    )
    parser.add_argument("--tests", type=Path, nargs="+", required=True, metavar="SHARD.h5", help="test boxes")
    parser.add_argument("--checkpoints", type=Path, required=True, metavar="DIR", help="folder of the chains")
    parser.add_output(
        "--output",
        metavar="L.csv",
        help="ladder of models; tables and figures stand beside it",
        beside=(
            *(f".{table}.csv" for table in TABLES),
            *(f".{name}.{kind}" for name in ("models", "bands", "chains", "ranks") for kind in ("pdf", "png")),
        ),
    )
    args = parser.parse_args()
    from limelight.figures.style import save, style
    from limelight.files import write_csv
    from limelight.probes.halo_field import figures, stages
    from limelight.probes.halo_field.bias_calibration import SBC_COLUMNS
    from limelight.probes.halo_field.bias_study import BAND_COLUMNS, LADDER_COLUMNS
    from limelight.probes.halo_field.judging import COLUMNS

    start = time.monotonic()
    study = stages.load(args.config)
    found = stages.sample_bias(study, args.train, args.tests, args.checkpoints)
    write_csv(args.output, found.ladder, 6, LADDER_COLUMNS)
    for table, rows, columns in zip(
        TABLES, (found.bands, found.statistics, found.calibration), (BAND_COLUMNS, COLUMNS, SBC_COLUMNS), strict=True
    ):
        write_csv(args.output.with_suffix(f".{table}.csv"), rows, 6, columns)
    with style():
        models = figures.ladder_figure(found.ladder)
        bands, chains = figures.bands_figure(found.bands), figures.chains_figure(*found.last)
    save(models, args.output.with_suffix(".models.png"), args.tests)
    save(bands, args.output.with_suffix(".bands.png"), args.train)
    save(chains, args.output.with_suffix(".chains.png"), args.train)
    if found.ranks:
        with style():
            ranks = figures.ranks_figure(found.ranks)
        save(ranks, args.output.with_suffix(".ranks.png"), args.train)
    print(f"{args.output}: {len(found.ladder)} rows; {time.monotonic() - start:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
