"""One painter for all: the same halos, parameters and random numbers give the same light on every road, and a cut is a cut.

The truth is np.histogramdd of halos whose luminosities the line model gives, those at or above the cut deleted beforehand.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from rival_toys import GRID as FINE
from rival_toys import Normals, halos_of, rival_options

from limelight.cosmology import Cosmology
from limelight.data.shard import Rows
from limelight.halos.config import Subfields as SubfieldCuts
from limelight.halos.subfields import plan_subfields
from limelight.probes.line_intensity import money
from limelight.probes.line_intensity import simulations as simulate
from limelight.probes.line_intensity.config import MapDataset
from limelight.probes.line_intensity.interventions import allowed_extra, count_extra, light_of_extra
from limelight.probes.line_intensity.labels import log10_lum_edges
from limelight.probes.line_intensity.lines.models import get_model
from limelight.probes.line_intensity.maps.paint import (
    brightness_per_lsun,
    cut_luminosities,
    halo_light,
    paint,
    paint_draw,
    paint_subfields,
    place_sources,
    prepare_field,
)
from limelight.probes.line_intensity.rival.fields import make_measure, paint_shape, prepare_fields
from limelight.probes.line_intensity.rival.shapes import SHAPES
from limelight.probes.line_intensity.settings import LightconeSettings, MapSettings, ShardSettings, SubfieldSettings
from limelight.probes.line_intensity.shards import line_header, pool_map
from limelight.study.posteriors import Imnn

GRID = replace(FINE, pool_pixels=4, pool_channels=5)
CENTER, COSMOLOGY, HALOS = np.zeros(2), Cosmology(), halos_of(1)
FREQ = GRID.observed_freq_ghz(HALOS.redshift_observed)
EDGES = log10_lum_edges({"log10_lum_min": 3.0, "log10_lum_max": 6.5, "bins": 21})
SCATTER = np.random.default_rng(2).standard_normal(len(HALOS.mass_msun))  # one unit normal per halo
MODELS = ("li", "comap", "breysse", "padmanabhan")


def entry(model: str, **changes) -> MapDataset:
    return MapDataset.model_validate({"model": model, "prior": "fiducial", "draws": 1, **changes})


def means(model: str) -> dict[str, float]:
    return {name: mean for name, (mean, _) in get_model(model).parameters.items()}


def luminosities(model: str) -> np.ndarray:
    """log10 L / Lsun of HALOS, in their order, at the model's means."""
    normals = Normals(SCATTER)
    return get_model(model).log10_luminosity(HALOS.mass_msun, HALOS.redshift, means(model), normals)


def truth(log10_lum: np.ndarray, grid=GRID) -> tuple[np.ndarray, np.ndarray]:
    """(pooled map, sources per bin) of HALOS that shine with these luminosities."""
    light = brightness_per_lsun(HALOS.sky_deg, HALOS.redshift, FREQ, grid, COSMOLOGY, grid.unit) * 10**log10_lum
    half, band = grid.size_deg / 2, (grid.freq_min_ghz, grid.freq_max_ghz)
    points, ranges = np.column_stack([HALOS.sky_deg, FREQ]), [(-half, half), (-half, half), band]
    cube = np.histogramdd(points, grid.pooled_shape, ranges, weights=light)[0]
    inside = np.all([(low <= x) & (x < high) for x, (low, high) in zip(points.T, ranges, strict=True)], axis=0)
    assert inside.sum() > 1000
    return cube, np.histogram(log10_lum[inside], EDGES)[0]


def normals_of(grid) -> Normals:
    """SCATTER in the order in which a Field of HALOS on this grid holds them."""
    numbers = (np.arange(len(FREQ)),)
    (order,) = place_sources(HALOS.sky_deg, HALOS.redshift, FREQ, numbers, grid, CENTER, COSMOLOGY).properties
    return Normals(SCATTER[order])


class Table:
    """Stands for halos.subfields.Subfields of one field."""

    lightcone, cosmology, center_deg = 3, COSMOLOGY, CENTER[None]

    def __len__(self) -> int:
        return 1


@pytest.fixture
def one_subfield(monkeypatch):
    for module in (simulate, money):
        monkeypatch.setattr(module, "read_subfields", lambda path: Table())
        monkeypatch.setattr(module, "read_subfield_halos", lambda path: [(0, HALOS)])


def by_study(line_model: MapDataset, grid, monkeypatch) -> tuple[np.ndarray, np.ndarray]:
    field, model = prepare_field(HALOS, grid, CENTER, COSMOLOGY), get_model(line_model.model)
    cube, _, n_above = paint_draw(field, model, line_model, EDGES, normals_of(grid), "here")
    return pool_map(cube, grid, 0.0), -np.diff(n_above)


def by_simulation(line_model: MapDataset, grid, monkeypatch) -> tuple[np.ndarray, np.ndarray]:
    (field,), model = simulate.light_fields(["any"], line_model, grid, [3], 0), get_model(line_model.model)
    assert field.precision == np.float32
    normals = normals_of(grid)
    monkeypatch.setattr(simulate.torch, "randn", lambda count, generator: torch.from_numpy(normals.values)[:count])
    normals.integers = lambda most: 0  # the seed of torch's numbers, for models with a shape
    return simulate.simulate_map(field, model, means(model.name), line_model, 0.0, EDGES, normals)


def by_fisher(line_model: MapDataset, grid, monkeypatch) -> tuple[np.ndarray, None]:
    monkeypatch.setattr(simulate, "generator", lambda *key: normals_of(grid))
    options = Imnn.model_construct(simulations=1, derivatives=1, step=0.1)
    line_model = line_model.model_copy(update={"prior": "10%"})
    fiducial, *_ = simulate.fisher_maps(["any"], line_model, grid, 0.0, options, 1)
    return fiducial[0], None


ROADS = (by_study, by_simulation, by_fisher)


@pytest.mark.parametrize("unit", ["uK", "Jy/sr"])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("road", ROADS)
def test_every_road_gives_the_same_light(road, model, unit, one_subfield, monkeypatch):
    grid = replace(GRID, unit=unit)
    cube, counts = truth(luminosities(model), grid)
    found, found_counts = road(entry(model), grid, monkeypatch)
    np.testing.assert_allclose(found, cube, rtol=2e-5, atol=1e-6 * cube.max())
    if found_counts is not None:
        np.testing.assert_array_equal(found_counts, counts)


@pytest.mark.parametrize("model", list(SHAPES))
def test_the_rivals_road_gives_the_same_light(model):
    """Its voxels hold mean temperatures; its maps are at amplitude 0, over 10^offset."""
    fine = replace(GRID, pool_pixels=1, pool_channels=1)
    measure = make_measure(rival_options(pool_pixels=4, pool_channels=5, min_modes=1), fine, COSMOLOGY, 0.0)
    plan = replace(plan_subfields(0.7, SubfieldCuts(size_deg=0.7, per_side=1)), lightcone=3)
    (field,), shape = prepare_fields(plan, [(0, HALOS)], SHAPES[model], measure.grid), SHAPES[model]
    (amplitude,), (own,) = shape.split(np.array([list(means(model).values())]))
    cube, offset = paint_shape(field, shape, own, normals_of(measure.grid).values, measure)
    expected = truth(luminosities(model))[0] / (4 * 4 * 5)
    np.testing.assert_allclose(cube * 10 ** (offset + amplitude), expected, rtol=2e-5, atol=1e-6 * expected.max())


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("road", ROADS)
def test_a_cut_removes_the_halos_at_or_above_it_on_every_road(road, model, one_subfield, monkeypatch):
    log10_lum = luminosities(model)
    cut = float(np.quantile(log10_lum, 0.97))
    assert np.abs(log10_lum - cut).min() > 1e-6, "float32 must tell on which side each halo is"
    whole, _ = truth(log10_lum)
    cube, counts = truth(np.where(log10_lum < cut, log10_lum, -np.inf))
    found, found_counts = road(entry(model, log10_lum_cut=cut), GRID, monkeypatch)
    assert cube.sum() < 0.9 * whole.sum()
    np.testing.assert_allclose(found, cube, rtol=2e-5, atol=1e-6 * cube.max())
    if found_counts is not None:
        np.testing.assert_array_equal(found_counts, counts)


def test_a_halo_at_the_cut_is_removed():
    found = cut_luminosities(np.array([4.9, 5.0, 5.1, -np.inf]), MapDataset(model="li", log10_lum_cut=5.0))
    assert found.tolist() == [4.9, -np.inf, -np.inf, -np.inf]
    assert cut_luminosities(np.array([9.0]), None).tolist() == [9.0]


@pytest.mark.parametrize("road", ROADS[:2])
def test_mean_temperatures_are_those_of_the_map_without_its_cut_sources(road, one_subfield, monkeypatch):
    """Between the mean of the cut map and that of the whole one lies a limit that only the cut map keeps."""
    log10_lum = luminosities("li")
    cut = float(np.quantile(log10_lum, 0.97))
    field = prepare_field(HALOS, GRID, CENTER, COSMOLOGY)
    in_order = get_model("li").log10_luminosity(*field.properties, means("li"), normals_of(GRID))
    whole, kept = (
        halo_light(field, in_order, line).mean_uk for line in (None, MapDataset(model="li", log10_lum_cut=cut))
    )
    cube, _ = truth(np.where(log10_lum < cut, log10_lum, -np.inf))
    assert kept == pytest.approx(cube.sum() / GRID.voxels)
    assert kept < 0.9 * whole
    limits = {"mean_temperature_uk": [0.0, 0.95 * whole]}
    assert road(entry("li", log10_lum_cut=cut, **limits), GRID, monkeypatch) is not None
    if road is by_simulation:
        assert road(entry("li", **limits), GRID, monkeypatch) is None


def test_the_ideal_counts_no_source_at_or_above_the_cut(one_subfield):
    """Models without scatter: the counts are known. Li: bins above the cut are empty in every draw, not so without it."""
    for model in ("breysse", "padmanabhan", "li"):
        log10_lum = luminosities(model)
        cut = float(EDGES[np.searchsorted(EDGES, np.quantile(log10_lum, 0.9))])
        for line_model in (entry(model), entry(model, log10_lum_cut=cut)):
            samples = money.ideal_intervals(["any"], painted(line_model), settings_of(line_model), 1, 5).samples[0]
            above = samples[:, EDGES[:-1] >= cut]
            assert (above.sum() > 0) == (line_model.log10_lum_cut is None)
            if model != "li":
                kept = cut_luminosities(log10_lum, line_model)
                np.testing.assert_array_equal(samples, np.tile(truth(kept)[1], (5, 1)))


LABELS = {"log10_lum_min": 3.0, "log10_lum_max": 6.5, "bins": 21}


def settings_of(line_model: MapDataset) -> ShardSettings:
    cone = LightconeSettings(1, COSMOLOGY, None, GRID.freq_min_ghz, GRID.freq_max_ghz, GRID.rest_freq_ghz)
    maps = MapSettings(SubfieldSettings(cone, None), GRID, LABELS, line_model.model, line_model, None)
    return ShardSettings(maps, GRID, 0.0)


def painted(line_model: MapDataset) -> Rows:
    """The maps of HALOS, as a shard holds them."""
    maps = list(paint_subfields(Table(), [(0, HALOS)], line_model.model, line_model, LABELS, GRID, 1))
    n = len(maps)
    return Rows(
        header=line_header(GRID, 0.0, LABELS, {}),
        x=np.stack([pool_map(one.cube, GRID, 0.0)[None] for one in maps]),
        y={
            "n_above": np.stack([one.n_above for one in maps]),
            "volume_mpc3": np.array([one.volume_mpc3 for one in maps]),
        },
        theta=np.array([list(one.parameters.values()) for one in maps]),
        parameter_names=list(maps[0].parameters),
        group=np.full(n, 3),
        dataset=np.repeat(line_model.model, n),
        rows={"subfield": np.zeros(n, int), "draw": np.arange(n)},
    )


@pytest.mark.parametrize("cut", [None, 5.1, 5.0])
@pytest.mark.parametrize("unit", ["uK", "Jy/sr"])
def test_added_sources_shine_as_the_painter_has_it_and_heed_the_cut(cut, unit):
    """The same places and luminosities painted by paint(); the cut lies within the second bin, or on its lower edge."""
    grid, edges, extra = replace(GRID, unit=unit), np.array([4.5, 5.0, 5.5, 6.0]), np.array([40, 30, 20])
    line_model = entry("li") if cut is None else entry("li", log10_lum_cut=cut)
    allowed = allowed_extra(extra, edges, line_model)
    assert allowed.tolist() == {None: [40, 30, 20], 5.1: [40, 30, 0], 5.0: [40, 0, 0]}[cut]
    found = light_of_extra(allowed, edges, grid, 4.0, CENTER, COSMOLOGY, np.random.default_rng(3), line_model)
    rng, total = np.random.default_rng(3), allowed.sum()
    place = rng.random((total, 3))
    low, high = np.repeat(edges[:-1], allowed), np.repeat(edges[1:] if cut is None else [5.0, cut, cut], allowed)
    log10_lum = low + (high - low) * rng.random(total)
    assert cut is None or (log10_lum < cut).all()
    z = 115.27 / (26 + 8 * place[:, 2]) - 1
    cube = paint(0.7 * (place[:, :2] - 0.5), z, z, log10_lum, grid, CENTER, COSMOLOGY)
    np.testing.assert_allclose(found, pool_map(cube, grid, 4.0), rtol=1e-5, atol=1e-6 * found.max())
    n_above = count_extra(np.zeros((1, 4), int), allowed[None])
    np.testing.assert_array_equal(n_above[0], [np.count_nonzero(log10_lum >= edge) for edge in edges])
    nothing = light_of_extra(0 * extra, edges, grid, 4.0, CENTER, COSMOLOGY, rng, line_model)
    assert nothing.shape == grid.pooled_shape
    assert not nothing.any()


def test_a_field_in_float32_is_the_same_in_half_the_memory():
    fields = [prepare_field(HALOS, GRID, CENTER, COSMOLOGY, precision=kind) for kind in (np.float64, np.float32)]
    log10_lum = [get_model("breysse").log10_luminosity(*field.properties, means("breysse"), None) for field in fields]
    lights = [halo_light(field, lum) for field, lum in zip(fields, log10_lum, strict=True)]
    assert [light.per_halo.dtype for light in lights] == [np.float64, np.float32]
    np.testing.assert_allclose(lights[1].per_halo, lights[0].per_halo, rtol=1e-5)
    assert lights[1].mean_uk == pytest.approx(lights[0].mean_uk, rel=1e-5)
