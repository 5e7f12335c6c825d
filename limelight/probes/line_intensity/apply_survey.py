"""A survey's map brought to the form of a network's training maps, with its σ and mask."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from limelight.data.shard import Header
from limelight.errors import problem
from limelight.probes.line_intensity.apply import TOLERANCE, trained
from limelight.probes.line_intensity.inputs import CubeNoise
from limelight.probes.line_intensity.maps.cube import Cube, judge_beam
from limelight.probes.line_intensity.maps.read_fits import is_fits
from limelight.probes.line_intensity.maps.survey import SurveyMap, load_survey
from limelight.probes.line_intensity.maps.survey_files.raw import Told
from limelight.probes.line_intensity.maps.survey_files.read import is_survey_map, read_survey
from limelight.probes.line_intensity.maps.weighted import edges_of, onto

ON_GRID = "give --like NAME.survey.h5, which scripts/plan.py wrote beside the study's config"


def is_survey_for(path: Path, info: dict) -> bool:
    """Whether a file is read as a survey's map: FITS cubes only for networks that know σ, mask or removed means."""
    if not is_survey_map(path):
        return False
    seen = trained(info).network.preprocessing
    return bool(seen.remove_means or seen.inputs or knows_survey(info)) or not is_fits(path)


def knows_survey(info: dict) -> bool:
    """Whether a network was trained with the noise and the mask of a survey's map."""
    return any(one.get("survey") for one in info["observation"]["noise"].values())


def read_like(path: Path, told: Told, like: Path | None) -> SurveyMap:
    """A survey's map; like: a map on the study's voxels, onto which it is brought by means weighted by 1/σ²."""
    survey = read_survey(path, told)
    if like is None:
        return survey
    model = load_survey(like)
    (ra, dec), (other_ra, other_dec) = survey.center_deg, model.center_deg
    right, up = ((ra - other_ra + 180) % 360 - 180) * np.cos(np.radians(other_dec)), dec - other_dec
    far = np.hypot(right, up)
    if far > model.pixel_deg[0] / 2:
        found = f"a field {far:.3g}° away from that of {like}"
        raise problem(path, found, "the same field", "give a map of the field that the study is made for")
    there = replace(survey, x_deg=survey.x_deg + right, y_deg=survey.y_deg + up, center_deg=model.center_deg)
    return onto(there, *(edges_of(one) for one in (model.x_deg, model.y_deg, model.frequency_ghz)))


def prepare_survey(survey: SurveyMap, info: dict, where: object) -> tuple[np.ndarray, CubeNoise]:
    """(cube (x, y, f) of sums of fine voxels, its σ and mask) as a network's training maps are.

    Raises LimelightError for another grid, band or beam, for a map without the zero level that the network uses, and for
    masked voxels that the network does not know.
    """
    known = trained(info)
    prepared = survey_cube(survey, known.header, where)
    if survey.means_removed and known.network.preprocessing.remove_means != "channels":
        used = "the zero level" if known.uses_zero_level else "the means of channels"
        fix = "use a network trained with preprocessing.remove_means: channels (scripts/plan.py makes its study)"
        raise problem(where, "a map without the means of its channels", f"{used}, which the network uses", fix)
    if not survey.mask.all() and not knows_survey(info):
        found = f"{int((~survey.mask).sum())} of {survey.mask.size} voxels masked"
        raise problem(where, found, "a value in every voxel", "use a network trained with this mask (scripts/plan.py)")
    return prepared


def survey_cube(survey: SurveyMap, header: Header, where: object) -> tuple[np.ndarray, CubeNoise]:
    """(cube (x, y, f) of sums of fine voxels, its σ and mask) of a map on the grid of a study; others are refused."""
    geometry = header.geometry
    check_grid(survey, geometry, header.shape[1:], where)
    judge_beam((survey.beam_fwhm_arcmin,) * 2, geometry, where)
    n = np.float32(geometry["pool_pixels"] ** 2 * geometry["pool_channels"])
    sigma = np.where(survey.mask, survey.sigma_uk, 0) * n
    return np.where(survey.mask, survey.temperature_uk * n, 0), CubeNoise(sigma.astype(np.float32), survey.mask)


def check_grid(survey: SurveyMap, geometry: dict, shape: tuple[int, ...], where: object) -> None:
    """Refuse a map that does not lie on the pooled voxels of training maps."""
    if geometry["unit"] != "uK":
        raise problem(where, "a map in µK", f"one in {geometry['unit']}, as the network's", "use another network")
    if survey.mask.shape != shape:
        found = f"{' × '.join(map(str, survey.mask.shape))} voxels"
        raise problem(where, found, f"{' × '.join(map(str, shape))}, the network's", ON_GRID)
    low, high = edges_of(survey.frequency_ghz)[[0, -1]]
    found = {"size_deg": survey.pixel_deg[0] * shape[0], "freq_min_ghz": low, "freq_max_ghz": high}
    found["size_deg along y"] = survey.pixel_deg[1] * shape[1]
    for name, value in found.items():
        expected = geometry[name.partition(" ")[0]]
        if abs(value / expected - 1) > TOLERANCE:
            raise problem(f"{where}: {name}", f"{value:.6g}", f"{expected:.6g}, the network's", ON_GRID)


def as_cube(survey: SurveyMap) -> Cube:
    """The map as a Cube, for what judges cubes; masked voxels are 0."""
    shape = survey.mask.shape
    edges = edges_of(survey.frequency_ghz)
    return Cube(survey.temperature_uk, None, "uK", survey.pixel_deg, edges, source=f"{shape[2]} channels")


def flipped(survey: SurveyMap, seed: int) -> SurveyMap:
    """The map with the sign of every voxel drawn at random: its noise stays, and no light is left but what adds to it."""
    signs = np.random.default_rng(seed).choice(np.float32([-1, 1]), survey.mask.shape)
    return replace(survey, temperature_uk=survey.temperature_uk * signs)


def half_difference(first: SurveyMap, second: SurveyMap) -> SurveyMap:
    """Half the difference of two maps of one sky, with the σ that follows: noise alone."""
    mask = first.mask & second.mask
    sigma = np.where(mask, np.hypot(first.sigma_uk, second.sigma_uk) / 2, np.inf)
    values = np.where(mask, (first.temperature_uk - second.temperature_uk) / 2, 0)
    return replace(first, temperature_uk=values, sigma_uk=sigma.astype(np.float32), mask=mask)
