"""A study: one YAML file, checked against the schema, its defaults filled in, its keys checked against each other.

The resolved study is a plain nested dict. `stage_settings` picks the part that decides a stage's output: Snakemake reruns a
stage when that part changes, and its hash is written into the stage's files.
"""

import copy
import difflib
import functools
import hashlib
import importlib.util
import math
from pathlib import Path

import jsonschema
import yaml

from limelight.errors import LimelightError, problem
from limelight.files import ROOT
from limelight.probes.line_intensity.maps.instrument import load_instrument
from limelight.study.checks import SPLITS, check_sense
from limelight.study.selection import (
    audit_datasets,
    audit_test,
    expand,
    grid_section,
    merge,
    painted_as,
    with_beam,
    with_controls,
)
from limelight.study.selection import comparison_pairs as comparison_pairs  # for all who read a study
from limelight.study.selection import posterior_tests as posterior_tests
from limelight.study.selection import rival_tests as rival_tests
from limelight.study.selection import suitable_tests as suitable_tests
from limelight.study.selection import trained_posterior as trained_posterior

INSTALLED_SCHEMA = Path(__file__).parents[1] / "schemas" / "config.schema.yaml"
SCHEMA = INSTALLED_SCHEMA if INSTALLED_SCHEMA.exists() else ROOT / "workflow" / "schemas" / "config.schema.yaml"


def load_study(path: str | Path) -> dict:
    """Read, resolve and check the study in a YAML file. Raises LimelightError with one line for the first fault."""
    path = Path(path)
    return resolve_study(read_yaml(path), path)


def resolve_study(raw: dict, path: str | Path) -> dict:
    """The study in a raw config (as read by Snakemake, say): `base` merged in, expanded, defaults filled, checked."""
    study = _coerce_numbers(expand(_with_base(copy.deepcopy(dict(raw)), Path(path)), path), schema())
    if isinstance(study.get("networks"), dict) and isinstance(study.get("training", {}), dict):
        for network in study["networks"].values():  # the study's training is the default of every network's
            if isinstance(network, dict) and isinstance(network.get("training", {}), dict):
                network["training"] = {**study.get("training", {}), **network.get("training", {})}
    _check_schema(study, path)
    _refuse_nan(study, path)
    _fill_defaults(study, schema())
    for split in SPLITS:
        study["lightcones"][split] = _expand_seeds(study["lightcones"][split])
    check_sense(study, path)
    return study


@functools.lru_cache(maxsize=1)
def schema() -> dict:
    """The config schema, its references resolved in place."""
    raw = yaml.load(SCHEMA.read_text(encoding="utf-8"), Loader=_StrictLoader)
    return _inline(raw, raw["$defs"])


def read_yaml(path: str | Path) -> dict:
    """A YAML file that must hold a mapping; doubled keys and other faults give one clear line."""
    path = Path(path)
    if not path.is_file():
        raise problem(path, "no such file", "a YAML file", "check the path")
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise problem(path, f"text that is not YAML ({error})", "a YAML mapping", "mend that line") from None
    if not isinstance(content, dict):
        raise problem(path, f"a {type(content).__name__}", "a YAML mapping of keys", "see docs/config.md")
    return content


class _StrictLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # the one in C reads large studies ten times faster
    """SafeLoader that refuses a key given twice: the second would silently win."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _inline(node: object, definitions: dict) -> object:
    if isinstance(node, list):
        return [_inline(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = definitions[node["$ref"].removeprefix("#/$defs/")]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    return {key: _inline(value, definitions) for key, value in node.items() if key != "$defs"}


def _with_base(raw: dict, path: Path, seen: tuple[Path, ...] = ()) -> dict:
    """Merge the file named by `base` (relative to this one) under the raw config; mappings merge, the rest replaces."""
    if "base" not in raw:
        return raw
    base = (path.parent / str(raw.pop("base"))).resolve()
    if base in seen:
        raise problem(f"{path}: base", f"a circle of bases at {base.name}", "a base that ends", "remove one `base`")
    return merge(_with_base(read_yaml(base), base, (*seen, base)), raw)


def _property_schema(node: dict, key: str) -> dict | None:
    """The schema of one key of an object: its own property, or that of any further key."""
    further = node.get("additionalProperties")
    return node.get("properties", {}).get(key) or (further if isinstance(further, dict) else None)


def _coerce_numbers(value: object, node: dict) -> object:
    """Read '2.5e10' as a number where the schema wants one: YAML 1.1 takes it for text, every astronomer for a number."""
    if isinstance(value, dict):
        return {key: _coerce_numbers(item, _property_schema(node, key) or {}) for key, item in value.items()}
    if isinstance(value, list):
        return [_coerce_numbers(item, node.get("items", {})) for item in value]
    if isinstance(value, str) and node.get("type") in ("number", "integer"):
        try:
            return int(value) if node["type"] == "integer" else float(value)
        except ValueError:
            return value
    return value


def _fill_defaults(study: dict, node: dict) -> None:
    for key, child in node.get("properties", {}).items():
        if key not in study and "default" in child:
            study[key] = copy.deepcopy(child["default"])
    for key, value in study.items():
        child = _property_schema(node, key)
        if isinstance(value, dict) and child:
            _fill_defaults(value, child)


def _check_schema(study: dict, path: str | Path) -> None:
    errors = list(jsonschema.Draft202012Validator(schema()).iter_errors(study))
    if errors:
        raise _plain(jsonschema.exceptions.best_match(errors), path)


def _refuse_nan(value: object, path: str | Path, key: str = "") -> None:
    """NaN passes every comparison of a schema, and infinity half of them."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        _refuse_nan(item, path, f"{key}.{name}".lstrip("."))
    if isinstance(value, float) and not math.isfinite(value):
        raise problem(f"{path}: {key}", value, "a finite number", "see docs/config.md")


def _plain(error: jsonschema.ValidationError, path: str | Path) -> LimelightError:
    """A schema error in words: which key, what was found, what was expected, what to do."""
    key = ".".join(str(part) for part in error.absolute_path)
    where = f"{path}: {key}" if key else str(path)
    found, fix = repr(error.instance), "see docs/config.md"
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        unknown = next(name for name in error.instance if name not in known)
        close = difflib.get_close_matches(str(unknown), known, n=1)
        fix = f"did you mean '{close[0]}'?" if close else "remove it or see docs/config.md"
        return problem(where, f"unknown key '{unknown}'", f"one of {', '.join(known)}", fix)
    if error.validator == "required":
        missing = next(name for name in error.validator_value if name not in error.instance)
        return problem(where, f"no key '{missing}'", "it to be given", "add it, see docs/config.md")
    if error.validator in ("oneOf", "anyOf"):
        kinds = [choice.get("type", "other") for choice in error.validator_value]
        return problem(where, found, f"a {' or '.join(kinds)} of the right form", fix)
    expectations = {
        "type": "a value of type {}",
        "enum": "one of {}",
        "minimum": "at least {}",
        "maximum": "at most {}",
        "exclusiveMinimum": "more than {}",
        "exclusiveMaximum": "less than {}",
        "minItems": "at least {} items",
        "maxItems": "at most {} items",
        "minProperties": "at least {} entries",
        "pattern": "text that matches {}",
    }
    expected = expectations.get(error.validator, f"{error.validator} {{}}").format(error.validator_value)
    if len(found) > 80:
        found = found[:77] + "..."
    return problem(where, found, expected, fix)


def _expand_seeds(seeds: str | list[int]) -> list[int]:
    if isinstance(seeds, list):
        return seeds
    first, _, last = seeds.partition("-")
    return list(range(int(first), int(last or first) + 1))


def stage_settings(study: dict, stage: str, name: str = "", test: str = "") -> dict:
    """The part of a study that decides the output of a stage.

    stage: lightcone, halo_validation, subfields, maps or pooled (name: a line model), network, evaluation, audit or
    classification (name: a network), posterior or intervals (name: a posterior).
    Each stage includes what it inherits from the stages before it, so that one hash identifies a file's whole ancestry.
    """
    if stage in ("posterior", "intervals"):
        return _posterior_settings(study, stage, name, test)
    if stage in ("rival_emulator", "rival"):
        return _rival_settings(study, stage, name, test)
    if stage == "audit":
        below = stage_settings(study, "evaluation", name, audit_test(study, name))
        below.pop("examples")
        on, every = audit_datasets(study, name)
        datasets = {model: _line_model_settings(study, model) for model in every}
        options = {key: value for key, value in study["audit"].items() if key != "networks"}
        return {**below, "audit": options, "audited_on": on, "datasets": datasets}
    study = with_controls(study)
    grid, cones = study["grid"], study["lightcones"]
    settings = {
        "seed": study["seed"],
        "cosmology": study["cosmology"],
        "lightcones": {key: value for key, value in cones.items() if key not in SPLITS},
        "band": {key: grid[key] for key in ("freq_min_ghz", "freq_max_ghz", "rest_freq_ghz")},
    }
    if stage == "lightcone":
        return settings
    if stage == "halo_validation":  # it paints fields of its own, unturned, and pools none
        cuts = {key: study["subfields"][key] for key in ("size_deg", "per_side")}
        return {**settings, "subfields": cuts, "grid": {key: grid[key] for key in ("pixels", "channels")}}
    settings["subfields"] = study["subfields"]
    if stage == "subfields":
        return settings
    settings["grid"] = {key: grid[key] for key in ("pixels", "channels", "unit")}
    settings["labels"] = study["labels"]
    if stage == "maps":
        return {**settings, "line_model": _line_model_settings(study, name)}
    observation = study["observation"]
    dataset = (
        name if stage == "pooled" else study["networks"][name]["line_models"][0]
    )  # a network's share their geometry
    section = grid_section(study, dataset)
    settings["pooling"] = {key: section[key] for key in ("pool_pixels", "pool_channels")}
    instrument = load_instrument(observation["instrument"])
    settings["beam_fwhm_arcmin"] = instrument["beam_fwhm_arcmin"] if with_beam(study, dataset) else 0.0
    if stage == "pooled":
        return {**settings, "line_model": _line_model_settings(study, name)}
    network = {key: value for key, value in study["networks"][name].items() if key != "tests"}
    settings["splits"] = {split: cones[split] for split in SPLITS if split != "test"}
    settings["line_models"] = {
        model: {k: v for k, v in _line_model_settings(study, model).items() if k != "name"}
        for model in network["line_models"]
    }
    settings["network"] = {"name": name, **network}
    settings["instrument"] = instrument
    settings["noise"] = {key: observation["noise"][key] for key in network["noise"]}
    settings["foregrounds"] = observation["foregrounds"].get(network["foregrounds"])
    settings["threads"] = study["resources"]["training_threads"]
    if "initialise_from" in network:
        settings["initialise_from"] = stage_settings(study, "network", network["initialise_from"])
    if stage == "classification":
        settings["splits"]["test"] = cones["test"]
    if stage in ("network", "classification"):
        return settings
    entry = study["tests"][test]
    settings["splits"]["test"] = cones["test"]
    settings["test"] = {
        "name": test,
        "line_model": _line_model_settings(study, entry["line_model"]),
        "noise": observation["noise"][entry["noise"]],
        "foregrounds": observation["foregrounds"].get(entry["foregrounds"]),
    }
    settings["examples"] = study["figures"]["maps"]
    return settings


def _line_model_settings(study: dict, name: str) -> dict:
    """What decides a dataset's fine maps; of a user's own function also its code, so that an edit repaints the maps."""
    settings = {"name": name, **painted_as(study["line_models"][name])}
    if ":" not in settings["model"]:
        return settings
    spec = importlib.util.find_spec(settings["model"].partition(":")[0])
    code = Path(spec.origin).read_bytes() if spec and spec.origin else b""
    return {**settings, "code": hashlib.sha256(code).hexdigest()[:16]}


def _posterior_settings(study: dict, stage: str, name: str, test: str) -> dict:
    """What decides a posterior, and what its intervals on a test: its network's settings, and its own kind's alone.

    `posterior` is the one that was trained (`trained_posterior`); of abc: smc, `smc` has the name and options of the
    drawing.
    """
    asked, trained = study["posteriors"][name], trained_posterior(study, name)
    drawing, entry = {"name": name, **asked["smc"]}, study["posteriors"][trained]
    below = stage_settings(study, "network" if stage == "posterior" else "evaluation", entry["network"], test)
    below.pop("examples", None)
    common = ("kind", "of", "presentations", "fine_tune", "recalibrate", "training", entry["kind"])
    settings = {**below, "posterior": {"name": trained, **{key: entry[key] for key in common}}}
    if stage == "posterior":
        return settings
    return {**settings, "samples": asked["samples"], **({"smc": drawing} if asked["abc"] == "smc" else {})}


def _rival_settings(study: dict, stage: str, name: str, test: str) -> dict:
    """What decides a rival's emulator, and what its posteriors on a test."""
    entry, observation = study["rival"][name], study["observation"]
    sampling = ("walkers", "steps", "ensembles", "samples", "covariance", "neighbours", "anchors", "maps")
    options = {key: value for key, value in entry.items() if key not in (*sampling, "tests")}
    used = dict.fromkeys(study["tests"][test]["noise"] for test in rival_tests(study, name))
    line_model = {k: v for k, v in _line_model_settings(study, entry["line_model"]).items() if k != "draws"}
    settings = {
        **stage_settings(study, "subfields"),
        "grid": {key: study["grid"][key] for key in ("pixels", "channels", "unit")},
        "splits": {"train": study["lightcones"]["train"]},
        "instrument": load_instrument(observation["instrument"]),
        "noise": {noise: observation["noise"][noise] for noise in used},
        "line_model": line_model,
        "rival": options,
        "name": name,
    }
    beam = settings["instrument"]["beam_fwhm_arcmin"]
    settings["beam_fwhm_arcmin"] = beam if with_beam(study, entry["line_model"]) else 0.0
    if stage == "rival_emulator":
        return settings
    asked = study["tests"][test]
    settings["splits"] = {**settings["splits"], "test": study["lightcones"]["test"]}
    settings["labels"] = study["labels"]
    settings["rival"] = {**options, **{key: entry[key] for key in sampling}}
    settings["test"] = {
        "name": test,
        "line_model": _line_model_settings(study, asked["line_model"]),
        "noise": observation["noise"][asked["noise"]],
        "noise_name": asked["noise"],
    }
    return settings
