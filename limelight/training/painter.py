"""A painter of halos from the file of its network: read with weights only, and held to what light-cones can give it."""

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from limelight.cosmology import Cosmology
from limelight.errors import problem
from limelight.halos.painter import Painter
from limelight.training.checkpoint import load_model
from limelight.training.losses import LN10, MAX_LOG10_MEAN, log_dispersion_of

TRAIN = "train one as docs/halos.md says"
COUNTS, DISPERSED = "log10_counts", "log10_dispersed_counts"


def load_painter(path: str | Path, device: str | torch.device = "cpu") -> Painter:
    """The painter of a model.pt.

    Raises LimelightError for a file that is damaged or no painter of light-cones: one that is shown what they do not have
    (the density of an N-body run, all waves of its particles, noise, shear), or that answers no counts of mass bands.
    """
    module, info = load_model(path, device)
    _refuse_others(path, module, info)
    geometry, bands = info["header"]["geometry"], info["header"]["truths"]["bands"]
    try:
        (edges,) = bands.values()
        sets = json.loads(info["provenance"]["settings"])["datasets"].values()
        data = [one["data"] for one in sets]
        redshifts = [float(one["redshift"]) for one in data]
        cosmologies = {Cosmology(**one["cosmology"]) for one in data}
        cell, edges = geometry["side_mpc"] / geometry["cells"], tuple(float(edge) for edge in edges)
    except (AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError):
        expected = "the settings of the boxes that it learnt from"
        raise problem(path, "a network without them", expected, "train it again") from None
    if len(cosmologies) != 1:
        raise problem(path, f"a painter of {len(cosmologies)} cosmologies", "one of one", "train it on one alone")
    told, channels = bool(info["entry"].get("redshift")), len(edges) - 1
    if len(set(redshifts)) > 1 and not told:
        found = f"a painter of {len(set(redshifts))} redshifts that is not told which"
        raise problem(path, found, "one that is told the redshift", "train it with redshift: true")
    if info["target"]["shape"][0] != channels:
        found = f"a painter of {info['target']['shape'][0]} numbers and {channels} mass bands"
        raise problem(path, found, "as many of each", "train it again")
    level = info["target"]["mean"].reshape(channels, -1)[:, 0].view(-1, 1, 1, 1)  # one for each band, as losses make it
    dispersed = info["target"]["outputs"] == DISPERSED

    def numbers(shown: Tensor) -> tuple[Tensor, Tensor | None]:
        outputs = module(shown[None])
        mean = LN10 * (outputs[0, :channels] + level.to(outputs)).clamp(max=MAX_LOG10_MEAN)
        return mean, log_dispersion_of(outputs)[0].to(outputs) if dispersed else None

    return Painter(
        path=str(path),
        numbers=numbers,
        told_redshift=told,
        reach=module.reach,
        cell_mpc=cell,
        edges_msun=edges,
        redshifts=(min(redshifts), max(redshifts)),
        cosmology=cosmologies.pop(),
    )


def _refuse_others(path: str | Path, module: nn.Module, info: dict) -> None:
    """One line for a network that is no painter of light-cones."""
    entry, target, header = info["entry"], info["target"], info["header"]
    if target.get("outputs") not in (COUNTS, DISPERSED) or not isinstance(getattr(module, "reach", None), int):
        found = f"a network {info['architecture']} that answers {target.get('outputs')}"
        expected = "a painter: an inception network that answers Poisson or negative binomial counts of halos"
        raise problem(path, found, expected, TRAIN)
    if "bands" not in header.get("truths", {}) or entry.get("target", {}).get("halos") != "bands":
        raise problem(path, "a painter of all halos together", "one of mass bands, target: {halos: bands}", TRAIN)
    if header["geometry"].get("lpt_waves") != "cells":
        found = "a painter that learnt from all waves of the particles"
        raise problem(path, found, "one of the waves that cells hold, lpt_waves: cells", TRAIN)
    for key, right in (("density", "lpt"), ("shear", False), ("noise_channels", 0)):
        if entry.get(key, right) != right:
            raise problem(path, f"a painter with {key}: {entry[key]}", f"{right}, for light-cones have no other", TRAIN)
