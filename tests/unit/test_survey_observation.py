"""Maps observed as a survey observes them: σ cube, mask, means, modes, and what a network sees of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from survey_toys import survey_file
from training_toys import BINS, GRID, HEADER, PROBE, SHAPE, generator, presentation, settings, toys

from limelight.errors import LimelightError
from limelight.evaluation.audit import Question, Subset
from limelight.evaluation.observe import observed
from limelight.evaluation.verdicts import verdicts
from limelight.networks import build
from limelight.probes.line_intensity.apply import Trained
from limelight.probes.line_intensity.audit import line_invariances
from limelight.probes.line_intensity.config import LineThresholds, Preprocessing
from limelight.probes.line_intensity.inputs import CubeNoise, Recorded, network_inputs
from limelight.probes.line_intensity.maps.config import Filter
from limelight.probes.line_intensity.maps.filters import (
    apply_transfer,
    remove_means,
    remove_modes,
)
from limelight.probes.line_intensity.maps.survey import load_survey
from limelight.probes.line_intensity.maps.survey_noise import survey_noise
from limelight.probes.line_intensity.pipeline import Pipeline
from limelight.section import plain

RAW = {"preprocessing": {"transform": "none"}}
SURVEYED = {"remove_means": "channels", "inputs": ["snr", "weight", "mask"]}
N = GRID.pool_pixels**2 * GRID.pool_channels  # fine voxels of a pooled one


@pytest.fixture
def survey(tmp_path):
    return survey_file(tmp_path / "survey.h5")


def of_survey(path, network=None, pipeline=None, **noise):
    return presentation(settings({"survey": {"survey": str(path), **noise}}, network=network or RAW, pipeline=pipeline))


def test_noise_has_the_sigma_of_the_survey_and_its_mask_is_not_seen(survey):
    truth = load_survey(survey)
    shown = of_survey(survey).observe(torch.full((3000, *SHAPE), 5.0), generator())[:, 0]
    spread = shown.std(0).numpy()
    np.testing.assert_allclose(spread[truth.mask], N * truth.sigma_uk[truth.mask], rtol=0.08)  # 6 standard deviations
    assert np.mean(spread[truth.mask] / (N * truth.sigma_uk[truth.mask])) == pytest.approx(1, abs=0.003)
    assert not shown[:, ~truth.mask].any()
    everywhere = of_survey(survey, mask=False).observe(torch.zeros(2000, *SHAPE), generator())[:, 0].std(0).numpy()
    np.testing.assert_allclose(everywhere[~truth.mask], N * truth.sigma_uk[truth.mask].max(), rtol=0.1)


def test_a_survey_on_fine_voxels_adds_their_variances(tmp_path):
    fine = load_survey(path := survey_file(tmp_path / "fine.h5", fine=True))
    found = survey_noise(path, GRID)
    block = (slice(4, 6), slice(10, 12), slice(5, 10))
    how = of_survey(path)
    sigma = how._sigma(torch.tensor([how.noise[0][0]]), torch.tensor([0]))[0].numpy()
    assert sigma[2, 5, 1] == pytest.approx(np.sqrt((fine.sigma_uk[block] ** 2).sum()), rel=1e-5)
    assert not found.observed[0, 0, 3]
    assert found.observed[2, 5, 1]


def test_depth_is_drawn_evenly_in_its_logarithm(survey):
    how = of_survey(survey, sigma_factor=[0.1, 10])
    seen = torch.as_tensor(load_survey(survey).mask)
    shown = how.observe(torch.zeros(1500, *SHAPE), generator())[:, 0]
    sigma = torch.as_tensor(survey_noise(survey, GRID).pattern)[seen]
    level = (shown[:, seen] / sigma).std(1).log10()
    level -= np.log10(survey_noise(survey, GRID).sigma_uk * np.sqrt(N))
    assert (level.min() + 1).abs() < 0.05
    assert (level.max() - 1).abs() < 0.05
    assert level.mean().item() == pytest.approx(0, abs=0.06)
    assert level.std().item() == pytest.approx(2 / np.sqrt(12), abs=0.03)


def test_the_order_is_sky_noise_mask_means_modes(survey):
    """Each step of a presentation against the same step done by hand on the same noise."""
    pipeline = {"means": "removed_weighted", "pca_modes": 1}
    maps = torch.as_tensor(toys(5).x)
    plain, piped = of_survey(survey), of_survey(survey, pipeline=pipeline)
    found = piped.record(maps[:, 0], generator(3))
    random = generator(3)
    torch.rand(5, generator=random), torch.randn(5, generator=random)  # of factors that are 1 here
    noisy = plain.record(maps[:, 0], random)
    expected = remove_modes(remove_means(noisy.maps, noisy.weights), noisy.weights, 1)
    torch.testing.assert_close(found.maps, expected)
    assert not torch.allclose(found.maps, noisy.maps)


def test_factor_and_transfer_act_on_the_sky_alone(survey):
    sky = torch.as_tensor(toys(4).x)
    pipeline = {"efficiency": 0.72, "high_pass_perp": [0.05, 0.01], "passed": 0.9}
    recorded = of_survey(survey, pipeline=pipeline)
    empty = recorded.record(torch.zeros_like(sky[:, 0]), generator(1))
    whole = recorded.record(sky[:, 0], generator(1))
    seen = torch.as_tensor(load_survey(survey).mask)
    clean = recorded.silent().record(sky[:, 0], generator(9)).maps
    torch.testing.assert_close((whole.maps - empty.maps)[:, seen], clean[:, seen], rtol=1e-3, atol=0.05)
    assert clean.mean() < 0.2 * sky.mean()  # the mean is a wave of length 0
    drawn = of_survey(survey, pipeline={"efficiency": [0.6, 0.8], "calibration_error": 0.05})
    flat = drawn.with_noise(0).record(torch.ones(800, *SHAPE[1:]), generator(2)).maps
    assert flat.std((1, 2, 3)).max() < 0.5  # of a mask alone
    factor = flat[:, 8, 8, 0]
    assert factor.mean().item() == pytest.approx(0.7, abs=0.01)
    assert factor.std().item() == pytest.approx(np.hypot(0.2 / np.sqrt(12), 0.7 * 0.05), rel=0.1)


def test_a_source_far_above_the_noise_takes_a_mode_for_its_channel():
    """Own channels lose what a survey loses, by an independent SVD; wide ones also lose the source beside it."""
    rng, modes = np.random.default_rng(5), 2
    sigma = rng.uniform(1, 3, (24, 24, 1)) * np.ones(32)
    place = np.exp(-0.5 * np.add.outer(np.arange(-12, 12) ** 2, np.arange(-12, 12) ** 2) / 2**2)
    light = np.zeros(sigma.shape)

    def there(channel: int) -> np.ndarray:
        return np.roll(place, {4: 0, 13: 6, 14: 12, 27: 18}[channel], axis=0)

    for channel, flux in ((4, 60), (13, 40), (14, 20), (27, 15)):
        light[..., channel] = flux * there(channel)
    noisy = light + sigma * rng.standard_normal(sigma.shape)
    weight = sigma**-2.0
    expected = noisy - (weight * noisy).sum((0, 1)) / weight.sum((0, 1))
    u, s, vh = np.linalg.svd((expected / sigma).reshape(-1, 32), full_matrices=False)
    s[:modes] = 0
    expected = ((u * s) @ vh).reshape(sigma.shape) * sigma
    how = Pipeline(Filter(means="removed_weighted", pca_modes=modes), GRID, None, None)

    def published(maps: np.ndarray, noise: np.ndarray) -> np.ndarray:
        one, of_one = (torch.as_tensor(each).float()[None] for each in (maps, noise))
        return how.after_noise(Recorded(one, of_one))[0].numpy()

    found = published(noisy, sigma)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    wide = published(noisy.reshape(24, 24, 8, 4).mean(3), sigma[..., ::4] / 2)
    own, beside, both = (
        (values * shape).sum() / np.square(shape).sum()
        for values, shape in ((found[..., 13], there(13)), (found[..., 14], there(14)), (wide[..., 3], there(14)))
    )
    assert abs(own) < 0.1 * 40
    assert beside == pytest.approx(20, rel=0.15)
    assert abs(both) < 0.1 * 20 / 4, "of the mean of four channels"


def test_noise_goes_through_the_filter_only_where_it_is_told_to(survey):
    """Of white noise times σ, power on the sky below the cut falls by the square of the transfer function, or not at all."""
    settings = {"high_pass_perp": [0.2, 0.01], "passed": 0.9}
    white = torch.randn(60, *SHAPE[1:], generator=generator(1))
    assert of_survey(survey, pipeline=settings).pipeline.shape_noise is None
    pipeline = of_survey(survey, pipeline={**settings, "filters_noise": True}).pipeline
    shaped = pipeline.shape_noise(white)
    axes = (1, 2, 3)
    left = (torch.fft.rfftn(shaped, dim=axes).abs().square() / torch.fft.rfftn(white, dim=axes).abs().square()).mean(0)
    torch.testing.assert_close(left, torch.as_tensor(pipeline.transfer).square(), rtol=1e-2, atol=1e-5)
    assert left.min() < 0.01
    assert left.max() == pytest.approx(0.81, abs=0.01)
    both = of_survey(
        survey, pipeline={**settings, "filters_noise": True, "knee_per_mpc": 0.3, "knee_slope": 2}
    ).pipeline
    pink = of_survey(survey, pipeline={**settings, "knee_per_mpc": 0.3, "knee_slope": 2}).pipeline
    expected = apply_transfer(pink.shape_noise(white), torch.as_tensor(pipeline.transfer))
    torch.testing.assert_close(both.shape_noise(white), expected)


def test_a_presentation_is_the_same_in_any_batch(survey):
    """Rows of tests are observed one by one (evaluation.observe): nothing of a row leaks into another."""
    pipeline = {"means": "removed", "pca_modes": 2, "knee_per_mpc": 0.05, "ripple_uk": 3}
    how = of_survey(survey, {"preprocessing": SURVEYED}, pipeline, sigma_factor=[0.5, 2])
    x = torch.as_tensor(toys(3).x)
    assert torch.equal(how.observe(x, generator(5)), how.observe(x, generator(5)))
    one = how.observe(x[:1], generator(5))
    assert one.shape == (1, 4, *SHAPE[1:])
    assert torch.isfinite(one).all()
    assert not torch.equal(one, how.observe(x[:1], generator(6)))


def test_what_the_network_sees_beside_the_map(survey):
    how = of_survey(survey, {"preprocessing": {**SURVEYED, "scale_uk": 50.0}})
    truth = load_survey(survey)
    inputs = how.observe(torch.as_tensor(toys(2).x), generator())[0].numpy()
    sigma = N * truth.sigma_uk
    seen = truth.mask
    values = 50 * np.sinh(inputs[0])
    np.testing.assert_allclose(inputs[1][seen], np.arcsinh(values[seen] / sigma[seen]), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(inputs[2][seen], np.arcsinh(50 / sigma[seen]), rtol=1e-5)
    np.testing.assert_array_equal(inputs[3], seen)
    assert not inputs[:, ~seen].any()
    weights = np.where(seen, sigma**-2.0, 0)
    np.testing.assert_allclose((values * weights).sum((0, 1)) / weights.sum((0, 1)).clip(1e-9), 0, atol=0.02)


@pytest.mark.parametrize("architecture", ["limelight", "cnn2d", "cnn3d", "convnet", "resnet3d"])
def test_networks_take_further_channels_and_need_no_zero_level(survey, architecture):
    """A constant in each channel, and whatever stands in masked voxels, change an answer by less than 1e-3 dex."""
    options = {"limelight": {"filters": 4}, "cnn2d": {"layers": 2, "filters": 4}, "cnn3d": {"layers": 2, "filters": 4}}
    options |= {"resnet3d": {"filters": 2}}
    preprocessing = Preprocessing.model_validate(SURVEYED)
    torch.manual_seed(1)
    network = PROBE.network({"architecture": architecture, "line_models": ["toys"], "preprocessing": SURVEYED})
    shape = PROBE.input_shape(network, HEADER)
    assert shape == (4, *SHAPE[1:])
    net = build(architecture, options.get(architecture, {}), shape, BINS).eval()
    found = of_survey(survey, {"preprocessing": SURVEYED}).record(torch.as_tensor(toys(6).x)[:, 0], generator())
    moved = found.maps + 300 * torch.arange(1.0, 5.0)  # µK, ten σ and more
    filled = torch.where(found.observed, found.maps, 1e5)
    with torch.no_grad():
        before, after, masked = (
            net(network_inputs(replace(found, maps=maps), preprocessing)) for maps in (found.maps, moved, filled)
        )
    assert (after - before).abs().max() < 1e-3
    assert torch.equal(masked, before)
    assert before.std() > 0


def test_a_users_map_is_shown_as_the_maps_of_training_are(survey):
    """The same recorded map through the presentation and through predict's inputs, which take numbers from a file."""
    network = PROBE.network({"architecture": "limelight", "line_models": ["toys"], "preprocessing": SURVEYED})
    known = Trained("toy", network, HEADER)
    how, x = of_survey(survey, {"preprocessing": SURVEYED}), torch.as_tensor(toys(1).x)
    found = how.record(x[:, 0], generator(3))
    sigma = np.where(found.observed[0], found.sigma[0], np.nan)
    filled = np.where(found.observed[0], found.maps[0], np.nan)
    seen = known.inputs(filled, CubeNoise(sigma, found.observed[0].numpy()))
    torch.testing.assert_close(seen, how.observe(x, generator(3)))
    assert not known.uses_zero_level
    with pytest.raises(LimelightError, match="a cube without it; expected the σ of every voxel"):
        known.inputs(filled)


def test_a_network_that_keeps_means_does_see_a_constant(survey):
    found = of_survey(survey).record(torch.as_tensor(toys(2).x)[:, 0], generator())
    plain = Preprocessing()
    shown = [network_inputs(replace(found, maps=found.maps + add), plain) for add in (0, 300)]
    assert (shown[0] - shown[1]).abs().max() > 1


def test_maps_without_noise_have_finite_inputs():
    found = Recorded(torch.randn(2, 4, 4, 3), torch.zeros(1, 1, 1, 1))
    inputs = network_inputs(found, Preprocessing.model_validate(SURVEYED))
    assert torch.isfinite(inputs).all()
    assert inputs[:, 3].unique().tolist() == [1.0]


def question_about(how, network):
    """A Question of the audit about toys, put to a network."""
    rows = toys(8)

    def ask(x, shown=how):
        with torch.no_grad():
            return network(torch.cat(list(observed(x, shown, 1, "audit")))).double().numpy()

    subset = Subset(rows.x, rows.y, rows.rows, np.zeros(8, int))
    return Question(ask, how, subset, subset, ask(rows.x), None, {})


def test_the_audit_moves_the_zero_level_and_fills_the_mask(survey):
    torch.manual_seed(2)
    net = build("limelight", {"filters": 4}, (4, *SHAPE[1:]), BINS).eval()
    levelled = of_survey(survey, {"preprocessing": SURVEYED})
    assert set(line_invariances(levelled)) == {"zero_level", "masked"}
    for change in line_invariances(levelled).values():
        assert np.abs(change(question_about(levelled, net))).max() < 1e-3
    kept = of_survey(survey, {"preprocessing": {**SURVEYED, "remove_means": None}})
    assert set(line_invariances(kept)) == {"masked"}
    moved = line_invariances(levelled)["zero_level"](question_about(kept, net))  # asked all the same
    assert np.abs(moved).max() > 1e-3
    leaky = replace(kept, masks=(None,))
    assert line_invariances(leaky) == {}


def test_a_network_that_moves_where_it_must_not_is_not_said_to_read():
    fine = dict.fromkeys(("r_squared", "blank_share"), np.ones(2) * 0.9)
    fine |= dict.fromkeys(("gain_over_mean", "gain_over_control"), np.ones(2) * 9)
    fine["mean_truth"] = np.ones(2) * 100
    limits = plain(LineThresholds())
    moved = {**fine, "zero_level_change": np.array([1e-5, 2e-3])}
    assert verdicts(moved, 100, limits).tolist() == ["reads", "partly"]


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        (replace(GRID, pixels=64), "16 × 16 × 4 voxels; expected 32 × 32 × 4"),
        (replace(GRID, size_deg=0.5), "x_deg: found"),
        (replace(GRID, freq_max_ghz=33.0), "frequency_ghz: found"),
        (replace(GRID, unit="Jy/sr"), "grid.unit: found Jy/sr"),
    ],
)
def test_a_survey_of_another_grid_is_refused_in_one_line(survey, grid, words):
    with pytest.raises(LimelightError, match=words) as caught:
        survey_noise(survey, grid)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("shift", "sound"), [(0.05, True), (0.3, False), (-0.6, False)])
def test_channels_that_lie_between_those_of_the_study_are_refused(tmp_path, shift, sound):
    """However many voxels there are: with 64 channels a shift by 0.6 of one was taken as the same."""
    grid = replace(GRID, channels=64 * GRID.pool_channels)
    path, width = survey_file(tmp_path / "s.h5", grid), (grid.freq_max_ghz - grid.freq_min_ghz) / 64
    frequency = load_survey(path).frequency_ghz + shift * width
    survey_file(path, grid, frequency_ghz=frequency)
    if sound:
        assert survey_noise(path, grid).observed.shape[2] == 64
    else:
        with pytest.raises(LimelightError, match="frequency_ghz: found"):
            survey_noise(path, grid)


def test_a_survey_without_sigma_or_file_is_refused(tmp_path):
    silent = np.zeros(GRID.pooled_shape, np.float32)
    path = survey_file(tmp_path / "s.h5", sigma_uk=silent, mask=np.ones(GRID.pooled_shape, bool))
    with pytest.raises(LimelightError, match="no σ of the noise"):
        survey_noise(path, GRID)
    with pytest.raises(LimelightError, match="no such file"):
        survey_noise(tmp_path / "none.h5", GRID)
