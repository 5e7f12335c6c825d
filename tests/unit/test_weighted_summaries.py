"""Power and one-point function of uneven, masked maps, and the network that stands on them."""

import math

import numpy as np
import pytest
import torch

from limelight.errors import LimelightError
from limelight.networks import build
from limelight.networks.classical import wave_shells
from limelight.summaries.power import noise_power, power_bins, power_spectrum
from limelight.summaries.weighted import (
    SigmaClasses,
    classed_histogram,
    noise_pseudo_power,
    pseudo_power,
)

SHAPE, VOXEL = (24, 24, 16), (4.0, 4.0, 6.0)
EDGES = np.array([0.1, 0.25, 0.4, 0.6])


def random(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def uneven() -> tuple[torch.Tensor, torch.Tensor]:
    """(σ, weights) of one map: σ grows sixfold outwards, a quarter is masked."""
    place = torch.linspace(-1, 1, 24)
    sigma = 6 ** (place[:, None, None] ** 2) * torch.ones(SHAPE)
    observed = torch.ones(SHAPE)
    observed[:6] = 0
    return sigma, observed / sigma**2


def test_without_weights_it_is_the_power_spectrum():
    maps, bins = torch.randn(5, *SHAPE, generator=random()), power_bins(SHAPE, VOXEL, EDGES)
    found = pseudo_power(maps, torch.full((5, *SHAPE), 3.0), bins)
    torch.testing.assert_close(found, power_spectrum(maps, bins)[:, 0], rtol=1e-5, atol=0)


def test_weights_do_not_bias_the_power_of_a_smooth_spectrum():
    """Gaussian maps of known power, seen through weights and a mask: the same power on average, from fewer modes."""
    bins = power_bins(SHAPE, VOXEL, EDGES)
    waves = torch.fft.rfftn(torch.randn(300, *SHAPE, generator=random()), dim=(1, 2, 3))
    k = np.sqrt(
        sum(one**2 for one in (np.fft.fftfreq(24)[:, None, None], np.fft.fftfreq(24)[:, None], np.fft.rfftfreq(16)))
    )
    maps = torch.fft.irfftn(waves * torch.from_numpy(1 / (1 + 3 * k)).float(), s=SHAPE, dim=(1, 2, 3))
    _, weights = uneven()
    whole, seen = power_spectrum(maps, bins)[:, 0], pseudo_power(maps, weights.expand(300, *SHAPE), bins)
    np.testing.assert_allclose(seen.mean(0) / whole.mean(0), 1, atol=0.04)
    assert (seen.std(0) > 1.2 * whole.std(0)).all()


def test_noise_adds_what_its_weights_say():
    sigma, weights = uneven()
    bins = power_bins(SHAPE, VOXEL, EDGES)
    noise = sigma * torch.randn(400, *SHAPE, generator=random(2))
    found = pseudo_power(noise, weights.expand(400, *SHAPE), bins).mean(0)
    expected = noise_pseudo_power(sigma[None], weights[None], VOXEL)
    np.testing.assert_allclose(found / expected, 1, atol=0.03)
    flat = noise_pseudo_power(torch.full((1, *SHAPE), 2.0), torch.ones(1, *SHAPE), VOXEL)
    assert flat.item() == pytest.approx(noise_power(2.0, VOXEL))


def test_voxels_are_counted_by_class_of_their_noise():
    sigma, weights = uneven()
    observed = weights > 0
    number = SigmaClasses((2.0, 4.0)).numbers(sigma[None], observed[None])[0]
    times = sigma / sigma[observed].min()
    expected = torch.where(times < 2, 0, torch.where(times < 4, 1, 2))
    assert torch.equal(number[observed], expected[observed])
    assert (number[~observed] == -1).all()
    values = torch.randn(2, *SHAPE, generator=random(3)) * 2
    edges = torch.tensor([-1.0, 0.0, 1.0, 2.0])
    found = classed_histogram(values, number.expand(2, *SHAPE), 3, edges)
    for c in range(3):
        mine = values[1][number == c].numpy()
        counts, _ = np.histogram(np.clip(mine, -0.99, 1.99), edges)
        np.testing.assert_allclose(found[1, c], counts / len(mine))
    assert not classed_histogram(values, torch.full((2, *SHAPE), -1), 3, edges).any()


def inputs(sigma: torch.Tensor, observed: torch.Tensor, maps: torch.Tensor, scale: float) -> torch.Tensor:
    weight = torch.asinh(scale / sigma) * observed
    return torch.stack([maps * observed, weight.expand_as(maps)], dim=1)


def test_the_network_sees_through_masks_and_knows_the_depth():
    sigma, weights = uneven()
    observed, scale = (weights > 0).float(), 5.0
    maps = sigma * torch.randn(6, *SHAPE, generator=random(4))
    torch.manual_seed(0)
    net = build("classical", {"scale": scale}, (2, *SHAPE), (3,)).eval()
    x = inputs(sigma, observed, maps, scale)
    net.calibrate(x)
    found = net.summaries(x)
    assert torch.isfinite(found).all()
    assert found.shape == (6, len(net.mean))
    np.testing.assert_allclose(found[:, -1], math.log10(scale / sigma[observed > 0].min()), rtol=1e-5)
    shells = len(net.waves.modes)
    bins = net.waves
    normal = weights / weights.max()
    expected = pseudo_power(maps / scale, normal.expand_as(maps), bins).log()
    np.testing.assert_allclose(found[:, :shells], expected, atol=1e-3)
    assert list(net.kinds) == ["power", "histogram", "depth"]
    shares = found[:, net.kinds["histogram"]].reshape(6, 3, -1).square()
    np.testing.assert_allclose(shares.sum(2), 1, atol=1e-5)
    other = inputs(sigma, observed, torch.where(observed > 0, maps, 1e6), scale)
    assert torch.equal(net(other), net(x))
    assert torch.equal(net.features(x), (found - net.mean) / net.std), "nothing of the numbers is trained"


def test_shells_hold_every_mode_once():
    shells = wave_shells((12, 12, 7), 5, 3)
    assert shells.modes.sum() == 12 * 12 * 7 - 1
    assert (shells.modes > 0).all()
    assert (shells.index == len(shells.modes)).sum() == 1


def test_long_waves_across_the_sky_can_be_left_out():
    """A ripple that grows linearly over the sky tells nothing to a network without the longest waves; a short one does."""
    shells = wave_shells((12, 12, 7), 5, 3, least_waves=2)
    assert shells.modes.sum() == 12 * 12 * 7 - 9 * 7, "all but 0 and 1 waves along both axes, diagonals (1.4) too"
    place = 2 * math.pi * torch.arange(12) / 12
    ripple = torch.sin(torch.arange(7.0))
    for waves, least, seen in ((1, 2, False), (1, 0, True), (2, 2, True)):
        torch.manual_seed(0)
        net = build("classical", {"scale": 1, "least_waves": least}, (2, 12, 12, 7), (3,)).eval()
        noise = torch.randn(1, 12, 12, 7, generator=random(5))
        x = torch.stack([noise, torch.full_like(noise, math.asinh(1.0))], dim=1)
        rippled = x.clone()
        rippled[:, 0] += 3 * torch.cos(waves * place)[:, None, None] * ripple
        powers = slice(0, len(net.waves.modes))
        off = (net.summaries(rippled) - net.summaries(x))[:, powers].abs().max().item()
        assert (off > 1) == seen
        assert off < 1e-4 or seen


@pytest.mark.parametrize(
    ("options", "shape", "words"),
    [
        ({"least_waves": 4}, (2, 8, 8, 4), "from 0 to 4, Nyquist's"),
        ({"least_waves": "2"}, (2, 8, 8, 4), "networks.options.least_waves"),
        ({}, (1, 8, 8, 4), "1 channels for classical; expected two"),
        ({"classes": [4, 2]}, (2, 8, 8, 4), "rising numbers above 1"),
        ({"shells": 0}, (2, 8, 8, 4), "networks.options.shells"),
    ],
)
def test_wrong_options_are_refused(options, shape, words):
    with pytest.raises(LimelightError, match=words):
        build("classical", options, shape, (3,))
