"""Studies as data: entries like others, sweeps, a network's own tests, datasets of their own geometry, comparisons."""

import copy
from dataclasses import replace

import pytest
import yaml
from altered import altered

from limelight.errors import LimelightError
from limelight.figures import check_figures
from limelight.probes.line_intensity import settings as line
from limelight.section import plain
from limelight.study.config import ROOT, resolve_study
from limelight.study.cost import network_size, row_mb
from limelight.study.expand import expand
from limelight.study.selection import comparison_pairs, suitable_tests
from limelight.study.settings import network_settings

DEMO = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text())


def demo(**sections: dict) -> dict:
    """The demo's raw config with entries added to some sections."""
    raw = copy.deepcopy(DEMO)
    for section, entries in sections.items():
        raw[section] = {**raw.get(section, {}), **entries}
    return raw


def test_an_entry_like_another_is_that_one_with_its_own_keys_over_it():
    raw = demo(
        line_models={"full": {"like": "li10", "prior": "full"}},
        networks={
            "wide": {"like": "limelight", "options": {"filters": 16}},
            "wider": {"like": "wide", "noise": ["none"]},
        },
        tests={"full": {"like": "paper_noise", "line_model": "full"}},
    )
    raw["networks"]["limelight"]["training"] = {"epochs": 3}
    study = resolve_study(raw, "mine.yaml")
    assert study.line_models["full"] == altered(study.line_models["li10"], {"prior": "full"})
    by_hand = altered(study.networks["limelight"], {"options": {"filters": 16}})
    assert study.networks["wide"] == by_hand
    assert study.networks["wider"] == altered(by_hand, {"noise": ["none"]})
    assert study.networks["wider"].training.epochs == 3
    assert plain(study.tests["full"]) == {"line_model": "full", "noise": "paper", "foregrounds": "none"}
    assert yaml.safe_load((ROOT / "config" / "demo.yaml").read_text()) == DEMO, "the raw config is left as it was"


def test_entries_with_an_underscore_are_only_there_to_be_like():
    raw = demo(networks={"_odd": {"options": {"filters": 4}}, "small": {"like": "_small"}})
    raw["networks"]["_small"] = {"like": "limelight", "options": {"filters": 4}}
    assert list(resolve_study(raw, "mine.yaml").networks) == ["limelight", "small"]


def test_a_sweep_makes_every_combination_under_predictable_names():
    table = {
        "like": "limelight",
        "over": {
            "options.filters": [4, 16],
            "training.learning_rate": [0.001],
            "target": {"dn": {"quantity": "dn"}, "n": {"quantity": "n_above"}},
            ".": {"quiet": {"noise": ["none"], "training": {"epochs": 2}}},
        },
    }
    raw = demo(
        sweeps={"grid": table}, comparisons={"all": {"figure": "summary_matrix", "networks": ["grid", "limelight"]}}
    )
    study = resolve_study(raw, "mine.yaml")
    names = [f"limelight_filters{f}_learning_rate0p001_{q}_quiet" for f in (4, 16) for q in ("dn", "n")]
    assert list(study.networks) == ["limelight", *names]
    last = study.networks[names[-1]]
    assert (last.options, last.target.quantity, last.noise) == ({"filters": 16}, "n_above", ["none"])
    assert (last.training.learning_rate, last.training.epochs) == (0.001, 2)
    assert study.comparisons["all"].networks == [*names, "limelight"]
    assert resolve_study(plain(study), "mine.yaml") == study, "stages read the resolved study"
    raw["sweeps"]["grid"]["name"] = "g"
    assert "g_filters4_learning_rate0p001_dn_quiet" in resolve_study(raw, "mine.yaml").networks


def sweep(**changes: object) -> dict:
    return demo(sweeps={"s": {"like": "limelight", "over": {"options.filters": [4]}, **changes}})


SMALL = {"like": "li10", "pool_pixels": 4}
BAD = {
    "like nobody": (demo(networks={"b": {"like": "c"}}), "networks.b.like: found 'c'"),
    "like itself": (demo(tests={"b": {"like": "b"}}), "a circle: b → b"),
    "a circle": (demo(line_models={"b": {"like": "c"}, "c": {"like": "b"}}), "a circle: b → c → b"),
    "a sweep of nobody": (sweep(like="nobody"), "found 'nobody'"),
    "a sweep over nothing": (sweep(over={}), "at least one key"),
    "a sweep over no values": (sweep(over={"options.filters": []}), "at least one value"),
    "a sweep over a number": (sweep(over={"options.filters": 4}), "a list of values"),
    "a sweep with a strange key": (sweep(ovr={}), "{like: NETWORK, over:"),
    "a whole entry that is a number": (sweep(over={".": [4]}), "labels, each of a mapping"),
    "two alike in a sweep": (sweep(over={"options.filters": [4, 4]}), "two networks called"),
    "a sweep named as a network": (demo(sweeps={"limelight": {"like": "limelight", "over": {"seed": [1]}}}), "twice"),
    "an unknown key in a sweep": (sweep(over={"option": {"a": {"filters": 4}}}), "did you mean 'options'"),
    "an unknown test": (demo(networks={"b": {"like": "limelight", "tests": ["nothing"]}}), "found 'nothing'"),
    "a test of another geometry": (
        demo(
            line_models={"small": SMALL},
            networks={"b": {"like": "limelight", "line_models": ["small"], "tests": ["no_noise"]}},
        ),
        "which it cannot read",
    ),
    "datasets of two geometries": (
        demo(line_models={"small": SMALL}, networks={"b": {"like": "limelight", "line_models": ["li10", "small"]}}),
        "datasets of one geometry",
    ),
    "a beam of its own": (
        demo(
            line_models={"b": {"like": "li10", "beam": True}},
            networks={"b": {"like": "limelight", "line_models": ["b", "li10"]}},
        ),
        "datasets of one geometry",
    ),
    "no test of its geometry": (
        demo(line_models={"small": SMALL}, networks={"b": {"like": "limelight", "line_models": ["small"]}}),
        "none that network b can take",
    ),
    "pooling of a dataset that does not divide": (
        demo(line_models={"small": {"like": "li10", "pool_channels": 7}}),
        "line_models.small.pool_channels: found 50 channels in blocks of 7",
    ),
    "a comparison of nobody": (demo(comparisons={"c": {"figure": "x", "networks": ["b"]}}), "comparisons.c.networks"),
    "a comparison on no test": (demo(comparisons={"c": {"figure": "x", "tests": ["b"]}}), "comparisons.c.tests"),
    "a comparison without figure": (demo(comparisons={"c": {}}), "no key 'figure'"),
    "a comparison that does not meet": (
        demo(
            networks={"b": {"like": "limelight", "tests": ["no_noise"]}},
            comparisons={"c": {"figure": "x", "networks": ["b", "limelight"], "tests": ["paper_noise"]}},
        ),
        "'b', which meets none",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_table_gives_one_clear_line(name: str):
    raw, expected = BAD[name]
    with pytest.raises(LimelightError) as caught:
        resolve_study(raw, "mine.yaml")
    line = str(caught.value)
    assert "\n" not in line
    assert expected in line
    assert "mine.yaml" in line


def test_expansion_leaves_what_it_cannot_read_to_the_sections():
    for strange in ({"networks": 3}, {"networks": {"a": 3}, "tests": []}, {"comparisons": {"c": 3}}):
        assert expand(strange, "mine.yaml", ["networks", "tests"]) == strange
    with pytest.raises(LimelightError, match="comparisons.c: found 3; expected a value of type mapping"):
        resolve_study(demo(comparisons={"c": 3}), "mine.yaml")
    with pytest.raises(LimelightError, match="networks: found 3; expected a value of type mapping"):
        resolve_study({**DEMO, "networks": 3, "sweeps": {}}, "mine.yaml")
    with pytest.raises(LimelightError, match=r"comparisons.c.networks.0: found \[1\]"):
        resolve_study(demo(comparisons={"c": {"figure": "x", "networks": [[1]]}}), "mine.yaml")


def test_all_faults_of_expansion_are_told_at_once():
    raw = demo(tests={"b": {"like": "c"}}, networks={"d": {"like": ["limelight"]}}, sweeps={"s": 3, "t": {"like": "a"}})
    with pytest.raises(LimelightError) as caught:
        resolve_study(raw, "mine.yaml")
    keys = [line.split(": ")[1] for line in str(caught.value).splitlines()]
    assert sorted(keys) == ["networks.d.like", "sweeps.s", "sweeps.t", "tests.b.like"]


def test_a_dataset_of_its_own_pooling_decides_its_networks_and_their_tests():
    raw = demo(
        line_models={"small": SMALL, "smooth": {"like": "li10", "beam": True}},
        networks={
            "small": {"like": "limelight", "line_models": ["small"]},
            "smooth": {"like": "limelight", "line_models": ["smooth"]},
        },
        tests={"small": {"line_model": "small"}, "smooth": {"line_model": "smooth"}},
    )
    study = resolve_study(raw, "mine.yaml")
    assert suitable_tests(study, "small") == ["small"]
    assert suitable_tests(study, "smooth") == ["smooth"]
    assert suitable_tests(study, "limelight") == list(DEMO["tests"])
    assert line.pooled_grid(study, "small").pool_pixels == 4
    assert network_size(study, "small")[0] < network_size(study, "limelight")[0] / 3
    assert row_mb(study) == pytest.approx(4e-6 * 64 * 64 * 10), "the largest decides what jobs need"
    plain_study = resolve_study(DEMO, "demo.yaml")
    (small,) = network_settings(study, "small").datasets.values()
    assert small == line.shard_settings(study, "small")
    assert (small.grid.pool_pixels, small.grid.pool_channels) == (4, 5)
    assert small.grid.pooled_shape == (32, 32, 10)
    assert line.shard_settings(study, "smooth").geometry["beam_fwhm_arcmin"] == 4.0
    assert network_settings(study, "limelight") == network_settings(plain_study, "limelight")
    fine = [replace(line.map_settings(study, name), name="") for name in ("small", "li10")]
    assert fine[0] == fine[1], "pooling must not repaint"


def test_a_networks_own_tests_do_not_retrain_it():
    raw = demo(networks={"limelight": {**DEMO["networks"]["limelight"], "tests": ["paper_noise"]}})
    study, other = resolve_study(raw, "mine.yaml"), resolve_study(DEMO, "demo.yaml")
    assert suitable_tests(study, "limelight") == ["paper_noise"]
    assert network_settings(study, "limelight") == network_settings(other, "limelight")


def test_a_comparison_takes_its_networks_in_order_on_the_tests_that_they_take():
    raw = demo(
        networks={"quiet": {"like": "limelight", "noise": ["none"], "preprocessing": {"transform": "log10_offset"}}},
        comparisons={
            "all": {"figure": "summary_matrix"},
            "some": {
                "figure": "summary_matrix",
                "networks": ["quiet", "limelight"],
                "tests": ["paper_noise", "no_noise"],
            },
        },
    )
    study = resolve_study(raw, "mine.yaml")
    pairs = [("limelight", test) for test in DEMO["tests"]]
    assert comparison_pairs(study, "all") == [*pairs, ("quiet", "no_noise")]
    assert comparison_pairs(study, "some") == [
        ("quiet", "no_noise"),
        ("limelight", "paper_noise"),
        ("limelight", "no_noise"),
    ]


def test_unknown_figures_are_refused():
    check_figures(resolve_study(DEMO, "demo.yaml"))
    strange = demo(comparisons={"c": {"figure": "portrait"}}, figures={"each_network": ["loss_history", "landscape"]})
    with pytest.raises(LimelightError) as caught:
        check_figures(resolve_study(strange, "mine.yaml"))
    lines = str(caught.value).splitlines()
    assert [line.partition("; expected")[0] for line in lines] == [
        "comparisons.c.figure: found 'portrait'",
        "figures.each_network: found 'landscape'",
    ]
