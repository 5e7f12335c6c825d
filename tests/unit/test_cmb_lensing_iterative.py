"""The iterative estimator of CMB lensing against its analytic limit and the quadratic one; Wiener filters under a mask."""

from dataclasses import replace

import numpy as np
import pytest

from limelight.errors import LimelightError
from limelight.probes.cmb_lensing import sky
from limelight.probes.cmb_lensing.grid import Grid, bin_modes, cross_power, eb_from_qu, qu_from_eb
from limelight.probes.cmb_lensing.iterative import IterativeEstimator, lensing_gradient, masked_mean_field
from limelight.probes.cmb_lensing.noise import Data
from limelight.probes.cmb_lensing.quadratic import QuadraticEstimator
from limelight.probes.cmb_lensing.wiener import Masked, masked_wiener, wiener_e
from tests.unit.cmb_toys import fiducial, gradient

GRID = Grid(64, 2.34375)
DATA = Data(1.0, lmin=100, lmax=4000)
EDGES = np.array([72, 150, 300, 500, 800, 1200, 1700, 2300])


def observed(n: int, seed: int, grid: Grid = GRID) -> tuple[np.ndarray, np.ndarray, sky.Sky]:
    rng = np.random.default_rng(seed)
    maps = sky.simulate(grid, fiducial(), n, rng)
    q, u = (one + sky.white_noise(grid, DATA.sigma_p, (n,), rng) for one in (maps.q, maps.u))
    return q, u, maps


def correlation(one: np.ndarray, other: np.ndarray, edges: np.ndarray = EDGES, grid: Grid = GRID) -> np.ndarray:
    """r per bin of L from the spectra summed over all maps."""
    cross, *own = (cross_power(grid, *pair, edges).mean(axis=0) for pair in ((one, other), (one, one), (other, other)))
    return cross / np.sqrt(own[0] * own[1])


def test_the_map_estimate_beats_the_quadratic_and_nears_the_analytic_limit():
    q, u, truth = observed(20, 1)
    estimator = IterativeEstimator(GRID, fiducial(), DATA)
    found = estimator.estimate(q, u)
    once = QuadraticEstimator(GRID, fiducial(), fiducial().lensed_ee, DATA).estimate(q, u)
    wide = np.array([72, 300, 800, 1200, 2300])
    iterated, quadratic = (correlation(one, truth.kappa, wide) for one in (found.kappa, once))
    limit = np.sqrt(bin_modes(GRID, GRID.sample(estimator.expected), wide))
    np.testing.assert_allclose(iterated, limit, atol=0.035)
    assert np.all(iterated > quadratic + [0.01, 0.05, 0.08, 0.05])
    cross, power = (cross_power(GRID, one, truth.kappa, wide).mean(axis=0) for one in (found.kappa, truth.kappa))
    np.testing.assert_allclose(cross / power / iterated**2, 1, atol=0.06)  # a posterior mean
    assert np.all(correlation(found.e, truth.e, wide) > 0.99)


@pytest.mark.slow
def test_correlations_at_one_microkelvin_arcminute_are_those_measured_elsewhere():
    """Against an independent prototype's table, and the analytic limit within 0.015 for L < 1200; T/r² within 3 %, give or
    take two standard errors of 400 maps."""
    q, u, truth = observed(400, 2)
    estimator = IterativeEstimator(GRID, fiducial(), DATA)
    found = estimator.estimate(q, u).kappa
    once = QuadraticEstimator(GRID, fiducial(), gradient(), DATA).estimate(q, u)
    iterated, quadratic = correlation(found, truth.kappa), correlation(once, truth.kappa)
    np.testing.assert_allclose(quadratic, [0.975, 0.955, 0.892, 0.841, 0.711, 0.542, 0.402], atol=0.025)
    np.testing.assert_allclose(iterated, [0.987, 0.985, 0.965, 0.932, 0.832, 0.644, 0.478], atol=0.025)
    limit = np.sqrt(bin_modes(GRID, GRID.sample(estimator.expected), EDGES))
    np.testing.assert_allclose(iterated[:5], limit[:5], atol=0.015)
    pairs = ((found, truth.kappa), (truth.kappa, truth.kappa), (found, found))
    cross, power, own = (cross_power(GRID, *pair, EDGES) for pair in pairs)  # (maps, bins)

    def transfer_over_r_squared(rows: np.ndarray) -> np.ndarray:
        return own[rows].mean(axis=0) / cross[rows].mean(axis=0)  # (c/p) / (c² / (p o))

    rows = np.random.default_rng(1).integers(0, 400, (200, 400))
    error = np.std([transfer_over_r_squared(some) for some in rows], axis=0)
    assert np.all(np.abs(transfer_over_r_squared(np.arange(400)) - 1) < 0.03 + 2 * error)
    assert np.all(error < 0.01)


def test_without_lensing_the_map_estimate_is_small():
    """Where κ can be known the estimate stays far below the κ of the sky."""
    flat = replace(fiducial(), phi=0 * fiducial().phi)
    rng = np.random.default_rng(3)
    maps = sky.simulate(GRID, flat, 4, rng, oversample=1)
    q, u = (one + sky.white_noise(GRID, 1.0, (4,), rng) for one in (maps.q, maps.u))
    found = IterativeEstimator(GRID, fiducial(), DATA).estimate(q, u).kappa
    low = np.array([72, 500])
    assert np.all(cross_power(GRID, found, found, low) < 0.1 * bin_modes(GRID, GRID.sample(fiducial().kappa), low))


def test_phi_reversed_reverses_the_map_estimate():
    maps = sky.simulate(GRID, fiducial(), 4, np.random.default_rng(4))
    noise = sky.white_noise(GRID, 1.0, (2, 4), np.random.default_rng(5))
    estimator, found = IterativeEstimator(GRID, fiducial(), DATA), []
    for sign in (1, -1):
        q, u = qu_from_eb(GRID, maps.e, 0 * maps.e)
        lensed = np.stack([sky.lens(GRID, *one) for one in zip(q, u, sign * maps.kappa, strict=True)], axis=1)
        found.append(estimator.estimate(*(lensed + noise)).kappa)
    low = np.array([72, 300, 800])
    for one, true in zip(found, (maps.kappa, -maps.kappa), strict=True):
        assert np.all(correlation(one, true, low) > [0.95, 0.9])


def test_the_gradient_is_the_slope_of_the_likelihood():
    """∂/∂φ of −|d − A(φ) E|²/2σ² at fixed E, by a finite difference along a random φ."""
    grid = Grid(32, 2.34375)
    rng = np.random.default_rng(6)
    q, u, maps = observed(1, 6, grid)
    data, e = q[0] + 1j * u[0], np.fft.fft2(maps.e[0])
    alpha = sky.deflection(grid, np.fft.fft2(maps.kappa[0]) * 0.5)
    sigma = DATA.sigma_p / grid.pixel_arcmin
    along = np.fft.fft2(rng.standard_normal((32, 32))) * grid.sample(np.sqrt(fiducial().phi))

    def likelihood(step: float) -> float:
        moved = alpha + step * sky.deflection(grid, along * grid.ell**2 / 2)
        return -0.5 * np.sum(np.abs(data - sky.remap(grid, e * grid.spin, moved)) ** 2) / sigma**2

    step = 1e-3 / np.abs(along).max() * np.abs(alpha).max()
    by_difference = (likelihood(step) - likelihood(-step)) / (2 * step)
    barred = (data - sky.remap(grid, e * grid.spin, alpha)) / sigma**2
    slope = lensing_gradient(grid, e, barred, alpha)
    assert np.vdot(slope, along).real / 32**2 == pytest.approx(by_difference, rel=1e-3)


def lensing_b(e: np.ndarray, kappa: np.ndarray) -> np.ndarray:
    """B maps (n, npix, npix) that lensing by kappa makes of unlensed E."""
    maps = []
    for one_e, one_kappa in zip(e, kappa, strict=True):
        moved = sky.deflection(GRID, np.fft.fft2(one_kappa))
        lensed = sky.remap(GRID, np.fft.fft2(one_e) * GRID.spin, moved)
        maps.append(eb_from_qu(GRID, lensed.real, lensed.imag)[1])
    return np.stack(maps)


def test_the_lensing_b_of_the_estimate_removes_most_b():
    q, u, truth = observed(6, 7)
    found = IterativeEstimator(GRID, fiducial(), DATA).estimate(q, u)
    b = eb_from_qu(GRID, truth.q, truth.u)[1]
    low = np.array([200, 1500])
    left = b - lensing_b(found.e, found.kappa)
    assert cross_power(GRID, left, left, low).mean() < 0.15 * cross_power(GRID, b, b, low).mean()
    exact = b - lensing_b(truth.e, truth.kappa)
    assert cross_power(GRID, exact, exact, low).mean() < 1e-3 * cross_power(GRID, b, b, low).mean()


def test_the_masked_filter_without_a_mask_is_the_closed_form():
    q, u, _ = observed(1, 8)
    data = replace(DATA, lmin=2, lmax=6600, beam_fwhm=1.5)
    masked = Masked(GRID, data, np.ones((64, 64)))
    spectra = fiducial()
    modes, _ = masked_wiener(masked, q[0] + 1j * u[0], spectra.lensed_ee, spectra.lensed_bb, tolerance=1e-8)
    found = np.fft.ifft2(modes)
    np.testing.assert_allclose(found.real, wiener_e(GRID, q[0], u[0], spectra.lensed_ee, data), atol=1e-5)


def test_the_masked_filter_is_the_dense_solution():
    """On 8 × 8 pixels: the mean of the Gaussian posterior from the full covariance of the unmasked pixels, lensed."""
    grid, spectra = Grid(8, 20.0), fiducial()
    rng = np.random.default_rng(9)
    mask = np.where(rng.random((8, 8)) < 0.3, 0.0, rng.uniform(0.3, 1, (8, 8)))
    masked = Masked(grid, Data(5.0, beam_fwhm=20.0), mask)
    alpha = 0.3 * grid.pixel * (rng.standard_normal((8, 8)) + 1j * rng.standard_normal((8, 8)))
    maps = np.where(mask > 0, 3 * (rng.standard_normal((8, 8)) + 1j * rng.standard_normal((8, 8))), 0)
    modes, _ = masked_wiener(masked, maps, spectra.lensed_ee, spectra.lensed_bb, alpha, tolerance=1e-12)
    root = [np.sqrt(grid.sample(curve)) / grid.pixel for curve in (spectra.lensed_ee, spectra.lensed_bb)]
    columns = []
    for white in np.eye(128).reshape(128, 2, 8, 8):
        e, b = (np.fft.fft2(one) * scale for one, scale in zip(white, root, strict=True))
        seen = masked.observed(e + 1j * b, alpha).ravel()
        columns.append(np.concatenate([seen.real, seen.imag]))
    design, weight = np.array(columns).T, np.tile(masked.weight.ravel(), 2)
    values = np.concatenate([maps.real.ravel(), maps.imag.ravel()])
    white = np.linalg.solve(np.eye(128) + design.T @ (weight[:, None] * design), design.T @ (weight * values))
    e, b = (np.fft.fft2(one) * scale for one, scale in zip(white.reshape(2, 8, 8), root, strict=True))
    np.testing.assert_allclose(modes, e + 1j * b, atol=1e-6 * np.abs(modes).max())


def test_under_a_mask_the_map_estimate_still_finds_kappa():
    mask = sky.taper(GRID, 0.6)
    rng = np.random.default_rng(10)
    truth = sky.simulate(GRID, fiducial(), 3, rng, margin=32)
    q, u = ((one + sky.white_noise(GRID, 1.0, (3,), rng)) * mask for one in (truth.q, truth.u))
    estimator = IterativeEstimator(GRID, fiducial(), DATA, mask=mask, steps=15)
    estimator = replace(estimator, mean_field=masked_mean_field(estimator, 8, rng))
    found = estimator.estimate(q, u).kappa
    inside = mask**2
    assert np.all(correlation(found * inside, truth.kappa * inside, np.array([150, 500, 1000])) > [0.84, 0.78])


def test_a_mask_of_other_maps_is_refused():
    with pytest.raises(LimelightError, match=r"mask: found shape \(32, 32\).*expected 64 × 64 pixels"):
        Masked(GRID, DATA, np.ones((32, 32)))
    with pytest.raises(LimelightError, match="values 0 to 2"):
        Masked(GRID, DATA, np.linspace(0, 2, 64 * 64).reshape(64, 64))
