"""Detectors without a network, and what any detector achieves: thresholds, efficiencies and the ROC.

In Gaussian noise of a known covariance C the likelihood ratio of "a pulse s(θ), θ from the prior" against "no pulse",

    Λ(d) = ∫ p(θ) exp(sᵀC⁻¹d − sᵀC⁻¹s/2) dθ,

is what no detector can beat on pulses of that prior (Neyman and Pearson). θ: amplitude, arrival, slope and sign.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from limelight.probes.air_shower.noise import Noise
from limelight.probes.air_shower.pulses import pulses

SLOPES, AMPLITUDES = 5, 8  # nodes of the integrals over ln f0 and over amplitudes
PER_SAMPLE = 3  # arrivals: half a step at 200 MHz is 0.4 rad
AT_ONCE = 100  # traces: what fits into a cache takes two thirds of the time of 500


@dataclass(frozen=True)
class Bank:
    """Templates over the prior of the pulses, whitened: arrival × slope; and nodes of the amplitudes."""

    templates: Tensor  # (t, samples): W s, s of peak 1
    power: Tensor  # (t,): sᵀC⁻¹s
    log_weights: Tensor  # (t,) of the prior; their exponentials sum to 1
    amplitudes: Tensor  # (a,)
    amplitude_log_weights: Tensor  # (a,)


def make_bank(noise: Noise, station: dict, prior: dict, per_sample: int = PER_SAMPLE, slopes: int = SLOPES) -> Bank:
    """The bank of a prior: `samples` and the limits `snr`, `slope_mhz` and `window` of config.Traces."""
    samples, (begin, end) = prior["samples"], prior["window"]
    arrivals = np.arange(begin * samples, end * samples, 1 / per_sample) + 0.5 / per_sample
    log_slope, weights = nodes(np.log(prior["slope_mhz"]), slopes)
    every = pulses(np.repeat(np.exp(log_slope), len(arrivals)), np.tile(arrivals, slopes), station, samples)
    templates = noise.whitened(torch.from_numpy(every).float())
    amplitudes, amplitude_weights = nodes(prior["snr"], AMPLITUDES)
    return Bank(
        templates,
        templates.square().sum(1),
        torch.from_numpy(np.repeat(np.log(weights / len(arrivals)), len(arrivals))).float(),
        torch.from_numpy(amplitudes).float(),
        torch.from_numpy(np.log(amplitude_weights)).float(),
    )


def nodes(limits, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Places and weights (count,) of the mean over [low, high] by Gauss and Legendre."""
    low, high = limits
    x, weights = np.polynomial.legendre.leggauss(count)
    return low + (high - low) * (x + 1) / 2, weights / 2


def threshold_statistic(traces: Tensor) -> Tensor:
    """The largest |voltage| of traces (b, samples): what a station without a processor triggers on, (b,)."""
    return traces.abs().amax(dim=1)


def bank_statistics(traces: Tensor, noise: Noise, bank: Bank) -> tuple[Tensor, Tensor]:
    """(matched filter, ln of the likelihood ratio) of traces (b, samples), (b,) each.

    The matched filter is the largest SNR of any template with the best amplitude of its own, of either sign.
    """
    match = (noise.whitened(traces) @ bank.templates.T).abs_()
    filtered = (match * bank.power.rsqrt()).amax(dim=1)
    most = match.amax(dim=1, keepdim=True)  # taken out of the exponentials: a strong transient would overflow them
    parts = []
    for amplitude, log_weight in zip(bank.amplitudes, bank.amplitude_log_weights, strict=True):
        weights = torch.exp(bank.log_weights - 0.5 * amplitude**2 * bank.power)
        both = torch.exp(amplitude * (match - most)) + torch.exp(-amplitude * (match + most))  # of either sign
        parts.append((both @ weights / 2).log() + amplitude * most[:, 0] + log_weight)
    return filtered, torch.stack(parts).logsumexp(dim=0)
