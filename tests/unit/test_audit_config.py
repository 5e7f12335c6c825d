"""Audits, controls and classifiers in the config: what follows from what is written, and what is refused."""

import copy
from dataclasses import replace

import pytest
import yaml
from altered import altered

from limelight.errors import LimelightError
from limelight.study.config import ROOT, resolve_study
from limelight.study.cost import network_size
from limelight.study.selection import (
    audit_datasets,
    audit_test,
    audited_networks,
    classifiers,
    comparison_pairs,
    suitable_tests,
    trained_networks,
)
from limelight.study.settings import audit_settings, evaluation_settings, network_settings

DEMO = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text())
CLASSIFIER = {
    "like": "limelight",
    "line_models": ["li10", "pad"],
    "target": {"quantity": "line_model"},
    "training": {"loss": "cross_entropy"},
    "initialise_from": "limelight",
}
MODELS = {**DEMO["line_models"], "pad": {"model": "padmanabhan"}}


def study(path: str = "mine.yaml", **sections: dict) -> dict:
    """The demo, a second line model, and changes."""
    raw = copy.deepcopy(DEMO)
    raw["line_models"] = MODELS
    for section, entries in sections.items():
        raw[section] = {**raw.get(section, {}), **entries}
    return resolve_study(raw, path)


def test_all_networks_are_audited_by_default_and_none_has_a_control():
    found = study(networks={"shuffled": {"like": "limelight", "training": {"permute_labels": True}}, "c": CLASSIFIER})
    assert audited_networks(found) == ["limelight"], "not those on permuted labels, nor classifiers"
    assert trained_networks(found) == found.networks
    assert audited_networks(study(audit={"networks": "none"})) == []


def test_a_control_is_its_network_on_permuted_labels_and_nothing_else():
    found = study(audit={"control": True})
    own, control = (network_settings(found, name) for name in ("limelight", "limelight-permuted"))
    assert control.network.training.permute_labels
    assert not own.network.training.permute_labels
    same = altered(control.network, {"training.permute_labels": False})
    assert replace(control, name="limelight", network=same) == own
    assert list(found.networks) == ["limelight"], "the study itself does not name it"
    assert (list(trained_networks(found)), audited_networks(found)) == (
        ["limelight", "limelight-permuted"],
        ["limelight"],
    )


def test_an_audit_is_from_what_its_network_knows():
    noisy = {"like": "limelight", "noise": ["paper"]}
    tests = {"pad": {"line_model": "pad"}, **DEMO["tests"]}
    found = study(networks={"noisy": noisy, "pad": {"like": "limelight", "line_models": ["pad"]}}, tests=tests)
    assert audit_test(found, "limelight") == "no_noise"
    assert audit_test(found, "noisy") == "paper_noise", "the first test whose noise and line model it was trained on"
    assert audit_datasets(found, "limelight") == (["li10"], ["li10", "pad"])
    assert audit_datasets(found, "pad") == (["pad"], ["pad", "li10"])
    settings = audit_settings(found, "noisy")
    assert list(settings.evaluation.observation.noise.values()) == [found.observation.noise["paper"]]
    assert settings.evaluation.splits["test"] == [9, 10]
    assert (settings.audited_on, list(settings.datasets)) == (["li10"], ["li10", "pad"])


def test_a_classifier_takes_the_tests_of_its_classes_and_depends_on_what_it_begins_with():
    models = {"pad": {"model": "padmanabhan"}, "breysse": {"model": "breysse"}}
    tests = {"pad": {"line_model": "pad"}, "breysse": {"line_model": "breysse"}, **DEMO["tests"]}
    found = study(networks={"c": CLASSIFIER}, line_models={**DEMO["line_models"], **models}, tests=tests)
    assert classifiers(found) == ["c"]
    assert suitable_tests(found, "c") == [*DEMO["tests"], "pad"]
    assert suitable_tests(found, "limelight") == list(found.tests), "others take all that they can read"
    assert network_settings(found, "c").start == network_settings(found, "limelight")
    assert evaluation_settings(found, "c", "pad").splits["test"] == [9, 10]
    assert network_size(found, "c")[1] > 0
    some = study(networks={"c": {**CLASSIFIER, "tests": ["no_noise"]}})
    assert suitable_tests(some, "c") == ["no_noise"]
    assert ("c", "no_noise") not in comparison_pairs(study(networks={"c": CLASSIFIER}, **ALL), "all")


ALL = {"comparisons": {"all": {"figure": "summary_matrix"}}}


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"audit": {"networks": ["nobody"]}}, "audit.networks: found 'nobody'; expected one of limelight"),
        ({"audit": {"networks": ["c"]}, "networks": {"c": CLASSIFIER}}, "a classifier"),
        ({"audit": {"thresholds": {"dimming_response": [1.2, 2]}}}, "low < 1 < high"),
        ({"audit": {"thresholds": {"partly_r_squared": -0.2}}}, "partly_r_squared: found -0.2; expected"),
        (
            {"audit": {"thresholds": {"partly_r_squared": 0.6}}},
            "reads_r_squared: found 0.5, below partly_r_squared (0.6)",
        ),
        ({"audit": {"thresholds": {"reads_gain": 1.1}}}, "reads_gain: found 1.1, below partly_gain (1.2)"),
        ({"networks": {"c": {**CLASSIFIER, "line_models": ["li10"]}}}, "two datasets or more"),
        ({"networks": {"c": {**CLASSIFIER, "training": {"loss": "mse"}}}}, "cross_entropy for classes"),
        (
            {"networks": {"c": {"like": "limelight", "training": {"loss": "cross_entropy"}}}},
            "cross_entropy for classes, and for them alone",
        ),
        (
            {"networks": {"c": {**CLASSIFIER, "training": {"loss": "cross_entropy", "blank_fraction": 0.1}}}},
            "no one line model painted them",
        ),
        (
            {"networks": {"c": {**CLASSIFIER, "training": {"loss": "cross_entropy", "superpose_fraction": 0.1}}}},
            "two maps in one",
        ),
        (
            {
                "networks": {"c": {**CLASSIFIER, "tests": ["other"]}},
                "line_models": {**MODELS, "breysse": {"model": "breysse"}},
                "tests": {"other": {"line_model": "breysse"}},
            },
            "'other', which shows breysse, none of its classes",
        ),
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
