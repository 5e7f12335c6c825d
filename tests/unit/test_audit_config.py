"""Audits, controls and classifiers in the config: what follows from what is written, and what is refused."""

import copy

import pytest
import yaml

from limelight.errors import LimelightError
from limelight.study.config import ROOT, resolve_study
from limelight.study.cost import jobs, network_size
from limelight.study.legacy import stage_settings
from limelight.study.selection import (
    audit_datasets,
    audit_test,
    audited_networks,
    classifiers,
    suitable_tests,
    with_controls,
)

DEMO = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text())
CLASSIFIER = {
    "like": "limelight",
    "line_models": ["li10", "pad"],
    "target": {"quantity": "line_model"},
    "training": {"loss": "cross_entropy"},
    "initialise_from": "limelight",
}


def study(path: str = "mine.yaml", **sections: dict) -> dict:
    """The demo, a second line model, and changes."""
    raw = copy.deepcopy(DEMO)
    raw["line_models"]["pad"] = {"model": "padmanabhan"}
    for section, entries in sections.items():
        raw[section] = {**raw.get(section, {}), **entries}
    return resolve_study(raw, path)


def test_all_networks_are_audited_by_default_and_none_has_a_control():
    found = study(networks={"shuffled": {"like": "limelight", "training": {"permute_labels": True}}, "c": CLASSIFIER})
    assert audited_networks(found) == ["limelight"], "not those on permuted labels, nor classifiers"
    assert with_controls(found)["networks"] == found["networks"]
    assert audited_networks(study(audit={"networks": "none"})) == []


def test_a_control_is_its_network_on_permuted_labels_and_nothing_else():
    found = study(audit={"control": True})
    both = {name: stage_settings(found, "network", name) for name in ("limelight", "limelight-permuted")}
    network, control = (copy.deepcopy(both[name].pop("network")) for name in both)
    assert both["limelight"] == both["limelight-permuted"]
    assert (network.pop("name"), control.pop("name")) == ("limelight", "limelight-permuted")
    assert not network["training"].pop("permute_labels")
    assert control["training"].pop("permute_labels")
    assert network == control
    assert list(found["networks"]) == ["limelight"], "the study itself does not name it"
    assert (jobs(found)["network"], jobs(found)["audit"]) == (2, 1)


def test_an_audit_is_from_what_its_network_knows():
    noisy = {"like": "limelight", "noise": ["paper"]}
    tests = {"pad": {"line_model": "pad"}, **DEMO["tests"]}
    found = study(networks={"noisy": noisy, "pad": {"like": "limelight", "line_models": ["pad"]}}, tests=tests)
    assert audit_test(found, "limelight") == "no_noise"
    assert audit_test(found, "noisy") == "paper_noise", "the first test whose noise and line model it was trained on"
    assert audit_datasets(found, "limelight") == (["li10"], ["li10", "pad"])
    assert audit_datasets(found, "pad") == (["pad"], ["pad", "li10"])
    settings = stage_settings(found, "audit", "noisy")
    assert settings["test"]["noise"] == found["observation"]["noise"]["paper"]
    assert settings["splits"]["test"] == [9, 10]


def test_a_classifier_takes_no_tests_and_depends_on_what_it_begins_with():
    found = study(networks={"c": CLASSIFIER})
    assert classifiers(found) == ["c"]
    assert suitable_tests(found, "c") == []
    settings = stage_settings(found, "network", "c")
    assert settings["initialise_from"] == stage_settings(found, "network", "limelight")
    assert stage_settings(found, "classification", "c")["splits"]["test"] == [9, 10]
    assert network_size(found, "c")[1] > 0
    plain = jobs(study())
    assert jobs(found)["evaluation"] == plain["evaluation"] + 1
    assert jobs(found)["figure"] == plain["figure"] + 1


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"audit": {"networks": ["nobody"]}}, "audit.networks: found 'nobody'; expected one of limelight"),
        ({"audit": {"networks": ["c"]}, "networks": {"c": CLASSIFIER}}, "a classifier"),
        ({"audit": {"thresholds": {"dimming_response": [1.2, 2]}}}, "low < 1 < high"),
        ({"networks": {"c": {**CLASSIFIER, "line_models": ["li10"]}}}, "two line models or more"),
        ({"networks": {"c": {**CLASSIFIER, "training": {"loss": "mse"}}}}, "line_model with cross_entropy"),
        (
            {"networks": {"c": {"like": "limelight", "training": {"loss": "cross_entropy"}}}},
            "line_model with cross_entropy",
        ),
        (
            {"networks": {"c": {**CLASSIFIER, "training": {"loss": "cross_entropy", "blank_fraction": 0.1}}}},
            "no one line model painted them",
        ),
        (
            {"networks": {"c": {**CLASSIFIER, "training": {"loss": "cross_entropy", "superpose_fraction": 0.1}}}},
            "two maps in one",
        ),
        ({"networks": {"c": {**CLASSIFIER, "tests": ["no_noise"]}}}, "answers no luminosity function"),
        ({"networks": {"c": {**CLASSIFIER, "initialise_from": "nobody"}}}, "initialise_from: found 'nobody'"),
        ({"networks": {"c": {**CLASSIFIER, "initialise_from": "c"}}}, "a circle: c → c"),
        ({"networks": {"c": {**CLASSIFIER, "options": {"filters": 16}}}}, "same architecture and options"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(sections, words):
    with pytest.raises(LimelightError, match="mine.yaml") as refused:
        study(**sections)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
