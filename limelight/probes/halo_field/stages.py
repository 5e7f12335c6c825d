"""The stages of halo fields beyond the engine's: files checked and read, painters judged, bias models sampled."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from limelight.ancestry import check_data, check_made_from
from limelight.data.shard import Rows, read_shards
from limelight.errors import problem
from limelight.files import settings_hash
from limelight.probes.halo_field import bias_study
from limelight.probes.halo_field.bias_calibration import calibrate, calibration_rows
from limelight.probes.halo_field.config import HaloStudy
from limelight.probes.halo_field.judging import Truth, box_scatter, judge
from limelight.probes.halo_field.painting import Painted, paint
from limelight.probes.halo_field.probe import PROBE
from limelight.section import plain
from limelight.study.config import load_study
from limelight.study.selection import suitable_tests
from limelight.study.settings import network_settings
from limelight.training.checkpoint import load_model
from limelight.training.presentation import fingerprint

BIAS_TEST = "bias models"  # the test's name in the table of statistics


@dataclass(frozen=True)
class BiasTables:
    """What `sample_bias` writes."""

    ladder: list[dict]
    bands: list[dict]
    statistics: list[dict]
    calibration: list[dict]
    ranks: dict[str, np.ndarray]  # of the calibration of each model, (fits, points)
    last: tuple[np.ndarray, str]  # ln n(M|δ) of the last model's chains, and its name


def load(config: str | Path) -> HaloStudy:
    """The study of a config; LimelightError for one of another probe."""
    study = load_study(config)
    if study.probe != PROBE.name:
        raise problem(config, f"a study of {study.probe}", f"one of {PROBE.name}", "give another")
    return study


def judge_painters(
    study: HaloStudy, networks: Sequence[str | Path], tests: Sequence[str | Path], others: Sequence[str | Path]
) -> tuple[list[dict], tuple]:
    """Rows of judging.COLUMNS of every painter on the tests that it takes, and what a figure of slices shows of the first.

    tests: shards of the test boxes of all tests; others: of training and validation boxes, for the scatter from box to box,
    which is told of each test by boxes of its own dataset: another universe scatters otherwise.
    """
    edges, tables, example = np.array(study.judging.k_edges), [], {}
    painters = [load_painter(study, path) for path in networks]
    read, more = _by_dataset(study, tests, "test"), _by_dataset(study, others)
    for test, entry in study.tests.items():
        if entry.data not in read:
            raise problem("--tests", f"no boxes of {entry.data}", f"those of test {test}", "give its shards")
        found = read[entry.data]
        side, alike = found.header.geometry["side_mpc"], [found, *([more[entry.data]] if entry.data in more else [])]
        scattered = box_scatter(np.concatenate([_total(one) for one in alike]), side, edges)
        truth = Truth(test, _total(found), side, scattered)
        for module, info in painters:
            if test not in suitable_tests(study, info["network"]):  # of boxes of another geometry, say
                continue
            painted = paint(module, info, PROBE, found, study.judging.draws, study.seed)
            tables += judge(truth, info["network"], painted, edges)
            if test == next(iter(study.tests)):
                example[info["network"]] = painted.drawn[0, 0]
    first = read[next(iter(study.tests.values())).data]
    return tables, (first.x[0, 0], _total(first)[0], example)


def load_painter(study: HaloStudy, path: str | Path) -> tuple[torch.nn.Module, dict]:
    """A trained network of the study."""
    module, info = load_model(path)
    if info["network"] not in study.networks:
        raise problem(path, f"network {info['network']}", f"one of {', '.join(study.networks)}", "give others")
    check_made_from(path, info["provenance"], network_settings(study, info["network"]))
    return module, info


def sample_bias(
    study: HaloStudy, train: Sequence[str | Path], tests: Sequence[str | Path], checkpoints: str | Path
) -> BiasTables:
    """Fit and sample the study's bias models: to the halos of `train`, judged on those of `tests`."""
    settings = study.bias
    if settings is None:
        raise problem("bias", "no such section in the study", "what to fit", "add it to the config")
    torch.set_num_threads(study.resources.training_threads)
    read = [_by_dataset(study, paths, split)[settings.data] for paths, split in ((train, "train"), (tests, "test"))]
    least = study.data[settings.data].mass_edges_msun[0]
    fitted_to, judged = (bias_study.catalogue_of_rows(found, least) for found in read)
    points, total = bias_study.points_of(fitted_to), _total(read[1])
    edges, side = np.array(study.judging.k_edges), read[1].header.geometry["side_mpc"]
    scatter = box_scatter(np.concatenate([_total(found) for found in read]), side, edges)
    folder, key = Path(checkpoints), chain_key(study, read[0], ("warmup", "samples", "tree_depth", "prior_sigma"))
    ladder, bands, statistics, every = [], [], [], []
    for model, likelihood in bias_study.models_of(settings):
        fitted = bias_study.fit(settings, model, likelihood, fitted_to, points, folder, key, study.seed)
        ladder.append(bias_study.ladder_row(fitted, judged, study.seed))
        bands += bias_study.band_rows(fitted, points, least)
        painted: Painted = bias_study.painted_by(fitted, judged, total.shape, study.judging.draws, study.seed)
        statistics += judge(Truth(BIAS_TEST, total, side, scatter), fitted.name, painted, edges)
        every.append(fitted)
    calibration, ranks, key = [], {}, chain_key(study, read[0], ("tree_depth", "prior_sigma"))
    for fitted in every:
        posterior = fitted.posterior
        fits = settings.calibration.get(posterior.model.name, 0)
        if fits and posterior.likelihood == settings.likelihoods[0]:
            ranks[fitted.name] = calibrate(fitted, points, fits, settings.tree_depth, folder, key, study.seed)
            calibration += calibration_rows(fitted, points, ranks[fitted.name], least)
    last = every[-1].functions, every[-1].name.replace("_", " ")
    return BiasTables(ladder, bands, statistics, calibration, ranks, last)


def chain_key(study: HaloStudy, fitted_to: Rows, settings: Sequence[str]) -> str:
    """A hash of all that decides a chain beside its model, its likelihood and its number; settings: of `bias`."""
    kept = {name: getattr(study.bias, name) for name in settings}
    return settings_hash([kept, study.seed, plain(study.data[study.bias.data]), fingerprint(fitted_to)])


def _by_dataset(study: HaloStudy, paths: Sequence[str | Path], split: str = "") -> dict[str, Rows]:
    """The rows of shards by dataset; all of realisations of a split, where one is named."""
    named, found = check_data(paths, _settings_of(study)), {}
    for dataset in dict.fromkeys(named):
        found[dataset] = read_shards([path for path, name in zip(paths, named, strict=True) if name == dataset])
        if split and (strange := sorted(set(found[dataset].group.tolist()) - set(study.splits[split]))):
            expected = f"the {split} realisations {study.splits[split]}"
            raise problem(f"shards of {dataset}", f"realisations {strange}", expected, "give the right shards")
    return found


def _settings_of(study: HaloStudy) -> dict[str, object]:
    return {name: PROBE.dataset_settings(study, name) for name in study.data}


def _total(found: Rows) -> np.ndarray:
    """Halos of all bands (boxes, z, y, x)."""
    return found.y["total"][:, 0]
