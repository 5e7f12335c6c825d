"""What the engine asks of the Gaussian random field. docs/adding_a_probe.md walks through this folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from limelight.data.axes import Axis, OutputAxis
from limelight.data.shard import Header, Rows
from limelight.data.targets import VectorTarget
from limelight.errors import problem
from limelight.evaluation.metrics import Judged, Statistics
from limelight.probe import Probe
from limelight.probes.gaussian_field.config import FieldNetwork, Fields, FieldStudy, FieldTest
from limelight.probes.gaussian_field.fields import PARAMETERS, draw_fields, fisher_bound
from limelight.seeds import generator
from limelight.study.cost import StageCost

if TYPE_CHECKING:  # what computes is loaded by the methods that call it: a config is read without torch
    from limelight.probes.gaussian_field.presentation import FieldPresentation


@dataclass(frozen=True)
class FieldSettings:
    """What decides the shards of a dataset."""

    seed: int
    data: Fields


class GaussianField(Probe):
    """Fields with a power-law spectrum; a network reads its amplitude and slope."""

    name = "gaussian_field"
    study = FieldStudy
    noise_unit = "per pixel"

    def check(self, study: FieldStudy) -> Iterator[str]:
        for name, data in study.data.items():
            for key in PARAMETERS:
                low, high = getattr(data, key)
                if not low < high:
                    yield str(problem(f"data.{name}.{key}", [low, high], "[low, high] with low < high", "swap them"))

    def dataset_settings(self, study: FieldStudy, dataset: str) -> FieldSettings:
        return FieldSettings(study.seed, study.data[dataset])

    def observation_settings(self, study: FieldStudy, entry: FieldNetwork | FieldTest) -> float:
        return entry.noise

    def rows_per_realisation(self, study: FieldStudy, dataset: str) -> int:
        return study.data[dataset].fields

    def stage_costs(self, study: FieldStudy) -> dict[str, StageCost]:
        mb = max(4e-6 * data.fields * data.pixels**2 for data in study.data.values())
        return {"simulate": StageCost(1 + 0.05 * mb, 8 * mb, mb)}

    def header(self, settings: FieldSettings) -> Header:
        n = settings.data.pixels
        side = (Axis("x", "pixel", 0.0, float(n), n), Axis("y", "pixel", 0.0, float(n), n))
        return Header(self.name, side, ("field",), "1", geometry={"pixels": n}, truths={"parameters": list(PARAMETERS)})

    def simulate(self, settings: FieldSettings, dataset: str, realisation: int) -> Rows:
        data, rng = settings.data, generator(settings.seed, f"fields of {dataset}", realisation)
        low, high = np.array([getattr(data, name) for name in PARAMETERS]).T
        theta = rng.uniform(low, high, (data.fields, len(PARAMETERS)))
        return Rows(
            header=self.header(settings),
            x=draw_fields(theta, data.pixels, rng)[:, None],
            y={"parameters": theta},
            theta=theta,
            parameter_names=list(PARAMETERS),
            group=np.full(data.fields, realisation),
            dataset=np.repeat([dataset], data.fields),
            rows={"field": np.arange(data.fields)},
        )

    def fresh_rows(
        self, settings: FieldSettings, dataset: str, realisation: int, part: int, draws: int, paths
    ) -> Iterator[Rows]:
        """One batch: a field of a periodic square is a universe of its own, so `draws` are fields."""
        few = replace(settings, data=settings.data.model_copy(update={"fields": draws}))
        found = self.simulate(few, f"stream {part} of {dataset}", realisation)
        yield replace(found, dataset=np.repeat([dataset], draws))

    def target(self, network: FieldNetwork, header: Header) -> VectorTarget:
        axis = OutputAxis("parameter", names=PARAMETERS)
        return VectorTarget("parameters", axis, shape=(len(PARAMETERS),))

    def presentation(self, network: FieldNetwork, observation: float, header: Header) -> FieldPresentation:
        from limelight.probes.gaussian_field.presentation import FieldPresentation

        return FieldPresentation(self.target(network, header), noise=observation)

    def describe_test(self, settings, presentation: FieldPresentation) -> dict:
        return {"noise": presentation.noise}

    def noise_levels(self, settings, presentation: FieldPresentation) -> list[float]:
        return [0.0, presentation.noise, 2 * presentation.noise] if presentation.noise else [0.0]

    def metrics(self, judged: Judged) -> Statistics:
        """The least error that an unbiased estimate could have, and the network's root mean square error over it."""
        pixels = judged.header.geometry["pixels"]
        bound = np.sqrt(np.mean(fisher_bound(judged.truth, pixels, judged.presentation.noise) ** 2, axis=0))
        error = np.sqrt(np.mean((judged.predicted - judged.truth) ** 2, axis=0))
        return {"bound": bound, "error_over_bound": error / bound}, {}


PROBE = GaussianField()
