"""Posteriors on toy maps, end to end: trained, written, read, drawn, checked; the same bytes again; strange maps found."""

import copy
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from limelight.figures.inference import posterior_figure
from limelight.networks.features import features, last_linear
from limelight.training.data import on_device, presentation
from training_toys import EDGES, GRID, LABELS, SHAPE, settings

from limelight.errors import LimelightError
from limelight.figures.style import save
from limelight.inference import calibration
from limelight.inference.intervals import write_intervals
from limelight.inference.posterior_intervals import posterior_intervals
from limelight.inference.posteriors import learn
from limelight.inference.posteriors.draw import draw, replicated
from limelight.inference.posteriors.fit import fit
from limelight.inference.posteriors.learn import train_posterior
from limelight.inference.posteriors.misspecification import UNLIKE, make_check, p_values, verdict
from limelight.inference.posteriors.posterior import load_posterior, views
from limelight.inference.posteriors.recalibrate import factors
from limelight.inference.posteriors.tables import dequantised, make_table, map_statistics, to_counts
from limelight.networks import REGISTRY, build
from limelight.probes.line_intensity.apply import COLUMNS, QUANTILE_COLUMNS, in_lines, posterior_table
from limelight.probes.line_intensity.labels import count_above
from limelight.training.checkpoint import load_model, save_model
from limelight.training.loop import train

KINDS = {
    "mdn": {"components": 2, "rank": 2, "hidden": 32, "layers": 1, "dropout": 0.0, "loss": "log_likelihood"},
    "npe": {"flow": "nsf", "transforms": 2, "hidden": 16, "embedding": 4, "components": 3, "dropout": 0.0},
    "imnn": {"hidden": 16, "layers": 2, "steps": 300, "learning_rate": 3e-3, "accept": 60, "adjust": True},
}
TRAINING = {"epochs": 12, "patience": 5, "batch_size": 64, "learning_rate": 3e-3, "weight_decay": 1e-3}


def one_map(rng, factor: float, offset: float) -> tuple[np.ndarray, np.ndarray]:
    n = rng.poisson(2000 * 10**factor)
    log10_lum = 3.9 + rng.exponential(0.2, n) + offset
    cube = np.zeros(SHAPE, np.float32)
    np.add.at(cube, tuple(rng.integers(0, k, n) for k in SHAPE), (3e-4 * 10**log10_lum).astype(np.float32))
    return cube, count_above(log10_lum, EDGES)


def cones(count: int, seed: int):
    """Maps like those of pooled files: two parameters, log10 of the number of halos and of their brightness."""
    rng = np.random.default_rng(seed)
    parameters = rng.uniform(-0.3, 0.3, (count, 2))
    made = [one_map(rng, *values) for values in parameters]
    return SimpleNamespace(
        maps=np.stack([cube for cube, _ in made]),
        n_above=np.stack([counts for _, counts in made]),
        volume_mpc3=np.full(count, 1e6),
        parameters=parameters,
        parameter_names=["factor", "offset"],
        lightcone=np.full(count, seed),
        subfield=np.arange(count),
        draw=np.zeros(count, int),
        line_model=np.full(count, "toy"),
        log10_lum_edges=EDGES,
        geometry={**vars(GRID), "beam_fwhm_arcmin": 0.0},
    )


def simulations():
    step = np.array([0.03, 0.03])

    def side(sign):
        rows = [
            [one_map(np.random.default_rng(i), *(sign * step * (np.arange(2) == p)))[0] for p in (0, 1)]
            for i in range(30)
        ]
        return np.array(rows)

    fiducial = np.stack([one_map(np.random.default_rng(1000 + i), 0, 0)[0] for i in range(80)])
    return fiducial, side(-1), side(1), step


def wanted(kind: str, of: str = "bins", **changes) -> dict:
    entry = {"name": f"toy_{kind}", "kind": kind, "of": of, "presentations": 2, "fine_tune": 0, "recalibrate": False}
    entry |= {"training": TRAINING, kind: KINDS[kind], **changes}
    return {**settings(), "posterior": entry}


def sampled(what: dict) -> dict:
    test = {"name": "quiet", "line_model": {"name": "toy"}, "noise": {"sigma_uk": 0}, "foregrounds": None}
    return {**what, "test": test, "splits": {"train": [1], "validation": [2], "test": [3]}, "samples": 200}


@pytest.fixture(scope="module")
def data():
    torch.set_num_threads(1)
    return cones(160, 1), cones(60, 2), cones(40, 3)


@pytest.fixture(scope="module")
def network(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("network")
    content, _ = train(settings(epochs=6, batch_size=16), GRID, data[0], data[1], folder / "checkpoints")
    save_model(folder / "model.pt", content, {"seed": 7, "settings": json.dumps({"cosmology": {}})})
    return folder / "model.pt"


def made(network, data, what: dict) -> dict:
    trunk, info = load_model(network)
    maps = simulations() if what["posterior"]["kind"] == "imnn" else None
    return train_posterior(what, GRID, trunk, info, data[0], data[1], maps)[0]


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
    result = posterior_intervals(posterior, sampled(what), data[2])
    assert result.samples.shape == (40, 200, 10)
    assert (result.seconds == 0).all()
    if of == "parameters" or kind == "imnn":
        assert result.parameter_samples.shape == (40, 200, 2)
        error = np.median(result.parameter_samples, axis=1) - result.parameters
        assert error.std(axis=0).max() < 0.7 * result.parameters.std(axis=0).min()
    rng = np.random.default_rng(0)
    truth, draws = (calibration.spread_out(x, rng) for x in (result.truth, result.samples))
    prior = calibration.spread_out(-np.diff(data[0].n_above[:, :11], axis=1), rng)
    assert calibration.information_gain(draws, truth, prior)[:, :6].mean() > 0.25
    share = calibration.coverage(calibration.ranks(draws, truth), 0.95)[0]
    assert 0.8 < share.mean() <= 1
    assert (result.extra["predictive_p"][:, 7] == 1).all(), "the least value of each of these maps is 0"
    write_intervals(tmp_path / "i.h5", result, {"seed": 7})
    assert result.extra["p_value"].min() > 0


def test_the_same_bytes_again_and_for_every_map_by_itself(tmp_path, network, data):
    what = wanted("mdn", recalibrate=True)
    for name in "ab":
        save_model(tmp_path / f"{name}.pt", made(network, data, what), {"seed": 7}, "posterior")
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()
    posterior = load_posterior(tmp_path / "a.pt")
    assert posterior.content["recalibration"].shape == (10,)
    seen = views(posterior, torch.asinh(torch.as_tensor(data[2].maps[:3]) / 3)[:, None])["features"]
    together, alone = draw(posterior, seen, 50, 7, "x")[0], draw(posterior, seen[:1], 50, 7, "x")[0]
    assert torch.equal(together[:1], alone)
    assert torch.equal(together, draw(load_posterior(tmp_path / "b.pt"), seen, 50, 7, "x")[0])


def test_fine_tuning_moves_the_trunk_and_lowers_the_loss(network, data):
    trunk, info = load_model(network)
    before = copy.deepcopy(trunk.state_dict())
    content, history = train_posterior(wanted("mdn", fine_tune=1), GRID, trunk, info, data[0], data[1])
    assert any(not torch.equal(content["network"]["state_dict"][key], before[key]) for key in before)
    assert np.isfinite([row["validation_loss"] for row in history]).all()


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
    content, _ = train_posterior(wanted("mdn", fine_tune=1), GRID, trunk, info, data[0], data[1])
    assert all(torch.equal(content["network"]["state_dict"][key], before[key]) for key in before)


def test_strange_maps_are_found(mixture, data):
    posterior = load_posterior(mixture[0])

    def p_of(maps: np.ndarray) -> np.ndarray:
        inputs = torch.asinh(torch.as_tensor(np.asarray(maps, np.float32)) / 3)[:, None]
        return p_values(posterior.content["check"], views(posterior, inputs)).numpy()

    usual = p_of(data[2].maps)
    assert np.mean(usual < 0.05) < 0.25
    rng = np.random.default_rng(4)
    striped = data[2].maps + 30 * (np.arange(SHAPE[0]) % 4 == 0)[:, None, None]
    noisy = data[2].maps + rng.normal(0, 10, data[2].maps.shape)
    for maps in (striped, noisy, 20 * data[2].maps):
        assert np.median(p_of(maps)) < UNLIKE
    assert "unlike anything" in verdict(0.001)
    assert "unusual" in verdict(0.03)
    assert verdict(0.4).startswith("like the training maps")


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
    table, p = posterior_table(posterior, data[2].maps[0])
    assert list(table) == [*COLUMNS, *QUANTILE_COLUMNS]
    ladder = np.stack([table[name] for name in ("dn_q2.5", "dn_q16", "dn", "dn_q84", "dn_q97.5")])
    assert (np.diff(ladder, axis=0) >= 0).all()
    truth = -np.diff(data[2].n_above[0, :11])
    assert np.mean((ladder[0] <= truth) & (truth <= ladder[-1])) >= 0.7
    assert 0 < p <= 1
    again = posterior_table(posterior, data[2].maps[0])[0]
    assert all(np.array_equal(table[name], again[name]) for name in table)
    assert len(in_lines(table).splitlines()) == 6
    save(posterior_figure(table, "a cube"), tmp_path / "lf.csv")
    assert (tmp_path / "lf.pdf").stat().st_size > 1000


def test_replicated_statistics_follow_the_counts(mixture):
    posterior = load_posterior(mixture[0])
    counts = posterior.content["prior"]["counts"]
    bright, faint = counts[counts.sum(dim=1).argmax()], counts[counts.sum(dim=1).argmin()]
    drawn = [
        replicated(posterior, c.expand(20, -1), torch.Generator().manual_seed(1))[:, 0].mean() for c in (bright, faint)
    ]
    assert drawn[0] > drawn[1]


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


def test_features_are_what_the_last_layer_reads():
    for name in REGISTRY:
        options = {"limelight": {"filters": 4}, "resnet3d": {"filters": 4}}.get(name, {"layers": 2, "filters": 2})
        module = build(name, options, (16, 16, 4), 10).eval()
        x = torch.randn(2, 1, 16, 16, 4)
        with torch.no_grad():
            found = features(module, x)
            assert found.shape == (2, last_linear(module).in_features)
            torch.testing.assert_close(last_linear(module)(found), module(x))


def test_tables_repeat_maps_with_fresh_noise_and_never_blank_them(network, data):
    trunk, _ = load_model(network)
    how = presentation(settings(blank_fraction=1.0, whole__noise={"none": {"sigma_uk": 5}}), GRID, EDGES)
    maps = on_device(data[0].maps[:5], data[0].n_above[:5], data[0].volume_mpc3[:5], torch.device("cpu"))
    table = make_table(trunk, maps, data[0].parameters[:5], how, 3, 7, "table")
    assert table.row.tolist() == [0, 1, 2, 3, 4] * 3
    np.testing.assert_array_equal(table.counts[5], -np.diff(data[0].n_above[0, : LABELS["bins"] + 1]))
    assert not torch.equal(table.features[0], table.features[5])
    assert torch.equal(table.parameters[0], table.parameters[5])


def test_counts_come_back_from_dequantised_ones():
    counts = torch.tensor([0.0, 1, 2, 17, 1234, 54321], dtype=torch.float64)
    for seed in range(20):
        assert torch.equal(to_counts(dequantised(counts, torch.Generator().manual_seed(seed))), counts)


def test_recalibration_factors_undo_a_planted_width():
    random = torch.Generator().manual_seed(3)
    truth = torch.randn(2000, 2, generator=random)
    draws = torch.randn(2000, 300, 2, generator=random) * torch.tensor([0.5, 1.6])
    found = factors(draws, truth)
    np.testing.assert_allclose(found, [2.0, 1 / 1.6], rtol=0.06)
