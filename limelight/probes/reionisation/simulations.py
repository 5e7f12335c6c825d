"""Skies of chosen τ: for shards, for an IMNN's derivatives, and for ABC."""

from typing import TYPE_CHECKING

import numpy as np

from limelight.probes.reionisation.config import Sky
from limelight.probes.reionisation.harmonics import multipoles, pixels_of, synthesis_matrix
from limelight.probes.reionisation.instrument import noise_of
from limelight.probes.reionisation.likelihood import seen_ee
from limelight.seeds import generator, torch_seed
from limelight.study.posteriors import Imnn

if TYPE_CHECKING:
    from limelight.inference.posteriors.smc import Simulated

AT_ONCE = 500  # skies, whose moments stand in memory as float64


def draw_skies(tau: np.ndarray, white: np.ndarray, data: Sky) -> np.ndarray:
    """Q and U (n, 2, npix) float32 without noise, of τ (n,) and unit moments (n, k): the same moments give a like sky."""
    matrix = synthesis_matrix(data.nside, data.lmax).reshape(2 * pixels_of(data.nside), -1)
    found = np.empty((len(tau), 2, pixels_of(data.nside)), np.float32)
    for first in range(0, len(tau), AT_ONCE):
        some = slice(first, first + AT_ONCE)
        spread = np.sqrt(seen_ee(tau[some], data.lmax, data.beam_deg))[:, multipoles(data.lmax)]
        found[some] = ((white[some] * spread) @ matrix.T).reshape(-1, 2, pixels_of(data.nside))
    return found


def stored_noise(data: Sky, seed: int, dataset: str, realisation: int) -> np.ndarray:
    """The noises (noises, 2, npix) float32 of one realisation's part of the bank."""
    import torch

    random = torch.Generator().manual_seed(torch_seed(seed, f"noise bank of {dataset}", realisation))
    return noise_of(data.bank.instrument, data.nside, data.lmax).draw(data.bank.noises, random).numpy()


def fisher_skies(data: Sky, options: Imnn, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Skies without noise at the prior's mean (s, 2, npix), below and above it (n, 1, 2, npix), and the step (1,).

    A pair below and above has the same moments, but for their size.
    """
    low, high = data.tau
    middle, step = (low + high) / 2, options.step * (high - low) / np.sqrt(12)
    k, found = (data.lmax + 1) ** 2 - 4, []
    for name, count, taus in (
        ("fiducial", options.simulations, (middle,)),
        ("derivatives", options.derivatives, (middle - step, middle + step)),
    ):
        white = generator(seed, f"imnn {name}").standard_normal((count, k))
        found += [draw_skies(np.full(count, tau), white, data) for tau in taus]
    fiducial, below, above = found
    return fiducial, below[:, None], above[:, None], np.array([step])


class TauSimulator:
    """Fresh skies for ABC at any τ of the prior."""

    parameter_names = ["tau"]

    def __init__(self, data: Sky):
        self.data = data

    def simulate(self, theta: np.ndarray, rng: np.random.Generator) -> "Simulated":
        from limelight.inference.posteriors.smc import Simulated  # torch, which skies are drawn without

        white = rng.standard_normal((len(theta), (self.data.lmax + 1) ** 2 - 4))
        x = draw_skies(theta[:, 0], white, self.data)
        return Simulated(x, list(range(len(theta))), theta.copy(), int(rng.integers(2**62)))

    def log_prior(self, theta: np.ndarray) -> np.ndarray:
        low, high = self.data.tau
        return np.where((theta[:, 0] >= low) & (theta[:, 0] <= high), 0.0, -np.inf)
