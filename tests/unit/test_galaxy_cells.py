"""What there is in each cell of an image of galaxies, the network that answers it, and posteriors of parameters on that."""

import numpy as np
import pytest
import torch

from limelight.data.axes import OutputAxis
from limelight.data.shard import read_shards, write_shard
from limelight.data.targets import FieldTarget
from limelight.errors import LimelightError
from limelight.files import ROOT, provenance
from limelight.inference.posterior_intervals import posterior_intervals
from limelight.inference.posteriors.learn import train_posterior
from limelight.inference.posteriors.posterior import load_posterior
from limelight.networks import build
from limelight.probe import load_probe
from limelight.probes.galaxy_field.config import GalaxyField
from limelight.probes.galaxy_field.fields import SUMS, cells_of, expected_number, paint
from limelight.probes.galaxy_field.presentation import GalaxyPresentation
from limelight.probes.galaxy_field.simulations import draw_catalogue
from limelight.stages.answer import answer
from limelight.stages.evaluate import evaluate
from limelight.study.config import resolve_study
from limelight.study.selection import suitable_tests
from limelight.study.settings import intervals_settings, network_settings, posterior_settings
from limelight.study.yaml import read_yaml
from limelight.training.checkpoint import load_model, save_model
from limelight.training.loop import history_csv, train

PROBE = load_probe("galaxy_field")


def log_probability(light: np.ndarray, theta: np.ndarray, l_min: float) -> float:
    """Of a catalogue, up to a constant: Σ ln n(L) − ∫ n dL of a Schechter function."""
    phi, l_star = np.exp(theta[:2])
    x = light / l_star
    return np.sum(np.log(phi / l_star) + theta[2] * np.log(x) - x) - expected_number(theta, l_min)


def test_the_sums_of_all_cells_are_all_that_a_catalogue_says():
    """ln p at one θ minus that at another is linear in the three sums, with the same numbers for every catalogue."""
    data, rng = GalaxyField(pixels=16), np.random.default_rng(0)
    sums, ratios = [], []
    for _ in range(12):
        light, places, _ = draw_catalogue(np.array([4.0, 0.0]), data, rng)
        cells = cells_of(light, places, 16, data.l_min)
        assert cells.shape == (3, 8, 8)
        sums.append(cells.astype(np.float64).sum(axis=(1, 2)))
        ratios.append(
            np.subtract(*(log_probability(light, np.array(one), 0.1) for one in ([4, 0, -1], [4.3, 0.4, -1.2])))
        )
    design = np.column_stack([np.ones(12), sums])
    left = ratios - design @ np.linalg.lstsq(design, ratios, rcond=None)[0]
    assert np.abs(left).max() < 1e-3
    assert np.std(ratios) > 1


def test_a_galaxy_is_in_the_cell_of_its_place():
    found = cells_of(np.array([0.2, 0.5, 0.3]), np.array([[0.1, 3.9], [1.9, 2.0], [7.99, 6.0]]), 8, 0.1)
    expected = np.zeros((3, 4, 4))
    expected[:, 0, 1] = 2, np.log(2) + np.log(5), 0.7
    expected[:, 3, 3] = 1, np.log(3), 0.3
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_cells_turn_and_move_with_their_images():
    """Of galaxies as sharp as pixels the light of a cell is that of its pixels, before and after."""
    rng = np.random.default_rng(1)
    light, places = rng.uniform(0.1, 2, 30), rng.integers(0, 16, (30, 2)) + 0.5
    x = torch.from_numpy(paint(light, places, np.zeros((30, 1)), 16, 0.05)).expand(6, 1, 16, 16)
    cells = torch.from_numpy(cells_of(light, places, 16, 0.1)).expand(6, 3, 8, 8)
    how = GalaxyPresentation(FieldTarget(("cells",), OutputAxis("cell", channels=SUMS), (3, 8, 8)))
    moved, y = how.augment(x, {"cells": cells, "parameters": torch.zeros(6, 2)}, torch.Generator().manual_seed(2))
    assert not torch.equal(moved, x)
    torch.testing.assert_close(moved[:, 0].unfold(1, 2, 2).unfold(2, 2, 2).sum((3, 4)), y["cells"][:, 2])
    assert y["parameters"].shape == (6, 2)


# The network


def test_answers_move_with_a_periodic_image_and_averages_do_not():
    torch.manual_seed(0)
    network = build("local", {"filters": 5, "layers": 2, "padding": "circular"}, (2, 24, 24), (3, 12, 12)).eval()
    x = torch.randn(2, 2, 24, 24)
    with torch.no_grad():
        answer, moved = network(x), network(x.roll((6, -4), (2, 3)))
        torch.testing.assert_close(moved, answer.roll((3, -2), (2, 3)))
        features, others = (network.features(one) for one in (x, x.roll((6, -4), (2, 3))))
    assert features.shape == (2, 3 + 3 * 2 * 5)
    torch.testing.assert_close(others, features)
    torch.testing.assert_close(features[:, :3], answer.mean((2, 3)))


def test_an_answer_depends_on_what_lies_near():
    torch.manual_seed(0)
    network = build("local", {"filters": 4, "layers": 1}, (1, 32, 32), (1, 16, 16)).eval()
    x = torch.zeros(1, 1, 32, 32, requires_grad=True)
    network(x)[0, 0, 8, 8].backward()
    seen = np.argwhere(x.grad[0, 0].numpy() != 0)
    assert (
        seen.min(axis=0) == 12
    ).all()  # three cells about it: one of the first layer, one of the second, and its own
    assert (seen.max(axis=0) == 21).all()


@pytest.mark.parametrize(
    ("shapes", "options", "line"),
    [
        (((2, 24, 24), (3,)), {}, r"answers of shape \(3,\) for local; expected images"),
        (((2, 24, 24), (3, 10, 10)), {}, "10 × 10 answers from 24 × 24 pixels by local"),
        (((2, 24, 12), (3, 12, 12)), {}, "12 × 12 answers from 24 × 12 pixels by local"),
        (((2, 24, 24), (3, 12, 12)), {"padding": "same"}, "networks.options.padding"),
        (((2, 24, 24), (3, 12, 12)), {"layers": -1}, "networks.options.layers"),
    ],
)
def test_what_it_cannot_take_is_refused_in_one_line(shapes, options, line):
    with pytest.raises(LimelightError, match=line):
        build("local", options, *shapes)


# A study


def raw(**changes) -> dict:
    head = {"network": "n", "kind": "imnn", "presentations": 1}
    head["imnn"] = {"simulations": 600, "derivatives": 200, "step": 0.05, "hidden": 16, "steps": 100, "accept": 60}
    network = {"architecture": "local", "data": ["fields"], "answers": "cells", **changes}
    return {
        "study": "tiny",
        "probe": "galaxy_field",
        "realisations": {"train": [0], "validation": [1], "test": [2]},
        "data": {"fields": {"pixels": 24, "fields": 200, "ln_phi_star": [2, 4]}},
        "training": {"epochs": 6, "batch_size": 16, "learning_rate": 4e-3},
        "networks": {"n": {"options": {"filters": 6, "layers": 2, "padding": "circular"}, **network}},
        "tests": {"t": {"data": "fields"}},
        "posteriors": {"p": head},
        "resources": {"training_threads": 1},
    }


def test_posteriors_on_a_network_that_answers_cells_answer_the_parameters(tmp_path):
    torch.set_num_threads(1)
    study = resolve_study(raw(), "tiny.yaml")
    settings = PROBE.dataset_settings(study, "fields")
    for n in range(3):
        write_shard(tmp_path / f"{n}.h5", PROBE.simulate(settings, "fields", n), provenance(settings, study.seed))
    rows = [read_shards([tmp_path / f"{n}.h5"]) for n in range(3)]
    np.testing.assert_allclose(rows[0].x[:, 0].sum((1, 2)), rows[0].y["cells"][:, 2].sum((1, 2)), rtol=1e-4)
    asked = network_settings(study, "n")
    assert isinstance(PROBE.target(asked.network, rows[0].header), FieldTarget)
    content, history = train(asked, PROBE, *rows[:2], tmp_path / "checkpoints")
    save_model(tmp_path / "model.pt", content, provenance(asked, study.seed))
    trunk, info = load_model(tmp_path / "model.pt")
    (tmp_path / "history.csv").write_text(history_csv(history))
    judged = evaluate(study, "t", tmp_path / "model.pt", tmp_path / "history.csv", [tmp_path / "2.h5"])
    assert judged.totals["gain_target"] > 1.3
    assert judged.totals["correlation"] > 0.4  # most galaxies are faint
    assert judged.predicted.shape[1:] == (3, 12, 12)
    head = posterior_settings(study, "p")
    content, _ = train_posterior(head, PROBE, trunk, info, *rows[:2], PROBE.fisher_rows(head, []))
    assert 0.1 < content["training"]["share_of_information"] < 1
    save_model(tmp_path / "posterior.pt", content, provenance({}, study.seed), "posterior")
    drawn = posterior_intervals(
        load_posterior(tmp_path / "posterior.pt"), intervals_settings(study, "p", "t"), PROBE, rows[2]
    )
    np.testing.assert_array_equal(drawn.truth, rows[2].theta)
    assert (drawn.samples.std(axis=1).mean(axis=0) < 0.8 * 2 / np.sqrt(12)).all()
    recorded = PROBE.presentation(asked.network, asked.observation, rows[2].header).bare()
    maps = recorded.observe(torch.from_numpy(rows[2].x[:40]), torch.Generator().manual_seed(0)).numpy()
    own = answer(maps, posterior=tmp_path / "posterior.pt")  # a user's own images
    assert np.corrcoef(own.values[:, 0], rows[2].theta[:40, 0])[0, 1] > 0.7
    with pytest.raises(LimelightError, match="one that answers numbers or classes"):
        answer(maps, network=tmp_path / "model.pt")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"inputs": "histogram"}, r"networks.n.answers: found cells of a histogram; expected parameters"),
        ({"answers": "parameters"}, r"networks.architecture: found data of shape .* for local; expected images"),
    ],
)
def test_networks_that_cannot_answer_cells_are_refused(changes, line):
    with pytest.raises(LimelightError, match=line):
        resolve_study(raw(**changes), "tiny.yaml")


def test_cells_of_another_limit_are_no_test():
    """Galaxies above another luminosity are other truths; the parameters are the same."""
    study = raw()
    study["data"]["deeper"] = {**study["data"]["fields"], "l_min": 0.05}
    study["tests"]["d"] = {"data": "deeper"}
    assert suitable_tests(resolve_study(study, "tiny.yaml"), "n") == ["t"]
    study["networks"]["n"]["tests"] = ["d"]
    with pytest.raises(LimelightError, match=r"'d', whose cells hold galaxies above 0.05, .* those above 0.1"):
        resolve_study(study, "tiny.yaml")


def test_fields_of_half_cells_are_refused():
    study = raw()
    study["data"]["fields"]["pixels"] = 25
    with pytest.raises(LimelightError, match=r"data.fields.pixels: found 25; expected a multiple of 2"):
        resolve_study(study, "tiny.yaml")


def test_a_posterior_whose_answers_would_be_images_is_refused():
    study = read_yaml(ROOT / "config" / "cmb_lensing.yaml")
    network = next(iter(study["networks"]))
    study["posteriors"] = {"p": {"network": network, "kind": "mdn"}}
    with pytest.raises(LimelightError, match=rf"posteriors.p.network: found {network}, which answers images"):
        resolve_study(study, "s.yaml")
