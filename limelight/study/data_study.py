"""Ready-made sections: a study of named sets of simulations, its `data`, each made in numbered realisations.

For probes that need no more than that; theirs add what they simulate, how they observe it, and `probe`.
"""

from pydantic import Field

from limelight.section import Name, Numbers, Section, SomeNames
from limelight.study.sections import Network, NetworkTest, Study


class Realisations(Section):
    """Which simulated universes train, choose and judge."""

    train: Numbers = Field(description='Realisations to train on: a list, or a range such as "0-7".')
    validation: Numbers = Field(
        description="Realisations that choose (history, best epoch); no network is trained on them."
    )
    test: Numbers = Field(description="Realisations that judge; nothing has seen them before.")


class DataNetwork(Network):
    """A network and the sets that it trains on."""

    datasets_key = "data"

    data: SomeNames = Field(description="Names of the datasets that it trains on.")

    @property
    def datasets(self) -> list[str]:
        return self.data


class DataTest(NetworkTest):
    """What networks are tested on: one set, observed in one way."""

    dataset_key = "data"

    data: str = Field(description="Name of the dataset.")

    @property
    def dataset(self) -> str:
        return self.data


class DataStudy(Study):
    """A study of named sets of simulations. A probe's study narrows `data`, `networks` and `tests` to its own types."""

    datasets_key = "data"

    realisations: Realisations
    data: dict[Name, Section] = Field(min_length=1, description="Named sets of simulations.")

    @property
    def splits(self) -> dict[str, list[int]]:
        return {split: getattr(self.realisations, split) for split in ("train", "validation", "test")}

    @property
    def datasets(self) -> list[str]:
        return list(self.data)
