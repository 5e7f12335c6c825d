"""Posteriors in the config: the money plot's study resolves, and what cannot be trained is refused with one line."""

import copy
from pathlib import Path

import pytest
from altered import altered

from limelight.errors import LimelightError
from limelight.files import settings_hash
from limelight.section import plain
from limelight.study.config import load_study, resolve_study
from limelight.study.cost import memory_mb, seconds
from limelight.study.selection import posterior_tests, trained_posterior
from limelight.study.settings import intervals_settings, network_settings, posterior_settings
from limelight.study.yaml import read_yaml

ROOT = Path(__file__).resolve().parents[2]
MONEY = ROOT / "config" / "money.yaml"


def changed(**entries) -> dict:
    raw = copy.deepcopy(read_yaml(MONEY))
    raw["posteriors"] = entries
    return raw


def test_the_money_study_trains_and_tests_every_kind_at_every_noise():
    study = load_study(MONEY)
    kinds = {(entry.kind, entry.network) for entry in study.posteriors.values()}
    assert kinds == {(kind, network) for kind in ("mdn", "npe", "imnn") for network in ("quiet", "paper", "comap")}
    assert posterior_tests(study, "mdn_comap") == ["fiducial_comap", "prior_comap"]
    maps = {
        name: len(study.lightcones.test) * study.subfields.per_side**2 * model.draws
        for name, model in study.line_models.items()
    }
    assert min(maps.values()) >= 200
    assert len({trained_posterior(study, name) for name in study.posteriors}) == len(kinds), (
        "none learns what another has"
    )
    noise = {"quiet": "none", "paper": "paper", "comap": "comap"}
    for name, entry in study.posteriors.items():
        expected = [f"{maps}_{noise[entry.network]}" for maps in ("fiducial", "prior")]
        assert posterior_tests(study, name) == expected, "its own noise, on both kinds of maps"
    assert seconds(study, "posterior") > seconds(study, "figure")
    assert memory_mb(study, "intervals") > memory_mb(study, "figure")


def test_settings_hold_what_decides_a_posterior_and_no_more():
    study = load_study(MONEY)
    settings = posterior_settings(study, "mdn_comap")
    assert set(plain(settings)["entry"]) == {
        *("network", "kind", "of", "presentations", "fine_tune", "recalibrate", "mdn", "training")
    }
    assert settings.network == network_settings(study, "comap")
    other = altered(study, {"posteriors.mdn_comap.npe.hidden": 3, "posteriors.mdn_comap.samples": 77})
    assert posterior_settings(other, "mdn_comap") == settings
    drawn = intervals_settings(other, "mdn_comap", "prior_comap")
    assert (drawn.samples, drawn.evaluation.test, drawn.evaluation.shown) == (77, "prior_comap", ())
    head = altered(study, {"posteriors.mdn_comap.mdn.hidden": 3})
    assert settings_hash(posterior_settings(head, "mdn_comap")) != settings_hash(settings)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"network": "nobody", "kind": "mdn"}, "posteriors.p.network"),
        ({"network": "quiet", "kind": "mdn", "tests": ["prior_comap"]}, "posteriors.p.tests"),
        ({"network": "quiet", "kind": "mdn", "mdn": {"loss": "crps"}}, "rank 0 with crps"),
        ({"network": "quiet", "kind": "forest"}, "forest"),
        ({"network": "quiet", "kind": "mdn", "features": ["powr"]}, "p.features: found powr; expected some of "),
        ({"network": "quiet", "kind": "npe", "npe": {"flow": "glow"}}, "glow"),
        ({"network": "quiet", "kind": "mdn", "empty_share": 0}, "empty_share"),
        ({"network": "quiet", "kind": "imnn", "empty_share": 0.1}, "mdn, npe or quantiles of counts"),
        ({"network": "quiet", "kind": "npe", "of": "parameters", "superposed_share": 0.1}, "superposed_share"),
        ({"network": "quiet", "kind": "mdn", "empty_share": 0.5, "superposed_share": 0.5}, "less than 1 together"),
        (
            {"network": "quiet", "kind": "mdn", "of": "parameters", "empty_share": 0.1},
            "mdn, npe or quantiles of counts",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused(entry, words):
    with pytest.raises(LimelightError, match=words):
        resolve_study(changed(p=entry), MONEY)


def test_parameters_need_one_line_model_that_varies():
    raw = changed(p={"network": "quiet", "kind": "imnn"})
    raw["networks"]["quiet"]["line_models"] = ["li_fiducial"]
    with pytest.raises(LimelightError, match="parameters that vary"):
        resolve_study(raw, MONEY)
    raw = changed(p={"network": "quiet", "kind": "imnn"})
    raw["keep"] = ["lightcones"]
    with pytest.raises(LimelightError, match="no subfields"):
        resolve_study(raw, MONEY)
