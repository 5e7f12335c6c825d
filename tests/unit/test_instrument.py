"""Noise, beam and point sources against hand values and closed forms."""

import math

import numpy as np
import pytest
import torch
import yaml

from limelight.errors import LimelightError
from limelight.probes.line_intensity.maps.config import Foregrounds, Noise
from limelight.probes.line_intensity.maps.foregrounds import (
    add_foregrounds,
    draw_foregrounds,
    draw_sources,
    source_maps,
)
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.instrument import (
    add_noise,
    beam_kernel,
    draw_setting,
    load_instrument,
    noise_pattern,
    noise_sigma,
    pooled_sigma,
    radiometer_sigma_uk,
    smooth,
)
from limelight.probes.line_intensity.maps.pooling import pool
from limelight.probes.line_intensity.shards import pool_map

PAPER = Grid(1.4, 256, 100, 26.0, 34.0, 115.27, "uK", 4, 10)
SMALL = Grid(1.4, 32, 8, 26.0, 34.0, 115.27, "uK", 4, 4)
SOURCES = Foregrounds(
    sources_per_deg2=32.1,
    sources_per_deg2_sigma=3.0,
    slope=2.18,
    slope_sigma=0.12,
    flux_min_mjy=1.0,
    flux_max_mjy=316.23,
    spectral_index=0.39,
    spectral_index_sigma=0.33,
)
FIXED = SOURCES.model_copy(update={"sources_per_deg2_sigma": 0.0, "slope_sigma": 0.0, "spectral_index_sigma": 0.0})
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def stream(seed: int = 1, device: str = "cpu") -> torch.Generator:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.Generator(device).manual_seed(seed)


def test_comap_noise_of_arxiv_1808_07487():
    comap = load_instrument("comap")
    assert radiometer_sigma_uk(comap) == pytest.approx(11.0, abs=0.02)  # 40 K, 19 feeds, 6000 h
    by_hand = 40e6 / math.sqrt(15.625e6 * 19 * 6000 * 3600 / 484)
    assert radiometer_sigma_uk(comap) == pytest.approx(by_hand)


def test_noise_belongs_to_a_voxel():
    comap = load_instrument("comap")
    of_instrument = Noise(sigma_uk=11, per_voxel_of="instrument")
    assert noise_sigma(of_instrument, comap, PAPER)[0] == pytest.approx(60.6, abs=0.05)
    volumes = (1.5 / 22) ** 2 * 15.625e-3 / ((1.4 / 256) ** 2 * 0.08)
    assert noise_sigma(of_instrument, comap, PAPER) == pytest.approx((11 * math.sqrt(volumes),) * 2)
    assert noise_sigma(Noise(sigma_uk=3.47), comap, PAPER) == (3.47, 3.47)
    assert noise_sigma(Noise(sigma_uk=[0, 3.47]), comap, PAPER) == (0.0, 3.47)
    assert noise_sigma(Noise(radiometer=True), comap, PAPER)[1] == pytest.approx(60.54, abs=0.1)
    # the same sky and band in voxels 8 times as large: √8 less noise each, the same once pooled to the same blocks
    half = Grid(1.4, 128, 50, 26.0, 34.0, 115.27, "uK", 2, 5)
    coarse = noise_sigma(of_instrument, comap, half)[0]
    assert coarse * math.sqrt(8) == pytest.approx(noise_sigma(of_instrument, comap, PAPER)[0])


def test_pooled_noise():
    assert pooled_sigma(PAPER) == pytest.approx([math.sqrt(160)] * 10)
    fine = np.random.default_rng(1).normal(0, 3.47, PAPER.shape)
    assert pool(fine, 4, 10).std() == pytest.approx(3.47 * math.sqrt(160), rel=0.02)
    jansky = Grid(1.4, 256, 100, 26.0, 34.0, 115.27, "Jy/sr", 4, 10)
    per_uk = 2 * 1.380649e-23 * (jansky.channel_freq_ghz * 1e9 / 299792458.0) ** 2 * 1e26 * 1e-6
    assert pooled_sigma(jansky) == pytest.approx(4 * np.sqrt((per_uk**2).reshape(10, 10).sum(1)))


@pytest.mark.parametrize("device", DEVICES)
def test_noise_on_the_device(device):
    random = stream(device=device)
    maps = torch.ones(3, 32, 32, 8, device=device)
    sigma = torch.tensor([0.0, 2.0, 50.0], device=device)
    noise = add_noise(maps, sigma, random) - 1
    assert noise[0].abs().max() == 0
    assert noise.flatten(1).std(1).cpu().numpy() == pytest.approx([0, 2, 50], rel=0.03)
    assert abs(noise[2].mean().item()) < 4 * 50 / math.sqrt(8192)
    assert torch.equal(add_noise(maps, sigma, stream(device=device)) - 1, noise)
    assert not torch.equal(add_noise(maps, sigma, stream(2, device)) - 1, noise)
    per_channel = sigma[:, None] * torch.linspace(0, 1, 8, device=maps.device)
    shaped = (add_noise(maps, per_channel, stream(device=device)) - 1)[2].flatten(0, 1).std(0)
    assert shaped.cpu().numpy() == pytest.approx(50 * np.linspace(0, 1, 8), rel=0.1, abs=1e-6)


def test_sigma_is_drawn_per_presentation():
    sigma, _ = draw_setting([(1.0, 3.0)], 20000, stream())
    assert sigma.min() >= 1
    assert sigma.max() <= 3
    assert sigma.mean().item() == pytest.approx(2, abs=0.02)
    assert sigma.var().item() == pytest.approx(4 / 12, rel=0.05)
    named, _ = draw_setting([(0, 0), (3.47, 3.47), (60, 60)], 3000, stream())
    values, counts = named.unique(return_counts=True)
    assert values.numpy() == pytest.approx([0, 3.47, 60])
    assert counts.min() > 850


@pytest.mark.parametrize("fwhm", [2.0, 4.0, 12.0])
def test_beam_keeps_the_flux_and_has_the_right_width(fwhm):
    """A point source well inside: its second moment is the Gaussian's plus the pixel's own 1/12."""
    pixel = 1.4 / 128
    cube = np.zeros((128, 128, 2), np.float32)
    cube[60, 70] = 5.0
    blurred = smooth(cube, fwhm, pixel)
    assert blurred.dtype == np.float32
    assert blurred.sum(axis=(0, 1), dtype=np.float64) == pytest.approx([5, 5], rel=1e-5)
    sigma = fwhm / 60 / 2.3548200450309493 / pixel
    at = np.arange(128)
    for axis, middle in ((0, 60), (1, 70)):
        profile = blurred[..., 0].sum(axis=1 - axis, dtype=np.float64) / 5
        assert profile @ at == pytest.approx(middle, abs=1e-4)
        assert profile @ (at - middle) ** 2 == pytest.approx(sigma**2 + 1 / 12, rel=1e-3)


def test_beam_edges_are_empty_sky():
    """A source on an edge pixel loses what the beam carries out, and nothing wraps to the far side."""
    cube = np.zeros((64, 64, 1), np.float32)
    cube[0, 32] = 1.0
    blurred = smooth(cube, 4.0, 1.4 / 64)
    kernel = beam_kernel(4.0, 1.4 / 64)
    assert blurred.sum() == pytest.approx(kernel[len(kernel) // 2 :].sum(), rel=1e-5)
    assert blurred[32:].max() == 0
    flat = smooth(np.ones((64, 64, 1), np.float32), 4.0, 1.4 / 64)
    assert flat[32, 32, 0] == pytest.approx(1, rel=1e-5)


def test_a_beam_far_below_a_pixel_changes_nothing():
    cube = np.random.default_rng(1).random((16, 16, 2)).astype(np.float32)
    np.testing.assert_allclose(smooth(cube, 1e-3, 0.1), cube, rtol=1e-6)
    assert smooth(cube, 0.0, 0.1) is cube


@pytest.mark.parametrize("shape", [(24, 17, 5), (6, 7, 1500)])  # rows beyond what is summed side by side; short sides
@pytest.mark.parametrize("mode", ["wrap", "constant"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_beam_is_scipys_convolution_to_the_last_digit(shape, mode, dtype):
    from scipy.ndimage import convolve1d

    cube = np.random.default_rng(4).lognormal(0, 3, shape).astype(dtype)
    expected = cube
    for axis in (0, 1):
        expected = convolve1d(expected, beam_kernel(6.0, 0.05), axis=axis, mode=mode, cval=0.0)
    found = smooth(cube, 6.0, 0.05, wraps=mode == "wrap")
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, expected)


def test_a_part_of_a_survey_has_its_neighbours_light():
    """As the middle of nine copies of itself, which scipy's own Gaussian smooths."""
    from scipy.ndimage import gaussian_filter

    cube = np.random.default_rng(3).exponential(1, (24, 24, 2))
    pixel, fwhm = 0.05, 9.0
    sigma = np.sqrt((fwhm / 60 / pixel) ** 2 / (8 * np.log(2)) + 1 / 12)  # the pixel's own variance too
    tiled = gaussian_filter(np.tile(cube, (3, 3, 1)), (sigma, sigma, 0), mode="constant", truncate=8)[24:48, 24:48]
    np.testing.assert_allclose(smooth(cube, fwhm, pixel, wraps=True), tiled, rtol=2e-3)
    assert smooth(cube, fwhm, pixel, wraps=True).sum() == pytest.approx(cube.sum(), rel=1e-6)
    grid = Grid(1.2, 24, 2, 26.0, 34.0, 115.27, pool_pixels=4, pool_channels=1, survey="a file")
    np.testing.assert_allclose(pool_map(cube, grid, fwhm), pool(tiled, 4, 1), rtol=2e-3)


def test_pooling_channels_before_the_beam_is_the_same():
    cube = np.random.default_rng(2).random(SMALL.shape).astype(np.float32)
    expected = pool(smooth(cube.astype(np.float64), 10.0, SMALL.pixel_deg), 4, 4)
    np.testing.assert_allclose(pool_map(cube, SMALL, 10.0), expected, rtol=1e-5)


def test_instrument_files(tmp_path):
    with pytest.raises(LimelightError, match="one of comap"):
        load_instrument("nosuch")
    good = load_instrument("comap")
    for change in ({"feeds": -1}, {"feeds": "many"}, {"hours": True}, {"hours": float("nan")}, {"extra": 1}):
        path = tmp_path / "bad.yaml"
        path.write_text(yaml.safe_dump({**good, **change}))
        with pytest.raises(LimelightError, match=r"bad\.yaml"):
            load_instrument(str(path))
    path.write_text("a: [")
    with pytest.raises(LimelightError, match="not YAML"):
        load_instrument(str(path))
    path.write_text(yaml.safe_dump(good) + "feeds: 1\n")
    with pytest.raises(LimelightError, match="key 'feeds' given twice"):
        load_instrument(str(path))
    path.write_text(yaml.safe_dump(good))
    assert load_instrument(str(path)) == good


@pytest.mark.parametrize("device", DEVICES)
def test_source_counts_and_total_flux(device):
    """N = A N0 (1 − x^(1−γ))/(γ−1), total = A N0 (1 − x^(2−γ))/(γ−2), x = 316.23, for S in units of 1 mJy."""
    flux, index, place = draw_sources(4000, FIXED, SMALL, stream(device=device))
    area, top = 1.4**2, 316.23
    number = area * 32.1 * (1 - top**-1.18) / 1.18
    total = area * 32.1 * (1 - top**-0.18) / 0.18
    square = area * 32.1 * (top**0.82 - 1) / 0.82  # ∫ S² dN: the variance of the total
    counts = (flux > 0).sum(1).double()
    assert number == pytest.approx(27.2 * 1.96, rel=0.002)  # the paper's N(> 1 mJy)
    assert counts.mean().item() == pytest.approx(number, abs=5 * math.sqrt(number / 4000))
    assert counts.var().item() == pytest.approx(number, rel=0.12)  # Poisson
    assert flux.sum(1).mean().item() == pytest.approx(total, abs=5 * math.sqrt(square / 4000))
    real = flux[flux > 0]
    assert real.min() >= 1
    assert real.max() <= top * 1.0001
    above_10 = (10**-1.18 - top**-1.18) / (1 - top**-1.18)
    assert (real > 10).double().mean().item() == pytest.approx(above_10, rel=0.05)
    assert place.min() >= 0
    assert place.max() <= 32
    assert index.unique().tolist() == pytest.approx([0.39])


def test_source_settings_vary_per_map():
    flux, index, _ = draw_sources(4000, SOURCES, SMALL, stream())
    counts = (flux > 0).sum(1).double()
    assert counts.var() > 1.3 * counts.mean()  # wider than Poisson: N0 and γ vary as well
    assert index.mean().item() == pytest.approx(0.39, abs=0.01)
    assert index.std().item() == pytest.approx(0.33, abs=0.01)


@pytest.mark.parametrize("unit", ["uK", "Jy/sr"])
def test_one_source_by_hand(unit):
    """7 mJy at 31 GHz, α = 0.5, in fine pixel (9, 30): T = c² S/(2 k ν² Ω) in each fine channel, summed by fours."""
    grid = Grid(1.4, 32, 8, 26.0, 34.0, 115.27, unit, 4, 4)
    maps = source_maps(torch.tensor([[7.0]]), torch.tensor([[0.5]]), torch.tensor([[[9.3, 30.9]]]), grid)
    nu = 26.5e9 + 1e9 * np.arange(8)
    intensity = 7e-29 * (nu / 31e9) ** -0.5 / math.radians(1.4 / 32) ** 2
    each = intensity * 1e26 if unit == "Jy/sr" else 1e6 * 299792458.0**2 * intensity / (2 * 1.380649e-23 * nu**2)
    assert maps.shape == (1, 8, 8, 2)
    assert torch.nonzero(maps[0, :, :, 0]).tolist() == [[2, 7]]
    assert maps[0, 2, 7].numpy() == pytest.approx([each[:4].sum(), each[4:].sum()], rel=1e-5)


def test_a_source_spread_by_the_beam_equals_the_smoothed_map():
    """Placed at a pixel's middle, the erf integral on the pooled grid is the fine map smoothed, then pooled."""
    place = torch.tensor([[[13.5, 18.5]]])
    point = source_maps(torch.tensor([[7.0]]), torch.tensor([[0.5]]), place, SMALL)
    spread = source_maps(torch.tensor([[7.0]]), torch.tensor([[0.5]]), place, SMALL, 10.0)
    fine = np.zeros((32, 32, 2), np.float32)
    fine[13, 18] = point.sum(dim=(0, 1, 2)).numpy()
    expected = pool(smooth(fine, 10.0, SMALL.pixel_deg), 4, 1)
    np.testing.assert_allclose(spread[0].numpy(), expected, rtol=1e-4, atol=1e-5 * expected.max())
    edge = source_maps(torch.tensor([[7.0]]), torch.tensor([[0.5]]), torch.tensor([[[0.0, 16.0]]]), SMALL, 10.0)
    assert edge.sum().item() == pytest.approx(point.sum().item() / 2, rel=1e-3)  # the half that lies on the map


def test_foregrounds_add_to_each_map_its_own():
    maps = torch.full((3, 8, 8, 2), 5.0)
    found = add_foregrounds(maps, FIXED, SMALL, stream()) - 5
    assert torch.allclose(found, draw_foregrounds(3, FIXED, SMALL, stream()), rtol=1e-4, atol=1e-2)
    assert not torch.equal(found[0], found[1])
    none = add_foregrounds(maps, FIXED.model_copy(update={"sources_per_deg2": 0.0}), SMALL, stream())
    assert torch.equal(none, maps)


def test_noise_that_grows_towards_the_edges_takes_the_same_time():
    """σ² ∝ 1/t, t ∝ R^(-2 r²): inverse variances add up as those of flat noise; σ at a side is R times the centre's."""
    grid = Grid(1.4, 64, 8, 26.0, 34.0, 115.27)
    assert noise_pattern(Noise(sigma_uk=1), grid) is None
    assert noise_pattern(Noise(sigma_uk=1, edge_ratio=1), grid) is None
    pattern = noise_pattern(Noise(sigma_uk=1, edge_ratio=3), grid)
    assert pattern.shape == (64, 64)
    assert np.mean(1 / pattern**2) == pytest.approx(1)
    r = (np.arange(64) + 0.5) / 32 - 1
    np.testing.assert_allclose(pattern[:, 31] / pattern[31, 31], 3 ** (r**2 - r[31] ** 2))
    np.testing.assert_allclose(pattern, pattern.T)
    np.testing.assert_allclose(pattern, pattern[::-1])
    pooled = noise_pattern(Noise(sigma_uk=1, edge_ratio=3), Grid(1.4, 64, 8, 26.0, 34.0, 115.27, "uK", 4, 2))
    blocks = (pattern**2).reshape(16, 4, 16, 4).sum((1, 3))  # variances of a sum of independent voxels add
    np.testing.assert_allclose(pooled * 4, np.sqrt(blocks))


def test_noise_takes_a_sigma_of_every_voxel():
    sigma = torch.linspace(0, 2, 16).reshape(4, 4)[None, :, :, None].expand(1, 4, 4, 5000)
    noise = add_noise(torch.zeros(1, 4, 4, 5000), sigma, stream())
    assert noise[0].std(-1).flatten().numpy() == pytest.approx(np.linspace(0, 2, 16), rel=0.06)


def test_the_setting_that_a_sigma_came_from_is_known():
    sigma, setting = draw_setting([(0, 1), (5, 6), (10, 10)], 3000, stream())
    assert torch.equal((sigma / 5).floor().long(), setting)
