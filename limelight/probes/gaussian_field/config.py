"""The config of a study of Gaussian random fields."""

from typing import Literal

from pydantic import Field

from limelight.section import Name, Number, Pair, Section, SomeNames, Whole
from limelight.study.sections import Network, NetworkTest, Realisations, Study


class Fields(Section):
    """One dataset: fields whose amplitude and slope are drawn evenly between two limits."""

    pixels: Whole = Field(32, ge=4, le=4096, description="Along each side of the periodic square.")
    fields: Whole = Field(256, ge=1, description="Fields per realisation.")
    log10_amplitude: Pair = Field([-1.0, 1.0], description="Limits of log10 of the power of waves of eight pixels.")
    slope: Pair = Field([-3.0, -1.0], description="Limits of the slope of the power spectrum.")


class FieldNetwork(Network):
    """A network that reads amplitude and slope off a noisy field."""

    datasets_key = "data"

    data: SomeNames = Field(description="Names of the datasets that it trains on.")
    noise: Number = Field(0.0, ge=0, description="σ of the white noise per pixel that it is shown its fields with.")

    @property
    def datasets(self) -> list[str]:
        return self.data


class FieldTest(NetworkTest):
    """Fields of one dataset under one level of noise."""

    dataset_key = "data"

    data: str = Field(description="Name of the dataset.")
    noise: Number = Field(0.0, ge=0, description="σ of the white noise per pixel.")

    @property
    def dataset(self) -> str:
        return self.data


class FieldStudy(Study):
    """A study of Gaussian random fields."""

    probe: Literal["gaussian_field"] = Field(description="The probe: what is simulated and observed.")
    realisations: Realisations
    data: dict[Name, Fields] = Field(min_length=1, description="Named sets of fields.")
    networks: dict[Name, FieldNetwork] = Field(min_length=1, description="Networks to train, by name.")
    tests: dict[Name, FieldTest] = Field(min_length=1, description="What each network is tested on.")

    datasets_key = "data"

    @property
    def splits(self) -> dict[str, list[int]]:
        return {split: getattr(self.realisations, split) for split in ("train", "validation", "test")}

    @property
    def datasets(self) -> list[str]:
        return list(self.data)
