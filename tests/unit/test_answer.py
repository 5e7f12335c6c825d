"""Trained networks and posteriors on rows of one's own: the answers of a study, and a word where the rows are odd."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import limelight
from limelight.data.shard import read_shards
from limelight.errors import LimelightError
from limelight.evaluation.evaluation_file import read_evaluation
from limelight.files import ROOT
from limelight.probe import load_probe
from limelight.stages.answer import answer, read_rows
from limelight.study.config import resolve_study

RAW = {
    "study": "small",
    "probe": "gaussian_field",
    "seed": 5,
    "realisations": {"train": [0, 1], "validation": [2], "test": [3]},
    "data": {"fields": {"pixels": 16, "fields": 96}},
    "training": {"epochs": 6, "batch_size": 16, "learning_rate": 2.0e-3},
    "networks": {"reader": {"architecture": "convnet", "options": {"filters": 8}, "data": ["fields"], "noise": 0.5}},
    "tests": {"same_noise": {"data": "fields", "noise": 0.5}},
    "posteriors": {"mixture": {"network": "reader", "kind": "mdn", "presentations": 2, "training": {"epochs": 6}}},
    "resources": {"training_threads": 1},
}
NOISE = 0.5


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with model.pt, posterior.pt and evaluation.h5 of the study."""
    folder = tmp_path_factory.mktemp("answer")
    study = resolve_study(RAW, "small.yaml")
    shards = {number: str(folder / f"{number}.h5") for number in range(4)}
    for number, path in shards.items():
        limelight.simulate(study, "fields", number, path)
    train, other = [shards[0], shards[1]], [shards[2]]
    limelight.train(study, "reader", train, other, folder / "model.pt")
    limelight.train_posterior(study, "mixture", folder / "model.pt", train, other, folder / "posterior.pt")
    history = str(folder / "history.csv")
    limelight.evaluate(study, "same_noise", folder / "model.pt", history, [shards[3]], folder / "evaluation.h5")
    return folder


@pytest.fixture(scope="module")
def recorded(made: Path) -> np.ndarray:
    """Test fields with the noise that they were evaluated with."""
    from limelight.evaluation.observe import noise_of_test, observed

    _, info = limelight.load_model(made / "model.pt")
    probe, found = load_probe("gaussian_field"), read_shards([made / "3.h5"])
    presentation = probe.presentation(probe.network(info["entry"]), NOISE, found.header)
    return torch.cat(list(observed(found.x, presentation, 5, noise_of_test("same_noise")))).numpy()


def test_a_network_says_of_recorded_rows_what_it_says_in_its_study(made, recorded):
    found = answer(recorded, made / "model.pt")
    assert found.axis.names == ("log10_amplitude", "slope")
    np.testing.assert_allclose(found.values, read_evaluation(made / "evaluation.h5").predicted, rtol=1e-5, atol=1e-6)
    assert not found.warnings


def test_a_posterior_adds_intervals_and_says_how_usual_a_row_is(made, recorded):
    found, truth = answer(recorded, posterior=made / "posterior.pt"), read_shards([made / "3.h5"]).theta
    assert found.quantiles.shape == (len(recorded), 2, 5)
    assert np.all(np.diff(found.quantiles, axis=2) > 0)
    assert np.array_equal(found.values, found.quantiles[..., 2])
    inside = (found.quantiles[..., 0] < truth) & (truth < found.quantiles[..., 4])
    assert inside.mean() > 0.8
    assert np.mean(found.p_values < 0.01) < 0.1
    assert np.array_equal(answer(recorded, posterior=made / "posterior.pt").quantiles, found.quantiles)
    assert np.all(answer(30 * recorded, posterior=made / "posterior.pt").p_values < 0.01)


@pytest.mark.parametrize(
    ("change", "word"), [(lambda x: 30 * x, "larger"), (lambda x: x / 30, "smaller"), (lambda x: x + 50, "mean")]
)
def test_other_units_are_named(made, recorded, change, word):
    assert any(word in line for line in answer(change(recorded), made / "model.pt").warnings)


def test_a_fifth_of_the_rows_in_other_units_is_named(made, recorded):
    mixed = recorded.copy()
    mixed[::5] *= 30
    assert any("of 21 % of the rows larger" in line for line in answer(mixed, made / "model.pt").warnings)


def test_what_cannot_be_answered_is_refused_in_one_line(made, recorded, tmp_path):
    model, odd = made / "model.pt", recorded.copy()
    odd[7, 0, 3, 3] = np.nan
    for rows, words in (
        (odd, "NaN or infinity in row 7"),
        (np.where(np.isnan(odd), 1e60, odd.astype(float)), "infinity in row 7; expected numbers that float32 holds"),
        (recorded.astype(np.complex64), "values of kind complex64"),
        (recorded[:, :, :8], r"rows of shape \(96, 1, 8, 16\)"),
        (recorded[0], r"rows of shape \(1, 16, 16\)"),
        (recorded[:0], "rows of shape"),
    ):
        with pytest.raises(LimelightError, match=words):
            answer(rows, model)
    with pytest.raises(LimelightError, match="both or none"):
        answer(recorded)
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "objects.npy").read_bytes()[:40])
    np.save(tmp_path / "complex.npy", recorded.astype(np.complex64))
    for name, words in (
        ("objects.npy", "expected an array of rows"),
        ("cut.npy", "expected an array of rows"),
        ("complex.npy", "complex64"),
        ("none.npy", "no such file"),
        ("3.h5", "ending .h5"),
    ):
        with pytest.raises(LimelightError, match=words):
            read_rows(tmp_path / name)


def test_the_command_writes_a_line_for_each_row(made, recorded, tmp_path):
    np.save(tmp_path / "rows.npy", recorded[:5])
    command = [
        sys.executable,
        ROOT / "scripts/answer.py",
        "--data",
        tmp_path / "rows.npy",
        "--output",
        tmp_path / "a.csv",
    ]
    ran = subprocess.run([*command, "--posterior", made / "posterior.pt"], capture_output=True, text=True, check=True)
    assert "5 rows, 2 outputs" in ran.stderr
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert [row["row"] for row in rows] == list("01234")
    expected = answer(recorded[:5], posterior=made / "posterior.pt").quantiles[:, 1, 4]
    assert [float(row["slope q975"]) for row in rows] == pytest.approx(list(expected), rel=1e-6)
    network, wrong = [*command, "--network", made / "model.pt"], tmp_path / "wrong.npy"
    np.save(wrong, recorded[:5, :, :4])
    for odd, words in (
        ([*network, "--data", wrong], "rows of shape"),
        ([*network, "--seed", "1"], "--seed: found a network"),
    ):
        failed = subprocess.run(odd, capture_output=True, text=True)
        assert failed.returncode != 0
        assert failed.stderr.count("\n") == 1
        assert words in failed.stderr
