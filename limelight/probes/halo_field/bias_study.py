"""The bias models of a study: fitted, sampled, told as n(M|δ) beside the FoF halos, and painted."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from limelight.data.shard import Rows
from limelight.errors import problem
from limelight.probes.halo_field.bias import (
    Catalogue,
    Places,
    Posterior,
    catalogue_of,
    draw_catalogue,
    places_of,
    posterior_of,
)
from limelight.probes.halo_field.boxes import cell_index
from limelight.probes.halo_field.config import Bias
from limelight.probes.halo_field.judging import uniform_nats
from limelight.probes.halo_field.painting import Painted
from limelight.probes.halo_field.sampling import (
    Peak,
    chain_at,
    convergence,
    find_peak,
    sample_chain,
    sampled_evidence,
)
from limelight.progress import progress
from limelight.seeds import generator

LEVELS = (0.025, 0.16, 0.5, 0.84, 0.975)
LADDER_COLUMNS = (
    *("model", "likelihood", "parameters", "uniform", "counts", "masses", "both"),
    *("log_evidence", "sampled_evidence", "evidence_error", "rhat", "ess"),
)
BAND_COLUMNS = ("model", "likelihood", "density", "mass_msun", "fof", "fof_error", *(f"q{level:g}" for level in LEVELS))
POINTS = 3  # bins of density, and of mass: n(M|δ) at nine points
HEAVIEST = 0.98
CELLS_OF_BIN = 4000  # at most, over which n(M|δ) is averaged


@dataclass(frozen=True)
class Points:
    """Where n(M|δ) is told: cells of some bins of density, and bins of mass."""

    places: tuple[Places, ...]  # cells of each bin
    density: np.ndarray  # (bins,): mean 1 + δ
    edges: np.ndarray  # (masses + 1,): of m
    fof: np.ndarray  # (bins, masses): FoF halos per cell and m
    fof_error: np.ndarray  # Poisson

    @property
    def m(self) -> np.ndarray:
        """Middle of each bin of mass."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])

    def values(self, posterior: Posterior, theta: Tensor) -> np.ndarray:
        """n(M|δ) per m, averaged over each bin of mass and over the cells of each bin of density, (bins, masses)."""
        with torch.no_grad():
            found = [posterior.model.mixture(theta, places) for places in self.places]
            edges = torch.from_numpy(self.edges)[:, None, None]
            above = torch.stack([one.number(edges).mean(dim=-1) for one in found]).numpy()
        return (above[:, :-1] - above[:, 1:]) / np.diff(self.edges)


@dataclass(frozen=True)
class Fitted:
    """One model of a study."""

    posterior: Posterior
    peak: Peak
    chains: np.ndarray  # (c, samples, p)
    functions: np.ndarray  # (c, samples, points): ln n(M|δ)
    convergence: dict[str, np.ndarray]  # of the functions

    @property
    def name(self) -> str:
        return f"{self.posterior.model.name}, {self.posterior.likelihood}"


def catalogue_of_rows(found: Rows, least_msun: float) -> Catalogue:
    """The LPT density and the halos of the boxes of shards."""
    side, cells = found.header.geometry["side_mpc"], found.header.geometry["cells"]
    every, mass = [], []
    for i, table in enumerate(found.rows["halos"]):
        halos = table[table[:, 6] >= least_msun].astype(np.float64)
        every.append(i * cells**3 + cell_index(halos[:, :3], side, cells))
        mass.append(np.log(halos[:, 6] / least_msun))
    if not sum(map(len, mass)):
        raise problem("bias", "boxes without a halo", f"halos above {least_msun:.3g} Msun", "lower the mass edges")
    return catalogue_of(places_of(found.x[:, 0]), np.concatenate(every), np.concatenate(mass))


def points_of(catalogue: Catalogue, bins: int = POINTS, masses: int = POINTS) -> Points:
    """Bins of density and of mass that hold as many halos each; the heaviest 2 % of halos are left out."""
    density, mass = catalogue.places.density.numpy(), catalogue.mass.numpy()
    edges = np.quantile(catalogue.hosts.density.numpy(), np.linspace(0, 1, bins + 1))
    steps = np.quantile(mass, np.linspace(0, HEAVIEST, masses + 1))
    steps[0] = 0.0
    places, middle, number, cells = [], [], np.zeros((bins, masses)), np.zeros((bins, 1))
    for i in range(bins):
        inside = (density >= edges[i]) & ((density < edges[i + 1]) | (i == bins - 1))
        chosen = np.flatnonzero(inside)
        places.append(catalogue.places.at(torch.from_numpy(chosen[:: max(1, len(chosen) // CELLS_OF_BIN)])))
        middle.append(density[chosen].mean())
        number[i], cells[i] = np.histogram(mass[inside[catalogue.cell.numpy()]], steps)[0], len(chosen)
    each = cells * np.diff(steps)
    return Points(tuple(places), np.array(middle), steps, number / each, np.sqrt(np.maximum(number, 1)) / each)


def fit(
    settings: Bias, model: str, likelihood: str, catalogue: Catalogue, points: Points, folder: Path, key: str, seed: int
) -> Fitted:
    """A model's maximum and its chains; those in the folder that belong to the key are taken as they are."""
    posterior = posterior_of(model, likelihood, catalogue, settings.prior_sigma)
    peak = find_peak(posterior, seed)
    steps, name = (settings.warmup, settings.samples, settings.tree_depth), f"{model}-{likelihood}"

    def made(chain: int) -> np.ndarray:
        path = folder / f"{name}-{chain}.h5"
        return chain_at(path, key, lambda: sample_chain(posterior, peak, *steps, seed, chain), seed)

    numbers = progress(range(settings.chains), f"chains of {model}, {likelihood}", settings.chains)
    found = np.array([made(chain) for chain in numbers])
    functions = np.log(np.array([[points.values(posterior, torch.from_numpy(one)) for one in c] for c in found]))
    functions = functions.reshape(*found.shape[:2], -1)
    return Fitted(posterior, peak, found, functions, convergence(functions))


def ladder_row(fitted: Fitted, judged: Catalogue, seed: int) -> dict:
    """ln L per halo of unseen boxes, evidence (Laplace's, and by importance from the chains), and how the chains converged.

    ln L is a mean over draws of the posterior; `uniform` is that of the counts in a Poisson field without structure.
    """
    posterior, halos = fitted.posterior, len(judged.mass)
    draws = fitted.chains.reshape(-1, fitted.chains.shape[-1])
    some = draws[:: max(1, len(draws) // 40)]
    with torch.no_grad():
        both = np.array([[float(v) for v in posterior.log_likelihood(torch.from_numpy(one), judged)] for one in some])
    counts, masses = both.mean(axis=0) / halos  # the mean of ln L over the posterior: no draw is privileged
    values = (
        posterior.model.name,
        posterior.likelihood,
        len(posterior.names),
        -uniform_nats(judged.counts.numpy()),
        counts,
        masses,
        counts + masses,
        fitted.peak.log_evidence,
        *sampled_evidence(posterior, fitted.chains, seed),
        fitted.convergence["rhat"].max(),
        fitted.convergence["ess"].min(),
    )
    return dict(zip(LADDER_COLUMNS, values, strict=True))


def band_rows(fitted: Fitted, points: Points, least_msun: float) -> list[dict]:
    """n(M|δ) of the FoF halos and its posterior, at each point."""
    quantiles = np.quantile(np.exp(fitted.functions.reshape(-1, points.fof.size)), LEVELS, axis=0)
    quantiles = quantiles.reshape(len(LEVELS), *points.fof.shape)
    rows = []
    for i, j in np.ndindex(points.fof.shape):
        where = (points.density[i], least_msun * np.exp(points.m[j]), points.fof[i, j], points.fof_error[i, j])
        values = (fitted.posterior.model.name, fitted.posterior.likelihood, *where, *quantiles[:, i, j])
        rows.append(dict(zip(BAND_COLUMNS, values, strict=True)))
    return rows


def painted_by(fitted: Fitted, judged: Catalogue, shape: tuple[int, ...], draws: int, seed: int) -> Painted:
    """Halos of the model in unseen boxes of a shape (boxes, z, y, x), with θ from the chains."""
    every = fitted.chains.reshape(-1, fitted.chains.shape[-1])
    rng = generator(seed, f"halos of {fitted.name}")
    there = replace(fitted.posterior, catalogue=judged)
    means, drawn, lost = [], [], []
    for theta in torch.from_numpy(every[rng.integers(0, len(every), draws)]):
        with torch.no_grad():
            means.append(there.model.numbers(theta, judged.places).sum(dim=0).numpy().reshape(shape))
            lost.append(-float(there.log_likelihood(theta)[0]) / len(judged.mass))
        drawn.append(draw_catalogue(there, theta, rng).counts.numpy().reshape(shape))
    return Painted(np.mean(means, axis=0), np.array(drawn), float(np.mean(lost)))


def models_of(settings: Bias) -> Iterable[tuple[str, str]]:
    """(model, likelihood) of each fit."""
    return [(model, likelihood) for model in settings.models for likelihood in settings.likelihoods]
