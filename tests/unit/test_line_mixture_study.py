"""A study of two lines from shards to figures, on light-cones of random halos: fast, and sparse enough to be told apart."""

import numpy as np
import pytest
import torch

from limelight.data.shard import read_shards
from limelight.evaluation.estimates import estimates, write_estimates
from limelight.evaluation.evaluation_file import read_evaluation
from limelight.files import provenance
from limelight.halos.subfields import SubfieldHalos
from limelight.inference.calibration_table import calibration_rows, prior_answers
from limelight.probe import load_probe
from limelight.probes.line_intensity.mixture import simulate as mixture
from limelight.probes.line_intensity.mixture.figures import separated_maps, separated_scales
from limelight.stages.evaluate import evaluate
from limelight.stages.posterior import draw_posterior, train_posterior
from limelight.stages.simulate import simulate
from limelight.stages.train import train
from limelight.study.config import resolve_study
from limelight.study.settings import estimates_settings

PROBE = load_probe("line_mixture")
CONFIG = {
    "study": "toy",
    "probe": "line_mixture",
    "seed": 3,
    "realisations": {"train": [0], "validation": [1], "test": [2]},
    "data": {
        "cubes": {
            "size_deg": 1.0,
            "pixels": 10,
            "channels": 40,
            "cuts": 4,
            "draws": 4,
            "maps": {"ka": {"freq_min_ghz": 29, "freq_max_ghz": 31}},
            "lines": {
                "co10": {"map": "ka", "rest_freq_ghz": 115.27, "model": "breysse", "prior": "20%"},
                "co21": {"map": "ka", "rest_freq_ghz": 230.54, "model": "breysse", "lprime_ratio": 1.0},
            },
            "catalogues": {"galaxies": {"line": "co10", "log10_mass_min": 12.3}},
        },
        "many": {"like": "cubes", "draws": 30, "images": False},
    },
    "networks": {
        "separate": {
            "architecture": "resunet",
            "options": {"filters": 4, "levels": 1, "kernel": 3, "dropout": 0.0, "waves": True},
            "data": ["cubes"],
            "target": {"quantity": "images", "lines": ["co21", "co10"]},
            "transforms": ["none", "asinh"],
            "noise_uk": 0.3,
            "training": {"epochs": 7, "batch_size": 4, "learning_rate": 4e-3, "ema_decay": 0.95},
            "tests": ["mixture"],
        },
        "beside": {
            "architecture": "crossing",
            "options": {"reach": 1},
            "data": ["many"],
            "target": {"lines": ["co10"]},
            "sees": ["ka", "galaxies"],
            "noise_uk": 0.3,
            "training": {"epochs": 1, "batch_size": 16},
            "tests": ["counted"],
        },
    },
    "posteriors": {
        "auto": {
            "network": "beside",
            "kind": "mdn",
            "features": ["auto"],
            "presentations": 2,
            "samples": 60,
            "mdn": {"components": 1, "rank": 2, "hidden": 16},
            "training": {"epochs": 6},
        }
    },
    "tests": {
        "counted": {"data": "many", "noise_uk": 0.3},
        "mixture": {"data": "cubes", "noise_uk": 0.3, "estimators": ["wiener", "pca"], "spectra_cones": 1},
    },
    "audit": {"networks": "none"},
    "resources": {"training_threads": 1},
}
SHARDS = ("train", "validation", "test")


def random_cone(data, line, seed):
    """Halos at random places of the line's volume, as many as power laws of mass have."""
    rng = np.random.default_rng(seed)
    low, high = mixture.grid_of(data, line).redshift_range
    n = rng.poisson(700 if line == "co10" else 150)
    mass = 10 ** (11.5 + rng.exponential(0.3 if line == "co10" else 0.5, n))
    z = rng.uniform(low, high, n).astype(np.float32)
    sky = rng.uniform(-data.size_deg / 2, data.size_deg / 2, (n, 2))
    yield 0, np.zeros(2), SubfieldHalos(sky, z, z, np.minimum(mass, 1e14).astype(np.float32))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(study, folder) with shards, networks, estimates and evaluations."""
    torch.set_num_threads(1)
    folder, study = tmp_path_factory.mktemp("mixture"), resolve_study(CONFIG, "toy.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mixture, "light_cone", random_cone)
        for number, split in enumerate(SHARDS):
            simulate(study, "cubes", number, folder / f"{split}.h5")
            simulate(study, "many", number, folder / f"many_{split}.h5")
        settings = estimates_settings(study, "mixture")
        beside = estimates(settings, PROBE, read_shards([folder / "test.h5"]))
    write_estimates(folder / "estimates.h5", beside, provenance(settings, study.seed))
    for name, of in (("separate", ""), ("beside", "many_")):
        model, history = folder / f"{name}.pt", folder / f"{name}.csv"
        train(study, name, [folder / f"{of}train.h5"], [folder / f"{of}validation.h5"], model, history)
    told = folder / "estimates.h5"
    evaluate(
        study, "mixture", folder / "separate.pt", folder / "separate.csv", [folder / "test.h5"], folder / "e.h5", told
    )
    return study, folder


def test_lines_are_told_apart_by_a_network_and_by_filters_on_the_same_rows(made):
    found = read_evaluation(made[1] / "e.h5")
    assert found.channels == ("co21", "co10")
    for channel, line in enumerate(found.channels):
        power = found.spectra["truth"][:, channel].sum(axis=0)
        cross, own = (found.spectra[name][:, channel].sum(axis=0) for name in ("cross", "predicted"))
        network = (cross / np.sqrt(own * power)).mean()
        linear = {}
        for kind in ("wiener", "pca"):
            c, p = (found.spectra[f"{kind}_{line}_{name}"].sum(axis=0) for name in ("cross", "predicted"))
            linear[kind] = (c / np.sqrt(p * power)).mean()
        assert network > 0.4, f"{line}: a few steps of training"
        assert linear["wiener"] > max(0.4, linear["pca"] - 0.02), line
        assert 0 < found.totals[f"precision_{line}"] <= 1
        assert 0 < found.totals[f"recall_{line}"] <= 1
    shares = found.spectra["voxels_true"]
    np.testing.assert_allclose(shares.sum(axis=2), 1, rtol=1e-6)


def test_figures_of_the_separation_are_drawn(made, tmp_path):
    found = read_evaluation(made[1] / "e.h5")
    for draw in (separated_maps, separated_scales):
        figure = draw([found], [0])
        figure.savefig(tmp_path / "figure.png", dpi=50)
        words = " ".join(text.get_text() for text in figure.findobj(lambda one: hasattr(one, "get_text")))
        assert "co21" in words
        assert "wiener" in words


def test_a_posterior_stands_on_summaries_of_a_map_and_its_galaxies(made):
    study, folder = made
    data = [folder / f"many_{split}.h5" for split in SHARDS]
    train_posterior(study, "auto", folder / "beside.pt", data[:1], data[1:2], folder / "auto.pt")
    result = draw_posterior(study, "counted", folder / "auto.pt", data[2:], folder / "intervals.h5")
    assert result.truth.shape == (120, 14)
    target = PROBE.target(study.networks["beside"], read_shards(data[:1]).header)
    rows, _ = calibration_rows(result, prior_answers(data[:1], target), 3)
    joint = next(row for row in rows if row["bin"] == "joint")
    assert joint["gain_nats"] > 0.1
