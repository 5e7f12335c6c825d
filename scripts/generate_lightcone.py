#!/usr/bin/env python3
"""Make the halos of one light-cone from the study's seed: abundance, clustering, evolution and velocities.

The config's `lightcones` says how wide, how deep in mass and how fine; `grid` gives the band and hence the redshifts.
Threads are those of OMP_NUM_THREADS; the halos do not depend on them.

example: python scripts/generate_lightcone.py --config config/demo.yaml --lightcone 3 --output lightcones/3.h5
"""

import sys
import time
from pathlib import Path

from limelight.arguments import Arguments, whole
from limelight.device import DEVICES, pick_device
from limelight.errors import plain_errors


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--lightcone", type=whole(0), required=True, help="number of the light-cone, part of its seed")
    parser.add_output("--output", help="light-cone file to write")
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where it runs (default: cpu)")
    args = parser.parse_args()
    from limelight.files import provenance
    from limelight.halos.catalogue import write_catalogue
    from limelight.halos.generator import generate_lightcone
    from limelight.probes.line_intensity.settings import lightcone_settings
    from limelight.seeds import torch_seed
    from limelight.study.config import load_study

    start = time.monotonic()
    settings = lightcone_settings(load_study(args.config))
    halos = generate_lightcone(
        settings.lightcones,
        *settings.redshift_range,
        settings.cosmology,
        torch_seed(settings.seed, "light-cone", args.lightcone),
        pick_device(args.device),
    )
    made = time.monotonic() - start
    attributes = provenance(settings, settings.seed) | {"lightcone": args.lightcone}
    write_catalogue(args.output, halos, attributes)
    print(
        f"{args.output}: {len(halos):,} halos in {made:.1f} s, written in {time.monotonic() - start - made:.1f} s",
        file=sys.stderr,
    )


if __name__ == "__main__":
    with plain_errors():
        main()
