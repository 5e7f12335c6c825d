"""Losses by name, and the meaning of a network's outputs under each.

An output is standardised: output · std + mean is the encoded target itself or, under the two likelihoods, log10 of the
expected count. The likelihoods use the counts themselves: an empty bin is a datum like any other and needs no logarithm.
Under `gaussian` a network has twice the outputs: after the means the logarithms of their variances, in units of std².

The losses of count fields take images of counts as they are, one mean for each channel. Their outputs are the same logarithm
and after it, cell by cell, that of the dispersion under `negative_binomial_field`; under `bernoulli_poisson_field` and
`adversarial` the logit of how much of the count is a Bernoulli number.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limelight.data.targets import FIELD_LOSSES, LIKELIHOODS, built_shape
from limelight.training.presentation import Data, Presentation

LN10 = math.log(10)
OUTPUTS = {
    **dict.fromkeys(LIKELIHOODS, "log10_mean"),
    "cross_entropy": "log_odds",
    "gaussian": "gaussian",
    "poisson_field": "log10_counts",
    "negative_binomial_field": "log10_dispersed_counts",
    "bernoulli_poisson_field": "log10_bernoulli_counts",
    "adversarial": "log10_bernoulli_counts",
}  # of others: the target
MOST_LOG_VARIANCE = 12.0  # either way: an error a few hundred times smaller or larger than the spread of the truths
MOST_LOG_DISPERSION = 6.0  # either way, of a cell's count
MOST_LOGIT = 6.0  # either way, of the share of a cell's count that is a Bernoulli number's
MAX_LOG10_MEAN = 12.0  # of a map's sources in one bin: the output of an untrained network must not overflow
MIN_MEAN_SPREAD_DEX = 0.3  # of an expected count: it varies even where almost no row has a source
DISPERSION_STEP = 10.0  # Adam changes a number by its learning rate per step, but a dispersion may need several e-folds


def mse(prediction: Tensor, truth: Tensor) -> Tensor:
    """Mean of (p − t)²."""
    return (prediction - truth).square().mean()


def mae(prediction: Tensor, truth: Tensor) -> Tensor:
    """Mean of |p − t|."""
    return (prediction - truth).abs().mean()


def log_cosh(prediction: Tensor, truth: Tensor) -> Tensor:
    """Mean of ln cosh(p − t): (p − t)²/2 for small errors, |p − t| − ln 2 for large ones, without overflow."""
    d = (prediction - truth).abs()
    return (d + F.softplus(-2 * d) - math.log(2)).mean()


def msle(prediction: Tensor, truth: Tensor) -> Tensor:
    """Mean of (l(p) − l(t))² with l(x) = ln(1 + x), continued below zero as −ln(1 − x) so that the slope never vanishes."""
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


def log_dispersion_of(outputs: Tensor) -> Tensor:
    """ln φ (b, c, …) from the outputs (b, 2c, …) of count fields whose dispersion is answered, too."""
    return outputs.chunk(2, dim=1)[1].clamp(-MOST_LOG_DISPERSION, MOST_LOG_DISPERSION).double()


def bernoulli_poisson(log_mean: Tensor, counts: Tensor, probability: Tensor) -> Tensor:
    """−ln of the probability of counts that are a Bernoulli and a Poisson number together, elementwise.

    The first is 1 with the given probability p < μ, the second has the mean μ − p: as a central and its satellites. The mean
    is μ = exp(log_mean), the variance μ − p².
    """
    rest = log_mean.exp() - probability
    together = torch.log1p(probability * (counts / rest - 1))
    return rest - counts * rest.log() + torch.lgamma(counts + 1) - together


def bernoulli_of(outputs: Tensor, log_mean: Tensor) -> Tensor:
    """p (b, c, …) from the outputs (b, 2c, …) of count fields whose share of a Bernoulli number is answered, too.

    The share is of the most that the mean μ allows, min(μ, 1).
    """
    share = outputs.chunk(2, dim=1)[1].clamp(-MOST_LOGIT, MOST_LOGIT).double().sigmoid()
    return share * log_mean.clamp(max=0).exp()


def gaussian(prediction: Tensor, truth: Tensor) -> Tensor:
    """Mean of −ln of a Gaussian but for a constant; prediction (b, 2c, …): c means, c logarithms of variances."""
    mean, log_variance = prediction.chunk(2, dim=1)
    log_variance = log_variance.clamp(-MOST_LOG_VARIANCE, MOST_LOG_VARIANCE)
    return 0.5 * ((mean - truth).square() * torch.exp(-log_variance) + log_variance).mean()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": mse,
    "mae": mae,
    "log_cosh": log_cosh,
    "msle": msle,
    "gaussian": gaussian,
}


class Loss(nn.Module):
    """The loss of standardised outputs (b, *shape) against encoded targets (b, *shape) float64, a scalar.

    mean, std (*shape,) float64: of the outputs, see above. dispersion (*shape,): first guess of the negative binomial's φ,
    which is then learned, one number per bin. Targets of a likelihood must be log10(1 + N), from which the exact counts are
    recovered. cross_entropy takes the probability of each class.
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
        log_mean = LN10 * self.raw(outputs).clamp(max=MAX_LOG10_MEAN)
        if self.name == "poisson_field":
            return poisson(log_mean, truth).mean()
        if self.name == "negative_binomial_field":
            return negative_binomial(log_mean, truth, log_dispersion_of(outputs)).mean()
        if self.name == "bernoulli_poisson_field":
            return bernoulli_poisson(log_mean, truth, bernoulli_of(outputs, log_mean)).mean()
        counts = torch.expm1(truth * LN10).round()
        if self.name == "poisson":
            return poisson(log_mean, counts).mean()
        log_dispersion = self.first_log_dispersion + DISPERSION_STEP * self.dispersion_steps
        return negative_binomial(log_mean, counts, log_dispersion).mean()

    def raw(self, outputs: Tensor) -> Tensor:
        """Outputs with their standardisation undone; under `gaussian` of the means alone."""
        return outputs[:, : len(self.mean)] * self.std + self.mean

    def spread(self, outputs: Tensor) -> Tensor:
        """The standard deviations (b, *shape) that a network answers under `gaussian`."""
        log_variance = outputs[:, len(self.mean) :].clamp(-MOST_LOG_VARIANCE, MOST_LOG_VARIANCE)
        return (0.5 * log_variance).exp() * self.std

    def targets(self, outputs: Tensor) -> Tensor:
        """The encoded targets that the outputs predict, (b, *shape) float64; of a classifier its probabilities."""
        if self.name == "cross_entropy":
            return outputs.double().softmax(dim=1)
        if self.name in FIELD_LOSSES:
            return 10 ** self.raw(outputs).clamp(max=MAX_LOG10_MEAN)
        return log_mean_to_target(self.raw(outputs)) if self.name in LIKELIHOODS else self.raw(outputs)

    def constant(self, mean_target: Tensor) -> Tensor:
        """Constant outputs for the training mean: of the targets, or of the counts under a likelihood."""
        if self.name == "cross_entropy":
            return mean_target.clamp(min=1e-6).log()
        if self.name in LIKELIHOODS:
            return torch.zeros_like(self.mean)
        if self.name in FIELD_LOSSES:
            return torch.zeros(built_shape(self.name, self.mean.shape), dtype=self.mean.dtype, device=self.mean.device)
        constant = (mean_target - self.mean) / self.std
        return torch.cat([constant, torch.zeros_like(constant)]) if self.name == "gaussian" else constant

    def scale(self) -> dict:
        """The description of the outputs for the model file."""
        return {"outputs": OUTPUTS.get(self.name, "target"), "mean": self.mean, "std": self.std}


def make_loss(name: str, standardise: bool, data: Data, presentation: Presentation) -> Loss:
    """The loss `name`, with the scale of outputs measured on the training data."""
    if name in LIKELIHOODS:
        return Loss(name, *count_scale(data, presentation))
    if name in FIELD_LOSSES:
        mean = presentation.moments(data)[0].clamp(min=0.5 / len(data))
        return Loss(name, mean.log10(), torch.ones_like(mean))
    if standardise and name != "cross_entropy":
        return Loss(name, *presentation.moments(data))
    zeros = torch.zeros(presentation.target.shape, dtype=torch.float64, device=data.device)
    return Loss(name, zeros, torch.ones_like(zeros))


def count_scale(data: Data, presentation: Presentation) -> tuple[Tensor, Tensor, Tensor]:
    """(log10 of the mean count, spread in dex, dispersion) of each count, (*shape,) float64, for a likelihood's outputs.

    At outputs of 0 each count is negative binomial with the training counts' mean and (within limits) variance. A count that
    is zero in every training row is treated as half a source in all of them together.
    """
    counts = presentation.target.truth(data.y)
    mean = counts.mean(dim=0).clamp(min=0.5 / len(counts))
    dispersion = (counts.var(dim=0, correction=0) - mean) / mean.square()
    spread = presentation.moments(data)[1].clamp(min=MIN_MEAN_SPREAD_DEX)
    return mean.log10(), spread, dispersion.clamp(1e-2, 1.0)


def log_mean_to_target(log10_mean):
    """Convert log10 of an expected count, the output under a likelihood, to a target log10(1 + N): log10(1 + 10^x)."""
    if isinstance(log10_mean, np.ndarray):
        return np.logaddexp(0.0, log10_mean * LN10) / LN10
    return (log10_mean * LN10).logaddexp(log10_mean.new_zeros(())) / LN10


def decoded_outputs(outputs: np.ndarray, target: dict) -> np.ndarray:
    """Encoded targets (n, *shape) float64 from a trained network's raw outputs; target: that of its model file."""
    if target["outputs"] == "log_odds":
        odds = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)
    mean, std = (target[key].double().cpu().numpy() for key in ("mean", "std"))
    outputs = outputs[:, : len(mean)] * std + mean
    if target["outputs"] in ("log10_counts", "log10_dispersed_counts", "log10_bernoulli_counts"):
        return 10 ** np.minimum(outputs, MAX_LOG10_MEAN)
    return log_mean_to_target(outputs) if target["outputs"] == "log10_mean" else outputs


def decoded_spread(outputs: np.ndarray, target: dict) -> np.ndarray:
    """Standard deviations (n, *shape) of encoded targets from the outputs of a network trained with `gaussian`."""
    std = target["std"].double().cpu().numpy()
    log_variance = outputs[:, len(std) :].clip(-MOST_LOG_VARIANCE, MOST_LOG_VARIANCE)
    return np.exp(0.5 * log_variance) * std
