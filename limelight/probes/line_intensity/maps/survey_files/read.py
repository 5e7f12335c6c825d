"""Any file of a survey, by its kind."""

import math
from pathlib import Path

import h5py

from limelight.errors import problem
from limelight.files import open_hdf5
from limelight.probes.line_intensity.maps.read_fits import is_fits
from limelight.probes.line_intensity.maps.survey import KIND, SurveyMap, load_survey
from limelight.probes.line_intensity.maps.survey_files.comap import is_comap, read_comap
from limelight.probes.line_intensity.maps.survey_files.fits import read_fits_survey
from limelight.probes.line_intensity.maps.survey_files.limlam import read_limlam
from limelight.probes.line_intensity.maps.survey_files.raw import Told

FORMATS = "a COMAP level-3 map (.h5), a FITS cube, a limlam_mocker cube (.npz) or limelight's own survey file"
OPTIONS = {  # of Told: which formats have them
    "feed": ("comap",),
    "split": ("comap",),
    "min_hits": ("comap", "fits"),
    "hdu": ("fits",),
    "noise": ("fits",),
    "mask": ("fits",),
}


def read_survey(path: str | Path, told: Told | None = None) -> SurveyMap:
    """The map of a survey's file, whatever its format; LimelightError, one line, for anything else."""
    path, told = Path(path), told or Told()
    kind = format_of(path)
    _check_numbers(told)
    for name, formats in OPTIONS.items():
        if getattr(told, name) is not None and kind not in formats:
            option = f"--{name.replace('_', '-')}"
            raise problem(
                option, f"a file that is no {' or '.join(formats).upper()}", "one that has it", "leave it out"
            )
    if kind == "survey":
        if told.said():
            expected = "limelight's own survey file as it is"
            raise problem(
                path, "options for a file that says all", expected, "leave them out, or read the survey's own"
            )
        return load_survey(path)
    return {"comap": read_comap, "fits": read_fits_survey, "limlam": read_limlam}[kind](path, told)


def _check_numbers(told: Told) -> None:
    """Refuse numbers that no map has, before they are taken for the file's."""
    positive, others = {"sigma": told.sigma_uk, "max-sigma": told.max_sigma_uk}, {"beam": told.beam_arcmin}
    others |= {"modes": told.modes, "min-hits": told.min_hits}
    for option, value in (positive | others).items():
        if value is not None and not (0 <= value < math.inf and (value > 0 or option in others)):
            expected = f"a number {'above 0' if option in positive else 'of 0 or more'}"
            raise problem(f"--{option}", f"{value:g}", expected, "mend it")
    if told.sigma_uk is not None and told.max_sigma_uk is not None:
        raise problem("--max-sigma", "one σ for every voxel (--sigma)", "a map with a σ of each", "leave one out")


def format_of(path: Path) -> str:
    """comap, fits, limlam or survey; LimelightError for what is none of them."""
    if not path.is_file():
        raise problem(path, "no such file", FORMATS, "check the path")
    if is_fits(path):
        return "fits"
    if path.suffix == ".npz":
        return "limlam"
    if is_comap(path):
        return "comap"
    if is_survey(path):
        return "survey"
    found = "an HDF5 file of something else" if h5py.is_hdf5(path) else "something else"
    raise problem(path, found, FORMATS, "convert it")


def is_survey_map(path: str | Path) -> bool:
    """Whether a file is a survey's map, of whatever format, and nothing else of limelight's."""
    path = Path(path)
    return path.is_file() and (is_fits(path) or path.suffix == ".npz" or is_comap(path) or is_survey(path))


def is_survey(path: str | Path) -> bool:
    """Whether it is limelight's own survey file."""
    if not Path(path).is_file() or not h5py.is_hdf5(path):
        return False
    with open_hdf5(path) as file:
        return str(file.attrs.get("limelight_kind", "")) == KIND
