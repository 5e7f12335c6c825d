"""The recipe's options: likelihoods against scipy and closed forms, averaged weights, warm-up, and the network's own."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn
from training_toys import BINS, PROBE, SHAPE, counts_of, default_network, generator, settings, shown, toys

from limelight.errors import LimelightError
from limelight.evaluation.predict import predict_targets
from limelight.networks import build
from limelight.networks.residual import moments, rescaled
from limelight.section import plain
from limelight.study.config import ROOT, load_study, resolve_study
from limelight.study.sections import Training
from limelight.study.yaml import read_yaml
from limelight.training.loop import train
from limelight.training.losses import Loss, count_scale, log_mean_to_target, negative_binomial, poisson
from limelight.training.optim import follow, learning_rate
from limelight.training.presentation import present

LN10 = math.log(10)
COUNTS = torch.tensor([0.0, 1.0, 3.0, 40.0, 12345.0], dtype=torch.float64)


# Likelihoods


@pytest.mark.parametrize("mean", [1e-3, 0.7, 12.0, 11000.0])
def test_poisson_is_scipys(mean):
    log_mean = torch.full_like(COUNTS, math.log(mean))
    expected = -scipy.stats.poisson.logpmf(COUNTS.numpy(), mean)
    np.testing.assert_allclose(poisson(log_mean, COUNTS), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dispersion", [1e-3, 0.1, 5.0])
@pytest.mark.parametrize("mean", [1e-3, 0.7, 11000.0])
def test_negative_binomial_is_scipys(mean, dispersion):
    r = 1 / dispersion
    law = scipy.stats.nbinom(r, r / (r + mean))
    assert law.var() == pytest.approx(mean + dispersion * mean**2)  # that φ is what its name says
    found = negative_binomial(torch.full_like(COUNTS, math.log(mean)), COUNTS, torch.tensor(dispersion).double().log())
    np.testing.assert_allclose(found, -law.logpmf(COUNTS.numpy()), rtol=1e-7, atol=1e-7)


def test_negative_binomial_of_no_dispersion_is_poisson():
    log_mean = torch.full_like(COUNTS, math.log(20.0))
    found = negative_binomial(log_mean, COUNTS, torch.tensor(math.log(1e-7), dtype=torch.float64))
    # to first order in φ: ln NB − ln P = φ/2 ((n − μ)² − n)
    slope = 0.5 * ((COUNTS - 20).square() - COUNTS)
    np.testing.assert_allclose(found, poisson(log_mean, COUNTS) - 1e-7 * slope, rtol=1e-3)


def loss_of(name: str, counts: np.ndarray, **scale) -> tuple[Loss, torch.Tensor]:
    """A likelihood and the targets log10(1 + N) of counts (maps, bins)."""
    truth = torch.log10(1 + torch.as_tensor(counts, dtype=torch.float64))
    scale = {"mean": torch.zeros(counts.shape[1]).double(), "std": torch.ones(counts.shape[1]).double(), **scale}
    return Loss(name, scale["mean"], scale["std"], scale.get("dispersion")), truth


@pytest.mark.parametrize("name", ["poisson", "negative_binomial"])
def test_likelihoods_find_the_mean_count_where_bins_are_often_empty(name):
    """The best constant is the log of the mean, empty maps counted; the mean of log10(1 + N) would say 0.42 of them."""
    counts = scipy.stats.nbinom(0.5, 0.2).rvs((2000, 1), random_state=1).astype(float)
    assert (counts == 0).mean() > 0.4
    loss, truth = loss_of(name, counts, dispersion=torch.tensor([0.3], dtype=torch.float64))
    output = nn.Parameter(torch.tensor([0.5], dtype=torch.float64))
    optimizer = torch.optim.LBFGS([output, *loss.parameters()], max_iter=100, line_search_fn="strong_wolfe")

    def step():
        optimizer.zero_grad()
        value = loss(output.expand(2000, 1), truth)
        value.backward()
        return value

    optimizer.step(step)
    assert 10 ** output.item() == pytest.approx(counts.mean(), rel=0.01)
    if name == "negative_binomial":
        learned = math.exp((loss.first_log_dispersion + 10 * loss.dispersion_steps).item())
        assert learned == pytest.approx(2.0, rel=0.15)  # 1/r of the draws
    assert loss.targets(output[None]).item() == pytest.approx(math.log10(1 + counts.mean()), rel=0.01)


def test_likelihoods_stay_finite_however_wrong_the_network_is():
    counts = np.array([[0.0, 2e6, 0.0, 5.0]])
    outputs = torch.tensor([[300.0, -300.0, -300.0, 300.0]], requires_grad=True)
    for name in ("poisson", "negative_binomial"):
        loss, truth = loss_of(name, counts, dispersion=torch.full((4,), 0.1, dtype=torch.float64))
        value = loss(outputs, truth)
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(outputs.grad).all()


def test_outputs_start_at_the_training_mean_of_the_counts():
    found = toys(40)
    data, how = shown(found)
    counts = counts_of(found)
    mean, spread, dispersion = count_scale(data, how)
    filled = counts.mean(axis=0) > 0.5 / 40
    np.testing.assert_allclose(10 ** mean.numpy()[filled], counts.mean(axis=0)[filled])
    full = counts.mean(axis=0) > 100
    expected = (counts.var(axis=0) - counts.mean(axis=0)) / counts.mean(axis=0) ** 2
    np.testing.assert_allclose(dispersion.numpy()[full], np.clip(expected[full], 0.01, 1))
    assert spread.min() >= 0.3
    found.y["n_above"][:] = 0
    assert torch.isfinite(count_scale(shown(found)[0], how)[0]).all()


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_expected_counts_as_targets(kind):
    log_mean = np.array([-300.0, -2.0, 0.0, 3.0, 300.0])
    found = log_mean_to_target(log_mean if kind == "numpy" else torch.as_tensor(log_mean))
    np.testing.assert_allclose(found, [0, math.log10(1.01), math.log10(2), math.log10(1001), 300], atol=1e-12)


@pytest.mark.parametrize("loss", ["poisson", "negative_binomial"])
def test_a_likelihood_learns_maps_and_says_their_counts(loss, tmp_path):
    found = toys(12)
    wanted = settings(loss=loss, epochs=100, batch_size=12, learning_rate=4e-3, flips=False, quarter_turns=False)
    content, history = train(wanted, PROBE, found, found, tmp_path)
    assert history[-1]["train_mse"] < 0.1 * history[-1]["mean_predictor_mse"]
    assert content["target"]["outputs"] == "log10_mean"
    net = default_network(content["state_dict"])
    data, how = shown(found)
    batches = iter([how.observe(data.x, generator())])
    predicted = 10 ** predict_targets(net, content, batches, "cpu") - 1
    counts = counts_of(found)
    assert predicted.min() >= 0
    full = counts.mean(axis=0) > 100
    assert np.abs(predicted[:, full] / counts[:, full] - 1).mean() < 0.2


# Weights averaged, rates warmed up


def test_the_average_follows_the_weights_and_copies_what_is_no_weight():
    average, net = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    weights = np.random.default_rng(0).normal(size=200)
    expected = 1.0  # the layer's first weight
    for step, w in enumerate(weights):
        net.weight.data.fill_(w)
        net.running_mean.fill_(step)
        follow(average, net, 0.9, step)
        d = min(0.9, (1 + step) / (10 + step))
        expected = d * expected + (1 - d) * w
    assert average.weight.item() == pytest.approx(expected, rel=1e-4)
    assert average.running_mean.item() == 199


def test_the_average_is_what_is_validated_and_kept(tmp_path):
    """At a rate so small that weights hardly move, average and weights agree; at a large one they do not."""
    found, held = toys(8), toys(4, 1)
    plain, _ = train(settings(learning_rate=1e-2, epochs=3), PROBE, found, held, tmp_path / "a")
    wanted = settings(learning_rate=1e-2, epochs=3, ema_decay=0.9)
    averaged, history = train(wanted, PROBE, found, held, tmp_path / "b")
    key = "output.weight"
    assert not torch.equal(plain["state_dict"][key], averaged["state_dict"][key])
    again, _ = train(wanted, PROBE, found, held, tmp_path / "c")
    assert all(
        torch.equal(a, b) for a, b in zip(averaged["state_dict"].values(), again["state_dict"].values(), strict=True)
    )
    still, _ = train(settings(learning_rate=1e-9, epochs=1, ema_decay=0.9), PROBE, found, held, tmp_path / "d")
    moved, _ = train(settings(learning_rate=1e-9, epochs=1), PROBE, found, held, tmp_path / "e")
    torch.testing.assert_close(still["state_dict"][key], moved["state_dict"][key], atol=1e-7, rtol=0)
    assert len(history) == 3


def test_warm_up_rises_in_equal_steps_to_the_peak():
    for schedule in ("constant", "cosine"):
        options = Training(learning_rate=2.0, schedule=schedule, warmup=0.2)
        rates = [learning_rate(s, 100, options) for s in range(100)]
        np.testing.assert_allclose(np.diff(rates[:20]), 2 / 21)
        assert rates[20] == max(rates) == 2.0
        assert rates[99] == pytest.approx(2.0) if schedule == "constant" else rates[99] < 0.01


# The network's options


@pytest.mark.parametrize("norm", ["group", "batch", "none"])
@pytest.mark.parametrize("pool", ["mean", "max", "mean_max"])
def test_every_norm_and_pooling_trains(norm, pool):
    net = build("limelight", {"filters": 4, "norm": norm, "pool": pool, "scales": [0.1, 10]}, SHAPE, (7,))
    x = torch.randn(4, *SHAPE)
    net.calibrate(x)
    out = net(x)
    assert out.shape == (4, 7)
    out.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())
    for name, kind in (("group", nn.GroupNorm), ("batch", nn.BatchNorm3d)):
        assert any(isinstance(m, kind) for m in net.modules()) == (norm == name)


def test_without_moments_group_norm_hides_the_brightness_of_an_even_map():
    torch.manual_seed(0)
    x = torch.rand(1, *SHAPE)
    blind = build("limelight", {"filters": 4, "moments": False, "scales": [1]}, SHAPE, (3,))
    blind.stem.bias.data.zero_()
    seeing = build("limelight", {"filters": 4}, SHAPE, (3,))
    with torch.no_grad():
        assert torch.allclose(blind(x), blind(3 * x), atol=1e-2)
        assert not torch.allclose(seeing(x), seeing(3 * x), atol=1e-2)


def test_scales_are_asinh_of_one_map_at_several_brightnesses():
    t = torch.tensor([-1e5, -2.0, 0.0, 1e-3, 30.0, 1e6]).reshape(1, 1, 6, 1, 1)
    found = rescaled(torch.asinh(t / 3), [0.1, 1.0, 50.0])
    assert found.shape == (1, 3, 6, 1, 1)
    for i, scale in enumerate((0.3, 3.0, 150.0)):
        np.testing.assert_allclose(found[0, i].flatten(), np.arcsinh(t.flatten().numpy() / scale), rtol=2e-5, atol=1e-6)
    anything = torch.randn(2, 1, 4, 4, 2)
    assert rescaled(anything, [1.0]) is anything
    assert moments(found).shape == (1, 12)


def test_maps_of_an_uncut_prior_stay_finite_in_the_network():
    """Independent draws at full σ reach 10^30 µK; inputs, outputs and gradients must stay numbers."""
    found = toys(6)
    found.x *= np.float32(10.0) ** np.array([-30, -5, 0, 10, 30, 33], np.float32).reshape(6, 1, 1, 1, 1)
    for options in ({"scales": [1]}, {"scales": [0.01, 1, 100]}):
        data, how = shown(found, noise={"some": {"sigma_uk": 60}})
        inputs, truth = present(data, torch.arange(6), how, generator())
        assert torch.isfinite(inputs).all()
        net = build("limelight", {"filters": 4, **options}, SHAPE, BINS)
        net.calibrate(inputs)
        loss = (net(inputs) - truth).square().mean()
        loss.backward()
        assert all(torch.isfinite(p.grad).all() for p in net.parameters())


@pytest.mark.parametrize(
    ("option", "value"),
    [("norm", "layer"), ("pool", "sum"), ("moments", 1), ("scales", []), ("scales", [1, -1]), ("scales", 3)],
)
def test_bad_options_are_named(option, value):
    with pytest.raises(LimelightError, match=f"networks.options.{option}"):
        build("limelight", {option: value}, SHAPE, (3,))


@pytest.mark.parametrize("target", [{"quantity": "n_above"}, {"transform": "log10"}])
def test_likelihoods_are_of_counts_alone(target):
    raw = read_yaml(ROOT / "config" / "demo.yaml")
    raw["networks"]["limelight"] |= {"target": target, "training": {"loss": "poisson"}}
    with pytest.raises(LimelightError, match="networks.limelight.target: found .* with the loss poisson"):
        resolve_study(raw, "study.yaml")
    raw["networks"]["limelight"]["target"] = {}
    resolve_study(raw, "study.yaml")


def test_the_ablation_changes_one_thing_at_a_time():
    """Else its table would say nothing: each variant differs from what it is named after in one key, repeats in none."""
    study = load_study(ROOT / "config" / "ablation.yaml")
    networks = {name: plain(network) for name, network in study.networks.items()}

    def differ(one: object, other: object) -> int:
        if isinstance(one, dict) and isinstance(other, dict):
            return sum(differ(one.get(key), other.get(key)) for key in one.keys() | other.keys())
        return int(one != other)

    for name, network in networks.items():
        repeat = name[-2:] in ("_2", "_3")
        start = name[:-2] if repeat else name.partition("_")[0]
        if not repeat and (start not in ("base", "noisy") or name == start):
            continue
        several = {
            "base_ema": 4,
            "base_adam_constant": 3,
            "base_cosine_warmup": 2,
            "base_sgd": 2,
            "base_no_symmetries": 2,
            "base_superposed_dimmed": 2,
        }
        several |= {"base_signed_log": 2}
        assert differ(network, networks[start]) == (0 if repeat else several.get(name, 1)), name
