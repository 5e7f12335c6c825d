"""The survey map and its file."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from limelight.errors import LimelightError
from limelight.probes.line_intensity.maps.survey import SurveyMap, load_survey, save_survey


def toy(nx: int = 6, ny: int = 5, nf: int = 4) -> SurveyMap:
    """A small survey map with a masked corner, two pixels of 2′ and channels of 31.25 MHz."""
    rng = np.random.default_rng(3)
    mask = np.ones((nx, ny, nf), bool)
    mask[0, 0] = False
    sigma = np.where(mask, rng.uniform(20, 200, mask.shape), np.inf).astype(np.float32)
    values = np.where(mask, rng.normal(0, 30, mask.shape), 0).astype(np.float32)
    x, y = ((np.arange(n) - (n - 1) / 2) / 30 for n in (nx, ny))
    frequency = 26 + 0.03125 * (np.arange(nf) + 0.5)
    return SurveyMap(values, sigma, mask, x, y, frequency, 4.5, 0.72, 5, True, "toy", (170.0, 52.5))


def test_a_survey_map_comes_back_from_its_file(tmp_path):
    survey, path = toy(), tmp_path / "survey.h5"
    save_survey(path, survey)
    found = load_survey(path)
    for name in ("temperature_uk", "sigma_uk", "mask", "x_deg", "y_deg", "frequency_ghz"):
        np.testing.assert_array_equal(getattr(found, name), getattr(survey, name))
    for name in ("beam_fwhm_arcmin", "efficiency", "modes_removed", "means_removed", "source", "center_deg"):
        assert getattr(found, name) == getattr(survey, name)
    assert found.pixel_deg == pytest.approx((1 / 30, 1 / 30))
    assert found.channel_ghz == pytest.approx(0.03125)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mask": np.zeros((6, 5, 4), bool), "sigma_uk": np.full((6, 5, 4), np.inf)}, "no voxel that was observed"),
        ({"frequency_ghz": np.array([26.0, 26.1, 26.4, 26.5])}, "frequency_ghz: found steps that differ"),
        ({"x_deg": np.arange(5.0)}, "temperature_uk of shape"),
        ({"efficiency": 0.0}, "efficiency 0.0"),
        ({"sigma_uk": np.ones((6, 5, 4))}, "infinite where masked"),
        ({"sigma_uk": np.where(toy().mask, np.arange(4.0), np.inf)}, "sigma_uk: found observed voxels with σ of 0"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_in_one_line(tmp_path, change, words):
    with pytest.raises(LimelightError, match=words):
        save_survey(tmp_path / "survey.h5", replace(toy(), **change))
    assert not list(tmp_path.iterdir())


def test_a_file_whose_values_were_altered_is_refused(tmp_path):
    path = tmp_path / "survey.h5"
    save_survey(path, toy())
    with h5py.File(path, "r+") as file:
        file["sigma_uk"][3, 3, 3] = 0
    with pytest.raises(LimelightError, match="damaged or edited"):
        load_survey(path)
