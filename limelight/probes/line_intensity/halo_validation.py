"""A study's light-cones, and its generator, held against theory, N-body halos and maps of other light-cones."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from limelight.cosmology import Cosmology
from limelight.halos.box import HaloBox, generate_box
from limelight.halos.catalogue import HaloCatalogue, tangent_plane_deg
from limelight.halos.cone_clustering import LIGHTCONE, cone_cell_rows, cone_clustering_rows
from limelight.halos.config import Lightcones
from limelight.halos.generator import generate_lightcone
from limelight.halos.painted import paint_box
from limelight.halos.reference import REFERENCES, Reference, box_of_reference, read_reference
from limelight.halos.validation import (
    Row,
    abundance_rows,
    bias_rows,
    box_velocity_row,
    clustering_statistics,
    cone_velocity_row,
    kaiser_rows,
    reference_rows,
)
from limelight.probes.line_intensity.config import LineStudy
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
from limelight.training.painter import load_painter

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


def box_maker(study: LineStudy) -> Callable[..., HaloBox]:
    """What makes periodic boxes as the study's light-cones are made: the generator, or its painter."""
    if study.lightcones.source != "painted":
        return generate_box
    painter = load_painter(str(study.lightcones.painter))

    def paint(settings: Lightcones, *box, **more) -> HaloBox:
        return paint_box(settings, painter, *box, **more)

    return paint


def generator_rows(study: LineStudy, box: HaloBox, seed: int) -> list[Row]:
    """Clustering, velocities and luminosities of the generator in a periodic box, and beside the N-body run.

    Of a study with a painter: the painter's, and beside the N-body runs the generator on the painter's cells as well.
    """
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
    return rows + [row for name, reference in REFERENCES.items() for row in beside_nbody(study, name, reference)]


def beside_nbody(study: LineStudy, name: str, reference: Reference) -> list[Row]:
    """Halos of an N-body run's own universe, whatever the study's, beside those of the run."""
    settings, cells = study.lightcones, reference.side_mpc / (2 * study.lightcones.cell_mpc)
    makers = {name: (1.0, generate_box)}
    if settings.source == "painted":
        if abs(cells - round(cells)) > 1e-6:
            return []  # a painter takes no other cells than its own
        both = box_maker(study), generate_box
        makers = {
            case: (settings.cell_mpc, make) for case, make in zip((name, f"generator, {name}"), both, strict=True)
        }
    rows = []
    for case, (cell, make) in makers.items():
        same = box_of_reference(reference, settings, Cosmology(), cell, make)
        statistics = clustering_statistics(same.position_mpc, same.mass_msun, same.side_mpc)
        rows += reference_rows(statistics, read_reference(statistics, reference.table), case)
    return rows
