"""What the engine asks of strong lenses."""

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
from limelight.inference.intervals import evenly
from limelight.probe import Probe
from limelight.probes.strong_lens.config import Camera, Galaxies, LensNetwork, LensStudy, LensTest
from limelight.probes.strong_lens.images import ANSWERED, BANDS, PARAMETERS, sky_sigma
from limelight.probes.strong_lens.simulations import limits, simulate_images
from limelight.section import plain
from limelight.seeds import generator
from limelight.study.cost import StageCost

if TYPE_CHECKING:  # what computes is loaded by the methods that call it: a config is read without torch
    from limelight.probes.strong_lens.presentation import LensPresentation

CLASSES = ("galaxy", "lens")
MOST_BOUNDS = 200  # rows of a test whose bound is worked out: each takes 39 images
ABOVE_ZERO = ("theta_e", "lens_radius", "source_radius", "disc_radius")
SHAPES = ("ellipticity", "lens_ellipticity", "source_ellipticity")


@dataclass(frozen=True)
class ImageSettings:
    """What decides the shards of a dataset."""

    seed: int
    data: Galaxies
    camera: Camera


class StrongLens(Probe):
    """Images of galaxies: a network finds those that are lenses, or measures lens and source."""

    name = "strong_lens"
    study = LensStudy
    noise_unit = "times the survey's noise"

    def check(self, study: LensStudy) -> Iterator[str]:
        for name, data in study.data.items():
            yield from _faults_of_limits(f"data.{name}", data)
        for name, network in study.networks.items():
            shares = [study.data[one].lenses for one in network.data if one in study.data]
            if network.classifies:
                wrong = [share for share in shares if not 0 < share < 1]
                expected = "above 0 and below 1 for a network that answers kind"
            else:
                wrong, expected = [share for share in shares if share != 1], "1 for a network that answers lens"
            if wrong:
                fix = "change data.<name>.lenses, or the network's target.answer"
                yield str(problem(f"networks.{name}.data", f"a share of lenses of {wrong[0]:g}", expected, fix))
        for name, posterior in study.posteriors.items():
            if posterior.kind == "imnn" or posterior.of == "parameters":
                found = f"kind {posterior.kind}, of {posterior.of}"
                expected = (
                    "kind mdn, npe or quantiles, of target: the simulation's parameters do not turn with an image"
                )
                yield str(problem(f"posteriors.{name}", found, expected, "change it"))

    def cannot_take(self, study: LensStudy, network: str, test: str) -> str:
        share = study.data[study.tests[test].data].lenses
        if study.networks[network].classifies:
            return "" if 0 < share < 1 else "its data hold one kind alone, and it tells lenses from galaxies"
        return "" if share == 1 else "its data hold galaxies that are no lenses, and it measures lenses"

    def dataset_settings(self, study: LensStudy, dataset: str) -> ImageSettings:
        return ImageSettings(study.seed, study.data[dataset], study.camera)

    def observation_settings(self, study: LensStudy, entry: LensNetwork | LensTest) -> dict:
        return {}

    def rows_per_realisation(self, study: LensStudy, dataset: str) -> int:
        return study.data[dataset].images

    def stage_costs(self, study: LensStudy) -> dict[str, StageCost]:
        """Measured on one core: 0.5 ms an image of 45 × 45 pixels in three bands."""
        pixels = study.camera.pixels**2
        rows = max(data.images for data in study.data.values())
        judging, mb = study.judging, 12e-6 * rows * pixels
        images = judging.lenses * judging.walkers * (judging.burn_in + judging.steps)
        each_s = 2.5e-7 * pixels
        return {
            "simulate": StageCost(5 + each_s * rows, 6 * mb, mb),
            "finding": StageCost(30 + 2e-3 * rows, 800 + 12 * mb, 1),
            "chains": StageCost(20 + each_s * images, 1000 + 4 * mb, 1),
        }

    # Data

    def header(self, settings: ImageSettings) -> Header:
        camera, n = settings.camera, settings.camera.pixels
        half = n * camera.pixel_arcsec / 2
        sides = tuple(Axis(name, "arcsec", -half, half, n) for name in ("x", "y"))
        truths = {"lens": list(CLASSES), "parameters": list(ANSWERED), "model": list(PARAMETERS)}
        prior = {"limits": limits(settings.data).tolist()}
        return Header(self.name, sides, BANDS, "flux (magnitude 30)", plain(camera), truths, prior)

    def simulate(self, settings: ImageSettings, dataset: str, realisation: int) -> Rows:
        rng = generator(settings.seed, f"images of {dataset}", realisation)
        x, y = simulate_images(settings.data, settings.camera, rng)
        return Rows(
            header=self.header(settings),
            x=x,
            y=y,
            theta=np.where(y["lens"][:, None] == 1, y["model"], np.nan),
            parameter_names=list(PARAMETERS),
            group=np.full(len(x), realisation),
            dataset=np.repeat([dataset], len(x)),
            rows={"image": np.arange(len(x))},
        )

    # Training

    def target(self, network: LensNetwork, header: Header) -> ClassTarget | VectorTarget:
        if network.classifies:
            return ClassTarget(CLASSES, label="kind", truth_name="lens")
        return VectorTarget("parameters", OutputAxis("parameter", names=ANSWERED), (len(ANSWERED),))

    def presentation(self, network: LensNetwork, observation: dict, header: Header) -> LensPresentation:
        from limelight.probes.strong_lens.presentation import LensPresentation

        camera = Camera.model_validate(header.geometry)
        sky = tuple(sky_sigma(camera).tolist())
        return LensPresentation(self.target(network, header), sky=sky, electrons=camera.electrons)

    # Judging

    def limits(self, header: Header) -> np.ndarray:
        return np.array(header.simulation["limits"])[: len(ANSWERED)]

    def describe_test(self, settings, presentation: LensPresentation) -> dict:
        return {"noise": presentation.level}

    def noise_levels(self, settings, presentation: LensPresentation) -> list[float]:
        return [0.0, 1.0, 2.0]

    def metrics(self, judged: Judged) -> Statistics:
        """Of lenses: the median over rows of the bound, and of the error in units of each row's own bound."""
        if judged.target.classes or judged.presentation.level == 0:
            return {}, {}
        from limelight.probes.strong_lens.bound import bounds

        chosen = evenly(len(judged.truth), MOST_BOUNDS)
        camera = Camera.model_validate(judged.header.geometry)
        least = bounds(judged.y["model"][chosen], np.array(judged.header.simulation["limits"]), camera)
        least = least[:, : len(ANSWERED)] * judged.presentation.level
        error = np.abs(judged.predicted - judged.truth)
        over = np.median(error[chosen] / least, axis=0)
        totals = {"theta_e_arcsec": float(np.median(error[:, 0])), "theta_e_over_bound": float(over[0])}
        found = {"median_error": np.median(error, axis=0), "bound": np.median(least, axis=0), "error_over_bound": over}
        return found, totals

    def in_words(self, totals) -> str:
        if "theta_e_over_bound" not in totals:
            return ""
        words = f"Einstein radius: median error {totals['theta_e_arcsec']:.3g} arcsec"
        return f"{words}, {totals['theta_e_over_bound']:.3g} times the bound"


def _faults_of_limits(where: str, data: Galaxies) -> Iterator[str]:
    for key, value in data:
        if not isinstance(value, list):
            continue
        low, high = value
        most = 0.5 if key in SHAPES else np.inf
        least = 0.0 if key in ABOVE_ZERO else -most
        if not (low < high and low > least and high < most):
            ends = f"{least:g} < low < high < {most:g}" if most < np.inf or least == 0 else "low < high"
            yield str(problem(f"{where}.{key}", [low, high], f"[low, high] with {ends}", "change it"))


PROBE = StrongLens()
