"""What a pipeline takes off a map: planted modes, means and waves, against arithmetic."""

import math

import numpy as np
import pytest
import torch

from limelight.errors import LimelightError
from limelight.probes.line_intensity.maps.filters import (
    apply_transfer,
    channel_matrix,
    correlated_on_sky,
    high_pass,
    inverse_variance,
    lost_modes,
    read_transfer,
    remove_means,
    remove_modes,
    sky_wave_numbers,
    standing_wave,
    transfer_on_modes,
)
from limelight.summaries.power import power_bins, power_spectrum

SHAPE = (3, 12, 10, 16)  # maps, x, y, frequency


def random() -> torch.Generator:
    return torch.Generator().manual_seed(4)


def uneven() -> tuple[torch.Tensor, torch.Tensor]:
    """σ that varies by a factor of 100 over field and band, and a mask with a rim and a channel."""
    sigma = 10 ** (2 * torch.rand(SHAPE, generator=random()))
    observed = torch.ones(SHAPE, dtype=torch.bool)
    observed[:, 0] = observed[..., 5] = False
    return sigma, observed


def test_weights_are_inverse_variances_of_what_was_observed():
    sigma, observed = uneven()
    weights = inverse_variance(sigma, observed, SHAPE)
    torch.testing.assert_close(weights[observed], sigma[observed] ** -2)
    assert not weights[~observed].any()
    assert inverse_variance(torch.zeros(1, 1, 1, 1), None, SHAPE).unique().tolist() == [1.0]


def test_means_of_channels_are_the_weighted_ones_and_masked_voxels_do_not_count():
    sigma, observed = uneven()
    maps, weights = torch.randn(SHAPE, generator=random()) + 7, inverse_variance(sigma, observed, SHAPE)
    left = remove_means(maps, weights)
    for i, f in ((0, 0), (2, 15)):
        seen = observed[i, ..., f]
        mean = np.average(maps[i, ..., f][seen], weights=weights[i, ..., f][seen])
        np.testing.assert_allclose(left[i, ..., f][seen], maps[i, ..., f][seen] - mean, atol=1e-5)
    assert not left[~observed].any()
    filled = torch.where(observed, maps, 1e6)
    torch.testing.assert_close(remove_means(filled, weights), left)


@pytest.mark.parametrize("modes", [1, 3])
def test_planted_modes_are_removed_and_what_is_apart_from_them_stays(modes):
    """Foregrounds of rank n, 1e4 times as bright as the map: the rest comes out as projected by an independent SVD."""
    sigma = 0.5 + torch.rand(3, 12, 10, 1, generator=random())  # varies over the field alone: the planted rank survives
    weights = inverse_variance(sigma, None, SHAPE)
    sky, spectra = torch.randn(3, 12, 10, modes, generator=random()), torch.randn(3, modes, 16, generator=random())
    planted = 1e4 * torch.einsum("bxym,bmf->bxyf", sky, spectra)
    assert remove_modes(planted, weights, modes).abs().max() < 1e-6 * planted.abs().max()
    maps = torch.randn(SHAPE, generator=random())
    left = remove_modes(planted + maps, weights, modes)
    for i in range(3):
        matrix = ((planted + maps) / sigma)[i].reshape(-1, 16).double().numpy()
        u, s, v = np.linalg.svd(matrix, full_matrices=False)
        s[:modes] = 0
        expected = ((u * s) @ v).reshape(SHAPE[1:]) * sigma[i].numpy()
        np.testing.assert_allclose(left[i], expected, atol=0.02)  # float32 of numbers of 1e5
    assert 0.5 < left.std() < 1.0


def test_modes_are_those_of_observed_voxels_in_units_of_their_noise():
    sigma, observed = uneven()
    weights, maps = inverse_variance(sigma, observed, SHAPE), torch.randn(SHAPE, generator=random())
    left = remove_modes(maps, weights, 2)
    assert not left[~observed].any()
    torch.testing.assert_close(remove_modes(torch.where(observed, maps, 1e6), weights, 2), left)
    whitened = (maps * weights.sqrt()).flatten(1, 2).double()
    remaining = (left * weights.sqrt()).flatten(1, 2).double().square().sum(dim=(1, 2))
    expected = torch.linalg.svdvals(whitened)[:, 2:].square().sum(dim=1)
    torch.testing.assert_close(remaining, expected, rtol=1e-4, atol=0)


def test_modes_that_a_map_has_lost_count_again():
    sigma, observed = (values[:1] for values in uneven())
    weights = inverse_variance(sigma, observed, (1, *SHAPE[1:]))
    whole = sigma * torch.randn((1, *SHAPE[1:]), generator=random())
    whole += 3 * sigma[..., :1] * torch.sin(torch.arange(16.0))  # a mode that stands out
    left = remove_modes(whole, weights, 3)
    lost = lost_modes(left, weights, 3, alike=whole)
    missing = channel_matrix(whole, weights) - channel_matrix(left, weights)
    torch.testing.assert_close(lost[0].trace(), missing[0].trace(), rtol=1e-4, atol=0)
    spectra = [torch.linalg.eigh(matrix[0])[1][:, -3:] for matrix in (lost, missing)]
    assert torch.linalg.svdvals(spectra[0].T @ spectra[1]).min() > 1 - 1e-6, "the same three directions"
    torch.testing.assert_close(remove_modes(left, weights, 3, lost), left, rtol=1e-3, atol=1e-3)
    source = torch.zeros_like(left)
    source[0, 6, 5, 9] = 1e3 * sigma[0, 6, 5, 9]  # brighter than anything: it fills one channel, and is taken
    assert remove_modes(left + source, weights, 3, lost)[0, 6, 5, 9] < 0.1 * source.max()


def test_maps_are_filtered_alike_alone_and_in_a_batch():
    sigma, observed = uneven()
    weights, maps = inverse_variance(sigma, observed, SHAPE), torch.randn(SHAPE, generator=random())
    together = remove_modes(remove_means(maps, weights), weights, 3)
    alone = torch.cat(
        [remove_modes(remove_means(maps[i : i + 1], weights[i : i + 1]), weights[i : i + 1], 3) for i in range(3)]
    )
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-5)


def test_power_falls_by_the_square_of_the_transfer_function():
    shape, voxel = (24, 24, 16), (3.0, 3.0, 5.0)
    transfer = transfer_on_modes(shape, voxel, (0.3, 0.05), (0.1, 0.03), 0.8, None)
    maps = torch.randn(400, *shape, generator=random())
    left = apply_transfer(maps, torch.from_numpy(transfer))
    bins = power_bins(shape, voxel, np.array([0.05, 0.2, 0.35, 0.5, 0.8]))
    found = power_spectrum(left, bins).mean(0)[0] / power_spectrum(maps, bins).mean(0)[0]
    index, weight = bins.index.numpy(), bins.weight.numpy()
    squares = np.bincount(index, weight * transfer.ravel() ** 2, 5)[:4] / bins.modes
    np.testing.assert_allclose(found, squares, rtol=0.03)
    assert found[0] < 0.1 < 0.4 < found[3] < 0.64
    assert high_pass(np.array([0.3]), 0.3, 0.05) == 0.5


def transfer_file(path, rows):
    text = "".join(f"{a:g},{b:g},{t:g}\n" for a, b, t in rows)
    path.write_text("k_perp_per_mpc,k_par_per_mpc,transfer\n" + text, encoding="utf-8")
    return path


def test_a_transfer_function_of_a_file_is_linear_between_its_wave_numbers(tmp_path):
    rows = [(a, b, a + 2 * b) for a in (0, 0.1, 0.3) for b in (0, 0.2)]
    path = transfer_file(tmp_path / "t.csv", rows[::-1])
    found = transfer_on_modes((8, 8, 6), (10.0, 10.0, 20.0), None, None, 1.0, str(path))
    k = 2 * math.pi / 80
    assert found[1, 0, 1] == pytest.approx(k + 2 * 2 * math.pi / 120)
    assert found[1, 1, 0] == pytest.approx(math.sqrt(2) * k)
    assert found[4, 4, 3] == pytest.approx(0.3 + 2 * 2 * math.pi * 3 / 120)  # beyond k_perp of the file
    for wrong, words in ((rows[1:], "each k_perp with each k_par once"), ([(0, 0, -1)], "negative")):
        with pytest.raises(LimelightError, match=words):
            read_transfer(transfer_file(tmp_path / "wrong.csv", wrong))
    (tmp_path / "other.csv").write_text("k,transfer\n1,1\n", encoding="utf-8")
    with pytest.raises(LimelightError, match="k_perp_per_mpc, k_par_per_mpc, transfer"):
        read_transfer(tmp_path / "other.csv")


def test_pink_noise_has_the_power_that_was_asked_for():
    white = torch.randn(300, 16, 16, 4, generator=random())
    k = sky_wave_numbers((16, 16), 4.0)
    pink = correlated_on_sky(white, torch.from_numpy(k).float(), knee=0.2, slope=2.0)
    ratio = (torch.fft.rfft2(pink, dim=(1, 2)).abs().square().mean((0, 3)) / 256).numpy()
    expected = 1 + (0.2 / np.maximum(k, k[k > 0].min())) ** 2
    np.testing.assert_allclose(ratio, expected, rtol=0.2)
    assert np.corrcoef(pink[..., 0].ravel(), pink[..., 1].ravel())[0, 1] == pytest.approx(0, abs=0.02)


def test_a_standing_wave_has_its_period_and_unit_spread():
    freq = torch.linspace(26, 34, 64)
    wave = standing_wave(4000, (6, 6, 64), freq, 2.0, random())
    assert wave.square().mean().sqrt().item() == pytest.approx(1, abs=0.05)
    power = torch.fft.rfft(wave[0, 0, 0] - wave[0, 0, 0].mean()).abs()
    assert power.argmax() == 4  # of 8 GHz
