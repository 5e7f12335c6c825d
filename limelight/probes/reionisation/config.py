"""The config of a study of reionisation."""

from typing import Literal

from pydantic import Field

from limelight.probes.reionisation.spectra import LMAX, TAUS
from limelight.section import Name, NonNegative, Number, Pair, Section, Whole
from limelight.study.data_study import DataNetwork, DataStudy, DataTest


class Instrument(Section):
    """What is added to the sky, and what of it is seen. Noise levels are σ of Q and of U."""

    cut_deg: Number = Field(0.0, ge=0, lt=85, description="Galactic latitude below which nothing is seen, degrees.")
    isotropic_uk_arcmin: NonNegative = Field(
        0.0, description="Noise that is even over the sky and ends at the highest multipole, µK arcmin."
    )
    knee_ell: NonNegative = Field(0.0, description="Multipole below which the isotropic noise rises; 0: white.")
    knee_slope: NonNegative = Field(2.0, description="Its power grows as (knee/ℓ)^slope.")
    pixel_uk_arcmin: NonNegative = Field(0.0, description="White noise of each pixel on its own, µK arcmin.")
    anisotropy: Number = Field(
        0.0, ge=0, lt=1, description="Its variance is 1 + this on the ecliptic and 1 − this at the ecliptic poles."
    )
    dust_uk: NonNegative = Field(
        0.0, description="Spread of the amplitude of a dust-like template, µK; its rms over the sky is 1."
    )
    gain_uk: NonNegative = Field(
        0.0, description="Spread of the amplitude of a template as a wrong gain leaves it: the dipole along the scan."
    )

    @property
    def harmonic(self) -> bool:
        """Whether multipoles are independent: the posterior then is a sum over them."""
        return not (self.cut_deg or self.pixel_uk_arcmin or self.dust_uk or self.gain_uk)


class Bank(Section):
    """Noise that is simulated once and stored with the data, as expensive simulations are."""

    noises: Whole = Field(ge=1, description="Realisations of noise and systematics per realisation; no other has them.")
    instrument: Instrument = Instrument()


class Sky(Section):
    """One dataset: full skies of Q and U, each with its own τ."""

    nside: Literal[4, 8, 16] = Field(8, description="HEALPix resolution; multipoles go up to 3 nside − 1.")
    maps: Whole = Field(500, ge=1, description="Skies per realisation.")
    tau: Pair = Field([0.03, 0.10], description=f"Limits of the even prior of τ, between {TAUS[0]:g} and {TAUS[-1]:g}.")
    beam_deg: NonNegative = Field(0.0, description="Full width at half maximum of the Gaussian beam, degrees.")
    bank: Bank | None = Field(None, description="Stored noise; without it noise is drawn afresh at each presentation.")

    @property
    def lmax(self) -> int:
        return min(3 * self.nside - 1, LMAX)


class TauNetwork(DataNetwork):
    """A network that reads τ off Q and U."""

    instrument: Instrument = Field(
        description="What it is shown its skies with; of stored noise, what its filter assumes."
    )
    inputs: Literal["maps", "eb_maps", "alm", "spectra", "power", "filtered", "filtered_power"] = Field(
        "maps",
        description="maps: Q and U. eb_maps: maps of E and B. alm: their multipole moments. spectra: ln of their"
        " pseudo-power spectra; power: without ln. filtered: ln of the power of the moments of the inverse-variance"
        " filtered sky; filtered_power: without ln. Moments are of the cut sky.",
    )


class TauTest(DataTest):
    """Skies of one dataset as one instrument sees them."""

    instrument: Instrument = Instrument()


class TauStudy(DataStudy):
    """A study of reionisation."""

    probe: Literal["reionisation"] = Field(description="The probe: what is simulated and observed.")
    data: dict[Name, Sky] = Field(min_length=1, description="Named sets of skies.")
    networks: dict[Name, TauNetwork] = Field(min_length=1, description="Networks to train, by name.")
    tests: dict[Name, TauTest] = Field(min_length=1, description="What each network is tested on.")
