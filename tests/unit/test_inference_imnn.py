"""IMNN and ABC against a case with exact answers: ten zero-mean Gaussian numbers of unknown variance θ.

Σd² is the sufficient statistic; the Fisher information about θ at θ = 1 is n/(2θ²) = 5; with a flat prior on (0, 10) the
posterior is ∝ θ^(−n/2) exp(−Σd²/2θ) there.
"""

import numpy as np
import pytest
import torch
from scipy import stats

from limelight.inference import calibration
from limelight.inference.posteriors.abc import Particles, adjusted, nearest, population, resample, whitener
from limelight.inference.posteriors.imnn import Simulations, Summariser, fisher, train_imnn

N, THETA, STEP = 10, 1.0, 0.1


def simulations(seed: int, count: int) -> Simulations:
    random = torch.Generator().manual_seed(seed)
    fiducial = torch.randn(count, N, generator=random) * THETA**0.5
    shared = torch.randn(count, 1, N, generator=random)
    below, above = shared * (THETA - STEP) ** 0.5, shared * (THETA + STEP) ** 0.5
    return Simulations(fiducial, below, above, torch.tensor([STEP]))


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(3)
    torch.set_num_threads(1)
    module = Summariser(N, 1, 64, 3)
    train_imnn(module, lambda step: simulations(1000 + step, 1000), simulations(7, 10000), 900, 3e-3)
    return module


def exact_cdf(square: float):
    theta = np.linspace(1e-3, 10, 200001)
    log_density = -N / 2 * np.log(theta) - square / (2 * theta)
    cdf = np.cumsum(np.exp(log_density - log_density.max()))
    return lambda t: np.interp(t, theta, cdf / cdf[-1])


def summaries(module, data: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return module(torch.as_tensor(data, dtype=torch.float32)).double().numpy()


def test_fisher_information_and_summary_are_the_exact_ones(trained):
    with torch.no_grad():
        information = float(fisher(trained, simulations(11, 200_000))[0])
    assert 4.6 <= information <= 5.1
    data = simulations(13, 5000).fiducial.numpy()
    rank = stats.spearmanr(summaries(trained, data)[:, 0], (data**2).sum(axis=1)).statistic
    assert abs(rank) > 0.98


def observed_data() -> np.ndarray:
    d = np.random.default_rng(5).standard_normal((1, N))
    return d / np.sqrt((d**2).sum() / N)  # Σd² = 10: what the fiducial point gives on average


def test_abc_finds_the_exact_posterior(trained):
    rng = np.random.default_rng(17)
    theta = rng.uniform(0, 10, (300_000, 1))
    found = summaries(trained, rng.standard_normal((len(theta), N)) * np.sqrt(theta))
    seen = summaries(trained, observed_data())[0]
    white = whitener(np.cov(summaries(trained, simulations(19, 5000).fiducial.numpy()).T).reshape(1, 1))
    rows, distance = nearest(found, seen, white, 4000)
    assert stats.kstest(theta[rows, 0], exact_cdf(N)).statistic < 0.05
    moved, weights = adjusted(theta[rows], found[rows], seen, distance)
    drawn = resample(moved, weights, 4000, rng)
    assert stats.kstest(drawn[:, 0], exact_cdf(N)).statistic < 0.05


def test_population_monte_carlo_finds_it_with_fewer_simulations(trained):
    rng = np.random.default_rng(23)
    seen = summaries(trained, observed_data())[0]
    white = np.eye(1)

    def simulate(theta, rng):
        data = rng.standard_normal((len(theta), N)) * np.sqrt(theta)
        return summaries(trained, data), np.square(data).sum(axis=1, keepdims=True)

    theta = rng.uniform(0, 10, (16000, 1))
    found, squares = simulate(theta, rng)
    rows, distance = nearest(found, seen, white, 4000)
    particles, history = population(
        simulate,
        lambda t: np.where((t[:, 0] > 0) & (t[:, 0] < 10), 0.0, -np.inf),
        Particles(theta[rows], np.full(4000, 1 / 4000), distance, found[rows], squares[rows]),
        seen,
        white,
        rng,
        least_acceptance=0.1,
        batch=4000,
    )
    order = np.argsort(particles.theta[:, 0])
    gap = np.abs(np.cumsum(particles.weights[order]) - exact_cdf(N)(particles.theta[order, 0])).max()
    assert gap < 0.05
    assert sum(r["simulations"] for r in history) < 300_000
    assert [r["threshold"] for r in history] == sorted((r["threshold"] for r in history), reverse=True)
    np.testing.assert_allclose(particles.answers[:, 0], N, rtol=0.5)  # each particle's own data are like the observed
    assert 1000 < particles.effective <= 4000


def test_a_round_that_accepts_too_little_is_given_up_and_left_out():
    """A simulator that never comes near: what rejection accepted stays as it was, at the price of few simulations."""
    rng = np.random.default_rng(1)
    start = Particles(rng.normal(size=(50, 2)), np.full(50, 0.02), rng.random(50), np.zeros((50, 2)), np.zeros((50, 1)))

    def far(theta, rng):
        return np.full((len(theta), 2), np.nan), np.zeros((len(theta), 1))

    particles, (only,) = population(far, lambda t: np.zeros(len(t)), start, np.zeros(2), np.eye(2), rng, batch=10)
    assert particles is start
    assert not only["done"]
    assert only["simulations"] == 500  # ten expected at the least acceptance of 2 %


def test_noise_alone_has_no_information():
    """A summariser of numbers that do not hang on θ finds none: held-out F near zero, whatever training fits."""
    torch.manual_seed(1)
    blind = Simulations(*(torch.randn(400, *s, N) for s in ((), (1,), (1,))), torch.tensor([STEP]))
    module = Summariser(N, 1, 16, 2)
    train_imnn(
        module, lambda step: blind, Simulations(*(torch.randn_like(x) for x in blind[:3]), blind.step), 100, 1e-3
    )
    fresh = Simulations(*(torch.randn(50_000, *s, N) for s in ((), (1,), (1,))), torch.tensor([STEP]))
    with torch.no_grad():
        assert float(fisher(module, fresh)[0]) < 0.05


def test_draws_of_abc_keep_the_correlations_of_many_outputs():
    """Forty outputs, Gaussian about lines in three parameters and correlated among themselves, and summaries of the
    parameters: the joint region of resampled draws holds what it says, and would not if each output were drawn by itself.
    """
    rng, d, tests = np.random.default_rng(3), 40, 300
    lines, own = rng.standard_normal((3, d)), rng.standard_normal((10, d))

    def simulate(n: int) -> tuple[np.ndarray, np.ndarray]:
        theta = rng.standard_normal((n, 3))
        outputs = theta @ lines + rng.standard_normal((n, 10)) @ own + 0.2 * rng.standard_normal((n, d))
        return outputs, theta + 0.3 * rng.standard_normal((n, 3))

    (known, summaries), (truth, seen) = simulate(8000), simulate(tests)
    draws = np.empty((tests, 400, d))
    for i, one in enumerate(seen):
        rows, distance = nearest(summaries, one, np.eye(3) / 0.3, 200)
        draws[i] = resample(*adjusted(known[rows], summaries[rows], one, distance), 400, rng)
    share, error = calibration.joint_coverage(calibration.joint_ranks(draws, truth), 0.95)
    assert abs(share - 0.95) < 3 * error + 0.015, "of steps of one in 90 different draws"
    mixed = rng.permuted(draws, axis=1)
    assert calibration.joint_coverage(calibration.joint_ranks(mixed, truth), 0.95)[0] < 0.95 - 5 * error
