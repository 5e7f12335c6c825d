"""Mixture density networks (Bishop 1994): a head that answers with weights, means and widths instead of a number.

p(y|x) = Σ_k w_k N(y; μ_k, D_k + F_k F_kᵀ): softmax weights, plain means, softplus widths D^½, and factors F of a low rank,
which carry the correlations between outputs. With rank 0 only the shared component number correlates them.

A bounded mixture is cut off at the limits of an even prior and normalised between them: where the prior ends, so does the
posterior, and a sum of Gaussians can only blur such an edge.

Densities are those of torch.distributions. The CRPS is our own, since torch has none, and so are the draws, since torch's
distributions draw from the global random numbers only.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Categorical, Independent, LowRankMultivariateNormal, MixtureSameFamily, Normal

WIDTH_FLOOR = 1e-3  # of the target's spread: likelihoods must not grow without bound on a value that repeats
EDGE = 1e-4  # of the target's spread: a value may be rounded past a limit by as much
RULED_OUT = -60.0  # ln of the density outside the limits of a bounded mixture: files hold finite numbers
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)  # tried for the linear start, in units of the features' variance


class Mixture(NamedTuple):
    """A Gaussian mixture for each of b rows: K components in d dimensions."""

    log_weights: Tensor  # (b, K), normalised
    means: Tensor  # (b, K, d)
    widths: Tensor  # (b, K, d), standard deviations of the diagonal part
    factors: Tensor  # (b, K, d, r); r may be 0
    limits: Tensor | None = None  # (2, d): where it is cut off below and above; rank 0 only


class MixtureHead(nn.Module):
    """Features (b, inputs) -> Mixture over (b, outputs), both standardised by the caller."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        components: int,
        rank: int,
        hidden: int,
        layers: int,
        dropout: float,
        bounded: bool = False,
    ):
        super().__init__()
        self.register_buffer("limits", torch.zeros(2, outputs) if bounded else None)  # set by its caller
        self.shape = (components, outputs, rank)
        body: list[nn.Module] = []
        width = inputs
        for _ in range(layers):
            body += [nn.Linear(width, hidden), nn.SiLU(), nn.Dropout(dropout)]
            width = hidden
        self.body = nn.Sequential(*body)
        self.output = nn.Linear(width, components * (1 + outputs * (2 + rank)))
        self.skip = nn.Linear(inputs, outputs, bias=False)  # most of the mean is linear in a trained network's features
        with torch.no_grad():
            self.output.weight *= 0.1  # components start wide, nearly alike and uncorrelated
            self.output.bias.zero_()
            self.output.bias[components : components * (1 + outputs)] = 0.3 * torch.randn(components * outputs)

    def forward(self, x: Tensor) -> Mixture:
        k, d, r = self.shape
        logits, means, raw, factors = self.output(self.body(x)).split([k, k * d, k * d, k * d * r], dim=-1)
        b = len(x)
        means = means.reshape(b, k, d) + self.skip(x)[:, None]
        widths = F.softplus(raw.reshape(b, k, d)) + WIDTH_FLOOR
        return Mixture(F.log_softmax(logits, dim=-1), means, widths, factors.reshape(b, k, d, r), self.limits)


class MixtureEnsemble(nn.Module):
    """Several mixture heads; their mean density is a mixture again, of all their components."""

    def __init__(self, members: list[MixtureHead]):
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Mixture:
        return mean_density([member(x) for member in self.members])


def mean_density(mixtures: list[Mixture]) -> Mixture:
    """The mean of the densities of mixtures of the same rows; of bounded ones, of what is left between the limits."""
    weights = []
    for mixture in mixtures:
        kept = mixture.log_weights if mixture.limits is None else mixture.log_weights + log_shares(mixture)
        weights.append(mixture.log_weights - torch.logsumexp(kept, dim=1, keepdim=True))
    means, widths, factors = (torch.cat(part, dim=1) for part in list(zip(*mixtures, strict=True))[1:4])
    return Mixture(F.log_softmax(torch.cat(weights, dim=1), dim=1), means, widths, factors, mixtures[0].limits)


@torch.no_grad()
def linear_start(head: MixtureHead, x: Tensor, y: Tensor, held_x: Tensor, held_y: Tensor) -> float:
    """Set a head's linear part to the ridge regression of y (n, d) on x (n, inputs), and return its held-out error.

    x is standardised; the ridge is the one of RIDGES that serves the held-out rows best. With a few hundred maps and as many
    features, gradients would overfit long before they found it.
    """
    gram, cross = (x.double().T @ z.double() / len(x) for z in (x, y))
    best = (float("inf"), gram)
    for ridge in RIDGES:
        weight = torch.linalg.solve(gram + ridge * torch.eye(len(gram), dtype=gram.dtype, device=gram.device), cross)
        error = (held_x.double() @ weight - held_y).square().mean().item()
        best = min(best, (error, weight), key=lambda pair: pair[0])
    head.skip.weight.copy_(best[1].T)
    return best[0]


def distribution(mixture: Mixture) -> MixtureSameFamily:
    """torch's distribution of each of b rows. Raises torch.linalg.LinAlgError where a covariance has no root."""
    if mixture.factors.shape[-1]:
        variances = mixture.widths.square()
        each = LowRankMultivariateNormal(mixture.means, mixture.factors, variances, validate_args=False)
    else:
        each = Independent(Normal(mixture.means, mixture.widths, validate_args=False), 1)
    return MixtureSameFamily(Categorical(logits=mixture.log_weights, validate_args=False), each, validate_args=False)


def log_density(mixture: Mixture, y: Tensor) -> Tensor:
    """ln p(y) of each row, (b,) for y (b, d).

    Of factors thousands of times the widths, single precision loses the widths; the whole batch is then computed in double
    precision. NaN where that does not help either, as in a run that diverges: `fit` refuses such a loss in one line.
    """
    try:
        found = distribution(mixture).log_prob(y)
    except torch.linalg.LinAlgError:
        if y.dtype == torch.float64:
            return math.nan * mixture.means.sum(dim=(1, 2))
        return log_density(Mixture(*(part.double() for part in mixture[:4])), y.double()).to(y.dtype)
    if mixture.limits is None:
        return found
    low, high = mixture.limits
    inside = ((y >= low - EDGE) & (y <= high + EDGE)).all(dim=-1)
    kept = torch.logsumexp(mixture.log_weights + log_shares(mixture), dim=1)
    return torch.where(inside, found - kept, RULED_OUT)


def log_shares(mixture: Mixture) -> Tensor:
    """ln of the share of each component that lies between the limits, (b, K)."""
    low, high = ((limit - mixture.means) / mixture.widths for limit in mixture.limits)
    mirrored = low > 0  # so that what is subtracted is never close to one
    low, high = torch.where(mirrored, -high, low), torch.where(mirrored, -low, high)
    most, least = torch.special.log_ndtr(high), torch.special.log_ndtr(low)
    return (most + torch.log(-torch.expm1((least - most).clamp(max=-1e-7)))).sum(dim=-1)


def marginal_widths(mixture: Mixture) -> Tensor:
    """Standard deviation of each component in each dimension, (b, K, d)."""
    return (mixture.widths.square() + mixture.factors.square().sum(dim=-1)).sqrt()


def crps(mixture: Mixture, y: Tensor) -> Tensor:
    """Continuous ranked probability score ∫ (F(t) − [t ≥ y])² dt of each marginal, (b, d), in the units of y.

    Closed form for Gaussian mixtures (Grimit et al. 2006): Σ w_k A(y − μ_k, σ_k²) − ½ ΣΣ w_k w_l A(μ_k − μ_l, σ_k² + σ_l²)
    with A(m, v) = E|N(m, v)| = 2 √v φ(m/√v) + m (2Φ(m/√v) − 1).
    """
    weights, variances = mixture.log_weights.exp(), marginal_widths(mixture).square()
    to_truth = _mean_distance(y[:, None] - mixture.means, variances)
    between = _mean_distance(
        mixture.means[:, :, None] - mixture.means[:, None], variances[:, :, None] + variances[:, None]
    )
    return torch.einsum("bk,bkd->bd", weights, to_truth) - 0.5 * torch.einsum(
        "bk,bl,bkld->bd", weights, weights, between
    )


def _mean_distance(m: Tensor, variance: Tensor) -> Tensor:
    """E|X| of X ~ N(m, variance)."""
    width = variance.sqrt()
    z = m / width
    return 2 * width * torch.exp(-0.5 * z.square()) / math.sqrt(2 * math.pi) + m * torch.erf(z / math.sqrt(2))


def sample(mixture: Mixture, count: int, random: torch.Generator) -> Tensor:
    """`count` draws from each row's mixture, (b, count, d)."""
    if mixture.limits is not None:
        return _sample_between(mixture, count, random)
    b, _, d, r = mixture.factors.shape
    component = torch.multinomial(mixture.log_weights.exp(), count, replacement=True, generator=random)
    rows = torch.arange(b, device=component.device)[:, None]
    make = {"generator": random, "dtype": mixture.means.dtype, "device": mixture.means.device}
    drawn = mixture.means[rows, component] + mixture.widths[rows, component] * torch.randn(b, count, d, **make)
    if r:
        shared = torch.randn(b, count, r, **make)
        drawn = drawn + torch.einsum("bsdr,bsr->bsd", mixture.factors[rows, component], shared)
    return drawn


def _sample_between(mixture: Mixture, count: int, random: torch.Generator) -> Tensor:
    """The same within the limits: quantiles of each component's share there; of one 38 σ away, the nearer limit itself."""
    (low, high), b = mixture.limits, len(mixture.means)
    weights = (mixture.log_weights + log_shares(mixture)).softmax(dim=1)
    component = torch.multinomial(weights, count, replacement=True, generator=random)
    rows = torch.arange(b, device=component.device)[:, None]
    means, widths = (part[rows, component].double() for part in (mixture.means, mixture.widths))
    from_, to = (low - means) / widths, (high - means) / widths
    sign = torch.where(from_ > 0, -1.0, 1.0).double()  # the lower tail keeps its digits
    from_, to = torch.where(from_ > 0, -to, from_), torch.where(from_ > 0, -from_, to)
    share = torch.rand(means.shape, generator=random, dtype=torch.float64, device=means.device)
    below, above = (torch.special.erfc(-end / math.sqrt(2)) / 2 for end in (from_, to))  # ndtr loses the tail
    drawn = means + widths * sign * torch.special.ndtri(below + share * (above - below))
    drawn = torch.where(drawn.isfinite(), drawn, means)
    return drawn.to(mixture.means.dtype).clamp(low, high)


def turned(mixture: Mixture, turn: Tensor) -> Mixture:
    """Marginals of y @ turn (c, d) for y that a mixture of rank 0 answers: what the outputs have in common is left out."""
    widths = (mixture.widths.square() @ turn.square()).sqrt()
    b, k, _ = mixture.means.shape
    return Mixture(mixture.log_weights, mixture.means @ turn, widths, widths.new_zeros(b, k, turn.shape[1], 0))


def negative_log_likelihood(mixture: Mixture, y: Tensor) -> Tensor:
    """Mean of −ln p(y) per dimension, in nats."""
    return -log_density(mixture, y).mean() / y.shape[-1]


def mean_crps(mixture: Mixture, y: Tensor) -> Tensor:
    return crps(mixture, y).mean()


LOSSES = {"log_likelihood": negative_log_likelihood, "crps": mean_crps}
