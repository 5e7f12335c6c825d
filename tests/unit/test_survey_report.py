"""Surveys' maps read by networks that know their noise, and the report on one map."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from judging_toys import posterior_of
from posterior_toys import KINDS, cones
from posterior_toys import TRAINING as HEADS
from survey_toys import survey_file
from training_toys import GRID, PROBE, settings

from limelight.data.shard import read_shards, write_shard
from limelight.errors import LimelightError
from limelight.files import provenance, write_csv
from limelight.inference.posteriors.learn import train_posterior
from limelight.inference.posteriors.posterior import load_posterior
from limelight.probes.line_intensity import survey_injections
from limelight.probes.line_intensity.apply import posterior_table
from limelight.probes.line_intensity.apply_survey import flipped, half_difference, prepare_survey, read_like
from limelight.probes.line_intensity.maps.survey import load_survey, save_survey
from limelight.probes.line_intensity.maps.survey_files.raw import Told
from limelight.probes.line_intensity.survey_injections import Injections, injections_of
from limelight.probes.line_intensity.survey_options import BESIDE
from limelight.probes.line_intensity.survey_page import write_page
from limelight.probes.line_intensity.survey_report import MapReport, make_report, read_rival, sees_light
from limelight.training.checkpoint import load_model, save_model
from limelight.training.loop import train

N = GRID.pool_pixels**2 * GRID.pool_channels
LOUDNESS = 2e-3  # of the survey of the toys, whose maps have about 20 µK a pooled voxel


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("survey")


@pytest.fixture(scope="module")
def noise_map(folder):
    return load_survey(survey_file(folder / "noise.h5"))


@pytest.fixture(scope="module")
def posterior(folder, noise_map):
    """A mixture head on a network that knows the survey's σ and mask, and needs no zero level."""
    torch.set_num_threads(1)
    noise = {"survey": {"survey": str(folder / "noise.h5"), "sigma_factor": [LOUDNESS, 2 * LOUDNESS]}}
    network = {"preprocessing": {"scale_uk": 5, "remove_means": "channels", "inputs": ["weight", "mask"]}}
    wanted = settings(noise=noise, network=network, epochs=15, batch_size=16)
    training, validation = cones(400, 1, 0), cones(80, 2, 1)
    content, _ = train(wanted, PROBE, training, validation, folder / "checkpoints")
    save_model(folder / "model.pt", content, {"seed": 7})
    what = posterior_of(wanted, kind="mdn", of="bins", presentations=2, training=HEADS, mdn=KINDS["mdn"])
    head = train_posterior(what, PROBE, *load_model(folder / "model.pt"), training, validation, None)[0]
    save_model(folder / "posterior.pt", head, {"seed": 7}, "posterior")
    return load_posterior(folder / "posterior.pt")


@pytest.fixture(scope="module")
def mock(noise_map):
    """(survey map of one unseen set of halos, counts of its bins)."""
    rows = cones(6, 3, 9)
    rng = np.random.default_rng(4)
    sigma = np.where(noise_map.mask, noise_map.sigma_uk * LOUDNESS * 1.4, np.inf).astype(np.float32)
    made = []
    for x in rows.x[:, 0]:
        values = x / N + rng.normal(0, 1, x.shape) * np.where(noise_map.mask, sigma, 0)
        values = np.where(noise_map.mask, values, 0).astype(np.float32)
        made.append(replace(noise_map, temperature_uk=values, sigma_uk=sigma, source="mock"))
    return made, -np.diff(rows.y["n_above"][:, :11].astype(float))


@pytest.fixture(scope="module")
def injections(folder):
    write_shard(folder / "shard.h5", cones(16, 5, 10), provenance({}, 0))
    return folder / "shard.h5"


def test_what_no_network_may_see_changes_nothing(posterior, mock):
    """Neither the zero level of each channel, nor what stands in masked voxels."""
    survey = mock[0][0]
    table, _ = _answer(posterior, survey)
    shifted = survey.temperature_uk + np.linspace(-5, 30, survey.mask.shape[2], dtype=np.float32)
    other, _ = _answer(posterior, replace(survey, temperature_uk=shifted))
    np.testing.assert_allclose(np.log10(1 + other["dn"]), np.log10(1 + table["dn"]), atol=1e-3)
    filled = np.where(survey.mask, survey.temperature_uk, 1e4).astype(np.float32)
    again, _ = _answer(posterior, replace(survey, temperature_uk=filled))
    np.testing.assert_array_equal(again["dn"], table["dn"])


def _answer(posterior, survey):
    cube, noise = prepare_survey(survey, posterior.info, "map")
    return posterior_table(posterior, cube, noise=noise)


def test_maps_of_another_kind_are_refused(posterior, mock):
    survey, info = mock[0][0], posterior.info
    cut = {name: getattr(survey, name)[:-1] for name in ("temperature_uk", "sigma_uk", "mask", "x_deg")}
    with pytest.raises(LimelightError, match="15 × 16 × 4 voxels; expected 16 × 16 × 4.*--like"):
        prepare_survey(replace(survey, **cut), info, "map")
    with pytest.raises(LimelightError, match="freq_min_ghz: found 26.26; expected 26"):
        prepare_survey(replace(survey, frequency_ghz=survey.frequency_ghz * 1.01), info, "map")
    with pytest.raises(LimelightError, match="beam"):
        prepare_survey(replace(survey, beam_fwhm_arcmin=4.5), info, "map")
    blind = {**info, "observation": {**info["observation"], "noise": {"none": {"sigma_uk": 0}}}}
    with pytest.raises(LimelightError, match="voxels masked"):
        prepare_survey(survey, blind, "map")
    entry = {**info["entry"], "preprocessing": {**info["entry"]["preprocessing"], "remove_means": None}}
    with pytest.raises(LimelightError, match="the zero level, which the network uses"):
        prepare_survey(replace(survey, means_removed=True), {**info, "entry": entry}, "map")


def test_a_map_is_brought_onto_the_study_s_voxels(tmp_path, mock):
    survey = mock[0][0]
    save_survey(tmp_path / "like.h5", survey)
    fine = {name: np.repeat(getattr(survey, name), 2, axis=0) for name in ("temperature_uk", "sigma_uk", "mask")}
    step = survey.pixel_deg[0] / 2
    fine["x_deg"] = survey.x_deg[0] - step / 2 + step * np.arange(32)
    save_survey(tmp_path / "fine.h5", replace(survey, **fine))
    found = read_like(tmp_path / "fine.h5", Told(), tmp_path / "like.h5")
    np.testing.assert_allclose(found.temperature_uk, survey.temperature_uk, atol=1e-5)
    seen = survey.mask
    np.testing.assert_allclose(found.sigma_uk[seen], survey.sigma_uk[seen] / np.sqrt(2), rtol=1e-5)
    wider = {name: np.concatenate([fine[name][:1], fine[name]]) for name in ("temperature_uk", "sigma_uk", "mask")}
    wider["x_deg"] = step * np.arange(-16, 17)
    save_survey(tmp_path / "wider.h5", replace(survey, **wider, center_deg=(360 - step / 2, 0.0)))
    again = read_like(tmp_path / "wider.h5", Told(), tmp_path / "like.h5")  # a column more, and so another middle
    np.testing.assert_allclose(again.temperature_uk, survey.temperature_uk, atol=1e-5)
    np.testing.assert_allclose(again.x_deg, found.x_deg)
    save_survey(tmp_path / "far.h5", replace(survey, center_deg=(10.0, 0.0)))
    with pytest.raises(LimelightError, match="a field 10° away"):
        read_like(tmp_path / "far.h5", Told(), tmp_path / "like.h5")


def test_maps_without_light(noise_map):
    """Half the difference of two maps has no sky and the σ that it says; random signs keep every voxel's size."""
    rng = np.random.default_rng(1)
    seen = noise_map.mask
    sky = np.float32(100)
    halves = []
    for _ in range(2):
        values = sky + rng.normal(0, 1, seen.shape) * np.where(seen, noise_map.sigma_uk, 0)
        halves.append(replace(noise_map, temperature_uk=np.where(seen, values, 0).astype(np.float32)))
    null = half_difference(*halves)
    pull = null.temperature_uk[seen] / null.sigma_uk[seen]
    assert pull.std() == pytest.approx(1, abs=0.08)
    assert pull.mean() == pytest.approx(0, abs=0.15)
    turned = flipped(halves[0], 3)
    np.testing.assert_array_equal(np.abs(turned.temperature_uk), np.abs(halves[0].temperature_uk))
    assert 0.4 < (turned.temperature_uk[seen] * halves[0].temperature_uk[seen] < 0).mean() < 0.6


def _half(survey, seed):
    """A map of the same sky with √2 times its noise."""
    noise = np.random.default_rng(seed).normal(0, 1, survey.mask.shape) * np.where(survey.mask, survey.sigma_uk, 0)
    values = (survey.temperature_uk + noise).astype(np.float32)
    return replace(survey, temperature_uk=values, sigma_uk=survey.sigma_uk * np.float32(np.sqrt(2)))


def test_the_report_finds_halos_again_and_no_light_where_none_is(posterior, mock, injections, tmp_path):
    surveys, truth = mock
    write_csv(tmp_path / "li.csv", _answer(posterior, surveys[1])[0], digits=8)
    halves, rivals = (_half(surveys[0], 1), _half(surveys[0], 2)), {"rival li": tmp_path / "li.csv"}
    report = make_report(posterior, surveys[0], injections, halves, rivals=rivals)
    write_csv(tmp_path / "other.csv", {name: values[1:] for name, values in report.reading.table.items()}, digits=8)
    with pytest.raises(LimelightError, match="9 luminosity bins; expected the 10 of the posterior"):
        read_rival(tmp_path / "other.csv", posterior.target.edges)
    assert report.reading.p > 0.01
    assert not report.loud_nulls
    assert len(report.nulls) == 7
    assert len(report.splits) == 2
    tables = [_answer(posterior, one)[0] for one in surveys]
    inside = [(one["dn_q2.5"] <= n) & (n <= one["dn_q97.5"]) for one, n in zip(tables, truth, strict=True)]
    assert np.mean(inside) > 0.8
    slope = report.injections.slope
    bright = report.injections.added.mean(axis=0) > 20
    assert np.nanmedian(slope[bright]) == pytest.approx(1, abs=0.5)
    assert np.nanmedian(report.injections.data_slope[bright]) == pytest.approx(1, abs=0.15)
    assert np.isfinite(report.injections.data_slope).sum() >= 4
    assert "not audited" in report.found_again
    given = np.isfinite(report.injections.simulated).sum(axis=0) >= 3
    assert given.sum() >= 4
    off = report.injections.slope - report.injections.expected
    assert np.abs(off[given & bright]).max() < 0.2, "the map is like the simulated ones, and follows light as they do"
    assert set(report.rivals) == {"rival li"}
    write_page(tmp_path / "mock.html", report, "mock", {"map": "mock"})
    text = (tmp_path / "mock.html").read_text()
    words = ("Null tests", "found again", "spread of each channel", "Luminosity function of mock", "rival li: dN, 95 %")
    for word in (*words, "slope without the prior"):
        assert word in text
    for ending in BESIDE:
        assert (tmp_path / f"mock{ending}").stat().st_size > 500
        assert ending == ".csv" or f"mock{ending}" in text


def test_bins_are_cleared_where_simulated_maps_follow_light_fully():
    """Of four bins that the audit reads one is cleared and held, one cleared and lost; two lean on the prior."""
    slope, simulated = np.array([0.95, 0.5, 0.6, 0.2, 1.0]), np.array([1.0, 1.05, 0.62, 0.7, 1.0])
    simulated = simulated + 0.02 * np.array([-1, 0, 1])[:, None]
    nothing = np.zeros((1, 5))
    injected = Injections(nothing, nothing, slope, slope, slope, np.tile(slope, (2, 1)), simulated)
    np.testing.assert_allclose(injected.expected, [1.0, 1.05, 0.62, 0.7, 1.0])
    np.testing.assert_allclose(injected.scatter, 0.02)
    reading = SimpleNamespace(p=0.5, table={})
    made = MapReport(None, reading, [], [], [], [], np.zeros((5, 5)), injected, None)
    assert made.found_again == "The network was not audited: no bin is cleared."
    audited = replace(made, audit=SimpleNamespace(verdict=np.array(["reads"] * 4 + ["partly"])))
    np.testing.assert_array_equal(audited.cleared, [True, True, False, False, False])
    assert "calls 4 bins read; in 2 of them the slope is within 0.1 of that of simulated maps" in audited.found_again
    assert "In 2 bins of these" in audited.found_again
    assert "0.50 to 0.95, and 1 ± 0.1 in 1 of them" in audited.found_again
    lost = [words for words in audited.faults if "not found again" in words]
    assert lost
    assert "in 2 of 5 bins" in lost[0]
    shy = replace(audited, injections=replace(injected, simulated=simulated - 0.7))
    assert "no bin is cleared" in shy.found_again
    assert any("cannot be tested" in words for words in shy.faults)


def test_added_light_loses_the_modes_that_the_survey_would_take(posterior, mock, injections, monkeypatch):
    """Modes by singular values, of map, light and what the map has lost: as far above the rest as in simulated maps."""
    survey = mock[0][0]
    pipeline = {"means": "removed_weighted", "pca_modes": 1, "efficiency": 0.8}
    observation = {**posterior.info["observation"], "filter": pipeline}
    seen, sigma = survey.mask, np.where(survey.mask, survey.sigma_uk, 1) * N

    def whitened(values):
        mean = (np.where(seen, values / sigma**2, 0)).sum((0, 1)) / np.where(seen, 1 / sigma**2, 0).sum((0, 1))
        return np.where(seen, (values - mean) / sigma, 0).reshape(-1, seen.shape[2]).astype(np.float64)

    def cleaned(values, lost):
        flat = whitened(values)
        mode = np.linalg.svd(np.vstack([flat, lost]))[2][0]
        return np.where(seen, (flat - np.outer(flat @ mode, mode)).reshape(seen.shape) * sigma, 0)

    shown = []
    table, published = survey_injections.posterior_table, survey_injections.published
    noisy = []

    def watched(posterior, cube, noise):
        shown.append(np.array(cube))
        return table(posterior, cube, noise=noise)

    def listened(pipeline, maps, *rest):
        noisy.append(maps.numpy())
        return published(pipeline, maps, *rest)

    monkeypatch.setattr(survey_injections, "posterior_table", watched)
    monkeypatch.setattr(survey_injections, "published", listened)
    survey_injections.inject(
        replace(posterior, info={**posterior.info, "observation": observation}), survey, injections, ""
    )
    rows = read_shards([injections])
    own = shown[0]
    lit = shown[-survey_injections.INJECTIONS :]  # the user's own map with light comes last
    order = np.argsort(survey_injections.counts_of(rows).sum(axis=1), kind="stable")
    chosen = np.sort(order[np.linspace(0, len(order) - 1, len(lit)).astype(int)])
    values = [np.linalg.svd(whitened(maps[0]))[1] ** 2 for maps in noisy[:-1]]  # of simulated maps without added light
    _, left, spectra = np.linalg.svd(whitened(own))
    lost = left[0] * np.sqrt(np.mean([one[0] / one[1] for one in values])) * spectra[-1]
    for cube, row in zip(lit, chosen, strict=True):
        expected = cleaned(own + 0.8 * rows.x[row, 0], lost)
        np.testing.assert_allclose(cube[seen], expected[seen], atol=2e-3 * np.abs(expected).max())
    added = np.array(lit) - own
    assert np.abs(added).sum() < 0.9 * 0.8 * np.abs(rows.x[chosen][:, 0] * seen).sum(), "modes were taken"


def test_answers_follow_light_by_the_weight_of_the_map_and_without_the_prior_fully():
    """Gaussian prior and noise in dex, known posteriors: slope 1 − (σ/σ_prior)² of the answers, 1 without the prior."""
    rng = np.random.default_rng(6)
    middle, wide, noise = 3.0, 0.4, np.array([0.1, 0.2, 0.3, 0.8])
    own = 1 / np.sqrt(1 / wide**2 + 1 / noise**2)

    def answer(dex):
        at = own**2 * (middle / wide**2 + dex / noise**2)
        return {name: 10 ** (at + i * own) - 1 for name, i in (("dn", 0), ("dn_q16", -1), ("dn_q84", 1))}

    prior = 10 ** (middle + wide * np.array([-2, -1, 0, 1, 2])[:, None] * np.ones(4)) - 1
    truth, added = np.full(4, 2.9), 10 ** rng.uniform(2.0, 3.5, (400, 1)) * np.ones(4)
    rise = np.log10(10**truth + added) - truth
    exact = injections_of(answer(truth), [answer(truth + one) for one in rise], added, prior)
    np.testing.assert_allclose(exact.weight, 1 - (own / wide) ** 2, rtol=1e-6)
    answers = np.log10([1 + answer(truth + one)["dn"] for one in rise]) - np.log10(1 + answer(truth)["dn"])
    np.testing.assert_allclose((answers * rise).sum(0) / (rise**2).sum(0), exact.weight, rtol=1e-6)
    np.testing.assert_allclose(exact.data_slope[:3], 1, rtol=1e-6)
    assert np.isnan(exact.data_slope[3]), "the prior decides"
    assert np.isnan(injections_of(answer(truth), [answer(truth)], np.full((1, 4), 5.0), prior).data_slope).all(), "few"
    # what the map held is uncertain by its noise: the range holds 1 in two draws of three
    held = []
    for draw in noise[:3] * rng.standard_normal((300, 3)):
        off = np.append(draw, 0)
        one = injections_of(answer(truth + off), [answer(truth + off + more) for more in rise[:20]], added[:20], prior)
        low, high = np.sort(one.data_range[:, :3], axis=0)
        held.append((low <= 1) & (high >= 1))
    np.testing.assert_allclose(np.mean(held, axis=0), 0.68, atol=0.09)


def test_a_map_of_another_kind_of_noise_fails_the_report(posterior, mock, injections):
    survey = mock[0][0]
    loud = replace(survey, temperature_uk=survey.temperature_uk * 20)
    report = make_report(posterior, loud, injections)
    assert any("unlike anything in training" in fault for fault in report.faults)
    assert len(report.unlike_nulls) == len(report.nulls) > 0, "a map without light but of twenty times the noise"
    assert any("test nothing" in fault for fault in report.faults)
    assert any(outside for _, outside, *_ in report.statistics)


def test_halos_that_taught_the_network_are_not_added(posterior, mock, injections):
    group = int(read_shards([injections]).group[0])
    learnt = {"settings": json.dumps({"splits": {"train": [group, 77]}})}
    knowing = replace(posterior, info={**posterior.info, "provenance": learnt})
    with pytest.raises(LimelightError, match=rf"found realisations \[{group}\], which taught the network"):
        survey_injections.inject(knowing, mock[0][0], injections, "map")


def test_light_is_not_added_where_modes_leave_nothing(posterior, mock, injections):
    """Of a map of two channels, as of any other, two modes are all there is; of three something is left."""
    observation = {**posterior.info["observation"], "filter": {"means": "removed_weighted", "pca_modes": 2}}
    filtered = replace(posterior, info={**posterior.info, "observation": observation})
    survey = mock[0][0]
    few, more = (survey.mask & (np.arange(survey.mask.shape[2]) < seen) for seen in (2, 3))
    with pytest.raises(LimelightError, match="my map: found 2 channels with data of which 2 modes are removed"):
        survey_injections.inject(filtered, replace(survey, mask=few), injections, "my map")
    found = survey_injections.inject(filtered, replace(survey, mask=more), injections, "my map")
    assert np.isfinite(found.found).all()


def test_what_counts_as_light_in_a_null_test():
    prior = np.array([[0, 0], [1, 5], [10, 20], [30, 50], [90, 99]], float)
    assert not sees_light({"dn_q2.5": np.array([9.0, 20.0])}, prior)
    assert sees_light({"dn_q2.5": np.array([0.0, 21.0])}, prior)
