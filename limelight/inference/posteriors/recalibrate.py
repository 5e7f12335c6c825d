"""Recalibration: how much wider (or narrower) intervals must be for the validation data to be covered as promised."""

import math

import torch
from torch import Tensor

from limelight.inference.intervals import LEVELS
from limelight.inference.posteriors.draw import draw_answers, quantile_answers
from limelight.inference.posteriors.posterior import Posterior
from limelight.inference.posteriors.tables import Table, continuous
from limelight.seeds import torch_seed

SAMPLES = 300
ROWS = 400  # validation presentations used, evenly
LIMITS = (0.5, 3.0)


def widen(posterior: Posterior, validation: Table, seed: int) -> Tensor:
    """Factor (d,) by which draws of each answer move away from their median, 1 where all is well.

    The 68th and 95th percentile of |truth − median| over the half width of the same interval, averaged in log: an interval
    that is stretched by it holds its share of the validation truths.
    """
    step = max(1, len(validation) // ROWS)
    device = validation.answers.device
    random = torch.Generator(device).manual_seed(torch_seed(seed, "recalibration truths"))
    drawn = draw_answers(posterior, validation.features[::step], SAMPLES, seed, "recalibration", recalibrated=False)[0]
    target = posterior.target
    y, truth = continuous(drawn, target, random), continuous(validation.answers[::step], target, random)
    return factors(y, truth)


def conformal(posterior: Posterior, validation: Table, seed: int) -> Tensor:
    """Of kind quantiles: factors (d, 2) by which the 95 and the 68 % interval of each answer are stretched about the median.

    Conformalised quantile regression (Romano, Patterson & Candès 2019), with the interval's own half width as the unit: a
    new row is covered as promised as far as it and the validation rows are exchangeable. Rows of one realisation share its
    fields, so what counts is how many realisations there are.
    """
    random = torch.Generator(validation.answers.device).manual_seed(torch_seed(seed, "recalibration truths"))
    quantiles = quantile_answers(posterior, validation.features, recalibrated=False)
    return stretches(quantiles, continuous(validation.answers, posterior.target, random))


def stretches(quantiles: Tensor, truth: Tensor) -> Tensor:
    """The factors (d, 2) from quantiles at LEVELS (n, d, 5) and truths (n, d)."""
    median, rows, found = quantiles[..., LEVELS.index(0.5)], len(truth), []
    for i in (0, 1):
        low, high = quantiles[..., i], quantiles[..., -1 - i]
        side = torch.where(truth > median, high - median, median - low).clamp(min=1e-6)
        last = min(rows, math.ceil((rows + 1) * (LEVELS[-1 - i] - LEVELS[i])))
        found.append(((truth - median).abs() / side).kthvalue(last, dim=0).values)
    return torch.stack(found, dim=1).clamp(*LIMITS).cpu()


def factors(y: Tensor, truth: Tensor) -> Tensor:
    """The factor (d,) from draws y (n, s, d) and truths (n, d)."""
    median = y.median(dim=1).values
    logs = []
    for level in (0.68, 0.95):
        low, high = (torch.quantile(y, q, dim=1) for q in (0.5 - level / 2, 0.5 + level / 2))
        side = torch.where(truth > median, high - median, median - low).clamp(min=1e-6)
        logs.append(torch.quantile((truth - median).abs() / side, level, dim=0).clamp(min=1e-3).log())
    return torch.stack(logs).mean(dim=0).exp().clamp(*LIMITS).cpu()
