"""What is off about a cube is named; sound maps pass."""

import re
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from limelight.probes.line_intensity.config import LineNetwork, Preprocessing
from limelight.probes.line_intensity.doubts import OF_MEAN, doubts, judge_mean, unseen
from limelight.probes.line_intensity.maps.config import Noise
from limelight.probes.line_intensity.maps.cube import cube_of, pool_as_trained
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.instrument import load_instrument, noise_sigma
from limelight.probes.line_intensity.maps.pooling import pool
from limelight.probes.line_intensity.presentation import line_presentation
from limelight.probes.line_intensity.settings import LineObservation
from limelight.probes.line_intensity.shards import line_header
from limelight.probes.line_intensity.targets import line_target
from limelight.section import plain
from limelight.summaries.inputs import compared, input_statistics, noise_level, ranges

GRID = Grid(1.4, 32, 8, 26.0, 34.0, 115.27, "uK", 2, 2)
NOISE = {"none": Noise(sigma_uk=0), "loud": Noise(sigma_uk=2.0)}
SUMMED = 8  # fine voxels in a pooled one
LABELS = {"log10_lum_min": 3.5, "log10_lum_max": 7.0, "bins": 7}


def painted(n: int, seed: int) -> np.ndarray:
    """Fine maps (n, x, y, f) of clustered light, as bright as they please within some ten per cent."""
    rng = np.random.default_rng(seed)
    white = rng.normal(size=(n, *GRID.shape))
    smooth = gaussian_filter(white, (0, 2, 2, 0.5), mode="wrap")
    field = smooth / smooth.std() + 0.7 * rng.normal(size=white.shape)
    return (10 ** rng.normal(0, 0.05, (n, 1, 1, 1)) * np.exp(field)).astype(np.float32)


class Study:
    """Maps shown as a network of this noise would be in training."""

    def __init__(self, noise=NOISE, preprocessing: dict | None = None) -> None:
        instrument, header = load_instrument("comap"), line_header(GRID, 0.0, LABELS, {})
        network = LineNetwork(architecture="limelight", line_models=["li10"], noise=list(noise))
        network = network.model_copy(update={"preprocessing": Preprocessing.model_validate(preprocessing or {})})
        target = line_target("dn", "log10_1p", (), header)
        observation = LineObservation(instrument, noise, None, None)
        self.presentation = line_presentation(network, observation, header, target).bare()
        self.info = {
            "header": asdict(header),
            "entry": plain(network),
            "observation": {"noise": {key: plain(one) for key, one in noise.items()}, "instrument": instrument},
            "input_ranges": ranges([input_statistics(self.shown(500, 0))]),
        }

    def shown(self, n: int, seed: int) -> torch.Tensor:
        """(n, 1, x, y, f) in µK, pooled, with noise."""
        maps = torch.as_tensor(pool(painted(n, seed), 2, 2))[:, None]
        return self.presentation.observe(maps, torch.Generator().manual_seed(seed))

    def doubts(self, fine: np.ndarray) -> list[str]:
        """Of a fine cube."""
        cube = cube_of(fine.astype(np.float32), replace(GRID, pool_pixels=1, pool_channels=1), 0.0)
        return doubts(cube, pool_as_trained(cube, self.info["header"]["geometry"])[0], self.info)


@pytest.fixture(scope="module")
def study():
    return Study()


@pytest.fixture(scope="module")
def fine():
    """A fine map that training has not seen."""
    return painted(1, 77)[0]


def test_sound_maps_hardly_ever_alarm(study):
    n, alarms = 1000, []
    for one in study.shown(n, 1)[:, 0].numpy():
        alarms += doubts(cube_of(one, GRID, 0.0), one, study.info)
    assert len(alarms) <= 0.01 * n, alarms


def rim(cube, width):
    cube = cube.copy()
    cube[:width], cube[-width:], cube[:, :width], cube[:, -width:] = 0, 0, 0, 0
    return cube


def changed(cube, channels, value):
    cube = cube.copy()
    cube[:, :, channels] = value
    return cube


def noisy(cube, sigma, channels=slice(None)):
    cube = cube.copy()
    cube[:, :, channels] += np.random.default_rng(0).normal(0, sigma, cube[:, :, channels].shape)
    return cube


def holes(cube):
    cube = cube.copy()
    cube[8:16, 8:16] = 0
    return cube


def high_passed(cube):
    """Large scales taken away, all means kept, as a scan's filter might."""
    waves = np.fft.fft2(cube, axes=(0, 1))
    k = np.hypot(np.fft.fftfreq(32)[:, None], np.fft.fftfreq(32)[None])
    return np.fft.ifft2(np.where(((k > 0) & (k < 4 / 32))[..., None], 0, waves), axes=(0, 1)).real


def filled(cube, value):
    cube = cube.copy()
    cube[8:16, 8:16] = value
    return cube


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: rim(c, 2), "a zero-filled rim, up to 2 of 32 pixels wide (23 % of the pixels)"),
        (
            lambda c: np.where(np.arange(32)[:, None, None] < 31, c, 0),
            "a zero-filled rim, up to 1 of 32 pixels wide (3.1 %",
        ),
        (holes, "exactly 0 (in training at most"),
        (lambda c: changed(c, slice(2, 4), 0), "channels 3-4 of 8 are zero-filled"),
        (lambda c: changed(c, 4, 0), "channel 5 of 8 are zero-filled"),
        (lambda c: changed(c, 4, 7.5), "channel 5 of 8 are filled with one value"),
        (lambda c: filled(c, -999), "6.2 % of the voxels are exactly -999 uK: a fill value"),
        (lambda c: filled(c, 65535), "exactly 65535 uK: saturated or clipped"),
        (lambda c: noisy(c, 300, 6), "channel 7 of 8: "),
        (lambda c: noisy(c, 20), "the network was trained with at most 2:"),
        (lambda c: noisy(c, 1) - noisy(c, 1).mean((0, 1)), "the mean of every channel is 0"),
        (lambda c: c - c.mean((0, 1)), "the mean of every channel is 0"),
        (lambda c: c - c.mean(2, keepdims=True), "the mean of every spectrum is 0"),
        (lambda c: c - np.median(c, (0, 1)), "the median of every channel is 0"),
        (lambda c: changed(c, slice(2, 4), 3 * c[:, :, 2:4]), "the mean of channel 2 of 4 (pooled) lies above"),
        (high_passed, "filtered"),
        (lambda c: c - c.mean(), "the mean of all voxels is 0"),
        (lambda c: 1e6 * c, "a unit that is wrong by 1e6"),
        (lambda c: 1e-6 * c, "a unit that is wrong by 1e6"),
        (lambda c: 1e-3 * noisy(c, 1), "a unit that is wrong by 1e3"),
        (lambda c: gaussian_filter(c, (3, 3, 0), mode="wrap"), "smoothed"),
        (lambda c: gaussian_filter(c, (1.5, 1.5, 0), mode="wrap"), "smoothed"),
        (lambda c: c + 50, "above training's"),
        (lambda c: c - 50, "below training's"),
        (lambda c: 0 * c + 3, "there is no map in it"),
    ],
)
def test_what_is_off_is_named(study, fine, change, says):
    assert study.doubts(fine) == []
    found = study.doubts(change(fine))
    assert any(says in one for one in found), found
    assert not any("\n" in one for one in found)


def test_pooled_means_instead_of_sums_are_named(study, fine):
    pooled = pool(fine, 2, 2) / SUMMED
    found = doubts(cube_of(pooled, GRID, 0.0), pooled, study.info)
    assert len(found) == 1
    assert "sums of 8" in found[0]


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (5.2, None),
        (0.24, "(least: 1.1): perhaps it holds means of voxels, where training maps are sums of 20"),
        (-0.3, "(least: 1.1): perhaps its zero level was changed"),
        (1500.0, "(largest: 152): perhaps its zero level was changed, continuum was left in"),
    ],
)
def test_the_mean_of_all_voxels_tells_where_noise_hides_the_channels(found, says):
    """Beside the means of the demo's training maps; below them is a map that holds means of voxels."""
    mean = compared(np.array([found]), np.array([[1.1], [15.2], [152.2]]), OF_MEAN)
    words = judge_mean(mean, {"pool_pixels": 2, "pool_channels": 5})
    assert [says in one for one in words] == [True] * (says is not None)


def test_noise_a_little_louder_than_trainings_shows_in_the_negative_tail(fine):
    """Beside skies whose brightness hides it from the noise level."""
    study = Study({"none": Noise(sigma_uk=0), "loud": Noise(sigma_uk=20.0)})
    for name in ("channel_noise", "channel_spread"):  # as of bright skies
        study.info["input_ranges"][name][2] *= 2
    alarms = [doubts(cube_of(one, GRID, 0.0), one, study.info) for one in study.shown(400, 1)[:, 0].numpy()]
    assert sum(map(bool, alarms)) <= 4
    assert study.doubts(noisy(fine, 20.0)) == []
    (said,) = study.doubts(noisy(fine, 26.0))
    times = float(re.search(r"lies (\S+) times as low as any in training", said)[1])
    assert 1.1 < times < 1.3
    assert not any("times as low" in one for one in study.doubts(noisy(fine, 20.0) - 10))


def test_what_no_map_shows_is_said_with_the_reach_of_trainings_skies(fine):
    study, level = Study(), Study(preprocessing={"remove_means": "channels"})
    pooled = pool(fine, 2, 2)
    means = study.info["input_ranges"]["mean"][:, 0] / SUMMED
    reach = f"(means of {means[0]:.2g} to {means[2]:.2g} uK; here {fine.mean():.2g})"
    assert unseen(pooled, study.info).startswith("an offset or a wrong gain")
    assert reach in unseen(pooled, study.info)
    assert unseen(pooled, level.info).startswith("a wrong gain")
    assert study.doubts(1.1 * fine) == study.doubts(fine + 0.05) == [], "what is said to be unseen is"


def test_a_clean_map_for_a_network_of_noisy_ones(fine):
    study = Study({"loud": Noise(sigma_uk=20.0)})
    assert "noise was removed" in study.doubts(fine)[0]
    assert study.doubts(noisy(fine, 20.0)) == []


def test_a_network_without_a_zero_level_has_no_doubts_about_a_mean_of_zero_but_about_channels_without_one():
    study = Study({"loud": Noise(sigma_uk=2.0)}, preprocessing={"remove_means": "map"})
    cube = cube_of(noisy(painted(1, 79)[0], 2.0), replace(GRID, pool_pixels=1, pool_channels=1), 0.0)
    pooled = pool_as_trained(cube, study.info["header"]["geometry"])[0]
    assert doubts(cube, pooled - pooled.mean(), study.info) == []
    assert "every mean but that of the whole map" in doubts(cube, pooled - pooled.mean((0, 1)), study.info)[0]


def test_one_loud_channel_shows_beside_the_others():
    """Twice as bright as it should be, within the range that the brightness of training maps has."""
    study = Study({"loud": Noise(sigma_uk=2.0)})
    loud = painted(1, 78)[0]
    loud = noisy(loud, 2.0)
    assert study.doubts(loud) == []
    found = study.doubts(changed(loud, slice(2, 4), 2.5 * loud[:, :, 2:4]))
    assert len(found) == 1
    assert "of 8: " in found[0] or "channel 2 of 4" in found[0]


def test_older_model_files_are_judged_by_what_needs_no_training_maps(study, fine):
    info = {key: value for key, value in study.info.items() if key != "input_ranges"}
    cube = cube_of(rim(fine, 4), replace(GRID, pool_pixels=1, pool_channels=1), 0.0)
    prepared = pool_as_trained(cube, info["header"]["geometry"])[0]
    assert "zero-filled rim" in doubts(cube, prepared, info)[0]
    removed = prepared - prepared.mean((0, 1))
    assert "zero level" in doubts(cube_of(removed, GRID, 0.0), removed, info)[0]


def test_noise_level_is_that_of_the_noise_and_not_of_a_few_sources():
    x = 3 * torch.randn(2, 64, 64, 4, generator=torch.Generator().manual_seed(1))
    x[:, ::16, ::16] += 1000
    assert noise_level(x).numpy() == pytest.approx(3, rel=0.15)
    assert noise_sigma(NOISE["loud"], load_instrument("comap"), GRID) == (2.0, 2.0)


def test_a_network_that_needs_no_zero_level_is_not_warned_of_its_absence(fine):
    levelled = Study(preprocessing={"remove_means": "channels"})
    loud = noisy(fine, 2.0)
    by_channel = loud - pool(loud, 32, 1).mean((0, 1)) / 32**2
    assert levelled.doubts(loud) == []
    assert levelled.doubts(by_channel) == []
    assert levelled.doubts(loud + 1000) == []
    assert "zero level" in Study().doubts(by_channel)[0]
    (said,) = levelled.doubts(noisy(fine, 40.0))
    assert "noise of" in said


def test_noise_beyond_that_of_a_survey_is_told_without_its_file(fine):
    """The file of a survey stays where the network was trained; its σ is in the model file."""
    told = Study()
    told.info["observation"]["noise"] = {"mine": {"survey": "gone.h5", "sigma_factor": [0.5, 2.0]}}
    told.info["observation"]["surveys"] = {"mine": {"sigma_uk": 1.5, "content": "0"}}
    (said,) = told.doubts(noisy(fine, 40.0))
    assert "trained with at most 3:" in said
