"""The classifier: a network that says which line model painted a map."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from training_toys import GRID, SHAPE, settings, toys

from limelight.errors import LimelightError
from limelight.networks import build
from limelight.training.checkpoint import adopt
from limelight.training.losses import Loss
from limelight.training.loop import train

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
