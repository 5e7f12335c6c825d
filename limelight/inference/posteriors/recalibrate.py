"""Recalibration of posteriors: how draws or quantiles must move for the validation data to be covered as promised."""

import math
import sys
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from limelight.errors import problem
from limelight.inference.calibration import joint_ranks
from limelight.inference.posteriors.draw import draw_answers, quantile_answers
from limelight.inference.posteriors.posterior import Posterior
from limelight.inference.posteriors.tables import Table, continuous
from limelight.inference.recalibration import (
    empty_places,
    factors,
    frame,
    learnt_from,
    moved,
    places,
    recalibrated,
    stretches,
)
from limelight.seeds import torch_seed

SAMPLES = 300
ROWS = 2000  # validation presentations used at most, evenly


def recalibration_of_draws(posterior: Posterior, validation: Table, seed: int) -> dict:
    """Of a posterior with draws, for its file: recalibration (d,), places (d, k), empties (1, k) and axes, which `moved`
    takes, and `joint`: what regions of all answers together then hold.

    Counts are moved bin by bin, or along the axes of their draws first where that would make their joint regions worse.
    Answers that are no counts are stretched along these axes and no more (places and empties: None), so that the density of
    the draws stays known. From presentations of the data as drawn: see `as_drawn`.
    """
    rows = as_drawn(validation)
    if len(rows) < 2:
        where = f"posteriors.{posterior.content['posterior']}.recalibrate"
        expected = "two at least: one half teaches the other"
        raise problem(where, f"{len(rows)} validation rows", expected, "give more, or leave recalibrate out")
    rows = rows[:: -(-len(rows) // ROWS)]
    random = torch.Generator(validation.answers.device).manual_seed(torch_seed(seed, "recalibration truths"))
    drawn = draw_answers(posterior, validation.features[rows], SAMPLES, seed, "recalibration", recalibrated=False)[0]
    target, name = posterior.target, posterior.content["posterior"]
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
        found = by_axis(y, truth, random)
        inside = _inside(_moved_by_others(y, truth, by_axis, random), truth, filled)
    joint |= {"learnt": float(learnt.mean()), "recalibrated": float(inside.mean()), "lower": _is_lower(inside, learnt)}
    found["joint"] = joint
    if "bin_by_bin" in joint:
        share, before, after = (f"{100 * joint[key]:.0f}" for key in ("bin_by_bin", "learnt", "recalibrated"))
        bad = f"recalibrated bin by bin, 95 % regions of all bins together would hold {share} % of the validation rows"
        good = f"as learnt {before} %; so draws are stretched along their axes first, and the regions hold {after} %"
        print(f"{name}: {bad} ({good})", file=sys.stderr)
    if words := joint_in_words(found):
        print(f"limelight: warning: posterior {name}: {words}", file=sys.stderr)
    return found


def by_bin(y: Tensor, truth: Tensor, random: torch.Generator) -> dict:
    """Of continuous draws of counts y (n, s, d) and truths (n, d): each bin by itself, and by how many are empty."""
    factor, levels = learnt_from(y, truth)
    empties = empty_places(recalibrated(y, factor, levels), truth, random)
    return {"recalibration": factor, "places": levels, "empties": empties, "axes": False}


def by_axis(y: Tensor, truth: Tensor, random: torch.Generator) -> dict:
    """The same, stretched along the axes of each row's draws before bins are placed one by one."""
    factor = along_axes(y, truth, random)["recalibration"]
    levels = places(recalibrated(y, factor, None), truth)
    empties = empty_places(recalibrated(y, factor, levels, axes=True), truth, random)
    return {"recalibration": factor, "places": levels, "empties": empties, "axes": True}


def along_axes(y: Tensor, truth: Tensor, random: torch.Generator) -> dict:
    """Of draws y (n, s, d) and truths (n, d) that are no counts."""
    along = frame(y)
    factor = factors(along.seen(y), along.seen(truth[:, None])[:, 0])
    return {"recalibration": factor, "places": None, "empties": None, "axes": True}


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
    """A warning where recalibration leaves regions of all answers together holding less than as learnt."""
    joint = content.get("joint")
    if joint is None or not joint["lower"]:
        return None
    held = f"{100 * joint['recalibrated']:.0f} % of the validation rows, as learnt {100 * joint['learnt']:.0f} %"
    return f"recalibrated, 95 % regions of all answers together hold {held}: take its answers one by one"


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
