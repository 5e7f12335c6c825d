"""What networks are shown of a recorded sky: maps, moments, spectra, with and without an inverse-variance filter.

All of it is a matrix times the seen pixels, scaled by what is expected of τ in the middle of the prior, so that inputs are
of order one whatever the instrument.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from limelight.probes.reionisation.config import Instrument
from limelight.probes.reionisation.harmonics import flat_matrix, multipoles, pixels_of, synthesis_matrix
from limelight.probes.reionisation.instrument import noise_covariance, seen_pixels, signal_covariance
from limelight.probes.reionisation.likelihood import seen_ee

if TYPE_CHECKING:  # the shapes of inputs are asked for with every config, which torch would hold up
    from torch import Tensor

FLOOR = 1e-6  # of power over its expectation, whose logarithm is shown
RIDGE = (
    1e-9  # of the mean variance: where the sky has fewer moments than pixels, the covariance has no inverse without it
)


@dataclass(frozen=True)
class Pixels:
    """The sky that a dataset's inputs are made of."""

    nside: int
    lmax: int
    beam_deg: float
    tau: float  # in the middle of the prior


def input_shape(inputs: str, nside: int, lmax: int) -> tuple[int, ...]:
    """Of one row: (2, n), the channels being Q and U, or E and B."""
    if inputs in ("maps", "eb_maps"):
        return (2, pixels_of(nside))
    return (2, (lmax + 1) ** 2 - 4 if inputs == "alm" else lmax - 1)


def expected_covariance(instrument: Instrument, pixels: Pixels) -> np.ndarray:
    """Of the seen pixels, zero elsewhere, (2 npix, 2 npix)."""
    ee = seen_ee(np.array([pixels.tau]), pixels.lmax, pixels.beam_deg)[0]
    both = np.tile(seen_pixels(instrument, pixels.nside), 2)
    found = signal_covariance(ee, pixels.nside) + noise_covariance(instrument, pixels.nside, pixels.lmax)
    return found * np.outer(both, both)


def filter_matrix(instrument: Instrument, pixels: Pixels, covariance: np.ndarray) -> np.ndarray:
    """(2 k, 2 npix): moments of E and B of C⁻¹ d."""
    both = np.flatnonzero(np.tile(seen_pixels(instrument, pixels.nside), 2))
    part = covariance[np.ix_(both, both)]
    part = part + RIDGE * np.trace(part) / len(part) * np.eye(len(part))
    matrix = flat_matrix(pixels.nside, pixels.lmax)
    found = np.zeros(matrix.T.shape)
    found[:, both] = cho_solve(cho_factor(part, lower=True), matrix[both]).T
    return found


@functools.lru_cache(maxsize=8)
def transform_of(inputs: str, instrument: Instrument, pixels: Pixels) -> "Callable[[Tensor], Tensor]":
    """(b, 2, npix) recorded maps -> network inputs (b, *input_shape)."""
    covariance = expected_covariance(instrument, pixels)
    if inputs == "maps":
        return functools.partial(_scaled, 1 / np.sqrt(np.mean(np.diag(covariance)[np.diag(covariance) > 0])))
    matrix = flat_matrix(pixels.nside, pixels.lmax).T * 4 * np.pi / pixels_of(pixels.nside)
    if inputs.startswith("filtered"):
        matrix = filter_matrix(instrument, pixels, covariance)
    variance = np.einsum("ij,jk,ik->i", matrix, covariance, matrix, optimize=True)
    if inputs == "eb_maps":
        scalar = synthesis_matrix(pixels.nside, pixels.lmax, spin=0)
        half = len(matrix) // 2
        matrix = np.concatenate([scalar @ matrix[:half], scalar @ matrix[half:]])
        spread = np.einsum("ij,jk,ik->i", matrix, covariance, matrix, optimize=True)
        return Linear(matrix / np.sqrt(spread[: len(scalar)].mean()))
    if inputs == "alm":
        return Linear(matrix / np.sqrt(np.maximum(variance, 1e-12 * variance.max()))[:, None])
    return (Power if inputs.endswith("power") else Spectra)(matrix, variance, pixels.lmax)


def b_share(recorded: np.ndarray, instrument: Instrument, pixels: Pixels) -> tuple[float, float]:
    """Power of B in recorded maps (n, 2, npix) over its expectation, the mean over moments and maps; and its scatter."""
    import torch

    seen = seen_pixels(instrument, pixels.nside)
    power = transform_of("power", instrument, pixels)
    ells = np.arange(2, pixels.lmax + 1)
    known, moments = power.weight[1].numpy() > 0, 2 * ells + 1
    if not known.any():  # without noise there is none
        return 1.0, 0.0
    found = power(torch.from_numpy(recorded * seen.astype(np.float32)))[:, 1].double().numpy().mean(axis=0)
    share = np.average(found[known], weights=moments[known])
    return float(share), float(np.sqrt(2 / moments[known].sum() / seen.mean() / len(recorded)))


def _scaled(factor: float, maps: "Tensor") -> "Tensor":
    return maps * factor


class Linear:
    """A matrix (2 n, 2 npix) times maps (b, 2, npix): (b, 2, n)."""

    def __init__(self, matrix: np.ndarray):
        import torch

        self.matrix = torch.from_numpy(matrix.astype(np.float32))

    def __call__(self, maps: "Tensor") -> "Tensor":
        return (maps.flatten(1) @ self.matrix.to(maps.device).T).unflatten(1, (2, -1))


class Power(Linear):
    """Power of such moments in each ℓ over its expectation, (b, 2, lmax − 1), of E and B.

    Multipoles of which nothing is expected say nothing: 0.
    """

    def __init__(self, matrix: np.ndarray, variance: np.ndarray, lmax: int):
        import torch

        super().__init__(matrix / np.sqrt(np.mean(variance)))
        sums = (multipoles(lmax) == np.arange(2, lmax + 1)[:, None]).astype(np.float64)
        expected = variance.reshape(2, -1) @ sums.T / np.mean(variance)
        some = expected > 1e-9 * expected.max()
        self.sums = torch.from_numpy(sums.astype(np.float32))
        self.weight = torch.from_numpy((some / np.where(some, expected, 1)).astype(np.float32))

    def __call__(self, maps: "Tensor") -> "Tensor":
        device = maps.device
        return super().__call__(maps).square() @ self.sums.to(device).T * self.weight.to(device)


class Spectra(Power):
    """Its logarithm."""

    def __call__(self, maps: "Tensor") -> "Tensor":
        none = (self.weight == 0).to(maps.device)
        return (super().__call__(maps) + none + FLOOR).log()
