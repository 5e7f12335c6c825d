"""Fisher forecasts of the rival: against a closed form, and against the rival's own posterior."""

from dataclasses import replace

import numpy as np
import pytest
from rival_toys import SIGMA, line_model, rival_options, toy_fields

from benchmarks.exact_counts import FLUX, chances
from limelight.probes.line_intensity.lines.models import get_model
from limelight.probes.line_intensity.rival.emulator import make_emulator
from limelight.probes.line_intensity.rival.forecast import fisher_matrix, fisher_of_map, forecast_draws
from limelight.probes.line_intensity.rival.rival import make_rival
from limelight.probes.line_intensity.rival.shapes import SHAPES


@pytest.fixture(scope="module")
def rival():
    fields, measure = toy_fields(16)
    made = (get_model("li"), SHAPES["li"], line_model(), rival_options(neighbours=200), measure)
    return make_rival(make_emulator(fields, *made, {"some": SIGMA}, seed=3), *made, "some", SIGMA)


def test_information_of_a_histogram_is_that_of_its_closed_form():
    """Poisson sources in white noise: voxels are independent, so that F = Σ (∂ expected)²/expected over the bins.

    Means and covariance come from simulated maps, the closed form from P(D).
    """
    theta, step, voxels = np.array([-0.3, -2.0]), np.array([0.1, 0.1]), 4096
    edges = np.array([-np.inf, -1, 0, 1, 2, 3, 4, 6, 8, np.inf])
    rng = np.random.default_rng(1)

    def histograms(at: np.ndarray, maps: int) -> np.ndarray:
        light = rng.standard_normal((maps, voxels))
        for flux, mean in zip(FLUX, 10**at, strict=True):
            light += flux * rng.poisson(mean, light.shape)
        return np.stack([np.histogram(one, edges)[0] for one in light])[:, 1:]  # the first bin is what is left

    sides = [[histograms(theta + sign * move, 600).mean(axis=0) for move in np.diag(step)] for sign in (-1, 1)]
    found = fisher_matrix(*map(np.array, sides), step, np.cov(histograms(theta, 3000).T))
    share = chances(theta[None], edges)[0]
    slope = (chances(theta + np.diag(step), edges) - chances(theta - np.diag(step), edges)) / (2 * step[:, None])
    np.testing.assert_allclose(found, voxels * (slope / share) @ slope.T, rtol=0.06)


def test_a_forecast_is_as_wide_as_the_rivals_posterior(rival):
    """Of a map whose summaries are just what its parameters promise, by importance sampling."""
    truth = rival.mean.copy()
    draws = forecast_draws(rival, truth, 6000, np.random.default_rng(2))
    covariance = np.linalg.inv(fisher_of_map(rival, truth) + rival.precision)
    off = draws - truth
    log_q = -0.5 * np.einsum("mi,ij,mj->m", off, np.linalg.inv(covariance), off)
    weight = rival.log_posterior(draws, rival.predict(truth[None])[0][0]) - log_q
    weight = np.exp(weight - weight.max())
    weight /= weight.sum()
    assert 1 / np.sum(weight**2) > 200
    mean = weight @ draws
    wide = np.sqrt(weight @ (draws - mean) ** 2)
    np.testing.assert_allclose(wide, draws.std(axis=0), rtol=0.35)
    assert (draws.std(axis=0) < 1.05 / np.sqrt(np.diag(rival.precision))).all()


def test_draws_keep_the_cuts_and_more_noise_tells_less(rival):
    draws = forecast_draws(rival, rival.mean, 500, np.random.default_rng(1))
    assert draws.shape == (500, 5)
    assert np.isfinite(rival.prior(draws)[0]).all()
    more = np.linalg.slogdet(fisher_of_map(rival, rival.mean) + rival.precision)[1]
    noisy = replace(rival, sigma_uk=3 * SIGMA)
    assert np.linalg.slogdet(fisher_of_map(noisy, rival.mean) + rival.precision)[1] < more
