#!/usr/bin/env python3
"""Smooth maps by the instrument's beam, if the config asks for it, and sum them in blocks: the shard that networks train on.

example: python scripts/pool_maps.py --config config/demo.yaml --maps maps/3.h5 --output shards/3.h5
"""

import functools
from pathlib import Path

from limelight.arguments import Arguments
from limelight.errors import plain_errors, problem


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--maps", type=Path, required=True, help="maps file to pool")
    parser.add_output("--output", metavar="SHARD.h5", help="shard to write")
    args = parser.parse_args()
    from limelight.ancestry import check_file
    from limelight.files import attribute, provenance
    from limelight.probes.line_intensity.maps.files import open_maps
    from limelight.probes.line_intensity.settings import shard_settings
    from limelight.probes.line_intensity.shards import pool_maps
    from limelight.progress import progress
    from limelight.study.config import load_study

    study = load_study(args.config)
    with open_maps(args.maps) as (file, _):
        name, lightcone = attribute(file, "line_model")["name"], attribute(file, "lightcone")
    if name not in study.datasets:
        known = ", ".join(study.datasets)
        raise problem(args.maps, f"maps of line model '{name}'", f"one of the config's: {known}", "use its own config")
    settings = shard_settings(study, name)
    check_file(args.maps, settings.maps)
    show = functools.partial(progress, what=f"pool {name} of light-cone {lightcone}")
    attributes = provenance(settings, study.seed)
    pool_maps(args.output, args.maps, settings.grid, settings.beam_fwhm_arcmin, attributes, show)


if __name__ == "__main__":
    with plain_errors():
        main()
