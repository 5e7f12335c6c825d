"""The noise of a survey's own map on the grid of training maps: σ of every pooled voxel, and which were observed."""

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from limelight.errors import problem
from limelight.files import resource_path
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.instrument import pooled_sigma
from limelight.probes.line_intensity.maps.survey import SurveyMap, load_survey

SURVEYS = resource_path("surveys")
SAME = 0.1  # of a voxel's side: by how much any place on a survey's grid may differ from the study's


@dataclass(frozen=True)
class SurveyNoise:
    """Noise of a survey on a study's grid."""

    sigma_uk: float  # white noise of the same observing time in all, µK per fine voxel: the mean of 1/σ² is its 1/σ²
    pattern: (
        np.ndarray
    )  # (x, y, f) float32, σ of each pooled voxel over what sigma_uk would make it; 0 where not observed
    observed: np.ndarray  # (x, y, f) bool
    content: str  # hash of both


def survey_noise(name_or_path: str | Path, grid: Grid) -> SurveyNoise:
    """Noise of a survey's file (maps.survey), or of a name in resources/surveys, on a study's pooled or fine grid.

    σ of the file is that of mean temperatures. Of fine voxels the variances add up, and a pooled voxel is observed where all
    of its fine ones are. Raises LimelightError for a file of another grid, or without σ.
    """
    path = Path(name_or_path)
    if not path.suffix:
        path = SURVEYS / f"{name_or_path}.h5"
    if not path.is_file():
        expected = "a survey's map (kind survey), or a name in resources/surveys"
        raise problem(name_or_path, "no such file", expected, "check the path, or make it (scripts/plan.py)")
    return _on_grid(path, path.stat().st_mtime_ns, grid)


@functools.lru_cache(maxsize=8)  # a study asks for it at every network and test
def _on_grid(path: Path, changed_ns: int, grid: Grid) -> SurveyNoise:
    survey = load_survey(path)
    if grid.unit != "uK":
        raise problem("grid.unit", grid.unit, "uK: the noise of a survey's map is in µK", "paint in µK")
    if not survey.has_noise:
        raise problem(path, "no σ of the noise", "a survey map with the σ of every voxel", "give one that has it")
    fine = _check_grid(survey, grid, path)
    variance = np.where(survey.mask, survey.sigma_uk, 0).astype(np.float64) ** 2
    observed = survey.mask
    n = grid.pool_pixels**2 * grid.pool_channels
    if fine:
        blocks = [
            side for n_out, block in zip(grid.pooled_shape, _blocks(grid), strict=True) for side in (n_out, block)
        ]
        variance = variance.reshape(blocks).sum((1, 3, 5))
        observed = observed.reshape(blocks).all((1, 3, 5))
    else:
        variance = variance * n**2  # of the sum of n fine voxels
    if not observed.any():
        raise problem(path, "no pooled voxel that was observed whole", "at least one", "pool less, or give another map")
    of_one_uk = pooled_sigma(grid) ** 2
    relative = variance / of_one_uk
    sigma = 1 / np.sqrt(np.mean(1 / relative[observed]))
    pattern = np.where(observed, np.sqrt(relative) / sigma, 0).astype(np.float32)
    content = hashlib.sha256(pattern.tobytes() + observed.tobytes() + np.float64(sigma).tobytes()).hexdigest()[:16]
    return SurveyNoise(float(sigma), pattern, observed, content)


def _blocks(grid: Grid) -> tuple[int, int, int]:
    return grid.pool_pixels, grid.pool_pixels, grid.pool_channels


def _check_grid(survey: SurveyMap, grid: Grid, path: Path) -> bool:
    """Whether the survey has the fine voxels of the grid; LimelightError if it has neither those nor the pooled ones."""
    found = survey.temperature_uk.shape
    if found not in (grid.pooled_shape, grid.shape):
        wanted = " × ".join(map(str, grid.pooled_shape)) + ", or fine " + " × ".join(map(str, grid.shape))
        fix = "bring the survey onto the study's grid, or make a study for it (scripts/plan.py)"
        raise problem(path, f"{' × '.join(map(str, found))} voxels", f"{wanted}, the study's", fix)
    middle = (grid.freq_max_ghz + grid.freq_min_ghz) / 2
    for name, centers, width, center in (
        ("x_deg", survey.x_deg, grid.size_deg, float(np.mean(survey.x_deg))),
        ("y_deg", survey.y_deg, grid.size_deg, float(np.mean(survey.y_deg))),
        ("frequency_ghz", survey.frequency_ghz, grid.freq_max_ghz - grid.freq_min_ghz, middle),
    ):
        step = width / len(centers)
        expected = center + (np.arange(len(centers)) - (len(centers) - 1) / 2) * step
        if np.abs(centers - expected).max() > SAME * step:
            own = f"{centers[0]:.6g} to {centers[-1]:.6g}"
            study = f"{expected[0]:.6g} to {expected[-1]:.6g}, as the study's grid has it"
            raise problem(f"{path}: {name}", own, study, "bring the survey onto the study's grid (scripts/plan.py)")
    return found == grid.shape and found != grid.pooled_shape
