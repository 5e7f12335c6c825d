"""Calibration tools: they pass an honest posterior, and find one that is too sure, too shy, shifted, or just the prior."""

import numpy as np
import pytest
import torch
from sbi.diagnostics import check_tarp, run_sbc, run_tarp
from sbi.diagnostics.sbc import check_uniformity_frequentist

from limelight.inference import calibration

M, S = 1500, 300
PRIOR, NOISE = 1.0, 0.5
WIDTH = NOISE / np.sqrt(1 + NOISE**2)  # of the posterior of θ ~ N(0, 1) seen with noise 0.5


def posterior(scale: float = 1.0, shift: float = 0.0, d: int = 3, seed: int = 0):
    """(draws (M, S, d), truths (M, d)) of the exact posterior, its width scaled and its mean shifted (in widths)."""
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal((M, d))
    seen = truth + NOISE * rng.standard_normal((M, d))
    mean = seen / (1 + NOISE**2) + shift * WIDTH
    return mean[:, None] + scale * WIDTH * rng.standard_normal((M, S, d)), truth


@pytest.mark.parametrize("level", calibration.LEVELS)
def test_an_honest_posterior_covers_what_it_says(level):
    draws, truth = posterior()
    share, error = calibration.coverage(calibration.ranks(draws, truth), level)
    assert np.abs((share - level) / error).max() < 3.5
    share, error = calibration.joint_coverage(calibration.joint_ranks(draws, truth), level)
    assert abs(share - level) / error < 3.5
    assert (calibration.rank_p_value(calibration.ranks(draws, truth)) > 1e-3).all()


def test_joint_regions_do_not_depend_on_the_answers_units():
    """One answer is off, and its unit is small: a ridge in raw units would drown it."""
    draws, truth = posterior()
    draws[..., 0] += 0.6 * (truth[:, None, 0] - draws[..., 0].mean(axis=1, keepdims=True)) * np.array([-1.0])
    units = np.array([1e-4, *[1.0] * (truth.shape[1] - 1)])
    same = calibration.joint_ranks(draws, truth)
    assert np.abs(calibration.joint_ranks(draws * units, truth * units) - same).max() < 1e-6
    assert calibration.joint_coverage(same, 0.68)[0] < 0.66


@pytest.mark.parametrize(("scale", "sign"), [(0.7, -1), (1.4, 1)])
def test_one_that_is_too_sure_or_too_shy_is_found(scale, sign):
    draws, truth = posterior(scale)
    rank, joint = calibration.ranks(draws, truth), calibration.joint_ranks(draws, truth)
    rng = np.random.default_rng(1)
    for level in calibration.LEVELS:
        share, error = calibration.coverage(rank, level)
        assert (sign * (share - level) / error > 4).all()
        share, error = calibration.joint_coverage(joint, level)
        assert sign * (share - level) / error > 4
    assert (calibration.rank_p_value(rank) < 1e-6).all()
    spread = np.abs(calibration.tarp(draws, truth, rng) - 0.5).mean()  # ¼ if uniform
    assert sign * (0.25 - spread) > 0.01


def test_tarp_is_uniform_for_the_truth_and_sees_a_shift():
    rng = np.random.default_rng(2)
    levels = np.linspace(0.05, 0.95, 19)
    honest = calibration.tarp_coverage(calibration.tarp(*posterior(), rng), levels)
    assert np.abs(honest - levels).max() < 0.03
    shifted = calibration.tarp_coverage(calibration.tarp(*posterior(shift=0.7), rng), levels)
    assert np.abs(shifted - levels).max() > 0.05


def test_tarp_of_a_single_map_says_nothing():
    draws, truth = posterior()
    shares = calibration.tarp(draws[:1], truth[:1], np.random.default_rng(1))
    assert np.isnan(shares).all()
    assert np.isnan(calibration.tarp_coverage(shares, np.array([0.68, 0.95]))).all(), "neither 0 nor 1"
    assert np.isfinite(calibration.tarp(draws[:2], truth[:2], np.random.default_rng(1))).all()


class Drawn:
    """As much of an sbi posterior as its diagnostics need: draws (m, s, d) that are there already."""

    def __init__(self, draws: np.ndarray):
        self.draws = torch.as_tensor(draws).swapaxes(0, 1)

    def sample_batched(self, shape, x, show_progress_bars):
        return self.draws


@pytest.mark.filterwarnings("ignore:ks_2samp")
@pytest.mark.parametrize(
    ("form", "area"), [({}, 0.0), ({"scale": 0.7}, -0.04), ({"scale": 1.4}, 0.04), ({"shift": 0.5}, 0.005)], ids=str
)
def test_ranks_and_tarp_are_those_of_sbi(form, area):
    draws, truth = posterior(**form)
    rank, given = calibration.ranks(draws, truth), (torch.as_tensor(truth), torch.zeros(M, 1), Drawn(draws))
    counts = run_sbc(*given, num_posterior_samples=S, show_progress_bar=False)[0]
    np.testing.assert_allclose(rank * (S + 1) - 0.5, counts, atol=1e-9)
    p = calibration.rank_p_value(rank)
    np.testing.assert_allclose(p, check_uniformity_frequentist(counts + 0.5, S + 1), rtol=1e-5, atol=1e-40)
    assert ((p > 1e-3) == (not form)).all()

    low, high = truth.min(axis=0), truth.max(axis=0)
    points = torch.as_tensor(low + (high - low) * np.random.default_rng(9).random(truth.shape))
    expected, level = run_tarp(*given, points, S, show_progress_bar=False)
    shares = calibration.tarp(draws, truth, np.random.default_rng(9), references=1)
    found = calibration.tarp_coverage(shares, level.numpy())
    np.testing.assert_allclose(
        found, expected, atol=0.012
    )  # a share moves by up to 1/S, or 1.5 % of the bins' 10 truths
    for curve in (expected, torch.as_tensor(found)):
        assert check_tarp(curve, level)[0] == pytest.approx(area, abs=0.004)


def test_lost_correlations_show_together_and_not_in_single_bins():
    rng = np.random.default_rng(3)
    common, truth = rng.standard_normal((M, 1)), rng.standard_normal((M, 6))
    truth = 0.9 * common + 0.436 * truth  # unit variance, correlation 0.81
    draws = rng.standard_normal((M, S, 6))  # the right margins, no correlation
    share, error = calibration.coverage(calibration.ranks(draws, truth), 0.95)
    assert np.abs((share - 0.95) / error).max() < 3.5
    share, error = calibration.joint_coverage(calibration.joint_ranks(draws, truth), 0.95)
    assert (share - 0.95) / error < -4


@pytest.mark.parametrize(("unique", "drawn"), [(S, S), (120, 500)])
def test_joint_regions_hold_what_they_say_in_many_dimensions(unique, drawn):
    """Draws that shape their own ellipsoid are closer to its middle than a truth of the same distribution: 20 to 90 % of the
    truths would lie within 95 %."""
    rng, d, m = np.random.default_rng(7), 40, 800
    turn = rng.standard_normal((d, d))
    truth, own = rng.standard_normal((m, d)) @ turn, rng.standard_normal((m, unique, d)) @ turn
    draws = own if unique == drawn else np.stack([one[rng.integers(0, unique, drawn)] for one in own])
    spread = draws + 1e-9 * rng.standard_normal(draws.shape)  # repeated draws are no longer alike
    rank = calibration.joint_ranks(spread, truth, calibration.halves(draws))
    for level in calibration.LEVELS:
        share, error = calibration.joint_coverage(rank, level)
        assert abs(share - level) < 3.5 * error + (0 if unique == drawn else 0.02), "steps of one draw in 60"


def test_repeated_draws_are_of_one_half():
    draws = np.array([[[1.0, 2], [3, 4], [1, 2], [5, 6], [3, 4]]])
    assert calibration.halves(draws).tolist() == [[False, True, False, False, True]]
    assert calibration.joint_ranks(np.ones((1, 4, 2)), np.ones((1, 2)))[0] == pytest.approx(0.1), "no spread, no region"


def test_information_gain_is_the_mutual_information_and_nothing_for_the_prior():
    draws, truth = posterior(d=1)
    prior = np.random.default_rng(4).standard_normal((4000, 1))
    exact = 0.5 * np.log(1 + 1 / NOISE**2)  # of a Gaussian channel, 0.805 nats
    assert calibration.information_gain(draws, truth, prior).mean() == pytest.approx(exact, abs=0.05)
    same = np.random.default_rng(5).standard_normal((M, S, 1))
    assert abs(calibration.information_gain(same, truth, prior).mean()) < 0.05  # what kernel estimates cost
    few = np.random.default_rng(8).standard_normal((50, 1))  # of which some truths lie far
    assert abs(calibration.information_gain(same, truth, few).mean()) < 0.12
    sure = posterior(0.3, d=1)[0]
    assert calibration.information_gain(sure, truth, prior).mean() < exact - 0.3


def test_counts_are_covered_however_few():
    """Poisson counts from the true rate: without the uniform u the ranks of few counts would pile up."""
    rng = np.random.default_rng(6)
    rate = np.array([0.05, 0.7, 3.0, 300.0])
    truth, draws = rng.poisson(rate, (M, 4)), rng.poisson(rate, (M, S, 4))
    rank = calibration.ranks(calibration.spread_out(draws, rng), calibration.spread_out(truth, rng))
    for level in calibration.LEVELS:
        share, error = calibration.coverage(rank, level)
        assert np.abs((share - level) / error).max() < 3.5
    quantiles = np.moveaxis(np.quantile(draws, (0.025, 0.16, 0.5, 0.84, 0.975), axis=1), 0, -1)
    edges_included = calibration.interval_coverage(quantiles, truth)
    assert edges_included[0.95][0] > 0.99  # what an interval of whole numbers cannot avoid
    assert abs(edges_included[0.95][3] - 0.95) < 0.03


def test_crps_of_draws_is_that_of_their_gaussian():
    rng = np.random.default_rng(7)
    draws, truth = 2 * rng.standard_normal((400, 2000, 1)) + 1, np.full((400, 1), 1.0)
    exact = 2 * (np.sqrt(2) - 1) / np.sqrt(np.pi)  # σ (√2 − 1)/√π at the mean
    assert calibration.crps(draws, truth).mean() == pytest.approx(exact, rel=0.01)
