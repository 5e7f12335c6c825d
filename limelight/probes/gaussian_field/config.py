"""The config of a study of Gaussian random fields."""

from typing import Literal

from pydantic import Field

from limelight.section import Name, Number, Pair, Section, Whole
from limelight.study.data_study import DataNetwork, DataStudy, DataTest


class Fields(Section):
    """One dataset: fields whose amplitude and slope are drawn evenly between two limits."""

    pixels: Whole = Field(32, ge=4, le=4096, description="Along each side of the periodic square.")
    fields: Whole = Field(256, ge=1, description="Fields per realisation.")
    log10_amplitude: Pair = Field([-1.0, 1.0], description="Limits of log10 of the power of waves of eight pixels.")
    slope: Pair = Field([-3.0, -1.0], description="Limits of the slope of the power spectrum.")


class FieldNetwork(DataNetwork):
    """A network that reads amplitude and slope off a noisy field."""

    noise: Number = Field(0.0, ge=0, description="σ of the white noise per pixel that it is shown its fields with.")


class FieldTest(DataTest):
    """Fields of one dataset under one level of noise."""

    noise: Number = Field(0.0, ge=0, description="σ of the white noise per pixel.")


class FieldStudy(DataStudy):
    """A study of Gaussian random fields."""

    probe: Literal["gaussian_field"] = Field(description="The probe: what is simulated and observed.")
    data: dict[Name, Fields] = Field(min_length=1, description="Named sets of fields.")
    networks: dict[Name, FieldNetwork] = Field(min_length=1, description="Networks to train, by name.")
    tests: dict[Name, FieldTest] = Field(min_length=1, description="What each network is tested on.")
