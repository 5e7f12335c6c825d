"""Recalibration of posteriors: how draws or quantiles must move for the validation data to be covered as promised."""

import math

import torch
from torch import Tensor

from limelight.inference.intervals import LEVELS
from limelight.inference.posteriors.draw import draw_answers, quantile_answers
from limelight.inference.posteriors.posterior import Posterior
from limelight.inference.posteriors.tables import Table, continuous
from limelight.inference.recalibration import LIMITS, learnt_from
from limelight.seeds import torch_seed

SAMPLES = 300
ROWS = 600  # validation presentations used, evenly


def recalibration_of_draws(posterior: Posterior, validation: Table, seed: int) -> tuple[Tensor, Tensor | None]:
    """(factors (d,), places (d, k)) of a posterior with draws: what `recalibration.recalibrated` takes.

    Answers that are no counts are stretched alone (places: None), so that the density of the draws stays known.
    From presentations of the data as drawn: see `as_drawn`.
    """
    rows = as_drawn(validation)
    rows = rows[:: max(1, len(rows) // ROWS)]
    device = validation.answers.device
    random = torch.Generator(device).manual_seed(torch_seed(seed, "recalibration truths"))
    drawn = draw_answers(posterior, validation.features[rows], SAMPLES, seed, "recalibration", recalibrated=False)[0]
    target = posterior.target
    y, truth = continuous(drawn, target, random), continuous(validation.answers[rows], target, random)
    factor, levels = learnt_from(y, truth)
    return factor, levels if target.counts else None


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


def stretches(quantiles: Tensor, truth: Tensor) -> Tensor:
    """The factors (d, 2) from quantiles at LEVELS (n, d, 5) and truths (n, d)."""
    median, rows, found = quantiles[..., LEVELS.index(0.5)], len(truth), []
    for i in (0, 1):
        low, high = quantiles[..., i], quantiles[..., -1 - i]
        side = torch.where(truth > median, high - median, median - low).clamp(min=1e-6)
        last = min(rows, math.ceil((rows + 1) * (LEVELS[-1 - i] - LEVELS[i])))
        found.append(((truth - median).abs() / side).kthvalue(last, dim=0).values)
    return torch.stack(found, dim=1).clamp(*LIMITS).cpu()
