#!/usr/bin/env python3
"""Hold light-cones, generated or foreign, and the generator against theory and an N-body run: a table and a page of figures.

Of each light-cone: mass function per redshift slice, velocities, bias per mass band, redshift-space distortion, and the
mean of its painted maps, against theory; counts in cells beside the generator's box, the maps' one-point function beside
those of another generated light-cone. What a light-cone is too small for is left out and named. Of the generator, in box
mode with the study's own settings, where the light-cones are its own: bias, redshift-space distortion, velocities,
luminosity function, and counts in cells, power and one-point function beside N-body halos of the same phases
(resources/halo_reference*.csv).

example: python scripts/validate_halos.py --config config/demo.yaml --lightcones cones/9.h5 --output v.csv --figure v.pdf
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from limelight.ancestry import check_file
from limelight.arguments import Arguments
from limelight.cosmology import Cosmology
from limelight.errors import plain_errors
from limelight.figures.style import save
from limelight.files import write_text
from limelight.halos.box import HaloBox, generate_box
from limelight.halos.catalogue import HaloCatalogue, read_catalogue, tangent_plane_deg
from limelight.halos.cone_clustering import LIGHTCONE, cone_cell_rows, cone_clustering_rows
from limelight.halos.config import Lightcones
from limelight.halos.generator import generate_lightcone
from limelight.halos.reference import REFERENCES, box_of_reference, box_redshift, read_reference
from limelight.halos.validation import (
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
from limelight.probes.line_intensity.config import LineStudy
from limelight.probes.line_intensity.figures.halos import validation_page
from limelight.probes.line_intensity.lines.models import LineModel, get_model
from limelight.probes.line_intensity.maps.expectation import expected_luminosities, expected_temperature_uk
from limelight.probes.line_intensity.maps.one_point import (
    FEWEST_VOXELS,
    jackknifed_one_point,
    one_point_edges,
    quarter_sums,
)
from limelight.probes.line_intensity.maps.paint import paint
from limelight.probes.line_intensity.settings import fine_grid, lightcone_settings
from limelight.seeds import generator, torch_seed
from limelight.study.config import load_study

LUM_EDGES = np.arange(3.5, 6.6, 0.5)


YARDSTICK_DEG = 2.8  # widest light-cone that is made to compare maps with


def painted_sums(study: LineStudy, halos: HaloCatalogue, per_side: int) -> np.ndarray:
    """Sums over the quarters of per_side² subfields painted with fiducial Li, (quarters, ...) of maps.one_point."""
    size, line = study.subfields.size_deg, get_model("li")
    grid = replace(fine_grid(study), unit="uK")
    sky = np.stack(tangent_plane_deg(halos.position_mpc), 1)
    mass, redshift = halos.mass_msun.astype(float), halos.redshift.astype(float)
    log_lum = line.log10_luminosity(mass, redshift, fiducial(line), generator(study.seed, "validate"))
    offsets = (np.arange(per_side) - 0.5 * (per_side - 1)) * size
    sums = []
    for center in ((x, y) for x in offsets for y in offsets):
        near = np.abs(sky - center).max(axis=1) <= 0.51 * size
        args = sky[near], halos.redshift[near], halos.redshift_observed[near].astype(float), log_lum[near]
        sums.append(quarter_sums(paint(*args, grid, np.array(center), halos.cosmology)))
    return np.concatenate(sums)


def fiducial(line: LineModel) -> dict[str, float]:
    """The means of a line model's parameters."""
    return {key: mean for key, (mean, _) in line.parameters.items()}


def map_rows(study: LineStudy, halos: HaloCatalogue, yardstick: np.ndarray) -> list[Row]:
    """Mean temperature against theory; the one-point function beside that of maps of another light-cone (its sums)."""
    line, model = get_model("li"), study.lightcones.mass_function
    grid = replace(fine_grid(study), unit="uK")
    floor, cosmology, middle = halos.geometry["mass_min_msun"], halos.cosmology, float(np.mean(grid.redshift_range))
    temperatures = [
        expected_temperature_uk(
            *expected_luminosities(line, fiducial(line), floor, z, cosmology, model), z, grid.rest_freq_ghz, cosmology
        )
        for z in grid.rest_freq_ghz / np.linspace(grid.freq_min_ghz, grid.freq_max_ghz, 9) - 1
    ]
    found, error = jackknifed_one_point(painted_sums(study, halos, study.subfields.per_side))
    expected, its_error = jackknifed_one_point(yardstick)
    rows = [Row("painted map (fiducial Li)", "mean [µK]", middle, found.mean, float(np.mean(temperatures)), error.mean)]
    for name, words in (("rms", "rms [µK]"), ("skewness", "skewness"), ("percentile", "99th percentile [µK]")):
        both = float(np.hypot(getattr(error, name), getattr(its_error, name)))
        row = Row("painted map (fiducial Li)", words, middle, getattr(found, name), getattr(expected, name), both)
        rows.append(row)
    edges = one_point_edges()
    both, voxels = np.hypot(error.share, its_error.share), yardstick[:, 0].sum()
    for i, at in enumerate(np.sqrt(edges[1:] * edges[:-1])):
        if expected.share[i] * voxels >= FEWEST_VOXELS:
            shares = float(found.share[i]), float(expected.share[i]), float(both[i])
            rows.append(Row("one-point function of maps", LIGHTCONE, float(at), *shares))
    return rows


def lightcone_rows(
    study: LineStudy, halos: HaloCatalogue, name: str, box: HaloBox, yardstick: np.ndarray
) -> tuple[list[Row], list[str]]:
    """All that is measured in one light-cone; and what was left out, in words.

    box: the generator's, for counts in cells; yardstick: sums of maps of another generated light-cone.
    """
    model = study.lightcones.mass_function
    clustering, left_out = cone_clustering_rows(halos, model)
    cells, more = cone_cell_rows(halos, (box.position_mpc, box.mass_msun, box.side_mpc), box.redshift)
    rows = [*abundance_rows(halos, model), cone_velocity_row(halos), *clustering, *cells]
    rows += map_rows(study, halos, yardstick)
    return [row._replace(lightcone=name) for row in rows], left_out + more


def yardstick_sums(
    study: LineStudy, settings: Lightcones, band: tuple[float, float], cosmology: Cosmology
) -> np.ndarray:
    """Sums of the maps of a light-cone that the study does not have, of its settings, at most about YARDSTICK_DEG wide."""
    cuts = study.subfields
    per_side = max(1, min(cuts.per_side, int(YARDSTICK_DEG / cuts.size_deg + 1e-6)))
    settings = settings.model_copy(update={"field_deg": per_side * cuts.size_deg})
    halos = generate_lightcone(settings, *band, cosmology, torch_seed(study.seed, "validate"))
    return painted_sums(study, halos, per_side)


def generator_rows(study: LineStudy, box: HaloBox, seed: int) -> list[Row]:
    """Clustering, velocities and luminosities of the generator in a periodic box, and beside the N-body run."""
    cosmology, settings, redshift = lightcone_settings(study).cosmology, study.lightcones, box.redshift
    model = settings.mass_function
    rows = bias_rows(box.position_mpc, box.mass_msun, box.matter_mpc, box.side_mpc, redshift, cosmology, model)
    light = box.mass_msun < box.mass_msun.min() * 10**0.5
    bias = next(row.measured for row in rows if row.case == "halo-matter (k < 0.2)")  # of the lightest band
    rows += kaiser_rows(box.position_mpc[light], box.velocity_kms[light], box.side_mpc, redshift, cosmology, bias)
    rows.append(box_velocity_row(box.velocity_kms, box.matter_kms, redshift))
    line = get_model("li")
    parameters = fiducial(line)
    mass = box.mass_msun.astype(float)
    log_lum = line.log10_luminosity(mass, np.full(len(mass), redshift), parameters, generator(seed, "validate"))
    found = np.histogram(log_lum, LUM_EDGES)[0]
    values, density = expected_luminosities(line, parameters, settings.mass_min_msun, redshift, cosmology, model, 4000)
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
    parser = Arguments(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--lightcones", type=Path, nargs="+", required=True, help="light-cone files to measure")
    parser.add_argument("--side", type=float, default=320.0, help="side of the generator's box, Mpc (default: 320)")
    parser.add_argument("--redshift", type=float, help="of the generator's box (default: 2.9, or mid-band without it)")
    parser.add_output("--output", help="CSV table to write")
    parser.add_output("--figure", metavar="F.pdf", help="PDF to write, with a PNG beside it", beside=(".png",))
    args = parser.parse_args()
    study = load_study(args.config)
    band = study.grid.redshift_range
    for path in args.lightcones:
        check_file(path, lightcone_settings(study))
    first = read_catalogue(args.lightcones[0])  # a study's light-cones share their cosmology and mass floor
    settings = study.lightcones.model_copy(update={"mass_min_msun": first.geometry["mass_min_msun"]})
    redshift = args.redshift or box_redshift(*band)
    box = generate_box(settings, args.side, redshift, first.cosmology, study.seed)
    yardstick = yardstick_sums(study, settings, band, first.cosmology)
    del first
    rows = []
    for path in args.lightcones:
        found, left_out = lightcone_rows(study, read_catalogue(path), path.stem, box, yardstick)
        rows += found
        for words in left_out:
            print(f"light-cone {path.stem}: left out {words}", file=sys.stderr)
    if study.lightcones.source == "generate":
        rows += generator_rows(study, box, study.seed)
    write_text(args.output, table_text(rows))
    save(validation_page(rows), args.figure, args.lightcones)
    print(f"{args.output}, {args.figure}: {len(rows)} numbers from {len(args.lightcones)} light-cones", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
