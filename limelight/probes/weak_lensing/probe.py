"""What the engine asks of weak lensing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from limelight.data.axes import Axis, OutputAxis
from limelight.data.shard import Header, Rows
from limelight.data.targets import VectorTarget
from limelight.errors import problem
from limelight.evaluation.metrics import Judged, Statistics
from limelight.probe import ExactPosterior, Probe
from limelight.probes.weak_lensing.config import LensingNetwork, LensingStudy, LensingTest, Maps, Survey
from limelight.probes.weak_lensing.fields import Square, fisher, gaussian_power, log_likelihood
from limelight.probes.weak_lensing.simulations import simulate_maps, square_of
from limelight.probes.weak_lensing.spectra import OMEGA_M, PARAMETERS, REDSHIFTS, SIGMA8
from limelight.saliency.shares import PixelClasses
from limelight.study.cost import SimulationCost, StageCost

if TYPE_CHECKING:  # what computes is loaded by the methods that call it: a config is read without torch
    from limelight.probes.weak_lensing.presentation import LensingPresentation

GRID = (61, 151)  # steps of Ωm and σ8 that posteriors are compared on
DRAWN = ("lognormal", "gaussian")  # kinds whose maps are drawn at any time, by the thousand
OTHERS = {"omega_b": (0.01, 0.1), "h": (0.4, 1.0), "ns": (0.7, 1.3)}  # within which other parameters may be drawn
CLASSES = (-np.inf, -1.0, 0.0, 1.0, 2.0, 3.0, 5.0, np.inf)  # of κ without noise, in σ of the map


@dataclass(frozen=True)
class MapSettings:
    """What decides the shards of a dataset."""

    seed: int
    data: Maps


class WeakLensing(Probe):
    """Convergence maps; networks and statistics read Ωm and σ8."""

    name = "weak_lensing"
    study = LensingStudy
    noise_unit = "of κ per pixel"

    def check(self, study: LensingStudy) -> Iterator[str]:
        for name, data in study.data.items():
            yield from faults_of_maps(f"data.{name}", data)
            yield from faults_of_unused(f"data.{name}", data)
            yield from faults_of_splits(f"data.{name}.boxes.realisations_per_cosmology", data, study.splits)
        yield from faults_of_fresh_maps(study)

    def knows_observation(self, network: LensingNetwork, test: LensingTest) -> bool:
        return network.survey == test.survey

    def dataset_settings(self, study: LensingStudy, dataset: str) -> MapSettings:
        return MapSettings(study.seed, study.data[dataset])

    def observation_settings(self, study: LensingStudy, entry: LensingNetwork | LensingTest) -> Survey:
        return entry.survey

    def observation_from(self, found: dict) -> Survey:
        return Survey.model_validate(found)

    def rows_per_realisation(self, study: LensingStudy, dataset: str) -> int:
        return study.data[dataset].maps

    def stage_costs(self, study: LensingStudy) -> dict[str, StageCost]:
        """Measured on one core: 15 s a box of 128³ particles, 55 ms a ray-traced and 0.5 ms a lognormal map of 64²."""
        seconds, mb, most = 2.0, 0.0, 400.0
        for data in study.data.values():
            size = 4e-6 * data.maps * data.pixels**2
            mb = max(mb, size)
            if data.kind == "ray_traced":
                boxes, grow = data.boxes, (data.boxes.particles / 128) ** 3 * data.boxes.times / 12
                seconds = max(seconds, 15 + 25 * grow * (1 + boxes.pair) + 0.06 * data.maps)
                most = max(most, 30e-6 * boxes.mesh**3 + 60e-6 * boxes.particles**3)
        return {
            "simulate": StageCost(seconds + 0.1 * mb, most + 12 * mb, mb),
            "exact": StageCost(10 + 0.05 * mb, 1500 + 8 * mb, 1 + mb),
            "areas": StageCost(20, 1000, 1),
        }

    def fresh_cost(self, study: LensingStudy, dataset: str) -> SimulationCost:
        data = study.data[dataset]
        return SimulationCost(each_row_s=5e-7 * data.pixels**2, memory_mb=200.0)

    # Data

    def header(self, settings: MapSettings) -> Header:
        data = settings.data
        side = data.pixels * data.pixel_arcmin
        axes = tuple(Axis(name, "arcmin", 0.0, side, data.pixels) for name in ("x", "y"))
        geometry = {"pixels": data.pixels, "pixel_arcmin": data.pixel_arcmin}
        simulation: dict = {"kind": data.kind, "source_redshift": data.source_redshift}
        if data.boxes.sources:
            simulation |= {"source_redshift": None, "sources": data.boxes.sources}
        if data.kind != "files":
            simulation |= {name: list(getattr(data, name)) for name in PARAMETERS}
        if data.kind == "lognormal":
            simulation["shift"] = data.shift
        return Header(self.name, axes, ("kappa",), "1", geometry, {"parameters": list(PARAMETERS)}, simulation)

    def source_files(self, settings: MapSettings, realisation: int) -> list[str]:
        if settings.data.kind != "files":
            return []
        from limelight.probes.weak_lensing.files import files_of

        return files_of(settings.data, realisation)

    def simulate(self, settings: MapSettings, dataset: str, realisation: int) -> Rows:
        return self._rows(settings, dataset, dataset, realisation, settings.data.maps)

    def _rows(self, settings: MapSettings, dataset: str, stream: str, realisation: int, count: int) -> Rows:
        x, theta = simulate_maps(settings.data, settings.seed, stream, realisation, count)
        return Rows(
            header=self.header(settings),
            x=x[:, None],
            y={"parameters": theta},
            theta=theta,
            parameter_names=list(PARAMETERS),
            group=np.full(len(x), realisation),
            dataset=np.repeat([dataset], len(x)),
            rows={"map": np.arange(len(x))},
        )

    def fresh_rows(
        self, settings: MapSettings, dataset: str, realisation: int, part: int, draws: int, paths
    ) -> Iterator[Rows]:
        """One batch of `draws` maps of a periodic square, each a universe of its own."""
        if settings.data.kind not in DRAWN:
            found = f"a stream of {settings.data.kind} maps"
            raise problem(
                f"data.{dataset}.kind", found, "lognormal or gaussian", "let heads learn from the stored maps"
            )
        found = self._rows(settings, dataset, f"stream {part} of {dataset}", realisation, draws)
        yield replace(found, dataset=np.repeat([dataset], draws))

    # Training

    def target(self, network: LensingNetwork, header: Header) -> VectorTarget:
        return VectorTarget("parameters", OutputAxis("parameter", names=PARAMETERS), shape=(len(PARAMETERS),))

    def presentation(self, network: LensingNetwork, observation: Survey, header: Header) -> LensingPresentation:
        return replace(self.recorder(observation, header), scale=network.scale)

    # Judging

    def recorder(self, observation: Survey, header: Header) -> LensingPresentation:
        from limelight.probes.weak_lensing.presentation import LensingPresentation, shape_noise

        arcmin = header.geometry["pixel_arcmin"]
        return LensingPresentation(
            VectorTarget("parameters", OutputAxis("parameter", names=PARAMETERS), shape=(len(PARAMETERS),)),
            survey=observation,
            pixel_arcmin=arcmin,
            noise=shape_noise(observation, arcmin),
            periodic=header.simulation["kind"] in DRAWN,
        )

    def limits(self, header: Header) -> np.ndarray | None:
        if header.simulation["kind"] == "files":
            return None
        return np.array([header.simulation[name] for name in PARAMETERS])

    def grid(self, header: Header) -> tuple[np.ndarray, ...]:
        found = self.limits(header)
        if found is None:
            return ()
        return tuple(np.linspace(*pair, steps) for pair, steps in zip(found, GRID, strict=True))

    def has_exact_posterior(self, study: LensingStudy, test: LensingTest) -> bool:
        return is_exact(study.data[test.data].kind, test.survey)

    def exact_posterior(self, observation: Survey, header: Header) -> ExactPosterior:
        """The prior is even, so that the posterior is the likelihood."""
        from limelight.probes.weak_lensing.presentation import shape_noise

        square, sigma = square_from(header), shape_noise(observation, header.geometry["pixel_arcmin"])
        theta = np.stack(np.meshgrid(*self.grid(header), indexing="ij"), axis=-1).reshape(-1, 2)
        return ExactPosterior("likelihood", lambda maps: log_likelihood(maps[:, 0], theta, square, sigma))

    def describe_test(self, settings, presentation: LensingPresentation) -> dict:
        survey = {key: value for key, value in presentation.survey.model_dump().items() if value is not None}
        return {"survey": survey, "noise": presentation.noise}

    def noise_levels(self, settings, presentation: LensingPresentation) -> list[float]:
        return [0.0, presentation.noise, 2 * presentation.noise] if presentation.noise else [0.0]

    def metrics(self, judged: Judged) -> Statistics:
        """Where the likelihood is known: the least error of an unbiased estimate, and the network's error over it."""
        how = judged.presentation
        if not is_exact(judged.header.simulation["kind"], how.survey):
            return {}, {}
        square = square_from(judged.header)
        bound = np.array([np.diag(np.linalg.inv(fisher(one, square, how.noise))) for one in judged.truth])
        least = np.sqrt(bound.mean(axis=0))
        error = np.sqrt(np.mean((judged.predicted - judged.truth) ** 2, axis=0))
        return {"bound": least, "error_over_bound": error / least}, {}

    # Saliency

    def pixel_classes(self, settings: MapSettings, found: Rows, paths) -> dict[str, PixelClasses]:
        """Pixels by their κ without noise, in σ of their own map: what lies behind the pixels of a noisy map."""
        height = found.x / found.x.std(axis=(2, 3), keepdims=True)
        pairs = zip(CLASSES[:-1], CLASSES[1:], strict=True)
        weights = np.stack([(height >= low) & (height < high) for low, high in pairs], axis=1).astype(np.float32)
        names = tuple(f"{low:g} to {high:g}" for low, high in zip(CLASSES[:-1], CLASSES[1:], strict=True))
        square = (found.x.astype(np.float64) ** 2)[:, None]
        amount = (weights * square).sum(axis=(0, 2, 3, 4)) / square.sum()
        return {"kappa": PixelClasses(OutputAxis("κ without noise [σ]", names=names), weights, amount)}


def is_exact(kind: str, survey: Survey) -> bool:
    """Whether the likelihood is known: of whole maps, with no noise, or, of Gaussian ones, white noise."""
    plain = not (survey.smoothing_arcmin or survey.masked or survey.removed)
    return plain and (kind == "gaussian" or kind == "lognormal" and survey.n_gal is None)


def square_from(header: Header) -> Square:
    """What the maps with this header were drawn on."""
    geometry, simulation = header.geometry, header.simulation
    redshift, shift = simulation["source_redshift"], simulation.get("shift")
    return Square(geometry["pixels"], geometry["pixel_arcmin"], redshift, shift)


def faults_of_maps(where: str, data: Maps) -> Iterator[str]:
    """One line for each fault of a dataset."""
    if (data.files is not None) != (data.kind == "files"):
        found, expected = (
            f"kind {data.kind} {'with' if data.files else 'without'} files",
            "files beside kind files alone",
        )
        yield str(problem(f"{where}.files", found, expected, "give both or neither"))
    sound = True
    for key, nodes in zip(PARAMETERS, (OMEGA_M, SIGMA8), strict=True):
        low, high = getattr(data, key)
        if not nodes[0] <= low < high <= nodes[-1]:
            sound = False
            expected = f"[low, high] with {nodes[0]:g} ≤ low < high ≤ {nodes[-1]:g}"
            yield str(problem(f"{where}.{key}", [low, high], expected, "change it"))
    if data.kind in DRAWN:
        if data.source_redshift not in REDSHIFTS:
            known = ", ".join(f"{z:g}" for z in REDSHIFTS)
            yield str(problem(f"{where}.source_redshift", data.source_redshift, f"one of {known}", "change it"))
        elif sound and (lowest := least_power(data)) <= 0:
            found = (
                f"{data.shift:g}, with which some waves of the Gaussian field would have negative power ({lowest:.2g})"
            )
            yield str(problem(f"{where}.shift", found, "a larger shift", "raise it"))
    if data.kind == "ray_traced":
        for key in ("mesh", "plane"):
            if getattr(data.boxes, key) % 2:
                yield str(problem(f"{where}.boxes.{key}", getattr(data.boxes, key), "an even number", "change it"))
        for name, pair in (data.boxes.drawn or {}).items():
            low, high = OTHERS[name]
            if not low <= pair[0] < pair[1] <= high:
                expected = f"[low, high] with {low:g} ≤ low < high ≤ {high:g}"
                yield str(problem(f"{where}.boxes.drawn.{name}", pair, expected, "change it"))
        for z, weight in data.boxes.sources:
            if not (0 < z <= 10 and weight > 0):
                expected = "[z, weight] with 0 < z ≤ 10 and a weight above 0"
                yield str(problem(f"{where}.boxes.sources", [z, weight], expected, "change it"))
    if data.kind == "ray_traced" and data.source_redshift > 10:
        yield str(problem(f"{where}.source_redshift", data.source_redshift, "at most 10", "lower it"))


def faults_of_unused(where: str, data: Maps) -> Iterator[str]:
    """One line for each key that this kind of maps does not look at, where it says something else than by default."""
    unused = {"shift": data.kind != "lognormal", "boxes": data.kind != "ray_traced"}
    unused |= dict.fromkeys(PARAMETERS, data.kind == "files")
    for key, of_others in unused.items():
        if of_others and getattr(data, key) != Maps.model_fields[key].default:
            yield str(
                problem(f"{where}.{key}", f"one for maps of kind {data.kind}", "none: it says nothing", "drop it")
            )
    if data.boxes.sources and data.source_redshift != Maps.model_fields["source_redshift"].default:
        expected = "one of them: boxes.sources says where all sources are"
        yield str(problem(f"{where}.source_redshift", "one beside boxes.sources", expected, "leave it out"))


def faults_of_splits(where: str, data: Maps, splits: Mapping[str, list[int]]) -> Iterator[str]:
    """One line for realisations of one cosmology that stand in two splits: a test would ask for what training learnt."""
    each, seen = data.boxes.realisations_per_cosmology, {}
    if data.kind != "ray_traced" or each == 1:
        return
    for split, numbers in splits.items():
        for number in numbers:
            other, there = seen.setdefault(number // each, (number, split))
            if there != split:
                found = f"{each}, by which realisations {other} ({there}) and {number} ({split}) are of one cosmology"
                yield str(
                    problem(where, found, "each cosmology in one split", "move realisations by whole cosmologies")
                )
                return


def faults_of_fresh_maps(study: LensingStudy) -> Iterator[str]:
    """One line for each network or stream that asks for new maps of a kind that only stored ones are of."""
    asked = {
        f"networks.{name}.training.fresh_draws": one.data
        for name, one in study.networks.items()
        if one.training.fresh_draws
    }
    for name, stream in study.streams.items():
        named = [study.networks[one] for one in stream.networks if one in study.networks]
        asked[f"streams.{name}"] = [stream.dataset] if stream.dataset else [one for net in named for one in net.data]
    for where, datasets in asked.items():
        for kind in dict.fromkeys(study.data[one].kind for one in datasets if one in study.data):
            if kind not in DRAWN:
                expected = f"maps of kind {' or '.join(DRAWN)}, which alone are drawn anew"
                yield str(problem(where, f"maps of kind {kind}", expected, "leave it out: stored maps teach"))


def least_power(data: Maps) -> float:
    """The least power of any wave of g at the corners of the prior."""
    corners = np.array([[a, b] for a in data.omega_m for b in data.sigma8])
    return float(gaussian_power(corners, square_of(data))[0].min())


PROBE = WeakLensing()
