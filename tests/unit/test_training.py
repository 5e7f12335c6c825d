"""Training: losses against formulas, presentations against arithmetic on the halos, and networks that learn or must not."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from training_toys import EDGES, GRID, LABELS, SHAPE, Toys, settings, toys

from limelight.errors import LimelightError
from limelight.lines.labels import EXTENSION_BINS, count_above
from limelight.maps.instrument import noise_sigma
from limelight.maps.shards import PooledMaps
from limelight.networks import build
from limelight.training.checks import check_study
from limelight.training.data import (
    dim_steps,
    dimmed,
    draw_symmetry,
    epoch_batches,
    label_statistics,
    observe,
    on_device,
    present,
    presentation,
    standardisation,
    symmetry,
    targets,
)
from limelight.training.distributed import Team
from limelight.training.loop import HISTORY_COLUMNS, history_csv, train, validate
from limelight.training.losses import LOSSES
from limelight.training.optim import learning_rate, make_optimizer

CPU = torch.device("cpu")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shown(found: Toys, **changes):
    """(data on the CPU, presentation) of toys under changed settings."""
    return on_device(found.maps, found.n_above, found.volume_mpc3, CPU), presentation(settings(**changes), GRID, EDGES)


# Losses


@pytest.mark.parametrize("d", [-300.0, -2.0, -1e-3, 0.0, 0.5, 3.0])
def test_losses_follow_their_formulas(d):
    p, t = torch.tensor([[2.0 + d]], dtype=torch.float64), torch.tensor([[2.0]], dtype=torch.float64)
    assert LOSSES["mse"](p, t).item() == pytest.approx(d * d, rel=1e-12)
    expected = math.log(math.cosh(d)) if abs(d) < 100 else abs(d) - math.log(2)  # cosh overflows, the loss must not
    assert LOSSES["log_cosh"](p, t).item() == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_msle_is_the_textbook_one_above_zero_and_keeps_its_slope_below():
    p, t = torch.tensor([[0.0, 1.0, 9.0]], dtype=torch.float64), torch.tensor([[3.0, 1.0, 0.0]], dtype=torch.float64)
    assert LOSSES["msle"](p, t).item() == pytest.approx((math.log(4) ** 2 + math.log(10) ** 2) / 3)
    below = torch.tensor([[-5.0]], requires_grad=True)
    LOSSES["msle"](below, torch.zeros(1, 1)).backward()
    assert below.grad.item() < 0


# Order of maps


def test_every_map_once_an_epoch_in_batches_of_even_size():
    batches = epoch_batches(41, 40, 0, 1, "a", 3)
    assert [len(b) for b in batches] == [21, 20]
    assert sorted(np.concatenate(batches)) == list(range(41))
    assert not np.array_equal(np.concatenate(batches), np.concatenate(epoch_batches(41, 40, 0, 1, "a", 4)))


def test_a_fixed_number_of_steps_deals_from_one_endless_deck():
    dealt = np.concatenate([np.concatenate(epoch_batches(10, 4, 3, 1, "a", epoch)) for epoch in range(5)])
    assert dealt.shape == (60,)
    assert all(sorted(dealt[i : i + 10]) == list(range(10)) for i in range(0, 60, 10))


# Presentations


def test_targets_are_log_counts_of_the_halos():
    log10_lum = np.array([4.05, 4.1, 4.75, 5.999, 6.3, 3.0])  # bins of 0.2 dex from 4 to 6
    found = Toys(np.zeros((1, *SHAPE), np.float32), count_above(log10_lum, EDGES)[None], np.ones(1))
    data, how = shown(found)
    expected = np.log10(1 + np.array([2, 0, 0, 1, 0, 0, 0, 0, 0, 1.0]))
    np.testing.assert_allclose(targets(data.n_above, data.volume_mpc3, how)[0], expected, atol=1e-12)


def test_dimming_moves_map_and_label_as_dimmer_halos_would():
    rng = np.random.default_rng(3)
    log10_lum = 4 + 0.013 + 0.05 * rng.integers(0, 50, 500)  # never on an edge
    n_above = torch.as_tensor(np.stack([count_above(log10_lum, EDGES)] * (EXTENSION_BINS + 1)), dtype=torch.float64)
    steps = torch.arange(EXTENSION_BINS + 1)
    maps, counts = dimmed(torch.ones(len(steps), *SHAPE), n_above, steps, 0.2)
    for k in steps.tolist():
        np.testing.assert_array_equal(counts[k], count_above(log10_lum - 0.2 * k, EDGES)[: LABELS["bins"] + 1])
        assert maps[k].unique().item() == pytest.approx(10 ** (-0.2 * k), rel=1e-6)


def test_dimming_spans_a_factor_of_ten_and_no_more():
    assert dim_steps(EDGES) == 5  # of 0.2 dex
    assert dim_steps(np.linspace(3.5, 7.0, 50)) == 14
    assert dim_steps(np.linspace(3.5, 7.0, 500)) == EXTENSION_BINS
    assert dim_steps(np.array([3.0, 5.0])) == 1


def test_shares_of_blank_and_dimmed_maps_and_their_labels():
    found = toys(1)
    rows = torch.zeros(4000, dtype=torch.long)
    data, how = shown(found, blank_fraction=0.1, dim_fraction=0.2, network__preprocessing={"transform": "none"})
    inputs, truth = present(data, rows, how, generator())
    total, full = inputs.sum(dim=(1, 2, 3, 4)), found.maps.sum()
    blank, dim = total == 0, (total > 0) & (total < 0.9 * full)
    assert blank.float().mean().item() == pytest.approx(0.1, abs=0.02)  # 4 standard deviations
    assert dim.float().mean().item() == pytest.approx(0.2, abs=0.026)
    assert torch.count_nonzero(truth[blank]) == 0
    steps = torch.round(-torch.log10(total[dim] / full) / 0.2).long()
    assert sorted(steps.unique().tolist()) == [1, 2, 3, 4, 5]
    counts = torch.as_tensor(found.n_above[0], dtype=torch.float64)
    for k, label in zip(steps.tolist(), truth[dim], strict=True):
        torch.testing.assert_close(label, torch.log10(1 + counts[k : k + 10] - counts[k + 1 : k + 11]))
    whole = ~blank & ~dim
    torch.testing.assert_close(truth[whole], torch.log10(1 + counts[:10] - counts[1:11]).expand(int(whole.sum()), 10))


def test_symmetries_are_the_eight_of_the_square_and_touch_only_the_sky():
    cube = np.random.default_rng(0).random((5, 5, 3)).astype(np.float32)
    eight = {np.rot90(c, k, (0, 1)).tobytes() for c in (cube, cube[::-1]) for k in range(4)}
    turns = {np.rot90(cube, k, (0, 1)).tobytes() for k in range(4)}
    mirrors = {c.tobytes() for c in (cube, cube[::-1], cube[:, ::-1], cube[::-1, ::-1])}
    assert len(eight) == 8
    batch = torch.as_tensor(cube).expand(400, *cube.shape)
    for flips, quarter_turns, expected in (
        (True, True, eight),
        (False, True, turns),
        (True, False, mirrors),
        (False, False, {cube.tobytes()}),
    ):
        turned = symmetry(batch, *draw_symmetry(400, flips, quarter_turns, generator()))
        kinds = [np.ascontiguousarray(m).tobytes() for m in turned.numpy()]
        assert set(kinds) == expected
        assert min(kinds.count(kind) for kind in expected) > 0.5 * 400 / len(expected)  # each about as often


def test_symmetries_leave_labels_alone():
    data, how = shown(toys(8))
    _, truth = present(data, torch.arange(8), how, generator())
    torch.testing.assert_close(truth, targets(data.n_above, data.volume_mpc3, how))


def test_noise_has_the_asked_variance_per_pooled_voxel_and_is_fresh():
    """A pooled voxel of n fine ones has √n σ; COMAP's voxel is larger than the map's by its sky area times bandwidth."""
    noise = {"comap": {"sigma_uk": 11, "per_voxel_of": "instrument"}}
    changes = {"network__noise": ["comap"], "network__preprocessing": {"transform": "none"}, "whole__noise": noise}
    data, how = shown(toys(4), flips=False, quarter_turns=False, **changes)
    rows = torch.arange(4).repeat(100)
    first, _ = present(data, rows, how, generator(1))
    second, _ = present(data, rows, how, generator(2))
    fine = 11 * math.sqrt((1.5 / 22) ** 2 * 0.015625 / ((0.35 / 32) ** 2 * 8 / 20))
    residual = first[:, 0] - data.maps[rows]
    assert residual.std().item() == pytest.approx(math.sqrt(2 * 2 * 5) * fine, rel=0.01)
    assert abs(residual.mean().item()) < 5 * residual.std().item() / math.sqrt(residual.numel())
    again = (second[:, 0] - data.maps[rows]).flatten()
    assert abs(torch.corrcoef(torch.stack([residual.flatten(), again]))[0, 1]) < 0.01
    assert abs(torch.corrcoef(residual.flatten(1))[0, 4]) < 0.2  # two presentations of one map in one batch


def test_each_presentation_draws_one_noise_setting_and_a_sigma_from_its_range():
    noise = {"none": {"sigma_uk": 0}, "some": {"sigma_uk": [1, 3]}}
    changes = {
        "network__noise": ["none", "some"],
        "network__preprocessing": {"transform": "none"},
        "whole__noise": noise,
    }
    data, how = shown(toys(1), flips=False, quarter_turns=False, **changes)
    inputs, _ = present(data, torch.zeros(600, dtype=torch.long), how, generator())
    spread = (inputs[:, 0] - data.maps[:1]).std(dim=(1, 2, 3)) / math.sqrt(20)
    silent = spread < 1e-6
    assert silent.float().mean().item() == pytest.approx(0.5, abs=0.09)
    assert 0.9 < spread[~silent].min() < 1.2
    assert 2.8 < spread[~silent].max() < 3.3
    assert spread[~silent].mean().item() == pytest.approx(2.0, abs=0.15)


def test_validation_noise_is_the_same_every_time_and_training_noise_is_not():
    changes = {"network__noise": ["some"], "whole__noise": {"some": {"sigma_uk": 5}}}
    data, how = shown(toys(5), **changes)
    net = build("limelight", {"filters": 4}, SHAPE, 10)
    mean, std = standardisation(data, how)
    runs = [validate(net, net, data, how, LOSSES["mse"], mean, std, settings(**changes), Team()) for _ in range(2)]
    assert runs[0] == runs[1]
    assert not torch.equal(observe(data.maps, how, generator(1)), observe(data.maps, how, generator(2)))


# Target scale


def test_standardisation_centres_what_is_presented():
    data, how = shown(toys(60), blank_fraction=0.15, dim_fraction=0.3)
    mean, std = standardisation(data, how)
    seen = torch.cat([present(data, torch.arange(60), how, generator(i))[1] for i in range(60)])
    np.testing.assert_allclose(mean, seen.mean(dim=0), atol=0.05)
    np.testing.assert_allclose(std, seen.std(dim=0), rtol=0.06, atol=0.01)


def test_bins_without_spread_are_guarded():
    found = toys(6)
    found.n_above[:] = found.n_above[0]  # every map the same label
    data, how = shown(found)
    assert standardisation(data, how)[1].min() == 0.01
    data, how = shown(found, network__target={"transform": "none"})
    assert standardisation(data, how)[1].unique().tolist() == [1.0]


def test_label_statistics_are_those_of_the_counts():
    found = toys(30)
    data, how = shown(found, blank_fraction=0.5)  # augmentation does not enter
    dn = (found.n_above[:, :10] - found.n_above[:, 1:11]).astype(float)
    got = label_statistics(data, how)
    np.testing.assert_allclose(got["mean"], dn.mean(0))
    np.testing.assert_allclose(got["std"], dn.std(0))
    np.testing.assert_allclose(got["percentiles"], np.percentile(dn, [2.5, 16, 50, 84, 97.5], axis=0))
    np.testing.assert_allclose(got["mean_target"], np.log10(1 + dn).mean(0))
    assert got["percentiles_target"].shape == (5, 10)


# Schedules and optimizers


def test_schedules():
    def rates(schedule):
        return [learning_rate(s, 100, {"learning_rate": 2.0, "schedule": schedule}) for s in range(100)]

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
    assert all(0 <= learning_rate(0, n, {"learning_rate": 1, "schedule": "one_cycle"}) <= 1 for n in (1, 2, 3))


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_optimizers_take_the_config_and_spare_biases_the_decay(name):
    options = settings(optimizer=name, weight_decay=0.3, momentum=0.5)["network"]["training"]
    groups = make_optimizer(build("limelight", {"filters": 4}, SHAPE, 3), options).param_groups
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
        network__target={"standardise": False},
    )
    found = toys(12)
    content, history = train(wanted, GRID, found, found, tmp_path)
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
        content, history = train(wanted, GRID, found, held_out, folder)
        module = build("limelight", {"filters": 4}, SHAPE, 10).eval()
        module.load_state_dict(content["state_dict"])
        data, how = shown(held_out)
        with torch.no_grad():
            out = module(observe(data.maps, how, generator())).double() * content["target"]["std"]
        truth = targets(data.n_above, data.volume_mpc3, how)
        populated = torch.as_tensor(held_out.n_above.mean(0)[:10] > 10)
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


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize(("optimizer", "precision"), [("adam", "bf16"), ("sgd", "float32")])
def test_every_loss_optimizer_and_precision_trains(loss, optimizer, precision, tmp_path):
    rate = 3e-3 if optimizer == "adam" else 0.1
    wanted = settings(loss=loss, optimizer=optimizer, precision=precision, learning_rate=rate, epochs=20)
    _, history = train(wanted, GRID, toys(24), toys(6, 1), tmp_path)
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
        network__architecture=architecture,
        network__options=options,
        network__noise=["none", "paper"],
        whole__noise={"none": {"sigma_uk": 0}, "paper": {"sigma_uk": 3.47}},
    )
    content, history = train(wanted, GRID, toys(13), toys(3, 1), tmp_path)
    assert all(math.isfinite(value) for value in history[0].values())
    assert content["input_shape"] == list(SHAPE)


def test_max_maps_uses_the_first_ones_alone(tmp_path):
    found = toys(10)
    few = Toys(found.maps[:6], found.n_above[:6], found.volume_mpc3[:6])
    a, _ = train(settings(max_maps=6), GRID, found, toys(3, 1), tmp_path / "a")
    b, _ = train(settings(), GRID, few, toys(3, 1), tmp_path / "b")
    assert all(torch.equal(a["state_dict"][key], b["state_dict"][key]) for key in a["state_dict"])


def test_the_best_epoch_is_kept_and_both_are_recorded(tmp_path):
    found = toys(12)
    content, history = train(settings(epochs=30, permute_labels=True), GRID, found, toys(8, 1), tmp_path)
    losses = [row["validation_loss"] for row in history]
    assert content["training"]["best_epoch"] == 1 + int(np.argmin(losses)) < 30
    assert content["training"]["validation_loss"] == losses[-1]
    lines = history_csv(history).splitlines()
    assert lines[0] == ",".join(HISTORY_COLUMNS)
    assert len(lines) == 31


# Errors


def test_a_loss_that_explodes_names_epoch_step_and_remedy(tmp_path):
    wanted = settings(optimizer="sgd", learning_rate=1e12, clip_norm=0, epochs=9, batch_size=4)
    with pytest.raises(LimelightError, match=r"toy: epoch \d+, step \d+: .*learning_rate.*clip_norm") as caught:
        train(wanted, GRID, toys(12), toys(3, 1), tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("what", ["maps", "labels", "empty"])
def test_maps_of_another_geometry_are_refused(what, tmp_path):
    found = toys(4)
    if what == "maps":
        found.maps = found.maps[:, :8]
    elif what == "labels":
        found.n_above = found.n_above[:, :-1]
    else:
        found.maps = found.maps[:0]
    with pytest.raises(LimelightError, match="training maps: found"):
        train(settings(), GRID, found, toys(2), tmp_path)


def test_batch_norm_refuses_batches_of_one_map(tmp_path):
    wanted = settings(batch_size=1, network__architecture="cnn3d", network__options={"filters": 4, "layers": 4})
    with pytest.raises(LimelightError, match="networks.toy.training.batch_size: found batches of one map"):
        train(wanted, GRID, toys(3), toys(2, 1), tmp_path)
    train(settings(batch_size=1, epochs=1), GRID, toys(3), toys(2, 1), tmp_path)  # group norm takes them


def pooled(cone: int, **changes) -> PooledMaps:
    """A pooled file's content on one light-cone, with the toys' geometry."""
    found, empty = toys(2), np.zeros(2)
    given = {"grid": GRID, "beam_fwhm_arcmin": 0.0, "labels": LABELS, "cosmology": {}, **changes}
    rows = dict.fromkeys(("subfield", "draw", "center_deg", "line_model", "parameters"), empty)
    return PooledMaps(
        found.maps,
        found.n_above,
        log10_lum_edges=EDGES,
        volume_mpc3=found.volume_mpc3,
        lightcone=np.full(2, cone),
        parameter_names=[],
        examples=empty,
        **rows,
        **given,
    )


SPLITS = {"train": [0], "validation": [1]}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"grid": replace(GRID, size_deg=0.7)}, "--validation: found maps with size_deg 0.7; expected .* 0.35"),
        ({"grid": replace(GRID, unit="Jy/sr")}, "unit Jy/sr"),
        ({"beam_fwhm_arcmin": 4.0}, "beam_fwhm_arcmin 4.0"),
        ({"labels": {**LABELS, "log10_lum_max": 7.0}}, "log10_lum_max 7.0"),
    ],
)
def test_pooled_files_of_another_study_are_refused(change, says):
    check_study(pooled(0), pooled(1), GRID, 0.0, LABELS, SPLITS)
    with pytest.raises(LimelightError, match=says):
        check_study(pooled(0), pooled(1, **change), GRID, 0.0, LABELS, SPLITS)


@pytest.mark.parametrize(
    ("train", "validation", "says"), [(0, 0, "--validation"), (1, 1, "--train"), (2, 1, "--train")]
)
def test_light_cones_of_another_split_are_refused(train, validation, says):
    with pytest.raises(LimelightError, match=rf"{says}: found light-cones \[\d\]; expected those of lightcones"):
        check_study(pooled(train), pooled(validation), GRID, 0.0, LABELS, SPLITS)


def test_foregrounds_are_added_afresh_before_the_noise(tmp_path):
    sources = {
        "sources_per_deg2": 320.0,
        "sources_per_deg2_sigma": 0.0,
        "slope": 2.18,
        "slope_sigma": 0.0,
        "flux_min_mjy": 1.0,
        "flux_max_mjy": 316.0,
        "spectral_index": 0.39,
        "spectral_index_sigma": 0.0,
    }
    changes = {"network__preprocessing": {"transform": "none"}, "whole__foregrounds": sources}
    data, how = shown(toys(3), flips=False, quarter_turns=False, **changes)
    rows = torch.arange(3).repeat(20)
    added = [present(data, rows, how, generator(seed))[0][:, 0] - data.maps[rows] for seed in (1, 2)]
    assert all(extra.min() > -1e-3 and extra.mean() > 1 for extra in added)
    assert not torch.equal(*added)


def test_noise_ranges_reach_the_presentation():
    how = presentation(settings(network__noise=["a"], whole__noise={"a": {"sigma_uk": [2, 4]}}), GRID, EDGES)
    assert how.noise == [(2.0, 4.0)] == [noise_sigma({"sigma_uk": [2, 4]}, {}, GRID)]
