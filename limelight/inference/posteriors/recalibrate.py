"""Recalibration of posteriors: how draws or quantiles must move for the validation data to be covered as promised."""

import math
import sys
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from limelight.inference.calibration import joint_ranks
from limelight.inference.posteriors.draw import draw_answers, quantile_answers
from limelight.inference.posteriors.posterior import Posterior
from limelight.inference.posteriors.tables import Table, continuous
from limelight.inference.recalibration import (
    common,
    empty_places,
    factors,
    frame,
    learnt_from,
    moved,
    recalibrated,
    stretches,
)
from limelight.seeds import torch_seed

SAMPLES = 300
ROWS = 2000  # validation presentations used at most, evenly


def recalibration_of_draws(posterior: Posterior, validation: Table, seed: int) -> dict:
    """Of a posterior with draws, for its file: recalibration (d,), places (d, k) and empties (1, k), which `moved` takes,
    and `joint`: what regions of all answers together then hold.

    Counts are moved bin by bin, or all by one factor where that would make their joint regions worse. Answers that are no
    counts are stretched along the axes of their draws and no more (places and empties: None), so that the density of the
    draws stays known. From presentations of the data as drawn: see `as_drawn`.
    """
    rows = as_drawn(validation)
    rows = rows[:: -(-len(rows) // ROWS)]
    random = torch.Generator(validation.answers.device).manual_seed(torch_seed(seed, "recalibration truths"))
    drawn = draw_answers(posterior, validation.features[rows], SAMPLES, seed, "recalibration", recalibrated=False)[0]
    target = posterior.target
    y, truth = continuous(drawn, target, random), continuous(validation.answers[rows], target, random)
    filled = (
        validation.answers[rows].mean(dim=0) >= 1 if target.counts else torch.ones(truth.shape[1], dtype=torch.bool)
    )
    learnt = _inside(y, truth, filled)
    first = by_bin if target.counts else along_axes
    found = first(y, truth, random)
    inside, joint = _inside(_moved_by_others(y, truth, first, random), truth, filled), {}
    if target.counts and _is_lower(inside, learnt):
        joint = {"bin_by_bin": float(inside.mean())}
        found = by_one_factor(y, truth, random)
        inside = _inside(_moved_by_others(y, truth, by_one_factor, random), truth, filled)
    joint |= {"learnt": float(learnt.mean()), "recalibrated": float(inside.mean()), "lower": _is_lower(inside, learnt)}
    found["joint"] = joint
    if words := joint_in_words(found):
        print(f"limelight: warning: posterior {posterior.content['posterior']}: {words}", file=sys.stderr)
    return found


def by_bin(y: Tensor, truth: Tensor, random: torch.Generator) -> dict[str, Tensor | None]:
    """Of continuous draws of counts y (n, s, d) and truths (n, d): each bin by itself."""
    return _as_empty_too(y, truth, random, *learnt_from(y, truth))


def by_one_factor(y: Tensor, truth: Tensor, random: torch.Generator) -> dict[str, Tensor | None]:
    """The same by one factor for all bins."""
    return _as_empty_too(y, truth, random, *common(y, truth))


def _as_empty_too(
    y: Tensor, truth: Tensor, random: torch.Generator, factor: Tensor, levels: Tensor
) -> dict[str, Tensor | None]:
    empties = empty_places(recalibrated(y, factor, levels), truth, random)
    return {"recalibration": factor, "places": levels, "empties": empties}


def along_axes(y: Tensor, truth: Tensor, random: torch.Generator) -> dict[str, Tensor | None]:
    """Of draws y (n, s, d) and truths (n, d) that are no counts."""
    along = frame(y)
    factor = factors(along.seen(y), along.seen(truth[:, None])[:, 0])
    return {"recalibration": factor, "places": None, "empties": None}


def _moved_by_others(y: Tensor, truth: Tensor, learn: Callable, random: torch.Generator) -> Tensor:
    """Draws y (n, s, d), each half of the rows moved as the other half of them taught."""
    half = len(y) // 2
    parts = (y[:half], y[half:]), (truth[:half], truth[half:])
    return torch.cat([moved(parts[0][i], learn(parts[0][1 - i], parts[1][1 - i], random))[0] for i in (0, 1)])


def _inside(y: Tensor, truth: Tensor, filled: Tensor) -> np.ndarray:
    """Whether the 95 % region of all answers together holds the truth, (n,) bool."""
    of = filled.to(y.device)
    return joint_ranks(y[..., of].double().cpu().numpy(), truth[:, of].double().cpu().numpy()) >= 0.05


def _is_lower(inside: np.ndarray, learnt: np.ndarray) -> bool:
    """Whether fewer rows lie inside than promised, and fewer of the same than as learnt, by more than two errors."""
    less, rows = learnt.astype(float) - inside, len(inside)
    too_few = inside.mean() < 0.95 - 2 * math.sqrt(0.95 * 0.05 / rows)
    return bool(too_few and less.mean() > 2 * less.std() / math.sqrt(rows))


def joint_in_words(content: Mapping) -> str | None:
    """What recalibration did to the answers together, where they are not to be taken as its name says."""
    joint = content.get("joint")
    if joint is None or not (joint["lower"] or "bin_by_bin" in joint):
        return None
    held = {name: f"{100 * share:.0f}" for name, share in joint.items()}
    if "bin_by_bin" not in joint:
        words = (
            f"recalibrated, 95 % regions of all answers together hold {held['recalibrated']} % of the validation rows,"
        )
        return f"{words} as learnt {held['learnt']} %: take its answers one by one"
    words = f"recalibrated bin by bin, 95 % regions of all bins together would hold {held['bin_by_bin']} % of the"
    words += f" validation rows, as learnt {held['learnt']} %: one factor stretches all bins instead"
    return f"{words} ({held['recalibrated']} %), and single bins may be wider than they need be"


def conformal(posterior: Posterior, validation: Table, seed: int) -> Tensor:
    """Of kind quantiles: factors (d, 2) by which the 95 and the 68 % interval of each answer are stretched about the median.

    Conformalised quantile regression (Romano, Patterson & Candès 2019), with the interval's own half width as the unit: a
    new row is covered as promised as far as it and the validation rows are exchangeable. Rows of one realisation share its
    fields, so what counts is how many realisations there are.
    """
    random = torch.Generator(validation.answers.device).manual_seed(torch_seed(seed, "recalibration truths"))
    rows = as_drawn(validation)
    quantiles = quantile_answers(posterior, validation.features[rows], recalibrated=False)
    return stretches(quantiles, continuous(validation.answers[rows], posterior.target, random))


def as_drawn(table: Table) -> Tensor:
    """The rows that are of the prior: empty and superposed ones widen what a head can answer, and are no part of the prior
    that its intervals must be honest under."""
    return torch.nonzero(table.of_prior).flatten()
