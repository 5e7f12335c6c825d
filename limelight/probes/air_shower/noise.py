"""Stationary Gaussian noise of an antenna: its spectrum, its exact covariance, draws of it, and its inverse.

    S(ν) = (T_sky (ν/300 MHz)^−2.55 + T_receiver) |H(ν)|² + T_digitiser,   H: Butterworth filter of the band, zero phase
    C(τ) = ∫ S(ν) cos(2πντ) dν + Σ_lines P cos(2πν_l τ),                   divided by C(0): the rms is 1

A carrier with a Rayleigh amplitude and a random phase is a Gaussian process too, so that the whole noise is Gaussian and its
likelihood is known. A trace is a piece of an endless process, not a period of one: C is Toeplitz and not circulant.
"""

import json
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

ORDER = 8  # of the filter, at either end of the band
SKY_INDEX, SKY_MHZ = 2.55, 300.0
FINE = 16  # frequencies per sample: the integral over ν


def response(mhz: np.ndarray, band_mhz: tuple[float, float]) -> np.ndarray:
    """|H(ν)| of the band's filter, (…,)."""
    low, high = band_mhz
    with np.errstate(divide="ignore"):
        return 1 / np.sqrt((1 + (low / mhz) ** (2 * ORDER)) * (1 + (mhz / high) ** (2 * ORDER)))


def spectrum(mhz: np.ndarray, station: dict) -> np.ndarray:
    """S(ν) in K without the lines, (…,). station: the keys of config.Station."""
    sky = station["sky_k"] * (np.maximum(mhz, 1.0) / SKY_MHZ) ** -SKY_INDEX
    return (sky + station["receiver_k"]) * response(mhz, station["band_mhz"]) ** 2 + station["digitiser_k"]


def covariance(station: dict, samples: int) -> np.ndarray:
    """C (samples, samples) float64 of a trace, 1 on its diagonal."""
    rate, n = station["sampling_mhz"], FINE * samples
    mhz = (np.arange(n) + 0.5) * rate / 2 / n  # middles of the steps of the integral
    step = rate / 2 / n
    lags = np.arange(samples) / rate
    density = spectrum(mhz, station)
    found = np.array([density @ np.cos(2 * np.pi * mhz * lag) for lag in lags]) * step
    analogue = (density - station["digitiser_k"]).sum() * step
    for line in station["lines_mhz"]:
        found += station["lines_power"] * analogue * np.cos(2 * np.pi * line * lags)
    return scipy.linalg.toeplitz(found / found[0])


@dataclass(frozen=True)
class Noise:
    """C = F Fᵀ of a station's traces; W = F⁻¹ makes the noise white."""

    factor: Tensor  # F (samples, samples) float32, lower
    whitener: Tensor  # W

    def draw(self, shape: tuple[int, ...], random: torch.Generator) -> Tensor:
        """Noise (*shape, samples) of rms 1, on the generator's device."""
        white = torch.randn(*shape, len(self.factor), generator=random, device=random.device)
        return white @ self.factor.T.to(random.device)

    def whitened(self, traces: Tensor) -> Tensor:
        """W d of traces (…, samples): white noise of variance 1, and the pulse as this noise leaves it."""
        return traces @ self.whitener.T.to(traces.device, traces.dtype)


def noise_of(station: dict, samples: int) -> Noise:
    """The noise of a station's traces; computed once."""
    return _noise(json.dumps(station, sort_keys=True), samples)


@lru_cache(maxsize=8)
def _noise(station: str, samples: int) -> Noise:
    factor = np.linalg.cholesky(covariance(json.loads(station), samples))
    whitener = scipy.linalg.solve_triangular(factor, np.eye(samples), lower=True)
    return Noise(torch.from_numpy(factor).float(), torch.from_numpy(whitener).float())
