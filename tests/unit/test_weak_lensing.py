"""Weak lensing: spectra against CAMB, lognormal maps against their likelihood, networks against the exact posterior."""

import importlib.util
import json
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from scipy import stats

from benchmarks.weak_lensing import over_hmcode, seeds
from limelight.errors import LimelightError
from limelight.files import ROOT, provenance
from limelight.inference.calibration import rank_p_value, ranks
from limelight.inference.exact import exact_intervals, normalised
from limelight.inference.intervals import write_intervals
from limelight.probe import load_probe
from limelight.probes.weak_lensing.areas import area_rows, areas, scores, with_error
from limelight.probes.weak_lensing.config import Maps, Survey
from limelight.probes.weak_lensing.fields import (
    Square,
    draw_maps,
    fisher,
    gaussian_power,
    log_likelihood,
    map_power,
    modes_of,
)
from limelight.probes.weak_lensing.presentation import LensingPresentation, open_sky, removed, shape_noise
from limelight.probes.weak_lensing.simulations import design, limits, universe_of
from limelight.probes.weak_lensing.spectra import UNIVERSE, camb_spectra, convergence_power
from limelight.study.config import load_study, resolve_study
from limelight.study.settings import estimates_settings

PROBE = load_probe("weak_lensing")
THETA = np.array([0.3, 0.8])
SQUARE = Square(32, 2.0, 1.0, 0.05)


# Spectra


def test_spectra_of_the_table_are_cambs():
    ells = np.array([100.0, 700.0, 4000.0])
    found = convergence_power(np.array([[0.27, 0.77]]), ells, 1.0)[0]
    np.testing.assert_allclose(found, camb_spectra(0.27, 0.77, (1.0,), ells)[0], rtol=3e-3)


PYCCL = """
import json, sys
import numpy as np
import pyccl as ccl
universe, ells = json.loads(sys.argv[1]), np.array(json.loads(sys.argv[2]))
extra = {"camb": {"halofit_version": "mead2020", "kmax": 30.0}}
universe = ccl.Cosmology(**universe, m_nu=0, matter_power_spectrum="camb", extra_parameters=extra)
lens = ccl.CMBLensingTracer(universe, z_source=1.0)
print(json.dumps(list(ccl.angular_cl(universe, lens, lens, ells))))
"""


def test_spectra_of_the_table_are_those_of_pyccl():
    """A second code makes the distances and the integral over HMcode's power; κ of one source redshift, as of the CMB's.

    In a process of its own: pyccl leaves CAMB with settings that other tests of CAMB would meet.
    """
    if importlib.util.find_spec("pyccl") is None:
        pytest.skip("no pyccl")
    (omega_m, sigma8), ells, fixed = (0.27, 0.77), np.array([100.0, 700.0, 1500.0, 4000.0]), dict(UNIVERSE)
    matter = {"Omega_c": omega_m - fixed["omega_b"], "Omega_b": fixed["omega_b"], "sigma8": sigma8}
    universe = {**matter, "h": fixed["h"], "n_s": fixed["ns"]}
    words = [sys.executable, "-c", PYCCL, json.dumps(universe), json.dumps(ells.tolist())]
    answer = subprocess.run(words, capture_output=True, text=True, check=True)
    theirs = np.array(json.loads(answer.stdout.splitlines()[-1])) * ((ells + 0.5) ** 2 / (ells * (ells + 1))) ** 2
    np.testing.assert_allclose(convergence_power(np.array([[omega_m, sigma8]]), ells, 1.0)[0], theirs, rtol=3e-3)


def test_c_l_over_hmcode_is_1_of_fields_that_have_hmcodes_power():
    """Gaussian fields on the grid of rays, four rays a pixel as on ray-traced maps, small maps cut out of large ones."""
    n, side, rng = 256, np.radians(1 / 60), np.random.default_rng(0)
    k = 2 * np.pi / side * np.hypot(np.fft.fftfreq(n)[:, None], np.fft.rfftfreq(n)).ravel()
    amplitude = np.sqrt(convergence_power(THETA[None], np.maximum(k, 1), 1.0)[0]).reshape(n, -1) / side
    amplitude[0, 0] = 0
    rays = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((48, n, n))) * amplitude, s=(n, n))
    pixels = rays.reshape(48, n // 2, 2, n // 2, 2).mean(axis=(2, 4))
    cut = pixels.reshape(48, 2, 64, 2, 64).transpose(0, 1, 3, 2, 4).reshape(-1, 64, 64)
    ratio = over_hmcode(cut, 2.0, THETA, 1.0, np.array([300, 450, 650, 900, 1200, 1500]))
    np.testing.assert_allclose(ratio, 1, atol=0.06)
    assert ratio.mean() == pytest.approx(1, abs=0.025)


# Lognormal and Gaussian maps


@pytest.mark.parametrize("shift", [0.05, None])
def test_maps_have_the_power_that_they_are_made_with(shift):
    square = Square(32, 2.0, 1.0, shift)
    maps = draw_maps(np.tile(THETA, (600, 1)), square, np.random.default_rng(0))
    which, _, count = modes_of(32)
    power = (np.abs(np.fft.fft2(maps)) ** 2).mean(axis=0) / 32**2
    found = np.bincount(which.ravel(), power.ravel()) / count
    expected = map_power(THETA[None], square)[0]
    ratio = found / expected
    error = np.sqrt(2 / (600 * count)) * (1 if shift is None else 2)  # lognormal modes scatter more
    assert (np.abs(ratio - 1) < 4.5 * error + 0.01).all()
    if shift is not None:
        assert maps.min() > -shift
        variance = gaussian_power(THETA[None], square)[1][0]
        y = np.log1p(maps / shift)
        assert y.var() == pytest.approx(variance, rel=0.05)
        assert abs(stats.skew(y.ravel())) < 0.1 < stats.skew(maps.ravel())


@pytest.mark.parametrize(("shift", "sigma"), [(0.05, 0.0), (None, 0.01)])
def test_the_likelihood_is_that_of_a_multivariate_normal_distribution(shift, sigma):
    """Differences between parameters, with the covariance written out pixel by pixel."""
    square = Square(8, 3.0, 1.0, shift)
    theta = np.array([[0.3, 0.8], [0.25, 0.95], [0.4, 0.6]])
    maps = draw_maps(theta, square, np.random.default_rng(1)) + sigma * np.random.default_rng(2).standard_normal(
        (3, 8, 8)
    )
    ours = log_likelihood(maps, theta, square, sigma)
    power, variance = gaussian_power(theta, square)
    y = (maps if shift is None else np.log1p(maps / shift)).reshape(3, -1)
    at = np.stack(np.meshgrid(np.arange(8), np.arange(8), indexing="ij"), -1).reshape(-1, 2)
    apart = (at[:, None] - at[None]) % 8
    theirs = np.empty((3, 3))
    for t in range(3):
        correlation = np.fft.ifft2(power[t][modes_of(8)[0]] + sigma**2).real
        covariance = correlation[apart[..., 0], apart[..., 1]]
        mean = np.full(64, -variance[t] / 2)
        theirs[:, t] = [stats.multivariate_normal.logpdf(one, mean, covariance) for one in y]
    np.testing.assert_allclose(ours - ours[:, :1], theirs - theirs[:, :1], rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize(("shift", "sigma"), [(0.05, 0.0), (None, 0.02)])
def test_the_fisher_matrix_is_the_scatter_of_the_score(shift, sigma):
    square, step = Square(16, 4.0, 1.0, shift), 1e-3
    rng = np.random.default_rng(3)
    maps = draw_maps(np.tile(THETA, (1500, 1)), square, rng) + sigma * rng.standard_normal((1500, 16, 16))
    sides = np.array([THETA + sign * step * one for one in np.eye(2) for sign in (1, -1)])
    ln = log_likelihood(maps, sides, square, sigma)
    score = (ln[:, ::2] - ln[:, 1::2]) / (2 * step)
    expected = fisher(THETA, square, sigma)
    np.testing.assert_allclose(np.cov(score.T), expected, atol=0.12 * expected.max())
    assert np.abs(score.mean(axis=0)) == pytest.approx(0, abs=4 * np.sqrt(expected.max() / 1500))


def test_exact_posteriors_are_calibrated():
    """Over maps drawn from the prior, truths are spread evenly over their posteriors."""
    header = PROBE.header(PROBE.dataset_settings(study(), "lognormal"))
    rows = PROBE.simulate(PROBE.dataset_settings(study(), "lognormal"), "lognormal", 2)
    found = PROBE.exact_posterior(Survey(), header).log_posterior(rows.x)
    result = exact_intervals("likelihood", found, PROBE.grid(header), PROBE.target(None, header), rows, "clean", 1)
    row = area_rows([result], PROBE.grid(header), result, 1)[0]
    assert row["area_over_reference"] == row["area_by_score"] == pytest.approx(1)
    assert row["covered_68"] == pytest.approx(0.68, abs=3.5 * row["covered_error_68"])
    assert row["rank_p"] > 1e-3


# Observing


def test_shape_noise_smoothing_and_holes():
    random = torch.Generator().manual_seed(0)
    survey = Survey(n_gal=30)
    sigma = shape_noise(survey, 2.0)
    assert sigma == pytest.approx(0.4 / np.sqrt(2 * 30 * 4))
    how = LensingPresentation(None, survey=survey, pixel_arcmin=2.0, noise=sigma, scale=0.02, periodic=True)
    x = torch.zeros(8, 1, 64, 64)
    first, second = how.observe(x, random), how.observe(x, random)
    assert (0.02 * first).std() == pytest.approx(sigma, rel=0.02)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.03  # afresh at each presentation
    assert how.silent().observe(x, random).abs().max() == 0
    torch.testing.assert_close(how.silent().bare().observe(x + 1, random), x + 1)
    sky = open_sky(64, 64, 0.2, 5.0, random)
    assert 1 - sky.mean() == pytest.approx(0.2, abs=0.02)
    assert set(sky.unique().tolist()) == {0.0, 1.0}
    masked = LensingPresentation(None, survey=Survey(masked=0.2, hole_arcmin=10, smoothing_arcmin=2), pixel_arcmin=2.0)
    assert (masked.observe(x + 1, random) == 0).float().mean() == pytest.approx(0.2, abs=0.06)


def test_removed_pixels_are_those_of_the_class():
    x = torch.randn(4, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    x[0, 0, 3, 4] = 9.0
    assert (removed(x, "negative") == (x < 0)).all()
    assert removed(x, "peaks")[0, 0, 3, 4]
    assert removed(x, "peaks").float().mean() < 0.01
    how = LensingPresentation(None, survey=Survey(removed="negative"))
    assert how.observe(x, torch.Generator()).min() == 0


# The study


def tiny(**more) -> dict:
    """A study as a config has it."""
    maps = {"kind": "lognormal", "pixels": 16, "pixel_arcmin": 6, "maps": 160}
    return {
        "probe": "weak_lensing",
        "study": "tiny",
        "realisations": {"train": [0, 1, 3, 5, 6], "validation": [4], "test": [2]},
        "data": {"lognormal": maps},
        "networks": {"cnn": {"architecture": "kappa_small", "data": ["lognormal"]}},
        "tests": {"clean": {"data": "lognormal"}},
        **more,
    }


def study(**more):
    return resolve_study(tiny(**more), "tiny.yaml")


def test_areas_and_scores_of_a_gaussian_density_are_known():
    grid = (np.linspace(-1, 1, 81), np.linspace(-2, 2, 121))
    covariance = np.array([[0.02, 0.01], [0.01, 0.04]])
    at = np.stack(np.meshgrid(*grid, indexing="ij"), -1).reshape(-1, 2)
    normal = stats.multivariate_normal([0.1, -0.2], covariance)
    mass = normalised(normal.logpdf(at)[None], grid)
    assert areas(mass, grid)[0] == pytest.approx(np.pi * 2.30 * np.sqrt(np.linalg.det(covariance)), rel=1e-3)
    truth = np.array([[0.21, -0.13]])
    assert scores(mass, truth, grid)[0] == pytest.approx(normal.logpdf(truth[0]), abs=0.01)


def test_errors_are_of_universes_not_of_maps_that_share_one():
    """Four universes of 100 maps each: the error is that of a mean of four, not of 400."""
    rng = np.random.default_rng(4)
    truth = np.repeat(rng.uniform(size=(4, 2)), 100, axis=0)
    own = np.repeat([0.0, 1.0, 2.0, 3.0], 100)
    mean, error = with_error(own, truth, np.random.default_rng(0))
    assert mean == 1.5
    assert error == pytest.approx(own.std() / 2, rel=0.1)
    values = rng.normal(size=400)  # each map its own universe
    mean, error = with_error(values, rng.uniform(size=(400, 2)), np.random.default_rng(0))
    assert error == pytest.approx(values.std() / 20, rel=0.1)


def test_ranks_are_tested_one_map_of_a_universe():
    """A posterior that is the prior is calibrated; but all maps of one of its few universes have the same rank."""
    rows = PROBE.simulate(PROBE.dataset_settings(study(), "lognormal"), "lognormal", 2)
    theta = np.repeat(np.random.default_rng(5).uniform(*limits(Maps()).T, (16, 2)), 10, axis=0)
    rows = replace(rows, y={"parameters": theta}, theta=theta)
    grid = PROBE.grid(rows.header)
    flat = np.zeros((len(rows), len(grid[0]) * len(grid[1])))
    prior = exact_intervals("none", flat, grid, PROBE.target(None, rows.header), rows, "clean", 1)
    assert rank_p_value(ranks(prior.samples, prior.truth)).min() < 1e-3
    assert area_rows([prior], grid, prior, 1)[0]["rank_p"] > 0.01


def compared(folder: Path, monkeypatch, made_by: dict) -> list:
    """The figures of scripts/compare_areas.py for exact posteriors of two tests with priors of their own.

    made_by: what differs in the study that they were made by.
    """
    narrow = {
        "kind": "lognormal",
        "pixels": 16,
        "pixel_arcmin": 6,
        "maps": 5,
        "omega_m": [0.3, 0.4],
        "sigma8": [0.9, 1.0],
    }
    wide = narrow | {"omega_m": [0.16, 0.5], "sigma8": [0.5, 1.1]}
    raw = tiny(
        data={"lognormal": narrow, "wide": wide}, tests={"close": {"data": "lognormal"}, "far": {"data": "wide"}}
    )
    (folder / "study.yaml").write_text(yaml.safe_dump(raw))
    study, figures = resolve_study(raw | made_by, "tiny.yaml"), []
    for test, entry in study.tests.items():
        rows = PROBE.simulate(PROBE.dataset_settings(study, entry.data), entry.data, 2)
        grid = PROBE.grid(rows.header)
        at = np.stack(np.meshgrid(*grid, indexing="ij"), -1).reshape(-1, 2)
        density = -0.5 * (np.square((at - rows.theta[:, None]) / np.ptp(at, axis=0)).sum(axis=-1)) / 0.1**2
        found = exact_intervals("toy", density, grid, PROBE.target(None, rows.header), rows, test, 1)
        write_intervals(folder / f"{test}.h5", found, provenance(estimates_settings(study, test), study.seed))
    monkeypatch.setattr("limelight.figures.style.save", lambda figure, *_: figures.append(figure))
    words = [
        "--config",
        "study.yaml",
        "--exact",
        "far.h5",
        "close.h5",
        "--intervals",
        "far.h5",
        "--output",
        "areas.csv",
    ]
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["compare_areas.py", *words])
    runpy.run_path(str(ROOT / "scripts" / "compare_areas.py"), run_name="compare_areas")["main"]()
    return figures


def test_contours_of_each_test_are_drawn_over_its_own_prior(tmp_path, monkeypatch):
    (figure,) = compared(tmp_path, monkeypatch, {})
    for panel, (low, high) in zip(figure.axes[1::2], ([0.16, 0.5], [0.3, 0.4]), strict=True):
        places = np.concatenate([path.vertices for path in panel.collections[0].get_paths()])
        assert low - 1e-9 <= places[:, 0].min() < places[:, 0].max() <= high + 1e-9
        assert np.ptp(places[:, 0]) > 0.2 * (high - low)
        (x,), (y,) = panel.lines[-1].get_data()  # the truth of this row, and the middle of its contour
        assert places.min(axis=0)[0] < x < places.max(axis=0)[0]
        assert places.min(axis=0)[1] < y < places.max(axis=0)[1]


def test_areas_of_another_study_are_refused(tmp_path, monkeypatch):
    with pytest.raises(LimelightError, match=r"far.h5: found a file of another study \(seed 5, dataset.seed 5\)"):
        compared(tmp_path, monkeypatch, {"seed": 5})


def test_trainings_are_compared_by_their_means_with_both_errors():
    """Gaussian densities about the truth: half the width each way is a quarter of the area, whatever the training."""
    rows = PROBE.simulate(PROBE.dataset_settings(study(), "lognormal"), "lognormal", 2)
    theta = np.repeat(np.random.default_rng(5).uniform([0.3, 0.75], [0.36, 0.85], (8, 2)), 5, axis=0)
    rows = replace(
        rows,
        **{key: getattr(rows, key)[:40] for key in ("x", "group", "dataset")},
        y={"parameters": theta},
        theta=theta,
    )
    rows = replace(rows, rows={"map": np.arange(40)})
    grid = PROBE.grid(rows.header)
    at = np.stack(np.meshgrid(*grid, indexing="ij"), -1).reshape(-1, 2)

    def trained(width: float):
        density = -0.5 * np.square((at - theta[:, None]) / width).sum(axis=-1)
        return exact_intervals("toy", density, grid, PROBE.target(None, rows.header), rows, "clean", 1)

    first, second = [trained(0.018), trained(0.018)], [trained(0.033), trained(0.036), trained(0.039)]
    (row,) = seeds(first, second, grid)
    expected = 0.018**2 / (0.033 * 0.036 * 0.039) ** (2 / 3)
    assert row["area"] == pytest.approx(expected, rel=0.02)
    assert row["area_by_score"] == pytest.approx(expected, rel=0.02)
    assert row["area_error"] < 0.01 * row["area"]
    spread = np.std(2 * np.log([0.033, 0.036, 0.039]), ddof=1) / np.sqrt(3)
    assert row["area_seed_error"] == pytest.approx(expected * spread, rel=0.05)
    assert row["first_covered_68"] == 1  # the truth is the middle
    with pytest.raises(LimelightError, match="all of one test"):
        seeds(first, [replace(second[0], truth=second[0].truth + 0.1)], grid)
    with pytest.raises(LimelightError, match="--prior: found densities on this grid .* from their own draws"):
        seeds(first, second, [1.1 * grid[0], grid[1]])


def test_the_design_fills_the_prior_and_realisations_share_cosmologies_as_asked():
    data = Maps(kind="ray_traced", boxes={"realisations_per_cosmology": 2})
    theta = np.array([design(data, 7, n) for n in range(32)])
    np.testing.assert_array_equal(theta[::2], theta[1::2])
    low, high = limits(data).T
    unit = (theta[::2] - low) / (high - low)
    assert ((unit > 0) & (unit < 1)).all()
    for axis in unit.T:
        assert sorted((axis * 16).astype(int)) == list(range(16))  # one in each sixteenth
    free = Maps(kind="ray_traced", boxes={"realisations_per_cosmology": 2, "drawn": {"h": [0.6, 0.8]}})
    drawn = [universe_of(free, 7, n) for n in range(32)]
    assert drawn[::2] == drawn[1::2]
    assert [(one.omega_m, one.sigma8) for one in drawn] == [tuple(one) for one in theta]
    assert all(0.6 < one.h < 0.8 and one.ns == UNIVERSE["ns"] for one in drawn)
    assert len({one.h for one in drawn}) == 16
    assert {universe_of(data, 7, n).h for n in range(32)} == {UNIVERSE["h"]}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sigma8": [1.0, 0.6]}, "sigma8"),
        ({"omega_m": [0.05, 0.4]}, "omega_m"),
        ({"source_redshift": 0.8}, "one of 0.5, 1, 1.5, 2"),
        ({"shift": 0.004}, "negative power"),
        ({"kind": "files"}, "without files"),
        ({"kind": "ray_traced", "boxes": {"mesh": 33}}, "even number"),
        ({"kind": "ray_traced", "boxes": {"drawn": {"h": [0.8, 0.6]}}}, "boxes.drawn.h"),
        ({"kind": "ray_traced", "boxes": {"sources": [[0.5, -1]]}}, "weight above 0"),
        (
            {"kind": "ray_traced", "source_redshift": 2, "boxes": {"sources": [[0.5, 1]]}},
            "data.lognormal.source_redshift: found one beside boxes.sources",
        ),
        ({"kind": "gaussian", "shift": 0.1}, "data.lognormal.shift: found one for maps of kind gaussian"),
        ({"boxes": {"particles": 64}}, "data.lognormal.boxes: found one for maps of kind lognormal; expected none"),
        (
            {"kind": "files", "files": {"table": "t.csv"}, "sigma8": [0.6, 0.9]},
            "data.lognormal.sigma8: found one for maps of kind files",
        ),
    ],
)
def test_faults_of_a_config_are_one_line_each(changes, words):
    raw = tiny()
    raw["data"]["lognormal"] = {**raw["data"]["lognormal"], **changes}
    with pytest.raises(LimelightError) as error:
        resolve_study(raw, "tiny.yaml")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("split", "sound"), [([0, 1, 4], False), ([0, 1, 2, 3], True)])
def test_a_cosmology_whose_realisations_stand_in_two_splits_is_refused(split, sound):
    """Other boxes of the very cosmology that training saw are no test of what was learnt between cosmologies."""
    raw = tiny(realisations={"train": split, "validation": [6, 7], "test": [5]})
    raw["data"]["lognormal"] |= {"kind": "ray_traced", "boxes": {"realisations_per_cosmology": 2}}
    if sound:
        assert resolve_study(raw, "tiny.yaml")
    else:
        with pytest.raises(LimelightError, match=r"realisations 4 \(train\) and 5 \(test\) are of one cosmology"):
            resolve_study(raw, "tiny.yaml")


@pytest.mark.parametrize("kind", ["ray_traced", "files"])
def test_maps_that_cannot_be_drawn_anew_are_refused_with_the_config(kind):
    more = {"kind": kind} | ({"files": {"table": "table.csv"}} if kind == "files" else {})
    for words, change in {
        "networks.cnn.training.fresh_draws": {"training": {"fresh_draws": 4, "steps_per_epoch": 3}},
        "streams.many": {"streams": {"many": {"networks": ["cnn"], "draws": 4}}},
    }.items():
        assert study(**change)  # of lognormal maps
        raw = tiny(**change)
        raw["data"]["lognormal"] |= more
        with pytest.raises(LimelightError) as error:
            resolve_study(raw, "tiny.yaml")
        assert words in str(error.value)
        assert f"maps of kind {kind}" in str(error.value)
        assert "\n" not in str(error.value)


def test_a_mixture_ends_with_no_prior_that_is_not_known():
    """Files say of each map what universe it is of, but not what the universes were drawn from."""
    posterior = {"network": "cnn", "kind": "mdn", "mdn": {"rank": 0, "bounded": True}}
    assert study(posteriors={"p": posterior})  # of lognormal maps
    raw = tiny(posteriors={"p": posterior})
    raw["data"]["lognormal"] |= {"kind": "files", "files": {"table": "table.csv"}}
    with pytest.raises(LimelightError, match="posteriors.p.mdn.bounded: found true; expected false: no even prior"):
        resolve_study(raw, "tiny.yaml")


@pytest.mark.parametrize("name", ["weak_lensing", "weak_lensing_traced"])
def test_the_studies_of_the_repository_are_sound(name):
    wanted = load_study(ROOT / "config" / f"{name}.yaml")
    assert wanted.probe == "weak_lensing"
