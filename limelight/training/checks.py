"""What training refuses: data of another study, batches that are too small, and a loss that is no longer finite."""

import math
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from limelight.data.shard import Header, Rows
from limelight.errors import problem
from limelight.training.distributed import Team


def check_shards(where: str, found: Rows, expected: Header, realisations: Sequence[int]) -> None:
    """Refuse data that differ from the study's config, and realisations of another split.

    Parameters
    ----------
    where
        The option that named the data, such as `--train`.
    expected
        The header according to the study's config.
    realisations
        Of the split that the data are for; the config has made sure that splits share none.
    """
    for name in ("probe", "geometry", "truths", "channels", "unit", "axes"):
        ours, theirs = getattr(expected, name), getattr(found.header, name)
        if ours != theirs:
            raise problem(
                where,
                f"data with {name} {differing(theirs, ours)}",
                f"the config's {differing(ours, theirs)}",
                "make the data again from this config",
            )
    others = sorted(set(found.group.tolist()) - set(realisations))
    if others:
        wanted = f"those of its split, {list(realisations)}: the others are there to choose and to judge"
        raise problem(where, f"realisations {others}", wanted, "give the files that the config names")


def differing(found: object, other: object) -> str:
    """The parts of the first description that differ from the second."""
    if not isinstance(found, dict) or not isinstance(other, dict):
        return str(found)
    parts = [f"{key} {differing(value, other.get(key))}" for key, value in found.items() if other.get(key) != value]
    return ", ".join(parts) or "fewer keys"


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


def refuse_no_scale(module: nn.Module, rows: int, name: str) -> None:
    """A network that takes the scale of its summaries from a first batch: one row has no spread, and NaN no scale."""
    if not all(buffer.isfinite().all() for buffer in module.buffers()):
        found = f"summaries of {rows} training row{'s' * (rows > 1)} without a finite mean and spread"
        raise problem(f"networks.{name}", found, "two rows or more to take their scale from", "give more rows")
