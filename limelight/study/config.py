"""A study: one YAML file, expanded, checked section by section, and then checked where keys must agree with one another."""

from collections.abc import Mapping
from pathlib import Path
from typing import get_args, get_origin

from pydantic import ValidationError

from limelight.errors import LimelightError
from limelight.files import ROOT as ROOT
from limelight.probe import default_probe, load_probe
from limelight.section import Section
from limelight.study.checks import check_study
from limelight.study.expand import expand, with_base
from limelight.study.faults import faults
from limelight.study.sections import Study
from limelight.study.yaml import check_plain, read_yaml


def load_study(path: str | Path) -> Study:
    """The study in a YAML file: with its base, every default filled in, and checked. What it runs with is all in it.

    Raises LimelightError with one line for every fault.
    """
    path = Path(path)
    return resolve_study(read_yaml(path), path)


def resolve_study(raw: Mapping, path: str | Path) -> Study:
    """The study in a raw config (as read by Snakemake, say): `base` merged in, expanded, defaults filled, checked."""
    check_plain(raw, path)
    raw = _with_named_run(with_base(dict(raw), Path(path)))
    try:
        probe = load_probe(raw.get("probe", default_probe()))
    except LimelightError as error:
        raise LimelightError(f"{path}: {error}") from None
    raw = _with_training(expand(raw, path, _named_sections(probe.study)))
    try:
        study = probe.study.model_validate(raw)
    except ValidationError as error:
        lines = list(faults(probe.study, error))
    else:
        lines = list(check_study(study, probe))
    if lines:
        raise LimelightError("\n".join(f"{path}: {line}" for line in lines))
    return study


def _named_sections(study: type[Study]) -> list[str]:
    """The keys of a study that hold entries by name."""
    kinds = {key: field.annotation for key, field in study.model_fields.items()}
    return [key for key, kind in kinds.items() if get_origin(kind) is dict and issubclass(get_args(kind)[1], Section)]


def _with_named_run(raw: dict) -> dict:
    """A raw study whose `saliency` is a single run, without a name, gets that run under the name of its network."""
    run = raw.get("saliency")
    bare = isinstance(run, dict) and isinstance(run.get("network"), str)
    return {**raw, "saliency": {run["network"]: run}} if bare else raw


def _with_training(raw: dict) -> dict:
    """A raw study whose own `training` is the default of every network's; wrong types are left to the sections' checks."""
    networks, training = raw.get("networks"), raw.get("training", {})
    if not isinstance(networks, dict) or not isinstance(training, dict):
        return raw
    entries = {}
    for name, network in networks.items():
        if isinstance(network, dict) and isinstance(network.get("training", {}), dict):
            network = {**network, "training": {**training, **network.get("training", {})}}
        entries[name] = network
    return {**raw, "networks": entries}
