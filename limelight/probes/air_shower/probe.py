"""What the engine asks of air showers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from limelight.data.axes import Axis, OutputAxis
from limelight.data.shard import Header, Rows
from limelight.data.targets import ClassTarget, VectorTarget
from limelight.errors import problem
from limelight.evaluation.metrics import Judged, Statistics
from limelight.probe import Probe
from limelight.probes.air_shower.arrays import LIGHT_KM, angle_deg, bound, layout
from limelight.probes.air_shower.config import ShowerNetwork, ShowerStudy, ShowerTest, Station, Traces
from limelight.section import plain
from limelight.seeds import generator
from limelight.study.cost import StageCost

if TYPE_CHECKING:  # what computes is loaded by the methods that call it: a config is read without torch
    from limelight.probes.air_shower.presentation import ArrayPresentation, TracePresentation

KINDS = ("noise", "shower")
LIMITS = ("snr", "slope_mhz", "window", "transient_peak")


@dataclass(frozen=True)
class TraceSettings:
    """What decides the shards of a dataset."""

    seed: int
    data: Traces
    station: Station


class AirShower(Probe):
    """Traces of radio antennas: a network tells showers from noise, or whence they came."""

    name = "air_shower"
    study = ShowerStudy
    noise_unit = "times the noise's rms"

    def check(self, study: ShowerStudy) -> Iterator[str]:
        low, high = study.station.band_mhz
        if not 0 < low < high < study.station.sampling_mhz / 2:
            expected = f"0 < low < high < {study.station.sampling_mhz / 2:g}, half the samples per microsecond"
            yield str(problem("station.band_mhz", [low, high], expected, "change it"))
        for name, data in study.data.items():
            yield from _faults_of_limits(f"data.{name}", data)
        for name, network in study.networks.items():
            wanted = network.target.answer == "direction"
            arrays = [study.data[one].array is not None for one in network.data if one in study.data]
            if arrays and wanted != arrays[0]:
                expected = "direction of data with an array, kind of data without"
                yield str(problem(f"networks.{name}.target.answer", network.target.answer, expected, "change it"))
            if wanted and network.target.standardise:
                expected = "false: a direction is a unit vector"
                yield str(problem(f"networks.{name}.target.standardise", "true", expected, "set it"))

    def knows_observation(self, network: ShowerNetwork, test: ShowerTest) -> bool:
        return network.clock_ns == test.clock_ns

    def dataset_settings(self, study: ShowerStudy, dataset: str) -> TraceSettings:
        return TraceSettings(study.seed, study.data[dataset], study.station)

    def observation_settings(self, study: ShowerStudy, entry: ShowerNetwork | ShowerTest) -> dict:
        return {"clock_ns": entry.clock_ns}

    def rows_per_realisation(self, study: ShowerStudy, dataset: str) -> int:
        return study.data[dataset].rows

    def stage_costs(self, study: ShowerStudy) -> dict[str, StageCost]:
        """Measured on one core: 3 µs a sample of an event, with its antennas' times."""
        mb = max(4e-6 * data.rows * data.samples * _channels_and_antennas(data) for data in study.data.values())
        judged = study.judging.noise_traces + study.judging.traces * (len(study.judging.snr) + 8)
        return {
            "simulate": StageCost(2 + 0.2 * mb, 12 * mb, mb),
            "beside": StageCost(30 + 1e-3 * judged, 1500, 1),
        }

    # Data

    def header(self, settings: TraceSettings) -> Header:
        data, station = settings.data, plain(settings.station)
        length = data.samples / settings.station.sampling_mhz
        time = Axis("time", "us", 0.0, length, data.samples)
        geometry = {"samples": data.samples, **station}
        if data.array is None:
            return Header(self.name, (time,), ("voltage",), "rms", geometry, {"shower": list(KINDS)}, _prior(data))
        array = data.array
        rng = generator(settings.seed, "layout of the array", array.side)
        geometry["positions_us"] = layout(array.side, array.size_km, array.relief_m, rng).tolist()
        antennas = Axis("antenna", "", 0.0, float(array.side**2), array.side**2)
        truths = {"direction": ["east", "north", "up"]}
        return Header(self.name, (antennas, time), ("voltage", "time in us"), "rms", geometry, truths, _prior(data))

    def simulate(self, settings: TraceSettings, dataset: str, realisation: int) -> Rows:
        from limelight.probes.air_shower.simulations import simulate_events, simulate_traces

        data, rng = settings.data, generator(settings.seed, f"showers of {dataset}", realisation)
        header, station = self.header(settings), plain(settings.station)
        if data.array is None:
            x, y = simulate_traces(data, station, rng)
            names = ["snr", "slope_mhz", "arrival"]
        else:
            x, y = simulate_events(data, station, np.array(header.geometry["positions_us"]), rng)
            names = ["snr", "slope_mhz", "distance_km"]
        return Rows(
            header=header,
            x=x,
            y=y,
            theta=np.column_stack([y[name] for name in names]),
            parameter_names=names,
            group=np.full(data.rows, realisation),
            dataset=np.repeat([dataset], data.rows),
            rows={"trace": np.arange(data.rows)},
        )

    # Training

    def target(self, network: ShowerNetwork, header: Header) -> ClassTarget | VectorTarget:
        if network.target.answer == "kind":
            return ClassTarget(KINDS, label="kind", truth_name="shower")
        return VectorTarget("direction", OutputAxis("direction", names=("east", "north", "up")), (3,))

    def input_shape(self, network: ShowerNetwork, header: Header) -> tuple[int, ...]:
        return header.shape if network.target.answer == "kind" else (5, *header.shape[1:])

    def presentation(
        self, network: ShowerNetwork, observation: dict, header: Header
    ) -> TracePresentation | ArrayPresentation:
        import torch

        from limelight.probes.air_shower.noise import noise_of
        from limelight.probes.air_shower.presentation import ArrayPresentation, TracePresentation

        target, noise = self.target(network, header), noise_of(station_of(header), header.geometry["samples"])
        if network.target.answer == "kind":
            lift, over = network.curriculum.lift, network.curriculum.over
            return TracePresentation(target, noise=noise, first_lift=lift, over=over, whiten=network.whiten)
        positions = torch.tensor(header.geometry["positions_us"], dtype=torch.float32)
        clock = observation["clock_ns"] / 1000
        return ArrayPresentation(target, noise=noise, clock_us=clock, positions=positions)

    # Judging

    def describe_test(self, settings, presentation: TracePresentation | ArrayPresentation) -> dict:
        from limelight.probes.air_shower.presentation import TracePresentation

        if isinstance(presentation, TracePresentation):
            return {}
        return {"clock_ns": 1000 * presentation.clock_us}

    def noise_levels(self, settings, presentation: TracePresentation | ArrayPresentation) -> list[float]:
        return [0.0, 1.0, 2.0]

    def metrics(self, judged: Judged) -> Statistics:
        """Of directions: the root mean square of the angle between answer and truth, beside the Cramér-Rao bound."""
        if judged.target.classes:
            return {}, {}
        positions = np.array(judged.header.geometry["positions_us"])
        angle = angle_deg(judged.predicted, judged.truth)
        sigma = judged.presentation.clock_us
        if sigma == 0:
            return {}, {"angle_deg": root_mean_square(angle)}
        least = bound(judged.truth, judged.y["distance_km"] * LIGHT_KM, positions, sigma)
        pair = root_mean_square(angle), root_mean_square(least)
        return {}, {"angle_deg": pair[0], "bound_deg": pair[1], "angle_over_bound": pair[0] / pair[1]}

    def in_words(self, totals) -> str:
        if "angle_over_bound" not in totals:
            return ""
        return f"{totals['angle_deg']:.3g}° rms, {totals['angle_over_bound']:.3g} times the Cramér-Rao bound"


def station_of(header: Header) -> dict:
    """The station that a header's data are of, as `noise` and `pulses` take it."""
    return {name: header.geometry[name] for name in Station.model_fields}


def root_mean_square(values: np.ndarray) -> float:
    """Of values (m,)."""
    return float(np.sqrt(np.mean(np.square(values))))


def _prior(data: Traces) -> dict:
    """What the likelihood ratio integrates over, and what transients there are."""
    found = {"samples": data.samples} | {name: list(getattr(data, name)) for name in LIMITS}
    return {**found, "transients": list(data.transients)}


def _channels_and_antennas(data: Traces) -> int:
    return 1 if data.array is None else 2 * data.array.side**2


def _faults_of_limits(where: str, data: Traces) -> Iterator[str]:
    limits = {f"{where}.{name}": getattr(data, name) for name in LIMITS}
    if data.array is not None:
        limits |= {f"{where}.array.{name}": getattr(data.array, name) for name in ("distance_km", "zenith_deg")}
    for key, (low, high) in limits.items():
        most = {"window": 1.0, "zenith_deg": 90.0}.get(key.rpartition(".")[2], np.inf)
        if not (0 <= low < high <= most and (low > 0 or key.endswith(("window", "zenith_deg")))):
            expected = f"[low, high] with 0 < low < high{f' ≤ {most:g}' if np.isfinite(most) else ''}"
            yield str(problem(key, [low, high], expected, "change it"))


PROBE = AirShower()
