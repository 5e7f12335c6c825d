"""Networks beside what is known without one: detectors of pulses, and fits of directions.

Everything here is drawn afresh, from random streams of its own: thresholds for one false positive in ten thousand take a
million traces, which no shard holds.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from limelight.data.shard import Header, Rows
from limelight.errors import problem
from limelight.evaluation.roc import auc, efficiency, efficiency_error, rate_error
from limelight.probes.air_shower.arrays import (
    LIGHT_KM,
    angle_deg,
    bound,
    peak_times,
    plane_fit,
    spherical_fit,
)
from limelight.probes.air_shower.config import Judging, ShowerStudy, Traces
from limelight.probes.air_shower.detectors import AT_ONCE, bank_statistics, make_bank, threshold_statistic
from limelight.probes.air_shower.noise import Noise, noise_of
from limelight.probes.air_shower.probe import PROBE, TraceSettings, root_mean_square, station_of
from limelight.probes.air_shower.pulses import TRANSIENTS
from limelight.probes.air_shower.simulations import draw_pulses, draw_transients
from limelight.progress import progress
from limelight.seeds import generator, torch_seed

KNOWN = ("threshold", "matched filter", "likelihood ratio")
QUIET, TRAINED, LEFT_OUT = "noise", "noise and transients", "noise and transients left out"
TRIGGER_COLUMNS = ("detector", "background", "pulses", "rate", "rate_error", "efficiency", "error", "auc")
DIRECTION_COLUMNS = ("estimate", "from_km", "to_km", "events", "angle_deg", "error_deg", "over_bound")
FITS = {"plane wave": plane_fit, "spherical wave": spherical_fit}
BLOCK = 10_000  # traces of one random stream
CURVE = np.geomspace(1e-4, 1, 81)  # rates of the ROC


@dataclass(frozen=True)
class Trigger:
    """What each detector makes of pulses, by the rate of false positives; see TRIGGER_COLUMNS."""

    table: list[dict]
    curves: dict[str, np.ndarray]  # detector -> true positives at CURVE, of pulses of the prior in noise alone


@dataclass(frozen=True)
class Scores:
    """The detectors without a network, and networks, on any traces."""

    modules: Mapping[str, nn.Module]
    whiten: Mapping[str, bool]  # whether a network is shown whitened traces
    noise: Noise
    bank: object
    device: str

    @property
    def names(self) -> list[str]:
        """Of the detectors, in the order of their scores."""
        return [*KNOWN, *self.modules]

    @torch.no_grad()
    def __call__(self, traces: Tensor) -> np.ndarray:
        """Scores (detectors, m) float32 of traces (m, samples), higher for a pulse."""
        found = []
        for some in traces.split(AT_ONCE):
            white = self.noise.whitened(some)
            answers = [
                module((white if self.whiten[name] else some)[:, None].to(self.device)).float().cpu()
                for name, module in self.modules.items()
            ]
            known = threshold_statistic(some), *bank_statistics(some, self.noise, self.bank)
            found.append(torch.stack([*known, *(each[:, 1] - each[:, 0] for each in answers)]))
        return torch.cat(found, dim=1).numpy()


def judge_triggers(modules: Mapping[str, nn.Module], study: ShowerStudy, device: str = "cpu") -> Trigger:
    """Efficiencies of trained networks and of the detectors without one, on the same traces.

    The likelihood ratio is that of Gaussian noise and of the prior of the networks' pulses: with transients it is none.
    """
    judging, settings = study.judging, judged_settings(study, list(modules))
    data, header = settings.data, PROBE.header(settings)
    station, noise = station_of(header), noise_of(station_of(header), data.samples)
    scores = Scores(
        {name: one.eval() for name, one in modules.items()},
        {name: study.networks[name].whiten for name in modules},
        noise,
        make_bank(noise, station, header.simulation),
        device,
    )
    streams = _Streams(study.seed, noise)

    quiet = scores_of_noise(scores, streams, judging.noise_traces)
    backgrounds = {QUIET: quiet}
    left_out = [kind for kind in TRANSIENTS if kind not in data.transients]
    for label, kinds in ((TRAINED, data.transients), (LEFT_OUT, left_out if data.transients else [])):
        if kinds:
            backgrounds[label] = _busy(scores, streams, replace_kinds(data, kinds), station, judging, quiet, label)
    rng = generator(study.seed, "pulses to judge by")
    drawn = {"prior": rng.uniform(*data.snr, 4 * judging.traces)}
    drawn |= {f"{snr:g}": np.full(judging.traces, snr) for snr in judging.snr}
    table, curves = [], {}
    for label, snr in drawn.items():
        pulses, _ = draw_pulses(snr, data, station, rng)
        found = scores(streams.on(pulses, f"pulses of {label}"))
        for background, reference in backgrounds.items():
            table += rows_of(scores.names, found, reference, (background, label), judging.rates)
        if label == "prior":
            curves = {one: _curve(found[i], quiet[i]) for i, one in enumerate(scores.names)}
    return Trigger(table + _passing(scores, streams, data, station, judging, quiet), curves)


def judged_settings(study: ShowerStudy, networks: list[str]) -> TraceSettings:
    """The dataset whose pulses and transients triggers are judged by: of all of theirs the one with most kinds.

    Raises LimelightError for networks whose datasets differ in their pulses.
    """
    datasets = [PROBE.dataset_settings(study, one) for name in networks for one in study.networks[name].data]
    chosen = max(datasets, key=lambda one: len(one.data.transients))
    for one in datasets:
        for key in ("samples", "snr", "slope_mhz", "window"):
            if getattr(one.data, key) != getattr(chosen.data, key):
                found = f"{getattr(one.data, key)} and {getattr(chosen.data, key)}"
                raise problem(f"data: {key}", found, "one of all triggers", "judge them in two studies")
    return chosen


def rows_of(
    names: list[str], found: np.ndarray, reference: np.ndarray, labels: tuple[str, str], rates
) -> Iterator[dict]:
    """Rows of the table, of scores (detectors, m) over those of a background (detectors, n); labels: background, pulses."""
    for i, detector in enumerate(names):
        area = auc(found[i], reference[i][:: max(1, reference.shape[1] // 200_000)])
        for rate in rates:
            share, error = (of(found[i], reference[i], rate) for of in (efficiency, efficiency_error))
            values = (detector, *labels, rate, rate_error(reference.shape[1], rate), share, error, area)
            yield dict(zip(TRIGGER_COLUMNS, values, strict=True))


@dataclass(frozen=True)
class _Streams:
    """Noise from streams of its own, by name and block."""

    seed: int
    noise: Noise

    def draw(self, count: int, what: str, block: int = 0) -> Tensor:
        random = torch.Generator().manual_seed(torch_seed(self.seed, f"noise of {what} to judge by", block))
        return self.noise.draw((count,), random)

    def on(self, clean: np.ndarray, what: str) -> Tensor:
        """Clean traces (m, samples) with noise."""
        return torch.from_numpy(clean).float() + self.draw(len(clean), what)


def scores_of_noise(scores: Callable[[Tensor], np.ndarray], streams: _Streams, count: int) -> np.ndarray:
    """Scores (detectors, count) of noise alone, a block of traces at a time."""
    sizes = [min(BLOCK, count - first) for first in range(0, count, BLOCK)]
    found = (scores(streams.draw(size, "nothing", i)) for i, size in enumerate(sizes))
    blocks = progress(found, "blocks of noise", len(sizes))
    return np.concatenate(list(blocks), axis=1)


def replace_kinds(data: Traces, kinds: list[str]) -> Traces:
    """A dataset with other transients."""
    return data.model_copy(update={"transients": kinds})


def _busy(scores, streams: _Streams, data: Traces, station: dict, judging: Judging, quiet, label: str) -> np.ndarray:
    """Scores of traces without a shower, the dataset's share of which holds a transient: a tenth of the noise's number.

    Ten thousand at least, or as many as there is noise for: transients beyond their share would raise every threshold.
    """
    noise = quiet.shape[1]
    count = min(max(10_000, noise // 10), int(noise / max(1 - data.transient_share, 1e-9)))
    busy = round(data.transient_share * count)
    rng, parts = generator(streams.seed, f"{label} to judge by"), [quiet[:, : count - busy]]
    for i, first in enumerate(range(0, busy, BLOCK)):
        kinds = rng.choice(data.transients, min(BLOCK, busy - first)).tolist()
        clean = torch.from_numpy(draw_transients(kinds, data, station, rng)).float()
        parts.append(scores(clean + streams.draw(len(clean), label, i)))
    return np.concatenate(parts, axis=1)


def _passing(scores: Scores, streams: _Streams, data: Traces, station: dict, judging: Judging, quiet) -> list[dict]:
    """Rows of the table of transients that pass for pulses, by kind, at thresholds set on noise alone."""
    rows = []
    for kind in TRANSIENTS:
        rng = generator(streams.seed, f"{kind} to judge by")
        clean = draw_transients([kind] * judging.traces, data, station, rng)
        rows += rows_of(scores.names, scores(streams.on(clean, kind)), quiet, (QUIET, kind), judging.rates)
    return rows


def _curve(found: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """True positives at CURVE; NaN at rates that so few traces cannot tell."""
    return np.array([1.0 if rate == 1 else efficiency(found, reference, rate) for rate in CURVE])


# Directions


@dataclass(frozen=True)
class Directions:
    """Angles between true and estimated directions; see DIRECTION_COLUMNS."""

    table: list[dict]
    distance_km: np.ndarray  # (m,)
    angles: dict[str, np.ndarray]  # estimate -> (m,) degrees
    bounds: np.ndarray  # (m,)


@torch.no_grad()
def judge_directions(modules: Mapping[str, nn.Module], study: ShowerStudy, device: str = "cpu") -> Directions:
    """Trained networks, plane and spherical waves, and the Cramér-Rao bound with free distance, on the same fresh events."""
    name, clock_ns = shown_alike(study, list(modules))
    settings = PROBE.dataset_settings(study, name)
    few = replace(settings, data=settings.data.model_copy(update={"rows": study.judging.traces}))
    found = PROBE.simulate(few, f"{name} to judge by", 0)
    presentation = PROBE.presentation(study.networks[next(iter(modules))], {"clock_ns": clock_ns}, found.header)
    random = torch.Generator().manual_seed(torch_seed(study.seed, "clocks to judge by"))
    estimates: dict[str, list] = {one: [] for one in (*FITS, *modules)}
    positions = np.array(found.header.geometry["positions_us"])
    for x in progress(torch.from_numpy(found.x).split(200), "events"):
        shown = presentation.observe(x, random)
        times = peak_times(*shown[:, :2].double().numpy().swapaxes(0, 1))
        for one, fit in FITS.items():
            estimates[one].append(fit(times, positions))
        for one, module in modules.items():
            estimates[one].append(module.eval()(shown.to(device)).double().cpu().numpy())
    angles = {one: angle_deg(np.concatenate(parts), found.y["direction"]) for one, parts in estimates.items()}
    least = bound_of(found, found.header, clock_ns)
    edges = distance_edges(*settings.data.array.distance_km)
    table = direction_rows(angles, least, found.y["distance_km"], edges)
    return Directions(table, found.y["distance_km"], angles, least)


def shown_alike(study: ShowerStudy, networks: list[str]) -> tuple[str, float]:
    """The dataset of all these networks, and σ of the clocks. Raises LimelightError where they differ."""
    kinds = {(study.networks[name].data[0], study.networks[name].clock_ns) for name in networks}
    if len(kinds) > 1:
        found = ", ".join(f"{data} with {clock:g} ns" for data, clock in sorted(kinds))
        raise problem("networks", found, "one dataset and one clock_ns for all directions", "judge them in two studies")
    return kinds.pop()


def bound_of(found: Rows, header: Header, clock_ns: float) -> np.ndarray:
    """The Cramér-Rao bound (m,) of events, degrees."""
    positions = np.array(header.geometry["positions_us"])
    return bound(found.y["direction"], found.y["distance_km"] * LIGHT_KM, positions, clock_ns / 1000)


def distance_edges(near: float, far: float) -> tuple[float, ...]:
    """Edges of three steps of distance, km, even in its logarithm; the inner ones to three digits."""
    return near, *(float(f"{edge:.3g}") for edge in np.geomspace(near, far, 4)[1:-1]), far


def direction_rows(
    angles: dict[str, np.ndarray], least: np.ndarray, distance_km: np.ndarray, edges: tuple[float, ...]
) -> list[dict]:
    """Root mean square angles of all events, and of those in steps of distance, with errors by bootstrap."""
    bins = [(float(min(edges)), float(max(edges))), *zip(edges[:-1], edges[1:], strict=True)]
    rows, rng = [], np.random.default_rng(0)
    for name, values in {**angles, "bound": least}.items():
        for low, high in bins:
            inside = (distance_km >= low) & (distance_km <= high)
            if not inside.any():
                continue
            size = inside.sum()
            again = [root_mean_square(values[inside][rng.integers(0, size, size)]) for _ in range(200)]
            rms = root_mean_square(values[inside])
            over = rms / root_mean_square(least[inside])
            row = (name, low, high, int(size), rms, float(np.std(again)), over)
            rows.append(dict(zip(DIRECTION_COLUMNS, row, strict=True)))
    return rows
