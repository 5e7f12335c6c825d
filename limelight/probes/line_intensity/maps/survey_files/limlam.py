"""limlam_mocker's simulated cubes (`.npz`): µK, axes (x, y, frequency), centres in degrees about 0."""

from pathlib import Path

import numpy as np

from limelight.errors import problem, reading
from limelight.halos.formats.npz import read_npz
from limelight.probes.line_intensity.maps.survey import SurveyMap
from limelight.probes.line_intensity.maps.survey_files.raw import MOST_VOXELS, Raw, Told, assemble

KEYS = ("map_cube", "map_frequencies", "map_pixel_ra", "map_pixel_dec")


def read_limlam(path: str | Path, told: Told) -> SurveyMap:
    """A cube of limlam_mocker. It has no noise and no beam unless the user says so."""
    path = Path(path)
    if not path.is_file():
        raise problem(path, "no such file", "a limlam_mocker cube", "check the path")
    with reading(path, "a limlam_mocker cube"):
        content = read_npz(path, KEYS, "give a cube as limlam_mocker saves it")
        cube, frequency, x, y = (np.asarray(content[key]) for key in KEYS)
        if cube.ndim != 3 or cube.size > MOST_VOXELS or cube.shape != (len(x), len(y), len(frequency)):
            found = f"map_cube of shape {cube.shape} for {x.shape} × {y.shape} × {frequency.shape} centres"
            raise problem(path, found, "(x, y, frequency)", "save the cube with its own axes")
    notes = [] if told.sigma_uk is not None else ["no noise in the file"]
    raw = Raw(cube.astype(np.float32), None, x, y, frequency, "map_cube of limlam_mocker", notes=notes)
    return assemble(raw, told, path)
