"""Posteriors by simulation: population Monte Carlo on an IMNN's summaries, painting from the training light-cones.

The simulator is the study's own: parameters, a training subfield, fresh scatter, the pooled map, the test's noise and
foregrounds, the trunk's features, the summaries. What is accepted has parameters and a luminosity function of its own; both
are the posterior.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from limelight.errors import problem
from limelight.inference.posteriors import scaling
from limelight.inference.posteriors.abc import Particles, adjusted, nearest, population, resample, whitener
from limelight.inference.posteriors.posterior import Posterior
from limelight.inference.posteriors.tables import dequantised, to_counts
from limelight.networks.features import features
from limelight.probes.line_intensity.lines.models import get_model
from limelight.probes.line_intensity.lines.priors import prior_gaussian
from limelight.probes.line_intensity.maps.paint import Field
from limelight.probes.line_intensity.simulations import light_fields, simulate_map
from limelight.seeds import generator
from limelight.training.data import Presentation, observe

BATCH = 40  # maps that the trunk sees at a time
CHECKS = ("simulations", "proposals", "accepted", "rounds", "threshold", "effective_particles")


def gaussian_log_prior(line_model: dict) -> Callable[[np.ndarray], np.ndarray]:
    """θ (m, p) -> ln of the prior's Gaussian (m,) without its constant, −inf where lines.priors draws anew."""
    model = get_model(line_model["model"], line_model["parameters"])
    mean, covariance = prior_gaussian(model, line_model["prior"])
    names, precision = list(model.parameters), np.linalg.inv(covariance)
    above = [i for i, name in enumerate(names) if name in model.positive]
    scatters = [i for i, name in enumerate(names) if name.startswith("sigma")]

    def log_prior(theta: np.ndarray) -> np.ndarray:
        off = theta - mean
        allowed = (theta[:, above] > 0).all(axis=1) & (theta[:, scatters] >= 0).all(axis=1)
        return np.where(allowed, -0.5 * np.einsum("mi,ij,mj->m", off, precision, off), -np.inf)

    return log_prior


def simulator(
    posterior: Posterior, line_model: dict, how: Presentation, fields: Sequence[Field]
) -> Callable[[np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]:
    """simulate(θ (m, p), rng) -> summaries (m, q) and counts (m, bins), NaN where a map's mean temperature is not allowed.

    Every simulation draws its field among `fields`, its scatter, and the noise and foregrounds of `how`.
    """
    model = get_model(line_model["model"], line_model["parameters"])
    names = list(model.parameters)
    device = next(posterior.trunk.parameters()).device

    @torch.no_grad()
    def simulate(theta: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        which = rng.integers(len(fields), size=len(theta))
        random = torch.Generator().manual_seed(int(rng.integers(2**62)))
        maps, rows = [], []
        summaries = np.full((len(theta), len(names)), np.nan)
        counts = np.full((len(theta), len(how.edges) - 1), np.nan)
        for i, values in enumerate(theta.tolist()):
            field, parameters = fields[which[i]], dict(zip(names, values, strict=True))
            painted = simulate_map(field, model, parameters, line_model, how.beam_fwhm_arcmin, how.edges, rng)
            if painted is not None:
                maps.append(painted[0])
                rows.append(i)
                counts[i] = painted[1]
        if rows:
            inputs = observe(torch.from_numpy(np.stack(maps)), how, random).to(device)
            x = scaling.encode(posterior.content["scales"]["features"], features(posterior.trunk, inputs))
            summaries[rows] = posterior.head(x).double().cpu().numpy()
        return summaries, counts

    return simulate


def smc_sampler(
    posterior: Posterior, settings: dict, how: Presentation, paths: Sequence[str | Path]
) -> Callable[..., tuple[Tensor, Tensor, dict]]:
    """sample(features (1, F), *index) -> (counts (1, s, bins), parameters (1, s, p), checks {name of CHECKS: number}).

    settings: stage_settings(study, "intervals", name, test) of a posterior of abc: smc; how: of the test; paths: subfields
    of training light-cones. Random numbers hang on (seed, posterior, test, index). The first particles are the training
    presentations whose summaries are nearest, as rejection would accept them: draws from the prior that cost nothing.
    """
    content, options = posterior.content, settings["smc"]
    (line_model,) = settings["line_models"].values()
    names = list(get_model(line_model["model"], line_model["parameters"]).parameters)
    if content["kind"] != "imnn" or list(content["parameter_names"]) != names:
        found = f"kind {content['kind']} of parameters {', '.join(content['parameter_names'])}"
        raise problem(f"posterior {content['posterior']}", found, f"imnn of {', '.join(names)}", "train it again")
    known = content["prior"]["summaries"].double().cpu().numpy()
    if len(known) < options["particles"]:
        found, expected = (
            f"{options['particles']} particles",
            f"at most the {len(known)} presentations of training maps",
        )
        fix = "ask for fewer, or for more presentations"
        raise problem(f"posteriors.{options['name']}.smc.particles", found, expected, fix)
    of_map = content["prior"]["row"]
    theta, counts = (content["prior"][key][of_map].double().cpu().numpy() for key in ("parameters", "counts"))
    white = whitener(content["scales"]["summaries"]["covariance"].double().cpu().numpy())
    splits = settings["splits"]["train"]
    simulate = simulator(
        posterior, line_model, how, light_fields(paths, line_model, how.grid, splits, options["fields"])
    )
    log_prior = gaussian_log_prior(line_model)
    stage = f"draws of posterior {options['name']} on {settings['test']['name']}"

    @torch.no_grad()
    def sample(seen: Tensor, *index: int) -> tuple[Tensor, Tensor, dict]:
        rng = generator(settings["seed"], stage, *index)
        x = scaling.encode(content["scales"]["features"], seen)
        observed = posterior.head(x)[0].double().cpu().numpy()
        rows, distance = nearest(known, observed, white, options["particles"])
        even = np.full(len(rows), 1 / len(rows))
        particles, history = population(
            simulate,
            log_prior,
            Particles(theta[rows], even, distance, known[rows], counts[rows]),
            observed,
            white,
            rng,
            **{key: options[key] for key in ("quantile", "least_acceptance", "rounds")},
            batch=BATCH,
        )
        random = torch.Generator().manual_seed(int(rng.integers(2**62)))
        y = dequantised(torch.from_numpy(particles.answers), random).numpy()
        values, weights = np.column_stack([y, particles.theta]), particles.weights
        if options["adjust"]:
            values, weights = adjusted(values, particles.summaries, observed, particles.distance, weights)
        drawn = torch.from_numpy(resample(values, weights, settings["samples"], rng))
        done = [row for row in history if row["done"]]
        checks = {name: sum(row[name] for row in history) for name in ("simulations", "proposals", "accepted")}
        checks |= {"rounds": len(done), "threshold": particles.distance.max()}
        checks |= {"effective_particles": particles.effective}
        bins = y.shape[1]
        return to_counts(drawn[None, :, :bins]).float(), drawn[None, :, bins:].float(), checks

    return sample
