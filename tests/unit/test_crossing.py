"""Cross summaries against closed forms: Poisson sources, and what is in one of two maps alone drops out."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.crossing_heads import heads_rows
from limelight.data.axes import OutputAxis
from limelight.errors import LimelightError
from limelight.inference.intervals import Intervals, quantiles_of
from limelight.networks import build
from limelight.summaries.crossing import Crossing, deconvolved_distribution

SHAPE, T0, MEAN = (32, 32, 32), 0.8, 0.5
U = (0.3, 0.7, 1.1)


def poisson_sky(maps: int, seed: int, noise: float = 0.0, interlopers: float = 0.0, constant: float = 0.0):
    """(maps, sources in each voxel) float32: sources of exponential brightness T0, white noise, others' light."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(MEAN, (maps, *SHAPE))
    t = rng.gamma(np.maximum(counts, 1e-9), T0) * (counts > 0) + constant
    t += noise * rng.standard_normal(t.shape)
    if interlopers:
        others = rng.poisson(0.2, t.shape)
        t += interlopers * rng.gamma(np.maximum(others, 1e-9), 1.0) * (others > 0)
    return torch.from_numpy(t).float(), torch.from_numpy(counts).float()


@pytest.mark.parametrize(
    "more", [{}, {"noise": 1.0}, {"interlopers": 1.5}, {"noise": 0.7, "interlopers": 1.0, "constant": 3.0}]
)
def test_the_deconvolved_distribution_of_poisson_sources_is_their_own(more):
    """D_N = p̃(u)^N − 1, p̃ = 1 / (1 − iuT₀), whatever else is in the map."""
    maps, counts = poisson_sky(6, 1, **more)
    found = deconvolved_distribution(maps, counts, (0.5, 1.5, 2.5), U).mean(dim=0).numpy()
    own = 1 / (1 - 1j * np.array(U) * T0)
    expected = np.stack([own - 1, own**2 - 1])
    assert np.abs(found[:2] - expected).max() < 0.04
    auto = torch.exp(1j * torch.tensor(U)[:, None] * maps.flatten()[None]).mean(dim=1).numpy()
    alone = np.exp(MEAN * (own - 1))
    assert (np.abs(auto - alone).max() > 0.1) == bool(more), "the map's own distribution has all of it"


def test_a_class_without_voxels_has_none():
    maps, counts = torch.randn(1, 4, 4, 4), torch.zeros(1, 4, 4, 4)
    assert not deconvolved_distribution(maps, counts, (0.5, 1.5), U).any()
    assert not deconvolved_distribution(maps, counts + 5, (0.5, 1.5), U).any()


def test_cross_power_and_stack_are_those_of_the_sources_alone():
    pairs = Crossing(SHAPE, 5, 3, (0.5, 1.5), (0.5,), reach=2)
    clean, counts = poisson_sky(12, 2)
    dirty = clean + poisson_sky(12, 3)[0] * 2 + torch.randn(clean.shape, generator=torch.Generator().manual_seed(0)) + 5
    power = {}
    for name, maps in (("clean", clean), ("dirty", dirty)):
        found = pairs(maps, counts).double()
        cross, stack = found[:, pairs.names["cross"]], found[:, pairs.names["stack"]]
        # Poisson sources: a·b* = N̄ T₀ a voxel at every k; around a source its own light, above the mean, and nothing else
        error = cross.std(0) / np.sqrt(len(cross))
        assert ((cross.mean(0) - MEAN * T0).abs() < 4.5 * error).all(), name
        assert stack[:, 0].mean() == pytest.approx(T0, abs=0.03)
        assert stack[:, 1:].mean(0).abs().max() < 0.02
        power[name] = maps.var()
    assert power["dirty"] > 4 * power["clean"]


def test_the_network_tells_its_kinds_of_features_apart():
    torch.manual_seed(0)
    module = build("crossing", {"reach": 1}, (3, 16, 16, 16), (4,))
    x = torch.randn(20, 3, 16, 16, 16).abs()
    module.calibrate(x)
    features, kinds = module.features(x), module.kinds
    assert module(x).shape == (20, 4)
    assert features.shape == (20, kinds["stack"].stop)
    assert list(kinds) == ["auto", "other", "cross", "dde", "stack"]
    other = module.features(torch.cat([x[:, :1], x[:, 1:].roll(1, dims=0)], dim=1))
    assert torch.equal(features[:, kinds["auto"]], other[:, kinds["auto"]])
    assert not torch.equal(features[:, kinds["stack"]], other[:, kinds["stack"]])


@pytest.mark.parametrize(("shape", "options"), [((1, 8, 8, 8), {}), ((2, 8, 8, 8), {"limits": [2, 1]})])
def test_crossing_refuses_in_one_line(shape, options):
    with pytest.raises(LimelightError):
        build("crossing", options, shape, (3,))


def answered(noise_dex: float, seed: int, log10_counts: np.ndarray, group: np.ndarray) -> Intervals:
    """Exact posterior draws of counts about 1e4 whose logarithms (m, 2) have a prior of 0.5 dex and are seen with noise."""
    rng = np.random.default_rng(seed)
    weight = 0.25 / (0.25 + noise_dex**2)
    seen = log10_counts + noise_dex * rng.standard_normal(log10_counts.shape)
    draws = 4 + weight * (seen[:, None] - 4) + np.sqrt(weight) * noise_dex * rng.standard_normal((len(seen), 400, 2))
    samples = np.round(10**draws)
    rows, axis = {"group": group, "row": np.arange(len(group))}, OutputAxis("", names=("a", "b"))
    truth, seconds = np.round(10**log10_counts), np.zeros(len(group))
    return Intervals("head", "test", {}, axis, truth, quantiles_of(samples), rows, seconds, samples=samples)


def test_nats_of_heads_beside_the_map_alone_are_those_of_gaussian_posteriors():
    rng, group = np.random.default_rng(0), np.repeat(np.arange(5), 60)
    truth, prior = 4 + 0.5 * rng.standard_normal((300, 2)), np.round(10 ** (4 + 0.5 * rng.standard_normal((2000, 2))))
    found = {"auto": answered(0.5, 1, truth, group), "both": answered(0.2, 2, truth, group)}
    alone, both = heads_rows(found, prior, seed=3)
    exact = [0.5 * np.log(1 + 0.25 / noise**2) for noise in (0.5, 0.2)]
    for row, gain in ((alone, exact[0]), (both, exact[1])):
        assert (row["light_cones"], row["bins"]) == (5, 2)
        assert row["gain_nats"] == pytest.approx(gain, abs=0.06)
        assert row["covered_95"] == pytest.approx(0.95, abs=0.03)
        assert 0 < row["gain_nats_error"] < 0.1
    assert alone["beyond_alone_nats"] == 0
    assert both["beyond_alone_nats"] == pytest.approx(exact[1] - exact[0], abs=0.1)
    elsewhere = replace(found["both"], rows={"group": group, "row": group})
    with pytest.raises(LimelightError, match="other rows of the test"):
        heads_rows(found | {"elsewhere": elsewhere}, prior, seed=3)
