"""Galaxy fields against quadrature, Poisson statistics and the bound of the perfect catalogue; an IMNN on their pixels."""

import runpy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from scipy import integrate, stats

from limelight.data.axes import OutputAxis
from limelight.data.shard import read_shards, write_shard
from limelight.errors import LimelightError
from limelight.evaluation.metrics import Judged
from limelight.files import ROOT, provenance
from limelight.inference.intervals import Intervals, quantiles_of, write_intervals
from limelight.inference.posterior_intervals import posterior_intervals
from limelight.inference.posteriors.learn import train_posterior
from limelight.inference.posteriors.posterior import load_posterior
from limelight.probe import load_probe
from limelight.probes.galaxy_field.beside import beside_figure, beside_rows
from limelight.probes.galaxy_field.config import GalaxyField
from limelight.probes.galaxy_field.fields import (
    catalogue_fisher,
    draw_arrivals,
    expected_number,
    isolated_fisher,
    luminosities,
    paint,
)
from limelight.probes.galaxy_field.presentation import GalaxyPresentation, histograms
from limelight.probes.galaxy_field.simulations import GalaxySimulator, draw_field, fisher_fields, limits, most_galaxies
from limelight.section import plain
from limelight.study.config import resolve_study
from limelight.study.posteriors import Imnn
from limelight.study.settings import intervals_settings, network_settings, posterior_settings
from limelight.training.checkpoint import load_model, save_model
from limelight.training.loop import train

PROBE = load_probe("galaxy_field")
THETA, L_MIN = np.array([4.0, 0.2]), 0.1  # ln φ*, ln L*


def number_by_quadrature(theta: np.ndarray, l_min: float) -> float:
    """The number of galaxies above l_min of (ln φ*, ln L*, α), integrated numerically."""
    phi, l_star = np.exp(theta[:2])
    return phi * integrate.quad(lambda t: t ** theta[2] * np.exp(-t), l_min / l_star, np.inf)[0]


def with_slope(alpha: float) -> np.ndarray:
    return np.append(THETA, alpha)


# The luminosity function


@pytest.mark.parametrize("alpha", [-1.5, -1.0, -0.4, 0.5])
def test_the_number_of_galaxies_is_the_integral_of_the_luminosity_function(alpha):
    found = expected_number(with_slope(alpha), L_MIN)
    assert found == pytest.approx(number_by_quadrature(with_slope(alpha), L_MIN), rel=1e-8)


def test_arrivals_make_a_poisson_number_of_schechter_galaxies():
    rng, alpha = np.random.default_rng(0), -1.25
    most = 2 * expected_number(with_slope(alpha), L_MIN)
    fields = [luminosities(draw_arrivals(most, rng), with_slope(alpha), L_MIN) for _ in range(800)]
    numbers = np.array([len(one) for one in fields])
    expected = expected_number(with_slope(alpha), L_MIN)
    assert numbers.mean() == pytest.approx(expected, abs=4 * np.sqrt(expected / 800))
    assert numbers.var() / expected == pytest.approx(1, abs=4 * np.sqrt(2 / 800))
    every = np.concatenate(fields)
    cuts = np.array([0.1, 0.3, 1.0, 3.0])
    share = [np.mean(every > cut) for cut in cuts]
    exact = [expected_number(with_slope(alpha), cut) / expected for cut in cuts]
    np.testing.assert_allclose(share, exact, atol=4 * np.sqrt(0.25 / len(every)))
    assert (np.diff(fields[0]) < 0).all()


def test_a_field_changes_smoothly_with_its_parameters():
    """The same arrivals: each galaxy is a little brighter at a little larger L*; more appear at the faint end."""
    arrivals = draw_arrivals(500, np.random.default_rng(1))
    here, there = (luminosities(arrivals, with_slope(-1) + [0, step, 0], L_MIN) for step in (0, 1e-3))
    k = len(here)
    assert k <= len(there) <= k + 3
    np.testing.assert_allclose(there[:k] / here, np.exp(1e-3), rtol=1e-3)


@pytest.mark.parametrize("alpha", [-1.5, -1.0, -0.4])
def test_the_bound_is_the_scatter_of_the_score_of_catalogues(alpha):
    """∂ ln L/∂θ of a Poisson process: over the galaxies Σ ∂ ln n, minus ∂N; its covariance is F."""
    rng, theta, l_star = np.random.default_rng(2), with_slope(alpha), np.exp(THETA[1])
    most, step = 2 * expected_number(with_slope(alpha), L_MIN), 1e-5
    slopes = [
        (number_by_quadrature(theta + d, L_MIN) - number_by_quadrature(theta - d, L_MIN)) / (2 * step)
        for d in step * np.eye(3)
    ]
    scores = []
    for _ in range(1500):
        found = luminosities(draw_arrivals(most, rng), with_slope(alpha), L_MIN)
        x = found / l_star
        scores.append([len(x), np.sum(x - alpha - 1), np.sum(np.log(x))])
    measured, expected = np.cov(np.array(scores).T), catalogue_fisher(theta, L_MIN)
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    np.testing.assert_allclose(measured / scale, expected / scale, atol=0.16)
    np.testing.assert_allclose(np.mean(scores, axis=0), slopes, atol=4 * np.sqrt(np.diag(expected).max() / 1500))


# Images


def test_noisy_fluxes_know_less_than_the_catalogue_and_all_of_it_without_noise():
    theta = with_slope(-1.0)
    most = catalogue_fisher(theta, L_MIN)
    np.testing.assert_allclose(isolated_fisher(theta, L_MIN, 0.004, 0), most, rtol=0.01)
    shares = [
        np.linalg.det(isolated_fisher(theta, L_MIN, sigma, beams)) / np.linalg.det(most)
        for sigma, beams in ((0.01, 100), (0.05, 100), (0.1, 100), (0.1, 400))
    ]
    assert (np.diff([1.0, *shares]) < 0).all()
    assert shares[-1] > 0.1


def test_the_information_of_noisy_fluxes_is_the_scatter_of_their_score():
    """The score of Poisson numbers in bins of noisy luminosity, of galaxies and of empty places."""
    theta, sigma, beams, rng = with_slope(-1.0), 0.1, 50, np.random.default_rng(0)
    edges = np.r_[-np.inf, np.linspace(-0.3, 0.8, 45), np.geomspace(0.85, 12, 25), np.inf]

    def counts(at: np.ndarray, times: int) -> np.ndarray:
        many = at + [np.log(times), 0, 0]  # so many fields at once
        drawn = luminosities(draw_arrivals(expected_number(many, L_MIN), rng), many, L_MIN)
        seen = np.append(drawn, np.zeros(rng.poisson(times * beams)))
        return np.histogram(seen + sigma * rng.standard_normal(len(seen)), edges)[0] / times

    step, mean = 0.2, counts(theta, 20_000)
    slopes = [(counts(theta + d, 20_000) - counts(theta - d, 20_000)) / (2 * step) for d in step * np.eye(3)[:2]]
    found = np.einsum("ik,jk->ij", slopes / np.maximum(mean, 1e-9), slopes)
    np.testing.assert_allclose(found, isolated_fisher(theta, L_MIN, sigma, beams)[:2, :2], rtol=0.06)


def test_images_hold_the_light_of_their_galaxies():
    rng = np.random.default_rng(3)
    light, colours = rng.uniform(0.1, 2, 20), np.column_stack([np.zeros(20), rng.normal(0.3, 0.2, 20)])
    images = paint(light, rng.uniform(0, 24, (20, 2)), colours, 24, 1.2)
    assert images.shape == (2, 24, 24)
    np.testing.assert_allclose(images.sum(axis=(1, 2)), [light.sum(), (light * np.exp(colours[:, 1])).sum()], rtol=1e-5)
    one = paint(np.array([1.0]), np.array([[5.5, 12.5]]), np.zeros((1, 1)), 24, 1.2)[0]
    inside = stats.norm.cdf(0.5 / 1.2) - stats.norm.cdf(-0.5 / 1.2)
    assert one[5, 12] == pytest.approx(inside**2, rel=1e-5)
    assert one.argmax() == 5 * 24 + 12


def test_histograms_count_every_pixel_and_do_not_move_with_the_galaxies():
    x = 3 * torch.randn(4, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    found = histograms(x)
    torch.testing.assert_close(found.square().sum(-1), torch.full((4, 2), 256.0))
    torch.testing.assert_close(histograms(x.roll((3, 5), (2, 3)).flip(2)), found)


def test_a_presentation_is_of_order_one_and_its_noise_is_what_is_asked():
    how = GalaxyPresentation(None, noise=0.05, scale=0.05)
    x, random = torch.zeros(2, 1, 64, 64), torch.Generator().manual_seed(1)
    assert how.bare().observe(x, random).std() == pytest.approx(0.05, rel=0.05)
    assert torch.sinh(how.observe(x, random)).std() == pytest.approx(1, rel=0.05)
    assert how.silent().observe(x, random).abs().max() == 0


def test_derivatives_come_from_the_same_galaxies():
    data = GalaxyField(pixels=24)
    fiducial, below, above, step = fisher_fields(data, Imnn(simulations=40, derivatives=10, step=0.02), 3)
    assert (fiducial.shape, below.shape) == ((40, 2, 24, 24), (10, 2, 2, 24, 24))
    assert np.corrcoef(below[0, 1].ravel(), above[0, 1].ravel())[0, 1] > 0.98
    assert np.corrcoef(below[0, 1].ravel(), above[1, 1].ravel())[0, 1] < 0.6
    light = ((above - below).sum(axis=(2, 3, 4)) / (2 * step)).mean(axis=0)
    mean = fiducial.sum(axis=(1, 2, 3)).mean()
    np.testing.assert_allclose(light / mean, 1, atol=0.35)  # light is proportional to φ* and, all but, to L*


def test_the_simulator_keeps_to_the_prior():
    simulator = GalaxySimulator(GalaxyField(pixels=16))
    theta = np.array([[4.0, 0.0], [6.0, 0.0], [4.0, -2.0]])
    np.testing.assert_array_equal(simulator.log_prior(theta), [0, -np.inf, -np.inf])
    found = simulator.simulate(theta[:1], np.random.default_rng(0))
    assert found.x.shape == (1, 2, 16, 16)
    np.testing.assert_array_equal(found.answers, theta[:1])


def test_fresh_fields_are_others_than_the_stored_ones_and_the_same_again():
    settings = PROBE.dataset_settings(study_of(pixels=16, fields=5), "fields")
    stored = PROBE.simulate(settings, "fields", 0)
    (first,), (again,), (other,) = (list(PROBE.fresh_rows(settings, "fields", 0, part, 4, [])) for part in (7, 7, 8))
    np.testing.assert_array_equal(first.x, again.x)
    assert first.x.shape == (4, 2, 16, 16)
    every = np.concatenate([stored.x, first.x, other.x]).reshape(13, -1)
    assert len(np.unique(every, axis=0)) == 13
    low, high = PROBE.limits(stored.header).T
    assert ((first.theta >= low) & (first.theta <= high)).all()
    np.testing.assert_array_equal(first.y["parameters"], first.theta)


def test_only_sequential_abc_simulates_for_each_field():
    study = study_of()
    assert PROBE.simulation_cost(study, "p").each_row_s == 0
    raw = plain(study)
    smc = {**raw["posteriors"]["p"], "abc": "smc", "compression": "p"}
    raw["posteriors"] = {"p": raw["posteriors"]["p"], "q": smc}
    assert PROBE.simulation_cost(resolve_study(raw, "tiny.yaml"), "q").each_row_s > 1


# A study


def study_of(**fields):
    head = {"network": "n", "kind": "imnn", "presentations": 1}
    head["imnn"] = {"simulations": 1200, "derivatives": 400, "step": 0.05, "hidden": 16, "steps": 150, "accept": 60}
    return resolve_study(
        {
            "study": "tiny",
            "probe": "galaxy_field",
            "realisations": {"train": [0], "validation": [1], "test": [2]},
            "data": {"fields": {"pixels": 24, "fields": 300, "ln_phi_star": [2, 4], **fields}},
            "training": {"epochs": 8, "batch_size": 32, "learning_rate": 4e-3},
            "networks": {
                "n": {"architecture": "dense", "data": ["fields"], "inputs": "histogram", "options": {"hidden": 32}}
            },
            "tests": {"t": {"data": "fields"}},
            "posteriors": {"p": head},
            "resources": {"training_threads": 1},
        },
        "tiny.yaml",
    )


def test_an_imnn_on_the_histogram_knows_less_than_the_catalogue_and_more_than_the_prior(tmp_path):
    torch.set_num_threads(1)
    study = study_of()
    settings = PROBE.dataset_settings(study, "fields")
    for n in range(3):
        write_shard(tmp_path / f"{n}.h5", PROBE.simulate(settings, "fields", n), provenance(settings, study.seed))
    rows = [read_shards([tmp_path / f"{n}.h5"]) for n in range(3)]
    content, _ = train(network_settings(study, "n"), PROBE, *rows[:2], tmp_path / "checkpoints")
    save_model(tmp_path / "model.pt", content, provenance({}, study.seed))
    trunk, info = load_model(tmp_path / "model.pt")
    asked = posterior_settings(study, "p")
    content, _ = train_posterior(asked, PROBE, trunk, info, *rows[:2], PROBE.fisher_rows(asked, []))
    share = content["training"]["share_of_information"]
    assert 0.02 < share < 1
    most = PROBE.most_information(asked)
    found = content["scales"]["summaries"]["fisher"].numpy()
    assert share == pytest.approx(np.linalg.det(found) / np.linalg.det(most))
    save_model(tmp_path / "posterior.pt", content, provenance({}, study.seed), "posterior")
    drawn = posterior_intervals(
        load_posterior(tmp_path / "posterior.pt"), intervals_settings(study, "p", "t"), PROBE, rows[2]
    )
    assert drawn.settings["share_of_information"] == share
    (row, _) = beside_rows("p", drawn, study.data["fields"])
    error = np.sqrt(np.linalg.inv(found)[0, 0])
    assert row["summaries_over_catalogue"] * row["catalogue_error"] == pytest.approx(error)
    prior = np.array([2, 2]) / np.sqrt(12)
    assert (drawn.samples.std(axis=1).mean(axis=0) < 0.8 * prior).all()
    inside = ((drawn.quantiles[..., 0] <= drawn.truth) & (drawn.truth <= drawn.quantiles[..., 4])).mean(axis=0)
    assert (inside > 0.88).all()


# Beside the perfect catalogue


def gaussian(test: str = "t", posterior: str = "p", scale: float = 1.0, count: int = 4000) -> Intervals:
    """Draws of Gaussian posteriors as wide as `scale` times what the perfect catalogue of every field allows."""
    data, rng = GalaxyField(alpha=[-1.3, -0.7]), np.random.default_rng(8)
    truth = rng.uniform(*limits(data).T, (300, 3))
    roots = np.array([np.linalg.cholesky(np.linalg.inv(catalogue_fisher(one, L_MIN))) for one in truth])
    mean = truth + np.einsum("mij,mj->mi", roots, rng.standard_normal((300, 3)))
    draws = mean[:, None] + scale * np.einsum("mij,msj->msi", roots, rng.standard_normal((300, count, 3)))
    names = ("ln_phi_star", "ln_l_star", "alpha")
    return Intervals(
        method="drawn",
        test=test,
        settings={"posterior": posterior},
        axis=OutputAxis("parameter", names=names),
        counts=False,
        truth=truth,
        quantiles=quantiles_of(draws),
        rows={"group": np.arange(300)},
        seconds=np.zeros(300),
        samples=draws.astype(np.float32),
    )


def test_posteriors_stand_beside_the_perfect_catalogue():
    data = GalaxyField(alpha=[-1.3, -0.7])
    right, narrow = (beside_rows("p", gaussian(scale=scale), data) for scale in (1.0, 0.5))
    middle = np.linalg.inv(catalogue_fisher(np.array([4.0, 0.0, -1.0]), L_MIN))
    np.testing.assert_allclose([row["catalogue_error"] for row in right], np.sqrt(np.diag(middle)))
    assert [row["parameter"] for row in right] == ["ln_phi_star", "ln_l_star", "alpha"]
    for one, other in zip(right, narrow, strict=True):
        assert one["covered_68"] == pytest.approx(0.68, abs=4 * one["error_68"])
        assert other["covered_68"] == pytest.approx(stats.norm.cdf(0.5) * 2 - 1, abs=4 * one["error_68"])
        assert other["width"] == pytest.approx(one["width"] / 2, rel=0.02)
    assert "share_of_information" not in right[0]


def test_the_region_of_the_catalogue_holds_68_percent_of_a_gaussian_of_its_width():
    data, drawn = GalaxyField(alpha=[-1.3, -0.7]), gaussian()
    many = beside_figure({f"p{i}": drawn for i in range(9)}, data)
    assert (
        len(many.legends[0].get_texts()) == 9 + 2
    )  # none is left out: the catalogue's region and the truth beside them
    figure = beside_figure({"p": drawn}, data)
    row = np.argmin(np.square((drawn.truth - [4, 0, -1]) / [2, 2, 0.6]).sum(axis=1))
    draws = drawn.samples[row] - drawn.samples[row].mean(axis=0) + drawn.truth[row]
    assert len(figure.axes) == 3
    for panel, pair in zip(figure.axes, ([0, 1], [0, 2], [1, 2]), strict=True):
        assert np.mean(panel.patches[0].contains_points(panel.transData.transform(draws[:, pair]))) == pytest.approx(
            0.683, abs=0.03
        )


def judged(monkeypatch, tmp_path, *files: Intervals, own: bool = True) -> Path:
    """What scripts/judge_fields.py makes of some posteriors of a study of free slopes."""
    study = study_of(alpha=[-1.3, -0.7])
    made_from = intervals_settings(study if own else study_of(alpha=[-1.3, -0.6]), "p", "t")
    for i, one in enumerate(files):
        write_intervals(tmp_path / f"{i}.h5", one, provenance(made_from, study.seed))
    raw = plain(study)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(raw))
    output, intervals = tmp_path / "b.csv", [str(tmp_path / f"{i}.h5") for i in range(len(files))]
    words = ["--config", str(tmp_path / "study.yaml"), "--intervals", *intervals, "--output", str(output)]
    monkeypatch.setattr(sys, "argv", ["judge_fields.py", *words])
    runpy.run_path(str(ROOT / "scripts" / "judge_fields.py"), run_name="judge_fields")["main"]()
    return output


def test_the_script_writes_a_table_and_a_figure(monkeypatch, tmp_path):
    output = judged(monkeypatch, tmp_path, gaussian(count=200))
    assert len(output.read_text().splitlines()) == 1 + 3
    assert output.with_suffix(".png").exists()


@pytest.mark.parametrize(
    ("file", "line"),
    [
        (gaussian(posterior="q", count=50), r"0.h5: found posterior q on t; expected a posterior of the study: p"),
        (gaussian(test="u", count=50), r"0.h5: found posterior p on u; expected a posterior of the study"),
        (replace(gaussian(count=50), samples=None), r"0.h5: found no draws; expected a posterior of kind mdn"),
    ],
)
def test_foreign_files_end_in_one_line(monkeypatch, tmp_path, file, line):
    with pytest.raises(LimelightError, match=line):
        judged(monkeypatch, tmp_path, file)
    assert not (tmp_path / "b.csv").exists()


def test_posteriors_of_another_study_are_not_held_against_its_catalogues(monkeypatch, tmp_path):
    with pytest.raises(LimelightError, match=r"0.h5: found a file of another study \(.*alpha \[-1.3, -0.6\]"):
        judged(monkeypatch, tmp_path, gaussian(count=50), own=False)


def test_posteriors_of_other_fields_are_not_drawn_beside_one_another(monkeypatch, tmp_path):
    """As many rows of the same test, in another order: the draws of another field stood beside the truth."""
    one = gaussian(count=50)
    with pytest.raises(LimelightError, match=r"1.h5: found 300 other rows of test t; expected one test and its rows"):
        judged(monkeypatch, tmp_path, one, replace(one, truth=one.truth[::-1], samples=one.samples[::-1]))


def test_its_metrics_are_the_bound_and_the_error_over_it():
    study = study_of()
    header = PROBE.header(PROBE.dataset_settings(study, "fields"))
    truth = np.array([[3.0, 0.0], [2.5, 0.5]])
    judged = Judged(None, header, {}, truth, truth, truth[0], truth + [[0.1, -0.2]], truth, truth[0], {})
    found, _ = PROBE.metrics(judged)
    most = [catalogue_fisher(np.append(one, -1.0), 0.1)[:2, :2] for one in truth]
    variance = np.mean([np.diag(np.linalg.inv(one)) for one in most], axis=0)
    np.testing.assert_allclose(found["bound"], np.sqrt(variance))
    np.testing.assert_allclose(found["error_over_bound"], np.array([0.1, 0.2]) / np.sqrt(variance))


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"ln_l_star": [1, -1]}, r"data.fields.ln_l_star: found \[1.*\]; expected \[low, high\] with low < high"),
        ({"alpha": [-1, -2.5]}, r"data.fields.alpha: found \[-1.*\]; expected \[low, high\] with low < high"),
        ({"alpha": [-2.5, -1]}, r"data.fields.alpha: found .*; expected above -2 and up to 2"),
        ({"ln_phi_star": [3, 14]}, r"data.fields: found up to .* galaxies in a field; expected at most 100000"),
    ],
)
def test_faults_of_the_config_end_in_one_line(fields, line):
    with pytest.raises(LimelightError, match=line):
        study_of(**fields)


def test_a_field_has_as_many_galaxies_as_are_drawn():
    data = GalaxyField(pixels=24)
    assert most_galaxies(data) > expected_number(np.array([5.0, 1.0, -1.0]), data.l_min)
    rng = [np.random.default_rng(5) for _ in range(2)]
    np.testing.assert_array_equal(*(draw_field(THETA, data, one) for one in rng))


def test_the_slope_is_a_parameter_where_it_has_a_prior():
    data = GalaxyField(pixels=16, alpha=[-1.5, -0.7])
    settings = PROBE.dataset_settings(study_of(pixels=16, fields=6, alpha=[-1.5, -0.7]), "fields")
    found = PROBE.simulate(settings, "fields", 0)
    assert found.parameter_names == ["ln_phi_star", "ln_l_star", "alpha"]
    assert found.theta.shape == (6, 3)
    np.testing.assert_array_equal(PROBE.limits(found.header)[2], [-1.5, -0.7])
    assert PROBE.target(None, found.header).shape == (3,)
    _, below, above, step = fisher_fields(data, Imnn(simulations=40, derivatives=10, step=0.02), 3)
    assert below.shape == (10, 3, 2, 16, 16)
    assert step[2] == pytest.approx(0.02 * 0.8 / np.sqrt(12))
    assert below[:, 2].sum() > above[:, 2].sum()  # ψ(α + 2) < 0: at the same φ* and L* there is less light
    theta = found.theta
    judged = Judged(None, found.header, {}, theta, theta, theta[0], theta, theta, theta[0], {})
    bound = PROBE.metrics(judged)[0]["bound"]
    fixed = [np.linalg.inv(catalogue_fisher(one, 0.1)[:2, :2]).diagonal() for one in theta]
    assert (bound[:2] > np.sqrt(np.mean(fixed, axis=0))).all()  # what is not known of α costs the others
