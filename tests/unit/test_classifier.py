"""The classifier: a network whose target is the line model that painted a map; no room of its own but a figure."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from judging_toys import judging
from training_toys import PROBE, SHAPE, settings, toys

from limelight.data.answers import answer_weights
from limelight.data.axes import axis_from
from limelight.data.shard import Rows
from limelight.data.targets import ClassTarget
from limelight.errors import LimelightError
from limelight.evaluation.evaluation_file import read_evaluation, write_evaluation
from limelight.evaluation.metrics import class_metrics, in_words
from limelight.evaluation.predict import evaluate
from limelight.figures.confusion import accuracy, confusion, confusion_matrix
from limelight.figures.style import save
from limelight.files import provenance
from limelight.networks import build
from limelight.saliency.answers import row_weights, scale_of
from limelight.saliency.methods import Method, Shown
from limelight.study.saliency import Answer, SaliencyRun
from limelight.training.checkpoint import adopt
from limelight.training.loop import train
from limelight.training.losses import Loss

MODELS = ("faint", "bright")
HISTORY = {"epoch": np.array([1.0])}


def painted(count: int, seed: int, group: int = 0) -> Rows:
    """Maps of two line models, in turns; the second makes every source ten times as bright and counts it as it was."""
    found = toys(count, seed, group=group)
    bright = np.arange(count) % 2 == 1
    x = np.where(bright[:, None, None, None, None], 10 * found.x, found.x)
    return replace(found, x=x, dataset=np.array(MODELS)[bright.astype(int)])


def of_dataset(found: Rows, name: str) -> Rows:
    """The rows of one dataset."""
    keep = found.dataset == name
    y = {key: values[keep] for key, values in found.y.items()}
    columns = {key: getattr(found, key)[keep] for key in ("x", "theta", "group", "dataset")}
    return replace(found, y=y, **columns, examples={"fine": np.zeros((4, 32, 32), np.float32)})


def how(**training):
    network = {
        "target": {"quantity": "line_model"},
        "line_models": list(MODELS),
        "preprocessing": {"scale_uk": 30.0},
    }
    return settings(network=network, **{"loss": "cross_entropy", "epochs": 8, **training})


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """(network, model content, history) of one trained on 48 maps."""
    folder = tmp_path_factory.mktemp("classifier")
    content, history = train(how(), PROBE, painted(48, 0), painted(16, 1), folder)
    module = build(content["architecture"], content["options"], SHAPE, (2,))
    module.load_state_dict(content["state_dict"])
    return module.eval(), content, history


def test_it_learns_to_tell_them_apart(classifier):
    _, content, history = classifier
    assert content["target"]["axis"]["names"] == MODELS
    assert content["target"]["outputs"] == "log_odds"
    assert history[0]["mean_predictor_loss"] == pytest.approx(np.log(2)), "half and half: a bit, in nats"
    assert history[0]["mean_predictor_mse"] == pytest.approx(0.25)
    assert history[-1]["validation_loss"] < 0.1


def judged(classifier, name: str, sigma_uk: float, group: int = 9):
    """Its evaluation on the test maps of one of its classes."""
    test = judging(how(), {"sigma_uk": sigma_uk}, test=f"{name} {sigma_uk:g}", dataset=name)
    found = of_dataset(painted(32, 2, group), name)
    return evaluate(*classifier[:2], test, PROBE, found, HISTORY)


def test_probabilities_accuracy_and_confusion_come_from_evaluations(classifier, tmp_path):
    quiet, loud = ([judged(classifier, name, sigma) for name in MODELS] for sigma in (0.0, 1e4))
    for e, name in zip(quiet, MODELS, strict=True):
        assert e.axis.names == MODELS
        assert e.predicted.shape == (16, 2)
        assert e.predicted.sum(axis=1) == pytest.approx(1)
        assert e.truth.argmax(axis=1).tolist() == [MODELS.index(name)] * 16
        assert (e.totals["accuracy"], e.totals["accuracy_by_chance"]) == (1.0, 1.0)
        assert "100.0% of 16 rows right" in in_words(e.totals)
    assert confusion(quiet).tolist() == [[16, 0], [0, 16]]
    assert accuracy(confusion(quiet)) == 1.0
    assert accuracy(confusion(loud)) == pytest.approx(0.5, abs=0.3), "nothing is to be seen in such noise"
    assert confusion(loud).sum(axis=1).tolist() == [16, 16]

    write_evaluation(tmp_path / "e.h5", quiet[0], provenance({}, 7))
    back = read_evaluation(tmp_path / "e.h5")
    assert back.axis.names == MODELS
    np.testing.assert_array_equal(back.predicted, quiet[0].predicted)
    save(confusion_matrix([back, quiet[1], *loud]), tmp_path / "c.pdf")
    assert (tmp_path / "c.png").stat().st_size > 5000


def test_the_confusion_matrix_counts_rows_by_what_painted_them():
    probability = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    truth = ClassTarget(("a", "b")).truth({"dataset": np.array([0, 0, 1])})
    found = confusion([SimpleNamespace(truth=truth, predicted=probability)])
    assert found.tolist() == [[1, 1], [0, 1]]
    assert accuracy(found) == pytest.approx(2 / 3)
    _, totals = class_metrics(SimpleNamespace(truth=truth, predicted=probability))
    assert totals == {"accuracy": pytest.approx(2 / 3), "accuracy_by_chance": pytest.approx(2 / 3)}


def test_maps_of_another_split_or_model_are_refused(classifier):
    with pytest.raises(LimelightError, match=r"realisations \[3\]"):
        judged(classifier, "faint", 0.0, group=3)
    test = judging(how(), dataset="faint")
    with pytest.raises(LimelightError, match="bright"):
        evaluate(*classifier[:2], test, PROBE, of_dataset(painted(32, 2, 9), "bright"), HISTORY)


def test_cross_entropy_is_that_of_the_softmax():
    odds = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    truth = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    loss = Loss("cross_entropy", torch.zeros(2), torch.ones(2))
    expected = np.mean([np.log(1 + np.exp(-2)), np.log(1 + np.exp(1))])
    assert loss(odds, truth).item() == pytest.approx(expected, rel=1e-6)
    assert loss.targets(odds)[0].tolist() == pytest.approx([1 / (1 + np.exp(-2)), 1 / (1 + np.exp(2))])


def test_what_makes_a_class_is_explained_in_log_odds(classifier):
    """Integrated gradients of one class against the other add up to the change of the log of their odds."""
    pytest.importorskip("captum")
    module, content, _ = classifier
    x = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(5))
    seen, axis = Shown(x, torch.zeros_like(x)), axis_from(content["target"]["axis"])
    answer = Answer(outputs=list(MODELS), weights=[1.0, -1.0])
    weights = row_weights(answer_weights(answer, (2,), axis, "here"), answer, 3, 1, "odds").float()
    run = SaliencyRun(network="c", steps=128)
    one = Method("integrated_gradients", module, scale_of(content), run, x[:2])
    with torch.no_grad():
        p, before = module(x).double().softmax(dim=1), module(torch.zeros_like(x)).double().softmax(dim=1)
    expected = ((p[:, 0] / p[:, 1]).log() - (before[:, 0] / before[:, 1]).log()).numpy()
    assert np.abs(expected).min() > 0.1
    assert one.saliency(seen, weights).flatten(1).sum(dim=1).numpy() == pytest.approx(expected, rel=0.02)


def test_it_begins_with_all_of_another_network_but_its_last_layer(classifier):
    torch.manual_seed(3)
    options = classifier[1]["options"]
    counts, fresh = build("limelight", options, SHAPE, (10,)), build("limelight", options, SHAPE, (2,))
    own = fresh.output.weight.clone()
    adopt(fresh, counts.state_dict(), "c")
    assert torch.equal(fresh.stem.weight, counts.stem.weight)
    assert torch.equal(fresh.dense.bias, counts.dense.bias)
    assert torch.equal(fresh.output.weight, own)
    with pytest.raises(LimelightError, match="same network but for its last layer"):
        adopt(build("limelight", {"filters": 8}, SHAPE, (2,)), counts.state_dict(), "c")


def test_training_goes_on_from_those_weights(classifier, tmp_path):
    start = classifier[0].state_dict()
    _, history = train(how(epochs=1), PROBE, painted(48, 0), painted(16, 1), tmp_path, start=start)
    assert history[0]["validation_loss"] < 0.2
    _, fresh = train(how(epochs=1), PROBE, painted(48, 0), painted(16, 1), tmp_path)
    assert fresh[0]["validation_loss"] > 2 * history[0]["validation_loss"]
