"""Weak lensing: posteriors of small trained networks beside the exact one, and beside what is counted."""

from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from result_files import MADE, saliency

from benchmarks.weak_lensing import shares
from limelight.data.axes import OutputAxis
from limelight.data.shard import read_shards, write_shard
from limelight.evaluation.observe import noise_of_test, observed
from limelight.files import provenance
from limelight.inference.exact import DENSITY, exact_intervals, moments
from limelight.inference.posterior_intervals import posterior_intervals
from limelight.inference.posteriors.learn import train_posterior
from limelight.inference.posteriors.posterior import load_posterior
from limelight.probe import load_probe
from limelight.probes.weak_lensing.areas import area_rows, scores
from limelight.probes.weak_lensing.probe import CLASSES
from limelight.saliency.saliency_file import read_saliency, write_saliency
from limelight.study.config import resolve_study
from limelight.study.settings import intervals_settings, network_settings, posterior_settings
from limelight.training.checkpoint import load_model, save_model
from limelight.training.loop import train

PROBE = load_probe("weak_lensing")
MAPS = {"kind": "lognormal", "pixels": 16, "pixel_arcmin": 6, "maps": 200}
NOISY = {"n_gal": 60}
HEAD = {
    "kind": "mdn",
    "presentations": 3,
    "mdn": {"components": 3, "rank": 1, "hidden": 48, "dropout": 0},
    "training": {"epochs": 15},
}
STUDY = resolve_study(
    {
        "probe": "weak_lensing",
        "study": "tiny",
        "realisations": {"train": [0, 1, 3, 5, 6], "validation": [4], "test": [2]},
        "data": {"lognormal": MAPS, "gaussian": {**MAPS, "kind": "gaussian"}},
        "training": {"epochs": 6, "batch_size": 48, "learning_rate": 5e-3},
        "networks": {
            "clean": {"architecture": "kappa_small", "data": ["lognormal"], "tests": ["clean"]},
            "noisy": {"architecture": "kappa_small", "data": ["gaussian"], "survey": NOISY, "tests": ["noisy"]},
            "counted": {
                "architecture": "statistics",
                "options": {"periodic": True, "bins": 6, "smoothing": [0.0, 1.0]},
                "data": ["gaussian"],
                "survey": NOISY,
                "training": {"epochs": 1},
                "tests": ["noisy"],
            },
        },
        "tests": {"clean": {"data": "lognormal"}, "noisy": {"data": "gaussian", "survey": NOISY}},
        "posteriors": {
            "clean": {**HEAD, "network": "clean"},
            "noisy": {**HEAD, "network": "noisy"},
            "power": {**HEAD, "network": "counted", "features": ["power"]},
        },
        "resources": {"training_threads": 1},
    },
    "tiny.yaml",
)


def rows_of(dataset: str, folder: Path) -> dict:
    """The rows of a dataset by split, through its shards."""
    settings, found = PROBE.dataset_settings(STUDY, dataset), {}
    for split, realisations in STUDY.splits.items():
        paths = [folder / f"{dataset}{n}.h5" for n in realisations]
        for n, path in zip(realisations, paths, strict=True):
            if not path.exists():
                write_shard(path, PROBE.simulate(settings, dataset, n), provenance(settings, STUDY.seed))
        found[split] = read_shards(paths)
    return found


def learnt(name: str, test: str, folder: Path):
    """A posterior of the study, by the engine's own functions; and its test's rows."""
    torch.set_num_threads(1)
    rows, network = rows_of(STUDY.tests[test].data, folder), STUDY.posteriors[name].network
    content, _ = train(network_settings(STUDY, network), PROBE, rows["train"], rows["validation"], folder / network)
    save_model(folder / f"{network}.pt", content, provenance({}, STUDY.seed))
    trunk, info = load_model(folder / f"{network}.pt")
    asked, path = posterior_settings(STUDY, name), folder / f"{name}.posterior.pt"
    content, _ = train_posterior(asked, PROBE, trunk, info, rows["train"], rows["validation"])
    save_model(path, content, provenance({}, STUDY.seed), "posterior")
    return load_posterior(path), rows["test"]


def drawn(name: str, test: str, folder: Path):
    """What a posterior of the study says of a test."""
    posterior, rows = learnt(name, test, folder)
    return posterior_intervals(posterior, intervals_settings(STUDY, name, test), PROBE, rows)


def exact(test: str, folder: Path):
    """What the likelihood says of a test, and its grid."""
    found = rows_of(STUDY.tests[test].data, folder)["test"]
    how = PROBE.recorder(STUDY.tests[test].survey, found.header)
    recorded = torch.cat(list(observed(found.x, how, STUDY.seed, noise_of_test(test)))).numpy()
    density = PROBE.exact_posterior(STUDY.tests[test].survey, found.header).log_posterior(recorded)
    grid = PROBE.grid(found.header)
    return exact_intervals("likelihood", density, grid, how.target, found, test, STUDY.seed), grid


def test_a_network_knows_no_more_than_the_exact_posterior_and_much_of_it(tmp_path: Path):
    reference, grid = exact("clean", tmp_path)
    row = area_rows([drawn("clean", "clean", tmp_path)], grid, reference, 1)[0]
    assert row["area_by_score"] > 1 - 2 * row["area_by_score_error"]  # nothing knows more than the likelihood
    assert row["area_by_score"] < 4
    assert row["covered_68"] == pytest.approx(0.68, abs=4 * row["covered_error_68"])


def test_the_density_of_a_recalibrated_posterior_is_that_of_its_draws(tmp_path: Path):
    posterior, rows = learnt("power", "noisy", tmp_path)
    grid, settings = PROBE.grid(rows.header), intervals_settings(STUDY, "power", "noisy")
    posterior.content["recalibration"] = torch.tensor([0.3, 0.5])
    found = posterior_intervals(posterior, settings, PROBE, rows)
    within = ((found.samples > [axis[0] for axis in grid]) & (found.samples < [axis[-1] for axis in grid])).all(
        axis=(1, 2)
    )
    assert within.sum() > 20, "rows whose draws all lie within the prior, to which the density on the grid is cut"
    mean, std = moments(found.extra[DENSITY][within], grid)
    np.testing.assert_allclose(std, found.samples[within].std(axis=1), rtol=0.2)
    assert np.mean(std / found.samples[within].std(axis=1)) == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(mean, found.samples[within].mean(axis=1), atol=0.2 * std.max())
    on_grid = scores(found.extra[DENSITY][within], found.truth[within], grid)
    likely = on_grid > -5  # between its points a grid is no good so far out
    np.testing.assert_allclose(found.extra["log_score"][within][likely], on_grid[likely], atol=0.3)


def test_shares_by_kappa_are_told_of_every_method_and_of_the_pixels(tmp_path: Path):
    path, names = tmp_path / "look.h5", tuple(f"{low:g} to {high:g}" for low, high in pairwise(CLASSES))
    saliency(path)
    found = read_saliency(path)
    shown = np.array([0.1, 0.2, 0.25, 0.15, 0.1, 0.15, 0.05])
    for one in found.pictures.values():
        one.tables["class_kappa"] = shown
    pixels = np.array([0.2, 0.4, 0.3, 0.05, 0.03, 0.015, 0.005])
    found.classes = {"kappa": {"axis": asdict(OutputAxis("κ", names=names)), "pixels": pixels, "amount": pixels}}
    write_saliency(path, found, MADE)
    rows = {row["method"]: row for row in shares([str(path)])}
    assert list(rows) == ["pixels", "gradient", "deeplift"]
    assert rows["gradient"]["negative"] == pytest.approx(0.3)
    assert rows["deeplift"]["above_3_sigma"] == pytest.approx(0.2)
    assert rows["pixels"]["negative"] == pytest.approx(0.6)
    assert rows["pixels"]["share_-1_to_0"] == 0.4


def test_on_a_gaussian_field_the_network_does_not_beat_the_power_spectrum(tmp_path: Path):
    reference, grid = exact("noisy", tmp_path)
    power, network = (drawn(name, "noisy", tmp_path) for name in ("power", "noisy"))
    row = area_rows([power], grid, reference, 1)[0]
    assert 1 - 2 * row["area_by_score_error"] < row["area_by_score"] < 1.6
    versus = area_rows([network], grid, power, 1)[0]
    assert versus["area_by_score"] > 1 - 2 * versus["area_by_score_error"]
