"""The config: defaults, bases, and one clear line for every way to get it wrong."""

import copy
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from limelight.errors import LimelightError
from limelight.study.config import ROOT, load_study, resolve_study, schema
from limelight.study.legacy import stage_settings
from limelight.study.selection import suitable_tests

CONFIGS = sorted((ROOT / "config").glob("*.yaml"))
DEMO = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text())


def changed(*path_and_value: object) -> dict:
    """The demo's raw config with one key set (or deleted, value None)."""
    *path, last, value = path_and_value
    raw = copy.deepcopy(DEMO)
    node = raw
    for key in path:
        node = node.setdefault(key, {})
    if value is None:
        del node[last]
    else:
        node[last] = value
    return raw


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_config_is_valid(path: Path):
    study = load_study(path)
    assert study["study"]
    assert resolve_study(study, path) == study, "resolving twice must change nothing: stages read the resolved study"


def test_defaults_are_filled_from_the_schema():
    study = resolve_study(DEMO, "demo")
    assert study["cosmology"] == {"omega_m": 0.286, "omega_b": 0.047, "h": 0.7, "ns": 0.96, "sigma8": 0.82}
    assert study["labels"] == {"log10_lum_min": 3.5, "log10_lum_max": 7.0, "bins": 49}
    assert study["lightcones"]["train"] == list(range(8))


def test_a_networks_training_overrides_the_studys():
    raw = changed("training", {"epochs": 3, "batch_size": 7})
    raw["networks"]["limelight"]["training"] = {"epochs": 5}
    training = resolve_study(raw, "demo")["networks"]["limelight"]["training"]
    assert training["epochs"] == 5
    assert training["batch_size"] == 7
    assert training["loss"] == schema()["properties"]["training"]["properties"]["loss"]["default"]


def test_numbers_in_astronomers_notation_are_numbers():
    assert (
        resolve_study(changed("lightcones", "mass_min_msun", "2.5e10"), "demo")["lightcones"]["mass_min_msun"] == 2.5e10
    )


def test_base_is_merged_under_the_study(tmp_path: Path):
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(DEMO))
    (tmp_path / "mine.yaml").write_text("base: base.yaml\nstudy: mine\ngrid: {pixels: 64}\n")
    study = load_study(tmp_path / "mine.yaml")
    assert (study["study"], study["grid"]["pixels"], study["grid"]["channels"]) == ("mine", 64, 50)


BAD = {
    "unknown key": (changed("grid", "pixel", 64), "did you mean 'pixels'"),
    "unknown top key": (changed("gird", {}), "did you mean 'grid'"),
    "missing key": (changed("grid", "pixels", None), "no key 'pixels'"),
    "wrong type": (changed("grid", "pixels", "many"), "integer"),
    "zero pixels": (changed("grid", "pixels", 0), "at least 1"),
    "negative mass": (changed("lightcones", "mass_min_msun", -1), "at least"),
    "pooling does not divide": (changed("grid", "pool_pixels", 3), "divisor of 128"),
    "channels not divisible": (changed("grid", "pool_channels", 7), "divisor of 50"),
    "subfields stick out": (changed("subfields", "per_side", 3), "inside the light-cone"),
    "frequencies reversed": (changed("grid", "freq_min_ghz", 36.0), "freq_min_ghz < freq_max_ghz"),
    "blueshifted line": (changed("grid", "rest_freq_ghz", 30.0), "rest_freq_ghz"),
    "a model of another line": (changed("grid", "rest_freq_ghz", 230.54), "fitted to"),
    "train in test": (changed("lightcones", "test", [7]), "both train and test"),
    "validation in test": (changed("lightcones", "test", [8]), "both validation and test"),
    "empty range": (changed("lightcones", "train", "5-3"), "at least one light-cone"),
    "bad range": (changed("lightcones", "train", "five"), "lightcones.train: found 'five'"),
    "labels reversed": (changed("labels", "log10_lum_min", 8.0), "log10_lum_min < log10_lum_max"),
    "unknown line model name": (changed("tests", "no_noise", "line_model", "li11"), "li11"),
    "unknown model": (changed("line_models", "li10", "model", "lee"), "lee"),
    "unknown prior": (changed("line_models", "li10", "prior", "flat-ish"), "flat-ish"),
    "unknown noise": (changed("networks", "limelight", "noise", ["loud"]), "loud"),
    "unknown foregrounds": (changed("networks", "limelight", "foregrounds", "radio"), "radio"),
    "unknown instrument": (changed("observation", "instrument", "hubble"), "hubble"),
    "noise given twice": (
        changed("observation", "noise", "none", {"sigma_uk": 1, "radiometer": True}),
        "one of the two",
    ),
    "noise range reversed": (changed("observation", "noise", "none", {"sigma_uk": [2, 1]}), "low ≤ high"),
    "log of negative": (changed("networks", "limelight", "preprocessing", {"transform": "log10_offset"}), "signed_log"),
    "NaN": (changed("subfields", "rotations_deg", [0, float("nan")]), "subfields.rotations_deg.1: found nan"),
    "shares above 1": (changed("training", {"blank_fraction": 0.7, "dim_fraction": 0.4}), "add up to 1"),
    "no map with a slice": (changed("figures", {"maps": [7]}), "figures.maps: found [7]"),
    "unknown architecture": (changed("networks", "limelight", "architecture", "transformer"), "transformer"),
    "unknown option": (changed("networks", "limelight", "options", {"filter": 8}), "filter"),
    "unknown mass function": (changed("lightcones", "mass_function", "tinker09"), "tinker09"),
    "slash in the name": (changed("study", "a/b"), "matches"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_config_gives_one_clear_line(name: str):
    raw, expected = BAD[name]
    with pytest.raises(LimelightError) as caught:
        resolve_study(raw, "config/mine.yaml")
    line = str(caught.value)
    assert "\n" not in line
    assert expected in line
    assert re.search(r"config/mine.yaml|line_models|networks|hubble|mass_function", line), "the line must say where"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("study: [", "not YAML"),
        ("- 1\n- 2\n", "found a list"),
        ("study: a\nstudy: b\n", "given twice"),
        ("", "NoneType"),
    ],
)
def test_a_file_that_is_no_config_gives_one_clear_line(tmp_path: Path, text: str, expected: str):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(LimelightError, match=expected):
        load_study(path)


def test_a_network_of_maps_without_noise_takes_the_tests_without_noise():
    raw = changed("networks", "limelight", "preprocessing", {"transform": "log10_offset"})
    raw["networks"]["limelight"]["noise"] = ["none"]
    raw["networks"]["other"] = DEMO["networks"]["limelight"]
    study = resolve_study(raw, "demo")
    assert suitable_tests(study, "limelight") == ["no_noise"]
    assert suitable_tests(study, "other") == list(DEMO["tests"])
    del raw["tests"]["no_noise"]
    with pytest.raises(LimelightError, match="none that network limelight can take"):
        resolve_study(raw, "demo")


def test_a_circle_of_bases_is_refused(tmp_path: Path):
    (tmp_path / "a.yaml").write_text("base: b.yaml\n")
    (tmp_path / "b.yaml").write_text("base: a.yaml\n")
    with pytest.raises(LimelightError, match="circle"):
        load_study(tmp_path / "a.yaml")


def test_settings_of_a_stage_hold_what_decides_it_and_nothing_else():
    study = resolve_study(DEMO, "demo")
    other = resolve_study(changed("grid", "pool_pixels", 4), "demo")
    for stage, name in (("lightcone", ""), ("subfields", ""), ("maps", "li10")):
        assert stage_settings(study, stage, name) == stage_settings(other, stage, name)
    assert stage_settings(study, "pooled", "li10") != stage_settings(other, "pooled", "li10")
    more_tests = resolve_study(changed("lightcones", "test", [9, 10, 11]), "demo")
    assert stage_settings(study, "network", "limelight") == stage_settings(more_tests, "network", "limelight")
    assert stage_settings(study, "lightcone") != stage_settings(resolve_study(changed("seed", 1), "demo"), "lightcone")


@pytest.mark.parametrize(
    ("section", "key", "value", "reruns"),
    [
        ("subfields", "size_deg", 0.7, True),
        ("subfields", "per_side", 1, True),
        ("grid", "pixels", 64, True),
        ("grid", "channels", 20, True),
        ("seed", None, 1, True),
        ("subfields", "reflections", True, False),
        ("grid", "pool_pixels", 4, False),
        ("labels", "bins", 5, False),
    ],
)
def test_halos_are_validated_again_when_what_they_are_painted_on_changes(section, key, value, reruns):
    study = resolve_study(DEMO, "demo")
    other = {**study, section: value if key is None else {**study[section], key: value}}
    assert other != study
    assert (stage_settings(study, "halo_validation") != stage_settings(other, "halo_validation")) == reruns


def test_the_config_reference_is_the_schemas(tmp_path: Path):
    written = tmp_path / "config.md"
    script = [sys.executable, str(ROOT / "scripts" / "config_reference.py"), "--output", str(written)]
    subprocess.run(script, check=True, capture_output=True)
    assert written.read_text() == (ROOT / "docs" / "config.md").read_text(), "write docs/config.md again"


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("config/*.yaml"))]
)
def test_documented_commands_are_whole(path: Path):
    """Snakemake refuses to run here without --cores, and takes a target that follows --configfile for a second config."""
    enough = {"--cores", "-n", "--dry-run", "--report", "--lint", "--unlock", "--profile"}
    for found in re.finditer(r"(?:`|^(?:# *)?)(?:\.venv/bin/)?snakemake ([^`\n]*)", path.read_text(), re.MULTILINE):
        words = found[1].split("  #")[0].split()
        assert enough & set(words), found[0]
        after = words[words.index("--configfile") + 2 :] if "--configfile" in words else []
        assert not after or after[0].startswith("--"), found[0]


def test_conda_and_pip_agree():
    pins = dict(
        line.strip().lower().split("==")
        for line in (ROOT / "envs" / "constraints.txt").read_text().splitlines()
        if "==" in line
    )
    conda = yaml.safe_load((ROOT / "envs" / "environment.yaml").read_text())
    wanted = next(entry["pip"] for entry in conda["dependencies"] if isinstance(entry, dict))
    assert {name.lower(): version for name, version in (line.split("==") for line in wanted)}.items() <= pins.items()
    assert pins["torch"] == "2.13.0"
    assert {"snakemake", "torch", "numpy", "h5py", "scipy", "pandas"} <= {line.split("==")[0] for line in wanted}
