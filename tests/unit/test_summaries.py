"""Power spectrum, voxel intensities and covariances against closed forms and another public code's numbers."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import erf

from limelight.cosmology import Cosmology
from limelight.errors import LimelightError
from limelight.probes.line_intensity.maps.comoving import beam_sigma_mpc, voxel_size_mpc
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.summaries.covariance import hartlap, joint_covariance, log_t_likelihood
from limelight.summaries.power import (
    legendre,
    noise_power,
    power_bins,
    power_spectrum,
    transfer,
    wave_numbers,
)
from limelight.summaries.vid import expected_histogram, temperature_edges, voxel_histogram

SHAPE, VOXEL = (24, 20, 32), (2.0, 3.0, 1.25)  # anisotropic, one side not a power of two
EDGES = np.array([0.0, 0.3, 0.6, 0.9, 1.2])


def gaussian_maps(count: int, power, shape=SHAPE, voxel=VOXEL, seed=1) -> torch.Tensor:
    """Periodic Gaussian maps of spectrum power(k, μ²), float64 (count, x, y, f)."""
    white = np.random.default_rng(seed).standard_normal((count, *shape))
    kx, ky, kz = wave_numbers(shape, voxel)
    k2 = kx**2 + ky**2 + kz**2
    mu2 = np.divide(kz**2, k2, out=np.zeros_like(k2), where=k2 > 0)
    amplitude = np.sqrt(power(np.sqrt(np.maximum(k2, 1e-12)), mu2) / math.prod(voxel))
    field = np.fft.irfftn(np.fft.rfftn(white, axes=(1, 2, 3)) * amplitude, s=shape, axes=(1, 2, 3))
    return torch.from_numpy(field)


def test_numbers_of_powerbox():
    """powerbox 1.0.0, get_power(field, (24, 30, 20), bins=edges, dimensionless=False, remove_shotnoise=False,
    ignore_zero_mode=True): power, mean k and modes of a field in closed form, on voxels of 2 × 3 × 1.25."""
    i, j, k = np.ogrid[:12, :10, :16]
    field = np.sin(1.3 * i + 0.7 * j * j) * np.cos(0.9 * k + 0.2 * i * k) + 0.3 * np.cos(2 * j + 0.5 * k)
    bins = power_bins(field.shape, VOXEL, np.array([0.15, 0.45, 0.75, 1.05, 1.35, 1.65]))
    power = power_spectrum(torch.from_numpy(field)[None], bins)[0, 0].numpy()
    np.testing.assert_allclose(power, [0.73157587, 5.93354911, 1.49247579, 1.61377843, 1.91900431], rtol=2e-8)
    np.testing.assert_allclose(bins.k_mean, [0.34478431, 0.6339713, 0.92561662, 1.20270264, 1.50192005], rtol=2e-8)
    np.testing.assert_array_equal(bins.modes, [20, 90, 169, 266, 347])


def test_white_noise_has_the_power_sigma_squared_times_the_voxel():
    maps = 3.0 * torch.randn(40, *SHAPE, generator=torch.Generator().manual_seed(2)) + 5
    bins = power_bins(SHAPE, VOXEL, EDGES)
    power = power_spectrum(maps, bins)[:, 0].numpy()
    assert noise_power(3.0, VOXEL) == 9 * 2 * 3 * 1.25
    error = noise_power(3.0, VOXEL) * np.sqrt(2 / bins.modes / 40)
    assert (np.abs(power.mean(0) - noise_power(3.0, VOXEL)) < 4 * error).all()


@pytest.mark.parametrize("voxel", [(2.0, 2.0, 2.0), VOXEL])
def test_gaussian_field_of_known_spectrum(voxel):
    """P ∝ k^−1.5 and its variance 2 P²/N_modes; the expected mean is taken over each shell's own modes."""
    maps = gaussian_maps(300, lambda k, mu2: 7 * k**-1.5, voxel=voxel)
    bins = power_bins(SHAPE, voxel, EDGES)
    power = power_spectrum(maps, bins)[:, 0].numpy()
    kx, ky, kz = wave_numbers(SHAPE, voxel)
    k = np.sqrt(kx**2 + ky**2 + kz**2).ravel()
    inside = bins.index.numpy()
    weight = bins.weight.numpy()
    theory = [np.average(7 * k[inside == b] ** -1.5, weights=weight[inside == b]) for b in range(len(bins.modes))]
    square = [np.average(49 * k[inside == b] ** -3.0, weights=weight[inside == b]) for b in range(len(bins.modes))]
    error = np.sqrt(2 * np.array(square) / bins.modes)
    assert (np.abs(power.mean(0) - theory) < 4 * error / np.sqrt(300)).all()
    np.testing.assert_allclose(power.std(0), error, rtol=0.16)  # 4 σ of a standard deviation from 300


def test_covariance_of_a_gaussian_field_is_diagonal_and_counts_modes():
    maps = gaussian_maps(600, lambda k, mu2: 5 + 0 * k, shape=(12, 12, 16), voxel=(1.0, 1.0, 1.0))
    bins = power_bins((12, 12, 16), (1.0, 1.0, 1.0), np.array([0.3, 0.8, 1.3, 1.8, 2.3]))
    power = power_spectrum(maps, bins)[:, 0].numpy()
    mean, covariance = joint_covariance(power)
    variance = np.diag(covariance)
    np.testing.assert_allclose(variance, 2 * 25 / bins.modes, rtol=0.25)
    assert np.abs(covariance / np.sqrt(np.outer(variance, variance)) - np.eye(4)).max() < 4 / math.sqrt(600)


def test_modes_are_those_of_the_full_transform():
    """Every mode but k = 0 is in a shell once, k and −k both counted."""
    for shape in (SHAPE, (5, 6, 7)):
        assert power_bins(shape, VOXEL, np.array([0, 100.0])).modes.sum() == math.prod(shape) - 1


def test_quadrupole_and_hexadecapole_of_a_kaiser_field():
    """P(k, μ) = P (1 + β μ²)²: P_0 = 1 + 2β/3 + β²/5, P_2 = 4β/3 + 4β²/7, P_4 = 8β²/35 times P (Hamilton 1998)."""
    beta, shape, voxel = 0.9, (64, 64, 64), (1.0, 1.5, 0.8)
    maps = gaussian_maps(8, lambda k, mu2: (1 + beta * mu2) ** 2 + 0 * k, shape, voxel)
    bins = power_bins(shape, voxel, np.array([0.8, 1.4, 2.0]))
    found = power_spectrum(maps, bins, (0, 2, 4)).mean(0).numpy()
    kaiser = [1 + 2 * beta / 3 + beta**2 / 5, 4 * beta / 3 + 4 * beta**2 / 7, 8 * beta**2 / 35]
    for values, theory, tolerance in zip(found, kaiser, (0.02, 0.06, 0.08), strict=True):
        np.testing.assert_allclose(values, theory, atol=tolerance)
    isotropic = power_spectrum(gaussian_maps(8, lambda k, mu2: 1 + 0 * k, shape, voxel), bins, (2,)).mean(0)
    assert np.abs(isotropic.numpy()).max() < 0.07
    with pytest.raises(LimelightError, match="0, 2 or 4"):
        legendre(3, 0.5)


def test_beam_and_pixel_window():
    """A field smoothed by exp(−k_⊥² σ²/2) and averaged over voxels comes back through `transfer`."""
    fine, voxel, sigma = (48, 48, 48), (0.5, 0.5, 0.5), 0.9
    kx, ky, kz = wave_numbers(fine, voxel)
    smooth = lambda k, mu2: np.exp(-(k**2) * (1 - mu2) * sigma**2)  # noqa: E731
    maps = gaussian_maps(30, smooth, fine, voxel)
    bins = power_bins(fine, voxel, np.array([0.4, 0.8, 1.2]))
    power = power_spectrum(maps, bins)[:, 0].mean(0).numpy() / transfer(bins, sigma, pixel_window=False)
    np.testing.assert_allclose(power, 1, rtol=0.03)
    # steep spectrum, so that aliasing is small: blocks of 4 fine voxels in each direction against the pixel window
    maps = gaussian_maps(30, lambda k, mu2: np.exp(-3 * k**2), fine, voxel)
    coarse = maps.reshape(30, 12, 4, 12, 4, 12, 4).mean((2, 4, 6))
    fine_power = power_spectrum(maps, power_bins(fine, voxel, np.array([0.2, 0.5, 0.8])))[:, 0].mean(0).numpy()
    bins = power_bins((12, 12, 12), (2.0, 2.0, 2.0), np.array([0.2, 0.5, 0.8]))
    ratio = power_spectrum(coarse, bins)[:, 0].mean(0).numpy() / fine_power
    assert ratio[1] < 0.9
    np.testing.assert_allclose(ratio / transfer(bins), 1, rtol=0.03)


def test_voxel_sides_fill_the_light_cone():
    """Sides at the paper's geometry against astropy; the box's volume is that of the light-cone to 2 %."""
    cosmology, grid = Cosmology(), Grid(1.4, 256, 100, 26.0, 34.0, 115.27, pool_pixels=4, pool_channels=10)
    x, y, z = voxel_size_mpc(grid, cosmology)
    per_degree = cosmology.astropy.comoving_distance(115.27 / 30 - 1).value * math.pi / 180
    assert x == y == pytest.approx(per_degree * 1.4 / 64, rel=1e-6)
    depth = cosmology.astropy.comoving_distance([115.27 / 34 - 1, 115.27 / 26 - 1]).value
    assert z == pytest.approx((depth[1] - depth[0]) / 10, rel=1e-6)
    assert x * y * z * 64 * 64 * 10 == pytest.approx(grid.volume_mpc3(cosmology, (0, 0)), rel=0.02)
    assert beam_sigma_mpc(4.0, grid, cosmology) == pytest.approx(per_degree * 4 / 60 / 2.354820, rel=1e-5)


@pytest.mark.parametrize("mean", [0.0, 4.0])
def test_histogram_of_gaussian_noise(mean):
    edges = temperature_edges(10, 100, 25)
    maps = 30 * torch.randn(8, 40, 40, 50, generator=torch.Generator().manual_seed(3)) + mean
    share = np.diff(erf(edges / 30 / math.sqrt(2))) / 2
    counts = voxel_histogram(maps, edges).numpy()
    assert (np.abs(counts.mean(0) - 80000 * share) < 4.5 * np.sqrt(80000 * share / 8)).all()
    ones = torch.ones(1, 1, dtype=torch.float64)
    expected = expected_histogram(0 * ones, ones, torch.from_numpy(edges), 30 * ones, 80000)
    np.testing.assert_allclose(expected[0].numpy(), 80000 * share, rtol=1e-9)


def test_histogram_bins_are_half_open():
    maps = torch.tensor([[0.5, 1.0, 1.5, 2.0, 3.0], [1.0, 1.0, 1.0, 1.0, 2.9]])
    counts = voxel_histogram(maps, np.array([1.0, 2.0, 3.0]), subtract_mean=False)
    assert counts.tolist() == [[2, 1], [4, 1]]
    assert temperature_edges(0, 10, 2, "linear").tolist() == [0, 5, 10]
    with pytest.raises(LimelightError, match="low > 0"):
        temperature_edges(0, 10, 2)


def test_joint_covariance_holds_the_cross_blocks():
    rng = np.random.default_rng(4)
    x = rng.standard_normal((20000, 2))
    y = x @ [[1.0, 0.5], [0.0, 2.0]] + rng.standard_normal((20000, 2))
    _, covariance = joint_covariance(x, y)
    np.testing.assert_allclose(covariance[:2, 2:], [[1, 0.5], [0, 2]], atol=0.06)
    np.testing.assert_allclose(covariance, np.cov(np.hstack([x, y]).T), rtol=1e-10)
    with pytest.raises(LimelightError, match="same maps"):
        joint_covariance(x, y[:5])


def test_hartlap_unbiases_the_inverse():
    """Mean over many inverses of covariances from 12 draws of 3 unit Gaussians: 11/7 without, 1 with the factor."""
    draws = np.random.default_rng(5).standard_normal((4000, 12, 3))
    inverse = np.mean([np.linalg.inv(joint_covariance(d)[1]) for d in draws], axis=0)
    np.testing.assert_allclose(hartlap(12, 3) * inverse, np.eye(3), atol=0.06)
    assert hartlap(12, 3) == 7 / 11
    with pytest.raises(LimelightError, match="more than 5"):
        hartlap(5, 3)


@pytest.mark.parametrize("parameters", [2, 6])
def test_the_likelihood_of_an_estimated_covariance_is_a_multivariate_t(parameters):
    """With as many parameters as summaries it is that of Sellentin & Heavens (2016), with n degrees in its exponent."""
    rng, n, d = np.random.default_rng(5), 20, 6
    x, ours, theirs = rng.standard_normal((50, d)), [], []
    for _ in range(2):  # two covariances: their determinants count
        _, covariance = joint_covariance(rng.standard_normal((n, d)) * rng.uniform(0.5, 2, d))
        chi2 = np.einsum("mi,ij,mj->m", x, np.linalg.inv(covariance), x)
        log_det = np.linalg.slogdet(covariance)[1]
        ours.append(log_t_likelihood(chi2, log_det, n - 1, d, parameters))
        degrees = n - d - (d - parameters)
        theirs.append(stats.multivariate_t(np.zeros(d), (n - 1) / degrees * covariance, degrees).logpdf(x))
    ours, theirs = np.concatenate(ours), np.concatenate(theirs)
    np.testing.assert_allclose(ours - ours[0], theirs - theirs[0], rtol=1e-9, atol=1e-9)


def test_the_likelihood_of_an_estimated_covariance_covers_and_a_gaussian_one_does_not():
    """A mean of unit Gaussian numbers whose covariance comes from 24 maps: 95 % intervals of the parameter's posterior."""
    rng, n, d, runs = np.random.default_rng(6), 24, 12, 2000
    grid = np.linspace(-8, 8, 801)  # of the parameter, 0 in truth
    slope, data = rng.standard_normal(d), rng.standard_normal((runs, d))
    slope /= np.linalg.norm(slope)
    inverse = np.linalg.inv([joint_covariance(rng.standard_normal((n, d)))[1] for _ in range(runs)])
    chi2 = np.einsum("ri,rij,rj->r", data, inverse, data)[:, None]
    chi2 = chi2 - 2 * np.einsum("i,rij,rj->r", slope, inverse, data)[:, None] * grid
    chi2 = chi2 + np.einsum("i,rij,j->r", slope, inverse, slope)[:, None] * grid**2

    def covered(log_likelihood):
        density = np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
        below = density[:, grid < 0].sum(axis=1) / density.sum(axis=1)
        return np.mean(np.abs(below - 0.5) < 0.475)

    error = math.sqrt(0.95 * 0.05 / runs)
    assert abs(covered(log_t_likelihood(chi2, 0.0, n - 1, d, 1)) - 0.95) < 3 * error
    assert covered(-0.5 * chi2) < 0.75
    assert covered(-0.5 * hartlap(n, d) * chi2) < 0.88  # an unbiased inverse is not enough
    assert covered(log_t_likelihood(chi2, 0.0, n - 1, d, d)) < 0.88  # nor are the tails of a t
