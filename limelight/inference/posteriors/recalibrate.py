"""Recalibration: how much wider (or narrower) the draws must be for the validation data to be covered as promised."""

import torch
from torch import Tensor

from limelight.inference.posteriors.draw import draw_answers
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


def factors(y: Tensor, truth: Tensor) -> Tensor:
    """The factor (d,) from draws y (n, s, d) and truths (n, d)."""
    median = y.median(dim=1).values
    logs = []
    for level in (0.68, 0.95):
        low, high = (torch.quantile(y, q, dim=1) for q in (0.5 - level / 2, 0.5 + level / 2))
        side = torch.where(truth > median, high - median, median - low).clamp(min=1e-6)
        logs.append(torch.quantile((truth - median).abs() / side, level, dim=0).clamp(min=1e-3).log())
    return torch.stack(logs).mean(dim=0).exp().clamp(*LIMITS).cpu()
