"""Rows of datasets: traces of one antenna, and events of an array, without noise."""

import numpy as np

from limelight.probes.air_shower.arrays import LIGHT_KM, arrival_times, draw_directions
from limelight.probes.air_shower.config import Traces
from limelight.probes.air_shower.pulses import pulses, transients

TRUTHS = dict[str, np.ndarray]
AT_ONCE = 20_000  # traces of an array


def log_uniform(limits: tuple[float, float], count: int | tuple, rng: np.random.Generator) -> np.ndarray:
    """Numbers that are even in their logarithm."""
    return np.exp(rng.uniform(*np.log(limits), count))


def draw_pulses(snr: np.ndarray, data: Traces, station: dict, rng: np.random.Generator) -> tuple[np.ndarray, TRUTHS]:
    """Traces (m, samples) of pulses with these peaks (m,), of either sign; and their `slope_mhz` and `arrival` (m,)."""
    slope = log_uniform(data.slope_mhz, len(snr), rng)
    arrival = rng.uniform(*data.window, len(snr)) * data.samples
    sign = rng.choice([-1.0, 1.0], len(snr))
    found = (snr * sign)[:, None] * pulses(slope, arrival, station, data.samples)
    return found, {"slope_mhz": slope, "arrival": arrival}


def draw_transients(kinds: list[str], data: Traces, station: dict, rng: np.random.Generator) -> np.ndarray:
    """Traces (m, samples) with a transient each, of the kinds of a list (m,)."""
    arrival = rng.uniform(*data.window, len(kinds)) * data.samples
    peak = log_uniform(data.transient_peak, len(kinds), rng)
    return peak[:, None] * transients(kinds, arrival, station, data.samples, rng)


def simulate_traces(data: Traces, station: dict, rng: np.random.Generator) -> tuple[np.ndarray, TRUTHS]:
    """Traces (rows, 1, samples) float32: pulses, transients or nothing. `snr` is 0 of rows without a shower."""
    shower = rng.uniform(size=data.rows) < data.showers
    busy = ~shower & (rng.uniform(size=data.rows) < data.transient_share) & bool(data.transients)
    x = np.zeros((data.rows, data.samples), np.float32)
    snr = np.where(shower, rng.uniform(*data.snr, data.rows), 0)
    y = {"shower": shower.astype(np.int64), "snr": snr}
    x[shower], drawn = draw_pulses(snr[shower], data, station, rng)
    for name, values in drawn.items():
        y[name] = np.zeros(data.rows)
        y[name][shower] = values
    if busy.any():
        kinds = rng.choice(data.transients, busy.sum()).tolist()
        x[busy] = draw_transients(kinds, data, station, rng)
    return x[:, None], y


def simulate_events(
    data: Traces, station: dict, positions: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, TRUTHS]:
    """Events (rows, 2, antennas, samples) float32: voltage, and the time of each sample in µs by a perfect clock.

    Every antenna starts its trace itself, so that its pulse stands anywhere in the dataset's window. An event's times are
    counted from the mean of its traces' beginnings. `slope_mhz` differs between events, not between antennas: no footprint
    is pretended.
    """
    array, m, antennas = data.array, data.rows, len(positions)
    direction = draw_directions(m, array.zenith_deg, rng)
    distance_km = log_uniform(array.distance_km, m, rng)
    arrival = arrival_times(direction, distance_km * LIGHT_KM, positions)
    slope, snr = log_uniform(data.slope_mhz, m, rng), rng.uniform(*data.snr, m)
    peak = snr[:, None] * np.exp(rng.normal(0, array.amplitude_scatter, (m, antennas))) * rng.choice([-1, 1], (m, 1))
    place = rng.uniform(*data.window, (m, antennas)) * data.samples
    step = 1 / station["sampling_mhz"]
    begin = arrival - place * step
    begin -= begin.mean(axis=1, keepdims=True)
    x = np.empty((m, 2, antennas, data.samples), np.float32)
    x[:, 1] = begin[:, :, None] + step * np.arange(data.samples)
    for some in np.array_split(np.arange(m), -(-m * antennas // AT_ONCE)):
        shapes = pulses(np.repeat(slope[some], antennas), place[some].ravel(), station, data.samples)
        x[some, 0] = peak[some, :, None] * shapes.reshape(len(some), antennas, -1)
    return x, {"direction": direction, "snr": snr, "slope_mhz": slope, "distance_km": distance_km}
