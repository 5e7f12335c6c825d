"""The config of a study of strong lenses."""

from typing import Annotated, Literal

from pydantic import Field

from limelight.section import Name, Number, Pair, Positive, Section, Whole
from limelight.study.data_study import DataNetwork, DataStudy, DataTest
from limelight.study.sections import Target

OfBands = Annotated[list[Positive], Field(min_length=3, max_length=3)]


class Camera(Section):
    """A survey's camera: three bands, g, r and i. The defaults are those of the Dark Energy Survey (arXiv:2101.05765)."""

    pixels: Whole = Field(45, ge=15, le=256, description="Along each side of an image.")
    pixel_arcsec: Positive = Field(0.263, description="Side of a pixel.")
    psf_fwhm_arcsec: OfBands = Field([1.11, 0.95, 0.88], description="FWHM of the round Gaussian PSF in g, r, i.")
    depth_mag: OfBands = Field(
        [24.7, 24.4, 23.8], description="Magnitude in g, r, i that is ten times the sky's noise in 1.95 arcsec."
    )
    electrons: Positive = Field(
        20.0, description="Electrons per unit of flux (magnitude 30): the Poisson noise of the galaxies' own light."
    )


class Galaxies(Section):
    """One dataset: images of galaxies, with the even priors of all that is drawn."""

    images: Whole = Field(2000, ge=2, description="Per realisation.")
    lenses: Number = Field(1.0, ge=0, le=1, description="Share of them that are lenses.")
    theta_e: Pair = Field([0.6, 2.4], description="Einstein radius, arcsec.")
    ellipticity: Pair = Field([-0.25, 0.25], description="Of the mass, e1 and e2 each: (1 − q)/(1 + q) cos 2φ, sin 2φ.")
    source_place: Pair = Field([-0.4, 0.4], description="x and y of the source, as it would stand unlensed, arcsec.")
    centre: Pair = Field([-0.13, 0.13], description="x and y of the lens, arcsec.")
    lens_radius: Pair = Field([0.6, 1.6], description="Half-light radius of the lens (Sérsic, n = 4), arcsec, in ln.")
    lens_ellipticity: Pair = Field([-0.25, 0.25], description="Of its light, e1 and e2 each.")
    lens_mag: Pair = Field([18.5, 20.5], description="Its magnitude in i.")
    lens_g_r: Pair = Field([1.2, 1.7], description="Its colour g − r.")
    lens_r_i: Pair = Field([0.4, 0.7], description="Its colour r − i.")
    source_radius: Pair = Field(
        [0.1, 0.5], description="Half-light radius of the source (Sérsic, n = 1), arcsec, in ln."
    )
    source_ellipticity: Pair = Field([-0.3, 0.3], description="Of the source, e1 and e2 each.")
    source_mag: Pair = Field([22.0, 24.5], description="Its magnitude in i, unlensed.")
    source_g_r: Pair = Field([0.0, 0.5], description="Its colour g − r.")
    source_r_i: Pair = Field([0.0, 0.3], description="Its colour r − i.")
    companions: Whole = Field(
        2, ge=1, le=10, description="Blue galaxies at most around a third of the galaxies that are no lenses."
    )
    companion_brighter: Pair = Field(
        [1.0, 2.5], description="Magnitudes by which these are brighter than sources: lenses magnify theirs."
    )
    disc_mag: Pair = Field([19.5, 21.5], description="Magnitude in i of the blue disc around another third.")
    disc_radius: Pair = Field([1.0, 2.5], description="Its half-light radius (Sérsic, n = 1), arcsec.")


class LensTarget(Target):
    """What a network answers."""

    answer: Literal["kind", "lens"] = Field(
        "lens",
        description="kind: galaxy or lens. lens: Einstein radius, ellipticity and place of the source, of data that are all"
        " lenses.",
    )


class LensNetwork(DataNetwork):
    """A network that finds lenses, or measures them."""

    target: LensTarget = LensTarget()

    @property
    def classifies(self) -> bool:
        return self.target.answer == "kind"

    @property
    def tells_datasets_apart(self) -> bool:
        return False


class LensTest(DataTest):
    """Images of one dataset, under noise of their own."""


class LensJudging(Section):
    """Beside what is known without a network: `beside/finding.csv` and `beside/chains.csv` (docs/strong_lens.md)."""

    rates: list[Positive] = Field([0.1, 0.01], min_length=1, description="Rates of false positives, per galaxy.")
    lenses: Whole = Field(20, ge=1, description="Lenses whose posterior is sampled by MCMC, the first of the test.")
    walkers: Whole = Field(40, ge=40, description="Of each chain.")
    burn_in: Whole = Field(100, ge=0, description="Steps thrown away.")
    steps: Whole = Field(250, ge=40, description="Steps kept.")


class LensStudy(DataStudy):
    """A study of strong lenses."""

    probe: Literal["strong_lens"] = Field(description="The probe: what is simulated and observed.")
    camera: Camera = Camera()
    judging: LensJudging = LensJudging()
    data: dict[Name, Galaxies] = Field(min_length=1, description="Named sets of images.")
    networks: dict[Name, LensNetwork] = Field(min_length=1, description="Networks to train, by name.")
    tests: dict[Name, LensTest] = Field(min_length=1, description="What each network is tested on.")
