#!/usr/bin/env python3
"""What the scatter of the line model alone leaves unknown: counts of each map's own halos, luminosities drawn anew.

No map can tell more than its halos and parameters do, so these intervals are what a perfect method would reach.

example: python scripts/ideal_intervals.py --config config/money.yaml --line-model li_full --output ideal.h5 \\
    --subfields results/money/subfields/{19,20}.h5 --maps results/money/pooled/li_full/{19,20}.h5
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from limelight.errors import plain_errors, problem  # noqa: E402
from limelight.files import provenance  # noqa: E402
from limelight.inference.intervals import write_intervals  # noqa: E402
from limelight.probes.line_intensity.maps.files import read_pooled  # noqa: E402
from limelight.probes.line_intensity.maps.grid import make_grid  # noqa: E402
from limelight.probes.line_intensity.money import ideal_intervals  # noqa: E402
from limelight.study.config import load_study  # noqa: E402
from limelight.study.legacy import (
    grid_section,  # noqa: E402
    stage_settings,  # noqa: E402
)

MAPS, DRAWS = 64, 79


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--line-model", required=True, help="a name in the config's line_models")
    parser.add_argument("--subfields", type=Path, nargs="+", required=True, metavar="S.h5", help="halos of the maps")
    parser.add_argument("--maps", type=Path, nargs="+", required=True, metavar="P.h5", help="their pooled maps")
    parser.add_argument("--most", type=int, default=MAPS, help=f"maps at most, evenly picked (default: {MAPS})")
    parser.add_argument("--draws", type=int, default=DRAWS, help=f"draws of the scatter a map (default: {DRAWS})")
    parser.add_argument("--output", type=Path, required=True, metavar="I.h5", help="intervals file to write")
    args = parser.parse_args()
    study = load_study(args.config)
    if args.line_model not in study["line_models"]:
        known = ", ".join(study["line_models"])
        raise problem("--line-model", f"'{args.line_model}'", f"one of {known}", "choose one")
    settings = stage_settings(study, "pooled", args.line_model)
    grid = make_grid(grid_section(study, args.line_model), study["subfields"]["size_deg"])
    data = read_pooled(args.maps)
    result = ideal_intervals(args.subfields, data, settings["line_model"], grid, study["seed"], args.most, args.draws)
    write_intervals(args.output, result, provenance(settings, study["seed"]))
    print(f"{args.output}: {len(result.truth)} maps, {args.draws} draws each", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
