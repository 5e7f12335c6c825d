"""The rival: line models taken apart, painting with fixed random numbers, the emulator, chains and posteriors."""

import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from limelight.config import resolve_study, stage_settings
from limelight.cosmology import Cosmology
from limelight.errors import LimelightError
from limelight.figures.rival import rival_figure, rival_table
from limelight.halos.catalogue import HaloCatalogue
from limelight.halos.subfields import (
    SubfieldHalos,
    plan_subfields,
    read_subfield_halos,
    read_subfields,
    write_subfields,
)
from limelight.inference.chain import diagnostics, run_chain
from limelight.inference.emulator import (
    expected_counts,
    feature_histogram,
    light,
    make_emulator,
    paint_node,
    read_emulator,
    summaries,
    write_emulator,
)
from limelight.inference.fields import make_measure, observe, paint_shape, prepare_fields
from limelight.inference.intervals import read_intervals, write_intervals
from limelight.inference.rival import (
    luminosity_functions,
    make_rival,
    prior_draws,
    sample_posterior,
)
from limelight.inference.rival_stage import emulator_stage, rival_intervals
from limelight.inference.shapes import SHAPES, get_shape
from limelight.lines.models import get_model
from limelight.maps.grid import Grid, make_grid
from limelight.maps.paint import paint, paint_subfields
from limelight.maps.pooling import pool
from limelight.seeds import generator, seed_sequence

GRID = Grid(0.7, 32, 20, 26.0, 34.0, 115.27)
SETTINGS = {
    "pool_pixels": 2,
    "pool_channels": 1,
    "log10_k": [-1.5, 0],
    "k_bins": 8,
    "min_modes": 20,
    "temperature_uk": [1.0, 100.0],
    "temperature_bins": 8,
    "spacing": "log",
    "realisations": 12,
    "nodes": 24,
    "simulations": 240,
    "covariance_draws": 4,
    "covariance": "local",
    "neighbours": 120,
    "anchors": 8,
    "walkers": 16,
    "steps": 160,
    "ensembles": 2,
    "samples": 200,
}
LINE_MODEL = {"model": "li", "prior": "full", "parameters": {}, "mean_temperature_uk": [0.05, 30.0]}
SIGMA = 2.0


class Normals:
    """A random generator whose every normal is the given ones."""

    def __init__(self, values):
        self.values = values

    def standard_normal(self, shape):
        return np.array(np.broadcast_to(self.values, shape))


def halos_of(seed: int, count: int = 3000) -> SubfieldHalos:
    """Halos strewn over the square and band, their number varying from field to field; masses of a power law."""
    rng = np.random.default_rng(seed)
    count = rng.poisson(count * (1 + 0.1 * rng.standard_normal()))
    z = rng.uniform(2.395, 3.43, count).astype(np.float32)
    mass = 1e11 * (1 - rng.random(count)) ** (-1 / 1.3)
    return SubfieldHalos(rng.uniform(-0.35, 0.35, (count, 2)), z, z, np.minimum(mass, 5e12).astype(np.float32))


def toy_fields(count: int, first: int = 0, shape=SHAPES["li"]):
    subfields = plan_subfields(0.7, {"size_deg": 0.7, "per_side": 1, "rotations_deg": [0]})
    measure, found = make_measure(SETTINGS, GRID, Cosmology(), 0.0), []
    for i in range(first, first + count):
        found += prepare_fields(replace(subfields, lightcone=i), [(0, halos_of(i))], shape, measure)
    return found, measure


@pytest.fixture(scope="module")
def toy():
    fields, measure = toy_fields(16)
    emulator = make_emulator(
        fields, get_model("li"), SHAPES["li"], LINE_MODEL, SETTINGS, measure, {"some": SIGMA}, seed=3
    )
    return fields, measure, emulator


def rival_of(toy, **changes):
    _, measure, emulator = toy
    return make_rival(
        emulator, get_model("li"), SHAPES["li"], LINE_MODEL, {**SETTINGS, **changes}, measure, "some", SIGMA
    )


@pytest.mark.parametrize("name", list(SHAPES))
def test_amplitude_and_shape_are_the_line_model(name):
    """amplitude + location + scatter · normal against lines.models for odd parameters."""
    parameters = {
        "li": {"log10_delta_mf": 0.2, "alpha": 1.1, "beta": -0.4, "sigma_sfr": 0.5, "sigma_lco": 0.2},
        "comap": {"A": 0.3, "B": -2.1, "log10_C": 10.4, "log10_Mstar": 12.2, "sigma": 0.35},
        "breysse": {"A": 3e-6, "b": 1.1},
    }[name]
    halos, shape = halos_of(1), get_shape(name)
    normals = np.random.default_rng(2).standard_normal(len(halos.mass_msun))
    theirs = get_model(name).log10_luminosity(halos.mass_msun, halos.redshift, parameters, Normals(normals))
    amplitude, values = shape.split(np.array([list(parameters.values())]))
    x = shape.feature(halos.mass_msun, halos.redshift)
    ours = amplitude[0] + shape.location(x, values[0]) + shape.scatter(values[0]) * normals
    np.testing.assert_allclose(ours, theirs, atol=1e-9)


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
        lum = np.concatenate([10 ** SHAPES["li"].location(f.x, values) * f.weight for f in fields])
        shot.append(np.log(np.sum(lum**2) / np.sum(lum) ** 2) + scatter)
    assert found[1, 1] - found[0, 1] == pytest.approx(shot[1] - shot[0], abs=0.05)
    assert (found[:, 3] > found[:, 2]).all()


def test_summaries_of_a_node_are_those_of_its_maps(toy):
    """What the emulator says at a node against the mean of noisy maps measured one by one."""
    fields, measure, _ = toy
    values, amplitude = np.array([0.14, 0.37]), 4.3
    normals = [field.normals(3) for field in fields]
    outputs = paint_node(fields, normals, SHAPES["li"], values, measure)
    means, temperature = summaries(outputs[None], np.array([amplitude]), SIGMA, measure)
    measured, direct = [], []
    for i, (field, own) in enumerate(zip(fields, normals, strict=True)):
        cube, offset = paint_shape(field, SHAPES["li"], values, own, measure)
        cube = cube * np.float32(10 ** (offset + amplitude))
        direct.append(cube.mean(dtype=np.float64))
        measured += [observe(cube, SIGMA, measure, 1, "noise", i, j) for j in range(12)]
    assert temperature[0] == pytest.approx(np.mean(direct), rel=1e-5)
    shells = len(measure.modes)
    noise = np.array(measured).reshape(len(fields), 12, -1)
    error = np.maximum(noise.std(1, ddof=1).mean(0) / math.sqrt(12 * len(fields)), 1e-3)
    assert (np.abs(noise.mean((0, 1)) - means[0]) < 4.5 * error)[:shells].all()
    assert (np.abs(noise.mean((0, 1)) - means[0]) < 4.5 * error + 0.02 * means[0] + 0.3)[shells:].all()


def test_emulator_between_its_nodes(toy):
    """At shapes it was not built from, the emulator's means lie within a small part of one map's scatter."""
    fields, measure, emulator = toy
    rival = rival_of(toy)
    amplitude = np.log10(2.0) - emulator.check_outputs[:, 0] / np.log(10)  # 2 µK
    truth, _ = summaries(emulator.check_outputs, amplitude, SIGMA, measure)
    found, _ = summaries(emulator.at(emulator.checks), amplitude, SIGMA, measure)
    places = np.column_stack([np.full(len(truth), np.log10(2.0)), emulator.checks / emulator.span])
    chi2, _ = rival.chi2(found, places, truth)
    assert np.median(chi2) < 0.3, "a shift of half a σ at most in any direction"


def test_emulator_file_comes_back(toy, tmp_path):
    _, measure, emulator = toy
    write_emulator(tmp_path / "e.h5", emulator, {"seed": 1})
    again = read_emulator(tmp_path / "e.h5")
    np.testing.assert_array_equal(again.at(emulator.checks), emulator.at(emulator.checks))
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


def gaussian_log_prob(places: np.ndarray) -> np.ndarray:
    return -0.5 * np.sum((places / [1.0, 3.0]) ** 2, axis=1)


def mortal(calls: int):
    """The log probability that is interrupted after so many calls."""
    left = iter(range(calls))

    def log_prob(places: np.ndarray) -> np.ndarray:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return gaussian_log_prob(places)

    return log_prob


def start_at(random: np.random.RandomState) -> np.ndarray:
    return random.standard_normal((12, 2))


def test_chain_samples_what_it_is_given(tmp_path):
    chain, log_prob = run_chain(tmp_path / "c.h5", gaussian_log_prob, start_at, 1000, "k", seed_sequence(1, "x"))
    late = chain[200:].reshape(-1, 2)
    np.testing.assert_allclose(late.std(0), [1, 3], rtol=0.12)
    np.testing.assert_allclose(log_prob[-1], gaussian_log_prob(chain[-1]))
    found = diagnostics(np.array([chain[200:600], chain[600:]]))
    assert (found["rhat"] < 1.03).all()
    assert (found["ess"] > 200).all()
    assert 0.2 < found["acceptance"] < 0.9
    apart = diagnostics(np.array([chain[200:600], chain[600:] + [1.5, 4.5]]))
    assert (apart["rhat"] > 1.05).all(), "two ensembles that disagree must show"


def test_interrupted_chain_goes_on_to_the_byte(tmp_path):
    """Stopped in the middle of a step, and once more, the chain ends as the uninterrupted one."""
    whole = run_chain(tmp_path / "whole.h5", gaussian_log_prob, start_at, 60, "k", seed_sequence(1, "x"))
    done = 0
    for calls in (37, 9):
        with pytest.raises(KeyboardInterrupt):
            run_chain(tmp_path / "cut.h5", mortal(calls), start_at, 60, "k", seed_sequence(1, "x"))
        with h5py.File(tmp_path / "cut.h5") as file:
            assert 60 > file["done"][0] > done
            done = file["done"][0]
    again = run_chain(tmp_path / "cut.h5", gaussian_log_prob, start_at, 60, "k", seed_sequence(1, "x"))
    np.testing.assert_array_equal(again[0], whole[0])
    np.testing.assert_array_equal(again[1], whole[1])


KILLED = """
import sys, numpy as np
sys.path.insert(0, {root!r})
from limelight.inference import chain
from limelight.seeds import seed_sequence
save = chain._save
def counted(*args):
    save(*args)
    print("step", flush=True)
chain._save = counted
log_prob = lambda p: -0.5 * np.sum((p / [1.0, 3.0]) ** 2, axis=1)
chain.run_chain({path!r}, log_prob, lambda r: r.standard_normal((12, 2)), 400, "k", seed_sequence(1, "x"))
"""


def test_a_kill_loses_at_most_a_step(tmp_path):
    """SIGKILL at an arbitrary moment: the file opens and holds every step that was finished; the rest is as if unbroken."""
    root = str(Path(__file__).resolve().parents[2])
    script = KILLED.format(root=root, path=str(tmp_path / "killed.h5"))
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    for _ in range(51):
        assert process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    finished = 51 + len(process.stdout.read().splitlines())
    process.wait()
    with h5py.File(tmp_path / "killed.h5") as file:
        assert int(file["done"][0]) in (finished, finished + 1)
    again, _ = run_chain(tmp_path / "killed.h5", gaussian_log_prob, start_at, 400, "k", seed_sequence(1, "x"))
    whole, _ = run_chain(tmp_path / "whole.h5", gaussian_log_prob, start_at, 400, "k", seed_sequence(1, "x"))
    np.testing.assert_array_equal(again, whole)


def test_chain_of_other_settings_starts_anew(tmp_path):
    first, _ = run_chain(tmp_path / "c.h5", gaussian_log_prob, start_at, 5, "k", seed_sequence(1, "x"))
    (tmp_path / "c.h5").touch()
    other, _ = run_chain(tmp_path / "c.h5", gaussian_log_prob, start_at, 5, "another", seed_sequence(2, "x"))
    assert not np.array_equal(first, other)
    (tmp_path / "c.h5").write_bytes(b"no HDF5")
    again, _ = run_chain(tmp_path / "c.h5", gaussian_log_prob, start_at, 5, "k", seed_sequence(1, "x"))
    np.testing.assert_array_equal(first, again)


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
            toy[2], get_model("li"), SHAPES["li"], {**LINE_MODEL, "prior": "fiducial"}, SETTINGS, toy[1], "some", 1.0
        )


@pytest.mark.parametrize("covariance", ["local", "fiducial"])
def test_chi2_of_prior_draws_is_what_their_number_promises(toy, covariance):
    """Maps of the prior for the local covariance, of the fiducial model for the published one; d summaries each."""
    fields, measure, emulator = toy
    rival = rival_of(toy, covariance=covariance)
    used = emulator.fiducial if covariance == "fiducial" else ~emulator.fiducial
    found, log_prior, places = rival.predict(emulator.parameters[used])
    chi2, _ = rival.chi2(found, places, emulator.data["some"][used])
    if covariance == "local":
        chi2 = chi2[np.isfinite(log_prior)]
    d = rival.covariances.shape[1]
    assert 0.4 * d < np.median(chi2) < 1.3 * d  # Hartlap's factor lowers it, tails raise it


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
        data = observe(cube * np.float32(10 ** (offset + amplitude[i])), SIGMA, measure, seed, "mock", i)
        samples, _ = sample_posterior(rival, data, {**SETTINGS, "steps": steps}, folder, "k", seed, i)
        low, high = np.quantile(samples, [0.025, 0.975], axis=0)
        inside.append((planted[i] >= low) & (planted[i] <= high))
    return np.array(inside)


def test_planted_parameters_are_recovered(toy, tmp_path):
    """6 runs: 30 intervals of 95 %, of which fewer than 24 inside would be a 5 σ accident were they independent."""
    assert mock_runs(toy, 6, 160, tmp_path, seed=1).sum() >= 24


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
            make_measure({**SETTINGS, **changes}, grid, Cosmology(), 0.0)


def lightcone_file(folder: Path, lightcone: int) -> Path:
    """A subfields file of the toy's halos: two fields side by side, positions in Mpc."""
    cosmology, parts = Cosmology(), []
    for i in (0, 1):
        halos = halos_of(100 * lightcone + i, 2000)
        direction = np.radians(halos.sky_deg + [0.35 * (2 * i - 1), 0.0])
        depth = cosmology.comoving_distance(halos.redshift.astype(float)) / np.sqrt(1 + np.sum(direction**2, axis=1))
        parts.append((np.column_stack([-direction[:, 0] * depth, direction[:, 1] * depth, depth]), halos))
    columns = [np.concatenate([part[0] for part in parts]).astype(np.float32)]
    columns += [np.zeros_like(columns[0])]
    columns += [np.concatenate([getattr(h, name) for _, h in parts]) for name in ("mass_msun", "redshift", "redshift")]
    halos = HaloCatalogue(*columns, cosmology=cosmology, geometry={"field_deg": 1.4, "mass_min_msun": 1e11})
    path = folder / f"{lightcone}.h5"
    section = {"size_deg": 0.7, "per_side": 2, "rotations_deg": [0], "reflections": False}
    write_subfields(path, halos, section, {"lightcone": lightcone, "seed": 1})
    return path


def test_stages_write_the_intervals_of_a_study(tmp_path):
    """Emulator of three light-cones, then posteriors of maps of a fourth, twice the same; as the scripts do it."""
    raw = {
        "study": "toy",
        "lightcones": {"field_deg": 1.4, "train": "0-2", "validation": [6], "test": [7]},
        "subfields": {"size_deg": 0.7, "per_side": 2},
        "grid": {
            "pixels": 32, "channels": 20, "freq_min_ghz": 26.0, "freq_max_ghz": 34.0, "pool_pixels": 4, "pool_channels": 4
        },
        "line_models": {"li_full": {**LINE_MODEL, "draws": 2}, "li_fiducial": {"model": "li", "prior": "fiducial"}},
        "observation": {"noise": {"none": {"sigma_uk": 0}, "some": {"sigma_uk": 2}}},
        "networks": {"n": {"architecture": "limelight", "line_models": ["li_full"]}},
        "tests": {"over_prior": {"line_model": "li_full", "noise": "some"}},
        "rival": {"li": {**SETTINGS, "line_model": "li_full", "maps": 3, "steps": 20, "nodes": 12, "simulations": 130}},
    }  # fmt: skip
    study = resolve_study(raw, tmp_path / "toy.yaml")
    paths = {i: lightcone_file(tmp_path, i) for i in (0, 1, 2, 7)}
    emulator = emulator_stage(stage_settings(study, "rival_emulator", "li"), [paths[0], paths[1], paths[2]])
    with pytest.raises(LimelightError, match="must stay unseen"):
        emulator_stage(stage_settings(study, "rival_emulator", "li"), [paths[7]])
    settings = stage_settings(study, "rival", "li", "over_prior")
    result = rival_intervals(settings, emulator, [paths[7]], tmp_path / "chains")
    write_intervals(tmp_path / "r.h5", result, {"seed": 1})
    assert read_intervals(tmp_path / "r.h5").quantiles.shape == (3, 49, 5)
    assert list(zip(result.rows["subfield"], result.rows["draw"], strict=True)) == [(0, 0), (2, 0), (3, 1)]
    assert (result.seconds == 0).all() and result.extra["underlying"].shape == (3, 49, 3)  # noqa: PT018
    # the maps are those that the study paints: same parameters, same counts
    table = read_subfields(paths[7])
    grid = make_grid(study["grid"], 0.7)
    model = {"name": "li_full", **study["line_models"]["li_full"]}
    painted = list(
        paint_subfields(table, read_subfield_halos(paths[7]), "li_full", model, study["labels"], grid, study["seed"])
    )
    for i, row in enumerate(result.extra["row"].astype(int)):
        np.testing.assert_array_equal(result.parameters[i], list(painted[row].parameters.values()))
        np.testing.assert_array_equal(result.truth[i], -np.diff(painted[row].n_above[:50]))
    again = rival_intervals(settings, emulator, [paths[7]], tmp_path / "other")
    np.testing.assert_array_equal(again.samples, result.samples)
    assert rival_table(result)[0]["maps"] == 3
    assert len(rival_figure([result, again]).axes) == 2
