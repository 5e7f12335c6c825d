"""Spectra of fields of one to three axes, and how well maps are reconstructed, against closed forms."""

import math

import numpy as np
import pytest
import torch

from limelight.summaries.power import power_bins, power_spectrum, shell_means, transformed
from limelight.summaries.reconstruction import (
    Spectra,
    bootstrap,
    correlation,
    joined,
    noise,
    spectra_of,
    transfer,
)


@pytest.mark.parametrize("shape", [(24,), (13,), (12, 10), (9, 15), (6, 8, 5)])
def test_a_wave_has_its_power_in_its_shell_alone(shape):
    """A cos(k·x) has A²/4 at k and −k; P of a mode is V |a|²: the sum over modes of P/V is the variance."""
    sides = (0.5, 0.7, 0.3)[: len(shape)]
    number = (2, 1, 1)[: len(shape)]
    k = [2 * math.pi * m / (n * d) for m, n, d in zip(number, shape, sides, strict=True)]
    places = np.meshgrid(*(np.arange(n) * d for n, d in zip(shape, sides, strict=True)), indexing="ij")
    wave = 3 * np.cos(sum(a * x for a, x in zip(k, places, strict=True)) + 0.4)
    size = math.sqrt(sum(one**2 for one in k))
    bins = power_bins(shape, sides, np.array([0, size * 0.999, size * 1.001, 50.0]))
    power = power_spectrum(torch.from_numpy(wave)[None], bins)[0, 0].numpy()
    volume = math.prod(shape) * math.prod(sides)
    assert power[1] * bins.modes[1] == pytest.approx(volume * 2 * 9 / 4)
    np.testing.assert_allclose(np.nan_to_num(power[[0, 2]]), 0, atol=1e-12)


@pytest.mark.parametrize("shape", [(32,), (16, 15), (8, 6, 7)])
def test_the_sum_over_modes_is_the_covariance(shape):
    """Parseval: Σ Re(a b*) over all modes but the mean's is the covariance of two maps, times the volume."""
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 3, *shape))
    sides = (0.5,) * len(shape)
    bins = power_bins(shape, sides, np.array([1e-6, 100.0]))
    modes = [transformed(torch.from_numpy(maps), bins) for maps in (first, second)]
    found = shell_means((modes[0] * modes[1].conj()).real, bins)[:, 0].numpy()
    pairs = zip(first, second, strict=True)
    expected = [np.mean((a - a.mean()) * (b - b.mean())) * a.size * math.prod(sides) for a, b in pairs]
    np.testing.assert_allclose(found * bins.modes[0], expected, rtol=1e-10)


def noisy(count: int, gain: float, sigma: float, shape=(32, 32), seed=0) -> tuple[torch.Tensor, torch.Tensor]:
    """White truths (count, 2, *shape) of unit variance, and gain · truth + sigma · noise."""
    random = torch.Generator().manual_seed(seed)
    truth = torch.randn(count, 2, *shape, generator=random)
    return gain * truth + sigma * torch.randn(truth.shape, generator=random), truth


def test_gain_and_noise_are_found_in_every_shell():
    bins = power_bins((32, 32), (1.0, 1.0), np.linspace(0.1, 3.0, 6))
    predicted, truth = noisy(60, gain=0.6, sigma=0.5)
    spectra = joined([spectra_of(predicted[:25], truth[:25], bins), spectra_of(predicted[25:], truth[25:], bins)])
    assert spectra.cross.shape == (60, 2, 5)
    r = 0.6 / math.sqrt(0.6**2 + 0.5**2)
    expected = {correlation: r, transfer: 0.6, noise: 0.5**2 / 0.6**2}
    for statistic, value in expected.items():
        found, error = bootstrap(statistic, spectra)
        assert (error > 0).all()
        assert (error < 0.1 * value).all()
        assert (np.abs(found - value) < 4.5 * error).all(), statistic
    scaled = Spectra(9 * spectra.predicted, spectra.truth, 3 * spectra.cross)
    np.testing.assert_allclose(noise(scaled), noise(spectra))


def test_a_posterior_mean_transfers_r_squared():
    """The Wiener filter of truth + noise: gain 1/(1 + σ²)."""
    bins = power_bins((32, 32), (1.0, 1.0), np.array([0.1, 3.0]))
    gain = 1 / (1 + 0.8**2)
    predicted, truth = noisy(60, gain, gain * 0.8)
    spectra = spectra_of(predicted, truth, bins)
    ratio, error = bootstrap(lambda s: transfer(s) / correlation(s) ** 2, spectra)
    assert (np.abs(ratio - 1) < 4.5 * error).all()


def test_the_error_is_the_scatter_from_one_set_of_maps_to_another():
    bins = power_bins((16, 16), (1.0, 1.0), np.array([0.1, 1.5]))
    sets = [spectra_of(*noisy(40, 1.0, 1.0, (16, 16), seed), bins) for seed in range(60)]
    scatter = np.std([noise(one) for one in sets], axis=0, ddof=1)
    error = np.mean([bootstrap(noise, one)[1] for one in sets[:10]], axis=0)
    np.testing.assert_allclose(error, scatter, rtol=0.35)


def test_nothing_recovered_and_no_power():
    bins = power_bins((8, 8), (1.0, 1.0), np.array([0.1, 2.0, 2.01, 4.0]))
    truth = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    nothing = spectra_of(torch.zeros_like(truth), truth, bins)
    assert np.isnan(correlation(nothing)).all()
    assert np.isnan(noise(nothing)).all()
    assert np.isnan(transfer(spectra_of(truth, truth, bins))[0, 1])  # a shell without modes
