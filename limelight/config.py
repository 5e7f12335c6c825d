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
import torch
import yaml

from limelight.errors import LimelightError, problem
from limelight.halos.massfunction import mass_definition
from limelight.lines.models import get_model
from limelight.lines.priors import draw_parameters
from limelight.maps.instrument import load_instrument
from limelight.maps.pooling import TRANSFORMS
from limelight.maps.shards import EXAMPLES
from limelight.networks import build
from limelight.seeds import generator

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"
SPLITS = ("train", "validation", "test")


def load_study(path: str | Path) -> dict:
    """Read, resolve and check the study in a YAML file. Raises LimelightError with one line for the first fault."""
    path = Path(path)
    return resolve_study(read_yaml(path), path)


def resolve_study(raw: dict, path: str | Path) -> dict:
    """The study in a raw config (as read by Snakemake, say): `base` merged in, defaults filled, everything checked."""
    study = _coerce_numbers(_with_base(copy.deepcopy(dict(raw)), Path(path)), schema())
    if isinstance(study.get("networks"), dict) and isinstance(study.get("training", {}), dict):
        for network in study["networks"].values():  # the study's training is the default of every network's
            if isinstance(network, dict) and isinstance(network.get("training", {}), dict):
                network["training"] = {**study.get("training", {}), **network.get("training", {})}
    _check_schema(study, path)
    _refuse_nan(study, path)
    _fill_defaults(study, schema())
    for split in SPLITS:
        study["lightcones"][split] = _expand_seeds(study["lightcones"][split])
    _check_sense(study, path)
    return study


@functools.lru_cache(maxsize=1)
def schema() -> dict:
    """The config schema, its references resolved in place."""
    raw = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
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


class _StrictLoader(yaml.SafeLoader):
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
    return _merge(_with_base(read_yaml(base), base, (*seen, base)), raw)


def _merge(under: dict, over: dict) -> dict:
    merged = dict(under)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


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


def _check_sense(study: dict, path: str | Path) -> None:
    """Checks that span keys: geometry that fits, names that exist, splits that share nothing."""
    cones, cuts, grid = study["lightcones"], study["subfields"], study["grid"]

    def refuse(key: str, found: object, expected: str, fix: str) -> LimelightError:
        return problem(f"{path}: {key}", str(found), expected, fix)

    for first, second in (("train", "validation"), ("train", "test"), ("validation", "test")):
        shared = sorted(set(cones[first]) & set(cones[second]))
        if shared:
            expected = "light-cones of one split only: a network must be tested on halos it has never seen"
            raise refuse("lightcones", f"light-cones {shared} in both {first} and {second}", expected, "split them")
    for split in SPLITS:
        if not cones[split]:
            raise refuse(
                f"lightcones.{split}", "an empty range", "at least one light-cone", "give first-last with first ≤ last"
            )
    needed = cuts["size_deg"] * cuts["per_side"]
    if needed > cones["field_deg"] * (1 + 1e-9):
        found = f"{cuts['per_side']} × {cuts['size_deg']}° = {needed:g}° in a light-cone of {cones['field_deg']:g}°"
        raise refuse(
            "subfields", found, "subfields inside the light-cone", "cut fewer or smaller ones, or widen field_deg"
        )
    if not grid["freq_min_ghz"] < grid["freq_max_ghz"] < grid["rest_freq_ghz"]:
        found = f"{grid['freq_min_ghz']:g}, {grid['freq_max_ghz']:g}, rest {grid['rest_freq_ghz']:g} GHz"
        raise refuse("grid", found, "freq_min_ghz < freq_max_ghz < rest_freq_ghz", "put the frequencies in order")
    for axis in ("pixels", "channels"):
        if grid[axis] % grid[f"pool_{axis}"]:
            found = f"{grid[axis]} {axis} in blocks of {grid[f'pool_{axis}']}"
            raise refuse(f"grid.pool_{axis}", found, f"a divisor of {grid[axis]}", "choose one")
    mass_definition(cones["mass_function"])
    labels = study["labels"]
    if not labels["log10_lum_min"] < labels["log10_lum_max"]:
        found = f"{labels['log10_lum_min']:g} to {labels['log10_lum_max']:g}"
        raise refuse("labels", found, "log10_lum_min < log10_lum_max", "put them in order")
    _check_observation(study["observation"], refuse)
    _check_line_models(study["line_models"], grid["rest_freq_ghz"], refuse)
    if min(study["figures"]["maps"], default=EXAMPLES) >= EXAMPLES:
        expected = f"at least one below {EXAMPLES}: of so many maps a slice is stored"
        raise refuse("figures.maps", study["figures"]["maps"], expected, "add one")
    _check_references(study, path, refuse)


def _check_observation(observation: dict, refuse) -> None:
    load_instrument(observation["instrument"])
    for name, noise in observation["noise"].items():
        key = f"observation.noise.{name}"
        if noise["radiometer"] == ("sigma_uk" in noise):
            expected = "either sigma_uk or radiometer: true"
            raise refuse(key, "both" if noise["radiometer"] else "neither", expected, "give one of the two")
        sigma = noise.get("sigma_uk", 0)
        if isinstance(sigma, list) and not sigma[0] <= sigma[1]:
            raise refuse(f"{key}.sigma_uk", sigma, "[low, high] with low ≤ high", "swap them")
    for name, sources in observation["foregrounds"].items():
        if not sources["flux_min_mjy"] < sources["flux_max_mjy"]:
            found = f"{sources['flux_min_mjy']:g} to {sources['flux_max_mjy']:g} mJy"
            raise refuse(f"observation.foregrounds.{name}", found, "flux_min_mjy < flux_max_mjy", "put them in order")
    if "none" in observation["foregrounds"]:
        raise refuse("observation.foregrounds.none", "a setting", "no such name: 'none' means no sources", "rename it")


def _check_line_models(line_models: dict, rest_freq_ghz: float, refuse) -> None:
    for name, settings in line_models.items():
        limits = settings.get("mean_temperature_uk")
        if limits and not limits[0] < limits[1]:
            raise refuse(f"line_models.{name}.mean_temperature_uk", limits, "[low, high] with low < high", "swap them")
        try:
            model = get_model(settings["model"], settings["parameters"])
            draw_parameters(model, settings["prior"], settings["parameters"], generator(0, "check"))
        except LimelightError as error:
            raise LimelightError(f"line_models.{name}: {error}") from None
        fitted = model.rest_freq_ghz
        if fitted and not settings["parameters"] and abs(rest_freq_ghz / fitted - 1) > 0.005:
            expected = f"{fitted:g} GHz, the line that {settings['model']} was fitted to"
            fix = "mend it, or give the model parameters of your line"
            raise refuse("grid.rest_freq_ghz", f"{rest_freq_ghz:g} GHz", expected, fix)


def _check_references(study: dict, path: str | Path, refuse) -> None:
    """Every name that a network or test uses must be defined, and what it combines must make sense."""
    noise, foregrounds = study["observation"]["noise"], {**study["observation"]["foregrounds"], "none": None}

    def known(key: str, name: str, defined: dict, section: str) -> None:
        if name not in defined:
            raise refuse(key, f"'{name}'", f"one of {', '.join(defined)} (defined in {section})", "define or rename it")

    for label, user in (("networks", study["networks"]), ("tests", study["tests"])):
        for name, entry in user.items():
            models = entry["line_models"] if label == "networks" else [entry["line_model"]]
            noises = entry["noise"] if label == "networks" else [entry["noise"]]
            for model in models:
                known(f"{label}.{name}.line_model", model, study["line_models"], "line_models")
            for setting in noises:
                known(f"{label}.{name}.noise", setting, noise, "observation.noise")
            known(f"{label}.{name}.foregrounds", entry["foregrounds"], foregrounds, "observation.foregrounds")
    grid = study["grid"]
    shape = (grid["pixels"] // grid["pool_pixels"],) * 2 + (grid["channels"] // grid["pool_channels"],)
    for name, network in study["networks"].items():
        try:
            with torch.device("meta"):  # shapes without numbers: quick, however large the network
                build(network["architecture"], network["options"], shape, study["labels"]["bins"])
        except LimelightError as error:
            raise LimelightError(f"{path}: networks.{name}: {error}") from None
        shares = {key: network["training"][f"{key}_fraction"] for key in ("blank", "dim")}
        if sum(shares.values()) > 1 + 1e-9:
            found = f"blank_fraction {shares['blank']:g} and dim_fraction {shares['dim']:g}"
            raise refuse(f"networks.{name}.training", found, "shares that add up to 1 at most", "lower one of them")
        noisy = [setting for setting in network["noise"] if not _quiet(noise[setting])]
        expected = "maps without noise: log10(T + 1e-6) + 6 does not exist for the negative T that noise makes"
        if noisy and not _reads_negative(network):
            raise refuse(f"networks.{name}.noise", ", ".join(noisy), expected, "use signed_log or asinh")
        if not suitable_tests(study, name):
            raise refuse(
                "tests", f"none that network {name} can take", f"one of {expected}", "add a test without noise"
            )


def suitable_tests(study: dict, network: str) -> list[str]:
    """The tests that a network takes: all of them, or those without noise if its preprocessing needs T ≥ 0."""
    noise, every = study["observation"]["noise"], _reads_negative(study["networks"][network])
    return [name for name, test in study["tests"].items() if every or _quiet(noise[test["noise"]])]


def _reads_negative(network: dict) -> bool:
    return TRANSFORMS[network["preprocessing"]["transform"]].negative


def _quiet(noise: dict) -> bool:
    return noise.get("sigma_uk", 1) in (0, [0, 0])


def stage_settings(study: dict, stage: str, name: str = "", test: str = "") -> dict:
    """The part of a study that decides the output of a stage.

    stage: lightcone, subfields, maps or pooled (name: a line model), network or evaluation (name: a network).
    Each stage includes what it inherits from the stages before it, so that one hash identifies a file's whole ancestry.
    """
    grid, cones = study["grid"], study["lightcones"]
    settings = {
        "seed": study["seed"],
        "cosmology": study["cosmology"],
        "lightcones": {key: value for key, value in cones.items() if key not in SPLITS},
        "band": {key: grid[key] for key in ("freq_min_ghz", "freq_max_ghz", "rest_freq_ghz")},
    }
    if stage == "lightcone":
        return settings
    settings["subfields"] = study["subfields"]
    if stage == "subfields":
        return settings
    settings["grid"] = {key: grid[key] for key in ("pixels", "channels", "unit")}
    settings["labels"] = study["labels"]
    if stage == "maps":
        return {**settings, "line_model": {"name": name, **_line_model_settings(study["line_models"][name])}}
    observation = study["observation"]
    settings["pooling"] = {key: grid[key] for key in ("pool_pixels", "pool_channels")}
    instrument = load_instrument(observation["instrument"])
    settings["beam_fwhm_arcmin"] = instrument["beam_fwhm_arcmin"] if observation["beam"] else 0.0
    if stage == "pooled":
        return {**settings, "line_model": {"name": name, **_line_model_settings(study["line_models"][name])}}
    network = study["networks"][name]
    settings["splits"] = {split: cones[split] for split in SPLITS if split != "test"}
    settings["line_models"] = {
        model: _line_model_settings(study["line_models"][model]) for model in network["line_models"]
    }
    settings["network"] = {"name": name, **network}
    settings["instrument"] = instrument
    settings["noise"] = {key: observation["noise"][key] for key in network["noise"]}
    settings["foregrounds"] = observation["foregrounds"].get(network["foregrounds"])
    settings["threads"] = study["resources"]["training_threads"]
    if stage == "network":
        return settings
    entry = study["tests"][test]
    settings["splits"]["test"] = cones["test"]
    settings["test"] = {
        "name": test,
        "line_model": {"name": entry["line_model"], **_line_model_settings(study["line_models"][entry["line_model"]])},
        "noise": observation["noise"][entry["noise"]],
        "foregrounds": observation["foregrounds"].get(entry["foregrounds"]),
    }
    settings["examples"] = study["figures"]["maps"]
    return settings


def _line_model_settings(settings: dict) -> dict:
    """A line model's settings; of a user's own function also its code, so that an edit repaints the maps."""
    if ":" not in settings["model"]:
        return settings
    spec = importlib.util.find_spec(settings["model"].partition(":")[0])
    code = Path(spec.origin).read_bytes() if spec and spec.origin else b""
    return {**settings, "code": hashlib.sha256(code).hexdigest()[:16]}
