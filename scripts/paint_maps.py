#!/usr/bin/env python3
"""Paint the line of a model onto the halos of every subfield of a light-cone: maps and labels, row for row.

The config's `line_models` entry says which model, which prior and how many draws per subfield; `grid` the voxels and unit.

example: python scripts/paint_maps.py --config config/demo.yaml --line-model li10 --subfields subfields/3.h5 --output maps.h5
"""

from pathlib import Path

from limelight.arguments import Arguments
from limelight.errors import plain_errors, problem


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--line-model", required=True, help="a name in the config's line_models")
    parser.add_argument("--subfields", type=Path, required=True, help="subfields file to paint")
    parser.add_output("--output", help="maps file to write")
    args = parser.parse_args()
    from limelight.ancestry import check_file
    from limelight.files import provenance
    from limelight.halos.subfields import read_subfield_halos, read_subfields
    from limelight.probes.line_intensity.maps.files import write_maps
    from limelight.probes.line_intensity.maps.paint import paint_subfields
    from limelight.probes.line_intensity.settings import map_settings
    from limelight.progress import progress
    from limelight.study.config import load_study

    study = load_study(args.config)
    name, known = args.line_model, study.line_models
    if name not in known:
        raise problem("--line-model", f"'{name}'", f"one of {', '.join(known)}", "choose one or add it to line_models")
    settings, subfields = map_settings(study, name), read_subfields(args.subfields)
    grid = settings.grid
    if subfields.size_deg != grid.size_deg:
        found = f"subfields of {subfields.size_deg:g}°"
        raise problem(args.subfields, found, f"the config's {grid.size_deg:g}°", "cut the light-cone again")
    needed, held = grid.redshift_range, [float(subfields.geometry[f"redshift_{end}"]) for end in ("min", "max")]
    if needed[0] < held[0] - 1e-6 or needed[1] > held[1] + 1e-6:
        found, expected = (f"halos at redshifts {low:.4g} to {high:.4g}" for low, high in (held, needed))
        raise problem(args.subfields, found, f"{expected}, the config's band", "make the light-cone with this config")
    check_file(args.subfields, settings.subfields)
    halos = read_subfield_halos(args.subfields)
    dataset, labels, seed = settings.dataset, settings.labels, settings.seed
    painted = paint_subfields(subfields, halos, name, dataset, labels, grid, seed)
    painted = progress(painted, f"paint {name} on light-cone {subfields.lightcone}", len(subfields) * dataset.draws)
    write_maps(args.output, painted, subfields, grid, name, dataset, labels, provenance(settings, seed))


if __name__ == "__main__":
    with plain_errors():
        main()
