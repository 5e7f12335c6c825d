"""What the engine asks of CMB lensing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from limelight.data.axes import Axis, OutputAxis
from limelight.data.shard import Header, Rows
from limelight.data.targets import FieldTarget
from limelight.errors import LimelightError, problem
from limelight.evaluation.metrics import Judged, Statistics
from limelight.probe import Probe
from limelight.probes.cmb_lensing.config import LIMITS, LensingNetwork, LensingStudy, LensingTest, Sky
from limelight.probes.cmb_lensing.grid import Grid, eb_from_qu
from limelight.probes.cmb_lensing.sky import delens, simulate, taper
from limelight.probes.cmb_lensing.spectra import Parameters, draw_parameters, spectra_of
from limelight.seeds import generator
from limelight.study.cost import SimulationCost, StageCost
from limelight.summaries.power import power_bins, power_spectrum
from limelight.summaries.reconstruction import bootstrap, noise
from limelight.summaries.scales import Scales

if TYPE_CHECKING:  # what computes is loaded by the methods that call it: a config is read without torch
    from torch import nn

    from limelight.evaluation.estimates import Estimator
    from limelight.probes.cmb_lensing.presentation import LensingPresentation

EDGES = (72, 150, 300, 500, 800, 1200, 1700, 2300, 3000)  # of the bins in L; those without a mode are left out
NAMES = {"kappa": "κ", "e": "E"}
HYBRID_INPUTS = 8  # Q, U and the features of `features.py`


@dataclass(frozen=True)
class SkySettings:
    """What decides the shards of a dataset."""

    seed: int
    data: Sky


class CmbLensing(Probe):
    """Lensed Q and U; a network reconstructs the convergence κ and the unlensed E."""

    name = "cmb_lensing"
    study = LensingStudy
    noise_unit = "µK arcmin"
    answered_by = "predict_lensing.py"
    figures_of_each_network = ("loss_history", "image_examples", "reconstruction")

    def check(self, study: LensingStudy) -> Iterator[str]:
        known = [field.name for field in fields(Parameters)]
        for name, data in study.data.items():
            for key, (low, high) in data.drawn.items():
                where = f"data.{name}.drawn.{key}"
                if key not in known:
                    yield str(problem(where, f"'{key}'", f"one of {', '.join(known)}", "mend the name"))
                elif not low < high:
                    yield str(problem(where, [low, high], "[low, high] with low < high", "swap them"))
                elif not LIMITS[key][0] <= low < high <= LIMITS[key][1]:
                    expected = "{:g} to {:g}".format(*LIMITS[key])
                    yield str(problem(where, [low, high], expected, "mend them"))
            try:
                mask_of(data)
            except LimelightError as error:
                yield f"data.{name}.taper_deg: {error}"
        for name, network in study.networks.items():
            yield from _noise_faults(f"networks.{name}", network)
            if network.inputs == "hybrid" and network.data[0] in study.data and study.data[network.data[0]].cut:
                expected = "maps, or a taper_deg: the quadratic estimate takes opposite edges for neighbours"
                yield str(
                    problem(f"networks.{name}.inputs", "hybrid on cut patches without a mask", expected, "change it")
                )
        for name, test in study.tests.items():
            if test.data in study.data and study.data[test.data].cut and test.estimators:
                expected = "[], or a taper_deg: these estimators take opposite edges for neighbours"
                yield str(problem(f"tests.{name}.estimators", test.estimators, expected, "leave them out"))

    def knows_observation(self, network: LensingNetwork, test: LensingTest) -> bool:
        low, high = noise_range(network.noise_uk_arcmin)
        return low <= test.noise_uk_arcmin <= high

    def dataset_settings(self, study: LensingStudy, dataset: str) -> SkySettings:
        return SkySettings(study.seed, study.data[dataset])

    def observation_settings(self, study: LensingStudy, entry: LensingNetwork | LensingTest) -> dict:
        return {"noise_uk_arcmin": entry.noise_uk_arcmin}

    def rows_per_realisation(self, study: LensingStudy, dataset: str) -> int:
        return study.data[dataset].maps

    def stage_costs(self, study: LensingStudy) -> dict[str, StageCost]:
        """Measured on one core: 6 ms a patch of 64², 1.4 s where the maximum of the posterior is sought."""
        size = max(data.maps * (data.pixels / 64) ** 2 for data in study.data.values())
        mb = 0.07 * size
        rows = len(study.splits["test"]) * size
        slow = any("map" in test.estimators for test in study.tests.values())
        return {
            "simulate": StageCost(10 + 0.012 * size, 300 + 8 * mb, mb),
            "estimates": StageCost(20 + rows * (1.5 if slow else 0.01), 500 + 8 * mb, 0.1 + 2e-4 * rows),
        }

    def fresh_cost(self, study: LensingStudy, dataset: str) -> SimulationCost:
        data = study.data[dataset]
        return SimulationCost(0.012 * (data.pixels / 64) ** 2, 300.0)

    # Data

    def header(self, settings: SkySettings) -> Header:
        data = settings.data
        size = data.pixels * data.pixel_arcmin
        sides = tuple(Axis(name, "arcmin", 0.0, size, data.pixels) for name in ("y", "x"))
        geometry = {"pixels": data.pixels, "pixel_arcmin": data.pixel_arcmin, "beam_arcmin": data.beam_arcmin}
        geometry |= {"taper_deg": data.taper_deg, "periodic": data.margin == 0}
        truths = {"kappa": "convergence", "e": "E before lensing, uK"}
        simulation = {"universe": asdict(data.universe.parameters), "drawn": data.drawn}
        return Header(self.name, sides, ("Q", "U"), "uK", geometry, truths, simulation)

    def simulate(self, settings: SkySettings, dataset: str, realisation: int) -> Rows:
        return self._rows(settings, dataset, f"sky of {dataset}", realisation)

    def fresh_rows(
        self, settings: SkySettings, dataset: str, realisation: int, part: int, draws: int, paths
    ) -> Iterator[Rows]:
        """One batch of `draws` patches; a periodic square is a sky of its own."""
        few = replace(settings, data=settings.data.model_copy(update={"maps": draws}))
        yield self._rows(few, dataset, f"stream {part} of {dataset}", realisation)

    def _rows(self, settings: SkySettings, dataset: str, stream: str, realisation: int) -> Rows:
        data = settings.data
        rng = generator(settings.seed, stream, realisation)
        parameters = universe_of(data, rng)
        sky = simulate(
            grid_of(data), spectra_of(parameters), data.maps, rng, data.oversample, data.margin, data.beam_arcmin
        )
        mask = mask_of(data)
        truths = {"kappa": sky.kappa, "e": sky.e}
        return Rows(
            header=self.header(settings),
            x=np.stack([sky.q, sky.u], axis=1).astype(np.float32),
            y={name: (maps * mask)[:, None].astype(np.float32) for name, maps in truths.items()},
            theta=np.tile(list(asdict(parameters).values()), (data.maps, 1)),
            parameter_names=list(asdict(parameters)),
            group=np.full(data.maps, realisation),
            dataset=np.repeat([dataset], data.maps),
            rows={"patch": np.arange(data.maps)},
        )

    # Training

    def target(self, network: LensingNetwork, header: Header) -> FieldTarget:
        names = tuple(network.target.maps)
        axis = OutputAxis("map", channels=tuple(NAMES[name] for name in names))
        return FieldTarget(names, axis, (len(names), *header.shape[1:]))

    def input_shape(self, network: LensingNetwork, header: Header) -> tuple[int, ...]:
        return (HYBRID_INPUTS, *header.shape[1:]) if network.inputs == "hybrid" else header.shape

    def presentation(self, network: LensingNetwork, observation: dict, header: Header) -> LensingPresentation:
        features = None
        if network.inputs == "hybrid":
            from limelight.probes.cmb_lensing.features import hybrid_features

            features = hybrid_features(header, network.noise_uk_arcmin)
        return self._presentation(self.target(network, header), observation, header, features)

    def _presentation(self, target, observation: dict, header: Header, features=None) -> LensingPresentation:
        import torch

        from limelight.probes.cmb_lensing.presentation import LensingPresentation

        geometry = header.geometry
        mask = torch.from_numpy(mask_of_geometry(geometry)).float() if geometry["taper_deg"] else None
        return LensingPresentation(
            target,
            noise_uk_arcmin=observation["noise_uk_arcmin"],
            pixel_arcmin=geometry["pixel_arcmin"],
            moves=geometry["periodic"] and mask is None,
            mask=mask,
            features=features,
        )

    # Judging

    def recorder(self, observation: dict, header: Header) -> LensingPresentation:
        return self._presentation(FieldTarget((), OutputAxis("map"), ()), observation, header).bare()

    def estimators(self, test: LensingTest, observation: dict, header: Header) -> dict[str, Estimator]:
        from limelight.probes.cmb_lensing.estimators import estimators

        return estimators(test.estimators, observation["noise_uk_arcmin"], header)

    def scales(self, header: Header) -> Scales:
        grid = grid_of_header(header)
        shape, sides = (grid.npix, grid.npix), (grid.pixel, grid.pixel)
        filled = power_bins(shape, sides, np.array(EDGES)).modes > 0
        first, last = np.flatnonzero(filled)[[0, -1]]
        edges = np.array(EDGES[first : last + 2], float)
        return Scales(OutputAxis("multipole L", edges=tuple(edges.tolist())), power_bins(shape, sides, edges))

    def image_rows(
        self, names: tuple[str, ...], answers: np.ndarray, x: np.ndarray, header: Header
    ) -> dict[str, np.ndarray]:
        """Power of B in the lensed maps without noise, and of what is left after delensing by each κ; (b, bins) each."""
        if "kappa" not in names or header.geometry["taper_deg"] or not header.geometry["periodic"]:
            return {}
        import torch

        grid, kappa = grid_of_header(header), answers[:, names.index("kappa")]
        bins, found = self.scales(header).bins, {"b_lensed": [], "b_left": []}
        for (q, u), one in zip(x.astype(np.float64), kappa, strict=True):
            for name, maps in (("b_lensed", (q, u)), ("b_left", delens(grid, q, u, one))):
                found[name].append(torch.from_numpy(eb_from_qu(grid, *maps)[1]))
        return {name: power_spectrum(torch.stack(maps), bins)[:, 0].numpy() for name, maps in found.items()}

    def describe_test(self, settings, presentation: LensingPresentation) -> dict:
        return {"noise_uk_arcmin": presentation.noise_uk_arcmin}

    def back_to_data(
        self, module: nn.Module, presentation: LensingPresentation
    ) -> tuple[nn.Module, LensingPresentation]:
        """A hybrid is explained by Q and U, through its features; under a mask these cannot be differentiated."""
        if presentation.features is None or presentation.mask is not None:
            return module, presentation
        from limelight.probes.cmb_lensing.presentation import BehindFeatures

        whole = BehindFeatures(module, presentation.features, presentation.scale_uk)
        return whole.eval(), replace(presentation, features=None)

    def exact_saliency(
        self, network: LensingNetwork, observation: dict, header: Header, recorded: np.ndarray, weights: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Of a single pixel, on a periodic patch."""
        places = np.argwhere(weights)
        if len(places) != 1 or header.geometry["taper_deg"] or not header.geometry["periodic"]:
            return {}
        from limelight.probes.cmb_lensing.features import quadratic_estimator
        from limelight.probes.cmb_lensing.kernels import exact_saliency

        channel, *pixel = places[0].tolist()
        estimator = quadratic_estimator(header, observation["noise_uk_arcmin"])
        return exact_saliency(estimator, network.target.maps[channel], recorded, tuple(pixel))

    def noise_levels(self, settings, presentation: LensingPresentation) -> list[float]:
        level = presentation.noise_uk_arcmin
        return [0.0, level, 2 * level] if level else [0.0, 1.0, 5.0]

    def metrics(self, judged: Judged) -> Statistics:
        """The share of the gap between quadratic and iterative estimator that the network closes, (channels, bins)."""
        found, images = {}, judged.images
        if {"quadratic", "map"} <= set(images.estimators):
            channel, quadratic = images.estimators["quadratic"]
            best = images.estimators["map"][1]
            pair = bootstrap(gap_closed, images.spectra.channel(channel), quadratic, best)
            for name, values in zip(("gap_closed", "gap_closed_error"), pair, strict=True):
                found[name] = np.full(images.spectra.truth.shape[1:], np.nan)
                found[name][channel] = values
        return found, {}


def gap_closed(network, quadratic, best) -> np.ndarray:
    """(N_QE − N)/(N_QE − N_MAP) from spectra (m, bins) of the same maps: 0 for the quadratic estimator, 1 for the best."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return (noise(quadratic) - noise(network)) / (noise(quadratic) - noise(best))


def noise_range(level: float | Sequence[float]) -> tuple[float, float]:
    """Lowest and highest noise of a network, µK arcmin; for a single level both are that."""
    low, high = level if isinstance(level, Sequence) else (level, level)
    return low, high


def _noise_faults(where: str, network: LensingNetwork) -> Iterator[str]:
    if not isinstance(network.noise_uk_arcmin, Sequence):
        return
    low, high = network.noise_uk_arcmin
    if not low < high:
        yield str(problem(f"{where}.noise_uk_arcmin", [low, high], "[low, high] with low < high", "swap them"))
    if network.inputs == "hybrid":
        expected = "one level: the filters of its features are made for it"
        yield str(problem(f"{where}.noise_uk_arcmin", f"{[low, high]} of a hybrid", expected, "take inputs: maps"))


def grid_of(data: Sky) -> Grid:
    """The pixels of a dataset's patches."""
    return Grid(data.pixels, data.pixel_arcmin)


def grid_of_header(header: Header) -> Grid:
    """The pixels of data with a header."""
    return Grid(header.geometry["pixels"], header.geometry["pixel_arcmin"])


def universe_of(data: Sky, rng: np.random.Generator) -> Parameters:
    """The universe of one realisation."""
    fixed = asdict(data.universe.parameters)
    low, high = ({**fixed, **{name: pair[end] for name, pair in data.drawn.items()}} for end in (0, 1))
    return draw_parameters(Parameters(**low), Parameters(**high), rng) if data.drawn else Parameters(**fixed)


def mask_of(data: Sky) -> np.ndarray:
    """What is seen of a dataset's patches, (y, x); LimelightError for a taper wider than half a patch."""
    return taper(grid_of(data), data.taper_deg) if data.taper_deg else np.ones((data.pixels, data.pixels))


def mask_of_geometry(geometry: dict) -> np.ndarray:
    """The same from a header's geometry."""
    return taper(Grid(geometry["pixels"], geometry["pixel_arcmin"]), geometry["taper_deg"])


PROBE = CmbLensing()
