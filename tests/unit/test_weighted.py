"""Weighted means of survey maps on other grids."""

from dataclasses import replace

import numpy as np
import pytest
from test_survey import toy

from limelight.cosmology import Cosmology
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.paint import paint
from limelight.probes.line_intensity.maps.survey import SurveyMap, save_survey
from limelight.probes.line_intensity.maps.weighted import edges_of, light_weights, onto


def blocks(values, nx, ny, nf):
    """(blocks along x, y, f, voxels of a block)."""
    x, y, f = (n // b for n, b in zip(values.shape, (nx, ny, nf), strict=True))
    return values.reshape(x, nx, y, ny, f, nf).transpose(0, 2, 4, 1, 3, 5).reshape(x, y, f, -1)


def test_whole_blocks_are_inverse_variance_means_and_half_seen_ones_stay():
    survey = toy(6, 4, 4)
    edges = [edges_of(one)[::2] for one in (survey.x_deg, survey.y_deg, survey.frequency_ghz)]
    pooled = onto(survey, *edges)
    value, sigma, seen = (blocks(one, 2, 2, 2) for one in (survey.temperature_uk, survey.sigma_uk, survey.mask))
    weight = np.where(seen, 1 / sigma.astype(float) ** 2, 0)
    np.testing.assert_allclose(pooled.temperature_uk, (weight * value).sum(-1) / weight.sum(-1), rtol=1e-5)
    np.testing.assert_allclose(pooled.sigma_uk, weight.sum(-1) ** -0.5, rtol=1e-5)
    assert pooled.mask.all()  # 3 of 4 pixels of the corner were observed
    np.testing.assert_allclose(pooled.frequency_ghz, survey.frequency_ghz.reshape(2, 2).mean(1))
    gone = np.array(survey.mask)
    gone[:2, :2, :2] = False
    gone[0, 0, 0] = True
    less = replace(survey, mask=gone, sigma_uk=np.where(gone, survey.sigma_uk, np.inf))
    less = onto(replace(less, sigma_uk=np.where(gone & ~np.isfinite(less.sigma_uk), 50, less.sigma_uk)), *edges)
    assert not less.mask[0, 0, 0]
    assert less.mask.sum() == less.mask.size - 1
    assert np.isinf(less.sigma_uk[0, 0, 0])


def test_the_noise_that_follows_is_the_noise_that_is_there():
    """Fractional overlaps: the scatter over draws of noise is the σ that is told."""
    survey = toy(6, 5, 4)
    x, y, f = (edges_of(one) for one in (survey.x_deg, survey.y_deg, survey.frequency_ghz))
    new = np.linspace(x[0], x[-1], 5), np.linspace(y[0], y[-1], 4), np.linspace(f[0], f[-1], 4)
    rng = np.random.default_rng(8)
    draws = []
    for _ in range(800):
        noise = np.where(
            survey.mask, rng.normal(0, 1, survey.mask.shape) * np.where(survey.mask, survey.sigma_uk, 1), 0
        )
        pooled = onto(replace(survey, temperature_uk=noise.astype(np.float32)), *new)
        draws.append(pooled.temperature_uk)
    ratio = np.std(draws, axis=0)[pooled.mask] / pooled.sigma_uk[pooled.mask]
    assert ratio.mean() == pytest.approx(1, abs=0.01)
    assert np.abs(ratio - 1).max() < 0.12  # of 800 draws: 4 to 5 standard errors


def test_a_constant_stays_and_unknown_noise_stays_unknown():
    survey = toy()
    flat = replace(
        survey, temperature_uk=np.where(survey.mask, np.float32(7), 0), sigma_uk=np.where(survey.mask, 0, np.inf)
    )
    x, y, f = (edges_of(one) for one in (survey.x_deg, survey.y_deg, survey.frequency_ghz))
    pooled = onto(flat, np.linspace(x[0], x[-1], 4), y, f[1:4])
    np.testing.assert_allclose(pooled.temperature_uk[pooled.mask], 7, rtol=1e-6)
    assert not pooled.has_noise
    assert pooled.temperature_uk.shape == (3, 5, 2)


def test_painted_light_counts_as_in_the_survey_s_own_means(tmp_path):
    """The same sources in a survey's own voxels, brought onto the study's, and painted into these at once."""
    rng, cosmology = np.random.default_rng(4), Cosmology()
    fine = Grid(0.6, 12, 64, 26.0, 34.0, 115.27)
    n = 4000
    sky = rng.uniform(-0.3, 0.3, (n, 2)) + [0.2, -0.1]
    redshift = 115.27 / rng.uniform(26, 34, n) - 1
    log10_lum = rng.uniform(4, 6, n)
    sources = (sky, redshift, redshift, log10_lum)
    center = np.array([0.2, -0.1])
    own = paint(*sources, fine, center, cosmology)
    sigma = rng.uniform(1, 5, own.shape).astype(np.float32)
    mask = rng.random(own.shape) < 0.8
    mask[:4, :4, :8] = False  # nothing of the first pooled voxels
    place, freq = (np.arange(12) - 5.5) * 0.05 + 7, fine.channel_freq_ghz
    noise = np.where(mask, sigma, np.inf)
    survey = SurveyMap(np.where(mask, own, 0), noise, mask, place, place, freq, 0.0, 1.0, 0, False, "toy")
    edges = [edges_of(place)[::2], edges_of(place)[::2], edges_of(freq)[::4]]
    expected = onto(survey, *edges)
    save_survey(tmp_path / "survey.h5", expected, light_weights(survey, *edges))
    study = Grid(0.6, 6, 16, 26.0, 34.0, 115.27, survey=str(tmp_path / "survey.h5"))
    painted = paint(*sources, study, center, cosmology)
    assert not expected.mask[:2, :2, :2].any()
    seen = expected.mask
    np.testing.assert_allclose(painted[seen], expected.temperature_uk[seen], rtol=2e-5, atol=1e-6)
    alike = paint(*sources, replace(study, survey=None), center, cosmology)
    assert np.abs(alike - painted)[seen].max() > 0.3 * painted[seen].mean()  # so that the weights matter here
    np.testing.assert_allclose(painted[~seen], alike[~seen], rtol=1e-6)


def test_weights_of_voxels_that_are_cut_conserve_light():
    """Fractional overlaps: spread evenly, light has the mean that it has without weights."""
    survey = toy(6, 5, 4)
    survey = replace(survey, mask=np.ones_like(survey.mask), sigma_uk=np.where(survey.mask, survey.sigma_uk, 20))
    x, y, f = (edges_of(one) for one in (survey.x_deg, survey.y_deg, survey.frequency_ghz))
    weights = light_weights(survey, np.linspace(x[0], x[-1], 5), np.linspace(y[0], y[-1], 4), f[::2])
    assert weights.values.shape == (6, 5, 4)
    assert weights.values.mean() == pytest.approx(1, rel=1e-6)
    assert weights.values.std() > 0.01
    np.testing.assert_allclose(weights.x_edges_deg, x - (x[0] + x[-1]) / 2)
