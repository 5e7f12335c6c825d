"""How many halos stand in a cell, about a painter's answer: Poisson, negative binomial, or Bernoulli plus Poisson."""

import torch
from torch import Tensor

from limelight.training.losses import (
    MAX_LOG10_MEAN,
    Loss,
    bernoulli_of,
    bernoulli_poisson,
    log_dispersion_of,
    negative_binomial,
    poisson,
)

LAWS = ("log10_counts", "log10_dispersed_counts", "log10_bernoulli_counts")  # outputs of losses.OUTPUTS


def painted_mean(outputs: Tensor, scale: Loss) -> Tensor:
    """The expected counts (b, c, …), float64."""
    return 10 ** scale.raw(outputs).clamp(max=MAX_LOG10_MEAN)


def chance_lost(law: str, outputs: Tensor, mean: Tensor, counts: Tensor) -> Tensor:
    """−ln of the probability of counts (b, c, …) of a mean."""
    log_mean = mean.log()
    if law == "log10_counts":
        return poisson(log_mean, counts)
    if law == "log10_dispersed_counts":
        return negative_binomial(log_mean, counts, log_dispersion_of(outputs))
    return bernoulli_poisson(log_mean, counts, bernoulli_of(outputs, log_mean))


def draw_counts(law: str, outputs: Tensor, mean: Tensor, random: torch.Generator) -> Tensor:
    """Whole halos (b, c, …) of a mean: variance μ of Poisson, μ + φ μ² of the negative binomial, μ − p² of the third."""
    if law == "log10_counts":
        return torch.poisson(mean, generator=random)
    if law == "log10_dispersed_counts":
        shape = torch.exp(-log_dispersion_of(outputs))
        return torch.poisson(mean * torch._standard_gamma(shape, generator=random) / shape, generator=random)
    probability = bernoulli_of(outputs, mean.log())
    return torch.bernoulli(probability, generator=random) + torch.poisson(mean - probability, generator=random)
