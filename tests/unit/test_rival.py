"""The rival: line models taken apart, painting with fixed random numbers, the emulator, and posteriors."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rival_toys import GRID, SIGMA, Normals, halos_of, line_model, rival_options, toy_fields
from scipy import stats

from limelight.cosmology import Cosmology
from limelight.errors import LimelightError
from limelight.halos.subfields import (
    SubfieldHalos,
)
from limelight.probes.line_intensity.lines.models import get_model
from limelight.probes.line_intensity.lines.priors import draw_parameters
from limelight.probes.line_intensity.maps.paint import paint
from limelight.probes.line_intensity.maps.pooling import pool
from limelight.probes.line_intensity.rival.emulator import (
    expected_counts,
    feature_histogram,
    light,
    make_emulator,
    paint_node,
    read_emulator,
    summaries,
    write_emulator,
)
from limelight.probes.line_intensity.rival.fields import make_measure, noisy_summaries, paint_shape
from limelight.probes.line_intensity.rival.rival import (
    emulator_error,
    luminosity_functions,
    make_rival,
    prior_draws,
    sample_posterior,
    spread,
)
from limelight.probes.line_intensity.rival.shapes import SHAPES, get_shape, log10_luminosity
from limelight.seeds import generator


@pytest.fixture(scope="module")
def toy():
    fields, measure = toy_fields(16)
    emulator = make_emulator(
        fields,
        get_model("li"),
        SHAPES["li"],
        line_model(),
        rival_options(),
        measure,
        {"some": SIGMA, "none": 0.0},
        seed=3,
    )
    return fields, measure, emulator


def rival_of(toy, noise="some", **changes):
    _, measure, emulator = toy
    settings, sigma = rival_options(**changes), {"some": SIGMA, "none": 0.0}[noise]
    return make_rival(emulator, get_model("li"), SHAPES["li"], line_model(), settings, measure, noise, sigma)


@pytest.mark.parametrize("name", list(SHAPES))
def test_amplitude_and_shape_are_the_line_model(name):
    """The same log10 L of every halo, to 1e-6, all over the widest prior; x comes in float64 and in float32."""
    halos, shape, model = halos_of(1), get_shape(name), get_model(name)
    rng = np.random.default_rng(2)
    normals = rng.standard_normal(len(halos.mass_msun))
    x = shape.feature(halos.mass_msun, halos.redshift)
    assert np.isfinite(x).all()
    for _ in range(50):
        parameters = draw_parameters(model, "full", None, rng)
        theirs = model.log10_luminosity(halos.mass_msun, halos.redshift, parameters, Normals(normals))
        (amplitude,), (values,) = shape.split(np.array([list(parameters.values())]))
        np.testing.assert_allclose(log10_luminosity(shape, x, amplitude, values, normals), theirs, atol=1e-6, rtol=0)
        single = log10_luminosity(shape, x.astype(np.float32), amplitude, values, normals.astype(np.float32))
        assert single.dtype == np.float32
        largest = max(abs(amplitude), np.abs(shape.location(x, values)).max())
        np.testing.assert_allclose(single, theirs, atol=1e-6 * largest, rtol=1e-6)


@pytest.mark.parametrize("name", list(SHAPES))
def test_a_halo_is_dark_in_the_shape_where_it_is_in_the_line_model(name):
    """Masses from far below the first star to the largest clusters."""
    mass, redshift = (column.ravel() for column in np.meshgrid(np.logspace(7, 15.5, 60), np.linspace(0, 9, 10)))
    parameters = {key: mean for key, (mean, _) in get_model(name).parameters.items()}
    theirs = get_model(name).log10_luminosity(mass, redshift, parameters, Normals(0.0))
    np.testing.assert_array_equal(np.isfinite(SHAPES[name].feature(mass, redshift)), np.isfinite(theirs))


def test_a_model_without_a_shape_is_refused():
    with pytest.raises(LimelightError, match="one of li, comap, breysse"):
        get_shape("padmanabhan")


def test_painting_a_shape_is_painting_the_line_model():
    """The rival's voxels hold the mean of the fine voxels that maps.paint fills, at float32's accuracy."""
    (field,), measure = toy_fields(1)
    halos, li = halos_of(0), get_model("li")
    mean = np.array([[value for value, _ in li.parameters.values()]])
    amplitude, values = SHAPES["li"].split(mean)
    normals = field.normals(5)
    cube, offset = paint_shape(field, SHAPES["li"], values[0], normals, measure)
    order = np.argsort(GRID.voxel_index(*halos.sky_deg.T, GRID.observed_freq_ghz(halos.redshift), (0, 0)) // (32 * 20) // 2,
                       kind="stable")  # the rival's slabs  # fmt: skip
    in_order = SubfieldHalos(
        *(getattr(halos, n)[order] for n in ("sky_deg", "redshift", "redshift_observed", "mass_msun"))
    )
    parameters = dict(zip(li.parameters, mean[0], strict=True))
    log_lum = li.log10_luminosity(in_order.mass_msun, in_order.redshift, parameters, Normals(normals))
    fine = paint(in_order.sky_deg, in_order.redshift, in_order.redshift, log_lum, GRID, (0, 0), Cosmology())
    np.testing.assert_allclose(cube * 10 ** (offset + amplitude[0]), pool(fine, 2, 1) / 4, rtol=2e-5, atol=1e-6)


def test_light_without_painting():
    """Mean temperature, and shot noise relative to another shape's, against many paintings and sums over halos."""
    fields, measure = toy_fields(4)
    counts, weight, edges = feature_histogram(fields)
    shapes, x = np.array([[0.05, 0.4], [0.3, 0.1]]), (edges[1:] + edges[:-1]) / 2
    found = light(counts.mean(0), weight / measure.grid.voxels, x, SHAPES["li"], shapes)
    means = []
    for draw in range(40):
        for field in fields:
            cube, offset = paint_shape(field, SHAPES["li"], shapes[0], field.normals(1, draw), measure)
            means.append(cube.mean(dtype=np.float64) * 10**offset)
    error = 4 * np.std(means) / np.mean(means) / math.sqrt(160)
    assert found[0, 0] == pytest.approx(np.log(np.mean(means)), abs=error)
    shot = []
    for values in shapes:
        scatter = (np.log(10) * values[1]) ** 2
        lum = np.concatenate([10 ** SHAPES["li"].location(f.x, values) * f.halos.uk_per_lsun for f in fields])
        shot.append(np.log(np.sum(lum**2) / np.sum(lum) ** 2) + scatter)
    assert found[1, 1] - found[0, 1] == pytest.approx(shot[1] - shot[0], abs=0.05)
    assert (found[:, 3] > found[:, 2]).all()


@pytest.mark.parametrize("quadrupole", [False, True])
def test_summaries_of_a_node_are_those_of_its_maps(toy, quadrupole):
    """What the emulator says at a node against the mean of noisy maps measured one by one."""
    fields = toy[0]
    measure = make_measure(rival_options(quadrupole=quadrupole), GRID, Cosmology(), 0.0)
    values, amplitude = np.array([0.14, 0.37]), 4.3
    normals = [field.normals(3) for field in fields]
    outputs = paint_node(fields, normals, SHAPES["li"], values, measure)
    means, temperature = summaries(outputs[None], np.array([amplitude]), SIGMA, measure)
    measured, direct = [], []
    for i, (field, own) in enumerate(zip(fields, normals, strict=True)):
        cube, offset = paint_shape(field, SHAPES["li"], values, own, measure)
        cube = cube * np.float32(10 ** (offset + amplitude))
        direct.append(cube.mean(dtype=np.float64))
        measured += [noisy_summaries(cube, SIGMA, measure, 1, "noise", i, j) for j in range(12)]
    assert temperature[0] == pytest.approx(np.mean(direct), rel=1e-5)
    shells = measure.powers
    assert shells == (1 + quadrupole) * len(measure.modes)
    noise = np.array(measured).reshape(len(fields), 12, -1)
    error = np.maximum(noise.std(1, ddof=1).mean(0) / math.sqrt(12 * len(fields)), 1e-3)
    assert (np.abs(noise.mean((0, 1)) - means[0]) < 4.5 * error)[:shells].all()
    assert (np.abs(noise.mean((0, 1)) - means[0]) < 4.5 * error + 0.02 * means[0] + 0.3)[shells:].all()


def test_the_quadrupole_stands_between_monopole_and_voxels(toy):
    """The same nodes and maps: what the plain rival reads is unchanged, and χ² is what the number of summaries promises."""
    fields, plain, known = toy
    options = rival_options(quadrupole=True, nodes=24, neighbours=200)
    measure = make_measure(options, GRID, Cosmology(), 0.0)
    made = (get_model("li"), SHAPES["li"], line_model(), options, measure)
    emulator = make_emulator(fields, *made, {"some": SIGMA}, seed=3)
    shells = len(measure.modes)
    rest = np.r_[:shells, 2 * shells : len(emulator.data["some"][0])]
    np.testing.assert_array_equal(emulator.data["some"][:, rest], known.data["some"])
    at, before = (one.at(known.nodes[:3] * 0.99 + known.nodes[3:6] * 0.01) for one in (emulator, known))
    np.testing.assert_allclose(at[:, np.r_[: 1 + shells, 1 + 2 * shells : len(at[0])]], before)
    rival = make_rival(emulator, *made, "some", SIGMA)
    found, log_prior, places = rival.predict(emulator.parameters)
    used = ~emulator.fiducial & np.isfinite(log_prior)
    noise = measure(torch.randn((400, *measure.grid.shape), generator=torch.Generator().manual_seed(1)) * SIGMA)
    scatter = noise.std(axis=0) / spread(noise.mean(axis=0)[None], measure)[0]
    np.testing.assert_allclose(scatter[: 2 * shells].reshape(2, shells).mean(axis=1), 1, atol=0.1)
    chi2 = rival.hartlap * rival.chi2(found[used], places[used], emulator.data["some"][used])[0]
    assert 0.4 * found.shape[1] < np.median(chi2) < 1.3 * found.shape[1]


def check_between_nodes(rival, fields, measure, shape, count, seed):
    """√(Δᵀ C⁻¹ Δ) of emulated means against maps painted by maps.paint's own sums, at prior draws of its own."""
    drawn = prior_draws(rival, count, np.random.default_rng(seed))
    amplitude, shapes = shape.split(drawn)
    normals = [field.normals(3) for field in fields]
    painted = np.array([paint_node(fields, normals, shape, values, measure) for values in shapes])
    truth, _ = summaries(painted, amplitude, rival.sigma_uk, measure)
    found, _, places = rival.predict(drawn)
    return np.sqrt(rival.hartlap * rival.chi2(found, places, truth)[0])


def test_emulator_between_its_nodes(toy):
    """At prior draws of the test's own, the emulator's means lie within a small part of one map's scatter."""
    fields, measure, emulator = toy
    rival = rival_of(toy)
    off = check_between_nodes(rival, fields[:12], measure, SHAPES["li"], 20, 1)
    assert np.median(off) < 0.5
    own = emulator_error(rival)
    assert own.shape == (len(emulator.check_parameters),) == (3,)
    assert (own > 0).all()


def test_emulator_of_a_double_power_law_between_its_nodes():
    """Four coordinates of shape under COMAP's data-driven prior: 0.3 σ of one map's summaries in the median."""
    shape, model = SHAPES["comap"], get_model("comap")
    fields, measure = toy_fields(16, shape=shape)
    dataset = line_model(model="comap", prior="data_driven", mean_temperature_uk=[0.05, 10.0])
    settings = rival_options(nodes=150, simulations=400)
    emulator = make_emulator(fields, model, shape, dataset, settings, measure, {"some": SIGMA}, seed=3)
    rival = make_rival(emulator, model, shape, dataset, settings, measure, "some", SIGMA)
    off = check_between_nodes(rival, fields[:12], measure, shape, 60, 1)
    assert np.median(off) < 0.3
    assert np.quantile(off, 0.9) < 1.5


def test_emulator_file_comes_back(toy, tmp_path):
    _, measure, emulator = toy
    write_emulator(tmp_path / "e.h5", emulator, {"seed": 1})
    again, (_, shapes) = read_emulator(tmp_path / "e.h5"), SHAPES["li"].split(emulator.check_parameters)
    np.testing.assert_array_equal(again.at(shapes), emulator.at(shapes))
    np.testing.assert_array_equal(again.data["some"], emulator.data["some"])
    assert (again.model, again.realisations) == ("li", 12)


def test_counts_expected_of_a_luminosity_function(toy):
    """Mean and spread of the counts in a field against drawing its halos' scatter many times."""
    fields, _, emulator = toy
    edges, values, amplitude = np.linspace(4.5, 6.0, 7), np.array([0.14, 0.37]), 4.1
    counts, chance = expected_counts(emulator, SHAPES["li"], amplitude, values, edges)
    drawn = []
    for draw in range(300):
        log_lum = amplitude + SHAPES["li"].location(fields[2].x, values) + 0.37 * fields[2].normals(9, draw)
        drawn.append(np.histogram(log_lum, edges)[0])
    drawn = np.array(drawn)
    error = drawn.std(0) / math.sqrt(300)
    assert (np.abs(drawn.mean(0) - counts[2]) < 4 * error + 0.01 * counts[2]).all()
    np.testing.assert_allclose(drawn.var(0), (counts * (1 - chance))[2], rtol=0.35)


def test_prior_draws_keep_the_cuts(toy):
    rival = rival_of(toy)
    drawn = prior_draws(rival, 500, np.random.default_rng(1))
    _, log_prior, places = rival.predict(drawn)
    assert np.isfinite(log_prior).all()
    assert (drawn[:, [1, 3, 4]] > 0).all()
    assert (10 ** places[:, 0] >= 0.05).all()
    assert (10 ** places[:, 0] <= 30).all()
    outside = np.array([[0, 1.37, -30.0, 0.3, 0.3], [0, -1.0, -1.74, 0.3, 0.3]])
    assert rival.log_posterior(outside, np.zeros(rival.covariances.shape[1])).tolist() == [-math.inf] * 2
    with pytest.raises(LimelightError, match="a width in every parameter"):
        make_rival(
            toy[2], get_model("li"), SHAPES["li"], line_model(prior="fiducial"), rival_options(), toy[1], "some", 1.0
        )


@pytest.mark.parametrize(("covariance", "noise"), [("local", "some"), ("fiducial", "some"), ("local", "none")])
def test_chi2_of_prior_draws_is_what_their_number_promises(toy, covariance, noise):
    """Maps of the prior for the local covariance, of the fiducial model for the published one; d summaries each."""
    fields, measure, emulator = toy
    rival = rival_of(toy, noise, covariance=covariance)
    used = emulator.fiducial if covariance == "fiducial" else ~emulator.fiducial
    found, log_prior, places = rival.predict(emulator.parameters[used])
    chi2 = rival.hartlap * rival.chi2(found, places, emulator.data[noise][used])[0]
    if covariance == "local":
        chi2 = chi2[np.isfinite(log_prior)]
    d = rival.covariances.shape[1]
    assert 0.4 * d < np.median(chi2) < 1.3 * d  # Hartlap's factor lowers it, tails raise it


@pytest.mark.parametrize("covariance", ["local", "fiducial"])
def test_the_likelihood_is_the_t_distribution_of_an_estimated_covariance(toy, covariance):
    """Against scipy's multivariate t: two sets of summaries at one point of the prior, the covariance made by hand."""
    _, _, emulator = toy
    rival = rival_of(toy, covariance=covariance, anchors=1, neighbours=150)
    found, log_prior, places = rival.predict(emulator.parameters)
    scaled = (emulator.data["some"] - found) / spread(found, rival.measure)
    if covariance == "fiducial":
        maps, count = scaled[emulator.fiducial], emulator.fiducial.sum()
        estimate, freedom = np.cov(maps.T), count - 1
    else:
        used = ~emulator.fiducial & np.isfinite(log_prior)
        near = np.argsort(np.linalg.norm(places[used] - rival.anchors, axis=1))[:150]
        estimate, freedom = scaled[used][near].T @ scaled[used][near] / 150, 150
    point = prior_draws(rival, 1, np.random.default_rng(4))
    mean = rival.predict(point)[0]
    scale, (d, p) = spread(mean, rival.measure)[0], (mean.shape[1], 5)
    estimate = estimate + np.diag(np.maximum(0.1 - np.diag(estimate), 0))
    estimate = estimate * (1 + 1 / 12) * np.outer(scale, scale)
    degrees = freedom + 1 - (d - p) - d
    exact = stats.multivariate_t(mean[0], freedom / degrees * estimate, degrees)
    data = mean[0] + np.outer([0.3, -1.0, 4.0], scale)
    ours = np.array([rival.log_posterior(point, one)[0] for one in data])
    np.testing.assert_allclose(np.diff(ours), np.diff(exact.logpdf(data)), rtol=1e-8)


def mock_runs(toy, count: int, steps: int, folder: Path, seed: int) -> np.ndarray:
    """Whether each planted parameter lies inside its 95 % interval, bool (count, 5): maps of fields never seen."""
    _, measure, _ = toy
    rival = rival_of(toy)
    held, _ = toy_fields(count, first=500)
    planted = prior_draws(rival, count, generator(seed, "planted"))
    amplitude, shapes = SHAPES["li"].split(planted)
    inside = []
    for i, field in enumerate(held):
        cube, offset = paint_shape(field, SHAPES["li"], shapes[i], field.normals(seed), measure)
        data = noisy_summaries(cube * np.float32(10 ** (offset + amplitude[i])), SIGMA, measure, seed, "mock", i)
        samples, _ = sample_posterior(rival, data, rival_options(steps=steps), folder, "k", seed, i)
        low, high = np.quantile(samples, [0.025, 0.975], axis=0)
        inside.append((planted[i] >= low) & (planted[i] <= high))
    return np.array(inside)


def test_planted_parameters_are_recovered(toy, tmp_path):
    """5 runs: 25 intervals of 95 %, of which fewer than 19 inside would be a 5 σ accident were they independent."""
    assert mock_runs(toy, 5, 120, tmp_path, seed=1).sum() >= 19


@pytest.mark.slow
def test_planted_parameters_are_recovered_in_95_percent(toy, tmp_path):
    inside = mock_runs(toy, 60, 600, tmp_path, seed=2)
    assert 0.90 <= inside.mean() <= 0.99


def test_luminosity_function_of_a_map(toy):
    """At known parameters the counts' quantiles hold the counts of held-out fields as often as promised."""
    rival, edges = rival_of(toy), np.linspace(4.0, 6.0, 9)
    center = rival.mean[None]
    amplitude, shapes = SHAPES["li"].split(center)
    volume = toy[0][0].volume_mpc3
    one, mean = luminosity_functions(rival, np.repeat(center, 2000, 0), edges, volume, np.random.default_rng(1))
    held, _ = toy_fields(60, first=900)
    truth = np.array(
        [
            np.histogram(amplitude + SHAPES["li"].location(f.x, shapes[0]) + shapes[0, 1] * f.normals(4), edges)[0]
            for f in held
        ]
    )
    low, high = np.quantile(one, [0.025, 0.975], axis=0)
    assert 0.88 <= np.mean((truth >= low) & (truth <= high)) <= 1.0
    np.testing.assert_allclose(mean[0], truth.mean(0), atol=5 * truth.std(0).max() / math.sqrt(60) + 0.5, rtol=0.15)
    assert (mean == mean[0]).all()
    assert one.std(0).max() > 0


def test_geometry_that_a_rival_cannot_measure():
    for changes, grid, words in (
        ({"pool_pixels": 5}, GRID, "a divisor of 32"),
        ({"min_modes": 10**9}, GRID, "shells of"),
        ({}, replace(GRID, unit="Jy/sr"), "uK"),
    ):
        with pytest.raises(LimelightError, match=words):
            make_measure(rival_options(**changes), grid, Cosmology(), 0.0)
