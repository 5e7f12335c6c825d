"""Checks of a resolved study that span keys: geometry that fits, names that exist, splits that share nothing."""

import functools
import json
from pathlib import Path

import torch

from limelight.errors import LimelightError, problem
from limelight.halos.massfunction import mass_definition
from limelight.networks import build
from limelight.probes.line_intensity.lines.models import get_model
from limelight.probes.line_intensity.lines.priors import draw_parameters
from limelight.probes.line_intensity.maps.files import EXAMPLES
from limelight.probes.line_intensity.maps.instrument import load_instrument
from limelight.probes.line_intensity.rival.shapes import get_shape
from limelight.seeds import generator
from limelight.study.selection import (
    can_take,
    classifies,
    comparison_pairs,
    geometry,
    grid_section,
    pooled_shape,
    quiet,
    reads_negative,
    rival_can_take,
    suitable_tests,
)
from limelight.training.losses import LIKELIHOODS

SPLITS = ("train", "validation", "test")


def check_sense(study: dict, path: str | Path) -> None:
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
    own = {f"line_models.{name}": grid_section(study, name) for name in study["line_models"]}
    for key, section in [("grid", grid), *own.items()]:
        for axis in ("pixels", "channels"):
            if section[axis] % section[f"pool_{axis}"]:
                found = f"{section[axis]} {axis} in blocks of {section[f'pool_{axis}']}"
                raise refuse(f"{key}.pool_{axis}", found, f"a divisor of {section[axis]}", "choose one")
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
    for network in study["figures"]["layers"]:
        if network not in study["networks"]:
            raise refuse("figures.layers", f"'{network}'", f"one of {', '.join(study['networks'])}", "name a network")
    _check_references(study, path, refuse)
    _check_audit(study, refuse)
    _check_posteriors(study, refuse)
    _check_rivals(study, refuse)
    _check_comparisons(study, refuse)


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


@functools.cache  # studies are tables of networks that differ in their data
def _try_network(architecture: str, options: str, shape: tuple[int, int, int], bins: int) -> None:
    with torch.device("meta"):  # shapes without numbers: quick, however large the network
        build(architecture, json.loads(options), shape, bins)


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
    for name, network in study["networks"].items():
        first, *others = network["line_models"]
        shape = pooled_shape(study, first)
        for other in others:
            if geometry(study, other) != geometry(study, first):
                found = f"{first} and {other}, of other pooling or beam"
                raise refuse(f"networks.{name}.line_models", found, "datasets of one geometry", "train two networks")
        try:
            outputs = len(network["line_models"]) if classifies(network) else study["labels"]["bins"]
            _try_network(network["architecture"], json.dumps(network["options"]), shape, outputs)
        except LimelightError as error:
            raise LimelightError(f"{path}: networks.{name}: {error}") from None
        shares = {key: network["training"][f"{key}_fraction"] for key in ("blank", "dim")}
        if sum(shares.values()) > 1 + 1e-9:
            found = f"blank_fraction {shares['blank']:g} and dim_fraction {shares['dim']:g}"
            raise refuse(f"networks.{name}.training", found, "shares that add up to 1 at most", "lower one of them")
        target, loss = network["target"], network["training"]["loss"]
        if loss in LIKELIHOODS and (target["quantity"], target["transform"]) != ("dn", "log10_1p"):
            found = f"{target['quantity']}, {target['transform']} with the loss {loss}"
            raise refuse(f"networks.{name}.target", found, "dn, log10_1p: a likelihood is one of counts", "change one")
        _check_classifier(name, network, refuse)
        _check_start(study, name, refuse)
        noisy = [setting for setting in network["noise"] if not quiet(noise[setting])]
        expected = "maps without noise: log10(T + 1e-6) + 6 does not exist for the negative T that noise makes"
        if noisy and not reads_negative(network):
            raise refuse(f"networks.{name}.noise", ", ".join(noisy), expected, "use signed_log or asinh")
        for test in network.get("tests", []):
            known(f"networks.{name}.tests", test, study["tests"], "tests")
            if not can_take(study, name, test):
                found, fix = f"'{test}', which it cannot read", "leave it out"
                raise refuse(
                    f"networks.{name}.tests", found, f"tests of its own geometry and, if it reads {expected}", fix
                )
        if not (suitable_tests(study, name) or classifies(network)):
            fix = "add a test of its datasets' geometry, and without noise if it reads log10_offset"
            raise refuse(
                "tests", f"none that network {name} can take", f"one it can read (log10_offset: {expected})", fix
            )


def _check_classifier(name: str, network: dict, refuse) -> None:
    """A classifier has classes, its own loss, maps that all have one, and no tests of luminosity functions."""
    where, training = f"networks.{name}", network["training"]
    if classifies(network) != (training["loss"] == "cross_entropy"):
        found = f"target.quantity {network['target']['quantity']} with the loss {training['loss']}"
        raise refuse(where, found, "line_model with cross_entropy, or neither", "change one")
    if not classifies(network):
        return
    if len(network["line_models"]) < 2:
        raise refuse(f"{where}.line_models", "one", "two line models or more to tell apart", "add another")
    for key, found in (("blank_fraction", "empty maps"), ("superpose_fraction", "two maps in one")):
        if training[key] > 0:
            raise refuse(f"{where}.training.{key}", found, "none: no one line model painted them", "set it to 0")
    if "tests" in network:
        raise refuse(f"{where}.tests", "tests", "none: it answers no luminosity function", "leave them out")


def _check_start(study: dict, name: str, refuse) -> None:
    """A network begins with the weights of one that exists, that is built alike, and that does not begin with its own."""
    where, seen, network = f"networks.{name}.initialise_from", [name], study["networks"][name]
    while "initialise_from" in network:
        other = network["initialise_from"]
        if other not in study["networks"]:
            raise refuse(where, f"'{other}'", f"one of {', '.join(study['networks'])}", "define or rename it")
        if other in seen:
            raise refuse(where, f"a circle: {' → '.join([*seen, other])}", "a start", "remove one initialise_from")
        seen.append(other)
        before, network = network, study["networks"][other]
        if any(before[key] != network[key] for key in ("architecture", "options")):
            raise refuse(where, f"{other}, built otherwise", "one of the same architecture and options", "match them")


def _check_audit(study: dict, refuse) -> None:
    """An audit needs networks that exist, and a range about 1 that a right answer lies in."""
    asked, limits = study["audit"]["networks"], study["audit"]["thresholds"]
    for name in asked if isinstance(asked, list) else []:
        if name not in study["networks"]:
            raise refuse("audit.networks", f"'{name}'", f"one of {', '.join(study['networks'])}", "define or rename it")
        if classifies(study["networks"][name]):
            raise refuse(
                "audit.networks", f"'{name}', a classifier", "networks of luminosity functions", "leave it out"
            )
    for name in ("dimming_response", "superposing_response"):
        if not limits[name][0] < 1 < limits[name][1]:
            expected = "[low, high] with low < 1 < high"
            raise refuse(f"audit.thresholds.{name}", limits[name], expected, "1 is the right answer")


def _check_posteriors(study: dict, refuse) -> None:
    """A posterior needs a network, tests that this one takes, and line models that its kind can answer."""
    for name, entry in study["posteriors"].items():
        where, network = f"posteriors.{name}", entry["network"]
        if network not in study["networks"]:
            defined = f"one of {', '.join(study['networks'])} (defined in networks)"
            raise refuse(f"{where}.network", f"'{network}'", defined, "define or rename it")
        if study["networks"][network]["target"]["quantity"] == "line_model":
            fix = "name one that predicts counts"
            raise refuse(f"{where}.network", f"{network}, a classifier", "a network of luminosity functions", fix)
        takes = suitable_tests(study, network)
        for test in entry.get("tests", []):
            if test not in takes:
                raise refuse(f"{where}.tests", f"'{test}'", f"some of {', '.join(takes)}, its network's", "mend it")
        _check_abc(study, name, refuse)
        if entry["kind"] == "mdn" and entry["mdn"]["loss"] == "crps" and entry["mdn"]["rank"]:
            expected = "rank 0 with crps, which sees each bin by itself and would leave correlations untrained"
            raise refuse(f"{where}.mdn.rank", entry["mdn"]["rank"], expected, "set rank: 0, or loss: log_likelihood")
        if entry["kind"] == "imnn" or entry["of"] == "parameters":
            models = study["networks"][network]["line_models"]
            one = study["line_models"][models[0]]
            varies = one["prior"] not in ("fiducial", 0) and get_model(one["model"], one["parameters"]).parameters
            if len(models) > 1 or not varies:
                found, fix = f"{network}, trained on {', '.join(models)}", "use of: bins (mdn, npe), or another network"
                raise refuse(f"{where}.network", found, "one line model with parameters that vary", fix)
        if entry["kind"] == "imnn" and "subfields" not in study["keep"]:
            raise refuse("keep", "no subfields", "subfields, which imnn paints about the prior's mean", "add it")


def _check_abc(study: dict, name: str, refuse) -> None:
    """Sequential ABC is imnn's, and takes a compression that was trained, on the same network."""
    entry, where = study["posteriors"][name], f"posteriors.{name}"
    smc = entry["abc"] == "smc"
    if smc and entry["kind"] != "imnn":
        raise refuse(f"{where}.abc", f"smc of kind {entry['kind']}", "kind: imnn", "leave abc out, or change the kind")
    if smc and entry["recalibrate"]:
        expected = "false with abc: smc, which would have to simulate for every validation map"
        raise refuse(f"{where}.recalibrate", "true", expected, "leave it out")
    if "compression" not in entry:
        return
    of = entry["compression"]
    if not smc:
        raise refuse(f"{where}.compression", f"'{of}', with abc: rejection", "abc: smc beside it", "leave it out")
    takes = [
        other
        for other, one in study["posteriors"].items()
        if one["kind"] == "imnn" and one["network"] == entry["network"] and "compression" not in one
    ]
    if of not in takes:
        known = ", ".join(takes) or "(there is none)"
        expected = f"a posterior of kind imnn on {entry['network']} that trains: {known}"
        raise refuse(f"{where}.compression", f"'{of}'", expected, "name one, or leave it out")


def _check_rivals(study: dict, refuse) -> None:
    """A rival needs a prior that it can sample, tests that its likelihood knows, and bins that fit the grid."""
    for name, entry in study["rival"].items():
        where, line_model = f"rival.{name}", entry["line_model"]
        if line_model not in study["line_models"]:
            defined = f"one of {', '.join(study['line_models'])} (defined in line_models)"
            raise refuse(f"{where}.line_model", f"'{line_model}'", defined, "define or rename it")
        model = study["line_models"][line_model]
        get_shape(model["model"])
        if model["prior"] in ("fiducial", 0, "0", "0%"):
            expected = "a line model whose parameters vary: its prior is what the MCMC samples under"
            raise refuse(f"{where}.line_model", f"'{line_model}' of prior {model['prior']}", expected, "name another")
        if "log10_lum_cut" in model:  # the emulator paints at one amplitude and scales; a cut stays where it is
            found = f"'{line_model}' with log10_lum_cut {model['log10_lum_cut']:g}"
            expected = "a line model whose light scales with its amplitude, which a cut breaks"
            raise refuse(f"{where}.line_model", found, expected, "name one without log10_lum_cut")
        for test in entry.get("tests", []):
            if test not in study["tests"]:
                raise refuse(f"{where}.tests", f"'{test}'", f"some of {', '.join(study['tests'])}", "mend it")
            if not rival_can_take(study, test):
                expected = "tests of one white noise and no foregrounds: its likelihood knows no other"
                raise refuse(f"{where}.tests", f"'{test}'", expected, "leave it out")
        for axis in ("pixels", "channels"):
            if study["grid"][axis] % entry[f"pool_{axis}"]:
                found, expected = f"{study['grid'][axis]} {axis} in blocks of {entry[f'pool_{axis}']}", "a divisor"
                raise refuse(f"{where}.pool_{axis}", found, expected, "choose one")
        for key in ("log10_k", "temperature_uk"):
            if not entry[key][0] < entry[key][1]:
                raise refuse(f"{where}.{key}", entry[key], "[low, high] with low < high", "swap them")
        if study["grid"]["unit"] != "uK":
            raise refuse("grid.unit", study["grid"]["unit"], "uK: a rival bins temperatures", "paint in µK")


def _check_comparisons(study: dict, refuse) -> None:
    """A comparison needs something of every network and every test that it names."""
    for name, comparison in study["comparisons"].items():
        for key in ("networks", "tests"):
            for item in comparison.get(key, []):
                if item not in study[key]:
                    defined = f"one of {', '.join(study[key])} (defined in {key})"
                    raise refuse(f"comparisons.{name}.{key}", f"'{item}'", defined, "define or rename it")
        pairs = comparison_pairs(study, name)
        for key, met in (("networks", {network for network, _ in pairs}), ("tests", {test for _, test in pairs})):
            for item in comparison.get(key, []):
                if item not in met:
                    found, fix = f"'{item}', which meets none of the others", "leave it out, or widen networks.*.tests"
                    raise refuse(f"comparisons.{name}.{key}", found, "networks and the tests they take", fix)
