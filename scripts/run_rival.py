#!/usr/bin/env python3
"""Run the classical rival on the maps of a test: MCMC with P(k) and voxel intensities; writes an intervals file.

Chains are kept below --chains and resumed: a killed run loses at most a step. A rival that is `observed` takes the test's
shards (--data) in place of subfields; or, with --survey, one real map on the study's voxels, observed as the test is, of
which it writes the luminosity function as a table.

example: python scripts/run_rival.py --config config/money.yaml --rival li --test fiducial_comap \\
    --emulator results/money/rival/li/emulator.h5 --subfields results/money/subfields/19.h5 --chains chains --output r.h5
"""

import sys
import time
from argparse import Namespace
from pathlib import Path

from limelight.arguments import Arguments
from limelight.errors import plain_errors, problem

LARGE_ERROR = 0.5  # σ, in the median


def arguments() -> Namespace:
    parser = Arguments(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--rival", required=True, help="a name in the config's rival")
    parser.add_argument("--test", required=True, help="name of one of the config's tests")
    parser.add_argument("--emulator", type=Path, required=True, metavar="E.h5", help="of make_rival_emulator.py")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--subfields", type=Path, nargs="+", metavar="S.h5", help="of the test light-cones")
    source.add_argument("--data", type=Path, nargs="+", metavar="D.h5", help="shards of the test (rival: observed)")
    source.add_argument("--survey", type=Path, metavar="NAME.survey.h5", help="one real map (rival: observed)")
    parser.add_argument(
        "--validation", action="store_true", help="--data are validation light-cones': maps that recalibrate (observed)"
    )
    parser.add_argument(
        "--calibration", type=Path, metavar="V.h5", help="what --validation made (rival: observed, validation_maps)"
    )
    parser.add_argument(
        "--chains", type=Path, required=True, metavar="FOLDER", help="where chains are kept and resumed"
    )
    parser.add_argument("--timed", action="store_true", help="store each map's seconds (the file then differs by run)")
    parser.add_output("--output", metavar="R.h5", help="intervals file to write; with --survey a CSV table")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    import torch

    from limelight.ancestry import check_data, check_file
    from limelight.files import provenance
    from limelight.inference.intervals import write_intervals
    from limelight.probes.line_intensity.rival.emulator import read_emulator
    from limelight.probes.line_intensity.rival.observed import read_observed
    from limelight.probes.line_intensity.rival.observed_stage import observed_intervals
    from limelight.probes.line_intensity.rival.stage import rival_intervals
    from limelight.probes.line_intensity.selection import rival_tests
    from limelight.probes.line_intensity.settings import ObservedRivalSettings, rival_settings
    from limelight.study.config import load_study

    start = time.monotonic()
    study = load_study(args.config)
    if args.rival not in study.rival:
        known = ", ".join(study.rival) or "none"
        raise problem("--rival", f"'{args.rival}'", f"one of the config's: {known}", "name one of them")
    if args.test not in rival_tests(study, args.rival):
        known = ", ".join(rival_tests(study, args.rival))
        raise problem("--test", f"'{args.test}'", f"one of those it takes: {known}", "choose one")
    torch.set_num_threads(1)
    settings = rival_settings(study, args.rival, args.test, args.validation)
    check_file(args.emulator, settings.emulator)
    if isinstance(settings, ObservedRivalSettings):
        if args.subfields:
            raise problem(
                "--subfields", "those of a test", "--data, the test's shards: the rival is observed", "mend it"
            )
        if args.calibration:
            check_file(args.calibration, rival_settings(study, args.rival, args.test, validation=True))
        if args.survey:
            if args.validation or args.timed:
                found = "beside --validation or --timed, which are for maps of a test"
                raise problem("--survey", found, "neither", "leave them out")
            of_one_map(args, settings)
            return
        check_data(args.data, {settings.shards.maps.name: settings.shards})
        emulator = read_observed(args.emulator)
        result = observed_intervals(settings, emulator, args.data, args.chains, args.timed, args.calibration)
    else:
        if not args.subfields:
            raise problem("the rival", "one that paints its maps", "--subfields of the test light-cones", "give them")
        if args.calibration:
            raise problem("--calibration", "a rival that paints its maps", "one that is observed", "leave it out")
        for path in args.subfields:
            check_file(path, settings.maps.subfields)
        result = rival_intervals(settings, read_emulator(args.emulator), args.subfields, args.chains, args.timed)
    write_intervals(args.output, result, provenance(settings, study.seed))
    print(f"{args.output}: {len(result.truth)} maps in {time.monotonic() - start:.1f} s", file=sys.stderr)
    tell(result)


def tell(result) -> None:
    """Print how well chains and emulator did, with a warning for each that should have been better."""
    checks, (middle, large) = result.extra, result.settings["emulator_error_sigma"]
    print(f"R-hat up to {checks['rhat'].max():.3f}, ESS from {checks['ess'].min():.0f}", file=sys.stderr)
    print(f"emulator off by {middle:.2f} σ of a map's summaries in the median, {large:.2f} in 1 of 20", file=sys.stderr)
    if middle > LARGE_ERROR:
        print("warning: the emulator is too coarse for this noise: more nodes would do it good", file=sys.stderr)
    late = (checks["rhat"] > 1.1).any(1).sum()
    if late:
        print(f"warning: {late} maps with R-hat above 1.1: more steps would do them good", file=sys.stderr)


def of_one_map(args, settings) -> None:
    """The table of one real map: what scripts/predict.py writes, of the rival."""
    import numpy as np

    from limelight.files import write_csv
    from limelight.probes.line_intensity.maps.survey import load_survey
    from limelight.probes.line_intensity.rival.observed import read_observed
    from limelight.probes.line_intensity.rival.observed_stage import map_posterior

    survey = load_survey(args.survey)
    emulator = read_observed(args.emulator)
    table, checks = map_posterior(settings, emulator, survey, args.chains, args.survey, args.calibration)
    write_csv(args.output, table, digits=8)
    words = (
        f"R-hat up to {checks['rhat'].max():.3f}; χ² {checks['chi2']:.0f} at its best for {checks['numbers']} numbers"
    )
    print(f"{args.output}: {words}", file=sys.stderr)
    if np.any(checks["rhat"] > 1.1):
        print("warning: R-hat above 1.1: more steps would do it good", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
