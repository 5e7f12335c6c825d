#!/usr/bin/env python3
"""Make the halos of one light-cone with a trained painter: the generator's density, on which a network puts halos.

The config's `lightcones` names the painter and says how wide, how deep in mass and how fine; `grid` gives the band and hence
the redshifts. Halos lighter than the painter knows are the generator's. Threads are those of OMP_NUM_THREADS; the halos do
not depend on them.

example: python scripts/paint_lightcone.py --config my.yaml --lightcone 3 --output lightcones/3.h5
"""

import sys
import time
from pathlib import Path

from limelight.arguments import Arguments, whole
from limelight.errors import plain_errors, problem


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--lightcone", type=whole(0), required=True, help="number of the light-cone, part of its seed")
    parser.add_output("--output", help="light-cone file to write")
    args = parser.parse_args()
    from limelight.files import provenance
    from limelight.halos.catalogue import write_catalogue
    from limelight.halos.painted import paint_lightcone
    from limelight.probes.line_intensity.settings import lightcone_settings
    from limelight.seeds import torch_seed
    from limelight.study.config import load_study
    from limelight.training.painter import load_painter

    settings = lightcone_settings(load_study(args.config))
    cones = settings.lightcones
    if cones.source != "painted":
        raise problem("lightcones.source", cones.source, "painted", "use generate_lightcone.py or import_lightcone.py")
    start = time.monotonic()
    painter = load_painter(str(cones.painter))
    seed = torch_seed(settings.seed, "light-cone", args.lightcone)
    halos = paint_lightcone(cones, painter, *settings.redshift_range, settings.cosmology, seed)
    made = time.monotonic() - start
    attributes = provenance(settings, settings.seed) | painter.card()
    below = "" if cones.mass_min_msun >= painter.edges_msun[0] else f"the generator's ({cones.method})"
    attributes |= {"lightcone": args.lightcone, "source": "painted", "below_painted": below or "none"}
    write_catalogue(args.output, halos, attributes)
    floor = halos.geometry["painted_from_msun"]
    print(
        f"{args.output}: {len(halos):,} halos in {made:.1f} s, {(halos.mass_msun >= floor).sum():,} of them painted, from"
        f" {floor:.3g} Msun up; written in {time.monotonic() - start - made:.1f} s",
        file=sys.stderr,
    )


if __name__ == "__main__":
    with plain_errors():
        main()
