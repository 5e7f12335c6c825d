#!/usr/bin/env python3
"""Turn a light-cone about the line of sight and cut it into subfields, the sky of one map each.

The config's `subfields` says how: size_deg, per_side, rotations_deg, reflections. A subfield that sticks out of the turned
light-cone is left out. The file records which subfields share sky.

example: python scripts/make_subfields.py --config config/demo.yaml --lightcone lightcones/3.h5 --output subfields/3.h5
"""

import sys
import time
from pathlib import Path

from limelight.arguments import Arguments
from limelight.errors import plain_errors, problem


def lightcone_number(path: Path) -> int:
    """Which light-cone a file holds: its attribute `lightcone`, or else the number it is named by."""
    from limelight.files import attribute, read_hdf5
    from limelight.halos.catalogue import KIND

    with read_hdf5(path, KIND) as file:
        if "lightcone" in file.attrs:
            return int(attribute(file, "lightcone"))
    if path.stem.isdigit():
        return int(path.stem)
    raise problem(path, "no light-cone number in it", "a name such as lightcones/3.h5", "rename the file")


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--lightcone", type=Path, required=True, help="light-cone file to cut")
    parser.add_output("--output", help="subfields file to write")
    args = parser.parse_args()
    from limelight.ancestry import check_file
    from limelight.files import provenance
    from limelight.halos.catalogue import read_catalogue
    from limelight.halos.subfields import write_subfields
    from limelight.probes.line_intensity.settings import subfield_settings
    from limelight.study.config import load_study

    start = time.monotonic()
    settings = subfield_settings(load_study(args.config))
    number = lightcone_number(args.lightcone)
    check_file(args.lightcone, settings.lightcone)
    halos = read_catalogue(args.lightcone)
    cuts = settings.subfields
    attributes = provenance(settings, settings.lightcone.seed) | {"lightcone": number}
    plan = write_subfields(args.output, halos, cuts, attributes)
    left_out = len(cuts.rotations_deg) * (1 + cuts.reflections) * cuts.per_side**2 - len(plan)
    print(
        f"{args.output}: {len(plan)} subfields of {plan.size_deg:g}° ({left_out} that stick out of the light-cone are"
        f" left out), {plan.offsets[-1]:,} halos out of {len(halos):,}, {time.monotonic() - start:.1f} s",
        file=sys.stderr,
    )


if __name__ == "__main__":
    with plain_errors():
        main()
