"""The rival on maps as surveys have them: weighted summaries, their mean by regression, posteriors of masked maps."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from observed_toys import shard_file, study_of

from limelight.cosmology import Cosmology
from limelight.data.shard import read_shards
from limelight.errors import LimelightError
from limelight.evaluation.observe import noise_of_test
from limelight.inference.intervals import Intervals, quantiles_of, read_intervals, write_intervals
from limelight.inference.posteriors.tables import dequantised
from limelight.inference.recalibration import recalibrated
from limelight.inference.regression import fit_smooth_mean, fit_uneven_mean
from limelight.probes.line_intensity.inputs import Recorded
from limelight.probes.line_intensity.labels import log10_lum_edges
from limelight.probes.line_intensity.maps.survey import load_survey
from limelight.probes.line_intensity.rival.config import RivalOptions
from limelight.probes.line_intensity.rival.observed import observed_measure, read_observed, write_observed
from limelight.probes.line_intensity.rival.observed_stage import (
    Sampler,
    learnt_from_validation,
    make_sampler,
    map_posterior,
    observed_emulator,
    observed_intervals,
    recorder,
)
from limelight.probes.line_intensity.selection import rival_tests
from limelight.probes.line_intensity.settings import emulator_settings, pooled_grid, rival_settings
from limelight.probes.line_intensity.targets import line_axis
from limelight.seeds import torch_seed
from limelight.summaries.power import power_spectrum
from limelight.summaries.vid import voxel_histogram
from limelight.summaries.weighted import noise_pseudo_power


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


def test_loud_simulations_do_not_decide_the_mean_of_quiet_ones():
    """Scatter that grows a hundredfold along one coordinate: the quiet end is known as well as its own scatter allows."""
    rng = np.random.default_rng(5)
    points = rng.uniform(0, 1, (1500, 3))
    scatter = 0.1 * 100 ** points[:, 0]
    truth = np.column_stack([np.sin(3 * points[:, 0]) + points[:, 1], points[:, 2] ** 2])
    values = truth + scatter[:, None] * rng.standard_normal(truth.shape)
    quiet = points[:, 0] < 0.3
    errors = [
        np.sqrt(np.mean((fit(points, values, points[:80])[0](points) - truth)[quiet] ** 2))
        for fit in (fit_smooth_mean, fit_uneven_mean)
    ]
    assert errors[1] < 0.3 * errors[0]
    assert errors[1] < 0.1


def test_the_scatter_of_an_observed_rival_is_that_of_its_maps(made):
    """In faint and in bright maps alike: what is left of unseen maps about the mean, over the scatter that it states."""
    folder, subfields, shards, test = made
    study = study_of(folder)
    settings, wanted = emulator_settings(study, "li"), rival_settings(study, "li", "season")
    emulator = observed_emulator(settings, subfields, shards)
    rows = read_shards([test])
    rival = make_sampler(wanted, emulator, rows.header, folder / "chains").rival
    records = recorder(settings.observations[wanted.observed_as], rows.header)
    data = rival.measure(records.record(torch.as_tensor(rows.x[:, 0]), torch.Generator().manual_seed(1)))
    found, log_prior, places = rival.predict(rows.theta)
    mean, log_spread = np.split(found, 2, axis=1)
    left = ((data - mean) / np.exp(log_spread))[:, data.std(axis=0) > 0.5]
    faint = places[:, 0] < np.median(places[:, 0])
    assert np.median(np.abs(left[faint])) == pytest.approx(0.67, abs=0.25)
    assert np.median(np.abs(left[~faint])) == pytest.approx(0.67, abs=0.25)
    assert np.exp(log_spread)[~faint].mean() > 1.3 * np.exp(log_spread)[faint].mean()


def test_what_an_observed_rival_takes_is_checked(tmp_path):
    study = study_of(tmp_path)
    assert rival_tests(study_of(tmp_path, tests=None), "li") == ["over_prior", "in_front", "uneven", "season", "depths"]
    settings = emulator_settings(study, "li")
    assert list(settings.observations) == ["noise season, foregrounds none, filter pipeline"]
    assert emulator_settings(study_of(tmp_path, steps=50), "li") == settings, "longer chains simulate nothing anew"
    with pytest.raises(LimelightError, match="'silent'.*tests with noise"):
        study_of(tmp_path, tests=["silent"])
    with pytest.raises(LimelightError, match="rising numbers above 1"):
        study_of(tmp_path, classes=[4, 2])
    with pytest.raises(LimelightError, match="'season'.*or observed: true"):
        study_of(tmp_path, observed=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder, subfields and shards of three training light-cones, a shard of a fourth) of the toy study."""
    folder = tmp_path_factory.mktemp("made")
    study = study_of(folder)
    train = [shard_file(folder, study, i, 58) for i in (0, 1, 2)]
    return folder, [one for one, _ in train], [one for _, one in train], shard_file(folder, study, 7, 5)[1]


def covered(found, rows=slice(None)) -> float:
    """Share of the planted counts of filled bins within the 95 % intervals."""
    bright = found.truth.mean(axis=0) > 5
    truth, low, high = (one[rows][:, bright] for one in (found.truth, found.quantiles[..., 0], found.quantiles[..., 4]))
    return ((low <= truth) & (truth <= high)).mean()


def test_it_covers_planted_counts_of_masked_filtered_maps(made, tmp_path):
    """Simulations of three light-cones, maps of a fourth: intervals that hold the truth; and a real map of the same kind."""
    folder, subfields, shards, test = made
    study = study_of(folder)
    settings, wanted = emulator_settings(study, "li"), rival_settings(study, "li", "season")
    emulator = observed_emulator(settings, subfields, shards)
    with pytest.raises(LimelightError, match="must stay unseen"):
        observed_emulator(settings, subfields[:1], [test])
    write_observed(tmp_path / "e.h5", emulator, {"seed": 1})
    emulator = read_observed(tmp_path / "e.h5")
    result = observed_intervals(wanted, emulator, [test], tmp_path / "chains")
    write_intervals(tmp_path / "r.h5", result, {"seed": 1})
    found = read_intervals(tmp_path / "r.h5")
    bright = found.truth.mean(axis=0) > 5
    assert covered(found) > 0.85
    middle = np.log10(1 + found.quantiles[:, bright, 2]) - np.log10(1 + found.truth[:, bright])
    spread = np.log10(1 + found.truth[:, bright])
    assert np.sqrt(np.mean(middle**2)) < 0.6 * np.sqrt(np.mean((spread - spread.mean(0)) ** 2)), "it reads the maps"
    assert np.nanmax(found.extra["rhat"]) < 1.3
    # a map of the same light and noise, as a user has it: the same posterior
    records = recorder(settings.observations[wanted.observed_as], read_shards([test]).header)
    real = _as_survey(folder, records, test, study.seed)
    table, checks = map_posterior(wanted, emulator, real, tmp_path / "chains", "mine")
    first = np.log10(1 + found.quantiles[0, bright, 2])
    np.testing.assert_allclose(np.log10(1 + table["dn"][bright]), first, atol=0.25)
    assert checks["chi2"] < 3 * checks["numbers"]
    unlike = {
        "freq_min_ghz": {"frequency_ghz": real.frequency_ghz * 1.01},
        "sigma_uk: found 0.957 µK; expected 0.582 to 0.7 µK": {"sigma_uk": 1.5 * real.sigma_uk},
        "sigma_uk: found no σ": {"sigma_uk": np.where(real.mask, 0, np.inf)},
        "sigma_uk: found voxels whose σ differs": {"sigma_uk": np.where(real.mask, 0.4, np.inf).astype(np.float32)},
        "mask: found 4.% of the voxels": {
            "mask": (half := real.mask & (real.x_deg[:, None, None] > 0)),
            "sigma_uk": np.where(half, real.sigma_uk, np.inf),
        },
    }
    for words, changes in unlike.items():
        with pytest.raises(LimelightError, match=words):
            map_posterior(wanted, emulator, replace(real, **changes), tmp_path / "chains", "mine")


def test_one_rival_serves_a_range_of_depths(made, tmp_path):
    """From a hundredth to a tenth of the file's σ: it covers at both ends, and says less where there is more noise."""
    folder, subfields, shards, test = made
    study = study_of(folder, depths=[0.01, 0.1], tests=["depths"], maps=8)
    settings, wanted = emulator_settings(study, "li"), rival_settings(study, "li", "depths")
    emulator = observed_emulator(settings, subfields, shards)
    (depths,) = emulator.depths.values()
    assert np.ptp(depths) == pytest.approx(1, abs=0.02)
    found = observed_intervals(wanted, emulator, [test], tmp_path / "chains")
    sigma = found.extra["sigma_uk"]
    assert found.settings["noise_sigma_uk"][1] == pytest.approx(10 * found.settings["noise_sigma_uk"][0])
    quiet, loud = np.argsort(sigma)[:4], np.argsort(sigma)[4:]
    assert covered(found, quiet) > 0.8
    assert covered(found, loud) > 0.8
    # one map, presented as of either noise: its own σ decides how much is said of it
    records = recorder(settings.observations[wanted.observed_as], read_shards([test]).header)
    widths = []
    for factor in (0.01, 0.1):
        one = replace(records, noise=(tuple(factor / 0.1 * end for end in (records.noise[0][1],) * 2),))
        table, checks = map_posterior(wanted, emulator, _as_survey(folder, one, test, 1), tmp_path / "chains", "mine")
        assert checks["chi2"] < 3 * checks["numbers"]
        widths.append(np.log10((1 + table["dn_q97.5"]) / (1 + table["dn_q2.5"]))[10:30].mean())
    assert widths[0] < 0.8 * widths[1]
    outside = replace(records, noise=((0.3 * records.noise[0][0],) * 2,))
    with pytest.raises(LimelightError, match="sigma_factor that holds it"):
        map_posterior(wanted, emulator, _as_survey(folder, outside, test, 1), tmp_path / "chains", "mine")


def test_intervals_are_recalibrated_on_validation_maps_alone(made, tmp_path):
    """Draws of a rival that is too sure of itself, and too low: on other maps its intervals hold what they promise."""
    folder, _, shards, test = made
    study = study_of(folder, validation_maps=20)
    wanted = rival_settings(study, "li", "season")
    known = rival_settings(study, "li", "season", validation=True)
    assert known.lightcones == study.lightcones.validation != wanted.lightcones
    with pytest.raises(LimelightError, match="a rival that is observed, with validation_maps"):
        rival_settings(study_of(folder), "li", "season", validation=True)
    rng, header = np.random.default_rng(1), read_shards([test]).header
    edges = log10_lum_edges(header.truths["labels"])
    middle = rng.normal(2, 0.5, (400, 1, len(edges) - 1))
    truth = np.floor(10 ** (middle[:, 0] + 0.3 * rng.standard_normal(middle[:, 0].shape)))
    draws = np.floor(10 ** (middle - 0.2 + 0.1 * rng.standard_normal((400, 100, len(edges) - 1))))
    intervals = Intervals(
        method="rival",
        test="season",
        settings={"rival": "li", "validation_of": wanted.observed_as},
        axis=line_axis(edges),
        truth=truth[:200],
        quantiles=quantiles_of(draws[:200]),
        rows={"group": np.zeros(200, int)},
        seconds=np.zeros(200),
        samples=draws[:200],
    )
    write_intervals(tmp_path / "v.h5", intervals, {"seed": 1})
    factor, places = learnt_from_validation(wanted, tmp_path / "v.h5")
    random = torch.Generator().manual_seed(2)
    found = recalibrated(dequantised(torch.as_tensor(draws[200:]), random), factor, places)
    own = dequantised(torch.as_tensor(truth[200:]), random)[:, None]
    rank = (found < own).double().mean(dim=1)
    assert ((rank > 0.025) & (rank < 0.975)).double().mean() == pytest.approx(0.95, abs=0.03)
    assert ((rank > 0.16) & (rank < 0.84)).double().mean() == pytest.approx(0.68, abs=0.05)
    for path, words in ((None, "no intervals of validation maps"), (tmp_path / "t.h5", "--validation makes them")):
        write_intervals(tmp_path / "t.h5", replace(intervals, settings={"rival": "li"}), {"seed": 1})
        with pytest.raises(LimelightError, match=words):
            learnt_from_validation(wanted, path)
    with pytest.raises(LimelightError, match="of a rival without validation_maps"):
        learnt_from_validation(rival_settings(study_of(folder), "li", "season"), tmp_path / "v.h5")
    sampler = Sampler(wanted, None, tmp_path, "key", (factor, places))
    moved = sampler._recalibrated(draws[0], 3)
    assert moved.shape == draws[0].shape
    assert np.std(np.log10(1 + moved[:, 5])) > 2 * np.std(np.log10(1 + draws[0][:, 5]))


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
