"""Survey maps on the grid of the toys of training, with uneven noise and a masked rim."""

from pathlib import Path

import numpy as np
from training_toys import GRID

from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.survey import SurveyMap, save_survey


def survey_file(path: Path, grid: Grid = GRID, fine: bool = False, **changes) -> Path:
    """A survey's file: σ grows sixfold towards the edges and differs by channel; a row of pixels and a corner are masked."""
    shape = grid.shape if fine else grid.pooled_shape
    place = np.linspace(-1, 1, shape[0])
    sigma = 20 * 6 ** (place[:, None, None] ** 2) * np.linspace(0.8, 1.5, shape[2]) * np.ones(shape)
    mask = np.ones(shape, bool)
    mask[:, : shape[1] // 16] = False
    mask[:4, :4, shape[2] // 2 :] = False
    x, y = ((np.arange(n) - (n - 1) / 2) * grid.size_deg / n for n in shape[:2])
    width = (grid.freq_max_ghz - grid.freq_min_ghz) / shape[2]
    survey = {
        "temperature_uk": np.zeros(shape, np.float32),
        "sigma_uk": np.where(mask, sigma, np.inf).astype(np.float32),
        "mask": mask,
        "x_deg": x,
        "y_deg": y,
        "frequency_ghz": grid.freq_min_ghz + (np.arange(shape[2]) + 0.5) * width,
    }
    about = {"beam_fwhm_arcmin": 0.0, "efficiency": 1.0, "modes_removed": 0, "means_removed": False, "source": "toy"}
    save_survey(path, SurveyMap(**{**survey, **about, **changes}))
    return path
