"""The config of a study of weak lensing."""

from typing import Literal

from pydantic import Field

from limelight.section import Name, NonNegative, Number, Pair, Positive, Section, Whole
from limelight.study.data_study import DataNetwork, DataStudy, DataTest


class Boxes(Section):
    """Of ray-traced maps: the simulations behind them. A realisation is one cosmology with a pair of boxes of its own."""

    side_mpc: Positive = Field(
        170.0, description="Side of a periodic box, comoving Mpc; light passes through one after another."
    )
    particles: Whole = Field(128, ge=8, le=1024, description="Along each side.")
    mesh: Whole = Field(256, ge=8, le=2048, description="Cells of the forces along each side; even.")
    plane: Whole = Field(512, ge=16, le=8192, description="Cells along each side of a projected half; even.")
    times: Whole = Field(
        13,
        ge=2,
        le=200,
        description="Times between the sources and today at which halves are kept, each after one step.",
    )
    pair: bool = Field(
        True,
        description="Two boxes with fixed amplitudes and opposite phases; otherwise one box with drawn amplitudes.",
    )
    sharpen: bool = Field(
        True,
        description="Move particles towards matter where halves are kept, which puts back what forces and steps blur, by a"
        " strength that grows as the square of the particles' spacing.",
    )
    realisations_per_cosmology: Whole = Field(
        1, ge=1, description="Realisations in a row, from 0, that share one point of the Sobol design in (Ωm, σ8)."
    )
    drawn: dict[Literal["omega_b", "h", "ns"], Pair] | None = Field(
        None,
        description="Other parameters of the universe: [low, high] that each cosmology's are drawn from evenly; the others"
        " are 0.046, 0.72 and 0.96. Networks are told nothing of them.",
    )
    bent: bool = Field(False, description="Bend the rays at every plane; otherwise they are straight (Born).")
    sources: list[Pair] = Field(
        [],
        max_length=200,
        description="[z, weight] of sources at several redshifts; empty: all at one.",
    )


class Files(Section):
    """Of your own maps: a table that names them (docs/weak_lensing.md)."""

    table: str = Field(
        description="CSV with one row per file: columns file, omega_m, sigma8 and realisation, and dataset of HDF5 files."
    )
    scale: Positive = Field(1.0, description="What the values are multiplied by to be κ.")
    average: Whole = Field(
        1, ge=1, le=64, description="Pixels of the files along each side of one pixel: their mean; larger maps are cut."
    )


class Maps(Section):
    """One dataset: square maps of the convergence κ with the Ωm and σ8 of their universes."""

    kind: Literal["lognormal", "gaussian", "ray_traced", "files"] = Field(
        "lognormal", description="Where the maps come from; the exact posterior of the first two is known."
    )
    pixels: Whole = Field(64, ge=8, le=4096, description="Along each side.")
    pixel_arcmin: Positive = Field(2.0, description="Side of a pixel.")
    maps: Whole = Field(256, ge=1, description="Per realisation; of files at most so many.")
    omega_m: Pair = Field([0.16, 0.5], description="Limits of its even prior.")
    sigma8: Pair = Field([0.5, 1.1], description="Limits of its even prior.")
    source_redshift: Positive = Field(
        1.0, description="Of all sources; of lognormal and Gaussian maps 0.5, 1, 1.5 or 2."
    )
    shift: Positive = Field(0.05, description="λ of lognormal maps: −λ is their lowest κ.")
    boxes: Boxes = Boxes()
    files: Files | None = Field(None, description="Of kind files: which.")


class Survey(Section):
    """How maps are observed, drawn afresh each time."""

    n_gal: Positive | None = Field(
        None, description="Source galaxies per square arcminute; without it there is no shape noise."
    )
    ellipticity: Positive = Field(
        0.4, description="σ_ε of both components together: the noise of a pixel is σ_ε/√(2 n_gal A)."
    )
    smoothing_arcmin: NonNegative = Field(0.0, description="σ of a Gaussian that the noisy map is smoothed with.")
    masked: Number = Field(
        0.0, ge=0, lt=0.9, description="Share of the map behind round holes at random places, where κ is 0."
    )
    hole_arcmin: Positive = Field(4.0, description="Radius of the holes.")
    removed: Literal["negative", "peaks"] | None = Field(
        None,
        description="Pixels that are replaced by 0: all below 0, or all above 3 σ of the map as observed. What a posterior"
        " then loses says what they were worth.",
    )


class LensingNetwork(DataNetwork):
    """A network that reads Ωm and σ8 off maps."""

    survey: Survey = Survey()
    scale: Positive = Field(0.02, description="What κ is divided by before a network sees it.")


class LensingTest(DataTest):
    """Maps of one dataset, observed in one way."""

    survey: Survey = Survey()


class LensingStudy(DataStudy):
    """A study of weak lensing."""

    probe: Literal["weak_lensing"] = Field(description="The probe: what is simulated and observed.")
    data: dict[Name, Maps] = Field(min_length=1, description="Named sets of maps.")
    networks: dict[Name, LensingNetwork] = Field(min_length=1, description="Networks to train, by name.")
    tests: dict[Name, LensingTest] = Field(min_length=1, description="What each network is tested on.")
