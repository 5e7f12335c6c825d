"""Bias models: the density n(M|δ) of halos in ln M in each cell, and the likelihood of a catalogue under it.

Truncated power law (Neyrinck et al. 2014, arXiv:1309.6641), 6 parameters: n̄ (1 + δ)^β exp(−ρ (1 + δ)^−ε) halos, their
ln M under one Gaussian cut off at the least mass. Neural bias (Charnock et al. 2019, arXiv:1909.06379), 17 parameters: a
kernel of 3³ cells that depends on distance alone (ℓ = 0: four weights and a bias) over ln(1 + δ), a softplus, and two
Gaussians in ln M whose number, mean and width follow it. The means are ordered. A Gaussian's share above the least mass is
an erfc, so that the number of halos in a cell is known in closed form. Its number above the least mass is the parameter, not
its amplitude: where its middle lies far below, the amplitude is all but free. Where the softplus is an exponential a slope
may grow as its kernel's bias falls, on a curve that no Hessian straightens: so its value is taken over that at one density.

All in float64. m is ln(M/M_least) throughout.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import log_ndtr, ndtri_exp
from torch import Tensor

from limelight.training.losses import negative_binomial, poisson

FLOOR = 0.05  # of 1 + δ
LEAST_WIDTH = 0.05  # of a Gaussian in ln M
LOWEST = 30.0  # widths by which the middle of a Gaussian may lie below the least mass
DISTANCES = 4  # of the cells of a 3³ kernel from its middle: 0, 1, √2, √3 cells
AT_DISTANCE = (1, 6, 12, 8)  # cells
LOG_DISPERSION = (-12.0, 6.0)  # limits of ln φ
REFERENCE = 1.0  # ln(1 + δ) about where halos stand: there a line's value and its slope hang together least
LEAST_NUMBER = 1e-12  # of halos of one Gaussian in a cell


@dataclass(frozen=True)
class Places:
    """Cells, as a bias model sees them."""

    features: Tensor  # (n, DISTANCES): mean of ln(1 + δ + FLOOR) over the cells at each distance
    density: Tensor  # (n,): 1 + δ

    def at(self, cells: Tensor) -> "Places":
        return Places(self.features[cells], self.density[cells])


@dataclass(frozen=True)
class Catalogue:
    """The cells of some boxes and the halos in them."""

    places: Places
    counts: Tensor  # (n,)
    cell: Tensor  # (h,) int64: of each halo
    mass: Tensor  # (h,): m
    hosts: Places  # the cells of the halos, (h,)
    occupied: Tensor  # (o,) int64: cells with a halo


@dataclass(frozen=True)
class Mixture:
    """Gaussians in m, all (c, n): halos of each above m = 0, middles, widths."""

    above: Tensor
    mean: Tensor
    width: Tensor

    @property
    def log_amplitude(self) -> Tensor:
        """ln of the halos of each Gaussian over all m: above zero lies ½ erfc(−mean/(√2 width)) of it."""
        return self.above.log() - torch.special.log_ndtr(self.mean / self.width)

    def number(self, low: float | Tensor) -> Tensor:
        """Halos above some m ≥ 0, (n,), or (e, n) of m (e, 1, 1): the integral of each Gaussian is an erfc."""
        beyond = torch.special.log_ndtr((self.mean - low) / self.width)
        return torch.exp(self.log_amplitude + beyond).sum(dim=-2)

    def log_density(self, m: Tensor) -> Tensor:
        """ln of the halos per unit of m, at one m for each cell (n,), or at the same for all ()."""
        pull = (m - self.mean) / self.width
        each = self.log_amplitude - 0.5 * pull.square() - self.width.log() - 0.5 * math.log(2 * math.pi)
        return torch.logsumexp(each, dim=0)


@dataclass(frozen=True)
class BiasModel:
    """A named model: its parameters, where a search for the best ones begins, and its densities."""

    name: str
    parameters: tuple[str, ...]
    start: tuple[float, ...]
    numbers: Callable[[Tensor, Places], Tensor]  # halos of each Gaussian above m = 0, (c, n)
    shapes: Callable[[Tensor, Places], tuple[Tensor, Tensor]]  # middles and widths (c, n)

    def mixture(self, theta: Tensor, places: Places) -> Mixture:
        """n(M|δ) in each cell; θ may have more numbers than the model's own."""
        mean, width = self.shapes(theta, places)
        return Mixture(self.numbers(theta, places), torch.maximum(mean, -LOWEST * width), width)


def power_law_numbers(theta: Tensor, places: Places) -> Tensor:
    """Of ln n̄ (halos per cell), β, ln ρ, ε."""
    log_number, slope, log_threshold, sharpness = theta[:4].unbind()
    log_density = places.density.clamp(min=FLOOR).log()
    cut = torch.exp((log_threshold - sharpness * log_density).clamp(max=30.0))
    return torch.exp((log_number + slope * log_density - cut).clamp(-60.0, 30.0))[None] + LEAST_NUMBER


def power_law_shapes(theta: Tensor, places: Places) -> tuple[Tensor, Tensor]:
    """Of the steepness a and ln of the curvature b of the mass law: ln n falls as a m + b m²/2 from m = 0 on."""
    steepness, curvature = theta[4], theta[5].clamp(-6.0, 6.0).exp()
    one = torch.ones_like(places.density)[None]
    return -steepness / curvature * one, curvature**-0.5 * one


def neural_signal(theta: Tensor, places: Places) -> Tensor:
    """The softplus of the kernel over its value where ln(1 + δ) is REFERENCE all around, (n,)."""
    weights, bias = theta[:DISTANCES], theta[DISTANCES]
    return F.softplus(places.features @ weights + bias) / F.softplus(REFERENCE * weights.sum() + bias)


def neural_lines(theta: Tensor, places: Places, first: int, last: int) -> Tensor:
    """Lines [first, last) of NEURAL_LINES in the signal, (lines, n); the offset is a line's value at a signal of 1."""
    lines = theta[DISTANCES + 1 : DISTANCES + 1 + 2 * len(NEURAL_LINES)].view(-1, 2)[first:last]
    return lines[:, :1] * neural_signal(theta, places) + (lines[:, 1:] - lines[:, :1])


def neural_numbers(theta: Tensor, places: Places) -> Tensor:
    return F.softplus(neural_lines(theta, places, 0, 2)) + LEAST_NUMBER


def neural_shapes(theta: Tensor, places: Places) -> tuple[Tensor, Tensor]:
    """The second middle lies above the first by a softplus: the two cannot change places."""
    lines = neural_lines(theta, places, 2, 6)
    mean = torch.stack([lines[0], lines[0] + F.softplus(lines[1])])
    return mean, LEAST_WIDTH + F.softplus(lines[2:])


NEURAL_LINES = ("number 1", "number 2", "mean 1", "step to mean 2", "width 1", "width 2")
MODELS = {
    "power_law": BiasModel(
        "power_law",
        ("ln number", "slope", "ln threshold", "sharpness", "steepness", "ln curvature"),
        (-1.5, 1.2, -1.0, 0.6, 0.8, -2.0),
        power_law_numbers,
        power_law_shapes,
    ),
    "neural": BiasModel(
        "neural",
        (
            *(f"kernel {i}" for i in range(DISTANCES)),
            "kernel bias",
            *(f"{line} {part}" for line in NEURAL_LINES for part in ("slope", "offset")),
        ),
        (1.0, 0.3, 0.2, 0.1, 0.0, 1.8, -1.2, 0.9, -3.1, 0.2, -0.3, 0.4, 0.9, 0.1, -0.1, 0.2, 0.4),
        neural_numbers,
        neural_shapes,
    ),
}


@dataclass(frozen=True)
class Posterior:
    """A model with a likelihood and a normal prior; of negative_binomial the last parameter is ln φ."""

    model: BiasModel
    likelihood: str  # poisson, negative_binomial
    catalogue: Catalogue
    prior_mean: Tensor  # (p,)
    prior_scale: Tensor  # (p, p) lower triangular, a root of the prior's covariance

    @property
    def names(self) -> tuple[str, ...]:
        return self.model.parameters + (("ln dispersion",) if self.likelihood == "negative_binomial" else ())

    def log_likelihood(self, theta: Tensor, catalogue: Catalogue | None = None) -> tuple[Tensor, Tensor]:
        """ln of the probability of the counts, and of the masses of these halos, each over all cells."""
        found = catalogue or self.catalogue
        number = self.model.numbers(theta, found.places).sum(dim=0)
        here, seen = number[found.occupied], found.counts[found.occupied]
        if self.likelihood == "poisson":  # most cells are empty, and what an empty cell says is short
            counts = -number.sum() + here.sum() - poisson(here.log(), seen).sum()
        else:
            log_dispersion = theta[-1].clamp(*LOG_DISPERSION)
            empty = torch.log1p(number * log_dispersion.exp()) / log_dispersion.exp()
            occupied = negative_binomial(here.log(), seen, log_dispersion.expand_as(here)).sum()
            counts = -empty.sum() + empty[found.occupied].sum() - occupied
        hosts = self.model.mixture(theta, found.hosts)
        masses = hosts.log_density(found.mass) - hosts.above.sum(dim=0).log()
        return counts, masses.sum()

    def log_prior(self, theta: Tensor) -> Tensor:
        pull = torch.linalg.solve_triangular(self.prior_scale, (theta - self.prior_mean)[:, None], upper=False)
        size = self.prior_scale.diagonal().log().sum() + 0.5 * len(theta) * math.log(2 * math.pi)
        return -0.5 * pull.square().sum() - size

    def __call__(self, theta: Tensor) -> Tensor:
        """ln of likelihood times prior."""
        return sum(self.log_likelihood(theta)) + self.log_prior(theta)


def posterior_of(model: str, likelihood: str, catalogue: Catalogue, prior_sigma: float) -> Posterior:
    """With a normal prior of one σ about zero."""
    size = len(MODELS[model].parameters) + (likelihood == "negative_binomial")
    zeros = torch.zeros(size, dtype=torch.float64)
    return Posterior(MODELS[model], likelihood, catalogue, zeros, prior_sigma * torch.eye(size, dtype=torch.float64))


def places_of(lpt: np.ndarray) -> Places:
    """The cells of boxes of overdensity (boxes, z, y, x), periodic each."""
    fields = np.log(np.clip(1 + lpt.astype(np.float64), 0, None) + FLOOR)
    sums = np.zeros((DISTANCES, *fields.shape))
    for steps in np.ndindex(3, 3, 3):
        shift = tuple(step - 1 for step in steps)
        sums[sum(abs(step) for step in shift)] += np.roll(fields, shift, axis=(1, 2, 3))
    features = (sums.reshape(DISTANCES, -1) / np.array(AT_DISTANCE)[:, None]).T
    return Places(torch.from_numpy(features.copy()), torch.from_numpy(1 + lpt.astype(np.float64).reshape(-1)))


def catalogue_of(places: Places, cell: np.ndarray, mass: np.ndarray) -> Catalogue:
    """Halos in cells: the cell (h,) and the m (h,) of each."""
    counts = np.bincount(cell, minlength=len(places.density)).astype(np.float64)
    index = torch.from_numpy(np.asarray(cell, np.int64))
    occupied = torch.from_numpy(np.flatnonzero(counts))
    return Catalogue(places, torch.from_numpy(counts), index, torch.from_numpy(mass), places.at(index), occupied)


def draw_catalogue(posterior: Posterior, theta: Tensor, rng: np.random.Generator) -> Catalogue:
    """Halos drawn from the model in the same cells: counts from its likelihood, masses from its mixture."""
    places = posterior.catalogue.places
    with torch.no_grad():
        number = posterior.model.numbers(theta, places).sum(dim=0).numpy()
        if posterior.likelihood == "negative_binomial":
            dispersion = math.exp(float(theta[-1].clamp(*LOG_DISPERSION)))
            number = number * rng.gamma(1 / dispersion, dispersion, len(number))
        counts = rng.poisson(number)
        cell = np.repeat(np.arange(len(counts)), counts)
        mass = draw_masses(posterior.model.mixture(theta, places.at(torch.from_numpy(cell))), rng)
    return catalogue_of(places, cell, mass)


def draw_masses(mixture: Mixture, rng: np.random.Generator) -> np.ndarray:
    """One m > 0 for each cell, (n,), from its Gaussians cut off at zero."""
    above = mixture.above.numpy()
    chosen = (rng.random(above.shape[1]) * above.sum(axis=0) > above.cumsum(axis=0)[:-1]).sum(axis=0)
    each = np.arange(above.shape[1])
    mean, width = mixture.mean.numpy()[chosen, each], mixture.width.numpy()[chosen, each]
    left = log_ndtr(mean / width) + np.log(rng.random(len(each)))  # ln of the share beyond the mass drawn
    return np.maximum(mean - width * ndtri_exp(left), 0.0)
