"""The config of a study of several lines in one cube."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from limelight.probes.line_intensity.config import NonNegativePair
from limelight.section import Different, Either, Name, NonNegative, Number, Positive, Section, SomeNames, Whole
from limelight.study.data_study import DataNetwork, DataStudy, DataTest
from limelight.study.sections import FlatCosmology, Target

EstimatorName = Literal["wiener", "pca"]
Noise = Annotated[NonNegative | NonNegativePair, Either("a number of 0 or more, or [lowest, highest]")]


class Band(Section):
    """A map: the band that an instrument observes."""

    freq_min_ghz: Positive = Field(description="Lower edge, GHz.")
    freq_max_ghz: Positive = Field(description="Upper edge, GHz.")
    noise_factor: NonNegative = Field(1.0, description="Its noise over the noise_uk of networks and tests.")


class Line(Section):
    """A line that shines in one of the maps: a target or an interloper, whichever a network is asked for."""

    map: str = Field(description="The map that it shines in.")
    rest_freq_ghz: Positive = Field(description="Rest frequency, GHz.")
    model: str | None = Field(
        None, description="A line model, as in line_models of studies of one line; not with `halos`."
    )
    prior: Annotated[str | NonNegative, Either("the name of a prior, or a factor of 0 or more")] = Field(
        "fiducial", description="Of the model's parameters, drawn for each field: as in line_models."
    )
    parameters: dict[str, object] = Field({}, description="Means that replace the model's own.")
    mean_temperature_uk: NonNegativePair | None = Field(
        None, description="Draw parameters again whose field has a mean outside this range, µK."
    )
    lprime_ratio: Positive | None = Field(
        None,
        description="L′ (K km/s pc²) of this line over L′ of the line that the model, or the line of `halos`, is of: r_J1 of"
        " a CO ladder. Without it the model must be of this line.",
    )
    ratio_sigma_dex: NonNegative = Field(0.0, description="Spread of that ratio from field to field, dex.")
    halos: str | None = Field(
        None,
        description="Another line with whose halos it shines, by their luminosities there times the ratio; without it those"
        " of a light-cone of its own.",
    )
    mass_min_msun: Number | None = Field(
        None,
        ge=1.0e9,
        le=1.0e14,
        description="Least halo mass of its light-cone, Msun; without it that of the dataset.",
    )
    log10_lum_min: Number = Field(3.5, description="Lowest edge of the luminosity bins of its label, log10 Lsun.")
    log10_lum_max: Number = Field(7.0, description="Highest edge.")
    bins: Whole = Field(14, ge=1, le=200, description="Luminosity bins.")


class Catalogue(Section):
    """Galaxies of the halos of one line, counted in the voxels of its map."""

    line: str = Field(description="The line whose halos they are of.")
    log10_mass_min: Number | None = Field(None, description="Least halo mass, log10 Msun.")
    log10_lum_min: Number | None = Field(None, description="Least luminosity in the line, log10 Lsun.")
    share: Number = Field(1.0, gt=0, le=1, description="Of these halos that the catalogue holds, at random.")
    redshift_error: NonNegative = Field(0.0, description="σ_z / (1 + z).")


class Cubes(Section):
    """One dataset: clean cubes of each line, and catalogues, of fields of sky in parts of a band."""

    size_deg: Positive = Field(description="Side of a field, degrees.")
    per_side: Whole = Field(1, ge=1, le=16, description="Fields along the side of a light-cone.")
    pixels: Whole = Field(32, ge=4, le=1024, description="Along each side of a field.")
    channels: Whole = Field(ge=2, description="Of a whole band.")
    cuts: Whole = Field(1, ge=1, description="Equal parts that a band is cut into; each is a row.")
    beam_fwhm_arcmin: NonNegative = Field(0.0, description="Of the Gaussian beam of all maps, arcmin.")
    draws: Whole = Field(1, ge=1, description="Draws of parameters and scatter for each field.")
    maps: dict[Name, Band] = Field(min_length=1, description="The maps, by name.")
    lines: dict[Name, Line] = Field(min_length=1, description="The lines, by name.")
    catalogues: dict[Name, Catalogue] = Field({}, description="Catalogues of galaxies, by name.")
    images: bool = Field(
        True, description="Keep the clean cube of each line as a truth, which networks of images need."
    )
    mass_min_msun: Number = Field(1.0e11, ge=1.0e9, le=1.0e14, description="Least halo mass, Msun.")
    mass_function: str = Field("tinker08", description="A spherical-overdensity (200m) mass function of colossus.")
    cell_mpc: Number = Field(5.0, ge=0.5, le=10, description="Cell of the light-cones' density grid, Mpc.")
    cosmology: FlatCosmology = FlatCosmology()

    @property
    def rows(self) -> int:
        """Of a realisation."""
        return self.per_side**2 * self.draws * self.cuts

    @property
    def sources(self) -> list[str]:
        """Lines with a light-cone of their own."""
        return [name for name, line in self.lines.items() if line.halos is None]

    def source_of(self, line: str) -> str:
        """The line whose light-cone one shines with."""
        return self.lines[line].halos or line


class MixtureTarget(Target):
    """What a network answers."""

    quantity: Literal["images", "counts"] = Field(
        "counts",
        description="images: the clean cube of each of `lines`; counts: log10(1 + N) of sources in the luminosity bins of"
        " one line.",
    )
    lines: SomeNames = Field(description="Whose.")


class Observed(Section):
    """What is recorded of clean cubes."""

    noise_uk: Noise = Field(
        description="White noise per voxel, µK; [lowest, highest]: drawn evenly between them each time a row is shown."
    )
    lines: SomeNames | None = Field(None, description="Lines that shine; without it all, a network that was not told.")
    continuum_uk: NonNegative = Field(
        0.0,
        description="RMS over the sky of a continuum that is smooth in frequency, µK: a Gaussian field of power k^-2.4 on"
        " the sky, a power of the frequency in each pixel (-2.7 ± 0.2).",
    )


class MixtureNetwork(DataNetwork, Observed):
    """A network and how it is shown cubes."""

    target: MixtureTarget
    sees: SomeNames | None = Field(None, description="Maps and catalogues, in this order; without it all maps.")
    transforms: Annotated[list[Literal["none", "asinh"]], Field(min_length=1), Different] = Field(
        ["none"], description="What is shown of each map: T / scale_uk, or asinh(T / scale_uk), or both."
    )
    scale_uk: Positive = Field(1.0, description="Best the noise.")
    exchange: bool = Field(
        True, description="Lay lines of different light-cones over one another in training, other pairs each time."
    )


class MixtureTest(DataTest, Observed):
    """Cubes of one dataset, recorded in one way, and what stands beside the networks there."""

    estimators: Annotated[list[EstimatorName], Different] = Field(
        [],
        description="wiener: the linear filter of least error, from spectra of light-cones of its own; pca: what is left of"
        " the map without its first modes.",
    )
    pca_modes: Whole = Field(1, ge=1, description="Modes that pca removes.")
    spectra_cones: Whole = Field(2, ge=1, description="Light-cones that wiener knows the spectra from.")

    @property
    def beside(self) -> list[str]:
        return list(self.estimators)


class MixtureStudy(DataStudy):
    """A study of several lines in one cube."""

    probe: Literal["line_mixture"] = Field(description="The probe: what is simulated and observed.")
    data: dict[Name, Cubes] = Field(min_length=1, description="Named sets of cubes.")
    networks: dict[Name, MixtureNetwork] = Field(min_length=1, description="Networks to train, by name.")
    tests: dict[Name, MixtureTest] = Field(min_length=1, description="What each network is tested on.")


def noise_range(level: float | list[float]) -> tuple[float, float]:
    """Lowest and highest noise; for a single level both are that."""
    low, high = level if isinstance(level, list) else (level, level)
    return low, high


def labels_of(line: Line | Mapping) -> dict:
    """The luminosity bins of a line, as limelight.probes.line_intensity.labels takes them."""
    names = ("log10_lum_min", "log10_lum_max", "bins")
    return {name: line[name] if isinstance(line, Mapping) else getattr(line, name) for name in names}
