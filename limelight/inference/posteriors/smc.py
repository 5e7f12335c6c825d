"""Posteriors by simulation: population Monte Carlo on an IMNN's summaries, with the probe's own simulator.

A simulation is parameters, fresh clean data, the test's noise and foregrounds, the trunk's features, the summaries. What is
accepted has parameters and answers of its own; both are the posterior.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from limelight.errors import problem
from limelight.inference.posteriors import scaling
from limelight.inference.posteriors.abc import Particles, adjusted, nearest, population, resample, whitener
from limelight.inference.posteriors.posterior import Posterior
from limelight.inference.posteriors.tables import continuous, finished
from limelight.probe import Probe
from limelight.seeds import generator
from limelight.study.settings import IntervalsSettings
from limelight.training.presentation import Presentation

BATCH = 40  # rows that the trunk sees at a time
CHECKS = ("simulations", "proposals", "accepted", "rounds", "threshold", "effective_particles")


@dataclass
class Simulated:
    """Clean data at the parameters asked for that allow any, and the answers at all of them."""

    x: np.ndarray  # (r, channels, *axes)
    rows: list[int]  # (r,) which of the parameters
    answers: np.ndarray  # (m, d) of the posterior's target, counts as they are; NaN where there are no data
    noise_seed: int  # of the noise that these data are shown with


class Simulator(Protocol):
    """What a probe simulates with for ABC (Probe.simulator)."""

    parameter_names: list[str]

    def simulate(self, theta: np.ndarray, rng: np.random.Generator) -> Simulated:
        """Fresh data for each of θ (m, p)."""

    def log_prior(self, theta: np.ndarray) -> np.ndarray:
        """θ (m, p) -> ln prior (m,) without its constant, −inf outside."""


def summaries_of(posterior: Posterior, presentation: Presentation, simulator: Simulator) -> Callable:
    """simulate(θ (m, p), rng) -> summaries (m, q) and answers (m, d), NaN where the prior allows no data."""
    device, scale = next(posterior.trunk.parameters()).device, posterior.content["scales"]["features"]

    @torch.no_grad()
    def simulate(theta: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        found = simulator.simulate(theta, rng)
        summaries = np.full(theta.shape, np.nan)
        if found.rows:
            random = torch.Generator().manual_seed(found.noise_seed)
            inputs = presentation.observe(torch.from_numpy(found.x), random).to(device)
            x = scaling.encode(scale, posterior.trunk.features(inputs).float())
            summaries[found.rows] = posterior.head(x).double().cpu().numpy()
        return summaries, found.answers

    return simulate


def smc_sampler(
    posterior: Posterior,
    settings: IntervalsSettings,
    probe: Probe,
    presentation: Presentation,
    paths: Sequence[str | Path],
) -> Callable[..., tuple[Tensor, Tensor, dict]]:
    """sample(features (1, F), *index) -> (answers (1, s, d), parameters (1, s, p), checks {name of CHECKS: number}).

    Parameters
    ----------
    paths
        What the probe simulates from.

    Random numbers depend on (seed, posterior, test, index). The first particles are the training presentations whose
    summaries are nearest, as rejection would accept them: draws from the prior that cost nothing.
    """
    content, options = posterior.content, settings.smc
    simulator = probe.simulator(settings, paths)
    check_content(content, simulator.parameter_names, settings)
    known = content["prior"]["summaries"].double().cpu().numpy()
    of_row = content["prior"]["row"]
    theta, answers = (content["prior"][key][of_row].double().cpu().numpy() for key in ("parameters", "answers"))
    white = whitener(content["scales"]["summaries"]["covariance"].double().cpu().numpy())
    simulate = summaries_of(posterior, presentation, simulator)
    seed, stage = settings.evaluation.trained.seed, f"draws of posterior {settings.name} on {settings.evaluation.test}"

    @torch.no_grad()
    def sample(seen: Tensor, *index: int) -> tuple[Tensor, Tensor, dict]:
        rng = generator(seed, stage, *index)
        x = scaling.encode(content["scales"]["features"], seen)
        observed = posterior.head(x)[0].double().cpu().numpy()
        rows, distance = nearest(known, observed, white, options.particles)
        even = np.full(len(rows), 1 / len(rows))
        particles, history = population(
            simulate,
            simulator.log_prior,
            Particles(theta[rows], even, distance, known[rows], answers[rows]),
            observed,
            white,
            rng,
            quantile=options.quantile,
            least_acceptance=options.least_acceptance,
            rounds=options.rounds,
            batch=BATCH,
        )
        random = torch.Generator().manual_seed(int(rng.integers(2**62)))
        y = continuous(torch.from_numpy(particles.answers), posterior.target, random).numpy()
        values, weights = np.column_stack([y, particles.theta]), particles.weights
        if options.adjust:
            values, weights = adjusted(values, particles.summaries, observed, particles.distance, weights)
        drawn = torch.from_numpy(resample(values, weights, settings.samples, rng))
        done = [row for row in history if row["done"]]
        checks = {name: sum(row[name] for row in history) for name in ("simulations", "proposals", "accepted")}
        checks |= {"rounds": len(done), "threshold": particles.distance.max()}
        checks |= {"effective_particles": particles.effective}
        d = y.shape[1]
        return finished(drawn[None, :, :d], posterior.target).float(), drawn[None, :, d:].float(), checks

    return sample


def check_content(content: dict, parameter_names: list[str], settings: IntervalsSettings) -> None:
    """LimelightError for a posterior of another kind or of other parameters, or one that knows too few presentations."""
    if content["kind"] != "imnn" or list(content["parameter_names"]) != parameter_names:
        found = f"kind {content['kind']} of parameters {', '.join(content['parameter_names'])}"
        expected = f"imnn of {', '.join(parameter_names)}"
        raise problem(f"posterior {content['posterior']}", found, expected, "train it again")
    particles, known = settings.smc.particles, len(content["prior"]["summaries"])
    if known < particles:
        found, expected = f"{particles} particles", f"at most the {known} presentations of training data"
        fix = "ask for fewer, or for more presentations"
        raise problem(f"posteriors.{settings.name}.smc.particles", found, expected, fix)
