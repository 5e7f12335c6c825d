"""Training: losses and schedules against formulas, networks that learn or must not, and clear refusals."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from training_toys import (
    BINS,
    GRID,
    HEADER,
    LABELS,
    PROBE,
    SHAPE,
    default_network,
    generator,
    made_rows,
    settings,
    shown,
    toys,
)

from limelight.errors import LimelightError
from limelight.networks import build
from limelight.probes.line_intensity.shards import line_header
from limelight.seeds import torch_seed
from limelight.study.sections import Training
from limelight.training.checks import check_shards
from limelight.training.loop import history_csv, train
from limelight.training.losses import LOSSES
from limelight.training.optim import learning_rate, make_optimizer
from limelight.training.presentation import all_answers, training_data

# Losses


@pytest.mark.parametrize("d", [-300.0, -2.0, -1e-3, 0.0, 0.5, 3.0])
def test_losses_follow_their_formulas(d):
    p, t = torch.tensor([[2.0 + d]], dtype=torch.float64), torch.tensor([[2.0]], dtype=torch.float64)
    assert LOSSES["mse"](p, t).item() == pytest.approx(d * d, rel=1e-12)
    assert LOSSES["mae"](p, t).item() == pytest.approx(abs(d), rel=1e-12)
    expected = math.log(math.cosh(d)) if abs(d) < 100 else abs(d) - math.log(2)  # cosh overflows, the loss must not
    assert LOSSES["log_cosh"](p, t).item() == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_msle_is_the_textbook_one_above_zero_and_keeps_its_slope_below():
    p, t = torch.tensor([[0.0, 1.0, 9.0]], dtype=torch.float64), torch.tensor([[3.0, 1.0, 0.0]], dtype=torch.float64)
    assert LOSSES["msle"](p, t).item() == pytest.approx((math.log(4) ** 2 + math.log(10) ** 2) / 3)
    below = torch.tensor([[-5.0]], requires_grad=True)
    LOSSES["msle"](below, torch.zeros(1, 1)).backward()
    assert below.grad.item() < 0


# Schedules and optimizers


def test_schedules():
    def rates(schedule):
        options = Training(learning_rate=2.0, schedule=schedule, warmup=0.0)
        return [learning_rate(s, 100, options) for s in range(100)]

    assert set(rates("constant")) == {2.0}
    cosine, cycle = rates("cosine"), rates("one_cycle")
    assert cosine[0] == 2.0
    assert cosine[50] == pytest.approx(1.0)
    assert cosine[99] < 0.01
    assert cycle[0] == pytest.approx(2.0 / 25)
    assert cycle[30] == pytest.approx(2.0)
    assert cycle[30] == max(cycle)
    assert cycle[65] == pytest.approx(1.0)
    assert cycle[99] < 0.01
    drops = rates("steps")
    assert [drops[s] for s in (0, 33, 34, 49, 50, 66, 67, 83, 84, 99)] == pytest.approx(
        [2, 2, 0.2, 0.2, 0.02, 0.02, 0.002, 0.002, 0.0002, 0.0002]
    )
    one_cycle = Training(learning_rate=1.0, schedule="one_cycle")
    assert all(0 <= learning_rate(0, n, one_cycle) <= 1 for n in (1, 2, 3))


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_optimizers_take_the_config_and_spare_biases_the_decay(name):
    options = settings(optimizer=name, weight_decay=0.3, momentum=0.5).network.training
    groups = make_optimizer(build("limelight", {"filters": 4}, SHAPE, (3,)), options).param_groups
    for group in groups:
        decays = name != "adam" and group["params"][0].dim() > 1
        assert group["weight_decay"] == (0.3 if decays else 0)
    if name == "sgd":
        assert groups[0]["momentum"] == 0.5


# Networks that learn


def test_a_small_network_overfits_12_maps(tmp_path):
    """The notes' first test of a network: MSE below 0.01 on 12 maps, here in log10(1 + N), not standardised."""
    wanted = settings(
        epochs=140,
        batch_size=12,
        schedule="one_cycle",
        flips=False,
        quarter_turns=False,
        network={"target": {"standardise": False}},
    )
    found = toys(12)
    content, history = train(wanted, PROBE, found, found, tmp_path)
    assert history[-1]["train_mse"] < 0.01
    assert history[-1]["validation_mse"] < 0.01 < 0.05 < history[0]["mean_predictor_mse"]
    assert content["training"]["best_epoch"] > 10


@pytest.fixture(scope="module")
def spreads(tmp_path_factory):
    """Spread of predictions over spread of truths on held-out maps, for true and for permuted labels, with 160 maps."""
    found, held_out, ratios = toys(160), toys(100, seed=1), {}
    for permuted in (False, True):
        wanted = settings(epochs=12, batch_size=10, schedule="one_cycle", permute_labels=permuted)
        folder = tmp_path_factory.mktemp("run")
        content, history = train(wanted, PROBE, found, held_out, folder)
        module = default_network(content["state_dict"])
        data, how = shown(held_out)
        with torch.no_grad():
            out = module(how.observe(data.x, generator())).double() * content["target"]["std"]
        truth = all_answers(data, how.target)
        populated = torch.as_tensor(held_out.y["n_above"].mean(0)[: BINS[0]] > 10)
        ratios[permuted] = (out.std(0) / truth.std(0))[populated]
        ratios[permuted, "history"] = history
    return ratios


def test_a_network_reads_maps_that_it_never_saw(spreads):
    assert spreads[False].median() > 0.8
    last = spreads[False, "history"][-1]
    assert last["validation_mse"] < 0.4 * last["mean_predictor_mse"]


def test_permuted_labels_teach_nothing(spreads):
    assert spreads[True].max() < 0.25
    last = spreads[True, "history"][-1]
    assert last["validation_mse"] > 0.9 * last["mean_predictor_mse"]


@pytest.mark.parametrize("loss", sorted(set(LOSSES) - {"gaussian"}))  # that is one of images: test_spread
@pytest.mark.parametrize(("optimizer", "precision"), [("adam", "bf16"), ("sgd", "float32")])
def test_every_loss_optimizer_and_precision_trains(loss, optimizer, precision, tmp_path):
    rate = 3e-3 if optimizer == "adam" else 0.1
    wanted = settings(loss=loss, optimizer=optimizer, precision=precision, learning_rate=rate, epochs=20)
    _, history = train(wanted, PROBE, toys(24), toys(6, 1), tmp_path)
    assert history[-1]["train_loss"] < 0.9 * history[0]["train_loss"]


@pytest.mark.parametrize(
    ("architecture", "options"),
    [("cnn2d", {"filters": 4, "layers": 4}), ("cnn3d", {"filters": 4, "layers": 4}), ("resnet3d", {"filters": 4})],
)
def test_every_architecture_trains_with_every_augmentation(architecture, options, tmp_path):
    wanted = settings(
        epochs=1,
        blank_fraction=0.1,
        dim_fraction=0.1,
        network={"architecture": architecture, "options": options},
        noise={"none": {"sigma_uk": 0}, "paper": {"sigma_uk": 3.47}},
    )
    content, history = train(wanted, PROBE, toys(13), toys(3, 1), tmp_path)
    assert all(math.isfinite(value) for value in history[0].values())
    torch.manual_seed(torch_seed(wanted.seed, f"weights of {wanted.name}"))
    first = build(architecture, options, SHAPE, BINS).named_parameters()
    unmoved = [name for name, weights in first if torch.equal(weights, content["state_dict"][name])]
    assert not unmoved, "a step moves every weight"
    assert content["target"]["shape"] == list(BINS)


def test_max_maps_uses_the_first_ones_alone(tmp_path):
    found = toys(10)
    few = made_rows(found.x[:6], found.y["n_above"][:6])
    a, _ = train(settings(max_maps=6), PROBE, found, toys(3, 1), tmp_path / "a")
    b, _ = train(settings(), PROBE, few, toys(3, 1), tmp_path / "b")
    assert all(torch.equal(a["state_dict"][key], b["state_dict"][key]) for key in a["state_dict"])


def test_the_best_epoch_is_kept_and_both_are_recorded(tmp_path):
    found = toys(12)
    content, history = train(settings(epochs=30, permute_labels=True), PROBE, found, toys(8, 1), tmp_path)
    losses = [row["validation_loss"] for row in history]
    assert content["training"]["best_epoch"] == 1 + int(np.argmin(losses)) < 30
    assert content["training"]["validation_loss"] == losses[-1]
    lines = history_csv(history).splitlines()
    losses = "train_loss,train_mse,validation_loss,validation_mse,mean_predictor_loss,mean_predictor_mse"
    assert lines[0] == f"epoch,step,learning_rate,{losses}"
    assert [line.partition(",")[0] for line in lines[1:]] == [str(epoch) for epoch in range(1, 31)]


# Errors


def test_a_loss_that_explodes_names_epoch_step_and_remedy(tmp_path):
    wanted = settings(optimizer="sgd", learning_rate=1e12, clip_norm=0, epochs=9, batch_size=4)
    with pytest.raises(LimelightError, match=r"toy: epoch \d+, step \d+: .*learning_rate.*clip_norm") as caught:
        train(wanted, PROBE, toys(12), toys(3, 1), tmp_path)
    assert "\n" not in str(caught.value)


def test_batch_norm_refuses_batches_of_one_map(tmp_path):
    wanted = settings(batch_size=1, network={"architecture": "cnn3d", "options": {"filters": 4, "layers": 4}})
    with pytest.raises(LimelightError, match="networks.toy.training.batch_size: found batches of one map"):
        train(wanted, PROBE, toys(3), toys(2, 1), tmp_path)
    train(settings(batch_size=1, epochs=1), PROBE, toys(3), toys(2, 1), tmp_path)  # group norm takes them


@pytest.mark.parametrize("architecture", ["limelight", "counting"])
def test_a_network_that_takes_a_scale_from_its_data_refuses_one_row(tmp_path, architecture):
    wanted = settings(batch_size=1, network={"architecture": architecture, "options": {}})
    with pytest.raises(LimelightError, match="networks.toy: found summaries of 1 training row without a finite mean"):
        train(wanted, PROBE, toys(1), toys(2, 1), tmp_path)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (
            line_header(replace(GRID, size_deg=0.7), 0.0, LABELS, {}),
            "found data with geometry size_deg 0.7; expected .* 0.35",
        ),
        (line_header(replace(GRID, unit="Jy/sr"), 0.0, LABELS, {}), "unit Jy/sr"),
        (line_header(GRID, 4.0, LABELS, {}), "beam_fwhm_arcmin 4.0"),
        (line_header(GRID, 0.0, {**LABELS, "log10_lum_max": 7.0}, {}), "truths labels log10_lum_max 7.0; .* 6.0"),
        (replace(HEADER, probe="other"), "probe other"),
        (replace(HEADER, unit="K"), "unit K"),
        (replace(HEADER, channels=("another",)), "channels .*another"),
        (replace(HEADER, axes=(*HEADER.axes[:2], replace(HEADER.axes[2], low=1.0))), "axes .*low=1.0"),
    ],
)
def test_shards_of_another_study_are_refused(header, says):
    found = toys(2)
    check_shards("--train", found, HEADER, [0])
    with pytest.raises(LimelightError, match=f"--train: .*{says}") as caught:
        check_shards("--train", replace(found, header=header), HEADER, [0])
    assert "\n" not in str(caught.value)


def test_realisations_of_another_split_are_refused():
    check_shards("--validation", toys(2, group=1), HEADER, [1, 2])
    with pytest.raises(
        LimelightError, match=r"--validation: found realisations \[0\]; expected those of its split, \[1, 2\]"
    ):
        check_shards("--validation", toys(2), HEADER, [1, 2])


def test_the_permuted_control_shuffles_labels_and_nothing_else():
    """Every label stays in the data once, with its own volume; maps stay where they are."""
    found = toys(9)
    found.y["volume_mpc3"] = 1e6 + np.arange(9.0)
    options = settings(permute_labels=True).network.training
    data = training_data(found, ["toys"], options, 7, "toy", torch.device("cpu"))
    order = (data.y["volume_mpc3"] - 1e6).long().numpy()
    assert sorted(order) == list(range(9)) != list(order)
    np.testing.assert_array_equal(data.y["n_above"], found.y["n_above"][order])
    np.testing.assert_array_equal(data.x, found.x)
