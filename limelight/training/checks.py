"""What training refuses: maps of another study, batches that are too small, and a loss that is no longer finite."""

import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from limelight.errors import problem
from limelight.probes.line_intensity.maps.files import PooledMaps
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.training.distributed import Team


def check_study(
    training: PooledMaps, validation: PooledMaps, grid: Grid, beam_fwhm_arcmin: float, labels: dict, splits: dict
) -> None:
    """Refuse pooled files of another geometry or other bins than the study's, and light-cones that it gave another part.

    splits: {"train": light-cones, "validation": light-cones}; the config has made sure that they share none.
    """
    study = {**asdict(grid), "beam_fwhm_arcmin": beam_fwhm_arcmin, **labels}
    for where, data in (("--train", training), ("--validation", validation)):
        found = {**data.geometry, **data.labels}
        differ = [key for key in study if found.get(key) != study[key]]
        if differ:
            theirs, ours = (", ".join(f"{key} {d.get(key)}" for key in differ) for d in (found, study))
            raise problem(where, f"maps with {theirs}", f"the config's {ours}", "make the maps again from this config")
        split = where.removeprefix("--")
        others = sorted({int(cone) for cone in data.lightcone} - set(splits[split]))
        if others:
            expected = f"those of lightcones.{split}: the others are there to choose and to judge"
            raise problem(where, f"light-cones {others}", expected, "give the files that the config names")


def check_maps(where: str, maps: np.ndarray, n_above: np.ndarray, shape: tuple[int, ...], edges: np.ndarray) -> None:
    """Refuse maps whose shape or label columns are not those of the study."""
    if maps.ndim != 4 or maps.shape[1:] != tuple(shape) or not len(maps):
        raise problem(where, f"maps of shape {maps.shape}", f"(maps, {', '.join(map(str, shape))})", "pool them again")
    if n_above.shape != (len(maps), len(edges)):
        raise problem(where, f"labels of shape {n_above.shape}", f"({len(maps)}, {len(edges)})", "pool them again")


def refuse_not_finite(loss: Tensor | float, name: str, epoch: int, step: int, folder: Path) -> None:
    if not math.isfinite(float(loss)):
        raise problem(
            f"{name}: epoch {epoch + 1}, step {step + 1}",
            f"a loss of {float(loss)}",
            "a finite loss",
            f"lower training.learning_rate or set training.clip_norm (the last good checkpoint stays in {folder})",
        )


def refuse_small_batches(module: nn.Module, smallest: int, name: str, team: Team) -> None:
    """Every process needs a map of each batch, and batch norm needs two to have a spread between them."""
    where, fix = f"networks.{name}.training.batch_size", "raise it, or give more maps"
    if smallest < team.size:
        raise problem(where, f"batches of {smallest} maps", f"a map for each of {team.size} processes", fix)
    if smallest < 2 * team.size and any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in module.modules()):
        found = "batches of one map" if team.size == 1 else f"batches of {smallest} for {team.size} processes"
        raise problem(where, found, "two maps or more a process, for batch norm", fix)
