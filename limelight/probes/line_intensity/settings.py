"""What decides the output of the stages of line-intensity maps, as typed settings: see limelight.study.settings."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from limelight.cosmology import Cosmology
from limelight.errors import problem
from limelight.halos.config import Lightcones, Subfields
from limelight.own_code import own_code_hash
from limelight.probes.line_intensity.config import (
    Labels,
    LineNetwork,
    LineStudy,
    LineTest,
    MapDataset,
    Preprocessing,
)
from limelight.probes.line_intensity.maps.config import Filter, Foregrounds, Noise
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.instrument import load_instrument
from limelight.probes.line_intensity.maps.survey import load_light_weights
from limelight.probes.line_intensity.maps.survey_noise import survey_noise
from limelight.probes.line_intensity.rival.config import RivalOptions
from limelight.probes.line_intensity.selection import observed_as, rival_tests, validated_as
from limelight.section import plain, without
from limelight.study.sections import SPLITS

# No emulator's
SAMPLING = (
    "walkers",
    "steps",
    "ensembles",
    "samples",
    "covariance",
    "neighbours",
    "anchors",
    "maps",
    "validation_maps",
)
OBSERVED = ("observed", "classes", "noise_units")  # options of a rival that is observed, and those of one that is not
PAINTED = (
    "pool_pixels",
    "pool_channels",
    "temperature_uk",
    "spacing",
    "realisations",
    "covariance_draws",
    "covariance",
)


@dataclass(frozen=True)
class LightconeSettings:
    """What decides a light-cone's halos."""

    seed: int
    cosmology: Cosmology
    lightcones: Lightcones  # without its splits
    freq_min_ghz: float
    freq_max_ghz: float
    rest_freq_ghz: float
    painter: str | None = None  # a hash of the painter's file

    @property
    def redshift_range(self) -> tuple[float, float]:
        """Observed redshifts of the band's edges, low and high."""
        return self.rest_freq_ghz / self.freq_max_ghz - 1, self.rest_freq_ghz / self.freq_min_ghz - 1


@dataclass(frozen=True)
class HaloValidationSettings:
    """What decides the comparison of light-cones with theory: it paints fields of its own, unturned, and pools none."""

    lightcone: LightconeSettings
    size_deg: float
    per_side: int
    pixels: int
    channels: int


@dataclass(frozen=True)
class SubfieldSettings:
    """What decides the fields that are cut from a light-cone."""

    lightcone: LightconeSettings
    subfields: Subfields


@dataclass(frozen=True)
class MapSettings:
    """What decides a dataset's fine maps and their labels."""

    subfields: SubfieldSettings
    grid: Grid  # fine, not pooled
    labels: Labels
    name: str  # of the dataset; its random streams depend on it
    dataset: MapDataset  # without its pooling and beam
    code: str | None  # hash of a user's own line model
    survey: str | None = None  # hash of what light counts for in the grid's survey

    @property
    def seed(self) -> int:
        """The study's seed."""
        return self.subfields.lightcone.seed

    @property
    def cosmology(self) -> Cosmology:
        """The study's cosmology."""
        return self.subfields.lightcone.cosmology


@dataclass(frozen=True)
class ShardSettings:
    """What decides a dataset's pooled maps, on which networks train."""

    maps: MapSettings
    grid: Grid  # with its pooling
    beam_fwhm_arcmin: float  # 0: maps are not smoothed

    @property
    def geometry(self) -> dict:
        """What a network is bound to: the grid with its pooling and unit, and the beam."""
        return {**plain(self.grid), "beam_fwhm_arcmin": self.beam_fwhm_arcmin}


@dataclass(frozen=True)
class LineObservation:
    """How maps are observed, by a network in training or in a test."""

    instrument: dict  # of maps.instrument.load_instrument
    noise: dict[str, Noise]  # of which each presentation draws one; in a test the one
    foregrounds: Foregrounds | None
    preprocessing: Preprocessing | None  # None in a test: the network's own counts
    filter: Filter | None = None
    surveys: dict[str, dict] | None = None  # by noise: what its survey's file says, sigma_uk per fine voxel and a hash
    files: dict[str, str] | None = None  # hashes of other files that the filter reads


@dataclass(frozen=True)
class EmulatorSettings:
    """What decides a rival's emulator."""

    name: str
    subfields: SubfieldSettings
    grid: Grid  # fine, not pooled
    train: list[int]  # light-cones
    instrument: dict
    noise: dict[str, Noise]  # of all tests that the rival takes
    line_model: str  # name of the dataset under whose prior it samples
    dataset: MapDataset  # without draws, pooling and beam
    code: str | None
    options: RivalOptions  # without what only the sampling needs
    beam_fwhm_arcmin: float


@dataclass(frozen=True)
class RivalSettings:
    """What decides a rival's posteriors for a test."""

    emulator: EmulatorSettings
    options: RivalOptions  # without the names of its tests
    test: str
    maps: MapSettings  # of the test
    noise_name: str
    lightcones: list[int]  # of the test


@dataclass(frozen=True)
class ObservedEmulatorSettings:
    """What decides the simulations of a rival that is `observed`."""

    name: str
    shards: ShardSettings  # of the maps of its prior
    train: list[int]  # light-cones
    observations: dict[str, LineObservation]  # of all tests that the rival takes, by selection.observed_as
    options: RivalOptions  # without what only the sampling needs

    @property
    def seed(self) -> int:
        """The study's seed."""
        return self.shards.maps.seed


@dataclass(frozen=True)
class ObservedRivalSettings:
    """What decides the posteriors of a rival that is `observed`, for a test."""

    emulator: ObservedEmulatorSettings
    options: RivalOptions  # without the names of its tests
    test: str
    shards: ShardSettings  # of the test
    observed_as: str  # a key of the emulator's observations
    lightcones: list[int]  # of the test
    validation: bool | None = None  # whether the maps are those that recalibrate, of the rival's own line model


def lightcone_settings(study: LineStudy) -> LightconeSettings:
    """Of every light-cone."""
    return LightconeSettings(
        seed=study.seed,
        cosmology=Cosmology(**vars(study.cosmology)),
        lightcones=without(study.lightcones, *SPLITS),
        freq_min_ghz=study.grid.freq_min_ghz,
        freq_max_ghz=study.grid.freq_max_ghz,
        rest_freq_ghz=study.grid.rest_freq_ghz,
        painter=file_hash(study.lightcones.painter) if study.lightcones.painter else None,
    )


def halo_validation_settings(study: LineStudy) -> HaloValidationSettings:
    """Of the comparison with theory."""
    cuts, grid = study.subfields, study.grid
    return HaloValidationSettings(
        lightcone_settings(study), cuts.size_deg, cuts.per_side, pixels=grid.pixels, channels=grid.channels
    )


def subfield_settings(study: LineStudy) -> SubfieldSettings:
    """Of the subfields of every light-cone."""
    return SubfieldSettings(lightcone_settings(study), study.subfields)


def fine_grid(study: LineStudy) -> Grid:
    """The grid that maps are painted on."""
    return Grid(**{**vars(study.grid), "pool_pixels": 1, "pool_channels": 1}, size_deg=study.subfields.size_deg)


def pooled_grid(study: LineStudy, dataset: str) -> Grid:
    """The same with the pooling of one dataset."""
    own = study.line_models[dataset]
    pool_pixels, pool_channels = (
        own.pool_pixels or study.grid.pool_pixels,
        own.pool_channels or study.grid.pool_channels,
    )
    return replace(fine_grid(study), pool_pixels=pool_pixels, pool_channels=pool_channels)


def beam_fwhm_arcmin(study: LineStudy, dataset: str) -> float:
    """FWHM of the beam that one dataset's maps are smoothed by; 0 where they are not."""
    own = study.line_models[dataset].beam
    smoothed = study.observation.beam if own is None else own
    return load_instrument(study.observation.instrument)["beam_fwhm_arcmin"] if smoothed else 0.0


def map_settings(study: LineStudy, dataset: str) -> MapSettings:
    """Of one dataset's fine maps."""
    entry = without(study.line_models[dataset], "pool_pixels", "pool_channels", "beam")
    survey = load_light_weights(study.grid.survey).content if study.grid.survey else None
    code = own_code(entry.model)
    return MapSettings(subfield_settings(study), fine_grid(study), study.labels, dataset, entry, code, survey)


def own_code(model: str) -> str | None:
    """A hash of a user's own line model, module:function, and of what it uses, so that an edit paints the maps again."""
    return own_code_hash(model.partition(":")[0]) if ":" in model else None


def shard_settings(study: LineStudy, dataset: str) -> ShardSettings:
    """Of one dataset's pooled maps."""
    return ShardSettings(map_settings(study, dataset), pooled_grid(study, dataset), beam_fwhm_arcmin(study, dataset))


def observation_settings(study: LineStudy, entry: LineNetwork | LineTest) -> LineObservation:
    """Of a network's entry in the config, or of a test's."""
    names = entry.noise if isinstance(entry, LineNetwork) else [entry.noise]
    noise = {name: study.observation.noise[name] for name in names}
    own_filter = study.observation.filters.get(entry.filter)
    grid = pooled_grid(study, entry.datasets[0] if isinstance(entry, LineNetwork) else entry.dataset)
    surveys = {name: survey_noise(one.survey, grid) for name, one in noise.items() if one.survey}
    return LineObservation(
        instrument=load_instrument(study.observation.instrument),
        noise=noise,
        foregrounds=study.observation.foregrounds.get(entry.foregrounds),
        preprocessing=entry.preprocessing if isinstance(entry, LineNetwork) else None,
        filter=own_filter,
        surveys={name: {"sigma_uk": one.sigma_uk, "content": one.content} for name, one in surveys.items()} or None,
        files={path: file_hash(path) for path in own_filter.files} or None if own_filter else None,
    )


def file_hash(path: str) -> str:
    """A hash of a file that a setting names, so that a change of it runs the stages again that read it."""
    if not Path(path).is_file():
        raise problem(path, "no such file", "the file that the config names", "check the path")
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


def emulator_settings(study: LineStudy, rival: str) -> EmulatorSettings | ObservedEmulatorSettings:
    """Of a rival's emulator."""
    entry, noise = study.rival[rival], study.observation.noise
    if entry.observed:
        return _observed_emulator(study, rival)
    maps = map_settings(study, entry.line_model)
    return EmulatorSettings(
        name=rival,
        subfields=subfield_settings(study),
        grid=fine_grid(study),
        train=study.lightcones.train,
        instrument=load_instrument(study.observation.instrument),
        noise={name: noise[name] for name in dict.fromkeys(study.tests[t].noise for t in rival_tests(study, rival))},
        line_model=entry.line_model,
        dataset=without(maps.dataset, "draws"),
        code=maps.code,
        options=without(entry, "tests", *SAMPLING, *OBSERVED),
        beam_fwhm_arcmin=beam_fwhm_arcmin(study, entry.line_model),
    )


def _observed_emulator(study: LineStudy, rival: str) -> ObservedEmulatorSettings:
    tests = {observed_as(study, test): study.tests[test] for test in rival_tests(study, rival)}
    return ObservedEmulatorSettings(
        name=rival,
        shards=shard_settings(study, study.rival[rival].line_model),
        train=study.lightcones.train,
        observations={name: observation_settings(study, entry) for name, entry in tests.items()},
        options=without(study.rival[rival], "tests", "nodes", *SAMPLING, *PAINTED),
    )


def rival_settings(
    study: LineStudy, rival: str, test: str, validation: bool = False
) -> RivalSettings | ObservedRivalSettings:
    """Of a rival's posteriors for a test; validation: for maps of the validation light-cones that are observed as it is."""
    entry, options = study.tests[test], study.rival[rival]
    emulator = emulator_settings(study, rival)
    if validation:
        if not (options.observed and options.validation_maps):
            expected = "a rival that is observed, with validation_maps"
            raise problem("--validation", f"rival {rival}", expected, "add validation_maps, or leave it out")
        return ObservedRivalSettings(
            emulator=emulator,
            options=without(options, "tests", "maps", *PAINTED).model_copy(update={"maps": options.validation_maps}),
            test=validated_as(study, rival, test),
            shards=emulator.shards,
            observed_as=observed_as(study, test),
            lightcones=study.lightcones.validation,
            validation=True,
        )
    if isinstance(emulator, ObservedEmulatorSettings):
        return ObservedRivalSettings(
            emulator=emulator,
            options=without(options, "tests", *PAINTED),
            test=test,
            shards=shard_settings(study, entry.line_model),
            observed_as=observed_as(study, test),
            lightcones=study.lightcones.test,
        )
    return RivalSettings(
        emulator=emulator,
        options=without(options, "tests", *OBSERVED),
        test=test,
        maps=map_settings(study, entry.line_model),
        noise_name=entry.noise,
        lightcones=study.lightcones.test,
    )
