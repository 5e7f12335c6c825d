#!/usr/bin/env python3
"""What the scatter of the line model alone leaves unknown: counts of each map's own halos, luminosities drawn anew.

No map can tell more than its halos and parameters do, so these intervals are what a perfect method would reach.

example: python scripts/ideal_intervals.py --config config/money.yaml --line-model li_full --output ideal.h5 \\
    --subfields results/money/subfields/{19,20}.h5 --data results/money/shards/li_full/{19,20}.h5
"""

import sys
from pathlib import Path

from limelight.arguments import Arguments, whole
from limelight.errors import plain_errors, problem

MAPS, DRAWS = 64, 79


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--line-model", required=True, help="a name in the config's line_models")
    parser.add_argument("--subfields", type=Path, nargs="+", required=True, metavar="S.h5", help="halos of the maps")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="SHARD.h5", help="their maps")
    parser.add_argument("--most", type=whole(1), default=MAPS, help=f"maps at most, evenly picked (default: {MAPS})")
    parser.add_argument(
        "--draws", type=whole(2), default=DRAWS, help=f"draws of the scatter per map (default: {DRAWS})"
    )
    parser.add_output("--output", metavar="I.h5", help="intervals file to write")
    args = parser.parse_args()
    from limelight.ancestry import check_data, check_file
    from limelight.data.shard import read_shards
    from limelight.files import provenance
    from limelight.inference.intervals import write_intervals
    from limelight.probes.line_intensity.money import ideal_intervals
    from limelight.probes.line_intensity.settings import shard_settings
    from limelight.study.config import load_study

    study = load_study(args.config)
    if args.line_model not in study.line_models:
        known = ", ".join(study.line_models)
        raise problem("--line-model", f"'{args.line_model}'", f"one of {known}", "choose one")
    settings = shard_settings(study, args.line_model)
    for path in args.subfields:
        check_file(path, settings.maps.subfields)
    check_data(args.data, {args.line_model: settings})
    found = read_shards(args.data)
    result = ideal_intervals(args.subfields, found, settings, args.most, args.draws)
    write_intervals(args.output, result, provenance(settings, study.seed))
    print(f"{args.output}: {len(result.truth)} maps, {args.draws} draws each", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
