"""Every file says what it holds and what made it: figures too, read back from PDF and PNG."""

import dataclasses
import platform

import audit_toys
import h5py
import numpy as np
import pytest
import torch
from evaluation_toys import ANOTHER, sample
from matplotlib.figure import Figure

from limelight import __version__
from limelight.data.axes import OutputAxis
from limelight.data.shard import Rows, write_shard
from limelight.describe import MIXED, describe, provenance_table
from limelight.errors import LimelightError
from limelight.evaluation.audit_file import write_audit
from limelight.evaluation.evaluation_file import write_evaluation
from limelight.figures.style import save
from limelight.files import provenance, settings_hash, write_hdf5
from limelight.inference.intervals import Intervals, quantiles_of, write_intervals
from limelight.training.checkpoint import save_model
from limelight.versions import git_commit, library_versions


def drawn() -> Figure:
    figure = Figure()
    figure.subplots().plot([0, 1], [1, 0])
    return figure


def test_figures_carry_what_made_them(tmp_path):
    sources = []
    for seed, width in ((7, 1), (7, 2), (8, 2)):
        sources.append(tmp_path / f"{seed}-{width}.h5")
        with write_hdf5(sources[-1], "thing", provenance({"width": width}, seed)) as file:
            file["a"] = np.ones(3)
    save(drawn(), tmp_path / "f.pdf", sources)
    hashes = f"config_hash: {settings_hash({'width': 1})}, {settings_hash({'width': 2})}"
    for name in ("f.pdf", "f.png"):
        lines = [line.strip() for line in describe(tmp_path / name).splitlines()]
        expected = [
            f"limelight_version: {__version__}",
            f"git_commit: {git_commit()}",
            f"libraries: {library_versions()}",
        ]
        assert lines[1:] == [*expected, hashes, "seed: 7, 8"]
    before = (tmp_path / "f.pdf").read_bytes() + (tmp_path / "f.png").read_bytes()
    save(drawn(), tmp_path / "f.pdf", sources)
    assert (tmp_path / "f.pdf").read_bytes() + (tmp_path / "f.png").read_bytes() == before


def test_files_of_several_sets_of_libraries_are_pointed_out(tmp_path, monkeypatch):
    """The libraries that decide numbers, with the versions that are installed; a study mixed of two says so."""
    versions = dict(part.rsplit(" ", 1) for part in library_versions().split(", "))
    assert versions["python"] == platform.python_version()
    assert (versions["numpy"], versions["h5py"]) == (np.__version__, h5py.__version__)
    assert {"scipy", "torch", "camb", "astropy"} < set(versions)
    paths = [tmp_path / f"{name}.h5" for name in "abc"]
    for path in paths[:2]:
        with write_hdf5(path, "thing", provenance({"width": 1}, 7)):
            pass
    assert "different sets of libraries" not in provenance_table(paths[:2], "alike")
    monkeypatch.setattr("limelight.files.library_versions", lambda: library_versions() + ", numpy 9.9.9")
    with write_hdf5(paths[2], "thing", provenance({"width": 1}, 7)):
        pass
    page = provenance_table(paths, "mixed")
    assert f"These files were made with 2 different sets of libraries: {MIXED}." in page
    assert "numpy 9.9.9" in page
    assert page.count("<tr>") == 3, "a row for the two files that are alike, one for the other"


@pytest.mark.parametrize("name", ["f.pdf", "f.png"])
@pytest.mark.parametrize("content", ["drawn elsewhere", "text"])
def test_figures_of_others_are_refused(tmp_path, name, content):
    if content == "text":
        (tmp_path / name).write_text("not a figure")
    else:
        drawn().savefig(tmp_path / name)
    with pytest.raises(LimelightError, match=f"{name}: found a figure that limelight did not draw") as caught:
        describe(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_archives_that_are_no_network_are_foreign(tmp_path):
    """A light-cone exported for other codes is a zip file, as torch's are."""
    np.savez(tmp_path / "cone.npz", x=np.ones(3))
    with pytest.raises(LimelightError, match=r"cone.npz: found a file that limelight did not write"):
        describe(tmp_path / "cone.npz")


def test_a_history_says_what_its_network_says(tmp_path):
    (tmp_path / "history.csv").write_text("epoch,step\n1,10\n")
    assert "config_hash" not in describe(tmp_path / "history.csv")
    save_model(tmp_path / "model.pt", {}, provenance({"a": 1}, 7))
    text = describe(tmp_path / "history.csv")
    assert "1 epochs" in text
    assert f"config_hash: {settings_hash({'a': 1})}" in text


def said(path) -> list[str]:
    """The lines of a description, but for those on provenance and the list of datasets."""
    return [line.strip() for line in describe(path).partition("\ndatasets:\n")[0].splitlines()]


def test_a_shard_is_told_in_words(tmp_path):
    header = dataclasses.replace(ANOTHER, geometry={"pixels": 16}, truths={"of": "theta"}, simulation={"box": 1.5})
    x = np.zeros((130, 2, 16, 16), np.float32)
    x[70, 0, 0, 0], x[129, 1, 3, 3] = -2.5, 12.25
    found = Rows(
        header=header,
        x=x,
        y={"theta": np.zeros((130, 2)), "volume": np.ones(130)},
        theta=np.stack([np.linspace(-1, 1, 130), np.full(130, np.nan)], axis=1),
        parameter_names=["amplitude", "slope"],
        group=np.full(130, 7),
        dataset=np.repeat(["wide"], 130),
        rows={"draw": np.arange(130)},
        examples={"clean": np.zeros((4, 16, 16), np.float32)},
    )
    write_shard(tmp_path / "7.h5", found, provenance({}, 3), {"wide": {"slope": [-3, -1]}})
    lines = said(tmp_path / "7.h5")
    for line in (
        "130 rows of dataset wide, realisation 7, made by the probe gaussian_field",
        "data: 2 channels (a, b) of 16 × 16, in K; probe gaussian_field",
        "axes: x in 16 steps from 0 to 1 m; y in 16 steps from 0 to 1 m",
        "geometry, which networks are bound to: pixels 16",
        "values: from -2.5 to 12.25",
        "truths: theta (2 per row), volume (one per row); what they mean: of theta",
        "parameters: amplitude from -1 to 1, slope unknown",
        "simulation: box 1.5",
        "known of each row as well: draw",
        "pictures: clean of the first 4 rows",
        "made_from: wide {slope [-3, -1]}",
    ):
        assert line in lines, line


def test_evaluations_audits_and_intervals_are_told_in_words(tmp_path):
    e = sample("no_noise", 0.0, 0.02, maps=8)
    write_evaluation(tmp_path / "e.h5", e, provenance({}, 1))
    lines = said(tmp_path / "e.h5")
    assert "network limelight on test no_noise: 8 rows of dataset li10, realisation 0" in lines
    answers = "answers: luminosity in 49 bins from 10^3.5 to 10^7 Lsun; target quantity dn, "
    assert any(line.startswith(answers) for line in lines)
    assert any(line.startswith("over all outputs: ") and "mse_dex" in line for line in lines)

    write_audit(tmp_path / "a.h5", audit_toys.of_parameters(), provenance({}, 1))
    lines = said(tmp_path / "a.h5")
    for line in (
        "network reader: 400 rows of li10, observed as in test comap_noise",
        "answers: parameter, 2: omega_m, sigma_8; target shape [2]",
        "verdicts: 1 reads, 0 partly, 1 remembers, 0 too few to tell",
        "changes of the data: none",
        "levels of noise: none",
        "control on permuted labels: none",
    ):
        assert line in lines, line

    axis = OutputAxis("parameter", names=("omega_m", "sigma_8"))
    draws = np.random.default_rng(1).normal(size=(3, 50, 2))
    found = Intervals(
        method="flow",
        test="clean",
        settings={"dataset": "wide"},
        axis=axis,
        truth=np.zeros((3, 2)),
        quantiles=quantiles_of(draws),
        rows={"group": np.array([4, 5, 5])},
        seconds=np.zeros(3),
        counts=False,
        samples=draws.astype(np.float32),
    )
    write_intervals(tmp_path / "i.h5", found, provenance({}, 1))
    lines = said(tmp_path / "i.h5")
    for line in (
        "flow on test clean: 3 rows of realisations 4, 5",
        "answers: parameter, 2: omega_m, sigma_8; no counts",
        "draws of the answers: 50 per row",
        "draws of the parameters: none per row",
        "the test and the method: dataset wide",
    ):
        assert line in lines, line


def test_a_network_is_told_in_words(tmp_path):
    content = {
        "network": "reader",
        "probe": "gaussian_field",
        "architecture": "convnet",
        "options": {},
        "header": dataclasses.asdict(ANOTHER),
        "entry": {"target": {"standardise": True}, "training": {"loss": "mse"}},
        "observation": {"noise": 0.5},
        "target": {"shape": [2], "axis": dataclasses.asdict(OutputAxis("parameter", names=("a", "b")))},
        "training": {"rows": 64, "best_epoch": 3},
        "label_statistics": {"mean": torch.zeros(2)},
        "state_dict": {"w": torch.zeros(3, 4)},
    }
    save_model(tmp_path / "model.pt", content, provenance({}, 1))
    lines = said(tmp_path / "model.pt")
    for line in (
        "network reader: convnet, options none",
        "data: 2 channels (a, b) of 16 × 16, in K; probe gaussian_field",
        "observed as in training: noise 0.5",
        "answers: parameter, 2: a, b; target standardise True",
        "training: rows 64, best_epoch 3",
        "recipe: loss mse",
        "label_statistics: mean 2 float32",
        "weights: 12 numbers in 1 tensors",
    ):
        assert line in lines, line


def test_a_shard_without_a_part_is_refused_in_one_line(tmp_path):
    with write_hdf5(tmp_path / "s.h5", "shard", provenance({}, 1)) as file:
        file["x"] = np.zeros((2, 1, 4), np.float32)
    with pytest.raises(LimelightError) as caught:
        describe(tmp_path / "s.h5")
    assert "\n" not in str(caught.value)
