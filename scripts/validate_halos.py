#!/usr/bin/env python3
"""Hold light-cones, generated or foreign, and the generator against theory and an N-body run: a table and a page of figures.

Of each light-cone: mass function per redshift slice, velocities, bias per mass band, redshift-space distortion, and the
mean of its painted maps, against theory; counts in cells beside the generator's box, the maps' one-point function beside
those of another generated light-cone. What a light-cone is too small for is left out and named. Of the generator, in box
mode with the study's own settings, where the light-cones are its own (of the painter, where they are painted): bias,
redshift-space distortion, velocities, luminosity function, and counts in cells, power and one-point function beside N-body
halos of the same phases (resources/halo_reference*.csv).

example: python scripts/validate_halos.py --config config/demo.yaml --lightcones cones/9.h5 --output v.csv --figure v.pdf
"""

import sys
from pathlib import Path

from limelight.arguments import Arguments, above
from limelight.errors import plain_errors


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--lightcones", type=Path, nargs="+", required=True, help="light-cone files to measure")
    parser.add_argument("--side", type=above(0), default=320.0, help="side of the generator's box, Mpc (default: 320)")
    parser.add_argument(
        "--redshift", type=above(0), help="of the generator's box (default: 2.9, or mid-band without it)"
    )
    parser.add_output("--output", help="CSV table to write")
    parser.add_output("--figure", metavar="F.pdf", help="PDF to write, with a PNG beside it", beside=(".png",))
    args = parser.parse_args()
    from limelight.ancestry import check_file
    from limelight.figures.style import save
    from limelight.files import write_text
    from limelight.halos.box import generate_box
    from limelight.halos.catalogue import read_catalogue
    from limelight.halos.reference import box_redshift
    from limelight.halos.validation import table_text
    from limelight.probes.line_intensity.figures.halos import validation_page
    from limelight.probes.line_intensity.halo_validation import (
        box_maker,
        generator_rows,
        lightcone_rows,
        yardstick_sums,
    )
    from limelight.probes.line_intensity.settings import lightcone_settings
    from limelight.study.config import load_study

    study = load_study(args.config)
    band = study.grid.redshift_range
    for path in args.lightcones:
        check_file(path, lightcone_settings(study))
    first = read_catalogue(args.lightcones[0])  # a study's light-cones share their cosmology and mass floor
    settings = study.lightcones.model_copy(update={"mass_min_msun": first.geometry["mass_min_msun"]})
    redshift = args.redshift or box_redshift(*band)
    box_cosmology = first.cosmology
    box = generate_box(settings, args.side, redshift, box_cosmology, study.seed)
    yardstick = yardstick_sums(study, settings, band, first.cosmology)
    del first
    rows = []
    for path in args.lightcones:
        found, left_out = lightcone_rows(study, read_catalogue(path), path.stem, box, yardstick)
        rows += found
        for words in left_out:
            print(f"light-cone {path.stem}: left out {words}", file=sys.stderr)
    if study.lightcones.source == "painted":
        box = box_maker(study)(settings, args.side, redshift, box_cosmology, study.seed)
    if study.lightcones.source in ("generate", "painted"):
        rows += generator_rows(study, box, study.seed)
    write_text(args.output, table_text(rows))
    save(validation_page(rows), args.figure, args.lightcones)
    print(f"{args.output}, {args.figure}: {len(rows)} numbers from {len(args.lightcones)} light-cones", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
