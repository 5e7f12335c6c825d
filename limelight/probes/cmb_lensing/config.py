"""The config of a study of CMB lensing."""

from typing import Annotated, Literal

from pydantic import Field

from limelight.probes.cmb_lensing.spectra import FIDUCIAL, Parameters
from limelight.section import Different, Name, NonNegative, Number, Pair, Section, Whole
from limelight.study.data_study import DataNetwork, DataStudy, DataTest
from limelight.study.sections import Target

TRUTHS = ("kappa", "e")
TruthName = Literal["kappa", "e"]
EstimatorName = Literal["quadratic", "map", "wiener"]
NoiseRange = Annotated[list[NonNegative], Field(min_length=2, max_length=2)]


LIMITS = {  # beyond these a number is another quantity, such as H0 for h or A_s for its logarithm
    "ombh2": (1e-3, 0.1),
    "omch2": (1e-3, 1.0),
    "h": (0.2, 2.0),
    "ns": (0.2, 2.0),
    "ln1e10as": (1.0, 5.0),
    "tau": (1e-3, 0.5),
    "mnu": (0.0, 5.0),
}


def _parameter(name: str, words: str):
    low, high = LIMITS[name]
    return Field(getattr(FIDUCIAL, name), ge=low, le=high, description=words)


class Universe(Section):
    """A flat ΛCDM universe with one massive neutrino. The defaults are Planck's (arXiv:1807.06209)."""

    ombh2: Number = _parameter("ombh2", "Density of baryons times h².")
    omch2: Number = _parameter("omch2", "Density of cold dark matter times h².")
    h: Number = _parameter("h", "Hubble constant over 100 km/s/Mpc.")
    ns: Number = _parameter("ns", "Spectral index.")
    ln1e10as: Number = _parameter("ln1e10as", "ln(10¹⁰ A_s).")
    tau: Number = _parameter("tau", "Optical depth.")
    mnu: Number = _parameter("mnu", "Sum of the neutrino masses, eV.")

    @property
    def parameters(self) -> Parameters:
        return Parameters(**{name: getattr(self, name) for name in type(self).model_fields})


class Sky(Section):
    """One dataset: square patches of lensed, polarised sky, simulated one by one."""

    pixels: Whole = Field(64, ge=16, le=2048, description="Along each side of a patch.")
    pixel_arcmin: Number = Field(2.34375, ge=0.2, le=20, description="Side of a pixel, arcmin.")
    maps: Whole = Field(512, ge=1, description="Patches per realisation.")
    beam_arcmin: NonNegative = Field(0.0, description="Full width at half maximum of the Gaussian beam, arcmin.")
    oversample: Whole = Field(
        2, ge=1, le=8, description="How many times smaller the pixels are on which the sky is lensed."
    )
    margin: Whole = Field(
        0, ge=0, description="Pixels of sky simulated beyond the patch, in all; with 0 opposite edges fit one another."
    )
    taper_deg: NonNegative = Field(
        0.0, description="Width over which a mask falls to zero at the edges, degrees; 0: no mask."
    )
    universe: Universe = Universe()
    drawn: dict[Name, Pair] = Field(
        {}, description="Parameters of the universe drawn evenly between two limits, once for each realisation."
    )

    @property
    def moves(self) -> bool:
        """Whether a patch may be moved around its square: it has no edges."""
        return self.margin == 0 and self.taper_deg == 0

    @property
    def cut(self) -> bool:
        """Whether opposite edges do not fit one another, and no mask hides them."""
        return self.margin > 0 and self.taper_deg == 0


class LensingTarget(Target):
    """What a network answers."""

    maps: Annotated[list[TruthName], Field(min_length=1), Different] = Field(
        ["kappa"], description="kappa (the convergence), e (E before lensing, µK), or both: the channels of its answer."
    )


class LensingNetwork(DataNetwork):
    """A network that reconstructs κ or the unlensed E from lensed Q and U."""

    noise_uk_arcmin: NonNegative | NoiseRange = Field(
        description="White noise σ_P of Q and of U that it is shown its maps with, µK arcmin (√2 times that of T); or"
        " [lowest, highest], of networks that see maps: drawn evenly between them each time that a patch is shown."
    )
    target: LensingTarget = LensingTarget()
    inputs: Literal["maps", "hybrid"] = Field(
        "maps",
        description="maps: Q and U alone. hybrid: also the quadratic estimate of κ, the deflection that follows from it, its"
        " products with the gradients of Q and U, and E behind a Wiener filter; each answer is then a correction of its"
        " estimate.",
    )


class LensingTest(DataTest):
    """Patches of one dataset under one level of noise, and what stands beside the networks there."""

    noise_uk_arcmin: NonNegative = Field(description="White noise σ_P of Q and of U, µK arcmin.")
    estimators: Annotated[list[EstimatorName], Different] = Field(
        ["quadratic", "wiener"],
        description="What stands beside the networks: the quadratic estimate of κ, the maximum of the posterior (map:"
        " iterative and slow), E behind a Wiener filter (wiener).",
    )

    @property
    def beside(self) -> list[str]:
        return list(self.estimators)


class LensingStudy(DataStudy):
    """A study of CMB lensing."""

    probe: Literal["cmb_lensing"] = Field(description="The probe: what is simulated and observed.")
    data: dict[Name, Sky] = Field(min_length=1, description="Named sets of patches.")
    networks: dict[Name, LensingNetwork] = Field(min_length=1, description="Networks to train, by name.")
    tests: dict[Name, LensingTest] = Field(min_length=1, description="What each network is tested on.")
