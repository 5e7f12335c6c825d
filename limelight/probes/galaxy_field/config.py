"""The config of a study of galaxy fields."""

from typing import Annotated, Literal

from pydantic import Field

from limelight.probes.galaxy_field.fields import CELL
from limelight.section import Either, Name, NonNegative, Number, Pair, Positive, Section, Whole
from limelight.study.data_study import DataNetwork, DataStudy, DataTest


class GalaxyField(Section):
    """One dataset: images of square fields, each with a luminosity function of its own."""

    pixels: Whole = Field(64, ge=8, le=1024, multiple_of=CELL, description="Along each side; opposite edges touch.")
    bands: Whole = Field(2, ge=1, le=8, description="Images of each field.")
    fields: Whole = Field(500, ge=1, description="Fields per realisation.")
    ln_phi_star: Pair = Field([3.0, 5.0], description="Limits of the even prior of ln φ*, φ* in galaxies per field.")
    ln_l_star: Pair = Field([-1.0, 1.0], description="Limits of the even prior of ln L*, L* in units of flux.")
    alpha: Annotated[Number | Pair, Either("a number, or [low, high]")] = Field(
        -1.0,
        description="Faint-end slope, above −2 and up to 2; or the limits of its even prior, and it is answered, too.",
    )
    l_min: Positive = Field(0.1, description="Luminosity of the faintest galaxies.")
    psf_sigma: Positive = Field(1.2, description="Width σ of the Gaussian PSF, pixels.")
    colour: Number = Field(0.3, description="ln of the flux in each further band over that in the one before it.")
    colour_scatter: NonNegative = Field(0.2, description="Its scatter from galaxy to galaxy.")


class GalaxyNetwork(DataNetwork):
    """A network that reads the parameters off images or off the histogram of their pixels."""

    noise: NonNegative = Field(0.05, description="σ of the white noise per pixel and band, in units of flux.")
    inputs: Literal["images", "histogram"] = Field(
        "images",
        description="images: arcsinh of the pixels over the noise. histogram: how many pixels of each band there are in"
        " steps of it.",
    )
    answers: Literal["parameters", "cells"] = Field(
        "parameters",
        description="parameters: of the luminosity function. cells: what there is in each square of 2 × 2 pixels: how many"
        " galaxies, their light, and its logarithms' sum; posteriors on the network answer the parameters.",
    )


class GalaxyTest(DataTest):
    """Fields of one dataset under one level of noise."""

    noise: NonNegative = Field(0.05, description="σ of the white noise per pixel and band.")


class GalaxyStudy(DataStudy):
    """A study of galaxy fields."""

    probe: Literal["galaxy_field"] = Field(description="The probe: what is simulated and observed.")
    data: dict[Name, GalaxyField] = Field(min_length=1, description="Named sets of fields.")
    networks: dict[Name, GalaxyNetwork] = Field(min_length=1, description="Networks to train, by name.")
    tests: dict[Name, GalaxyTest] = Field(min_length=1, description="What each network is tested on.")
