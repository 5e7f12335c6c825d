"""The quadratic estimator of CMB lensing: its noise against symlens, its answer against the true κ."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from limelight.errors import LimelightError
from limelight.probes.cmb_lensing import noise, sky
from limelight.probes.cmb_lensing.grid import Grid, bin_modes, cross_power, filtered, qu_from_eb
from limelight.probes.cmb_lensing.noise import Data
from limelight.probes.cmb_lensing.quadratic import QuadraticEstimator, mean_field
from tests.unit.cmb_toys import fiducial, gradient

GRID = Grid(64, 2.34375)
DATA = Data(1.0, lmin=100, lmax=3500)
EDGES = np.array([150, 300, 500, 800, 1200, 1700, 3000])


@pytest.fixture(scope="module")
def estimator() -> QuadraticEstimator:
    return QuadraticEstimator(GRID, fiducial(), gradient(), DATA)


def observed(n: int, seed: int, sigma_p: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """q, u with noise, and κ."""
    rng = np.random.default_rng(seed)
    maps = sky.simulate(GRID, fiducial(), n, rng)
    q, u = (one + sky.white_noise(GRID, sigma_p, (n,), rng) for one in (maps.q, maps.u))
    return q, u, maps.kappa


@pytest.mark.parametrize(("sigma_p", "beam_fwhm"), [(1.0, 1.0), (5.0, 0.0)])
def test_n0_is_that_of_symlens(sigma_p, beam_fwhm):
    enmap = pytest.importorskip("pixell.enmap")  # symlens cannot be imported without it
    symlens = pytest.importorskip("symlens")
    from symlens.utils import mask_kspace, rect_geometry

    data = Data(sigma_p, beam_fwhm, lmin=300, lmax=3500)
    shape, wcs = rect_geometry(width_deg=12.0, px_res_arcmin=1.5)  # L = 3500 + 3500 must not fold back
    modl, ells = enmap.modlmap(shape, wcs), fiducial().ells
    sigma = beam_fwhm * np.pi / 10800 / np.sqrt(8 * np.log(2))
    power = (sigma_p * np.pi / 10800) ** 2 * np.exp((ells * sigma) ** 2)
    feed = {
        "uC_E_E": np.interp(modl, ells, gradient()),
        "tC_E_E": np.interp(modl, ells, fiducial().lensed_ee + power),
        "tC_B_B": np.interp(modl, ells, fiducial().lensed_bb + power),
    }
    kept = mask_kspace(shape, wcs, lmin=300, lmax=3500)
    parts = QuadraticEstimator(GRID, fiducial(), gradient(), data).response_curves
    for pair, curve in zip(("EE", "EB"), parts, strict=True):
        theirs = np.asarray(symlens.N_l_optimal(shape, wcs, feed, "hu_ok", pair, xmask=kept, ymask=kept))
        for at in (150, 500, 1000, 2000, 2800):
            ring = np.abs(modl - at) < 30
            own = modl[ring] ** 4 / 4 / np.interp(modl[ring], ells, curve)
            assert own.mean() == pytest.approx(theirs[ring].mean(), rel=0.015), (pair, at)


def test_the_estimate_answers_true_kappa_with_unit_response_and_the_noise_of_n0(estimator):
    q, u, kappa = observed(120, 1)
    found = estimator.estimate(q, u)
    truth = cross_power(GRID, kappa, kappa, EDGES).mean(axis=0)
    np.testing.assert_allclose(cross_power(GRID, found, kappa, EDGES).mean(axis=0) / truth, 1, atol=0.05)
    r2 = (
        cross_power(GRID, found, kappa, EDGES).mean(axis=0) ** 2
        / truth
        / cross_power(GRID, found, found, EDGES).mean(axis=0)
    )
    signal, n0 = (GRID.sample(np.where(np.isfinite(one), one, 0)) for one in (fiducial().kappa, estimator.n0_kappa))
    signal, n0 = (bin_modes(GRID, one, EDGES) for one in (signal, n0))
    ratio = np.sqrt(r2) / np.sqrt(signal / (signal + n0))
    assert np.all((ratio > 0.93) & (ratio < 1.02)), ratio  # N1, the noise of the next order, takes some percent


def test_each_part_answers_kappa_and_the_two_are_weighted_by_their_noise(estimator):
    q, u, kappa = observed(60, 2)
    total = GRID.sample(sum(estimator.response_curves))
    parts = []
    for shares, curve in zip(((1.0, 0.0), (0.0, 1.0)), estimator.response_curves, strict=True):  # EE alone, EB alone
        own = GRID.sample(curve)
        normalised = np.where(own > 0, estimator.divergence * total / np.maximum(own, 1e-300), 0)
        parts.append(estimator._estimate(q, u, shares, normalised))
    weights = [
        filtered(GRID, part, GRID.sample(curve)) for part, curve in zip(parts, estimator.response_curves, strict=True)
    ]
    both = filtered(GRID, sum(weights), np.where(total > 0, 1 / np.where(total > 0, total, 1), 0))
    np.testing.assert_allclose(both, estimator.estimate(q, u), atol=1e-9)
    some = np.array([300, 1700])
    for part in parts:
        response = cross_power(GRID, part, kappa, some).mean() / cross_power(GRID, kappa, kappa, some).mean()
        assert response == pytest.approx(1, abs=0.05)


def test_without_lensing_the_estimate_is_noise_with_the_power_n0():
    flat = replace(fiducial(), phi=0 * fiducial().phi, lensed_ee=fiducial().ee, lensed_bb=0 * fiducial().ee)
    estimator = QuadraticEstimator(GRID, flat, fiducial().ee, DATA)
    rng = np.random.default_rng(3)
    maps = sky.simulate(GRID, flat, 100, rng, oversample=1)
    q, u = (one + sky.white_noise(GRID, 1.0, (100,), rng) for one in (maps.q, maps.u))
    found = estimator.estimate(q, u)
    expected = GRID.sample(np.where(np.isfinite(estimator.n0_kappa), estimator.n0_kappa, 0))
    white = filtered(GRID, found, np.where(expected > 0, 1 / np.sqrt(np.where(expected > 0, expected, 1)), 0))
    np.testing.assert_allclose(cross_power(GRID, white, white, EDGES).mean(axis=0), 1, atol=0.06)
    assert np.abs(found.mean(axis=0)).max() < 6 * found.std() / np.sqrt(100)


def test_phi_reversed_reverses_the_estimate(estimator):
    """The same E lensed by φ and by −φ: the parts of the estimate that are even in φ cancel in the difference."""
    maps = sky.simulate(GRID, fiducial(), 30, np.random.default_rng(4))
    q, u = qu_from_eb(GRID, maps.e, 0 * maps.e)
    found = []
    for sign in (1, -1):
        lensed = [sky.lens(GRID, *one) for one in zip(q, u, sign * maps.kappa, strict=True)]
        found.append(estimator.estimate(*np.stack(lensed, axis=1)))
    low = np.array([150, 1700])
    odd, even = (found[0] - found[1]) / 2, (found[0] + found[1]) / 2
    truth = cross_power(GRID, maps.kappa, maps.kappa, low).mean()
    assert cross_power(GRID, odd, maps.kappa, low).mean() / truth == pytest.approx(1, abs=0.05)
    assert abs(cross_power(GRID, even, maps.kappa, low).mean() / truth) < 0.03


def test_float32_tensors_give_the_same_answer(estimator):
    q, u, _ = observed(2, 5)
    exact = estimator.estimate(q, u)
    found = estimator.estimate(torch.from_numpy(q).float(), torch.from_numpy(u).float())
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), exact, atol=1e-4 * exact.std())


def test_the_mean_field_takes_away_what_a_mask_makes():
    """Under a taper the mean estimate has an imprint many times its error, which the mean of other skies removes."""
    estimator = QuadraticEstimator(GRID, fiducial(), fiducial().lensed_ee, DATA)
    mask = sky.taper(GRID, 0.6)
    imprint = mean_field(estimator, mask, 150, np.random.default_rng(6))
    other = mean_field(estimator, mask, 150, np.random.default_rng(7))
    low = np.array([100, 500])
    before, after = (cross_power(GRID, one, one, low)[0] for one in (imprint, imprint - other))
    assert before > 5 * after


def test_bad_settings_are_said_in_one_line():
    with pytest.raises(LimelightError, match=r"sigma_p: found 0 µK arcmin; expected noise above 0"):
        Data(0.0)
    with pytest.raises(LimelightError, match="lmin, lmax"):
        Data(1.0, lmin=3000, lmax=300)


def test_iterating_lowers_n0_and_leaves_less_b():
    """At 1 µK arcmin two thirds of the noise of long waves go, and nine tenths of the B."""
    found = noise.iterated_n0(fiducial(), DATA)
    once = sum(QuadraticEstimator(GRID, fiducial(), gradient(), DATA).response_curves)
    assert 0.25 < once[300] / found.response[300] < 0.45
    assert 0.08 < found.delensed_bb[500] / fiducial().lensed_bb[500] < 0.16
    worse = noise.iterated_n0(fiducial(), replace(DATA, sigma_p=5.0))
    assert worse.delensed_bb[500] > 3 * found.delensed_bb[500]


def test_first_order_b_is_that_of_camb():
    """Without φ of short waves the first order is good to some percent."""
    at = np.array([300.0, 600.0, 1000.0])
    np.testing.assert_allclose(
        noise.lensing_bb(at, [(fiducial().ee, fiducial().phi)]), fiducial().lensed_bb[at.astype(int)], rtol=0.06
    )
