"""Images of fields of chosen φ* and L*: for shards, for an IMNN's derivatives, and for ABC."""

import numpy as np

from limelight.inference.posteriors.smc import Simulated
from limelight.probes.galaxy_field.config import GalaxyField
from limelight.probes.galaxy_field.fields import PARAMETERS, draw_arrivals, expected_number, luminosities, paint
from limelight.seeds import generator
from limelight.study.sections import Imnn


def limits(data: GalaxyField) -> np.ndarray:
    """Of the even prior, (2, 2): low and high of each of PARAMETERS."""
    return np.array([getattr(data, name) for name in PARAMETERS])


def most_galaxies(data: GalaxyField) -> float:
    """Expected in the richest field of the prior, with room for the steps beside it."""
    return expected_number(limits(data)[:, 1] + 0.5, data.alpha, data.l_min)


def draw_field(theta: np.ndarray, data: GalaxyField, rng: np.random.Generator) -> np.ndarray:
    """One field without noise, (bands, pixels, pixels), of θ (2,); the same rng gives a like field at any θ."""
    arrivals = draw_arrivals(most_galaxies(data), rng)
    places = rng.uniform(0, data.pixels, (len(arrivals), 2))
    steps = data.colour + data.colour_scatter * rng.standard_normal((len(arrivals), data.bands - 1))
    colours = np.concatenate([np.zeros((len(arrivals), 1)), np.cumsum(steps, axis=1)], axis=1)
    found = luminosities(arrivals, theta, data.alpha, data.l_min)
    k = len(found)
    return paint(found, places[:k], colours[:k], data.pixels, data.psf_sigma)


def fisher_fields(data: GalaxyField, options: Imnn, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Fields at the prior's mean (s, …), below and above it in each parameter (n, p, …), and the steps (p,)."""
    low, high = limits(data).T
    middle, step = (low + high) / 2, options.step * (high - low) / np.sqrt(12)
    p = len(PARAMETERS)
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

    parameter_names = list(PARAMETERS)

    def __init__(self, data: GalaxyField):
        self.data = data

    def simulate(self, theta: np.ndarray, rng: np.random.Generator) -> Simulated:
        x = np.array([draw_field(one, self.data, rng) for one in theta])
        return Simulated(x, list(range(len(theta))), theta.copy(), int(rng.integers(2**62)))

    def log_prior(self, theta: np.ndarray) -> np.ndarray:
        low, high = limits(self.data).T
        return np.where(((theta >= low) & (theta <= high)).all(axis=1), 0.0, -np.inf)
