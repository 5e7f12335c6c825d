"""The classifier: a network that says which line model painted a map."""

import dataclasses
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from limelight.evaluation.classify import (
    Classification,
    classify,
    in_words,
    read_classification,
    write_classification,
)
from training_toys import GRID, SHAPE, settings, toys

from limelight.errors import LimelightError
from limelight.figures.confusion import confusion_matrix
from limelight.figures.style import save
from limelight.files import provenance
from limelight.networks import build
from limelight.training.checkpoint import adopt
from limelight.training.loop import train
from limelight.training.losses import Loss

MODELS = ("faint", "bright")


def painted(count: int, seed: int) -> SimpleNamespace:
    """Maps of two line models, in turns; the second makes every source ten times as bright and counts it as it was."""
    found = toys(count, seed)
    bright = np.arange(count) % 2 == 1
    maps = np.where(bright[:, None, None, None], 10 * found.maps, found.maps)
    return SimpleNamespace(maps=maps, n_above=found.n_above, volume_mpc3=found.volume_mpc3,
                           line_model=np.array(MODELS)[bright.astype(int)])  # fmt: skip


def how(**training) -> dict:
    return settings(
        network__target={"quantity": "line_model"},
        network__line_models=list(MODELS),
        network__preprocessing={"scale_uk": 30.0},
        **{"loss": "cross_entropy", "epochs": 8, **training},
    )


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """(network, model content, history) of one trained on 48 maps."""
    content, history = train(how(), GRID, painted(48, 0), painted(16, 1), tmp_path_factory.mktemp("classifier"))
    module = build(content["architecture"], content["options"], SHAPE, 2)
    module.load_state_dict(content["state_dict"])
    return module.eval(), content, history


def test_it_learns_to_tell_them_apart(classifier):
    _, content, history = classifier
    assert content["target"]["classes"] == list(MODELS)
    assert history[0]["mean_predictor_loss"] == pytest.approx(np.log(2)), "half and half: a bit, in nats"
    assert history[0]["mean_predictor_mse"] == pytest.approx(0.25)
    assert history[-1]["validation_loss"] < 0.1


def shown_maps(count: int = 32, lightcone: int = 9) -> SimpleNamespace:
    found = painted(count, 2)
    geometry = {**dataclasses.asdict(GRID), "beam_fwhm_arcmin": 0.0}
    return SimpleNamespace(**vars(found), geometry=geometry, lightcone=np.full(count, lightcone))


def test_probabilities_and_confusion_of_test_maps(classifier, tmp_path):
    noise = {"none": {"sigma_uk": 0}, "loud": {"sigma_uk": 1e4}}
    asked = how() | {"splits": {"test": [9]}, "noise": noise}
    result = classify(*classifier[:2], asked, shown_maps())
    assert result.probability.shape == (2, 32, 2)
    assert result.probability.sum(axis=2) == pytest.approx(1)
    assert result.accuracy(0) == 1.0
    assert result.confusion(0).tolist() == [[16, 0], [0, 16]]
    assert result.accuracy(1) == pytest.approx(0.5, abs=0.3), "nothing is to be seen in such noise"
    assert result.confusion(1).sum(axis=1).tolist() == [16, 16]
    assert "100.0% under none" in in_words(result)
    assert "50.0% by chance" in in_words(result)

    write_classification(tmp_path / "c.h5", result, provenance({}, 7))
    back = read_classification(tmp_path / "c.h5")
    assert (back.classes, back.noise) == (list(MODELS), ["none", "loud"])
    np.testing.assert_array_equal(back.probability, result.probability)
    save(confusion_matrix(back), tmp_path / "c.pdf")
    assert (tmp_path / "c.png").stat().st_size > 5000
    with h5py.File(tmp_path / "c.h5", "a") as file:
        del file["probability"]
        file["probability"] = np.zeros((1, 32, 2))
    with pytest.raises(LimelightError, match="probabilities"):
        read_classification(tmp_path / "c.h5")


def test_maps_of_another_split_or_model_are_refused(classifier):
    asked = how() | {"splits": {"test": [9]}}
    with pytest.raises(LimelightError, match=r"light-cones \[3\]"):
        classify(*classifier[:2], asked, shown_maps(lightcone=3))
    other = shown_maps()
    other.line_model[:] = "other"
    with pytest.raises(LimelightError, match="other"):
        classify(*classifier[:2], asked, other)


def test_the_confusion_matrix_counts_rows_by_what_painted_them():
    probability = np.array([[[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]]])
    result = Classification("c", ["a", "b"], ["none"], probability, np.array([0, 0, 1]), np.zeros(3))
    assert result.confusion(0).tolist() == [[1, 1], [0, 1]]
    assert result.accuracy(0) == pytest.approx(2 / 3)


def test_cross_entropy_is_that_of_the_softmax():
    odds = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    truth = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    loss = Loss("cross_entropy", torch.zeros(2), torch.ones(2))
    expected = np.mean([np.log(1 + np.exp(-2)), np.log(1 + np.exp(1))])
    assert loss(odds, truth).item() == pytest.approx(expected, rel=1e-6)
    assert loss.targets(odds)[0].tolist() == pytest.approx([1 / (1 + np.exp(-2)), 1 / (1 + np.exp(2))])


def test_it_begins_with_all_of_another_network_but_its_last_layer(classifier):
    torch.manual_seed(3)
    options = classifier[1]["options"]
    counts, fresh = build("limelight", options, SHAPE, 10), build("limelight", options, SHAPE, 2)
    own = fresh.output.weight.clone()
    adopt(fresh, counts.state_dict(), "c")
    assert torch.equal(fresh.stem.weight, counts.stem.weight)
    assert torch.equal(fresh.dense.bias, counts.dense.bias)
    assert torch.equal(fresh.output.weight, own)
    with pytest.raises(LimelightError, match="same network but for its last layer"):
        adopt(build("limelight", {"filters": 8}, SHAPE, 2), counts.state_dict(), "c")


def test_training_goes_on_from_those_weights(classifier, tmp_path):
    start = classifier[0].state_dict()
    _, history = train(how(epochs=1), GRID, painted(48, 0), painted(16, 1), tmp_path, start=start)
    assert history[0]["validation_loss"] < 0.2
    _, fresh = train(how(epochs=1), GRID, painted(48, 0), painted(16, 1), tmp_path)
    assert fresh[0]["validation_loss"] > 2 * history[0]["validation_loss"]
