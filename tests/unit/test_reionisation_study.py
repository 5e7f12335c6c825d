"""A tiny study of reionisation end to end: networks' posteriors beside the exact one, by the engine's own functions."""

import runpy
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from limelight.data.shard import read_shards, write_shard
from limelight.errors import LimelightError
from limelight.evaluation.metrics import Judged
from limelight.evaluation.observe import noise_of_test, observed
from limelight.evaluation.predict import predict_targets
from limelight.files import ROOT, provenance, read_csv, write_csv
from limelight.inference.exact import DENSITY, exact_intervals, information_row, moments
from limelight.inference.intervals import read_intervals, write_intervals
from limelight.inference.posterior_intervals import posterior_intervals
from limelight.inference.posteriors.learn import train_posterior
from limelight.inference.posteriors.posterior import load_posterior
from limelight.inference.recalibration import recalibrated
from limelight.probe import load_probe
from limelight.probes.reionisation.config import Instrument
from limelight.probes.reionisation.likelihood import fisher_information
from limelight.probes.reionisation.noises import noise_rows, noises_figure
from limelight.section import plain
from limelight.study.config import resolve_study
from limelight.study.settings import intervals_settings, network_settings, posterior_settings
from limelight.training.checkpoint import load_model, save_model
from limelight.training.loop import train

PROBE = load_probe("reionisation")
FULL = {"isotropic_uk_arcmin": 100}
HEAD = {
    "network": "reader",
    "kind": "mdn",
    "presentations": 2,
    "mdn": {"components": 2, "rank": 0, "hidden": 32, "dropout": 0},
    "training": {"epochs": 20, "batch_size": 256, "learning_rate": 3e-3},
}
IMNN = {**HEAD, "kind": "imnn", "presentations": 1}
IMNN["imnn"] = {"simulations": 2000, "derivatives": 400, "step": 0.1, "hidden": 16, "steps": 200, "accept": 150}


def study_of(**changes):
    raw = {
        "study": "tiny",
        "probe": "reionisation",
        "realisations": {"train": [0, 1], "validation": [2], "test": [3]},
        "data": {"sky": {"nside": 4, "maps": 600, "tau": [0.03, 0.1]}},
        "training": {"epochs": 10, "batch_size": 64, "learning_rate": 4e-3, "ema_decay": 0.9},
        "networks": {
            "reader": {"architecture": "dense", "data": ["sky"], "inputs": "spectra", "instrument": FULL},
            "shuffled": {
                "architecture": "dense",
                "data": ["sky"],
                "inputs": "spectra",
                "instrument": FULL,
                "training": {"permute_labels": True, "epochs": 2},
            },
        },
        "tests": {"full": {"data": "sky", "instrument": FULL}},
        "posteriors": {
            "mdn": HEAD,
            "bounded": {**HEAD, "mdn": {**HEAD["mdn"], "bounded": True}},
            "crps": {**HEAD, "mdn": {**HEAD["mdn"], "loss": "crps"}},
            "imnn": IMNN,
            "smc": {**IMNN, "abc": "smc", "compression": "imnn", "smc": {"maps": 2, "particles": 60, "rounds": 1}},
            "shuffled": {**HEAD, "network": "shuffled"},
            "long_steps": {**IMNN, "imnn": {**IMNN["imnn"], "step": 0.5}},
        },
        "resources": {"training_threads": 1},
    }
    return resolve_study({**raw, **changes}, "tiny.yaml")


@pytest.fixture(scope="module")
def study():
    torch.set_num_threads(1)
    return study_of()


@pytest.fixture(scope="module")
def rows(study, tmp_path_factory):
    folder, settings = tmp_path_factory.mktemp("shards"), PROBE.dataset_settings(study, "sky")
    for number in range(4):
        write_shard(folder / f"{number}.h5", PROBE.simulate(settings, "sky", number), provenance(settings, study.seed))
    return [read_shards([folder / f"{n}.h5" for n in part]) for part in ((0, 1), (2,), (3,))]


@pytest.fixture(scope="module")
def exact(study, rows, tmp_path_factory):
    test = rows[2]
    recorder = PROBE.recorder(study.tests["full"].instrument, test.header)
    maps = torch.cat(list(observed(test.x, recorder, study.seed, noise_of_test("full")))).numpy()
    found = PROBE.exact_posterior(study.tests["full"].instrument, test.header)
    density = found.log_posterior(maps)
    result = exact_intervals(found.method, density, PROBE.grid(test.header), recorder.target, test, "full", study.seed)
    path = tmp_path_factory.mktemp("exact") / "full.h5"
    write_intervals(path, result, provenance({}, study.seed))
    return read_intervals(path)


@pytest.fixture(scope="module")
def trunks(study, rows, tmp_path_factory):
    folder, found = tmp_path_factory.mktemp("networks"), {}
    for name in study.networks:
        content, _ = train(network_settings(study, name), PROBE, rows[0], rows[1], folder / f"{name}_checkpoints")
        save_model(folder / f"{name}.pt", content, provenance({}, study.seed))
        found[name] = folder / f"{name}.pt"
    return found


def drawn(study, rows, trunks, folder, name: str, of: str | None = None):
    """(intervals of a posterior, the content of its file)."""
    settings = posterior_settings(study, name)
    trunk, info = load_model(trunks[study.posteriors[name].network])
    simulations = PROBE.fisher_rows(settings, []) if settings.entry.kind == "imnn" else None
    content, _ = train_posterior(settings, PROBE, trunk, info, rows[0], rows[1], simulations)
    save_model(folder / "posterior.pt", content, provenance({}, study.seed), "posterior")
    posterior = load_posterior(folder / "posterior.pt")
    return posterior_intervals(posterior, intervals_settings(study, of or name, "full"), PROBE, rows[2]), content


def test_the_exact_posterior_is_calibrated(exact):
    row = information_row(exact, exact, "exact")
    assert row["nats_lost"] == 0
    assert row["width_over_exact"] == 1
    assert row["rank_p"] > 1e-3
    assert abs(row["covered_68"] - 0.68) < 4 * row["error_68"]


@pytest.mark.parametrize("name", ["mdn", "crps", "bounded"])
def test_a_mixture_on_spectra_loses_little_on_the_full_sky(study, rows, trunks, exact, tmp_path, name):
    found, _ = drawn(study, rows, trunks, tmp_path, name)
    row = information_row(exact, found, name)
    assert found.extra[DENSITY].shape == exact.extra[DENSITY].shape
    assert 0 < row["nats_lost"] < 0.15
    assert 0.9 < row["width_over_exact"] < 1.25
    assert row["nats_known"] > 0.5
    low, high = study.data["sky"].tau
    inside = (found.samples >= low) & (found.samples <= high)
    assert inside.all() == (name == "bounded")


def test_shuffled_labels_give_the_prior(study, rows, trunks, exact, tmp_path):
    found, _ = drawn(study, rows, trunks, tmp_path, "shuffled")
    low, high = study.data["sky"].tau
    mean, spread = moments(found.extra[DENSITY], [np.linspace(low, high, 81)])
    row = information_row(exact, found, "shuffled")
    assert row["nats_lost"] == pytest.approx(row["nats_known"], abs=0.1)
    np.testing.assert_allclose(spread.mean(), (high - low) / np.sqrt(12), rtol=0.25)  # of a Gaussian cut to the prior
    assert mean.std() < 0.15 * spread.mean()


def test_an_imnn_has_no_more_information_than_there_is_and_abc_finds_the_posterior(
    study, rows, trunks, exact, tmp_path
):
    found, content = drawn(study, rows, trunks, tmp_path, "imnn")
    most = fisher_information(0.065, study.tests["full"].instrument, 4, 11, 0.0)
    information = float(content["scales"]["summaries"]["fisher"])
    assert 0.8 < information / most < 1.02 + 3 * np.sqrt(2 / 500)  # the scatter of a variance of 500 fresh simulations
    row = information_row(exact, found, "imnn")
    assert row["nats_lost"] < 0.5  # of 150 accepted: few where the prior ends
    assert 0.85 < row["width_over_exact"] < 2  # there are 1200 skies to accept from
    posterior = load_posterior(tmp_path / "posterior.pt")
    by_simulation = posterior_intervals(posterior, intervals_settings(study, "smc", "full"), PROBE, rows[2])
    row = information_row(exact, by_simulation, "smc")
    assert row["rows"] == 2
    assert 0.6 < row["width_over_exact"] < 1.7


@pytest.mark.parametrize("exact_over_true", [1.0, 0.5])
def test_more_information_than_there_is_is_warned_of(
    study, rows, trunks, tmp_path, monkeypatch, capsys, exact_over_true
):
    """The same IMNN, which has some 0.9 of the information, told of half of what there is has 1.8 of it."""
    asked = study_of(posteriors={"imnn": {**IMNN, "imnn": {**IMNN["imnn"], "steps": 1}}})
    most = PROBE.most_information(posterior_settings(asked, "imnn"))
    monkeypatch.setattr(type(PROBE), "most_information", lambda self, settings: exact_over_true * most)
    _, content = drawn(asked, rows, trunks, tmp_path, "imnn")
    share, lines = content["training"]["share_of_information"], capsys.readouterr().err.splitlines()
    warning = (
        f"limelight: warning: posterior imnn: found {share:.3f} of the information that there is; expected 1 at most"
    )
    assert (share > 1) == (exact_over_true == 0.5)
    assert [line.startswith(warning) for line in lines if "warning" in line] == [True] * (share > 1)


def test_steps_as_long_as_the_error_are_refused(study, rows, trunks, tmp_path):
    with pytest.raises(LimelightError, match=r"posteriors.long_steps.imnn.step: found 0.5 of the prior's σ"):
        drawn(study, rows, trunks, tmp_path, "long_steps")


def test_the_scripts_write_the_table_and_its_figure(study, rows, exact, tmp_path, monkeypatch):
    """exact_posterior.py makes the same file of the same rows; compare_posteriors.py holds it against another."""
    config = tmp_path / "study.yaml"
    config.write_text(yaml.safe_dump(plain(study)))
    settings = PROBE.dataset_settings(study, "sky")
    write_shard(tmp_path / "3.h5", PROBE.simulate(settings, "sky", 3), provenance(settings, study.seed))

    def run(script: str, *arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        runpy.run_path(str(ROOT / "scripts" / script), run_name="__main__")

    made = tmp_path / "exact.h5"
    run("exact_posterior.py", "--config", config, "--test", "full", "--data", tmp_path / "3.h5", "--output", made)
    np.testing.assert_array_equal(read_intervals(made).extra[DENSITY], exact.extra[DENSITY])
    run("compare_posteriors.py", "--exact", made, "--intervals", made, "--output", tmp_path / "table.csv")
    table = read_csv(tmp_path / "table.csv", "a table")
    assert table["nats_lost"].tolist() == [0, 0]
    assert (tmp_path / "table.png").stat().st_size > 10_000
    with pytest.raises(SystemExit):
        run("exact_posterior.py", "--config", config, "--test", "none", "--data", made, "--output", tmp_path / "x.h5")
    assert not (tmp_path / "x.h5").exists()


@pytest.mark.parametrize(
    ("mdn", "line"),
    [
        ({"rank": 1}, "found true with rank 1, log_likelihood, of the target; expected rank 0"),
        ({"rank": 0, "loss": "crps"}, "found true with rank 0, crps, of the target; expected rank 0, log_likelihood"),
    ],
)
def test_a_mixture_that_ends_with_the_prior_needs_components_of_known_share(mdn, line):
    with pytest.raises(LimelightError, match=f"posteriors.p.mdn.bounded: {line}"):
        study_of(posteriors={"p": {**HEAD, "mdn": {**mdn, "bounded": True}}})


def test_a_mixture_that_ends_with_the_prior_is_not_widened_beyond_it():
    drawn = torch.rand(1, 2000, 1, generator=torch.Generator().manual_seed(0))  # of a prior that ends at 0 and 1
    widened = recalibrated(drawn, torch.tensor([1.3]), None)
    assert widened.min() < 0
    assert widened.max() > 1
    with pytest.raises(LimelightError, match="posteriors.p.mdn.bounded: found true with posteriors.p.recalibrate"):
        study_of(posteriors={"p": {**HEAD, "recalibrate": True, "mdn": {"rank": 0, "bounded": True}}})


def test_the_floor_is_the_mean_error_of_the_best_unbiased_estimate():
    rng, instrument = np.random.default_rng(0), Instrument(**FULL)
    truth = rng.uniform(0.04, 0.09, (4000, 1))
    sigma = np.array([fisher_information(tau, instrument, 4, 11, 0.0) ** -0.5 for tau in truth[:, 0]])[:, None]
    predicted = truth + sigma * rng.standard_normal(truth.shape)
    study = study_of()
    header = PROBE.header(PROBE.dataset_settings(study, "sky"))
    shown = PROBE.recorder(instrument, header)
    judged = Judged(shown, header, {}, truth, truth, truth[0], predicted, truth, truth[0], {})
    found, _ = PROBE.metrics(judged)
    assert found["relative_error"] == pytest.approx(found["floor"], rel=0.06)


@pytest.mark.parametrize("name", ["reader", "mdn"])
def test_no_network_has_a_smaller_error_than_the_mean_of_the_exact_posterior(
    study, rows, trunks, exact, tmp_path, name
):
    """The mean is the best estimate that there is: whatever is far better knows what it must not."""
    if name == "reader":
        trunk, info = load_model(trunks[name])
        test, asked = rows[2], PROBE.presentation(study.networks[name], study.tests["full"].instrument, rows[2].header)
        batches = observed(test.x, asked, study.seed, noise_of_test("full"))
        answers = predict_targets(trunk, info, batches, "cpu")
    else:
        answers = drawn(study, rows, trunks, tmp_path, name)[0].samples.mean(axis=1)
    grid = np.linspace(*study.data["sky"].tau, 81)
    best, _ = moments(exact.extra[DENSITY], [grid])
    gain = (best - exact.truth) ** 2 - (answers - exact.truth) ** 2
    assert gain.mean() < 3 * gain.std() / np.sqrt(len(gain))
    assert np.corrcoef(answers[:, 0], best[:, 0])[0, 1] > 0.9  # and it is an estimate of τ


def test_answers_beyond_the_limits_of_the_prior_are_refused(study, rows, trunks):
    settings = posterior_settings(study, "bounded")
    trunk, info = load_model(trunks["reader"])
    beyond = replace(rows[0], y={"parameters": rows[0].y["parameters"] + 0.05})
    with pytest.raises(LimelightError, match=r"posteriors.bounded.mdn.bounded: found answers beyond them; .*0.03, 0.1"):
        train_posterior(settings, PROBE, trunk, info, beyond, rows[1])


# Banks of noises


def banked():
    """A study with banks of 6 and 20 noises beside fresh ones, and a network on maps that has no bank."""
    like = study_of()
    reader, head = plain(like.networks["reader"]), HEAD
    banks = {name: {"noises": count, "instrument": FULL} for name, count in (("few", 3), ("many", 10))}
    sky = plain(like.data["sky"])
    return study_of(
        data={"sky": sky, **{name: {**sky, "bank": bank} for name, bank in banks.items()}},
        networks={
            "many": {**reader, "data": ["many"]},
            "fresh": reader,
            "few": {**reader, "data": ["few"]},
            "alone": {**reader, "inputs": "alm"},
        },
        posteriors={name: {**HEAD, "network": name} for name in ("many", "fresh", "few", "alone")}
        | {"flow": {**head, "network": "fresh", "kind": "npe", "npe": {"transforms": 2}}},
    )


INFORMATION = {
    "posterior": np.array(["exact", "fresh", "alone", "few", "many", "flow"]),
    "nats_lost": np.array([0, 0.1, 0.5, 0.4, 0.2, 0.3]),
    **{key: np.arange(6.0) for key in ("nats_error", "width_over_exact", "covered_95")},
}


def test_banks_of_noises_stand_beside_fresh_ones_of_the_same_kind():
    rows = noise_rows(banked(), INFORMATION)
    assert [(row["posterior"], row["noises"], row["nats_lost"]) for row in rows] == [
        ("few", 6, 0.4),
        ("many", 20, 0.2),
        ("fresh", "fresh", 0.1),
    ]
    panel = noises_figure(rows).axes[0]
    assert [label.get_text() for label in panel.get_xticklabels()] == ["6", "20", "fresh"]
    (line,) = panel.lines[:1]
    np.testing.assert_allclose(line.get_xydata(), [[0, 0.4], [1, 0.2], [2, 0.1]])


def test_banks_with_systematics_stand_beside_fresh_noise_with_systematics():
    dusty = {**FULL, "pixel_uk_arcmin": 60, "dust_uk": 0.3}
    plain_study = banked()
    sky, reader = plain(plain_study.data["sky"]), plain(plain_study.networks["fresh"])
    names = ("fresh", "dusty", "dusty_bank")
    study = study_of(
        data={"sky": sky, "bank": {**sky, "bank": {"noises": 5, "instrument": dusty}}},
        networks={
            "fresh": reader,
            "dusty": {**reader, "instrument": dusty},
            "dusty_bank": {**reader, "instrument": FULL, "data": ["bank"]},  # whose filter would not know of the dust
        },
        posteriors={name: {**HEAD, "network": name} for name in names},
    )
    information = {"posterior": np.array(names), **{key: np.arange(3.0) for key in list(INFORMATION)[1:]}}
    rows = noise_rows(study, information)
    assert [(row["posterior"], row["noises"]) for row in rows] == [("dusty_bank", 10), ("dusty", "fresh")]


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        ({"posterior": ["exact", "fresh"]}, r"i.csv: found no column covered_95; expected a table of what posteriors"),
        (
            {key: ["fresh" if key == "posterior" else 1] for key in INFORMATION},
            r"i.csv: found no posterior of the study that learnt from a bank of noises",
        ),
    ],
)
def test_a_table_without_banks_ends_in_one_line(monkeypatch, tmp_path, columns, line):
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    write_csv(tmp_path / "i.csv", rows, 4)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(plain(banked())))
    words = [
        "--config",
        f"{tmp_path}/study.yaml",
        "--information",
        f"{tmp_path}/i.csv",
        "--output",
        f"{tmp_path}/n.csv",
    ]
    monkeypatch.setattr(sys, "argv", ["compare_noises.py", *words])
    with pytest.raises(LimelightError, match=line):
        runpy.run_path(str(ROOT / "scripts" / "compare_noises.py"), run_name="compare_noises")["main"]()
    assert not (tmp_path / "n.csv").exists()
