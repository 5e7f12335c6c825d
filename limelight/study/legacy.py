"""TRANSITION: stage settings as nested dicts, for the rooms that do not read the typed ones yet. To be deleted with them.

The typed settings (limelight.study.settings, limelight.probes.line_intensity.settings) are what counts.
"""

import hashlib
import importlib.util
from pathlib import Path

from limelight.probes.line_intensity.config import LineStudy
from limelight.probes.line_intensity.maps.instrument import load_instrument
from limelight.probes.line_intensity.selection import rival_tests
from limelight.section import plain
from limelight.study.sections import SPLITS
from limelight.study.selection import audit_datasets, audit_test, trained_networks, trained_posterior

GEOMETRY = ("pool_pixels", "pool_channels", "beam")  # what a dataset may have other than the study


def grid_section(study: LineStudy, line_model: str) -> dict:
    """The study's `grid` with the pooling of one dataset: the arguments of make_grid."""
    own = study["line_models"][line_model]
    return {**study["grid"], **{key: own[key] for key in ("pool_pixels", "pool_channels") if key in own}}


def with_beam(study: dict, line_model: str) -> bool:
    """Whether one dataset's maps are smoothed by the instrument's beam."""
    return study["line_models"][line_model].get("beam", study["observation"]["beam"])


def painted_as(settings: dict) -> dict:
    """The part of a line_models entry that decides its fine maps."""
    return {key: value for key, value in settings.items() if key not in GEOMETRY}


def stage_settings(study: LineStudy, stage: str, name: str = "", test: str = "") -> dict:
    """The part of a study that decides the output of a stage, as a nested dict.

    stage: lightcone, halo_validation, subfields, maps or pooled (name: a line model), network, evaluation, audit or
    classification (name: a network), posterior or intervals (name: a posterior), rival_emulator or rival (name: a rival).
    """
    return _stage_settings(_Both(study), stage, name, test)


class _Both(dict):
    """A study as a dict, with its typed self beside it."""

    def __init__(self, study: LineStudy):
        super().__init__(plain(study), networks=plain(trained_networks(study)))
        self.typed = study


def _stage_settings(study: _Both, stage: str, name: str = "", test: str = "") -> dict:
    if stage in ("posterior", "intervals"):
        return _posterior_settings(study, stage, name, test)
    if stage in ("rival_emulator", "rival"):
        return _rival_settings(study, stage, name, test)
    if stage == "audit":
        below = _stage_settings(study, "evaluation", name, audit_test(study.typed, name))
        below.pop("examples")
        on, every = audit_datasets(study.typed, name)
        datasets = {model: _line_model_settings(study, model) for model in every}
        options = {key: value for key, value in study["audit"].items() if key != "networks"}
        return {**below, "audit": options, "audited_on": on, "datasets": datasets}
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
        settings["initialise_from"] = _stage_settings(study, "network", network["initialise_from"])
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
    asked, trained = study["posteriors"][name], trained_posterior(study.typed, name)
    drawing, entry = {"name": name, **asked["smc"]}, study["posteriors"][trained]
    below = _stage_settings(study, "network" if stage == "posterior" else "evaluation", entry["network"], test)
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
    used = dict.fromkeys(study["tests"][test]["noise"] for test in rival_tests(study.typed, name))
    line_model = {k: v for k, v in _line_model_settings(study, entry["line_model"]).items() if k != "draws"}
    settings = {
        **_stage_settings(study, "subfields"),
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
