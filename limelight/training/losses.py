"""Losses by name, and what a network's outputs mean under each.

An output is standardised: output · std + mean is the target itself or, under the two likelihoods, log10 of the expected
count. The likelihoods take the counts as they are: an empty bin is a datum like any other, no logarithm to be made up.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limelight.probes.line_intensity.labels import log_mean_to_target

LN10 = math.log(10)
LIKELIHOODS = ("poisson", "negative_binomial")
OUTPUTS = {**dict.fromkeys(LIKELIHOODS, "log10_mean"), "cross_entropy": "log_odds"}  # of all others: the target
MAX_LOG10_MEAN = 12.0  # of a map's sources in one bin: what an untrained network says must not overflow
DISPERSION_STEP = 10.0  # Adam moves a number by its learning rate a step; a dispersion has several e-folds to go


def mse(prediction: Tensor, truth: Tensor) -> Tensor:
    """Mean of (p − t)²."""
    return (prediction - truth).square().mean()


def log_cosh(prediction: Tensor, truth: Tensor) -> Tensor:
    """Mean of ln cosh(p − t): (p − t)²/2 for small errors, |p − t| − ln 2 for large ones, without overflow."""
    d = (prediction - truth).abs()
    return (d + F.softplus(-2 * d) - math.log(2)).mean()


def msle(prediction: Tensor, truth: Tensor) -> Tensor:
    """Mean of (l(p) − l(t))² with l(x) = ln(1 + x), continued below zero as −ln(1 − x) so that the slope never dies."""
    return (signed_log1p(prediction) - signed_log1p(truth)).square().mean()


def signed_log1p(x: Tensor) -> Tensor:
    """sign(x) ln(1 + |x|)."""
    return torch.sign(x) * torch.log1p(x.abs())


def poisson(log_mean: Tensor, counts: Tensor) -> Tensor:
    """−ln of the Poisson probability of counts under exp(log_mean), elementwise."""
    return log_mean.exp() - counts * log_mean + torch.lgamma(counts + 1)


def negative_binomial(log_mean: Tensor, counts: Tensor, log_dispersion: Tensor) -> Tensor:
    """−ln of the negative binomial probability of counts with mean μ = exp(log_mean) and variance μ + φ μ², elementwise.

    φ = exp(log_dispersion). With r = 1/φ: Γ(n + r) / (n! Γ(r)) · (r/(r + μ))^r (μ/(r + μ))^n. φ → 0 is Poisson.
    """
    log_r = -log_dispersion
    r, log_both = log_r.exp(), torch.logaddexp(log_r, log_mean)
    ways = torch.lgamma(counts + r) - torch.lgamma(r) - torch.lgamma(counts + 1)
    return -(ways + r * (log_r - log_both) + counts * (log_mean - log_both))


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"mse": mse, "log_cosh": log_cosh, "msle": msle}


class Loss(nn.Module):
    """The loss of standardised outputs (b, bins) against targets (b, bins) float64, a scalar.

    mean, std (bins,) float64: of the outputs, see above. dispersion (bins,): first guess of the negative binomial's φ, which
    is then learned, one number a bin. A likelihood's targets must be log10(1 + N): the counts come back whole from them.
    cross_entropy takes the probability of each line model for bins.
    """

    def __init__(self, name: str, mean: Tensor, std: Tensor, dispersion: Tensor | None = None):
        super().__init__()
        self.name, self.mean, self.std = name, mean, std
        if name == "negative_binomial":
            self.first_log_dispersion = dispersion.log()
            self.dispersion_steps = nn.Parameter(torch.zeros_like(mean))

    def forward(self, outputs: Tensor, truth: Tensor) -> Tensor:
        if self.name == "cross_entropy":
            return F.cross_entropy(outputs, truth.float())
        if self.name in LOSSES:
            return LOSSES[self.name](outputs, ((truth - self.mean) / self.std).float())
        counts = torch.expm1(truth * LN10).round()
        log_mean = LN10 * self.raw(outputs).clamp(max=MAX_LOG10_MEAN)
        if self.name == "poisson":
            return poisson(log_mean, counts).mean()
        log_dispersion = self.first_log_dispersion + DISPERSION_STEP * self.dispersion_steps
        return negative_binomial(log_mean, counts, log_dispersion).mean()

    def raw(self, outputs: Tensor) -> Tensor:
        """Outputs with their standardisation undone."""
        return outputs * self.std + self.mean

    def targets(self, outputs: Tensor) -> Tensor:
        """The targets that the outputs predict, (b, bins) float64; of a classifier its probabilities."""
        if self.name == "cross_entropy":
            return outputs.double().softmax(dim=1)
        return log_mean_to_target(self.raw(outputs)) if self.name in LIKELIHOODS else self.raw(outputs)

    def constant(self, mean_target: Tensor) -> Tensor:
        """Outputs (bins,) that always say the training mean: of the targets, or of the counts under a likelihood."""
        if self.name == "cross_entropy":
            return mean_target.clamp(min=1e-6).log()
        return torch.zeros_like(self.mean) if self.name in LIKELIHOODS else (mean_target - self.mean) / self.std

    def scale(self) -> dict:
        """What the model file says of the outputs."""
        return {
            "outputs": OUTPUTS.get(self.name, "target"),
            "mean": self.mean,
            "std": self.std,
        }
