"""What a study of line-intensity maps has in its config, beside the engine's sections and the halos'."""

from typing import Annotated, Literal

from pydantic import Field

from limelight.halos.config import Lightcones, Subfields
from limelight.probes.line_intensity.maps.config import NOISE_DEFAULT, Observation
from limelight.probes.line_intensity.rival.config import RivalOptions
from limelight.section import (
    WHOLE_FROM_TEXT,
    Different,
    Either,
    Name,
    Natural,
    NonNegative,
    Number,
    Pair,
    Section,
    SomeNames,
    Whole,
)
from limelight.study.posteriors import Posterior
from limelight.study.sections import (
    SPLITS,
    Audit,
    FlatCosmology,
    Network,
    NetworkTest,
    Study,
    Target,
    Thresholds,
    Training,
)

NonNegativePair = Annotated[list[NonNegative], Field(min_length=2, max_length=2)]


class MapGrid(Section):
    """The map's voxel grid and its pooling."""

    pixels: Whole = Field(ge=1, description="Pixels along each side of a subfield.")
    channels: Whole = Field(ge=1, description="Frequency channels.")
    freq_min_ghz: Number = Field(gt=0, description="Lower edge of the band, GHz.")
    freq_max_ghz: Number = Field(gt=0, description="Upper edge of the band, GHz.")
    rest_freq_ghz: Number = Field(115.27, gt=0, description="Rest frequency of the line, GHz (CO(1-0) by default).")
    unit: Literal["uK", "Jy/sr"] = Field(
        "uK", description="Brightness temperature (Rayleigh-Jeans) or specific intensity."
    )
    pool_pixels: Whole = Field(4, ge=1, description="Pixels summed along each sky axis.")
    pool_channels: Whole = Field(10, ge=1, description="Channels summed.")
    survey: str | None = Field(
        None,
        description="Survey's map, written by scripts/plan.py, of which maps are a part: a source's light counts by 1/σ² of"
        " the survey's own voxel that it falls into, over the mean of that in the study's voxel, and what the beam carries"
        " over a rim comes in at the opposite one, as neighbours' light would. Without it all light counts alike, and none"
        " comes in.",
    )

    @property
    def redshift_range(self) -> tuple[float, float]:
        """Observed redshifts of the band's edges, low and high."""
        return self.rest_freq_ghz / self.freq_max_ghz - 1, self.rest_freq_ghz / self.freq_min_ghz - 1


class MapDataset(Section):
    """One named set of maps; each map draws its line-model parameters from a prior."""

    model: str = Field(
        description="A registered model (li, padmanabhan, breysse, comap, silva) or your own as module:function, which runs"
        " whenever the config is read (docs/line_models.md)."
    )
    prior: Annotated[str | NonNegative, Either("the name of a prior, or a factor of 0 or more")] = Field(
        "fiducial",
        description="fiducial (draws nothing), full, 10% (a tenth of the published σ), a named prior of the model, or a"
        " number: a factor on σ of at most 5 (0.1 is 10%).",
    )
    parameters: dict[str, object] = Field(
        {},
        description="Means that replace the model's own; for module:function: {name: {mean, sigma}}, where a prior must be"
        " set for sigma to count.",
    )
    draws: Whole = Field(1, ge=1, description="Maps painted per subfield, each with its own parameters and scatter.")
    mean_temperature_uk: NonNegativePair | None = Field(
        None,
        description="Draw parameters again whose map falls outside this range of mean µK per fine voxel.",
    )
    log10_lum_cut: Number | None = Field(
        None,
        description="Sources at or above this log10 L / Lsun are left out of maps and labels; without it none are.",
    )
    beam: bool | None = Field(
        None,
        description="Smooth these maps by the instrument's beam; without it as observation.beam says.",
    )
    pool_pixels: Natural | None = Field(
        None,
        description="Pixels summed along each sky axis of these maps; without it as grid.pool_pixels says.",
    )
    pool_channels: Natural | None = Field(
        None,
        description="Channels summed in these maps; without it as grid.pool_channels says.",
    )


class Labels(Section):
    """Luminosity bins of the labels."""

    log10_lum_min: Number = Field(3.5, description="Lower edge of the first bin, log10 Lsun.")
    log10_lum_max: Number = Field(7.0, description="Upper edge of the last bin, log10 Lsun.")
    bins: Whole = Field(49, ge=1, description="Equal bins in log10 L.")


class LineTraining(Training):
    """How networks train. The study's own `training` is the default of every network's."""

    flips: bool = Field(True, description="Mirror maps at random on the sky.")
    quarter_turns: bool = Field(True, description="Turn maps by random quarter turns about the line of sight.")
    blank_fraction: Number = Field(
        0.0, ge=0, le=1, description="Share of presentations with an empty map and an empty label."
    )
    dim_fraction: Number = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of presentations dimmed by up to 10 times, with the label moved along.",
    )
    superpose_fraction: Number = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of presentations that another training map is laid over: light and counts add, exactly.",
    )


class LineTarget(Target):
    """What a network answers."""

    quantity: Literal["dn", "n_above", "phi", "l_phi", "line_model"] = Field(
        "dn",
        description="Counts per bin, N(>L), dN/dL per volume, L dN/dL per volume; or which of its line_models painted"
        " the map (a classifier, with the loss cross_entropy).",
    )
    transform: Literal["none", "log10", "log10_1p"] = Field(
        "log10_1p",
        description="log10 sees an empty bin as one source (so 0 for counts, the notes' label); log10_1p is log10(1 +"
        " N), for phi and l_phi that plus the logarithm of one source.",
    )


class Preprocessing(Section):
    """How voxel values are compressed before a network sees them."""

    transform: Literal["none", "log10_offset", "signed_log", "asinh"] = Field(
        "asinh",
        description="none, log10(T + 1e-6) + 6, sign(T) log10(1 + |T|/scale), or asinh(T/scale).",
    )
    scale_uk: Number = Field(
        3.0,
        gt=0,
        description="Scale of asinh and signed_log, in the unit of a pooled voxel (1 gives the notes' signed log).",
    )
    remove_means: Literal["channels", "map"] | None = Field(
        None,
        description="Take the mean of each channel, or of the whole map, off first, weighted by 1/σ², over what was"
        " observed: the network then needs no zero level, as most surveys' maps have none.",
    )
    inputs: Annotated[list[Literal["snr", "weight", "mask"]], Different] | None = Field(
        None,
        description="What else it sees of each voxel: asinh(T/σ), asinh(scale_uk/σ), and whether it was observed. One"
        " network can then serve maps of different depths.",
    )


class LineNetwork(Network):
    """One network, and how it is shown its maps."""

    datasets_key = "line_models"

    line_models: SomeNames = Field(description="Names of the line_models whose maps it trains on.")
    target: LineTarget = LineTarget()
    preprocessing: Preprocessing = Preprocessing()
    noise: Annotated[list[str], Field(min_length=1)] = Field(
        [NOISE_DEFAULT],
        description="Names in observation.noise; each presentation of a map draws one of them.",
    )
    foregrounds: str = Field("none", description="A name in observation.foregrounds.")
    filter: str | None = Field(None, description="A name in observation.filters; without it nothing is filtered.")
    training: LineTraining = LineTraining()

    @property
    def datasets(self) -> list[str]:
        return self.line_models

    @property
    def classifies(self) -> bool:
        return self.target.quantity == "line_model"


class LineTest(NetworkTest):
    """One test: maps of the test light-cones, observed in one way."""

    dataset_key = "line_model"

    line_model: str = Field(description="A name in line_models.")
    noise: str = Field(NOISE_DEFAULT, description="A name in observation.noise.")
    foregrounds: str = Field("none", description="A name in observation.foregrounds.")
    filter: str | None = Field(None, description="A name in observation.filters; without it nothing is filtered.")

    @property
    def dataset(self) -> str:
        return self.line_model


class LinePosterior(Posterior):
    """One posterior: a head on a trained network."""

    of: Literal["bins", "parameters"] = Field(
        "bins",
        description="What mdn and npe answer: the counts of all luminosity bins together, or the line model's"
        " parameters, and counts through them (imnn always answers both).",
    )


class LineThresholds(Thresholds):
    """What makes a verdict; docs/audit.md justifies each number."""

    min_sources: Number = Field(10.0, ge=0, description="Bins with fewer sources per map, on average, get no verdict.")
    dimming_response: Pair = Field(
        [0.5, 1.5],
        description="Between which the answer to dimming must lie for a bin to be read; 1 is right.",
    )
    superposing_response: Pair = Field(
        [0.1, 2.0],
        description="Between which the answer to another map laid over must lie for a bin to be read; 1 is right.",
    )
    blank_share: Number = Field(
        0.95,
        ge=0,
        description="What an empty map may give at most for a bin to be read, as a share of the usual answer (in log"
        " counts).",
    )


class LineAudit(Audit):
    """Whether networks read their maps or repeat what they remember: audit/<network>.h5, .csv and a page (docs/audit.md)."""

    noise_sigma_uk: Annotated[list[NonNegative], Field(min_length=1), Different] = Field(
        [0.0, 0.3, 1.0, 3.0, 10.0, 30.0],
        description="White noise of the sweep at test time, µK per fine voxel.",
    )
    dim_bins: Annotated[list[Annotated[int, Field(ge=1, le=14), WHOLE_FROM_TEXT]], Field(min_length=1), Different] = (
        Field([1, 2, 3], description="By how many luminosity bins sources are dimmed.")
    )
    add_fraction: Number = Field(
        0.5, gt=0, description="Sources of one bin painted on, as a share of those that are there."
    )
    thresholds: LineThresholds = LineThresholds()


Kept = Literal["lightcones", "subfields", "maps"]


class LineStudy(Study):
    """A study of line-intensity maps."""

    splits_key = "lightcones"
    datasets_key = "line_models"

    probe: Literal["line_intensity"] = Field(
        "line_intensity", description="The probe: what is simulated and observed (limelight/probes)."
    )
    cosmology: FlatCosmology = FlatCosmology()
    lightcones: Lightcones
    subfields: Subfields
    grid: MapGrid
    line_models: dict[Name, MapDataset] = Field(
        min_length=1,
        description="Named sets of maps; each draws its line-model parameters from a prior.",
    )
    labels: Labels = Labels()
    observation: Observation = Observation()
    training: LineTraining = LineTraining()
    networks: dict[Name, LineNetwork] = Field(min_length=1, description="Networks to train, by name.")
    posteriors: dict[Name, LinePosterior] = Field(
        {}, description="Posteriors to train as heads on trained networks, by name (docs/inference.md)."
    )
    rival: dict[Name, RivalOptions] = Field(
        {},
        description="Classical rivals, by name: P(k) and voxel intensity distribution, MCMC over a line model, after"
        " arXiv:1808.07487 (docs/inference.md).",
    )
    tests: dict[Name, LineTest] = Field(
        min_length=1,
        description="What each network is tested on, always on the test light-cones; networks that read log10_offset,"
        " by the tests without noise alone.",
    )
    audit: LineAudit = LineAudit()
    keep: Annotated[list[Kept], Different] = Field(
        ["lightcones", "subfields"],
        description="Large intermediate files to keep; the others are deleted once used, and made again, with all that"
        " follows from them, when something new needs them.",
    )

    @property
    def splits(self) -> dict[str, list[int]]:
        return {split: getattr(self.lightcones, split) for split in SPLITS}

    @property
    def datasets(self) -> list[str]:
        return list(self.line_models)
