"""Summaries of a map against what they are by definition, and the network that stands on them against an exact posterior."""

import numpy as np
import pytest
import torch

from benchmarks.exact_counts import compare
from limelight.errors import LimelightError
from limelight.networks import build
from limelight.networks.soft_histogram import SoftHistogram
from limelight.summaries.counting import Counting, blurred, wave_cells

SHAPE = (16, 16, 12)
SUMMARIES = Counting(SHAPE, scale=2.0, low=-4.0, high=60.0, bins=30, across=5, along=3)


def maps(count: int = 3, seed: int = 0) -> torch.Tensor:
    return 2 * torch.randn(count, 1, *SHAPE, generator=torch.Generator().manual_seed(seed))


def test_every_wave_but_the_mean_is_in_one_cell_and_power_is_its_mean():
    x = maps()
    order, ends = wave_cells(SHAPE, 5, 3)
    assert sorted(order) == list(range(16 * 16 * 7))
    assert ends[0] == 1
    assert order[0] == 0
    found = SUMMARIES(x)[:, SUMMARIES.names["power"]]
    waves = np.abs(np.fft.rfftn(x[:, 0].numpy() / 2, axes=(1, 2, 3))).reshape(3, -1) ** 2 / 16 / 16 / 12
    cells = np.split(waves[:, order], ends[:-1], axis=1)[1:]
    np.testing.assert_allclose(found, np.log10([c.mean(axis=1) for c in cells]).T, rtol=1e-3, atol=1e-4)


def test_white_noise_has_a_power_of_one_in_every_cell_and_a_plane_wave_stands_in_its_own():
    found = SUMMARIES(maps(400)).double()
    power = 10 ** found[:, SUMMARIES.names["power"]]
    assert torch.allclose(power.mean(dim=0), torch.ones(power.shape[1], dtype=torch.float64), atol=0.2)
    t = 2 * np.pi * np.arange(12) / 12
    along, sky = torch.zeros(2, 1, *SHAPE)
    along[0] += torch.as_tensor(np.cos(5 * t), dtype=torch.float32)
    sky[0] += torch.as_tensor(np.cos(10 * np.pi * np.arange(16) / 16), dtype=torch.float32)[:, None, None]
    power = SUMMARIES(torch.stack([along, sky]))[:, SUMMARIES.names["power"]]
    assert ((power > -3).sum(dim=1) == 1).all()
    assert power[0].argmax() != power[1].argmax()


def test_the_histogram_counts_every_voxel_and_the_mean_is_the_mean():
    x = maps() + 0.3
    x[0, 0, 0, 0, :2] = torch.tensor([1e4, -1e4])  # beyond the ends
    found = SUMMARIES(x).double()
    counts = torch.expm1(found[:, SUMMARIES.names["histogram"]])
    edges = 2 * np.sinh(np.linspace(np.arcsinh(-4), np.arcsinh(60), 31))
    edges[[0, -1]] = -np.inf, np.inf
    exact = np.stack([np.histogram(one.double(), edges)[0] for one in x])
    np.testing.assert_allclose(counts, exact, atol=1.01)
    assert counts.sum(dim=1).round().tolist() == [16 * 16 * 12] * 3
    mean = torch.sinh(found[:, SUMMARIES.names["mean"]])[:, 0] * 2 / np.sqrt(16 * 16 * 12)
    np.testing.assert_allclose(mean, x.double().mean(dim=(1, 2, 3, 4)), rtol=1e-4)


def test_summaries_do_not_change_under_the_squares_symmetries_nor_with_the_batch():
    x = maps(4)
    same = SUMMARIES(x)
    for turned in (x.transpose(2, 3), x.flip(2), x.rot90(1, (2, 3))):
        np.testing.assert_allclose(SUMMARIES(turned), same, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(SUMMARIES(x[2:3]), same[2:3], rtol=1e-5, atol=1e-5)


def test_the_network_puts_convolutions_beside_them():
    options = {"scale": 2.0, "filters": 4, "pool_channels": 4, "across": 5, "along": 3, "bins": 30}
    module = build("counting", options, (1, *SHAPE), (7,))
    module.calibrate(maps(64))
    module.eval()
    features = module.features(maps(5, seed=1))
    assert features.shape == (5, len(SUMMARIES) + 256)
    kinds = module.kinds
    assert list(kinds) == ["power", "histogram", "mean", "convolutions"]
    assert features[:, kinds["power"]].std() < 2, "in units of their spread"
    assert torch.equal(module(maps(5, seed=1)), module.output(features))
    assert "convolutions" not in build("counting", {"filters": 0}, (1, *SHAPE), (7,)).kinds
    with torch.device("meta"):  # as the cost of a study is estimated
        assert build("counting", options, (1, *SHAPE), (7,))(torch.zeros(2, 1, *SHAPE)).shape == (2, 7)


def soft(bins: int = 6, smoothing: tuple = (0.0,), softness: float = 1e-4) -> SoftHistogram:
    layer = SoftHistogram(2.0, -4.0, 60.0, bins, smoothing)
    torch.nn.init.constant_(layer.log_softness, float(np.log(softness)))
    return layer


def test_a_soft_histogram_of_hard_edges_counts_known_values():
    layer = soft()
    edges = 2 * np.sinh(layer.edges[0].detach().numpy())
    middles = np.sinh(np.concatenate([[-2.3], np.linspace(np.arcsinh(-4), np.arcsinh(60), 7)[:-1] + 0.57, [5.5]]))
    values = 2 * np.repeat(middles, [2, 3, 5, 7, 11, 13, 17, 19])  # the first and the last beyond the ends
    cube = torch.as_tensor(values, dtype=torch.float32).reshape(1, 7, 11, 1)
    exact = np.histogram(values, np.concatenate([[-np.inf], edges, [np.inf]]))[0]
    assert exact.tolist() == [5, 5, 7, 11, 13, 36]
    np.testing.assert_allclose(torch.expm1(layer(cube))[0].detach(), exact, rtol=1e-4)


def test_a_soft_histogram_is_the_sum_of_logistic_functions_and_counts_every_voxel_once():
    layer, x = soft(6, (0.0,), 0.15), maps(2)[:, 0]
    found = torch.expm1(layer(x)).detach().double()
    assert torch.allclose(found.sum(dim=1), torch.full((2,), 16.0 * 16 * 12, dtype=torch.float64))
    t = np.arcsinh(x.double().numpy().reshape(2, -1, 1) / 2)
    above = 1 / (1 + np.exp(-(t - layer.edges[0].detach().numpy()) / 0.15))
    ends = [np.ones((*t.shape[:2], 1)), np.zeros((*t.shape[:2], 1))]
    exact = -np.diff(np.concatenate([ends[0], above, ends[1]], axis=2), axis=2).sum(axis=1)
    np.testing.assert_allclose(found, exact, rtol=2e-3)


def test_gradients_of_a_soft_histogram_are_its_finite_differences():
    """In its edges, their softness, and the voxels; double precision, where float32 nodes are exact enough."""
    layer = soft(5, (0.0, 1.0), 0.2).double()
    x = maps(1)[:, 0].double().requires_grad_()
    weight = torch.linspace(-1, 1, len(layer), dtype=torch.float64)

    def loss() -> torch.Tensor:
        return (layer(x) * weight).sum()

    loss().backward()
    for values in (layer.first, layer.log_gaps, layer.log_softness, x):
        place = (0,) * values.ndim
        known, step = values.grad[place].item(), 1e-6
        with torch.no_grad():
            values[place] += step
            above = loss().item()
            values[place] -= 2 * step
            below = loss().item()
            values[place] += step
        assert known != 0
        np.testing.assert_allclose((above - below) / (2 * step), known, rtol=1e-4)


def test_a_soft_histogram_does_not_change_under_the_squares_symmetries_and_noise_keeps_its_scale():
    layer, x = soft(8, (0.0, 1.0, 2.0), 0.1), maps(4)[:, 0]
    same = layer(x).detach()
    assert same.shape == (4, 24)
    for turned in (x.transpose(1, 2), x.flip(1), x.rot90(1, (1, 2))):
        np.testing.assert_allclose(layer(turned).detach(), same, rtol=1e-3, atol=1e-3)
    noise = torch.randn(2, 64, 64, 20, generator=torch.Generator().manual_seed(1))
    for sigma in (1.0, 2.0, 4.0):
        inside = blurred(noise, sigma)[:, 16:-16, 16:-16]
        assert abs(inside.std() - 1) < 0.07, "what a Gaussian leaves of white noise is its unit"


def test_small_maps_need_no_smoothing_that_they_do_not_ask_for():
    assert build("counting", {}, (1, 8, 8, 4), (3,))(torch.zeros(2, 1, 8, 8, 4)).shape == (2, 3)
    with pytest.raises(LimelightError, match=r"smoothing: found \(0.0, 1.0, 2.0\)"):
        build("counting", {"soft_bins": 4}, (1, 8, 8, 4), (3,))


def test_the_network_learns_where_its_edges_stand():
    options = {"scale": 2.0, "soft_bins": 4, "smoothing": [0, 1], "across": 5, "along": 3, "bins": 30}
    module = build("counting", options, (1, *SHAPE), (2,))
    x = maps(32)
    module.calibrate(x)
    assert module.kinds["soft_histogram"] == slice(len(SUMMARIES), len(SUMMARIES) + 8)
    assert module.features(x)[:, module.kinds["soft_histogram"]].std() < 2, "in units of their spread"
    before = module.soft.edges.detach().clone()
    module(x).square().sum().backward()
    torch.optim.SGD(module.parameters(), 1e-3).step()
    assert (module.soft.edges != before).all()
    assert (module.soft.edges.diff(dim=1) > 0).all()


@pytest.mark.parametrize(
    "options",
    [
        {"soft_bins": -1},
        {"soft_bins": 1},
        {"smoothing": []},
        {"smoothing": [0.2]},
        {"smoothing": [3]},
        {"smoothing": 1},
        {"scale": 0},
        {"scale": "1"},
        {"low": 5, "high": 1},
        {"pool_channels": 5},
        {"filters": 3},
        {"bins": 1},
    ],
)
def test_options_that_make_no_sense_are_one_line(options):
    with pytest.raises(LimelightError) as error:
        build("counting", options, (1, *SHAPE), (7,))
    assert "\n" not in str(error.value)


def test_a_head_on_summaries_comes_near_the_exact_posterior_of_unclustered_sources():
    """P(D) of Poisson sources in white noise: its likelihood is known; the histogram loses next to nothing of it."""
    exact, vid, head = compare(train=1500, tests=200)
    assert exact["log_score"] > vid["log_score"] > exact["log_score"] - 0.1
    for parameter in ("faint_dex", "bright_dex"):
        assert 1 <= vid[parameter] / exact[parameter] < 1.05
        assert 0.95 < head[parameter] / exact[parameter] < 1.25, (
            "neither sure of what cannot be known, nor much too wide"
        )
    assert head["log_score"] > exact["log_score"] - 0.3
    assert 0.9 < head["covered_95"] < 0.985
