"""What the engine asks of galaxy fields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from limelight.data.axes import Axis, OutputAxis
from limelight.data.shard import Header, Rows
from limelight.data.targets import FieldTarget, VectorTarget
from limelight.errors import problem
from limelight.evaluation.metrics import Judged, Statistics
from limelight.probe import Probe
from limelight.probes.galaxy_field.config import GalaxyField, GalaxyNetwork, GalaxyStudy, GalaxyTest
from limelight.probes.galaxy_field.fields import CELL, HISTOGRAM_STEPS, SUMS, cells_of, paint
from limelight.probes.galaxy_field.simulations import (
    GalaxySimulator,
    draw_catalogue,
    fisher_fields,
    free,
    limits,
    most_galaxies,
    perfect_fisher,
)
from limelight.seeds import generator
from limelight.study.cost import SimulationCost, StageCost
from limelight.summaries.scales import Scales, scales_of

if TYPE_CHECKING:  # what computes is loaded by the methods that call it: a config is read without torch
    from limelight.probes.galaxy_field.presentation import GalaxyPresentation
    from limelight.study.settings import IntervalsSettings, PosteriorSettings


@dataclass(frozen=True)
class FieldSettings:
    """What decides the shards of a dataset."""

    seed: int
    data: GalaxyField


class GalaxyFields(Probe):
    """Images of galaxy fields; a network reads ln φ*, ln L* and, where it is free, α of their Schechter function."""

    name = "galaxy_field"
    study = GalaxyStudy
    noise_unit = "of flux per pixel"

    def check(self, study: GalaxyStudy) -> Iterator[str]:
        for name, data in study.data.items():
            ordered = True
            for key, (low, high) in zip(free(data), limits(data).tolist(), strict=True):
                if not low < high:
                    ordered = False
                    yield str(problem(f"data.{name}.{key}", [low, high], "[low, high] with low < high", "swap them"))
            if not -2 < np.min(data.alpha) <= np.max(data.alpha) <= 2:
                yield str(problem(f"data.{name}.alpha", data.alpha, "above -2 and up to 2", "change it"))
                ordered = False
            if ordered and most_galaxies(data) > 1e5:
                found = f"up to {most_galaxies(data):.2g} galaxies in a field"
                yield str(problem(f"data.{name}", found, "at most 100000", "raise l_min, or lower ln_phi_star"))
        for name, network in study.networks.items():
            if network.noise == 0:
                yield str(problem(f"networks.{name}.noise", 0, "above 0: it is the scale of arcsinh", "give some"))
            if network.answers == "cells" and network.inputs == "histogram":
                expected = "parameters: a histogram has no places"
                yield str(problem(f"networks.{name}.answers", "cells of a histogram", expected, "show it images"))

    def cannot_take(self, study: GalaxyStudy, network: str, test: str) -> str:
        """What there is in a cell is what is brighter than the dataset's own limit."""
        entry = study.networks[network]
        ours, theirs = (study.data[one].l_min for one in (entry.data[0], study.tests[test].data))
        if entry.answers == "parameters" or ours == theirs:
            return ""
        return f"whose cells hold galaxies above {theirs:g}, where the network counts those above {ours:g}"

    def knows_observation(self, network: GalaxyNetwork, test: GalaxyTest) -> bool:
        return network.noise == test.noise

    def dataset_settings(self, study: GalaxyStudy, dataset: str) -> FieldSettings:
        return FieldSettings(study.seed, study.data[dataset])

    def observation_settings(self, study: GalaxyStudy, entry: GalaxyNetwork | GalaxyTest) -> float:
        return entry.noise

    def rows_per_realisation(self, study: GalaxyStudy, dataset: str) -> int:
        return study.data[dataset].fields

    def stage_costs(self, study: GalaxyStudy) -> dict[str, StageCost]:
        mb = max(
            4e-6 * data.fields * (data.bands + len(SUMS) / CELL**2) * data.pixels**2 for data in study.data.values()
        )
        seconds = max(data.fields * field_s(data) for data in study.data.values())
        return {"simulate": StageCost(5 + seconds, 8 * mb, mb)}

    def fresh_cost(self, study: GalaxyStudy, dataset: str) -> SimulationCost:
        return SimulationCost(each_row_s=field_s(study.data[dataset]))

    def simulation_cost(self, study: GalaxyStudy, posterior: str) -> SimulationCost:
        entry = study.posteriors[posterior]
        if entry.kind != "imnn":
            return SimulationCost()
        data = study.data[study.networks[entry.network].data[0]]
        fields = entry.imnn.simulations + 2 * len(free(data)) * entry.imnn.derivatives
        each_row_s = 40 * entry.smc.particles * field_s(data) if entry.abc == "smc" else 0.0
        mb = 4e-6 * data.bands * data.pixels**2
        return SimulationCost(fields * field_s(data), 1.0, each_row_s, 3 * mb * fields)

    # Data

    def header(self, settings: FieldSettings) -> Header:
        data = settings.data
        sides = tuple(Axis(name, "pixel", 0.0, float(data.pixels), data.pixels) for name in ("x", "y"))
        geometry = {"pixels": data.pixels, "bands": data.bands, "psf_sigma": data.psf_sigma}
        channels = tuple(f"band {i + 1}" for i in range(data.bands))
        truths = {"parameters": list(free(data)), "cells": list(SUMS)}
        simulation = {key: getattr(data, key) for key in ("ln_phi_star", "ln_l_star", "alpha", "l_min")}
        return Header(self.name, sides, channels, "flux", geometry, truths, simulation)

    def simulate(self, settings: FieldSettings, dataset: str, realisation: int) -> Rows:
        rng = generator(settings.seed, f"fields of {dataset}", realisation)
        return self._rows(settings, dataset, realisation, settings.data.fields, rng)

    def _rows(
        self, settings: FieldSettings, dataset: str, realisation: int, count: int, rng: np.random.Generator
    ) -> Rows:
        data = settings.data
        theta, images, cells = rng.uniform(*limits(data).T, (count, len(free(data)))), [], []
        for one in theta:
            light, places, colours = draw_catalogue(one, data, rng)
            images.append(paint(light, places, colours, data.pixels, data.psf_sigma))
            cells.append(cells_of(light, places, data.pixels, data.l_min))
        return Rows(
            header=self.header(settings),
            x=np.array(images),
            y={"parameters": theta, "cells": np.array(cells)},
            theta=theta,
            parameter_names=list(free(data)),
            group=np.full(count, realisation),
            dataset=np.repeat([dataset], count),
            rows={"field": np.arange(count)},
        )

    def fresh_rows(
        self, settings: FieldSettings, dataset: str, realisation: int, part: int, draws: int, paths
    ) -> Iterator[Rows]:
        """One batch of `draws` fields."""
        rng = generator(settings.seed, f"fields {part} of {dataset}", realisation)
        yield self._rows(settings, dataset, realisation, draws, rng)

    # Training

    def target(self, network: GalaxyNetwork, header: Header) -> VectorTarget | FieldTarget:
        if network is None or network.answers == "parameters":
            return self.posterior_target(network, header)
        side = header.geometry["pixels"] // CELL
        return FieldTarget(("cells",), OutputAxis("cell", channels=SUMS), (len(SUMS), side, side))

    def posterior_target(self, network: GalaxyNetwork, header: Header) -> VectorTarget:
        names = tuple(header.truths["parameters"])
        return VectorTarget("parameters", OutputAxis("parameter", names=names), shape=(len(names),))

    def input_shape(self, network: GalaxyNetwork, header: Header) -> tuple[int, ...]:
        return (header.shape[0], HISTOGRAM_STEPS) if network.inputs == "histogram" else header.shape

    def presentation(self, network: GalaxyNetwork, observation: float, header: Header) -> GalaxyPresentation:
        from limelight.probes.galaxy_field.presentation import GalaxyPresentation

        target, histogram = self.target(network, header), network.inputs == "histogram"
        return GalaxyPresentation(target, noise=observation, scale=network.noise, histogram=histogram)

    # Judging

    def scales(self, header: Header) -> Scales:
        sides = [Axis(axis.name, axis.unit, axis.low, axis.high, axis.n // CELL) for axis in header.axes]
        return scales_of(tuple(sides))

    def limits(self, header: Header) -> np.ndarray:
        return limits(GalaxyField.model_validate(header.simulation))

    def describe_test(self, settings, presentation: GalaxyPresentation) -> dict:
        return {"noise": presentation.noise}

    def noise_levels(self, settings, presentation: GalaxyPresentation) -> list[float]:
        return [0.0, presentation.noise, 2 * presentation.noise] if presentation.noise else [0.0]

    def metrics(self, judged: Judged) -> Statistics:
        """The least error from a perfect catalogue of each field, and the network's root mean square error over it.

        Of a network that answers the parameters.
        """
        if judged.images is not None:
            return {}, {}
        data = GalaxyField.model_validate(judged.header.simulation)
        variance = [np.diag(np.linalg.inv(perfect_fisher(theta, data))) for theta in judged.truth]
        bound = np.sqrt(np.mean(variance, axis=0))
        error = np.sqrt(np.mean((judged.predicted - judged.truth) ** 2, axis=0))
        return {"bound": bound, "error_over_bound": error / bound}, {}

    # Inference by simulation: nothing is read for it

    def fisher_rows(self, settings: PosteriorSettings, paths) -> tuple[np.ndarray, ...]:
        return fisher_fields(_data(settings), settings.entry.imnn, settings.network.seed)

    def most_information(self, settings: PosteriorSettings) -> np.ndarray:
        data = _data(settings)
        return perfect_fisher(limits(data).mean(axis=1), data)

    def simulator(self, settings: IntervalsSettings, paths) -> GalaxySimulator:
        return GalaxySimulator(_data(settings.posterior))


def field_s(data: GalaxyField) -> float:
    """Seconds that one field takes: 0.7 ms for 800 galaxies in the richest one, on one core."""
    return 5e-4 + 1e-6 * most_galaxies(data)


def _data(settings: PosteriorSettings) -> GalaxyField:
    """Of a posterior's network: its first dataset."""
    return next(iter(settings.network.datasets.values())).data


PROBE = GalaxyFields()
