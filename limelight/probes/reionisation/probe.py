"""What the engine asks of reionisation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from limelight.data.axes import Axis, OutputAxis
from limelight.data.shard import Header, Rows
from limelight.data.targets import VectorTarget
from limelight.errors import problem
from limelight.evaluation.metrics import Judged, Statistics
from limelight.probe import ExactPosterior, Probe
from limelight.probes.reionisation.config import Instrument, Sky, TauNetwork, TauStudy, TauTest
from limelight.probes.reionisation.harmonics import multipoles, pixels_of
from limelight.probes.reionisation.inputs import Pixels, b_share, input_shape, transform_of
from limelight.probes.reionisation.likelihood import fisher_information, log_likelihood
from limelight.probes.reionisation.simulations import TauSimulator, draw_skies, fisher_skies, stored_noise
from limelight.probes.reionisation.spectra import TAUS
from limelight.seeds import generator
from limelight.study.cost import SimulationCost, StageCost

if TYPE_CHECKING:  # what computes is loaded by the methods that call it: a config is read without torch
    from limelight.probes.reionisation.presentation import TauPresentation
    from limelight.study.settings import IntervalsSettings, PosteriorSettings

PARAMETERS = ("tau",)
NODES = 6  # of τ, between which the bound on its error is interpolated
GRID = 81  # steps of τ that posteriors are compared on
ODD_B = 0.25  # how far the power of B may be off what it is expected to be, beyond five times its scatter


@dataclass(frozen=True)
class SkySettings:
    """What decides the shards of a dataset."""

    seed: int
    data: Sky


class Reionisation(Probe):
    """Q and U of the large-scale CMB; a network reads the optical depth τ."""

    name = "reionisation"
    study = TauStudy
    noise_unit = "µK arcmin"

    def check(self, study: TauStudy) -> Iterator[str]:
        for name, data in study.data.items():
            low, high = data.tau
            if not TAUS[0] <= low < high <= TAUS[-1]:
                expected = f"[low, high] with {TAUS[0]:g} ≤ low < high ≤ {TAUS[-1]:g}, as the spectra's table has it"
                yield str(problem(f"data.{name}.tau", [low, high], expected, "change it"))
        for name, network in study.networks.items():
            kinds = {study.data[one].bank is not None for one in network.data if one in study.data}
            if len(kinds) > 1:
                found, expected = "datasets with stored noise beside others", "all of one kind"
                yield str(problem(f"networks.{name}.data", found, expected, "train two networks"))
        seen = [(f"networks.{name}", one.instrument) for name, one in study.networks.items()]
        seen += [(f"tests.{name}", one.instrument) for name, one in study.tests.items()]
        for where, instrument in seen:
            if not instrument.harmonic and not instrument.pixel_uk_arcmin:
                expected = "above 0 beside a mask or a template: pixels without noise of their own have no likelihood"
                yield str(problem(f"{where}.instrument.pixel_uk_arcmin", 0, expected, "give some"))
        for name, test in study.tests.items():
            if test.data in study.data and study.data[test.data].bank:
                expected = "a dataset without a bank: tests draw noise of their own"
                yield str(problem(f"tests.{name}.data", f"{test.data}, with stored noise", expected, "name another"))

    def cannot_take(self, study: TauStudy, network: str, test: str) -> str:
        """What a network is shown is in units of the middle of its prior; the exact posterior has the prior of the test."""
        ours, theirs = (study.data[one].tau for one in (study.networks[network].data[0], study.tests[test].data))
        return "" if ours == theirs else f"its τ lies between {theirs}, and the network knows {ours}"

    def knows_observation(self, network: TauNetwork, test: TauTest) -> bool:
        return network.instrument == test.instrument

    def dataset_settings(self, study: TauStudy, dataset: str) -> SkySettings:
        return SkySettings(study.seed, study.data[dataset])

    def observation_settings(self, study: TauStudy, entry: TauNetwork | TauTest) -> Instrument:
        return entry.instrument

    def observation_from(self, found: dict) -> Instrument:
        return Instrument.model_validate(found)

    def rows_per_realisation(self, study: TauStudy, dataset: str) -> int:
        return study.data[dataset].maps

    def stage_costs(self, study: TauStudy) -> dict[str, StageCost]:
        """Measured on one core at nside 8: 2 s for the matrix, 1 ms a sky; 81 factors of the covariance take 25 s."""
        grow = max((data.nside / 8) ** 2 for data in study.data.values())
        mb = max(8e-6 * pixels_of(data.nside) * data.maps for data in study.data.values())
        rows = sum(map(len, (study.splits["test"],))) * max(data.maps for data in study.data.values())
        return {
            "simulate": StageCost(3 * grow**2 + 0.1 * mb * grow, 500 * grow + 8 * mb, mb),
            "exact": StageCost(30 * grow**3 + 0.01 * rows, 600 * grow**2, 1e-3 * rows),
        }

    def simulation_cost(self, study: TauStudy, posterior: str) -> SimulationCost:
        entry = study.posteriors[posterior]
        if entry.kind != "imnn":
            return SimulationCost()
        skies = entry.imnn.simulations + 2 * entry.imnn.derivatives
        each = max((data.nside / 8) ** 4 for data in study.data.values()) * 3e-3
        each_row_s = 40.0 * entry.smc.particles * each if entry.abc == "smc" else 0.0
        return SimulationCost(skies * each, 5.0, each_row_s, 0.05 * skies)

    # Data

    def header(self, settings: SkySettings) -> Header:
        data = settings.data
        n = pixels_of(data.nside)
        geometry = {"nside": data.nside, "lmax": data.lmax, "beam_deg": data.beam_deg, "order": "ring"}
        simulation = {"tau": list(data.tau), "stored_noise": data.bank is not None}
        axes = (Axis("pixel", "HEALPix ring order", 0.0, float(n), n),)
        return Header(self.name, axes, ("Q", "U"), "uK", geometry, {"parameters": list(PARAMETERS)}, simulation)

    def simulate(self, settings: SkySettings, dataset: str, realisation: int) -> Rows:
        data, rng = settings.data, generator(settings.seed, f"skies of {dataset}", realisation)
        tau = rng.uniform(*data.tau, data.maps)
        white = rng.standard_normal((data.maps, len(multipoles(data.lmax))))
        x, rows = draw_skies(tau, white, data), {"sky": np.arange(data.maps)}
        if data.bank:
            which = np.arange(data.maps) % data.bank.noises
            x = x + stored_noise(data, settings.seed, dataset, realisation)[which]
            rows["noise"] = realisation * data.bank.noises + which
        return Rows(
            header=self.header(settings),
            x=x,
            y={"parameters": tau[:, None]},
            theta=tau[:, None],
            parameter_names=list(PARAMETERS),
            group=np.full(data.maps, realisation),
            dataset=np.repeat([dataset], data.maps),
            rows=rows,
        )

    # Training

    def target(self, network: TauNetwork, header: Header) -> VectorTarget:
        return VectorTarget("parameters", OutputAxis("parameter", names=PARAMETERS), shape=(len(PARAMETERS),))

    def input_shape(self, network: TauNetwork, header: Header) -> tuple[int, ...]:
        return input_shape(network.inputs, header.geometry["nside"], header.geometry["lmax"])

    def presentation(self, network: TauNetwork, observation: Instrument, header: Header) -> TauPresentation:
        transform = transform_of(network.inputs, network.instrument, pixels_seen(header))
        return self._presentation(observation, header, transform)

    def _presentation(self, observation: Instrument, header: Header, transform) -> TauPresentation:
        from limelight.probes.reionisation.presentation import TauPresentation

        return TauPresentation(
            VectorTarget("parameters", OutputAxis("parameter", names=PARAMETERS), shape=(len(PARAMETERS),)),
            instrument=observation,
            nside=header.geometry["nside"],
            lmax=header.geometry["lmax"],
            stored=header.simulation["stored_noise"],
            transform=transform,
        )

    # Judging

    def recorder(self, observation: Instrument, header: Header) -> TauPresentation:
        return self._presentation(observation, header, None)

    def exact_posterior(self, observation: Instrument, header: Header) -> ExactPosterior:
        """The prior is even, so that the posterior is the likelihood."""
        geometry = header.geometry
        sky = (geometry["nside"], geometry["lmax"], geometry["beam_deg"])
        (taus,) = self.grid(header)
        method = "closed form" if observation.harmonic else "pixel likelihood"
        return ExactPosterior(method, lambda maps: log_likelihood(maps, taus, observation, *sky))

    def has_exact_posterior(self, study: TauStudy, test: TauTest) -> bool:
        return True

    def limits(self, header: Header) -> np.ndarray:
        return np.array([header.simulation["tau"]])

    def grid(self, header: Header) -> tuple[np.ndarray, ...]:
        return tuple(np.linspace(*pair, GRID) for pair in self.limits(header))

    def describe_test(self, settings, presentation: TauPresentation) -> dict:
        return {"instrument": presentation.instrument.model_dump()}

    def noise_levels(self, settings, presentation: TauPresentation) -> list[float]:
        level = presentation.instrument.pixel_uk_arcmin or presentation.instrument.isotropic_uk_arcmin
        return [0.0, level, 2 * level] if level else [0.0]

    def metrics(self, judged: Judged) -> Statistics:
        """Mean |Δτ|/τ and its floor, and the Cramér-Rao bound on the error at the mean τ of the test.

        The floor is the mean over the test of √(2/π) σ(τ)/τ, σ the bound at each τ: that of a Gaussian error.
        """
        truth = judged.truth
        relative = np.mean(np.abs(judged.predicted - truth) / truth, axis=0)
        how, geometry = judged.presentation, judged.header.geometry
        sky = (how.instrument, how.nside, how.lmax, geometry["beam_deg"])
        bound = fisher_information(float(truth.mean()), *sky) ** -0.5
        nodes = np.linspace(truth.min(), truth.max(), NODES)
        sigma = np.interp(truth, nodes, [fisher_information(float(tau), *sky) ** -0.5 for tau in nodes])
        floor = np.mean(np.sqrt(2 / np.pi) * sigma / truth, axis=0)
        return {"relative_error": relative, "floor": floor, "bound": np.full(relative.shape, bound)}, {}

    def doubts(self, network: TauNetwork, observation: Instrument, header: Header, recorded: np.ndarray) -> list[str]:
        """The sky has no B modes: all of them are noise, and of E where the sky is cut."""
        if header.simulation["stored_noise"]:  # of which the network's instrument need not say all
            return []
        share, spread = b_share(recorded, observation, pixels_seen(header))
        if abs(share - 1) <= ODD_B + 5 * spread:
            return []
        causes = "U with the sign of IAU (it should have HEALPix's), pixels in nested order, another noise?"
        return [f"B modes have {share:.3g} times the power that the network's instrument lets expect: {causes}"]

    # Inference by simulation: nothing is read for it

    def fisher_rows(self, settings: PosteriorSettings, paths) -> tuple[np.ndarray, ...]:
        return fisher_skies(sky_of(settings.network.datasets), settings.entry.imnn, settings.network.seed)

    def most_information(self, settings: PosteriorSettings) -> np.ndarray:
        data = sky_of(settings.network.datasets)
        sky = (data.nside, data.lmax, data.beam_deg)
        return np.array([[fisher_information(float(np.mean(data.tau)), settings.network.observation, *sky)]])

    def simulator(self, settings: IntervalsSettings, paths) -> TauSimulator:
        return TauSimulator(sky_of(settings.posterior.network.datasets))


def sky_of(datasets: Mapping[str, SkySettings]) -> Sky:
    """What a network's skies are: those of its first dataset."""
    return next(iter(datasets.values())).data


def pixels_seen(header: Header) -> Pixels:
    """The sky of data with a header."""
    geometry = header.geometry
    return Pixels(geometry["nside"], geometry["lmax"], geometry["beam_deg"], float(np.mean(header.simulation["tau"])))


PROBE = Reionisation()
