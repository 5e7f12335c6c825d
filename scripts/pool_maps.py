#!/usr/bin/env python3
"""Smooth maps by the instrument's beam, if the config asks for it, and sum them in blocks: what networks train on.

example: python scripts/pool_maps.py --config config/demo.yaml --maps maps/3.h5 --output pooled/3.h5
"""

import argparse
import functools
from pathlib import Path

from limelight.errors import plain_errors, problem
from limelight.files import attribute, provenance
from limelight.probes.line_intensity.maps.files import open_maps, write_pooled
from limelight.probes.line_intensity.maps.grid import make_grid
from limelight.progress import progress
from limelight.study.config import load_study
from limelight.study.legacy import grid_section, stage_settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--maps", type=Path, required=True, help="maps file to pool")
    parser.add_argument("--output", type=Path, required=True, help="pooled file to write")
    args = parser.parse_args()
    study = load_study(args.config)
    with open_maps(args.maps) as (file, _):
        name, lightcone = attribute(file, "line_model")["name"], attribute(file, "lightcone")
    if name not in study["line_models"]:
        known = ", ".join(study["line_models"])
        raise problem(args.maps, f"maps of line model '{name}'", f"one of the config's: {known}", "use its own config")
    grid = make_grid(grid_section(study, name), study["subfields"]["size_deg"])
    settings = stage_settings(study, "pooled", name)
    show = functools.partial(progress, what=f"pool {name} of light-cone {lightcone}")
    attributes = provenance(settings, study["seed"])
    write_pooled(args.output, args.maps, grid, settings["beam_fwhm_arcmin"], attributes, show)


if __name__ == "__main__":
    with plain_errors():
        main()
