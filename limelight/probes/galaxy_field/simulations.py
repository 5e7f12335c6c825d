"""Images of fields of chosen φ*, L* and α: for shards, for an IMNN's derivatives, and for ABC."""

from typing import TYPE_CHECKING

import numpy as np

from limelight.probes.galaxy_field.config import GalaxyField
from limelight.probes.galaxy_field.fields import (
    PARAMETERS,
    catalogue_fisher,
    draw_arrivals,
    expected_number,
    luminosities,
    paint,
)
from limelight.seeds import generator
from limelight.study.posteriors import Imnn

if TYPE_CHECKING:
    from limelight.inference.posteriors.smc import Simulated

MARGIN = 0.5  # beyond the prior, in ln φ* and ln L*


def free(data: GalaxyField) -> tuple[str, ...]:
    """The parameters that have a prior: α may be fixed."""
    return PARAMETERS if isinstance(data.alpha, list) else PARAMETERS[:2]


def limits(data: GalaxyField) -> np.ndarray:
    """Of the even prior, (p, 2): low and high of each free parameter."""
    return np.array([getattr(data, name) for name in free(data)])


def all_of(theta: np.ndarray, data: GalaxyField) -> np.ndarray:
    """θ (3,) of PARAMETERS from the free ones (p,)."""
    return theta if len(theta) == len(PARAMETERS) else np.append(theta, data.alpha)


def perfect_fisher(theta: np.ndarray, data: GalaxyField) -> np.ndarray:
    """F (p, p) of the free parameters θ (p,) from a perfect catalogue."""
    return catalogue_fisher(all_of(theta, data), data.l_min)[: len(theta), : len(theta)]


def most_galaxies(data: GalaxyField) -> float:
    """Expected in the richest field of the prior, with room for the steps beside it."""
    slopes = np.add(data.alpha, [-MARGIN / 2, MARGIN / 2]) if isinstance(data.alpha, list) else [data.alpha]
    high = limits(data)[:2, 1] + MARGIN
    return max(expected_number(np.append(high, slope), data.l_min) for slope in slopes)  # convex in α


def draw_field(theta: np.ndarray, data: GalaxyField, rng: np.random.Generator) -> np.ndarray:
    """One field without noise, (bands, pixels, pixels), of its free parameters θ (p,); the same rng gives like ones."""
    light, places, colours = draw_catalogue(theta, data, rng)
    return paint(light, places, colours, data.pixels, data.psf_sigma)


def draw_catalogue(theta: np.ndarray, data: GalaxyField, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Luminosities (k,), places (k, 2) in pixels and colours (k, bands), as `paint` takes them, of one field."""
    arrivals = draw_arrivals(most_galaxies(data), rng)
    places = rng.uniform(0, data.pixels, (len(arrivals), 2))
    steps = data.colour + data.colour_scatter * rng.standard_normal((len(arrivals), data.bands - 1))
    colours = np.concatenate([np.zeros((len(arrivals), 1)), np.cumsum(steps, axis=1)], axis=1)
    found = luminosities(arrivals, all_of(theta, data), data.l_min)
    return found, places[: len(found)], colours[: len(found)]


def fisher_fields(data: GalaxyField, options: Imnn, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Fields at the prior's mean (s, …), below and above it in each parameter (n, p, …), and the steps (p,)."""
    low, high = limits(data).T
    middle, step = (low + high) / 2, options.step * (high - low) / np.sqrt(12)
    p = len(middle)
    fiducial = [draw_field(middle, data, generator(seed, "imnn fiducial", i)) for i in range(options.simulations)]
    sides = [
        [
            [draw_field(middle + sign * step * one, data, generator(seed, "imnn derivatives", i)) for one in np.eye(p)]
            for i in range(options.derivatives)
        ]
        for sign in (-1, 1)
    ]
    return np.array(fiducial), np.array(sides[0]), np.array(sides[1]), step


class GalaxySimulator:
    """Fresh fields for ABC at any parameters of the prior."""

    def __init__(self, data: GalaxyField):
        self.data, self.parameter_names = data, list(free(data))

    def simulate(self, theta: np.ndarray, rng: np.random.Generator) -> "Simulated":
        from limelight.inference.posteriors.smc import Simulated  # torch, which fields are drawn without

        x = np.array([draw_field(one, self.data, rng) for one in theta])
        return Simulated(x, list(range(len(theta))), theta.copy(), int(rng.integers(2**62)))

    def log_prior(self, theta: np.ndarray) -> np.ndarray:
        low, high = limits(self.data).T
        return np.where(((theta >= low) & (theta <= high)).all(axis=1), 0.0, -np.inf)
