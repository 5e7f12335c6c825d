"""The rival on maps as surveys have them: weighted summaries, their mean by regression, posteriors of masked maps."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from rival_toys import lightcone_file, toy_study
from survey_toys import survey_file

from limelight.cosmology import Cosmology
from limelight.data.shard import Rows, read_shards, write_shard
from limelight.errors import LimelightError
from limelight.evaluation.observe import noise_of_test
from limelight.files import provenance
from limelight.inference.intervals import read_intervals, write_intervals
from limelight.inference.regression import fit_smooth_mean
from limelight.probes.line_intensity.inputs import Recorded
from limelight.probes.line_intensity.maps.survey import load_survey
from limelight.probes.line_intensity.rival.config import RivalOptions
from limelight.probes.line_intensity.rival.observed import observed_measure, read_observed, write_observed
from limelight.probes.line_intensity.rival.observed_stage import (
    map_posterior,
    observed_emulator,
    observed_intervals,
    recorder,
)
from limelight.probes.line_intensity.selection import rival_tests
from limelight.probes.line_intensity.settings import emulator_settings, pooled_grid, rival_settings, shard_settings
from limelight.probes.line_intensity.simulations import fresh_rows
from limelight.seeds import torch_seed
from limelight.study.config import resolve_study
from limelight.summaries.power import power_spectrum
from limelight.summaries.vid import voxel_histogram
from limelight.summaries.weighted import noise_pseudo_power

OPTIONS = {
    "observed": True,
    "tests": ["season"],
    "k_bins": 5,
    "min_modes": 10,
    "temperature_bins": 5,
    "classes": [2],
    "nodes": 30,
    "simulations": 700,
    "neighbours": 150,
    "anchors": 8,
    "walkers": 16,
    "steps": 120,
    "samples": 200,
    "maps": 8,
}


def study_of(folder, pooling: int = 2, factor: float = 0.02, **changes):
    """The toy study with a test that is observed as a survey's masked, filtered map is, and a rival for it."""
    raw = toy_study()
    raw["grid"] |= {"pool_pixels": pooling}
    raw["rival"] = {"li": {"line_model": "li_full", **OPTIONS, **changes}}
    grid = pooled_grid(resolve_study(toy_study() | {"grid": raw["grid"], "rival": {}}, folder / "toy.yaml"), "li_full")
    survey = survey_file(folder / "season.h5", grid)
    noise = {"season": {"survey": str(survey), "sigma_factor": factor}}
    noise["depths"] = {"survey": str(survey), "sigma_factor": [0.1, 0.2]}
    raw["observation"]["noise"] |= noise
    raw["observation"]["filters"] = {"pipeline": {"means": "removed_weighted", "pca_modes": 1, "passed": 0.9}}
    raw["tests"]["season"] = {"line_model": "li_full", "noise": "season", "filter": "pipeline"}
    raw["tests"]["depths"] = {"line_model": "li_full", "noise": "depths"}
    return resolve_study(raw, folder / "toy.yaml")


def shard_file(folder, study, lightcone: int, draws: int):
    """A shard of li_full on the toy's halos of one light-cone, and their subfields."""
    settings, subfields = shard_settings(study, "li_full"), lightcone_file(folder, lightcone)
    parts = list(fresh_rows(settings, lightcone, 0, draws, [subfields]))
    joined = {
        name: np.concatenate([getattr(one, name) for one in parts]) for name in ("x", "theta", "group", "dataset")
    }
    y, rows = ({k: np.concatenate([getattr(one, group)[k] for one in parts]) for k in getattr(parts[0], group)}
               for group in ("y", "rows"))  # fmt: skip
    path = folder / f"shard{lightcone}.h5"
    made = Rows(parts[0].header, y=y, rows=rows, parameter_names=parts[0].parameter_names, **joined)
    write_shard(path, made, provenance(settings, study.seed))
    return subfields, path


def test_even_noise_and_no_mask_give_the_plain_summaries(tmp_path):
    study = study_of(tmp_path)
    grid = pooled_grid(study, "li_full")
    measure = observed_measure(study.rival["li"], grid, Cosmology(), "map")
    sigma, n = 5.0, grid.pool_pixels**2 * grid.pool_channels
    maps = 40 + sigma * torch.randn(3, *grid.pooled_shape, generator=torch.Generator().manual_seed(1)) ** 3
    found = Recorded(maps, torch.full((1, 1, 1, 1), sigma))
    plain = power_spectrum(maps / n, measure.shells)[:, 0].numpy()[:, measure.keep]
    np.testing.assert_allclose(measure.power(found), plain, rtol=1e-4)
    inner = voxel_histogram(maps, sigma * measure.edges).numpy()
    counts = measure.counts(found)
    assert not counts[:, 1:].any(), "one class of σ"
    np.testing.assert_allclose(counts[:, 0, 1:-1], inner[:, 1:-1], atol=1.01)  # float32 at an edge
    np.testing.assert_allclose(counts.sum(axis=(1, 2)), np.prod(grid.pooled_shape))


def test_power_of_a_masked_uneven_map_is_unbiased_once_noise_is_taken_off(tmp_path):
    """White light of known power under a survey's σ and mask: pseudo-P(k) less the noise of `noise_pseudo_power`."""
    study = study_of(tmp_path)
    grid = pooled_grid(study, "li_full")
    survey = load_survey(tmp_path / "season.h5")
    measure = observed_measure(study.rival["li"], grid, Cosmology(), "map")
    random, n = torch.Generator().manual_seed(2), grid.pool_pixels**2 * grid.pool_channels
    sigma = torch.from_numpy(np.where(survey.mask, survey.sigma_uk, 0)) * n
    observed, rows, light = torch.from_numpy(survey.mask), 400, 10.0 * n
    maps = light * torch.randn(rows, *sigma.shape, generator=random)
    maps = maps + sigma * torch.randn(rows, *sigma.shape, generator=random)
    found = Recorded(torch.where(observed, maps, 0.0), sigma[None], observed[None])
    noise = noise_pseudo_power(sigma[None] / n, found.weights[:1], measure.shells.voxel_mpc).numpy()
    signal = measure.power(found).mean(0) - noise
    truth = (light / n) ** 2 * math.prod(measure.shells.voxel_mpc)
    scatter = measure.power(found).std(0) / math.sqrt(rows)
    assert (np.abs(signal - truth) < 4 * scatter + 0.01 * truth).all()
    assert (noise > truth / 10).all(), "without taking the noise off it would be biased"


def test_the_mean_of_noisy_simulations_by_regression():
    rng = np.random.default_rng(3)
    points = rng.uniform(-1, 1, (900, 3)) * [1, 5, 0.1] + [0, 3, 0]
    place = points / [1, 5, 0.1]
    truth = np.column_stack([3 / (1 + np.exp(-4 * place[:, 0])), np.sin(2 * place[:, 1]) + place[:, 2] ** 2])
    values = truth + rng.standard_normal(truth.shape)
    mean, left, leverage = fit_smooth_mean(points, values, points[:80])
    assert np.sqrt(np.mean((mean(points) - truth) ** 2)) < 0.2
    assert np.mean(left**2) == pytest.approx(1, abs=0.1), "each about the mean that the others give"
    off = (mean(points) - truth) ** 2
    assert np.mean(leverage) == pytest.approx(np.mean(off), rel=0.6)
    without = fit_smooth_mean(points[1:], values[1:], points[:80])[0](points[:1])
    np.testing.assert_allclose(values[0] - without[0], left[0], atol=0.1)


def test_what_an_observed_rival_takes_is_checked(tmp_path):
    study = study_of(tmp_path)
    assert rival_tests(study_of(tmp_path, tests=None), "li") == ["over_prior", "in_front", "season"]
    settings = emulator_settings(study, "li")
    assert list(settings.observations) == ["noise season, foregrounds none, filter pipeline"]
    assert emulator_settings(study_of(tmp_path, steps=50), "li") == settings, "longer chains simulate nothing anew"
    with pytest.raises(LimelightError, match="'depths'.*noise of one depth"):
        study_of(tmp_path, tests=["depths"])
    with pytest.raises(LimelightError, match="rising numbers above 1"):
        study_of(tmp_path, classes=[4, 2])
    with pytest.raises(LimelightError, match="'season'.*or observed: true"):
        study_of(tmp_path, observed=False)


def test_it_covers_planted_counts_of_masked_filtered_maps(tmp_path):
    """Simulations of three light-cones, maps of a fourth: intervals that hold the truth; and a real map of the same kind."""
    study = study_of(tmp_path)
    train = [shard_file(tmp_path, study, i, 58) for i in (0, 1, 2)]
    _, test = shard_file(tmp_path, study, 7, 5)
    settings, wanted = emulator_settings(study, "li"), rival_settings(study, "li", "season")
    emulator = observed_emulator(settings, [one for one, _ in train], [one for _, one in train])
    with pytest.raises(LimelightError, match="must stay unseen"):
        observed_emulator(settings, [train[0][0]], [test])
    write_observed(tmp_path / "e.h5", emulator, {"seed": 1})
    emulator = read_observed(tmp_path / "e.h5")
    result = observed_intervals(wanted, emulator, [test], tmp_path / "chains")
    write_intervals(tmp_path / "r.h5", result, {"seed": 1})
    found = read_intervals(tmp_path / "r.h5")
    bright = found.truth.mean(axis=0) > 5
    low, high = found.quantiles[:, bright, 0], found.quantiles[:, bright, 4]
    inside = (low <= found.truth[:, bright]) & (found.truth[:, bright] <= high)
    assert inside.mean() > 0.85
    middle = np.log10(1 + found.quantiles[:, bright, 2]) - np.log10(1 + found.truth[:, bright])
    spread = np.log10(1 + found.truth[:, bright])
    assert np.sqrt(np.mean(middle**2)) < 0.6 * np.sqrt(np.mean((spread - spread.mean(0)) ** 2)), "it reads the maps"
    assert np.nanmax(found.extra["rhat"]) < 1.3
    # a map of the same light and noise, as a user has it: the same posterior
    records = recorder(settings.observations[wanted.observed_as], read_shards([test]).header)
    real = _as_survey(tmp_path, records, test, study.seed)
    table, checks = map_posterior(wanted, emulator, real, tmp_path / "chains", "mine")
    first = np.log10(1 + found.quantiles[0, bright, 2])
    np.testing.assert_allclose(np.log10(1 + table["dn"][bright]), first, atol=0.25)
    assert checks["chi2"] < 3 * checks["numbers"]
    cut = replace(real, frequency_ghz=real.frequency_ghz * 1.01)
    with pytest.raises(LimelightError, match="freq_min_ghz"):
        map_posterior(wanted, emulator, cut, tmp_path / "chains", "mine")


def _as_survey(folder, records, shard, seed):
    """The first map of a shard with the noise of the test, as a survey's file on the study's voxels."""
    rows = read_shards([shard])
    random = torch.Generator().manual_seed(torch_seed(seed, noise_of_test("season"), 0))
    one = records.record(torch.as_tensor(rows.x[0]), random)
    n = records.grid.pool_pixels**2 * records.grid.pool_channels
    survey = load_survey(folder / "season.h5")
    sigma = np.where(survey.mask, one.sigma[0].numpy() / n, np.inf).astype(np.float32)
    return replace(survey, temperature_uk=one.maps[0].numpy() / n, sigma_uk=sigma, means_removed=True)


def test_options_of_one_kind_leave_the_other_alone():
    plain = RivalOptions.model_validate({"line_model": "li"})
    assert not plain.observed
    assert plain.classes == [2.0, 4.0]
