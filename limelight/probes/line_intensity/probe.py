"""Line-intensity mapping as a probe: what the engine asks of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from limelight.data.shard import Header, Rows
from limelight.data.targets import Target
from limelight.evaluation.metrics import Judged, Statistics
from limelight.probe import Probe
from limelight.probes.line_intensity import checks, cost, metrics, selection, settings
from limelight.probes.line_intensity.config import LineNetwork, LineStudy, LineTest
from limelight.probes.line_intensity.figures import EACH_NETWORK
from limelight.probes.line_intensity.lines.models import MODELS
from limelight.probes.line_intensity.maps.pooling import TRANSFORMS
from limelight.probes.line_intensity.shards import line_header
from limelight.probes.line_intensity.targets import LuminosityTarget, line_target
from limelight.section import plain
from limelight.study.cost import SimulationCost, StageCost

if TYPE_CHECKING:  # what computes is loaded by the methods that call it: a config is read without torch
    from limelight.evaluation.audit import Intervention, Question
    from limelight.probes.line_intensity.presentation import LinePresentation
    from limelight.probes.line_intensity.simulator import LineSimulator
    from limelight.saliency.shares import PixelClasses
    from limelight.study.settings import IntervalsSettings, PosteriorSettings


class LineIntensity(Probe):
    """CO (or another line) from halos to maps, and the luminosity function that a network reads off them."""

    name = "line_intensity"
    study = LineStudy
    figures_of_each_network = EACH_NETWORK
    headline = "error_bands"
    noise_unit = "µK per fine voxel"
    answered_by = "predict.py"
    wanted = metrics.WANTED

    # The config

    def check(self, study: LineStudy) -> Iterator[str]:
        return checks.check(study)

    def cannot_take(self, study: LineStudy, network: str, test: str) -> str:
        return selection.cannot_take(study, network, test)

    def knows_observation(self, network: LineNetwork, test: LineTest) -> bool:
        return test.noise in network.noise and test.filter == network.filter

    def dataset_settings(self, study: LineStudy, dataset: str) -> settings.ShardSettings:
        return settings.shard_settings(study, dataset)

    def observation_settings(self, study: LineStudy, entry: LineNetwork | LineTest) -> settings.LineObservation:
        return settings.observation_settings(study, entry)

    def dataset_code(self, study: LineStudy, dataset: str) -> tuple[str, ...]:
        """The line model's; a user's own function is hashed with the settings."""
        model = study.line_models[dataset].model
        return () if ":" in model else (MODELS.dotted(model),)

    def simulation_files(self, study: LineStudy, results: str) -> list[str]:
        """The subfields of the training light-cones."""
        return [f"{results}/subfields/{cone}.h5" for cone in study.lightcones.train]

    def stream_files(self, study: LineStudy, results: str, realisation: int) -> list[str]:
        """The subfields of the light-cone."""
        return [f"{results}/subfields/{realisation}.h5"]

    # What it costs

    def rows_per_realisation(self, study: LineStudy, dataset: str) -> int:
        return cost.maps_per_lightcone(study, dataset)

    def stage_costs(self, study: LineStudy) -> dict[str, StageCost]:
        return cost.stage_costs(study)

    def simulation_cost(self, study: LineStudy, posterior: str) -> SimulationCost:
        return cost.simulation_cost(study, posterior)

    def fields_per_realisation(self, study: LineStudy, dataset: str) -> int:
        return cost.fields_per_lightcone(study)

    def fresh_cost(self, study: LineStudy, dataset: str) -> SimulationCost:
        return cost.fresh_cost(study)

    def audit_questions(self, study: LineStudy) -> tuple[int, int]:
        """The noise sweep; each dimming, and each bin that sources are added to."""
        return len(study.audit.noise_sigma_uk), study.labels.bins + len(study.audit.dim_bins)

    # Data and training

    def header(self, dataset_settings: settings.ShardSettings) -> Header:
        maps = dataset_settings.maps
        beam = dataset_settings.beam_fwhm_arcmin
        return line_header(dataset_settings.grid, beam, plain(maps.labels), plain(maps.cosmology))

    def simulate(self, dataset_settings: settings.ShardSettings, dataset: str, realisation: int) -> Rows:
        """In memory; the workflow's rules do the same by files."""
        from limelight.probes.line_intensity.simulate import simulate_maps

        return simulate_maps(dataset_settings, realisation)

    def made_from(self, dataset_settings: settings.ShardSettings) -> dict:
        maps = dataset_settings.maps
        return {"line_model": {"name": maps.name, **plain(maps.dataset)}}

    def target(self, network: LineNetwork, header: Header) -> Target:
        asked = network.target
        return line_target(asked.quantity, asked.transform, tuple(network.line_models), header)

    def input_shape(self, network: LineNetwork, header: Header) -> tuple[int, ...]:
        """The map, and what else the network sees of each voxel."""
        return (1 + len(network.preprocessing.inputs or ()), *header.shape[1:])

    def posterior_target(self, network: LineNetwork, header: Header) -> Target:
        """The counts of all bins, whatever the network itself answers."""
        return line_target("dn", "log10_1p", (), header)

    def presentation(
        self, network: LineNetwork, observation: settings.LineObservation, header: Header
    ) -> LinePresentation:
        from limelight.probes.line_intensity.presentation import line_presentation

        return line_presentation(network, observation, header, self.target(network, header))

    # Judging

    def metrics(self, judged: Judged) -> Statistics:
        return metrics.line_metrics(judged)

    def in_words(self, totals: Mapping[str, float]) -> str:
        return metrics.in_words(totals) if "mse_dex" in totals else ""

    def in_columns(self, totals: Mapping[str, float], settings: Mapping) -> dict[str, str]:
        return metrics.in_columns(totals, settings) if "mse_dex" in totals else {}

    def describe_test(self, evaluation_settings, presentation: LinePresentation) -> dict:
        """The line model and its parameters, the noise and its σ in µK per fine voxel, foregrounds, the filter."""
        observation, maps = evaluation_settings.observation, evaluation_settings.dataset.maps
        (noise,) = observation.noise.values()
        low, high = presentation.noise[0]
        sources = observation.foregrounds
        return {
            "line_model": {"name": maps.name, **plain(maps.dataset)},
            "noise": plain(noise),
            "noise_sigma_uk": low if low == high else [low, high],
            "foregrounds": {"name": "radio sources", **plain(sources)} if sources else "none",
            **({"filter": plain(observation.filter)} if observation.filter else {}),
        }

    def pictures(self, found: Rows, recorded: np.ndarray, presentation: LinePresentation) -> dict[str, np.ndarray]:
        """Of the first maps: a fine channel, the pooled channel that holds it, and the same with the test's noise."""
        shown, middle = len(recorded), presentation.grid.channels // 2 // presentation.grid.pool_channels
        return {
            "raw": found.examples["fine"],
            "pooled": found.x[:shown, 0, :, :, middle],
            "noisy": recorded[:, 0, :, :, middle],
        }

    def interventions(
        self, audit_settings, presentation: LinePresentation
    ) -> dict[str, Callable[[Question], Intervention]]:
        from limelight.probes.line_intensity.audit import line_interventions

        return line_interventions()

    def invariances(
        self, audit_settings, presentation: LinePresentation
    ) -> dict[str, Callable[[Question], np.ndarray]]:
        from limelight.probes.line_intensity.audit import line_invariances

        return line_invariances(presentation)

    def noise_levels(self, audit_settings, presentation: LinePresentation) -> list[float]:
        """Those of the config; a network that cannot read negative values sees none."""
        readable = TRANSFORMS[presentation.preprocessing.transform].negative
        return [sigma for sigma in audit_settings.options.noise_sigma_uk if sigma == 0 or readable]

    def mean_truth(self, target: LuminosityTarget, y: Mapping[str, np.ndarray]) -> np.ndarray:
        """Sources per bin, or above the bin's lower edge for n_above."""
        return target.exactly(y, "n_above" if target.quantity == "n_above" else "dn").mean(axis=0)

    # Saliency

    def pixel_class_files(self, study: LineStudy, results: str, dataset: str) -> list[str]:
        """The subfields of the test light-cones, which the maps of every dataset are painted on."""
        return [f"{results}/subfields/{cone}.h5" for cone in study.lightcones.test]

    def pixel_classes(
        self, dataset_settings: settings.ShardSettings, found: Rows, paths: Sequence[str | Path]
    ) -> dict[str, PixelClasses]:
        from limelight.probes.line_intensity.bands import light_bands

        return light_bands(dataset_settings, found, paths) if paths else {}

    # Inference by simulation, from subfields of the training light-cones

    def fresh_rows(
        self,
        dataset_settings: settings.ShardSettings,
        dataset: str,
        realisation: int,
        part: int,
        draws: int,
        paths: Sequence[str | Path],
    ) -> Iterator[Rows]:
        from limelight.probes.line_intensity.simulations import fresh_rows

        return fresh_rows(dataset_settings, realisation, part, draws, paths)

    def fisher_rows(
        self, posterior_settings: PosteriorSettings, paths: Sequence[str | Path]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        from limelight.probes.line_intensity.simulator import fisher_rows

        return fisher_rows(posterior_settings, paths)

    def complete_from(
        self, dataset_settings: settings.ShardSettings, theta: np.ndarray, parameter_names: list[str]
    ) -> np.ndarray | None:
        """log10 L / Lsun that the catalogue's lightest halos stay below; unknown of halos that the study did not make."""
        from limelight.probes.line_intensity.lines.completeness import complete_from_rows

        return complete_from_rows(dataset_settings.maps, theta, parameter_names)

    def simulator(self, intervals_settings: IntervalsSettings, paths: Sequence[str | Path]) -> LineSimulator:
        from limelight.probes.line_intensity.simulator import LineSimulator

        return LineSimulator(intervals_settings, paths)


PROBE = LineIntensity()
