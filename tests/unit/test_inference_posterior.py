"""Posteriors on toy maps, end to end: trained, written, read, drawn, checked; the same bytes again; strange maps found."""

import copy
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from posterior_toys import HEADER, KINDS, TRAINING, cones, sampled, simulations, trained_network, wanted
from training_toys import BINS, DATASET, PROBE, SHAPE, settings

from limelight.data.shard import write_shard
from limelight.errors import LimelightError
from limelight.figures.style import save
from limelight.files import ROOT
from limelight.inference import calibration
from limelight.inference.intervals import write_intervals
from limelight.inference.posterior_intervals import posterior_intervals
from limelight.inference.posteriors import learn
from limelight.inference.posteriors.draw import draw_answers, log_score, replicated
from limelight.inference.posteriors.fit import fit
from limelight.inference.posteriors.learn import train_posterior
from limelight.inference.posteriors.misspecification import UNLIKE, how_unlike, make_check, p_values
from limelight.inference.posteriors.posterior import load_posterior, views
from limelight.inference.posteriors.scaling import standardise
from limelight.inference.posteriors.tables import Mixed, make_table, map_statistics
from limelight.networks import REGISTRY, build
from limelight.probes.line_intensity.apply import in_lines, posterior_table
from limelight.probes.line_intensity.columns import COLUMNS, QUANTILE_COLUMNS
from limelight.probes.line_intensity.figures.predictions import posterior_figure
from limelight.study.settings import PosteriorSettings
from limelight.training.checkpoint import load_model, save_model
from limelight.training.presentation import on_device


@pytest.fixture(scope="module")
def data():
    torch.set_num_threads(1)
    return cones(160, 1, 0), cones(60, 2, 1), cones(40, 3, 9)


@pytest.fixture(scope="module")
def network(tmp_path_factory, data):
    return trained_network(tmp_path_factory.mktemp("network"), data[0], data[1])


def made(network, data, what: PosteriorSettings) -> dict:
    trunk, info = load_model(network)
    maps = simulations() if what.entry.kind == "imnn" else None
    return train_posterior(what, PROBE, trunk, info, data[0], data[1], maps)[0]


@pytest.fixture(scope="module")
def mixture(tmp_path_factory, network, data):
    """(path of a posterior file, its content before writing) of a mixture head."""
    path, content = tmp_path_factory.mktemp("posterior") / "posterior.pt", made(network, data, wanted("mdn"))
    save_model(path, content, {"seed": 7}, "posterior")
    return path, content


@pytest.mark.parametrize(("kind", "of"), [("mdn", "bins"), ("mdn", "parameters"), ("npe", "bins"), ("imnn", "bins")])
def test_a_posterior_is_written_read_and_knows_more_than_the_prior(tmp_path, network, data, kind, of):
    what = wanted(kind, of)
    save_model(tmp_path / "a.pt", made(network, data, what), {"seed": 7}, "posterior")
    posterior = load_posterior(tmp_path / "a.pt")
    result = posterior_intervals(posterior, sampled(what), PROBE, data[2])
    assert result.samples.shape == (40, 200, 10)
    assert (result.seconds == 0).all()
    if of == "parameters" or kind == "imnn":
        assert result.parameter_samples.shape == (40, 200, 2)
        error = np.median(result.parameter_samples, axis=1) - result.parameters
        assert error.std(axis=0).max() < 0.7 * result.parameters.std(axis=0).min()
    rng = np.random.default_rng(0)
    truth, draws = (calibration.spread_out(x, rng) for x in (result.truth, result.samples))
    prior = calibration.spread_out(-np.diff(data[0].y["n_above"][:, :11], axis=1), rng)
    assert calibration.information_gain(draws, truth, prior)[:, :6].mean() > 0.25
    ranks = calibration.ranks(draws, truth)
    narrow, wide = (calibration.coverage(ranks, level)[0].mean() for level in (0.68, 0.95))
    # Of 40 maps at one level, bins of a map alike: two standard errors below; heads this small say rather too little.
    assert 0.68 - 2 * (0.68 * 0.32 / 40) ** 0.5 < narrow < 0.9
    assert 0.95 - 2 * (0.95 * 0.05 / 40) ** 0.5 < wide < 0.995
    assert (result.extra["predictive_p"][:, 7] == 1).all(), "the least value of each of these maps is 0"
    write_intervals(tmp_path / "i.h5", result, {"seed": 7})
    assert result.extra["p_value"].min() > 0


def test_parameters_may_be_as_small_as_they_like(network, data):
    """Such as 2e-6 ± 5e-7 of the line model breysse: what a head answers in is of order one all the same."""
    unit = np.array([1e-6, 1.0])
    small = [replace(rows, theta=2 * unit + unit * rows.theta) for rows in data]
    content = made(network, small, wanted("mdn", "parameters"))
    spread = content["scales"]["target"]["std"].numpy() / unit
    np.testing.assert_allclose(spread, data[0].theta.std(axis=0), rtol=1e-3)
    constant = standardise(torch.full((50, 1), 4.17e12), any_unit=True)
    assert constant["std"].item() == 1


def test_quantiles_of_each_bin_are_intervals_without_draws(tmp_path, network, data):
    what = wanted("quantiles")
    save_model(tmp_path / "a.pt", made(network, data, what), {"seed": 7}, "posterior")
    posterior = load_posterior(tmp_path / "a.pt")
    result = posterior_intervals(posterior, sampled(what), PROBE, data[2])
    write_intervals(tmp_path / "i.h5", result, {"seed": 7})
    assert result.method == "quantiles"
    assert result.samples is None
    prior = np.quantile(-np.diff(data[0].y["n_above"][:, :11], axis=1), (0.025, 0.975), axis=0)
    width = (result.quantiles[..., 4] - result.quantiles[..., 0]).mean(axis=0)
    assert (width / (prior[1] - prior[0]))[:6].mean() < 0.8
    covered = calibration.coverage(result.extra["rank"], 0.95)[0].mean()
    assert 0.95 - 2 * (0.95 * 0.05 / 40) ** 0.5 < covered < 0.995
    table, _ = posterior_table(posterior, data[2].x[0, 0])
    assert np.isnan(table["n_above"]).all()
    assert (table["dn_q2.5"] <= table["dn"]).all()
    with pytest.raises(LimelightError, match="quantiles of each bin have no draws") as error:
        draw_answers(posterior, torch.zeros(1, 16), 10, 1, "x")
    assert "\n" not in str(error.value)


def test_the_same_bytes_again_and_for_every_map_by_itself(tmp_path, network, data):
    what = wanted("mdn", recalibrate=True)
    for name in "ab":
        save_model(tmp_path / f"{name}.pt", made(network, data, what), {"seed": 7}, "posterior")
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()
    posterior = load_posterior(tmp_path / "a.pt")
    assert posterior.content["recalibration"].shape == (10,)
    assert posterior.content["places"].shape == (10, 41)
    assert posterior.content["empties"].shape == (1, 41)
    seen = views(posterior, torch.asinh(torch.as_tensor(data[2].x[:3]) / 3))["features"]
    together, alone = draw_answers(posterior, seen, 50, 7, "x")[0], draw_answers(posterior, seen[:1], 50, 7, "x")[0]
    assert torch.equal(together[:1], alone)
    assert torch.equal(together, draw_answers(load_posterior(tmp_path / "b.pt"), seen, 50, 7, "x")[0])


def test_fine_tuning_moves_the_trunk_and_lowers_the_loss(network, data, monkeypatch):
    trunk, info = load_model(network)
    before, untuned = copy.deepcopy(trunk.state_dict()), []

    def watched(module, loss, held_out, rows, options, seed, name):
        if "fine tuning" in name:
            untuned.append(held_out())
        return fit(module, loss, held_out, rows, options, seed, name)

    monkeypatch.setattr(learn, "fit", watched)
    content, history = train_posterior(wanted("mdn", fine_tune=3), PROBE, trunk, info, data[0], data[1])
    assert any(not torch.equal(content["network"]["state_dict"][key], before[key]) for key in before)
    assert [row["epoch"] for row in history[-3:]] == [1, 2, 3]
    assert min(row["validation_loss"] for row in history[-3:]) < untuned[0]


def test_fine_tuning_that_does_harm_is_undone(network, data, monkeypatch):
    trunk, info = load_model(network)
    before = copy.deepcopy(trunk.state_dict())

    def harmful(module, loss, held_out, rows, options, seed, name):
        if "fine tuning" not in name:
            return fit(module, loss, held_out, rows, options, seed, name)
        with torch.no_grad():
            for weight in module.parameters():
                weight.mul_(1.5)
        return [{"epoch": 1, "train_loss": 0.0, "validation_loss": float(held_out())}]

    monkeypatch.setattr(learn, "fit", harmful)
    content, _ = train_posterior(wanted("mdn", fine_tune=1), PROBE, trunk, info, data[0], data[1])
    assert all(torch.equal(content["network"]["state_dict"][key], before[key]) for key in before)


def test_the_file_says_how_good_the_weights_are_that_it_holds(network, data):
    """At this rate later epochs overfit: the weights are those of an earlier one, and so must be what is said of them."""
    trunk, info = load_model(network)
    long = {**TRAINING, "epochs": 60, "patience": 60, "learning_rate": 1e-2, "weight_decay": 0.0}
    wide = wanted("mdn", training=long, mdn={**KINDS["mdn"], "hidden": 256, "layers": 3})
    content, history = train_posterior(wide, PROBE, trunk, info, data[0], data[1])
    losses = [row["validation_loss"] for row in history]
    assert int(np.argmin(losses)) < 30, "long before the last"
    told = {key: content["training"][key] for key in ("epoch", "train_loss", "validation_loss")}
    assert told == history[int(np.argmin(losses))]


@pytest.mark.parametrize("kind", ["mdn", "npe"])
@pytest.mark.filterwarnings("ignore:torch.triangular_solve")
def test_an_ensemble_answers_with_the_mean_density_of_its_members(tmp_path, network, data, kind):
    what = wanted(kind, **{kind: {**KINDS[kind], "members": 3, **({"components": 10} if kind == "npe" else {})}})
    content = made(network, data, what)
    save_model(tmp_path / "a.pt", content, {"seed": 7}, "posterior")
    posterior = load_posterior(tmp_path / "a.pt")
    assert len(content["training"]["epoch"]) == 3
    inputs = torch.asinh(torch.as_tensor(data[2].x) / 3)
    seen = views(posterior, inputs)["features"]
    answers = torch.as_tensor(-np.diff(data[2].y["n_above"][:, :11], axis=1), dtype=torch.float32)
    alone = []
    for member in posterior.head.members:
        alone.append(log_score(replace(posterior, head=member), seen, answers, 1, "x"))
    assert (alone[0] - alone[1]).abs().max() > 0.1, "each has weights of its own"
    together = log_score(posterior, seen, answers, 1, "x")
    torch.testing.assert_close(together, torch.stack(alone).exp().mean(dim=0).log())
    assert together.mean() > torch.stack(alone).mean()
    result = posterior_intervals(posterior, sampled(what), PROBE, data[2])
    assert 0.8 < calibration.interval_coverage(result.quantiles, result.truth)[0.95].mean() <= 1


def test_strange_maps_are_found(mixture, data):
    posterior = load_posterior(mixture[0])

    def p_of(maps: np.ndarray) -> np.ndarray:
        inputs = torch.asinh(torch.as_tensor(np.asarray(maps, np.float32)) / 3)
        return p_values(posterior.content["check"], views(posterior, inputs)).numpy()

    usual = p_of(data[2].x)
    assert np.mean(usual < 0.05) < 0.25
    rng = np.random.default_rng(4)
    striped = data[2].x + 30 * (np.arange(SHAPE[1]) % 4 == 0)[:, None, None]
    noisy = data[2].x + rng.normal(0, 10, data[2].x.shape)
    for maps in (striped, noisy, 20 * data[2].x):
        assert np.median(p_of(maps)) < UNLIKE
    assert "unlike anything" in how_unlike(0.001)
    assert "unusual" in how_unlike(0.03)
    assert how_unlike(0.4).startswith("like the training maps")


@pytest.mark.parametrize(
    ("side", "steps"), [(1, []), (2, [4]), (4, [2, 3, 4]), (9, [1, 2, 3, 4]), (16, [0, 1, 2, 3, 4])]
)
def test_maps_of_any_size_have_the_power_that_they_have_waves_for(side, steps):
    """A lone wave 2 cos(2π m x / n): power n⁴ in each of its modes ±m, 4 n⁴ in the one of m = n/2; none elsewhere."""
    wave = {1: 0, 2: 1, 4: 1, 9: 2, 16: 1}[side]
    x = 2 * torch.cos(2 * torch.pi * wave / side * torch.arange(side))
    found = map_statistics((5 + x[:, None, None]).expand(1, 1, side, side, 3))[0]
    assert found.shape == (8 + len(steps),)
    assert found.isfinite().all()
    assert found[:2].tolist() == pytest.approx([5 + x.mean().item(), x.std(correction=0).item()], abs=1e-5)
    if not wave:
        return

    def step(a: int, b: int) -> int:
        return min(4, int(10 * np.hypot(a, b) / side + 1e-9))

    waves = [(a, b) for a in range(-((side - 1) // 2), side // 2 + 1) for b in range(side // 2 + 1) if a or b]
    modes = sum(step(*each) == step(wave, 0) for each in waves)
    power = (2 if 2 * wave < side else 4) * side**4 / modes
    assert steps[found[8:].argmax()] == step(wave, 0)
    assert found[8:].max().item() == pytest.approx(np.log10(power), abs=1e-4)


def test_features_that_tell_no_maps_apart_are_refused():
    dead = {"features": torch.ones(50, 3), "statistics": torch.randn(50, 4, generator=torch.Generator().manual_seed(1))}
    with pytest.raises(LimelightError, match="found the same features of every map"):
        make_check(dead, dead)


@pytest.mark.parametrize("side", [1, 3, 8])
def test_strange_maps_are_found_however_few_their_pixels(side):
    random = torch.Generator().manual_seed(3)
    usual = torch.rand(600, 1, side, side, 4, generator=random)
    strange = usual[500:] + 3 * torch.arange(4)
    shown = {view: map_statistics(usual) for view in ("features", "statistics")}
    check = make_check(*({view: s[rows] for view, s in shown.items()} for rows in (slice(300), slice(300, 500))))
    p = p_values(check, {view: s[500:] for view, s in shown.items()})
    assert 0.2 < p.median() <= 1
    assert p_values(check, dict.fromkeys(shown, map_statistics(strange))).max() < UNLIKE


def test_a_cube_is_answered_with_intervals_and_a_verdict(tmp_path, mixture, data):
    posterior = load_posterior(mixture[0])
    table, p = posterior_table(posterior, data[2].x[0, 0])
    assert list(table) == [*COLUMNS, *QUANTILE_COLUMNS]
    ladder = np.stack([table[name] for name in ("dn_q2.5", "dn_q16", "dn", "dn_q84", "dn_q97.5")])
    assert (np.diff(ladder, axis=0) >= 0).all()
    truth = -np.diff(data[2].y["n_above"][0, :11])
    assert np.mean((ladder[0] <= truth) & (truth <= ladder[-1])) >= 0.7
    assert 0 < p <= 1
    again = posterior_table(posterior, data[2].x[0, 0])[0]
    assert all(np.array_equal(table[name], again[name], equal_nan=True) for name in table)
    assert len(in_lines(table).splitlines()) == 6
    save(posterior_figure(table, "a cube"), tmp_path / "lf.csv")
    assert (tmp_path / "lf.pdf").stat().st_size > 1000


def test_predict_names_what_is_off_about_a_cube_in_this_mode_too(tmp_path, mixture, data):
    sound = data[2].x[0, 0]
    rows = {name: getattr(data[2], name)[:2] for name in ("x", "theta", "group", "dataset")}
    x = np.stack([sound, sound - sound.mean((0, 1))])[:, None]
    tables = {name: {key: v[:2] for key, v in getattr(data[2], name).items()} for name in ("y", "rows")}
    write_shard(tmp_path / "two.h5", replace(data[2], **{**rows, "x": x}, **tables, examples={}), {})
    said = []
    for number in ("0", "1"):
        command = [sys.executable, ROOT / "scripts" / "predict.py", "--posterior", mixture[0], "--map", number]
        command += ["--cube", tmp_path / "two.h5", "--output", tmp_path / "lf.csv"]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        said.append(done.stderr)
    assert "absolute zero level" in said[0]
    assert "two.h5: map 0" in said[0]
    assert "the mean of every channel is 0" not in said[0]
    assert "warning" in said[1]
    assert "the mean of every channel is 0" in said[1]


def test_replicated_statistics_follow_the_counts(mixture):
    posterior = load_posterior(mixture[0])
    counts = posterior.content["prior"]["answers"]
    bright, faint = counts[counts.sum(dim=1).argmax()], counts[counts.sum(dim=1).argmin()]
    drawn = [
        replicated(posterior, c.expand(20, -1), torch.Generator().manual_seed(1))[:, 0].mean() for c in (bright, faint)
    ]
    assert drawn[0] > drawn[1]


def test_replicated_statistics_are_those_of_the_presentation_with_these_counts(tmp_path, network, data, monkeypatch):
    monkeypatch.setattr(learn, "KEPT", 60)  # of 320 presentations: many rows of the data are not kept
    save_model(tmp_path / "a.pt", made(network, data, wanted("mdn", empty_share=0.4)), {"seed": 7}, "posterior")
    posterior = load_posterior(tmp_path / "a.pt")
    random = torch.Generator().manual_seed(1)
    brightest = replicated(posterior, torch.zeros(5, *BINS), random)[:, 6]
    assert (brightest == 0).all(), "counts of 0 are those of empty maps"
    truths = torch.as_tensor(-np.diff(data[0].y["n_above"][:, :11], axis=1), dtype=torch.float32)
    brightest = replicated(posterior, truths, random)[:, 6]
    assert (brightest > 0).all(), "these maps are not empty"
    assert len(brightest.unique()) > 15, "different counts are those of different maps"


def test_a_head_that_does_not_fit_is_refused(tmp_path, network, mixture):
    content = mixture[1]
    save_model(tmp_path / "a.pt", {**content, "options": {**KINDS["mdn"], "hidden": 33}}, {"seed": 7}, "posterior")
    with pytest.raises(LimelightError, match="weights that do not fit"):
        load_posterior(tmp_path / "a.pt")
    save_model(tmp_path / "b.pt", {key: value for key, value in content.items() if key != "check"}, {}, "posterior")
    with pytest.raises(LimelightError, match="no check"):
        load_posterior(tmp_path / "b.pt")
    with pytest.raises(LimelightError, match="kind 'network'"):
        load_posterior(network)


ZOO = ("lenet", "alexnet", "vgg", "googlenet", "resnet")
OPTIONS = {"limelight": {"filters": 4}, "resnet3d": {"filters": 4}, "dense": {"hidden": 4}, "counting": {"bins": 4}}
OPTIONS |= {name: {"filters": 4} for name in ZOO}
OF_OTHER_DATA = (
    "resunet",
    "gated",
    "classical",
    "crossing",
    "healpix",
    "traces",
    "antennas",
    "inception",
    "local",
    "statistics",
)


def test_features_are_what_the_last_layer_reads():
    for name in REGISTRY:
        if name.startswith("kappa") or name in OF_OTHER_DATA:
            continue  # of images, without posterior; of other data, tested there
        options = OPTIONS.get(name, {"layers": 2, "filters": 2})
        module = build(name, options, SHAPE, BINS).eval()
        x = torch.randn(2, *SHAPE)
        with torch.no_grad():
            found = module.features(x)
            assert found.shape == (2, module.output.in_features)
            torch.testing.assert_close(module.output(found), module(x))


def test_tables_repeat_maps_with_fresh_noise_and_never_blank_them(network, data):
    trunk, _ = load_model(network)
    noisy = settings({"none": {"sigma_uk": 5}}, blank_fraction=1.0)
    how = PROBE.presentation(noisy.network, noisy.observation, HEADER).unaltered()
    few = cones(5, 1, 0)
    target = PROBE.posterior_target(noisy.network, HEADER)
    table = make_table(trunk, on_device(few, [DATASET], torch.device("cpu")), target, how, 3, 7, "table")
    assert table.row.tolist() == [0, 1, 2, 3, 4] * 3
    np.testing.assert_array_equal(table.answers[5], -np.diff(few.y["n_above"][0, : BINS[0] + 1]))
    assert not torch.equal(table.features[0], table.features[5])
    assert torch.equal(table.theta[0], table.theta[5])


def test_a_share_of_empty_maps_has_no_sources_and_nothing_but_noise(network):
    trunk, _ = load_model(network)
    noisy = settings({"none": {"sigma_uk": 5}})
    how = PROBE.presentation(noisy.network, noisy.observation, HEADER).unaltered()
    target, data = (
        PROBE.posterior_target(noisy.network, HEADER),
        on_device(cones(40, 1, 0), [DATASET], torch.device("cpu")),
    )
    table = make_table(trunk, data, target, how, 5, 7, "table", Mixed(empty=0.3))
    empty = (table.answers == 0).all(dim=1)
    assert 0.2 < empty.float().mean() < 0.4
    mean, spread = table.statistics[:, 0], table.statistics[:, 1]
    assert mean[empty].abs().max() < mean[~empty].min()
    assert spread[empty].std() < 0.1 * spread[empty].mean(), "white noise of one level"
    assert torch.equal(table.of_prior, ~empty)


def test_a_share_of_superposed_maps_has_the_light_and_the_sources_of_two(network):
    trunk, _ = load_model(network)
    clean = settings({"none": {"sigma_uk": 0}})
    how = PROBE.presentation(clean.network, clean.observation, HEADER).unaltered().bare()
    target = PROBE.posterior_target(clean.network, HEADER)
    data = on_device(cones(40, 1, 0), [DATASET], torch.device("cpu"))
    alone = make_table(trunk, data, target, how, 1, 7, "table")
    table = make_table(trunk, data, target, how, 6, 7, "table", Mixed(empty=0.1, superposed=0.4))
    sources, light = (one.double() for one in (table.answers.sum(dim=1), table.statistics[:, 0]))
    own = alone.answers.sum(dim=1).double()[table.row], alone.statistics[:, 0].double()[table.row]
    more = sources > own[0]
    assert 0.3 < more.float().mean() < 0.5
    assert torch.equal(table.of_prior, sources == own[0])
    pairs = own[0][more][:, None] + alone.answers.sum(dim=1), own[1][more][:, None] + alone.statistics[:, 0]
    off = [(both - one[more][:, None]).abs() for both, one in zip(pairs, (sources, light), strict=True)]
    other = (off[0] + off[1] / light.max()).argmin(dim=1, keepdim=True)
    assert not off[0].gather(1, other).any()
    assert off[1].gather(1, other).max() < 1e-4 * light.max()


@pytest.mark.parametrize("fine_tune", [0, 1])
def test_a_head_that_was_shown_empty_maps_finds_nothing_in_one(tmp_path, network, data, fine_tune):
    table, medians = {}, {}
    for share in (0.0, 0.2):
        what = wanted("mdn", empty_share=share or None, fine_tune=fine_tune)
        content = made(network, data, what)
        assert content["training"]["empty_share"] == share
        save_model(tmp_path / "a.pt", content, {"seed": 7}, "posterior")
        posterior = load_posterior(tmp_path / "a.pt")
        for name, cube in (("empty", np.zeros(SHAPE[1:], np.float32)), ("bright", data[2].x[0, 0])):
            table[name, share] = posterior_table(posterior, cube)[0]
            medians[name, share] = table[name, share]["dn"].sum()
    truth = -np.diff(data[2].y["n_above"][0, : BINS[0] + 1]).sum()
    assert medians["empty", 0.2] < 0.02 * truth
    assert medians["empty", 0.0] > 2 * medians["empty", 0.2] + 10, "without them it cannot say so"
    assert medians["bright", 0.2] == pytest.approx(truth, rel=0.3)


def test_recalibrated_quantiles_hold_their_share_of_the_validation_truths(tmp_path, network, data):
    what = wanted("quantiles", recalibrate=True)
    save_model(tmp_path / "a.pt", made(network, data, what), {"seed": 7}, "posterior")
    posterior = load_posterior(tmp_path / "a.pt")
    assert posterior.content["recalibration"].shape == (10, 2)
    held = replace(data[1], group=np.full(60, 9))  # in the place of a test
    result = posterior_intervals(posterior, sampled(what), PROBE, held)
    assert result.method == "quantiles, recalibrated"
    covered = calibration.coverage(result.extra["rank"], 0.95)[0]
    assert abs(covered.mean() - 58 / 60) < 0.02, "58 of 60 rows per bin, but for other noise and other u"
    posterior.content["recalibration"] = None
    as_learnt = posterior_intervals(posterior, sampled(what), PROBE, held)
    assert (as_learnt.quantiles[..., 2] == result.quantiles[..., 2]).all(), "the median stays"
    assert (as_learnt.quantiles[..., 4] != result.quantiles[..., 4]).any()
