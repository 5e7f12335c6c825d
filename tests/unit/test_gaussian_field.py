"""The Gaussian random field against closed forms, and a network's posterior of its power law against the exact one."""

import numpy as np
import pytest
import torch
from scipy import stats

from limelight.data.shard import Rows, read_shards, write_shard
from limelight.errors import LimelightError
from limelight.evaluation.evaluation_file import read_evaluation, write_evaluation
from limelight.evaluation.metrics import Judged
from limelight.evaluation.predict import evaluate, observed
from limelight.files import ROOT, provenance
from limelight.inference.calibration import coverage, ranks
from limelight.inference.posterior_intervals import posterior_intervals
from limelight.inference.posteriors.learn import train_posterior
from limelight.inference.posteriors.posterior import load_posterior
from limelight.probe import load_probe
from limelight.probes.gaussian_field.fields import (
    PARAMETERS,
    draw_fields,
    exact_posterior,
    fisher_bound,
    log_likelihood,
    power,
    wave_numbers,
)
from limelight.study.config import load_study, resolve_study
from limelight.study.selection import header_of
from limelight.study.settings import evaluation_settings, intervals_settings, network_settings, posterior_settings
from limelight.training.checkpoint import load_model, save_model
from limelight.training.checks import check_shards
from limelight.training.loop import train
from limelight.training.symmetries import shifted

PROBE = load_probe("gaussian_field")
LOW, HIGH = np.array([-1.0, -3.0]), np.array([1.0, -1.0])  # of the prior


# The field and its likelihood


def test_draws_have_the_power_that_was_asked_for():
    """|d_k|²/n² is P(k) times an exponential variate, or a χ² of one degree where a mode is its own conjugate."""
    n, count = 8, 4000
    theta = np.tile([0.3, -1.7], (count, 1))
    fields = draw_fields(theta, n, np.random.default_rng(0))
    assert (fields.shape, fields.dtype) == ((count, n, n), np.float32)
    measured = np.mean(np.abs(np.fft.fft2(fields)) ** 2, axis=0) / n**2
    frequency = np.fft.fftfreq(n)
    k = 2 * np.pi * np.hypot(*np.meshgrid(frequency, frequency, indexing="ij"))
    with np.errstate(divide="ignore"):
        expected = 10**0.3 * (k / (2 * np.pi / 8)) ** -1.7
    own = np.isin(frequency, (0, -0.5))
    spread = np.sqrt(np.where(own[:, None] & own, 2, 1) / count)
    some = k > 0
    assert np.abs((measured / expected - 1) / spread)[some].max() < 4.5
    assert measured[0, 0] < 1e-8  # no mean


def covariance(theta: np.ndarray, n: int, sigma: float) -> np.ndarray:
    """Of the n² pixels of a noisy field: the sum over modes of P(k) cos(k·(x − x')) / n², mode by mode."""
    places = np.stack(np.meshgrid(np.arange(n), np.arange(n), indexing="ij"), axis=-1).reshape(-1, 2)
    found = sigma**2 * np.eye(n**2)
    for i in range(n):
        for j in range(n):
            k = 2 * np.pi / n * np.array([(i + n // 2) % n - n // 2, (j + n // 2) % n - n // 2])
            if k.any():
                phase = places @ k
                p = 10 ** theta[0] * (np.hypot(*k) / (2 * np.pi / 8)) ** theta[1]
                found += p * np.cos(phase[:, None] - phase) / n**2
    return found


@pytest.mark.parametrize("sigma", [0.3, 1.0])
def test_the_likelihood_is_that_of_a_multivariate_normal(sigma):
    rng = np.random.default_rng(1)
    theta = rng.uniform(LOW, HIGH, (12, 2))
    field = draw_fields(theta[:1], 4, rng)[0] + sigma * rng.normal(size=(4, 4))
    found = log_likelihood(field, theta, sigma)
    expected = [stats.multivariate_normal(cov=covariance(one, 4, sigma)).logpdf(field.ravel()) for one in theta]
    np.testing.assert_allclose(found - found[0], np.array(expected) - expected[0], rtol=1e-9, atol=1e-9)


def test_the_exact_posterior_is_calibrated():
    """Of parameters from the prior: ranks even, and errors as large as the posterior says."""
    n, sigma, count, steps = 8, 0.5, 250, 41
    rng = np.random.default_rng(2)
    truth = rng.uniform(LOW, HIGH, (count, 2))
    fields = draw_fields(truth, n, rng) + sigma * rng.normal(size=(count, n, n))
    axes = [np.linspace(low, high, steps) for low, high in zip(LOW, HIGH, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    rank, pull = np.empty((count, 2)), np.empty((count, 2))
    for i, (field, one) in enumerate(zip(fields, truth, strict=True)):
        log_l = log_likelihood(field, grid, sigma)
        density = np.exp(log_l - log_l.max()).reshape(steps, steps)
        for j, axis in enumerate(axes):
            marginal = np.trapezoid(density, axes[1 - j], axis=1 - j)
            below = np.concatenate([[0], np.cumsum((marginal[1:] + marginal[:-1]) / 2)])
            rank[i, j] = np.interp(one[j], axis, below / below[-1])
        mean, spread = exact_posterior(field, sigma, LOW, HIGH, steps)
        pull[i] = (one - mean) / spread
    for j in range(2):
        assert stats.kstest(rank[:, j], "uniform").pvalue > 1e-3
    assert np.abs(pull.mean(axis=0)).max() < 4 / np.sqrt(count)
    np.testing.assert_allclose(np.mean(pull**2, axis=0), 1, atol=4 * np.sqrt(2 / count))


def test_the_bound_is_the_curvature_of_the_expected_log_likelihood():
    """A field whose modes have just their expected power makes ln L its own expectation."""
    n, sigma, step = 16, 0.5, 1e-3
    theta = np.array([[0.4, -2.2], [-0.8, -1.1]])
    for one, bound in zip(theta, fisher_bound(theta, n, sigma), strict=True):
        modes = np.sqrt(power(one[None], n)[0] + sigma**2)
        expected_field = np.fft.ifft2(n * modes).real
        hessian = np.empty((2, 2))
        for i, a in enumerate(np.eye(2) * step):
            for j, b in enumerate(np.eye(2) * step):
                corners = log_likelihood(
                    expected_field, np.stack([one + a + b, one + a - b, one - a + b, one - a - b]), sigma
                )
                hessian[i, j] = corners @ [1, -1, -1, 1] / (4 * step**2)
        np.testing.assert_allclose(bound, np.sqrt(np.diag(np.linalg.inv(-hessian))), rtol=1e-4)


def test_moving_and_turning_a_field_leaves_its_spectrum():
    x = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    how = PROBE.presentation(*(_network(_study()), 0.5), HEADER)
    turned, y = how.augment(x, {"parameters": torch.zeros(6, 2)}, torch.Generator().manual_seed(1))
    assert not torch.equal(turned, x)
    for one in (turned, shifted(x, torch.Generator().manual_seed(2))):
        powers = [
            np.sort(np.abs(np.fft.fft2(fields[:, 0])) ** 2 * (1 + wave_numbers(8)), axis=None) for fields in (one, x)
        ]
        np.testing.assert_allclose(powers[0], powers[1], rtol=1e-3)
    noisy = how.observe(torch.zeros(50, 1, 8, 8), torch.Generator().manual_seed(3))
    assert noisy.std().item() == pytest.approx(0.5, rel=0.05)
    assert torch.equal(how.silent().observe(x, torch.Generator()), x)


# The probe


def _study(train_to: int = 4, test: tuple = (6,), **sections):
    raw = {
        "study": "tiny_field",
        "probe": "gaussian_field",
        "seed": 3,
        "realisations": {"train": f"0-{train_to}", "validation": [train_to + 1], "test": list(test)},
        "data": {"fields": {"pixels": 16, "fields": 256}},
        "training": {"epochs": 10, "batch_size": 32, "learning_rate": 4.0e-3},
        "networks": {"reader": {"architecture": "convnet", "data": ["fields"], "noise": 0.5}},
        "tests": {"same_noise": {"data": "fields", "noise": 0.5}},
        "posteriors": {"head": {"network": "reader", "kind": "mdn", "presentations": 4, "samples": 400}},
        "resources": {"training_threads": 1},
    }
    raw["networks"]["reader"]["options"] = {"filters": 8, "layers": 3, "dense": 64}
    return resolve_study({**raw, **sections}, "tiny_field.yaml")


def _network(study):
    return study.networks["reader"]


HEADER = header_of(_study(), "fields")


def rows_of(study, groups: list[int], folder) -> Rows:
    """Shards of some realisations, simulated, written and read again."""
    settings = PROBE.dataset_settings(study, "fields")
    paths = [folder / f"{group}.h5" for group in groups]
    for group, path in zip(groups, paths, strict=True):
        if not path.exists():
            write_shard(path, PROBE.simulate(settings, "fields", group), provenance(settings, study.seed))
    return read_shards(paths)


def test_a_shard_hangs_on_seed_dataset_and_realisation_alone(tmp_path):
    study = _study()
    found, again = rows_of(study, [3, 2], tmp_path), rows_of(study, [2], tmp_path)
    np.testing.assert_array_equal(found.x[256:], again.x)
    assert not np.array_equal(found.x[:256], again.x)
    np.testing.assert_array_equal(found.y["parameters"], found.theta)
    assert found.parameter_names == list(PARAMETERS)
    assert ((found.theta >= LOW) & (found.theta <= HIGH)).all()
    check_shards("--train", found, header_of(study, "fields"), [2, 3])
    for column, low, high in zip(found.theta.T, LOW, HIGH, strict=True):
        assert stats.kstest(column, stats.uniform(low, high - low).cdf).pvalue > 1e-3


def test_the_study_of_the_tutorial_resolves():
    study = load_study(ROOT / "config" / "gaussian_field.yaml")
    assert (study.probe, study.datasets, study.splits["test"]) == ("gaussian_field", ["fields"], [18, 19])


def test_limits_the_wrong_way_round_are_refused():
    with pytest.raises(LimelightError, match=r"data.fields.slope: .*low < high"):
        _study(data={"fields": {"slope": [-1.0, -3.0]}})


def test_its_metrics_are_the_bound_and_the_error_over_it():
    truth = np.array([[0.0, -2.0], [0.5, -1.5]])
    how = PROBE.presentation(_network(_study()), 0.5, HEADER)
    judged = Judged(how, HEADER, {}, truth, truth, truth[0], truth + [[0.1, -0.2]], truth, truth[0], {})
    found, _ = PROBE.metrics(judged)
    bound = np.sqrt(np.mean(fisher_bound(truth, 16, 0.5) ** 2, axis=0))
    np.testing.assert_allclose(found["bound"], bound)
    np.testing.assert_allclose(found["error_over_bound"], np.array([0.1, 0.2]) / bound)


# A network and its posterior, by the engine's own functions


def learn(study, folder, posterior: str = "head"):
    """(evaluation, intervals, mean and spread of the exact posterior of the same noisy fields) of a study, trained here."""
    torch.set_num_threads(1)
    training, validation, test = (
        rows_of(study, study.splits[part], folder) for part in ("train", "validation", "test")
    )
    settings = network_settings(study, "reader")
    content, history = train(settings, PROBE, training, validation, folder / "checkpoints")
    save_model(folder / "model.pt", content, provenance(settings, study.seed))
    trunk, info = load_model(folder / "model.pt")
    judged = evaluation_settings(study, "reader", "same_noise")
    columns = {key: np.array([row[key] for row in history]) for key in history[0]}
    evaluation = evaluate(trunk, info, judged, PROBE, test, columns)
    write_evaluation(folder / "evaluation.h5", evaluation, provenance(judged, study.seed))
    content, _ = train_posterior(posterior_settings(study, posterior), PROBE, trunk, info, training, validation)
    save_model(folder / "posterior.pt", content, provenance({}, study.seed), "posterior")
    asked = intervals_settings(study, posterior, "same_noise")
    intervals = posterior_intervals(load_posterior(folder / "posterior.pt"), asked, PROBE, test)
    how = PROBE.presentation(_network(study), 0.5, test.header)
    fields = torch.cat(list(observed(test.x, how, study.seed, "noise of test same_noise")))[:, 0].numpy()
    exact = [exact_posterior(field, 0.5, LOW, HIGH, steps=41) for field in fields]
    return read_evaluation(folder / "evaluation.h5"), intervals, *(np.array(part) for part in zip(*exact, strict=True))


def test_a_small_network_beats_the_prior_and_not_the_exact_posterior(tmp_path):
    """Mean squared errors of one test's 256 fields: nothing can beat the exact posterior's mean but by luck, some 5 %."""
    evaluation, intervals, mean, spread = learn(_study(), tmp_path)
    truth, prior = evaluation.truth, (HIGH - LOW) / np.sqrt(12)
    np.testing.assert_array_equal(intervals.truth, truth)
    assert evaluation.axis.names == intervals.axis.names == PARAMETERS
    least = np.mean((mean - truth) ** 2, axis=0)
    for predicted in (evaluation.predicted, intervals.samples.mean(axis=1)):
        error = np.mean((predicted - truth) ** 2, axis=0)
        assert (error < 0.5 * prior**2).all()
        assert (error > 0.95 * least).all()
    widths = intervals.samples.std(axis=1).mean(axis=0)
    assert (widths < 0.7 * prior).all()
    assert (widths > 0.9 * spread.mean(axis=0)).all()
    inside, scatter = coverage(ranks(intervals.samples, truth), 0.95)
    assert (inside > 0.95 - 6 * scatter).all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mdn", "npe"])
def test_a_longer_training_comes_close_to_the_exact_posterior(tmp_path, kind):
    posterior = {"network": "reader", "kind": kind, "presentations": 4, "samples": 400}
    posterior |= {
        "training": {"epochs": 25, "batch_size": 256, "learning_rate": 2.0e-3},
        "npe": {"transforms": 3, "hidden": 32},
    }
    training = {"epochs": 40, "batch_size": 32, "learning_rate": 4.0e-3}
    study = _study(train_to=11, test=(13, 14), training=training, posteriors={"head": posterior})
    evaluation, intervals, _, spread = learn(study, tmp_path)
    ratio = intervals.samples.std(axis=1).mean(axis=0) / spread.mean(axis=0)
    assert (ratio > 0.95).all()
    assert (ratio < 1.25).all()
    for level in (0.68, 0.95):
        inside, scatter = coverage(ranks(intervals.samples, evaluation.truth), level)
        assert (np.abs(inside - level) < 3 * scatter).all()
