#!/usr/bin/env python3
"""Hold light-cones, and the generator that made them, against theory and an N-body run: a table and one page of figures.

Of each light-cone: its mass function per redshift slice, velocities, mean map temperature. Of the generator, in box mode
with the study's own settings: bias, redshift-space distortion, velocities, luminosity function, and counts in cells, power
and one-point function beside N-body halos of the same phases (resources/halo_reference*.csv).

example: python scripts/validate_halos.py --config config/demo.yaml --lightcones cones/9.h5 --output v.csv --figure v.pdf
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from limelight.config import load_study  # noqa: E402
from limelight.cosmology import Cosmology  # noqa: E402
from limelight.errors import plain_errors  # noqa: E402
from limelight.figures.halos import validation_page  # noqa: E402
from limelight.figures.style import save  # noqa: E402
from limelight.files import write_text  # noqa: E402
from limelight.halos.box import generate_box  # noqa: E402
from limelight.halos.catalogue import HaloCatalogue, read_catalogue, tangent_plane_deg  # noqa: E402
from limelight.halos.reference import REFERENCES, box_of_reference, box_redshift, read_reference  # noqa: E402
from limelight.halos.validation import (  # noqa: E402
    Row,
    abundance_rows,
    bias_rows,
    box_velocity_row,
    clustering_statistics,
    cone_velocity_row,
    kaiser_rows,
    reference_rows,
    table_text,
)
from limelight.lines.models import get_model  # noqa: E402
from limelight.maps.expectation import expected_luminosities, expected_temperature_uk  # noqa: E402
from limelight.maps.grid import make_grid  # noqa: E402
from limelight.maps.paint import paint  # noqa: E402
from limelight.seeds import generator  # noqa: E402

LUM_EDGES = np.arange(3.5, 6.6, 0.5)


def lightcone_rows(study: dict, halos: HaloCatalogue, name: str) -> list[Row]:
    """Abundance, velocities and mean temperature of one light-cone."""
    cosmology, model = halos.cosmology, study["lightcones"]["mass_function"]
    rows = [*abundance_rows(halos, model), cone_velocity_row(halos)]
    middle = float(np.median(halos.redshift))
    cuts, line = study["subfields"], get_model("li")
    parameters = {key: mean for key, (mean, _) in line.parameters.items()}
    grid = make_grid(study["grid"] | {"unit": "uK"}, cuts["size_deg"])
    sky = np.stack(tangent_plane_deg(halos.position_mpc), 1)
    log_lum = line.log10_luminosity(
        halos.mass_msun.astype(float), halos.redshift.astype(float), parameters, generator(study["seed"], "validate")
    )
    offsets = (np.arange(cuts["per_side"]) - 0.5 * (cuts["per_side"] - 1)) * cuts["size_deg"]
    temperatures = []
    for center in ((x, y) for x in offsets for y in offsets):
        near = np.abs(sky - center).max(axis=1) <= 0.51 * cuts["size_deg"]
        args = sky[near], halos.redshift[near], halos.redshift_observed[near].astype(float), log_lum[near]
        temperatures.append(paint(*args, grid, np.array(center), cosmology).mean())
    z = (
        study["grid"]["rest_freq_ghz"] / np.linspace(*(study["grid"][f"freq_{end}_ghz"] for end in ("min", "max")), 9)
        - 1
    )
    floor = halos.geometry["mass_min_msun"]
    expected = [
        expected_temperature_uk(
            *expected_luminosities(line, parameters, floor, each, cosmology, model), each, grid.rest_freq_ghz, cosmology
        )
        for each in z
    ]
    mean = float(np.mean(temperatures))
    error = float(np.std(temperatures) / max(1, len(temperatures) - 1) ** 0.5)
    rows.append(Row("mean temperature (µK; fiducial Li)", name, middle, mean, float(np.mean(expected)), error))
    return rows


def generator_rows(study: dict, side_mpc: float, redshift: float, seed: int) -> list[Row]:
    """Clustering, velocities and luminosities of the generator in a periodic box, and beside the N-body run."""
    cosmology, settings = Cosmology(**study["cosmology"]), study["lightcones"]
    model = settings["mass_function"]
    box = generate_box(settings, side_mpc, redshift, cosmology, seed)
    rows = bias_rows(box.position_mpc, box.mass_msun, box.matter_mpc, box.side_mpc, redshift, cosmology, model)
    light = box.mass_msun < box.mass_msun.min() * 10**0.5
    bias = next(row.measured for row in rows if row.case == "halo-matter (k < 0.2)")  # of the lightest band
    rows += kaiser_rows(box.position_mpc[light], box.velocity_kms[light], box.side_mpc, redshift, cosmology, bias)
    rows.append(box_velocity_row(box.velocity_kms, box.matter_kms, redshift))
    line = get_model("li")
    parameters = {key: mean for key, (mean, _) in line.parameters.items()}
    mass = box.mass_msun.astype(float)
    log_lum = line.log10_luminosity(mass, np.full(len(mass), redshift), parameters, generator(seed, "validate"))
    found = np.histogram(log_lum, LUM_EDGES)[0]
    values, density = expected_luminosities(
        line, parameters, settings["mass_min_msun"], redshift, cosmology, model, 4000
    )
    expected = np.histogram(values, LUM_EDGES, weights=density)[0] * box.side_mpc**3
    for low, n, e in zip(LUM_EDGES[:-1], found, expected, strict=True):
        if e > 10:  # errors are of Poisson alone
            rows.append(Row("luminosity function", "fiducial Li", low + 0.25, float(n), float(e), float(np.sqrt(e))))
    for name, reference in REFERENCES.items():
        same = box_of_reference(reference, settings, Cosmology())  # the run's own universe, whatever the study's
        statistics = clustering_statistics(same.position_mpc, same.mass_msun, same.side_mpc)
        rows += reference_rows(statistics, read_reference(statistics, reference.table), name)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--lightcones", type=Path, nargs="+", required=True, help="light-cone files to measure")
    parser.add_argument("--side", type=float, default=320.0, help="side of the generator's box, Mpc (default: 320)")
    parser.add_argument("--redshift", type=float, help="of the generator's box (default: 2.9, or mid-band without it)")
    parser.add_argument("--output", type=Path, required=True, help="CSV table to write")
    parser.add_argument("--figure", type=Path, required=True, help="PDF to write, with a PNG beside it")
    args = parser.parse_args()
    study = load_study(args.config)
    rows = []
    for path in args.lightcones:
        rows += lightcone_rows(study, read_catalogue(path), path.stem)
    if study["lightcones"]["source"] == "generate":
        grid = study["grid"]
        band = (grid["rest_freq_ghz"] / grid[f"freq_{end}_ghz"] - 1 for end in ("max", "min"))
        rows += generator_rows(study, args.side, args.redshift or box_redshift(*band), study["seed"])
    write_text(args.output, table_text(rows))
    save(validation_page(rows), args.figure, args.lightcones)
    print(f"{args.output}, {args.figure}: {len(rows)} numbers from {len(args.lightcones)} light-cones", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
