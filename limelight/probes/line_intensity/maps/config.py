"""The sections of a config that say how maps are observed: noise, radio sources, and what a pipeline does."""

from typing import Annotated, Literal

from pydantic import Field

from limelight.section import FROM_TEXT, Either, Name, NonNegative, Number, Positive, Section, Whole

NonNegativePair = Annotated[list[NonNegative], Field(min_length=2, max_length=2)]
PositivePair = Annotated[list[Positive], Field(min_length=2, max_length=2)]
NOISE_DEFAULT = "none"


class Noise(Section):
    """One white-noise setting, that networks and tests refer to by its name."""

    sigma_uk: Annotated[NonNegative | NonNegativePair, Either("a number of 0 or more, or [low, high]")] | None = Field(
        None,
        description="White-noise σ in µK; [low, high] draws it anew (uniformly) at every presentation.",
    )
    per_voxel_of: Literal["map", "instrument"] = Field(
        "map", description="Whose voxel sigma_uk belongs to: the map's fine voxel, or the instrument's."
    )
    edge_ratio: Annotated[float, Field(ge=1, allow_inf_nan=False), FROM_TEXT] | None = Field(
        None,
        description="σ at the middle of a field's side over that at its centre, growing as edge_ratio^(r²), r = 1"
        " there: a scan that stays shorter on the edges, with the same observing time in all. Without it σ is the same"
        " everywhere.",
    )
    radiometer: bool = Field(
        False,
        description="Take σ per instrument voxel from the instrument's system temperature, feeds and hours instead of"
        " sigma_uk.",
    )
    survey: str | None = Field(
        None,
        description="A survey's map on the study's grid, fine or pooled (docs/your_map.md), or a name in"
        " resources/surveys: σ of each voxel is that of the file, instead of sigma_uk, and what it masks is not seen.",
    )
    sigma_factor: Annotated[Positive | PositivePair, Either("a number above 0, or [low, high]")] | None = Field(
        None,
        description="Of a survey: σ is this many times the file's; [low, high] draws it anew at every presentation,"
        " evenly in its logarithm: one network for a range of depths. Without it 1.",
    )
    mask: bool | None = Field(
        None,
        description="Of a survey: whether what it masks is not seen. With false all voxels are, those masked with the"
        " largest σ of the map. Without it true.",
    )

    @property
    def sigma_range(self) -> tuple[float, float]:
        """(low, high) of sigma_uk, equal where it is one number; of a survey, those of sigma_factor."""
        own = (self.sigma_factor or 1.0) if self.survey else self.sigma_uk
        low, high = own if isinstance(own, list) else (own, own)
        return low, high

    @property
    def quiet(self) -> bool:
        """Whether it adds no noise."""
        return not self.radiometer and self.sigma_range == (0, 0)

    @property
    def uniform(self) -> bool:
        """Whether σ is one number, the same everywhere and always."""
        low, high = (1, 1) if self.radiometer else self.sigma_range
        return low == high and self.edge_ratio in (None, 1) and not self.survey


class Filter(Section):
    """What happens to a map between the sky and the file that a survey publishes, beside the noise. docs/training.md has
    the order."""

    efficiency: Annotated[Positive | PositivePair, Either("a number above 0, or [low, high]")] = Field(
        1.0,
        description="What the sky's temperatures are multiplied by, such as a main-beam efficiency that the map was not"
        " divided by; [low, high] draws it anew (uniformly) at every presentation.",
    )
    calibration_error: Number = Field(
        0.0, ge=0, lt=1, description="σ of a further factor on the sky's temperatures, about 1, drawn for each map."
    )
    high_pass_perp: PositivePair | None = Field(
        None,
        description="[k, width] in 1/Mpc of a filter across the sky: amplitudes are multiplied by 1/(1 + exp((k −"
        " k_perp)/width)).",
    )
    high_pass_par: PositivePair | None = Field(None, description="The same along the line of sight, of k_par.")
    passed: Number = Field(1.0, gt=0, le=1, description="What is left of amplitudes that pass both.")
    transfer: str | None = Field(
        None,
        description="In place of these three: a CSV file with columns k_perp_per_mpc, k_par_per_mpc and transfer (of"
        " amplitudes: the root of a ratio of powers).",
    )
    filters_noise: bool = Field(
        False,
        description="Whether the noise has gone through the same filter as the sky, as where maps were filtered; σ stays"
        " that of its white part. Without it the filter acts on the sky alone.",
    )
    ripple_uk: Number = Field(
        0.0, ge=0, description="Root mean square of a standing wave along frequency, µK in every voxel's mean."
    )
    ripple_ghz: Number = Field(2.0, gt=0, description="Its period.")
    knee_per_mpc: Number = Field(
        0.0,
        ge=0,
        description="1/f noise: σ² of the noise of each channel becomes σ² (1 + (knee/k_perp)^slope); 0: white noise.",
    )
    knee_slope: Number = Field(1.0, gt=0, description="Its slope.")
    means: Literal["kept", "removed", "removed_weighted"] = Field(
        "kept",
        description="Whether the pipeline takes the mean of each channel off, plain or weighted by 1/σ², over what was"
        " observed.",
    )
    pca_modes: Whole = Field(
        0,
        ge=0,
        description="Principal components along frequency that it takes off, in units of the noise (arXiv:2406.07511).",
    )

    @property
    def files(self) -> list[str]:
        """Files that it reads."""
        return [self.transfer] if self.transfer else []

    @property
    def filters_waves(self) -> bool:
        """Whether it has a transfer function."""
        return bool(self.transfer or self.high_pass_perp or self.high_pass_par or self.passed != 1)


class Foregrounds(Section):
    """One setting of radio point sources (arXiv:0912.2335), that networks and tests refer to by its name."""

    sources_per_deg2: Number = Field(
        32.1,
        ge=0,
        description="N0 of dN/dS = N0 (S/mJy)^-γ at 31 GHz, per deg² and mJy (N(>1 mJy) = N0/(γ − 1) = 27.2 per deg²).",
    )
    sources_per_deg2_sigma: Number = Field(3.0, ge=0, description="Its uncertainty; drawn anew at every presentation.")
    slope: Number = Field(2.18, ge=1, description="γ of dN/dS ∝ S^-γ.")
    slope_sigma: Number = Field(0.12, ge=0, description="Its uncertainty; drawn anew at every presentation.")
    flux_min_mjy: Number = Field(1.0, gt=0, description="Faintest source, mJy at 31 GHz.")
    flux_max_mjy: Number = Field(316.23, gt=0, description="Brightest source, mJy at 31 GHz.")
    spectral_index: Number = Field(0.39, description="α of S ∝ ν^-α, mean over sources.")
    spectral_index_sigma: Number = Field(0.33, ge=0, description="Its scatter from source to source.")


class Observation(Section):
    """What the telescope does to a map."""

    instrument: str = Field("comap", description="A name in resources/instruments, or a path to such a YAML file.")
    beam: bool = Field(
        False,
        description="Smooth the fine map by the instrument's beam before pooling. Light that the beam carries over the"
        " edges is lost and none comes in from outside: 0.68 FWHM over the side, 3.2 % of the flux for 4′ on 1.4°. Paint"
        " a margin: a field wider than the one you observe by 2 FWHM a side.",
    )
    noise: dict[Name, Noise] = Field(
        {NOISE_DEFAULT: Noise(sigma_uk=0.0)},
        description="Named white-noise settings that networks and tests refer to.",
    )
    foregrounds: dict[Name, Foregrounds] = Field(
        {},
        description="Named radio point-source settings (arXiv:0912.2335) that networks and tests refer to.",
    )
    filters: dict[Name, Filter] = Field(
        {},
        description="Named settings of what a survey's pipeline does to its map, that networks and tests refer to.",
    )
