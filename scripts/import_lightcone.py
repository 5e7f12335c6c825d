#!/usr/bin/env python3
"""Make a light-cone from halo catalogues of another code: Peak Patch, Rockstar, UniverseMachine, Subfind, Abacus, a table.

The config says which: lightcones.source (the format), lightcones.files (the path; {lightcone} stands for the number) and,
where the files are silent, lightcones.catalogue. Boxes are tiled onto the light-cone. See docs/catalogues.md.

example: python scripts/import_lightcone.py --config config/mine.yaml --lightcone 3 --output lightcones/3.h5
"""

import sys
import time
from pathlib import Path

from limelight.arguments import Arguments, whole
from limelight.errors import plain_errors


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--lightcone", type=whole(0), required=True, help="number of the light-cone")
    parser.add_output("--output", help="light-cone file to write")
    args = parser.parse_args()
    from limelight.files import provenance
    from limelight.halos.catalogue import write_catalogue
    from limelight.halos.foreign import import_lightcone
    from limelight.probes.line_intensity.settings import lightcone_settings
    from limelight.study.config import load_study

    start = time.monotonic()
    study = load_study(args.config)
    settings = lightcone_settings(study)
    given = study.lightcones, settings.cosmology, settings.redshift_range, study.seed
    halos, attributes = import_lightcone(*given, args.lightcone)
    attributes |= provenance(settings, study.seed)
    write_catalogue(args.output, halos, attributes)
    for snapshot in attributes["snapshots"]:
        files, (low, high) = snapshot["files"], snapshot["fills"]
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        print(f"z = {snapshot['redshift']:.3f}, filling {low:.3f} to {high:.3f}: {files[0]}{more}", file=sys.stderr)
    for notes, left_out in zip(attributes["conversions"], attributes["left_out"], strict=True):
        counts = {why: f"{count:,} left out" for why, count in left_out.items() if count}
        for name, text in {**notes, **counts}.items():
            print(f"{name}: {text}", file=sys.stderr)
    for text in attributes["warnings"]:
        print(f"warning: {text}", file=sys.stderr)
    floor, wanted = halos.geometry["mass_min_msun"], study.lightcones.mass_min_msun
    if floor > wanted:
        print(f"note: the lightest halo has {floor:.3g} Msun, above mass_min_msun ({wanted:.3g})", file=sys.stderr)
    print(f"{args.output}: {len(halos):,} halos, {time.monotonic() - start:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
