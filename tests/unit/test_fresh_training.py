"""Training on rows that are simulated anew for each epoch: which rows, the same bytes after a stop, and what is refused."""

import numpy as np
import pytest
import torch
import yaml

from limelight.data.shard import joined
from limelight.errors import LimelightError
from limelight.files import ROOT
from limelight.probe import load_probe
from limelight.stages.fresh import FreshRows
from limelight.stages.simulate import simulate
from limelight.stages.train import train
from limelight.study.config import resolve_study
from limelight.study.cost import fresh_cost, stage_costs
from limelight.study.settings import network_settings
from limelight.training import loop
from limelight.training.signals import Stopped

STUDY = {
    "study": "fresh",
    "probe": "gaussian_field",
    "seed": 3,
    "realisations": {"train": [0, 1], "validation": [2], "test": [3]},
    "data": {"fields": {"pixels": 8, "fields": 12}},
    "training": {"epochs": 3, "steps_per_epoch": 4, "batch_size": 6, "fresh_draws": 12},
    "networks": {"net": {"architecture": "dense", "options": {"hidden": 8}, "data": ["fields"], "noise": 0.1}},
    "tests": {"unseen": {"data": "fields", "noise": 0.1}},
    "audit": {"networks": "none"},
    "resources": {"training_threads": 1},
}


def study(**training):
    return resolve_study({**STUDY, "training": {**STUDY["training"], **training}}, "fresh.yaml")


def pieces(made):
    """(settings, probe, training rows, validation rows)."""
    settings, probe = network_settings(made, "net"), load_probe("gaussian_field")
    data = settings.datasets["fields"]
    stored = joined([probe.simulate(data, "fields", number) for number in (0, 1)])
    return settings, probe, stored, probe.simulate(data, "fields", 2)


def same(one: dict, other: dict) -> bool:
    return all(torch.equal(one["state_dict"][key], other["state_dict"][key]) for key in one["state_dict"])


def test_each_epoch_has_rows_of_its_own_from_the_training_realisations_alone():
    settings, probe, stored, _ = pieces(study())
    fresh = FreshRows(settings, probe)
    first, second = fresh(1), fresh(2)
    assert len(first) == len(second) == 24
    assert sorted(set(first.group)) == [0, 1]
    every = np.concatenate([stored.x, first.x, second.x]).reshape(72, -1)
    assert len(np.unique(every, axis=0)) == 72  # no row twice
    np.testing.assert_array_equal(fresh(1).x, first.x)
    streamed = next(probe.fresh_rows(settings.datasets["fields"], "fields", 0, 1, 12, ()))
    assert not np.isin(first.x, streamed.x).any()  # nor one of a stream, which heads learn from


def test_later_epochs_learn_from_the_fresh_rows_and_the_first_from_the_stored(tmp_path):
    settings, probe, stored, validation = pieces(study())
    asked = []

    def fresh(epoch: int):
        asked.append(epoch)
        return FreshRows(settings, probe)(epoch)

    content, history = loop.train(settings, probe, stored, validation, tmp_path / "a", fresh=fresh)
    assert asked == [1, 2]
    plain, other = loop.train(settings, probe, stored, validation, tmp_path / "b")
    assert history[0] == other[0]  # the same epoch
    assert history[1]["train_loss"] != other[1]["train_loss"]
    assert not same(content, plain)
    assert content["training"]["rows"] == 24
    for name in plain["input_ranges"]:  # and the scales of all that is recorded are those of the stored rows
        torch.testing.assert_close(content["input_ranges"][name], plain["input_ranges"][name], rtol=0, atol=0)


def test_a_run_stopped_amid_a_fresh_epoch_ends_in_the_same_bytes(tmp_path, monkeypatch):
    settings, probe, stored, validation = pieces(study())
    fresh = FreshRows(settings, probe)
    whole, history = loop.train(settings, probe, stored, validation, tmp_path / "whole", fresh=fresh)

    step = loop.train_step
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", -1.0)  # a checkpoint after each step

    def interrupted(run, presentation, rows, epoch, number, position):
        if (epoch, number) == (1, 2):
            raise Stopped(15)
        return step(run, presentation, rows, epoch, number, position)

    monkeypatch.setattr(loop, "train_step", interrupted)
    with pytest.raises(Stopped):
        loop.train(settings, probe, stored, validation, tmp_path / "cut", fresh=fresh)
    monkeypatch.setattr(loop, "train_step", step)
    again, rows = loop.train(settings, probe, stored, validation, tmp_path / "cut", fresh=fresh)
    assert rows == history
    assert same(whole, again)


def test_files_are_shared_between_realisations_in_turn():
    settings, probe, *_ = pieces(study())
    assert FreshRows(settings, probe, ["a", "b", "c", "d"]).files == {0: ["a", "b"], 1: ["c", "d"]}
    with pytest.raises(LimelightError, match="3 files.*as many for each of the 2"):
        FreshRows(settings, probe, ["a", "b", "c"])


def test_files_that_are_missing_or_too_many_are_refused_before_training(tmp_path):
    made = study()
    shards = {number: tmp_path / f"{number}.h5" for number in (0, 1, 2)}
    for number, path in shards.items():
        simulate(made, "fields", number, path)
    with pytest.raises(LimelightError, match="--simulate-from: found 1 files; expected 0; give those of all"):
        train(made, "net", [shards[0], shards[1]], [shards[2]], tmp_path / "model.pt", simulate_from=["a.h5"])
    assert not (tmp_path / "model.pt").exists()


def test_what_it_costs_is_estimated():
    fresh, stored = study(), study(fresh_draws=0)
    assert fresh_cost(fresh, "net")[0] == 24
    assert fresh_cost(stored, "net") == (0, 0.0, 0.0)
    assert stage_costs(fresh)["network"].memory_mb > stage_costs(stored)["network"].memory_mb


def test_the_config_refuses_what_cannot_be():
    with pytest.raises(LimelightError, match=r"networks\.net\.training\.steps_per_epoch.*fresh_draws"):
        study(steps_per_epoch=0)
    raw = yaml.safe_load((ROOT / "config" / "halo_field.yaml").read_text())
    raw["training"] |= {"fresh_draws": 5, "steps_per_epoch": 3}
    with pytest.raises(LimelightError, match=r"fresh_draws.*0: halo_field simulates no fresh data"):
        resolve_study(raw, "halos.yaml")
