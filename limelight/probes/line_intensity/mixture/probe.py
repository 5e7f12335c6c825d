"""What the engine asks of several lines in one cube."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from limelight.data.axes import OutputAxis
from limelight.data.shard import Header, Rows
from limelight.data.targets import Array, FieldTarget, Target
from limelight.evaluation.metrics import Judged, Statistics
from limelight.probe import Probe
from limelight.probes.line_intensity.labels import log10_lum_edges
from limelight.probes.line_intensity.lines.models import MODELS
from limelight.probes.line_intensity.mixture.checks import mixture_faults
from limelight.probes.line_intensity.mixture.config import (
    MixtureNetwork,
    MixtureStudy,
    MixtureTest,
    noise_range,
)
from limelight.probes.line_intensity.mixture.simulate import CubeSettings, cubes_header, simulate_cubes
from limelight.probes.line_intensity.settings import own_code
from limelight.probes.line_intensity.targets import LuminosityTarget
from limelight.study.cost import StageCost
from limelight.summaries.power import power_bins
from limelight.summaries.scales import Scales

if TYPE_CHECKING:  # what computes is loaded by the methods that call it: a config is read without torch
    from limelight.evaluation.estimates import Estimator
    from limelight.probes.line_intensity.mixture.presentation import MixturePresentation

K_MIN, SHELLS = 0.05, 8  # 1/Mpc; shells to the Nyquist wave number of the longest side of a voxel


@dataclass(frozen=True)
class LineCounts(LuminosityTarget):
    """log10(1 + N) in the luminosity bins of one of several lines."""

    line: str = ""

    def exactly(self, y: Mapping[str, Array], name: str) -> Array:
        return super().exactly({"n_above": y[f"n_above_{self.line}"], "volume_mpc3": y[f"volume_{self.line}"]}, name)

    def _one(self, like: Array, y: Mapping[str, Array]) -> float:
        return 1.0


class LineMixture(Probe):
    """Several lines in one cube: a network reads one line's luminosity function, or the cube of each by itself."""

    name = "line_mixture"
    study = MixtureStudy
    noise_unit = "µK per voxel"

    def check(self, study: MixtureStudy) -> Iterator[str]:
        return mixture_faults(study)

    def knows_observation(self, network: MixtureNetwork, test: MixtureTest) -> bool:
        low, high = noise_range(network.noise_uk)
        told = noise_range(test.noise_uk)
        return (
            low <= told[0]
            and told[1] <= high
            and (network.lines, network.continuum_uk)
            == (
                test.lines,
                test.continuum_uk,
            )
        )

    def dataset_settings(self, study: MixtureStudy, dataset: str) -> CubeSettings:
        data = study.data[dataset]
        codes = {line: own_code(one.model) for line, one in data.lines.items() if one.model and ":" in one.model}
        return CubeSettings(study.seed, data, {line: code for line, code in codes.items() if code} or None)

    def dataset_code(self, study: MixtureStudy, dataset: str) -> tuple[str, ...]:
        models = [one.model for one in study.data[dataset].lines.values() if one.model]
        return tuple(dict.fromkeys(MODELS.dotted(model) for model in models if ":" not in model))

    def observation_settings(self, study: MixtureStudy, entry: MixtureNetwork | MixtureTest) -> dict:
        return {
            "noise_uk": list(noise_range(entry.noise_uk)),
            "lines": entry.lines,
            "continuum_uk": entry.continuum_uk,
        }

    def rows_per_realisation(self, study: MixtureStudy, dataset: str) -> int:
        return study.data[dataset].rows

    def stage_costs(self, study: MixtureStudy) -> dict[str, StageCost]:
        """Measured on one core: 5 s a light-cone and more with its size, 0.1 s to paint a million halos."""
        cones = max(
            len(data.sources) * (4 + 0.3 * (data.size_deg * data.per_side) ** 2) for data in study.data.values()
        )
        mb = max(row_mb(data) * data.rows for data in study.data.values())
        tests = len(study.splits["test"])
        return {
            "simulate": StageCost(10 + 2 * cones, 1500 + 5 * mb, mb),
            "estimates": StageCost(30 + 4 * cones, 1500 + 5 * mb * tests, 5.0),
        }

    # Data

    def header(self, settings: CubeSettings) -> Header:
        return cubes_header(settings)

    def simulate(self, settings: CubeSettings, dataset: str, realisation: int) -> Rows:
        return simulate_cubes(settings, dataset, realisation)

    # Training

    def target(self, network: MixtureNetwork, header: Header) -> Target:
        asked = network.target
        if asked.quantity == "images":
            names = tuple(asked.lines)
            return FieldTarget(names, OutputAxis("line", channels=names), (len(names), *header.shape[1:]))
        (line,) = asked.lines
        edges = tuple(log10_lum_edges(header.truths["labels"][line]).tolist())
        return LineCounts("dn", "log10_1p", edges, line=line)

    def input_shape(self, network: MixtureNetwork, header: Header) -> tuple[int, ...]:
        sees = network.sees or list(header.geometry["maps"])
        maps = sum(name in header.geometry["maps"] for name in sees)
        return (maps * len(network.transforms) + len(sees) - maps, *header.shape[1:])

    def presentation(self, network: MixtureNetwork, observation: dict, header: Header) -> MixturePresentation:
        from limelight.probes.line_intensity.mixture.presentation import MixturePresentation

        return MixturePresentation(
            self.target(network, header),
            **_observing(observation, header, network.sees),
            transforms=tuple(network.transforms),
            scale_uk=network.scale_uk,
            exchange=network.exchange,
        )

    # Judging

    def recorder(self, observation: dict, header: Header) -> MixturePresentation:
        from limelight.probes.line_intensity.mixture.presentation import MixturePresentation

        return MixturePresentation(FieldTarget((), OutputAxis("map"), ()), **_observing(observation, header, None))

    def estimators(self, test: MixtureTest, observation: dict, header: Header) -> dict[str, Estimator]:
        from limelight.probes.line_intensity.mixture.estimators import estimators

        recorder = self.recorder(observation, header)
        return estimators(test.estimators, test.pca_modes, test.spectra_cones, recorder, header)

    def scales(self, header: Header) -> Scales:
        """Shells of |k| where the first line's light comes from."""
        sides = tuple(header.geometry["voxel_mpc"])
        edges = np.geomspace(K_MIN, np.pi / max(sides), SHELLS + 1)
        waves = power_bins(header.shape[1:], sides, edges).modes.cumsum()
        edges = edges[np.append(True, np.diff(waves, prepend=0) > 0)]  # a small cube has no long waves
        bins = power_bins(header.shape[1:], sides, edges)
        return Scales(OutputAxis("wave number", "1/Mpc", edges=tuple(edges.tolist())), bins)

    def image_rows(
        self, names: tuple[str, ...], answers: np.ndarray, x: np.ndarray, header: Header
    ) -> dict[str, np.ndarray]:
        """Peaks and voxel distributions, see mixture.judge."""
        from limelight.probes.line_intensity.mixture.judge import judged_rows

        return judged_rows(answers, x[:, [header.channels.index(name) for name in names]])

    def metrics(self, judged: Judged) -> Statistics:
        if judged.images is None:
            return {}, {}
        from limelight.probes.line_intensity.mixture.judge import peak_totals

        return {}, peak_totals(judged.images.more, judged.target.names)

    def describe_test(self, settings, presentation: MixturePresentation) -> dict:
        observation = settings.observation
        return {**observation, "lines": observation["lines"] or list(presentation.lines)}

    def noise_levels(self, settings, presentation: MixturePresentation) -> list[float]:
        level = presentation.noise_uk[1]
        return [0.0, level, 2 * level] if level else [0.0]


def _observing(observation: dict, header: Header, sees: list[str] | None) -> dict:
    """What the presentations of networks and estimators have in common."""
    from limelight.probes.line_intensity.mixture.presentation import by_source, things_seen

    low, high = observation["noise_uk"]
    return {
        "sees": things_seen(header.geometry, header.channels, sees, observation["lines"]),
        "lines": tuple(header.geometry["lines"]),
        "sources": by_source(header.geometry, header.channels),
        "noise_uk": (low, high),
        "continuum_uk": observation["continuum_uk"],
    }


def row_mb(data) -> float:
    """Size of a row in a shard, MB."""
    channels = len(data.lines) * (2 if data.images else 1) + len(data.catalogues)
    return channels * data.pixels**2 * data.channels / data.cuts * 4e-6


PROBE = LineMixture()
