"""Bias models: the density n(M|δ) of halos in ln M in each cell, and the likelihood of a catalogue under it.

Truncated power law (Neyrinck et al. 2014, arXiv:1309.6641), 6 parameters: n̄ (1 + δ)^β exp(−ρ (1 + δ)^−ε) halos, their
ln M under one Gaussian cut off at the least mass. Neural bias (Charnock et al. 2019, arXiv:1909.06379), 17 parameters: a
kernel of 3³ cells that depends on distance alone (ℓ = 0: four weights and a bias) over ln(1 + δ), a softplus, and two
Gaussians in ln M whose number, mean and width follow it. The means are ordered. A Gaussian's share above the least mass is
an erfc, so that the number of halos in a cell is known in closed form.

Both are told by what halos fix: values, slopes and curvatures where ln(1 + δ) is REFERENCE and m MASS_REFERENCE, and the
number above the least mass. In the parameters as published (n̄, β, ρ; a Gaussian's amplitude; a kernel whose scale and bias
the slopes undo) much is free along curves that no Hessian straightens, and chains crawl. A test holds that the halos are
those of the published forms.

All in float64. m is ln(M/M_least) throughout.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import gammaln, log_ndtr, ndtri_exp
from torch import Tensor

FLOOR = 0.05  # of 1 + δ
LEAST_WIDTH = 0.05  # of a Gaussian in ln M
LOWEST = 30.0  # widths by which the middle of a Gaussian may lie below the least mass
DISTANCES = 4  # of the cells of a 3³ kernel from its middle: 0, 1, √2, √3 cells
AT_DISTANCE = (1, 6, 12, 8)  # cells
LOG_DISPERSION = (-12.0, 6.0)  # limits of ln φ
PRIOR_OF_DISPERSION = 0.3  # σ of ln φ, in units of the study's: below −6 halos are Poisson
REFERENCE = 1.0  # ln(1 + δ) about where halos stand: there values and slopes hang together least
MASS_REFERENCE = 1.0  # m, likewise
LEAST_NUMBER = 1e-12  # of halos of one Gaussian in a cell
LARGEST = 30.0  # ln of the halos of a cell at the reference


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
    seen: Tensor  # (o,): halos in them
    log_ways: float  # Σ ln n! over cells


@dataclass(frozen=True)
class Mixture:
    """Gaussians in m, all (c, n): halos of each above m = 0, middles, widths."""

    above: Tensor
    mean: Tensor
    width: Tensor

    @property
    def log_amplitude(self) -> Tensor:
        """ln of the halos of each Gaussian over all m: above zero lies ½ erfc(−mean/(√2 width)) of it."""
        return self.above.log() - torch.special.log_ndtr(self.mean / self.width)  # erfc's second slope overflows

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
    prior: tuple[float, ...]  # σ of each, in units of the study's
    numbers: Callable[[Tensor, Places], Tensor]  # halos of each Gaussian above m = 0, (c, n)
    shapes: Callable[[Tensor, Places], tuple[Tensor, Tensor]]  # middles and widths (c, n)

    def mixture(self, theta: Tensor, places: Places, above: Tensor | None = None) -> Mixture:
        """n(M|δ) in each cell; θ may have more numbers than the model's own. above: its numbers, where they are known."""
        mean, width = self.shapes(theta, places)
        above = self.numbers(theta, places) if above is None else above
        return Mixture(above, torch.maximum(mean, -LOWEST * width), width)


def power_law_numbers(theta: Tensor, places: Places) -> Tensor:
    """Of ln of the halos per cell, its slope and ln of its curvature c in ln(1 + δ) at REFERENCE, and ε.

    With y = ln(1 + δ) − REFERENCE: ρ (1 + δ)^−ε is c/ε² exp(−ε y), of which value and slope at y = 0 are taken off.
    """
    log_number, slope, log_curvature, sharpness = theta[:4].unbind()
    y = places.density.clamp(min=FLOOR).log() - REFERENCE
    fall = (log_curvature - 2 * sharpness.abs().log()).exp() * (torch.expm1(-sharpness * y) + sharpness * y)
    return torch.exp((log_number + slope * y - fall).clamp(-60.0, 30.0))[None] + LEAST_NUMBER


def power_law_shapes(theta: Tensor, places: Places) -> tuple[Tensor, Tensor]:
    """Of the steepness of the mass law at MASS_REFERENCE and ln of its curvature b: ln n falls as a m + b m²/2."""
    curvature = theta[5].clamp(-6.0, 6.0).exp()
    steepness = theta[4] - curvature * MASS_REFERENCE
    one = torch.ones_like(places.density)[None]
    return -steepness / curvature * one, curvature**-0.5 * one


def neural_signal(theta: Tensor, curvature: Tensor, places: Places) -> tuple[Tensor, Tensor, Tensor]:
    """softplus(k + c z), (n,), of the kernel z over ln(1 + δ) − REFERENCE and the knee k; its value and slope at z = 0.

    Less that value and over that slope it is z + curvature z²/2 near z = 0, whatever the knee is: c (1 − σ(k)) is the
    curvature (scalar).
    """
    knee = theta[DISTANCES].clamp(-30.0, 30.0)
    bend = curvature * (1 + knee.exp())
    kernel = bend * theta[:DISTANCES]
    signal = torch.addmv((knee - REFERENCE * kernel.sum())[None], places.features, kernel)
    return F.softplus(signal), F.softplus(knee), bend * torch.sigmoid(knee)


def neural_lines(theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Value at a signal of 0 and slope of each of NEURAL_LINES, (lines,) each, and the signal's curvature (scalar).

    Of the two numbers ln of their sum is told, whose slope is 1 (the kernel's scale is its slope), and the logit of the
    light share and its slope. Of the heavy Gaussian's middle, steepness −d ln n/dm at MASS_REFERENCE and its slope; of the
    step down to the light one's likewise what is divided by the square of its width: what it adds to steepness. The
    curvature that is told is that of ln of the number: two Gaussians of other slopes have one without the signal's.
    """
    told = theta[DISTANCES + 2 : DISTANCES + 1 + 2 * len(NEURAL_LINES)]
    values, slopes = told[::2], torch.cat([torch.ones_like(told[:1]), told[1::2]])
    shares = torch.sigmoid(torch.stack([-values[1], values[1]]))
    numbers = values[0].clamp(-LARGEST, LARGEST).exp() * shares + LEAST_NUMBER
    here = -torch.expm1(-numbers)  # the slope of a softplus where it is this number
    rises = 1 + slopes[1] * torch.stack([-shares[1], shares[0]])  # of ln of each number
    together = ((1 - here) / here * (rises * numbers).square()).sum() / numbers.sum() - 1  # curvature of ln of the sum
    width, widens = LEAST_WIDTH + F.softplus(values[4:]), torch.sigmoid(values[4:]) * slopes[4:]
    falls = values[2:4] * width.square()
    more = slopes[2:4] * width.square() + 2 * values[2:4] * width * widens
    return (
        torch.cat([numbers + here.log(), MASS_REFERENCE - falls[:1], falls[1:], values[4:]]),
        torch.cat([rises * numbers / here, -more[:1], more[1:], slopes[4:]]),
        theta[DISTANCES + 1] - together,
    )


def lines_at(theta: Tensor, places: Places, some: slice) -> Tensor:
    """Some of NEURAL_LINES in each cell, (lines, n)."""
    values, slopes, curvature = neural_lines(theta)
    signal, zero, unit = neural_signal(theta, curvature, places)
    slopes = slopes[some, None] / unit
    return slopes * signal + (values[some, None] - slopes * zero)


def neural_numbers(theta: Tensor, places: Places) -> Tensor:
    return F.softplus(lines_at(theta, places, slice(2))) + LEAST_NUMBER


def neural_shapes(theta: Tensor, places: Places) -> tuple[Tensor, Tensor]:
    """The light Gaussian's middle lies below the heavy one's by a softplus: the two cannot change places."""
    lines = lines_at(theta, places, slice(2, None))
    mean = torch.stack([lines[0], lines[0] - F.softplus(lines[1])])
    return mean, LEAST_WIDTH + F.softplus(lines[2:])


# Each Gaussian's number, middle and width follow the signal along a line, through a softplus where they are positive.
NEURAL_LINES = (
    "number, heavy",
    "number, light",
    "steepness, heavy",
    "step to the light",
    "width, heavy",
    "width, light",
)
MODELS = {
    "power_law": BiasModel(
        "power_law",
        ("ln number", "slope", "ln curvature of number", "sharpness", "steepness", "ln curvature"),
        (-0.7, 1.0, -0.7, 0.6, 0.8, -2.0),
        (*(1.0,) * 5, 0.2),  # below −5 the mass law is an exponential, and ln of its curvature is free
        power_law_numbers,
        power_law_shapes,
    ),
    "neural": BiasModel(
        "neural",
        (
            *(f"kernel {i}" for i in range(DISTANCES)),
            "knee",
            "curvature",
            "ln number",
            "light share, slope",
            "light share",
            *(f"{line}{part}" for line in NEURAL_LINES[2:] for part in (", slope", "")),
        ),
        (3.3, -1.1, -0.6, -0.2, -2.0, -0.25, -1.6, 0.4, -1.3, -0.3, 1.0, 0.7, 0.0, 0.3, 0.8, 0.0, 1.0),
        # Of knee and curvature: beyond, a softplus is its own limit, a line or an exponential. Of share, steepness, step and
        # widths: a σ of 3; of their slopes 1, for halos do not change their mass law by more in one e-fold of their number.
        (*(1.0,) * DISTANCES, 0.3, 0.1, 1.0, *(0.1, 0.3) * 5),
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
        each = self.model.numbers(theta, found.places)
        number, hosts = each.sum(dim=0), each.index_select(1, found.cell)
        here = number.index_select(0, found.occupied)
        if self.likelihood == "poisson":  # most cells are empty, and what an empty cell says is short
            counts = (found.seen * here.log()).sum() - number.sum() - found.log_ways
        else:
            dispersion = theta[-1].clamp(*LOG_DISPERSION).exp()
            spread = torch.log1p(number * dispersion)
            share = here.log() - spread.index_select(0, found.occupied)
            counts = (found.seen * share).sum() - spread.sum() / dispersion - found.log_ways
            counts = counts + rising(found.seen, dispersion)
        masses = self.model.mixture(theta, found.hosts, hosts).log_density(found.mass) - hosts.sum(dim=0).log()
        return counts, masses.sum()

    def log_prior(self, theta: Tensor) -> Tensor:
        pull = torch.linalg.solve_triangular(self.prior_scale, (theta - self.prior_mean)[:, None], upper=False)
        size = self.prior_scale.diagonal().log().sum() + 0.5 * len(theta) * math.log(2 * math.pi)
        return -0.5 * pull.square().sum() - size

    def __call__(self, theta: Tensor) -> Tensor:
        """ln of likelihood times prior."""
        return sum(self.log_likelihood(theta)) + self.log_prior(theta)


def rising(counts: Tensor, dispersion: Tensor) -> Tensor:
    """Σ ln[Γ(n + 1/φ) φⁿ / Γ(1/φ)] over counts n: each is ln(1 + φ) + … + ln(1 + (n − 1) φ), exact where φ is small."""
    more = torch.bincount(counts.long()).flip(0).cumsum(0).flip(0)[1:]  # cells with more than 0, 1, … halos
    return (more * torch.log1p(dispersion * torch.arange(len(more)))).sum()


def posterior_of(model: str, likelihood: str, catalogue: Catalogue, prior_sigma: float) -> Posterior:
    """With a normal prior about zero."""
    scales = MODELS[model].prior + ((PRIOR_OF_DISPERSION,) if likelihood == "negative_binomial" else ())
    prior = prior_sigma * torch.tensor(scales, dtype=torch.float64)
    return Posterior(MODELS[model], likelihood, catalogue, torch.zeros_like(prior), torch.diag(prior))


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
    occupied = np.flatnonzero(counts)
    seen = counts[occupied]
    return Catalogue(
        places,
        torch.from_numpy(counts),
        index,
        torch.from_numpy(mass),
        places.at(index),
        torch.from_numpy(occupied),
        torch.from_numpy(seen),
        float(gammaln(seen + 1).sum()),
    )


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
