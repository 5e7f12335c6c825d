"""Pulses of showers, and transients of other makers, as a station's filter leaves them: peak 1, no noise.

SNR here is always the largest |voltage| of the filtered pulse at the samples, over the rms of the noise. Papers differ: some
take the peak after an amplifier, some the power, some the Hilbert envelope.

A shower's pulse has the spectrum exp(−ν/f0), the steeper the farther the antenna is from the Cherenkov cone, and is bipolar.
"""

from collections.abc import Callable

import numpy as np

from limelight.probes.air_shower.noise import response


def frequencies(station: dict, samples: int) -> np.ndarray:
    """MHz of the modes of a trace, (samples // 2 + 1,)."""
    return np.fft.rfftfreq(samples, 1 / station["sampling_mhz"])


def unit_peak(traces: np.ndarray) -> np.ndarray:
    """Traces (m, samples) over the largest of their absolute values."""
    return traces / np.abs(traces).max(axis=1, keepdims=True)


def pulses(slope_mhz: np.ndarray, arrival: np.ndarray, station: dict, samples: int) -> np.ndarray:
    """Bipolar pulses (m, samples) of peak 1. slope_mhz: f0 (m,); arrival (m,) in samples, not always whole."""
    mhz = frequencies(station, samples)
    phase = 2 * np.pi * mhz * np.asarray(arrival)[:, None] / station["sampling_mhz"]
    shape = np.exp(-mhz / np.asarray(slope_mhz)[:, None]) * response(mhz, station["band_mhz"])
    shape[:, -1] = 0  # at the Nyquist frequency no phase can be told
    return unit_peak(np.fft.irfft(1j * shape * np.exp(-1j * phase), samples))


def _ringdown(time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A damped oscillation, as of a switched power line. time in ns after the arrival, (samples,)."""
    decay, mhz, phase = 20 * 10 ** rng.uniform(0, 1), rng.uniform(55, 190), rng.uniform(0, 2 * np.pi)
    return np.where(time > 0, np.exp(-np.maximum(time, 0) / decay), 0) * np.sin(2e-3 * np.pi * mhz * time + phase)


def _burst(time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A carrier that is switched on and off, as of a radio telephone."""
    length, mhz, phase = rng.uniform(60, 300), rng.uniform(55, 190), rng.uniform(0, 2 * np.pi)
    return (np.abs(time) < length / 2) * np.sin(2e-3 * np.pi * mhz * time + phase)


def _sparks(time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Three to eight impulses in a row, as of an engine's ignition."""
    step, found = rng.uniform(20, 60), np.zeros(len(time))
    for i in range(rng.integers(3, 9)):
        at = int(np.argmin(np.abs(time - i * step)))
        found[at] += rng.choice([-1, 1]) * rng.uniform(0.4, 1)
    return found


def _chirp(time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A sweep through the band, as of a radar."""
    length, ends = rng.uniform(100, 350), rng.uniform(55, 190, 2)
    share = np.clip(time / length + 0.5, 0, 1)
    phase = 2e-3 * np.pi * length * (ends[0] * share + (ends[1] - ends[0]) * share**2 / 2)
    return np.hanning(1001)[(1000 * share).astype(int)] * np.sin(phase + rng.uniform(0, 2 * np.pi))


TRANSIENTS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "ringdown": _ringdown,
    "burst": _burst,
    "sparks": _sparks,
    "chirp": _chirp,
}


def transients(
    kinds: list[str], arrival: np.ndarray, station: dict, samples: int, rng: np.random.Generator
) -> np.ndarray:
    """Transients (m, samples) of peak 1 in the band, of the kinds of a list (m,). arrival (m,) in samples."""
    band = response(frequencies(station, samples), station["band_mhz"])
    time = (np.arange(samples) - np.asarray(arrival)[:, None]) * 1000 / station["sampling_mhz"]
    raw = np.array([TRANSIENTS[kind](one, rng) for kind, one in zip(kinds, time, strict=True)])
    return unit_peak(np.fft.irfft(np.fft.rfft(raw, axis=1) * band, samples, axis=1))
