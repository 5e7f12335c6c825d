#!/usr/bin/env python3
"""Paint the training light-cones over a rival's prior and write its emulator of P(k) and voxel intensities.

A rival that is `observed` paints nothing: it measures the training shards (--data), observed as those of its tests are.

example: python scripts/make_rival_emulator.py --config config/money.yaml --rival li \\
    --subfields results/money/subfields/0.h5 results/money/subfields/1.h5 --output emulator.h5
"""

import sys
import time
from pathlib import Path

from limelight.arguments import Arguments
from limelight.errors import plain_errors, problem


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--rival", required=True, help="a name in the config's rival")
    parser.add_argument(
        "--subfields", type=Path, nargs="+", required=True, metavar="S.h5", help="of the training light-cones"
    )
    parser.add_argument(
        "--data", type=Path, nargs="+", default=[], metavar="D.h5", help="shards of them, for a rival that is observed"
    )
    parser.add_output("--output", metavar="E.h5", help="emulator file to write")
    args = parser.parse_args()
    import torch

    from limelight.ancestry import check_data, check_file
    from limelight.files import provenance
    from limelight.probes.line_intensity.rival.emulator import write_emulator
    from limelight.probes.line_intensity.rival.observed import write_observed
    from limelight.probes.line_intensity.rival.observed_stage import observed_emulator
    from limelight.probes.line_intensity.rival.stage import emulator_stage
    from limelight.probes.line_intensity.settings import ObservedEmulatorSettings, emulator_settings
    from limelight.study.config import load_study

    start = time.monotonic()
    study = load_study(args.config)
    if args.rival not in study.rival:
        known = ", ".join(study.rival) or "none"
        raise problem("--rival", f"'{args.rival}'", f"one of the config's: {known}", "name one of them")
    torch.set_num_threads(1)
    settings, made = emulator_settings(study, args.rival), provenance(emulator_settings(study, args.rival), study.seed)
    observed = isinstance(settings, ObservedEmulatorSettings)
    if observed != bool(args.data):
        expected = "the training shards of its line_model" if observed else "none: it paints its own maps"
        raise problem("--data", f"{len(args.data)} files", expected, "mend the command")
    for path in args.subfields:
        check_file(path, settings.shards.maps.subfields if observed else settings.subfields)
    if observed:
        check_data(args.data, {settings.shards.maps.name: settings.shards})
        simulated = observed_emulator(settings, args.subfields, args.data)
        write_observed(args.output, simulated, made)
        words = f"{len(simulated.parameters)} maps under {len(simulated.data)} observations"
    else:
        emulator = emulator_stage(settings, args.subfields)
        write_emulator(args.output, emulator, made)
        words = (
            f"{len(emulator.nodes)} shapes on {emulator.realisations} fields, {len(emulator.parameters)} further maps"
        )
    print(f"{args.output}: {words}; {time.monotonic() - start:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
