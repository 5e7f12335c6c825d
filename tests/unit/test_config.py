"""The config: defaults, bases, and one clear line for every way to get it wrong."""

import copy
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import yaml
from altered import altered
from pydantic import create_model

from limelight.errors import LimelightError
from limelight.files import settings_hash
from limelight.probe import load_probe
from limelight.probes import PROBES
from limelight.probes.line_intensity import settings as line
from limelight.probes.line_intensity.config import LineStudy
from limelight.section import Section, plain
from limelight.study.config import ROOT, load_study, resolve_study
from limelight.study.selection import suitable_tests
from limelight.study.settings import audit_settings, evaluation_settings, network_settings

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
    again = resolve_study(plain(study), path)
    assert again == study, "resolving twice must change nothing: stages read the resolved study"
    assert settings_hash(again) == settings_hash(study), "nor the text that it is hashed by"


def test_defaults_are_filled_in():
    study = resolve_study(DEMO, "demo")
    assert plain(study.cosmology) == {"omega_m": 0.286, "omega_b": 0.047, "h": 0.7, "ns": 0.96, "sigma8": 0.82}
    assert plain(study.labels) == {"log10_lum_min": 3.5, "log10_lum_max": 7.0, "bins": 49}
    assert study.lightcones.train == list(range(8))
    assert study.probe == "line_intensity"


def sections(section: type[Section]) -> set[type[Section]]:
    """A section and all that stand below it."""
    found = {section}
    for field in section.model_fields.values():
        kinds = [field.annotation, *get_args(field.annotation)]
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, Section):
                found |= sections(kind)
    return found


@pytest.mark.parametrize(
    "section", sorted(sections(LineStudy), key=lambda section: section.__name__), ids=lambda section: section.__name__
)
def test_every_key_is_described_and_every_default_is_one_that_a_user_could_give(section):
    for key, field in section.model_fields.items():
        inner = [kind for kind in (field.annotation, *get_args(field.annotation)) if isinstance(kind, type)]
        described = field.description or any(issubclass(kind, Section) and kind.__doc__ for kind in inner)
        assert described, key
        if not field.is_required() and field.default is not None:
            alone = create_model("Alone", __base__=Section, **{key: (field.annotation, field)})
            again = alone.model_validate({key: plain(field.default)})
            assert settings_hash(again) == settings_hash({key: field.default}), key


def test_a_networks_training_overrides_the_studys():
    raw = changed("training", {"epochs": 3, "batch_size": 7})
    raw["networks"]["limelight"]["training"] = {"epochs": 5}
    study = resolve_study(raw, "demo")
    training = study.networks["limelight"].training
    assert (training.epochs, training.batch_size, training.loss) == (5, 7, "mse")
    assert study.training.epochs == 3


def test_numbers_in_astronomers_notation_are_numbers():
    assert resolve_study(changed("lightcones", "mass_min_msun", "2.5e10"), "demo").lightcones.mass_min_msun == 2.5e10
    assert resolve_study(changed("training", "epochs", "1e2"), "demo").training.epochs == 100
    assert resolve_study(changed("training", "epochs", 12.0), "demo").training.epochs == 12
    noise = {"none": {"sigma_uk": ["0", "1e-1"]}, **DEMO["observation"]["noise"]}
    noise["none"] = {"sigma_uk": ["0", "1e-1"]}
    assert resolve_study(changed("observation", "noise", noise), "demo").observation.noise["none"].sigma_uk == [0, 0.1]


def test_options_of_a_network_are_kept_as_they_are():
    raw = changed("networks", "limelight", "options", {"filters": 8, "norm": "none"})
    study = resolve_study(raw, "demo")
    assert plain(study)["networks"]["limelight"]["options"] == {"filters": 8, "norm": "none"}
    assert plain(altered(study, {"networks.limelight.options": {"a": None}}).networks["limelight"])["options"] == {
        "a": None
    }


def test_base_is_merged_under_the_study(tmp_path: Path):
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(DEMO))
    (tmp_path / "mine.yaml").write_text("base: base.yaml\nstudy: mine\ngrid: {pixels: 64}\n")
    study = load_study(tmp_path / "mine.yaml")
    assert (study.study, study.grid.pixels, study.grid.channels) == ("mine", 64, 50)


BAD = {
    "unknown key": (changed("grid", "pixel", 64), "did you mean 'pixels'"),
    "unknown top key": (changed("gird", {}), "did you mean 'grid'"),
    "missing key": (changed("grid", "pixels", None), "no key 'pixels'"),
    "wrong type": (changed("grid", "pixels", "many"), "integer"),
    "zero pixels": (changed("grid", "pixels", 0), "at least 1"),
    "negative mass": (changed("lightcones", "mass_min_msun", -1), "at least"),
    "pooling does not divide": (changed("grid", "pool_pixels", 3), "divisor of 128"),
    "channels not divisible": (changed("grid", "pool_channels", 7), "divisor of 50"),
    "wider than the generator makes": (
        changed("lightcones", "field_deg", 30),
        "lightcones.field_deg: found 30°; expected at most 20°",
    ),
    "subfields stick out": (changed("subfields", "per_side", 3), "inside the light-cone"),
    "frequencies reversed": (changed("grid", "freq_min_ghz", 36.0), "freq_min_ghz < freq_max_ghz"),
    "blueshifted line": (changed("grid", "rest_freq_ghz", 30.0), "rest_freq_ghz"),
    "a model of another line": (changed("grid", "rest_freq_ghz", 230.54), "fitted to"),
    "train in test": (changed("lightcones", "test", [7]), "both train and test"),
    "validation in test": (changed("lightcones", "test", [8]), "both validation and test"),
    "empty range": (changed("lightcones", "train", "5-3"), "at least one number"),
    "no light-cones": (changed("lightcones", "train", []), "at least 1 items"),
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
        "give one of them",
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
    "newline in the name": (changed("study", "ab\n"), "matches"),
    "newline in a network's name": (
        changed("networks", "b\n", DEMO["networks"]["limelight"]),
        "networks: found 'b\\n'",
    ),
    "a number for a name": (changed("networks", 3, DEMO["networks"]["limelight"]), "networks: found 3"),
    "yes for a number": (changed("grid", "pixels", True), "grid.pixels: found True; expected a value of type integer"),
    "yes for a fraction": (changed("training", "warmup", True), "a value of type number"),
    "one for yes": (changed("observation", "beam", 1), "boolean"),
    "half a pixel": (changed("grid", "pixels", 1.5), "grid.pixels: found 1.5; expected a value of type integer"),
    "half a pixel as text": (changed("grid", "pixels", "1.5"), "grid.pixels: found '1.5'"),
    "infinity": (changed("lightcones", "mass_min_msun", float("inf")), "a finite number"),
    "infinity as text": (changed("lightcones", "mass_min_msun", "inf"), "a finite number"),
    "a choice that there is not": (changed("grid", "unit", "mK"), "one of 'uK' or 'Jy/sr'"),
    "a list of one": (changed("line_models", "li10", "mean_temperature_uk", [1]), "at least 2 items"),
    "a list of three": (changed("line_models", "li10", "mean_temperature_uk", [1, 2, 3]), "at most 2 items"),
    "no networks": (changed("networks", {}), "networks: found {}; expected at least 1 entries"),
    "a name twice": (changed("networks", "limelight", "line_models", ["li10", "li10"]), "'li10' twice"),
    "a light-cone twice": (changed("lightcones", "test", [9, 9]), "9 twice; expected each once"),
    "noise that is neither": (
        changed("observation", "noise", "none", {"sigma_uk": "loud"}),
        "observation.noise.none.sigma_uk: found 'loud'; expected a number of 0 or more, or [low, high]",
    ),
    "an unknown key far down": (
        changed("networks", "limelight", "training", {"epoch": 3}),
        "networks.limelight.training: found unknown key 'epoch'",
    ),
    "an unknown probe": (
        changed("probe", "line_intensty"),
        "probe: found 'line_intensty'; expected one of line_intensity",
    ),
    "a probe that is no name": (changed("probe", ["line_intensity"]), "probe: found '['line_intensity']'"),
    "nothing under a key": (changed("networks", "limelight", "training", []) | {"networks": None}, "type mapping"),
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


def test_names_that_other_files_have_are_refused():
    reader, network = {"networks": ["limelight"], "control": True}, DEMO["networks"]["limelight"]
    clashes = {
        "networks.comparisons": changed("networks", "comparisons", network),
        "networks.rival": changed("networks", "rival", network) | {"rival": {"li": {"line_model": "li10"}}},
        "networks.limelight-permuted": changed("networks", "limelight-permuted", network) | {"audit": reader},
        "tests.posterior": changed("tests", "posterior", DEMO["tests"]["no_noise"])
        | {"posteriors": {"mdn": {"network": "limelight", "kind": "mdn"}}},
    }
    for key, raw in clashes.items():
        lines = [line for line in lines_of(raw) if line.startswith(f"mine.yaml: {key}: found the name")]
        assert len(lines) == 1, (key, lines_of(raw))
    resolve_study(changed("networks", "limelight-permuted", network), "mine.yaml")  # where there is no such control


@pytest.mark.parametrize("name", ["reader\n", "-reader", "a b", "a/b", ".", ""])
def test_a_name_is_letters_digits_and_dashes(name: str):
    (line,) = lines_of(changed("networks", name, DEMO["networks"]["limelight"]))
    assert "text that matches" in line


def lines_of(raw: dict) -> list[str]:
    with pytest.raises(LimelightError) as caught:
        resolve_study(raw, "mine.yaml")
    return str(caught.value).splitlines()


def test_all_faults_are_told_at_once():
    raw = changed("grid", "pixel", 64)
    raw["grid"] |= {"channels": 0, "unit": "mK"}
    raw["networks"]["limelight"]["training"] = {"epochs": True}
    del raw["lightcones"]["field_deg"]
    assert lines_of(raw) == [
        "mine.yaml: networks.limelight.training.epochs: found True; expected a value of type integer; see docs/config.md",
        "mine.yaml: lightcones: found no key 'field_deg'; expected it to be given; add it, see docs/config.md",
        "mine.yaml: grid.channels: found 0; expected at least 1; see docs/config.md",
        "mine.yaml: grid.unit: found 'mK'; expected one of 'uK' or 'Jy/sr'; see docs/config.md",
        "mine.yaml: grid: found unknown key 'pixel'; expected one of pixels, channels, freq_min_ghz, freq_max_ghz, "
        "rest_freq_ghz, unit, pool_pixels, pool_channels, survey; did you mean 'pixels'?",
    ]


def test_a_fault_that_networks_inherit_is_told_once():
    raw = changed("training", "epochs", 0)
    raw["networks"]["own"] = {**raw["networks"]["limelight"], "training": {"warmup": 2}}
    keys = [line.split(": ")[1] for line in lines_of(raw)]
    assert keys == ["training.epochs", "networks.own.training.warmup"]


def test_all_faults_that_span_keys_are_told_at_once():
    raw = changed("grid", "pool_pixels", 3)
    raw["lightcones"]["test"] = [7, 8]
    raw["labels"] = {"log10_lum_min": 9}
    raw["tests"]["no_noise"]["noise"] = "loud"
    raw["networks"]["limelight"]["initialise_from"] = "nobody"
    keys = [line.split(": ")[1] for line in lines_of(raw)]
    expected = ["lightcones", "lightcones", "networks.limelight.initialise_from", "grid.pool_pixels", "labels"]
    assert keys == [*expected, "tests.no_noise.noise"]


def test_a_script_tells_all_faults_one_line_each_and_fails(tmp_path: Path):
    raw = changed("grid", "pixel", 64)
    raw["seed"] = -1
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(raw))
    script = [sys.executable, str(ROOT / "scripts" / "estimate.py"), "--config", str(tmp_path / "mine.yaml")]
    run = subprocess.run(script, capture_output=True, text=True)
    assert run.returncode == 1
    assert [line.partition("mine.yaml: ")[2].split(":")[0] for line in run.stderr.splitlines()] == ["seed", "grid"]
    assert all(line.startswith("limelight: error: ") for line in run.stderr.splitlines())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("study: [", "not YAML"),
        ("[1, 2]: 3", "not YAML"),
        ("- 1\n- 2\n", "found a list"),
        ("study: a\nstudy: b\n", "key 'study' given twice.* line 2"),
        ("noise: {no: {sigma_uk: 0}}\n", "the key 'no', which YAML takes for False: put it in quotes"),
        ("noise:\n  ~: 1\n", "the key '~', which YAML takes for None"),
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


def hashes(study) -> dict[str, str]:
    """The hash of every stage's settings."""
    stages = {
        "lightcone": line.lightcone_settings(study),
        "halo_validation": line.halo_validation_settings(study),
        "subfields": line.subfield_settings(study),
        "maps": line.map_settings(study, "li10"),
        "pooled": line.shard_settings(study, "li10"),
        "network": network_settings(study, "limelight"),
        "evaluation": evaluation_settings(study, "limelight", "no_noise"),
        "audit": audit_settings(study, "limelight"),
    }
    return {stage: settings_hash(settings) for stage, settings in stages.items()}


ALL = ["lightcone", "halo_validation", "subfields", "maps", "pooled", "network", "evaluation", "audit"]


@pytest.mark.parametrize(
    ("key", "value", "reruns"),
    [
        ("seed", 1, ALL),
        ("cosmology.h", 0.68, ALL),
        ("lightcones.mass_min_msun", 5e10, ALL),
        ("grid.rest_freq_ghz", 115.3, ALL),
        ("subfields.size_deg", 0.7, ALL[1:]),
        ("subfields.per_side", 1, ALL[1:]),
        ("subfields.reflections", True, ALL[2:]),
        ("grid.pixels", 64, ["halo_validation", *ALL[3:]]),
        ("grid.channels", 20, ["halo_validation", *ALL[3:]]),
        ("grid.unit", "Jy/sr", ALL[3:]),
        ("labels.bins", 5, ALL[3:]),
        ("line_models.li10.prior", "full", ALL[3:]),
        ("grid.pool_pixels", 4, ALL[4:]),
        ("line_models.li10.pool_pixels", 4, ALL[4:]),
        ("observation.beam", True, ALL[4:]),
        ("lightcones.train", [0, 1], ALL[5:]),
        ("networks.limelight.training.epochs", 3, ALL[5:]),
        ("networks.limelight.noise", ["none"], ALL[5:]),
        ("observation.noise.comap.sigma_uk", 12.0, ALL[5:]),
        ("resources.training_threads", 3, ALL[5:]),
        ("lightcones.test", [9, 11], ALL[6:]),
        ("tests.no_noise.noise", "paper", ALL[6:]),
        ("figures.maps", [1], ["evaluation"]),
        ("audit.maps", 3, ["audit"]),
        ("networks.limelight.tests", ["no_noise"], []),
        ("keep", [], []),
        ("resources.memory_factor", 2.0, []),
        ("figures.layers", ["limelight"], []),
    ],
)
def test_settings_of_a_stage_hold_what_decides_it_and_nothing_else(key, value, reruns):
    study = resolve_study(DEMO, "demo")
    before, after = hashes(study), hashes(altered(study, {key: value}))
    assert [stage for stage in before if before[stage] != after[stage]] == reruns


def test_what_a_cosmology_has_worked_out_is_no_setting():
    settings = line.lightcone_settings(resolve_study(DEMO, "demo"))
    before = settings_hash(settings)
    settings.cosmology.comoving_distance(3.0)
    settings.cosmology.linear_power([0.1])
    assert settings_hash(settings) == before


def test_the_code_of_a_users_own_line_model_decides_its_maps(tmp_path: Path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_line.py").write_text("def light(mass, redshift, parameters, rng):\n    return mass * 0 + 5\n")
    study = altered(resolve_study(DEMO, "demo"), {"line_models.li10.model": "own_line:light"})
    first = settings_hash(line.shard_settings(study, "li10"))
    (tmp_path / "own_line.py").write_text("def light(mass, redshift, parameters, rng):\n    return mass * 0 + 6\n")
    assert settings_hash(line.shard_settings(study, "li10")) != first


def test_the_config_reference_is_that_of_the_sections(tmp_path: Path):
    script = [sys.executable, str(ROOT / "scripts" / "config_reference.py"), "--folder", str(tmp_path)]
    subprocess.run(script, check=True, capture_output=True)
    pages = [Path("config.md"), *(Path("config") / f"{name}.md" for name in ("posteriors", *PROBES))]
    assert set(pages) == {path.relative_to(tmp_path) for path in tmp_path.rglob("*.md")}
    assert set(pages[1:]) == {path.relative_to(ROOT / "docs") for path in ROOT.glob("docs/config/*")}
    for page in pages:
        text = (tmp_path / page).read_text()
        assert text == (ROOT / "docs" / page).read_text(), f"write docs/{page} again"
        assert text.count("\n") <= 300


@pytest.mark.parametrize("probe", PROBES)
def test_the_config_reference_has_every_key_of_a_probe(probe: str):
    """In a table or as a heading, on the page of the probe or on those that all studies share."""
    pages = [ROOT / "docs" / "config.md", *(ROOT / "docs" / "config" / f"{name}.md" for name in ("posteriors", probe))]
    text = "".join(page.read_text() for page in pages)
    told = {
        *re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE),
        *re.findall(r"^## `(?:.*\.)?(\w+)`$", text, re.MULTILINE),
    }
    keys = {key for section in sections(load_probe(probe).study) for key in section.model_fields}
    assert keys <= told


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
    assert {"snakemake", "torch", "numpy", "h5py", "scipy", "pandas"} <= {line.split("==")[0] for line in wanted}
