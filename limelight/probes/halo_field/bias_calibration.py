"""Simulation-based calibration of n(M|δ) (Talts et al. 2018, arXiv:1804.06788): halos of a known bias, fitted and ranked.

The weights of the neural bias are not identifiable, its n(M|δ) is: so that is what is ranked. θ comes from a normal prior
about the maximum of the real halos, SBC_WIDTH times as wide as their posterior, and the posterior of each fit has the same
prior. (N(0, 10²) would draw universes without halos or full of them.) SBC_CELLS cells, so that a fit takes seconds.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from limelight.codehash import code_hash
from limelight.inference.calibration import rank_p_value, ranks
from limelight.probes.halo_field.bias import Posterior, catalogue_of, draw_catalogue
from limelight.probes.halo_field.bias_study import Fitted, Points
from limelight.probes.halo_field.sampling import chain_at, find_peak, sample_chain
from limelight.progress import progress
from limelight.seeds import generator

SBC_COLUMNS = ("model", "likelihood", "density", "mass_msun", "fits", "p_value", "mean_rank", "within_68", "within_95")
SBC_CELLS = 4096
SBC_WIDTH = 3.0  # of the prior, in units of the posterior's own
SBC_STEPS = (40, 60)  # warm-up and kept
SBC_EVERY = 2  # steps: draws that follow each other would not be ranked as independent ones
SBC_CELLS_OF_BIN = 400  # over which n(M|δ) is averaged
_PLACE = "limelight.probes.halo_field.bias_calibration"
CODE = (f"{_PLACE}:simulated_chain", f"{_PLACE}:calibration_prior")


def calibrate(
    fitted: Fitted, points: Points, fits: int, tree_depth: int, folder: Path, key: str, seed: int
) -> np.ndarray:
    """Rank of the true n(M|δ) among the draws of each fit, (fits, points), uniform in (0, 1) if posteriors are right.

    The chain of each fit is a file of the folder, as of `bias_study.fit`.
    """
    prior, name = calibration_prior(fitted, seed), f"{fitted.posterior.model.name}-{fitted.posterior.likelihood}"
    key = f"{key} {code_hash(chosen=CODE)}"
    places = tuple(one.at(torch.arange(0, len(one.density), spacing(len(one.density)))) for one in points.places)
    told = replace(points, places=places)
    draws, truths = [], []
    for i in progress(range(fits), f"calibration of {fitted.posterior.model.name}", fits):
        path = folder / f"calibration-{name}-{i}.h5"
        chain = chain_at(path, key, lambda i=i: simulated_chain(prior, tree_depth, seed, i), seed)
        draws.append([told.values(prior, torch.from_numpy(step)).ravel() for step in chain[::SBC_EVERY]])
        truths.append(told.values(prior, prior_draw(prior, seed, i)[0]).ravel())
    found, steps = ranks(np.array(draws), np.array(truths)), 1 + len(draws[0])
    within = generator(seed, f"within the steps of the ranks of {name}").random(found.shape) - 0.5
    return found + within / steps  # of 30 draws ranks are 31 steps; a test for a uniform distribution would see them


def spacing(cells: int) -> int:
    """Every so-many-th of the cells of a bin is taken."""
    return max(1, cells // SBC_CELLS_OF_BIN)


def calibration_prior(fitted: Fitted, seed: int) -> Posterior:
    """The prior of the module's first lines, over cells without halos."""
    whole = fitted.posterior
    rng = generator(seed, f"cells of the calibration of {whole.model.name}")
    cells = np.sort(rng.permutation(len(whole.catalogue.counts))[:SBC_CELLS])
    empty = catalogue_of(whole.catalogue.places.at(torch.from_numpy(cells)), np.zeros(0, np.int64), np.zeros(0))
    return Posterior(whole.model, whole.likelihood, empty, fitted.peak.theta, SBC_WIDTH * fitted.peak.scale)


def prior_draw(prior: Posterior, seed: int, fit: int) -> tuple[torch.Tensor, Posterior]:
    """θ of the prior, and the posterior of halos drawn from it."""
    rng = generator(seed, f"calibration of {prior.model.name}, {prior.likelihood}", fit)
    theta = prior.prior_mean + prior.prior_scale @ torch.from_numpy(rng.standard_normal(len(prior.prior_mean)))
    return theta, replace(prior, catalogue=draw_catalogue(prior, theta, rng))


def simulated_chain(prior: Posterior, tree_depth: int, seed: int, fit: int) -> np.ndarray:
    """The chain (samples, p) of a fit to halos of the prior."""
    theta, posterior = prior_draw(prior, seed, fit)
    return sample_chain(posterior, find_peak(posterior, seed, theta), *SBC_STEPS, tree_depth, seed, 1000 + fit)


def calibration_rows(fitted: Fitted, points: Points, found: np.ndarray, least_msun: float) -> list[dict]:
    """Of ranks (fits, points): p of a Kolmogorov-Smirnov test at each point, and how often an interval holds the truth."""
    p_values, rows = rank_p_value(found), []
    within = [(np.abs(found - 0.5) < 0.5 * level).mean(axis=0) for level in (0.68, 0.95)]
    for index, (i, j) in enumerate(np.ndindex(points.fof.shape)):
        where = (points.density[i], least_msun * np.exp(points.m[j]), len(found))
        told = (p_values[index], found[:, index].mean(), *(one[index] for one in within))
        values = (fitted.posterior.model.name, fitted.posterior.likelihood, *where, *told)
        rows.append(dict(zip(SBC_COLUMNS, values, strict=True)))
    return rows
