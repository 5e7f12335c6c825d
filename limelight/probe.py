"""What the engine asks of a probe: the one interface between a simulator and everything that is shared.

A probe is an object of a class like this one, in a folder of its own below
limelight/probes and named in the registry of that package.
The engine never imports a probe: it loads the one that a study names. docs/adding_a_probe.md builds one.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Protocol

from limelight.data.shard import Header, Rows
from limelight.data.targets import Target
from limelight.training.presentation import Presentation


class Probe(Protocol):
    """A simulator with its instrument. `study`: its config, a subclass of limelight.study.sections.Study."""

    name: str
    study: ClassVar[type]

    # The config
    def check(self, study) -> Iterator[str]:
        """One line for each fault that spans the probe's own keys (limelight.errors.problem's words)."""

    def cannot_take(self, study, network: str, test: str) -> str:
        """Why a network cannot be tested on a test, beyond another geometry or other classes; empty when it can."""

    def knows_observation(self, network, test) -> bool:
        """Whether a network (its entry in the config) was trained with what a test (its entry) does to the data."""

    # What decides the stages, as typed settings that hash to the same text whenever they are the same
    def dataset_settings(self, study, dataset: str) -> object:
        """All that decides the shards of a dataset."""

    def observation_settings(self, study, entry) -> object:
        """All that decides how data are observed: of a network's entry in the config, or of a test's."""

    # Data
    def header(self, dataset_settings) -> Header:
        """What all shards of a dataset have in common, known before they exist."""

    def simulate(self, dataset_settings, dataset: str, realisation: int) -> Rows:
        """The rows of one shard. A probe whose shards its own rules make leaves this out."""

    # Training
    def target(self, network, header: Header) -> Target:
        """What a network of the config answers."""

    def presentation(self, network, observation, header: Header) -> Presentation:
        """How a network is shown data, in training (observation: its own) and in a test (the test's)."""

    # Judging
    metrics: Mapping[str, str]  # name -> dotted string of a function of evaluation.metrics.Judged
    figures: Mapping[str, str]
