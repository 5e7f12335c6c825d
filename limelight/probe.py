"""What the engine asks of a probe: the one interface between a simulator and everything that is shared.

A probe is an object of a class that inherits from `Probe`, in a folder of its own below limelight/probes and named in the
registry of that package. The engine never imports a probe: it loads the one that a study names. docs/adding_a_probe.md shows
how to add one.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, get_args

import numpy as np

from limelight.data.shard import Header, Rows
from limelight.registry import Registry

if TYPE_CHECKING:  # what these modules import of the engine would come round to this one, or is slow to load
    from torch import nn

    from limelight.data.targets import Target
    from limelight.evaluation.audit import Intervention, Question
    from limelight.evaluation.estimates import Estimator
    from limelight.evaluation.metrics import Judged, Statistics
    from limelight.inference.posteriors.smc import Simulator
    from limelight.saliency.shares import PixelClasses
    from limelight.study.cost import SimulationCost, StageCost
    from limelight.summaries.scales import Scales
    from limelight.training.adversary import Adversary
    from limelight.training.losses import Loss
    from limelight.training.presentation import Presentation


def load_probe(name: str) -> "Probe":
    """The probe of a name; LimelightError for an unknown one."""
    return importlib.import_module("limelight.probes").PROBES.load(name)


def default_probe() -> str:
    """The name of the probe of studies that name none."""
    return importlib.import_module("limelight.probes").DEFAULT


def own_figures(name: str) -> Registry:
    """The figures in the package of a probe (`FIGURES`), none where it has none; the probe itself is not loaded."""
    module = importlib.import_module("limelight.probes").PROBES.dotted(name).partition(":")[0]
    return getattr(importlib.import_module(module.rpartition(".")[0]), "FIGURES", Registry("figure", {}))


@dataclass(frozen=True)
class ExactPosterior:
    """The posterior that theory gives of recorded data, on the grid of the probe (`Probe.grid`)."""

    method: str  # as the legend of a figure has it
    log_posterior: Callable[
        [np.ndarray], np.ndarray
    ]  # recorded data (m, channels, *axes) -> ln p (m, g), up to constants


class Probe:
    """A simulator with its instrument. What raises NotImplementedError here a probe must say; the rest has a default."""

    name: ClassVar[str]
    study: ClassVar[type]  # its config, a subclass of limelight.study.sections.Study
    figures_of_each_network: ClassVar[tuple[str, ...]] = ("loss_history", "predicted_against_true")
    headline: ClassVar[str] = "predicted_against_true"  # the figure that says most, on a study's first page
    noise_unit: ClassVar[str] = ""
    answered_by: ClassVar[str] = ""  # the script that reads users' own data, where scripts/answer.py cannot
    wanted: ClassVar[str] = ""  # the goal that `in_columns` holds tests against, in words

    def code(self, *hooks: str) -> tuple[str, ...]:
        """Dotted strings of some of these methods, for limelight.codehash: a stage hashes those that it calls.

        The config's class stands beside them: its sections have properties, which any stage may read.
        """
        kinds = [type(self).__qualname__ + f".{hook}" for hook in hooks]
        own = tuple(f"{type(self).__module__}:{kind}" for kind in kinds)
        return (*own, f"{self.study.__module__}:{self.study.__qualname__}")

    def dataset_code(self, study, dataset: str) -> tuple[str, ...]:
        """Dotted strings of code that a dataset chooses by name, such as the function that its halos shine by."""
        return ()

    # The config

    def check(self, study) -> Iterator[str]:
        """One line for each fault that spans the probe's own keys."""
        return iter(())

    def cannot_take(self, study, network: str, test: str) -> str:
        """Why a network cannot be tested on a test, beyond another geometry or other classes; empty when it can."""
        return ""

    def knows_observation(self, network, test) -> bool:
        """Whether a network (its entry in the config) was trained with what a test (its entry) does to the data."""
        return True

    def network(self, entry: Mapping) -> object:
        """A network's section of the config from its plain form, as model files hold it."""
        kinds = self.study.model_fields["networks"].annotation
        return get_args(kinds)[1].model_validate({**entry})

    # What decides the stages: typed settings that hash to the same text whenever they are the same

    def dataset_settings(self, study, dataset: str) -> object:
        """All that decides the shards of a dataset."""
        raise NotImplementedError

    def observation_settings(self, study, entry) -> object:
        """All that decides how data are observed: of a network's entry in the config, or of a test's."""
        raise NotImplementedError

    def observation_from(self, found: object) -> object:
        """`observation_settings` again from their plain form, as model files hold them."""
        return found

    # What it costs (limelight.study.cost)

    def rows_per_realisation(self, study, dataset: str) -> int:
        """Rows (at most) of one shard."""
        raise NotImplementedError

    def stage_costs(self, study) -> "dict[str, StageCost]":
        """One job of each stage of the probe's own, by the name of its rule."""
        raise NotImplementedError

    def simulation_cost(self, study, posterior: str) -> "SimulationCost":
        """What a posterior simulates."""
        from limelight.study.cost import SimulationCost

        return SimulationCost()

    def fields_per_realisation(self, study, dataset: str) -> int:
        """Fields of one realisation, of each of which a stream draws."""
        return 1

    def fresh_cost(self, study, dataset: str) -> "SimulationCost":
        """What one row of a stream costs to simulate (each_row_s, memory_mb)."""
        from limelight.study.cost import SimulationCost

        return SimulationCost()

    def audit_questions(self, study) -> tuple[int, int]:
        """How often the audit asks about all rows, and how often about the changed ones, beyond what it always asks."""
        return 1, 0

    # Data

    def header(self, dataset_settings) -> Header:
        """What all shards of a dataset have in common, known before they exist."""
        raise NotImplementedError

    def source_files(self, dataset_settings, realisation: int) -> list[str]:
        """The user's own files that a shard is made of: it is made again when one of them changes."""
        return []

    def simulate(self, dataset_settings, dataset: str, realisation: int) -> Rows:
        """The rows of one shard. Beside rules of its own that make them by files, they give the same."""
        raise NotImplementedError

    def made_from(self, dataset_settings) -> object:
        """What a shard says in words and numbers of its simulation; by default all that decides it."""
        return dataset_settings

    # Training

    def target(self, network, header: Header) -> "Target":
        """What a network of the config answers."""
        raise NotImplementedError

    def input_shape(self, network, header: Header) -> tuple[int, ...]:
        """The shape of what a network is shown of one row; by default that of the data."""
        return header.shape

    def presentation(self, network, observation, header: Header) -> "Presentation":
        """How a network is shown data: in training (observation: its own), and in a test (the test's; no augmentation)."""
        raise NotImplementedError

    def adversary(self, network, scale: "Loss", header: Header) -> "Adversary":
        """The critic that a network with the loss `adversarial` trains beside it; scale: of its outputs."""
        raise NotImplementedError

    def posterior_target(self, network, header: Header) -> "Target":
        """What a posterior on a network answers; by default what the network itself does."""
        return self.target(network, header)

    # Judging

    def scales(self, header: Header) -> "Scales":
        """The shells of wave number that images are judged in."""
        from limelight.summaries.scales import scales_of

        return scales_of(header.axes)

    def recorder(self, observation, header: Header) -> "Presentation":
        """What an instrument records of clean data, for estimators that stand beside networks."""
        raise NotImplementedError

    def estimators(self, test, observation, header: Header) -> "dict[str, Estimator]":
        """Those that a test (its entry in the config) names (`beside`), in its order."""
        return {}

    def image_rows(
        self, names: tuple[str, ...], answers: np.ndarray, x: np.ndarray, header: Header
    ) -> dict[str, np.ndarray]:
        """What else to keep of each row of images, (b, …) each: of the answers of a network or of an estimator.

        names: of the truths that they answer, one a channel; answers (b, channels, *axes); x: the rows' data without noise.
        """
        return {}

    def metrics(self, judged: "Judged") -> "Statistics":
        """Statistics beyond those that any target has: (per output, over all outputs)."""
        return {}, {}

    def in_words(self, totals: Mapping[str, float]) -> str:
        """One line on an evaluation's totals; empty: the engine's own words."""
        return ""

    def in_columns(self, totals: Mapping[str, float], settings: Mapping) -> dict[str, str]:
        """The same as a row of the table that closes a run, {heading: text}; empty: the engine's own columns.

        settings: those of the evaluation, for tests that have a goal.
        """
        return {}

    def describe_test(self, evaluation_settings, presentation: "Presentation") -> dict:
        """What tables and figures say of a test: its noise, its dataset's parameters, as plain words and numbers."""
        return {}

    def doubts(self, network, observation, header: Header, recorded: np.ndarray) -> list[str]:
        """What is off about a user's own data (n, channels, *axes) beyond what plain statistics tell; one line each."""
        return []

    def pictures(self, found: Rows, recorded: np.ndarray, presentation: "Presentation") -> dict[str, np.ndarray]:
        """Pictures of the first rows for figures; recorded: these rows with the test's noise, without preprocessing."""
        return {"clean": found.x[: len(recorded)], "noisy": recorded}

    def interventions(
        self, audit_settings, presentation: "Presentation"
    ) -> "dict[str, Callable[[Question], Intervention]]":
        """Changes of test data whose truths change exactly with them; the audit asks whether the network follows."""
        return {}

    def invariances(
        self, audit_settings, presentation: "Presentation"
    ) -> "dict[str, Callable[[Question], np.ndarray]]":
        """Changes of recorded data that must not change the answers of this network: the change of them (m, *shape)."""
        return {}

    def noise_levels(self, audit_settings, presentation: "Presentation") -> list[float]:
        """Levels of noise that the audit adds at test time, in `noise_unit`."""
        return []

    def mean_truth(self, target: "Target", y: Mapping[str, np.ndarray]) -> np.ndarray:
        """The audit's column of that name, (*shape,)."""
        return target.truth(y).mean(axis=0)

    # Saliency

    def pixel_class_files(self, study, results: str, dataset: str) -> list[str]:
        """The study's files, below its folder of results, that `pixel_classes` of a dataset's test rows are made from."""
        return []

    def pixel_classes(self, dataset_settings, found: Rows, paths) -> "dict[str, PixelClasses]":
        """What the pixels of rows hold, by name; attribution is told by these classes. paths: of `pixel_class_files`."""
        return {}

    def back_to_data(self, module: "nn.Module", presentation: "Presentation") -> "tuple[nn.Module, Presentation]":
        """A network and how it is shown data, for saliency: what can be differentiated of the way from the data to what the
        network sees may be made a part of the network. The answers are the same."""
        return module, presentation

    def exact_saliency(
        self, network, observation, header: Header, recorded: np.ndarray, weights: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Saliency of estimators without a network, in closed form, to hold a network's against: (n, channels, *axes) each.

        recorded: the rows with the test's noise, without preprocessing; weights: of the answer (*shape,), see Answer.
        """
        return {}

    # The exact posterior, where theory gives one: every posterior of a study is then held against it

    def limits(self, header: Header) -> "np.ndarray | None":
        """Low and high of the even prior of each number that networks answer, (d, 2); None where it has no such prior."""
        return None

    def grid(self, header: Header) -> "tuple[np.ndarray, ...]":
        """Even steps over the prior of each number that networks answer, for densities to be compared on; () for none."""
        return ()

    def has_exact_posterior(self, study, test) -> bool:
        """Whether `exact_posterior` is known of a test (its entry in the config)."""
        return False

    def exact_posterior(self, observation, header: Header) -> ExactPosterior:
        """That of what an instrument records (`recorder`)."""
        raise NotImplementedError

    # Inference by simulation (IMNN, ABC); a probe that has none leaves these out. paths: what it simulates from

    def simulation_files(self, study, results: str) -> list[str]:
        """The study's files that a posterior simulates from, below its folder of results."""
        return []

    def stream_files(self, study, results: str, realisation: int) -> list[str]:
        """The study's files that `fresh_rows` of a realisation are made from, below its folder of results."""
        return []

    def fresh_rows(
        self, dataset_settings, dataset: str, realisation: int, part: int, draws: int, paths
    ) -> "Iterator[Rows]":
        """Data simulated for a stream, a batch at a time: `draws` of each field of a realisation.

        Random numbers depend on (seed, dataset, realisation, part, field, draw), and differ from those of the shards.
        """
        raise NotImplementedError

    def fisher_rows(self, posterior_settings, paths) -> "tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]":
        """Clean data at the prior's mean (s, …), below and above in each parameter (n, p, …), and the steps (p,)."""
        raise NotImplementedError

    def complete_from(self, dataset_settings, theta: np.ndarray, parameter_names: list[str]) -> "np.ndarray | None":
        """From where on the axis of the answers on each row's truths are whole, (n,), for parameters theta (n, p).

        None where they are whole everywhere, or nobody knows.
        """
        return None

    def most_information(self, posterior_settings) -> "np.ndarray | None":
        """The largest Fisher information (p, p) that any summary can have at the prior's mean, where theory gives it."""
        return None

    def simulator(self, intervals_settings, paths) -> "Simulator":
        """Fresh data for ABC at any parameters, and their prior."""
        raise NotImplementedError
