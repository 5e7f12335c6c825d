"""Recalibration of posteriors: how draws or quantiles must move for the validation data to be covered as promised."""

import torch
from torch import Tensor

from limelight.inference.posteriors.draw import draw_answers, quantile_answers
from limelight.inference.posteriors.posterior import Posterior
from limelight.inference.posteriors.tables import Table, continuous
from limelight.inference.recalibration import empty_places, factors, frame, learnt_from, recalibrated, stretches
from limelight.seeds import torch_seed

SAMPLES = 300
ROWS = 2000  # validation presentations used at most, evenly


def recalibration_of_draws(posterior: Posterior, validation: Table, seed: int) -> dict[str, Tensor | None]:
    """Of a posterior with draws, for its file: recalibration (d,) and places (d, k), which `recalibrated` takes, and
    empties (1, k), which `as_empty` takes.

    Answers that are no counts are stretched along the axes of their draws and no more (the others: None), so that the
    density of the draws stays known.
    From presentations of the data as drawn: see `as_drawn`.
    """
    rows = as_drawn(validation)
    rows = rows[:: -(-len(rows) // ROWS)]
    device = validation.answers.device
    random = torch.Generator(device).manual_seed(torch_seed(seed, "recalibration truths"))
    drawn = draw_answers(posterior, validation.features[rows], SAMPLES, seed, "recalibration", recalibrated=False)[0]
    target = posterior.target
    y, truth = continuous(drawn, target, random), continuous(validation.answers[rows], target, random)
    if not target.counts:
        along = frame(y)
        factor = factors(along.seen(y), along.seen(truth[:, None])[:, 0])
        return {"recalibration": factor, "places": None, "empties": None}
    factor, levels = learnt_from(y, truth)
    empties = empty_places(recalibrated(y, factor, levels), truth, random)
    return {"recalibration": factor, "places": levels, "empties": empties}


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
