"""A study made for one survey's map: its field, voxels, noise, mask and filter, sized for a machine."""

import itertools
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from limelight.errors import LimelightError, problem
from limelight.files import write_text
from limelight.probes.line_intensity.checks import FIDUCIAL
from limelight.probes.line_intensity.maps.survey import EQUAL, LightWeights, SurveyMap, save_survey
from limelight.probes.line_intensity.maps.weighted import edges_of, light_weights, onto
from limelight.probes.line_intensity.survey_words import pixel_sigma, what_was_done
from limelight.study.config import load_study, resolve_study
from limelight.study.cost import SHOWN_S_PER_MB, memory_mb, network_rows, row_mb, seconds

EDGE_TIMES = 3.0  # the σ of the deepest pixels, up to which a pixel belongs to the field that is chosen
FEWEST_PIXELS = 4  # of the map along the field's side
BEAM_STEPS = 4  # fine pixels, at least, in a beam
CHANNELS = (64, 48, 32, 24, 16, 12, 8)  # tried in this order, until the study fits the machine
BLOCK_TIMES = 1.1  # a block of channels may be so much wider, if fewer channels are left out
UNSEEN_ENDS = 0.01  # of the band, each: left in, where whole blocks fill it
PIXELS_MAX = (96, 64, 48, 32)  # along a side of the network's maps, tried likewise
TRAIN = (32, 24, 16, 12, 8), (6, 4)  # light-cones; so few only where not even the coarsest voxels can have more
STREAMED, EACH_FIELD = 5000, 150  # simulations, about, that the posterior learns from; at most of one field
EPOCHS = 5  # of the network's own answer, which is audited
HEADS, HEAD_EPOCHS, PATIENCE = 4, 50, 30  # of the posterior: the mean of so many heads says more than any of them
DRAWS, PER_VALIDATION, TEST, PER_SIDE = 32, 4, 2, 2  # training light-cones for each that validates
RIVAL_MAPS, RIVAL_STEPS, RIVAL_SIMULATIONS = 8, 300, 3000  # of each test; of a chain; of the prior
RIVAL_VALIDATION = (20, 64)  # maps that recalibrate it, 100 for each hour; none where these are too few
EMPTY_SHARE = 0.02  # of the stream: without any a posterior cannot say that a map holds no light
SUPERPOSED_SHARE = 0.2  # likewise, and of the network's: without any, counts follow brightness alone
LEAST_WAVES = 2  # across the field, of the network's power where a pipeline left little but its own systematics
SPLIT_FACTOR = (1.3, 1.5)  # of σ: half the data has √2 times the noise
LEAST_LOG10_K = -1.1  # of a rival's shells: twice the k that COMAP's high-pass cuts at
COMAP_HIGH_PASS = (0.04, 0.01)  # k and width in 1/Mpc: of season 2's transfer function, roughly (arXiv:2406.07510)


@dataclass(frozen=True)
class Machine:
    """What a study is sized for."""

    hours: float
    cores: int
    gpus: int
    memory_gb: float


@dataclass(frozen=True)
class Wanted:
    """What the user asks of the study; None: as the map suggests."""

    name: str
    size_deg: float | None = None
    rest_freq_ghz: float = 115.27
    prior: str = "full"
    high_pass: tuple[float, float] | None = None
    transfer: str | None = None


@dataclass(frozen=True)
class SurveyGrid:
    """Pooled voxels of a study on a survey's sky."""

    x_edges: np.ndarray
    y_edges: np.ndarray
    frequency_edges: np.ndarray
    pool_pixels: int  # fine pixels along a pooled one

    @property
    def size_deg(self) -> float:
        """Side of the field."""
        return float(self.x_edges[-1] - self.x_edges[0])


def field_of(survey: SurveyMap, size_deg: float | None) -> tuple[float, float, float]:
    """(x, y, side) in degrees of the square that the study looks at: where σ is within EDGE_TIMES of the deepest."""
    if not survey.has_noise:
        fix = "give it by --noise FILE or --sigma UK"
        raise problem("the survey's map", "no σ", "the σ of its noise, which decides what can be read", fix)
    sigma = pixel_sigma(survey)
    deep = sigma <= EDGE_TIMES * np.quantile(sigma[np.isfinite(sigma)], 0.02)
    columns, rows = (np.flatnonzero(deep.any(axis=axis)) for axis in (1, 0))
    (x0, x1), (y0, y1) = (
        edges_of(survey.x_deg)[[columns[0], columns[-1] + 1]],
        edges_of(survey.y_deg)[[rows[0], rows[-1] + 1]],
    )
    side = max(x1 - x0, y1 - y0) if size_deg is None else size_deg
    whole = [edges_of(one)[[0, -1]] for one in (survey.x_deg, survey.y_deg)]
    largest = min(high - low for low, high in whole)
    if size_deg is not None and size_deg > largest * (1 + 1e-9):
        raise problem("--size-deg", f"{size_deg:g}", f"at most {largest:.4g}, the map's", "choose a smaller field")
    side, least = min(side, largest), FEWEST_PIXELS * max(survey.pixel_deg)
    if not side >= least:
        where = "the survey's map" if size_deg is None else "--size-deg"
        expected = f"{least:.3g} at least, {FEWEST_PIXELS} of the map's pixels"
        raise problem(where, f"a field of {side:.3g} degrees", expected, "choose a larger field")
    middles = [
        float(np.clip((low + high) / 2, edge[0] + side / 2, edge[1] - side / 2))
        for (low, high), edge in zip(((x0, x1), (y0, y1)), whole, strict=True)
    ]
    return middles[0], middles[1], float(side)


def grid_for(survey: SurveyMap, field: tuple[float, float, float], pixels_max: int, channels: int) -> SurveyGrid:
    """Voxels of at most so many pixels a side and channels: whole blocks of the survey's where its pixels are square."""
    x, y, side = field
    dx, dy = survey.pixel_deg
    square = abs(dx - dy) <= EQUAL * dx
    pixel = max(dx, dy)
    block = max(1, math.ceil(side / pixel / pixels_max - 1e-9))
    pixel *= block
    n = max(1, math.floor(side / pixel + 1e-6))
    starts = [middle - n * pixel / 2 for middle in (x, y)]
    if square:  # on the survey's own edges
        starts = [
            float(edges[np.abs(edges[: len(edges) - n * block] - start).argmin()])
            for edges, start in zip((edges_of(survey.x_deg), edges_of(survey.y_deg)), starts, strict=True)
        ]
    frequency = _channel_edges(survey, channels)
    fine = (
        max(1, math.ceil(pixel * 60 / (survey.beam_fwhm_arcmin / BEAM_STEPS) - 1e-9)) if survey.beam_fwhm_arcmin else 1
    )
    steps = np.arange(n + 1) * pixel
    return SurveyGrid(starts[0] + steps, starts[1] + steps, frequency, fine)


def _channel_edges(survey: SurveyMap, channels: int) -> np.ndarray:
    """Edges of at most so many channels, each a block of the survey's; ends are left out if need be, unseen ones first."""
    edges, seen = edges_of(survey.frequency_ghz), np.flatnonzero(survey.mask.any(axis=(0, 1)))
    total, first, last = len(edges) - 1, seen[0], seen[-1] + 1
    block = math.ceil(total / channels)
    if total % block == 0 and max(first, total - last) <= max(block / 4, UNSEEN_ENDS * total):
        return edges[::block]
    least = math.ceil((last - first) / channels)
    block = min(range(least, int(BLOCK_TIMES * least) + 1), key=lambda size: (last - first) % size)
    used = (last - first) // block * block
    return edges[first : first + used + 1 : block]


def on_grid(survey: SurveyMap, grid: SurveyGrid) -> SurveyMap:
    """The survey's map on the voxels of its study."""
    return onto(survey, grid.x_edges, grid.y_edges, grid.frequency_edges)


def study_text(
    made: SurveyMap, grid: SurveyGrid, train: int, wanted: Wanted, how: dict, files: dict[str, str], hours: float
) -> str:
    """The config of the study, with what it means, for a map on its grid.

    how: of `filter_of`; files: paths of its survey and its instrument; hours: that it may take.
    """
    n, channels = made.temperature_uk.shape[0], made.temperature_uk.shape[2]
    low, high = grid.frequency_edges[[0, -1]]
    size = float(f"{grid.size_deg:.6g}")  # so that the light-cone's side is a whole number of it
    scale = np.median(made.sigma_uk[made.mask]) * grid.pool_pixels**2  # a pooled voxel is the sum of its fine ones
    held = train + train // PER_VALIDATION
    cones = [f"{first}-{last}" for first, last in ((0, train - 1), (train, held - 1), (held, held + TEST - 1))]
    voxels = f"{n} × {n} × {channels} voxels of {60 * size / n:.4g}′ and {1000 * (high - low) / channels:.4g} MHz"
    beam = f"  instrument: {files['instrument']}\n  beam: true\n" if made.beam_fwhm_arcmin else ""
    filters = "".join(f"      {key}: {value}\n" for key, value in how.items())
    filters = f"  filters:                  # what the pipeline did to the map\n    survey:\n{filters}" if how else ""
    data = f"""# A study made for one map by scripts/plan.py: {wanted.name}.
# `snakemake --configfile` this file trains it, and `scripts/report_map.py` reads the map with it (docs/your_map.md).
study: {wanted.name}
seed: 1

lightcones:
  field_deg: {PER_SIDE * size:.9g}
  train: "{cones[0]}"         # more of them, or more draws below, make a better network
  validation: "{cones[1]}"
  test: "{cones[2]}"

subfields: {{size_deg: {size:.9g}, per_side: {PER_SIDE}}}

grid:                       # {voxels} when pooled
  pixels: {n * grid.pool_pixels}
  channels: {channels}
  freq_min_ghz: {low:.9g}
  freq_max_ghz: {high:.9g}
  rest_freq_ghz: {wanted.rest_freq_ghz:.9g}
  pool_pixels: {grid.pool_pixels}
  pool_channels: 1
  survey: {files["survey"]}    # light counts by 1/σ² of its own voxels, as in its means, and comes in over the rims

line_models:                # the prior; its mean temperature per fine voxel is kept within this range
  li_full: {{model: li, prior: {wanted.prior}, mean_temperature_uk: [0.05, 20], draws: {DRAWS}}}
  li_prior: {{like: li_full, draws: 8}}
  li_fiducial: {{model: li, prior: fiducial, draws: 4}}

observation:
{beam}  noise:                    # σ and mask of every voxel are the map's own; halves of the data have √2 times its σ
    survey: {{survey: {files["survey"]}}}
    splits: {{survey: {files["survey"]}, sigma_factor: {list(SPLIT_FACTOR)}}}
{filters}
"""
    return data + learning_text(train, wanted, scale, made.means_removed, how, hours)


def learning_text(train: int, wanted: Wanted, scale: float, means_removed: bool, how: dict, hours: float) -> str:
    """The part of `study_text` that learns from the simulations and is tested on them. scale: of a pooled voxel, µK."""
    filtered = ", filter: survey" if how else ""
    removed = "channels" if means_removed else "null"
    least = f", least_waves: {LEAST_WAVES}" if how.get("filters_noise") else ""
    streamed = min(round(STREAMED / (train * PER_SIDE**2)), EACH_FIELD)
    return f"""\
training:                   # of the network's own answer, which is audited; posteriors learn from the stream below
  {{epochs: {EPOCHS}, batch_size: 16, learning_rate: 2.0e-3, blank_fraction: 0.05, superpose_fraction: {SUPERPOSED_SHARE},
  flips: false, quarter_turns: false}}    # light counts by where it falls on the survey's voxels, which do not turn

networks:
  survey:                   # power and one-point function, weighted by 1/σ²; nothing of these numbers is trained
    architecture: classical
    options: {{scale: {scale:.3g}{least}}}
    line_models: [li_full]
    noise: [survey, splits]{filtered.replace(", ", chr(10) + "    ")}
    preprocessing: {{transform: none, scale_uk: {scale:.3g}, remove_means: {removed}, inputs: [weight]}}

streams:                    # simulations that are shown once and thrown away; more draws make narrower intervals
  prior: {{networks: [survey], draws: {streamed}, empty_share: {EMPTY_SHARE}, superposed_share: {SUPERPOSED_SHARE}}}

posteriors:
  mdn:                      # recalibrated: its intervals hold what they promise on the validation light-cones
    {{network: survey, stream: prior, kind: mdn, mdn: {{loss: crps, rank: 0, members: {HEADS}}}, recalibrate: true,
    training: {{epochs: {HEAD_EPOCHS}, patience: {PATIENCE}}}}}

{rival_text(train, wanted, bool(how.get("filters_noise")), hours)}tests:
  prior: {{line_model: li_prior, noise: survey{filtered}}}
  fiducial: {{line_model: li_fiducial, noise: survey{filtered}}}

audit: {{networks: [survey], maps: 64}}
"""


def rival_text(train: int, wanted: Wanted, filtered: bool, hours: float) -> str:
    """The classical rival of the study; none where the prior has no width that an MCMC could sample under.

    filtered: whether shells are left out in which a pipeline leaves little but its own systematics.
    """
    if wanted.prior in FIDUCIAL:
        return ""
    simulations = min(RIVAL_SIMULATIONS, train * PER_SIDE**2 * DRAWS)
    few, many = RIVAL_VALIDATION
    validated = f"validation_maps: {min(int(100 * hours), many)}"  # its intervals are recalibrated on them
    if 100 * hours < few:
        validated = "validation_maps: null"  # as they are, and too narrow
    shells = f", log10_k: [{LEAST_LOG10_K}, 0]" if filtered else ""
    return f"""rival:                      # the classical one: P(k) and one-point function, and MCMC (docs/rival.md)
  li:
    {{line_model: li_full, observed: true, tests: [prior, fiducial], maps: {RIVAL_MAPS}, k_bins: 12, temperature_bins: 8,
    steps: {RIVAL_STEPS}, simulations: {simulations}, anchors: 150, neighbours: 120{shells},
    {validated}}}

"""


def filter_of(survey: SurveyMap, wanted: Wanted) -> dict:
    """What the pipeline did to the map, as `observation.filters` has it."""
    if wanted.transfer and wanted.high_pass:
        expected = "one of them: a transfer function holds the whole filter"
        raise problem("--transfer", "--high-pass beside it", expected, "leave one out")
    found: dict = {"means": "removed_weighted"} if survey.means_removed else {}
    if survey.modes_removed:
        found["pca_modes"] = survey.modes_removed
    if wanted.transfer:
        found["transfer"] = wanted.transfer
    elif wanted.high_pass or survey.modes_removed:
        found["high_pass_perp"] = list(wanted.high_pass or COMAP_HIGH_PASS)
    if {"transfer", "high_pass_perp"} & set(found):
        found["filters_noise"] = "true"  # maps are filtered with their noise
    return found


def instrument_dict(survey: SurveyMap) -> dict:
    """The telescope, as resources/instruments has it: the beam counts; hours are those that the depth amounts to."""
    depth_k = 1e-6 * float(np.median(survey.sigma_uk[survey.mask]))
    n, width = survey.temperature_uk.shape[0], survey.channel_ghz
    hours = (40.0 / depth_k) ** 2 * n**2 / (1e9 * width) / 19 / 3600
    return {
        "name": "the survey's",
        "beam_fwhm_arcmin": float(survey.beam_fwhm_arcmin),
        "field_deg": float(n * survey.pixel_deg[0]),
        "pixels": n,
        "channel_width_ghz": float(width),
        "system_temperature_k": 40.0,
        "feeds": 19,
        "hours": float(f"{hours:.4g}"),
    }


@dataclass(frozen=True)
class Plan:
    """A study that fits a machine, and its map."""

    text: str  # of its config
    survey: SurveyMap
    weights: LightWeights
    instrument: dict
    hours: float
    memory_gb: float
    words: list[str]


def make_plan(survey: SurveyMap, wanted: Wanted, machine: Machine, files: dict[str, str]) -> Plan:
    """The finest study of the map that the machine has time and memory for; LimelightError if none has.

    Modes are of the survey's own channels: a source may fill one, and no wider one (docs/training.md).
    """
    field, how, grids = field_of(survey, wanted.size_deg), filter_of(survey, wanted), {}
    tried = (len(survey.frequency_ghz),) if survey.modes_removed else CHANNELS
    for pixels, channels in itertools.product(PIXELS_MAX, tried):
        grid = grid_for(survey, field, pixels, channels)
        grids.setdefault((len(grid.x_edges) - 1, len(grid.frequency_edges) - 1), grid)
    for cones, grid in itertools.product(TRAIN, grids.values()):
        made = on_grid(survey, grid)
        for train in cones:
            text = study_text(made, grid, train, wanted, how, files, machine.hours) + resources_text(machine)
            hours, gigabytes = expected_cost(text, machine)
            if hours <= machine.hours and gigabytes <= machine.memory_gb:
                weights = light_weights(survey, grid.x_edges, grid.y_edges, grid.frequency_edges)
                words = what_was_done(survey, made, (grid.x_edges, grid.y_edges, grid.frequency_edges))
                return Plan(text, made, weights, instrument_dict(made), hours, gigabytes, words)
    found = f"{machine.hours:g} hours on {machine.cores} cores with {machine.memory_gb:.3g} GB"
    fix = "give more --hours, a smaller field (--size-deg), or --gpus"
    raise problem("the machine", found, f"{hours:.2g} hours and {gigabytes:.2g} GB for the smallest study", fix)


def resources_text(machine: Machine) -> str:
    """The end of the config: what trainings may use."""
    gpus = f", gpus: {machine.gpus}" if machine.gpus else ""
    return f"\nresources: {{training_threads: {machine.cores}{gpus}}}\n"


def expected_cost(text: str, machine: Machine) -> tuple[float, float]:
    """(hours, GB) that a study is expected to take; the files of noise, filter and beam are not read for it."""
    raw = yaml.safe_load(text)
    raw["grid"].pop("survey")
    raw["observation"] = {"noise": {name: {"sigma_uk": 1.0} for name in raw["observation"]["noise"]}}
    for entry in (*raw["networks"].values(), *raw["tests"].values()):
        entry.pop("filter", None)
    study = resolve_study(raw, "plan")
    cones = sum(map(len, study.splits.values()))
    alone = sum(seconds(study, stage) for stage in ("lightcone", "subfields")) * cones
    alone += sum(seconds(study, stage) for stage in ("maps", "pooled")) * cones
    alone += seconds(study, "stream") * (len(study.splits["train"]) + len(study.splits["validation"]))
    shown = EPOCHS * sum(network_rows(study, "survey", split) for split in ("train", "validation"))
    alone += shown * SHOWN_S_PER_MB * row_mb(study)  # to observe maps takes longer here than to learn from them
    learning = sum(seconds(study, stage) for stage in ("network", "audit_network", "posterior"))
    learning += len(study.tests) * (seconds(study, "intervals") + seconds(study, "evaluation"))
    if study.rival:  # on the map alone: its posteriors of the tests' maps are no part of your_map
        learning += seconds(study, "rival_emulator") + seconds(study, "rival_validation")
        learning += seconds(study, "rival") / RIVAL_MAPS
    gigabytes = max(memory_mb(study, stage) for stage in ("lightcone", "network", "posterior")) / 1000
    return (alone / machine.cores + learning) / 3600, gigabytes


def write_plan(plan: Plan, config: Path, files: dict[str, str]) -> None:
    """The survey's map on the study's grid, its instrument and the config, which is then read back and checked.

    If it is refused, all files are as they were before.
    """
    paths = (config, *map(Path, files.values()))
    before = {path: path.read_bytes() for path in paths if path.exists()}
    save_survey(files["survey"], plan.survey, plan.weights)
    if plan.survey.beam_fwhm_arcmin:
        write_text(files["instrument"], yaml.safe_dump(plan.instrument, sort_keys=False, allow_unicode=True))
    write_text(config, plan.text)
    try:
        load_study(config)
    except LimelightError:
        for path in paths:
            path.unlink(missing_ok=True)
            if path in before:
                path.write_bytes(before[path])
        raise
