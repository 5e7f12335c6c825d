"""A survey's map in memory: temperature, σ and mask of every voxel, and its file, a `survey`.

The axes are the project's: x grows with right ascension, y with declination, channel 0 is the lowest frequency. Temperatures
are means over a voxel, not sums of fine voxels as training maps are: in a voxel of n fine ones the sum is n times as large,
and so is its σ.
"""

import functools
import hashlib
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from limelight.errors import problem, reading
from limelight.files import attribute, provenance, read_hdf5, write_hdf5

KIND = "survey"
ARRAYS = {
    "temperature_uk": "uK",
    "sigma_uk": "uK",
    "mask": "",
    "x_deg": "deg",
    "y_deg": "deg",
    "frequency_ghz": "GHz",
}
EQUAL = 1e-3  # relative: by how much the steps of an axis may differ
LIGHT = "light_weights"  # group of a file: LightWeights


@dataclass(frozen=True)
class SurveyMap:
    """One map of a survey. Arrays (x, y, channel), (x,), (y,) and (channel,).

    Every file of a survey becomes one (maps.read_survey); `save_survey` and `load_survey` keep it.
    """

    temperature_uk: np.ndarray  # (x, y, f) float32; 0 where masked
    sigma_uk: np.ndarray  # (x, y, f) float32, of white noise; inf where masked; 0 everywhere: the file states none
    mask: np.ndarray  # (x, y, f) bool, True where observed
    x_deg: np.ndarray  # (x,) of voxel centres on the sky about the field's centre, rising with right ascension
    y_deg: np.ndarray  # (y,) the same along declination
    frequency_ghz: np.ndarray  # (f,) middles of channels, rising
    beam_fwhm_arcmin: float  # 0: none
    efficiency: float  # main-beam efficiency that the file's values were divided by to become temperature_uk
    modes_removed: int  # PCA modes that the pipeline took out
    means_removed: bool  # whether the pipeline took the mean of each channel (or a baseline) out
    source: str  # which part of which file, in words
    center_deg: tuple[float, float] = (0.0, 0.0)  # right ascension and declination of x_deg = y_deg = 0

    @property
    def pixel_deg(self) -> tuple[float, float]:
        """Sides of a pixel on the sky, along x and y."""
        return _step(self.x_deg), _step(self.y_deg)

    @property
    def channel_ghz(self) -> float:
        """Width of a channel."""
        return _step(self.frequency_ghz)

    @property
    def has_noise(self) -> bool:
        """Whether the σ of its voxels is known."""
        return bool((self.sigma_uk[self.mask] > 0).any())


@dataclass(frozen=True)
class LightWeights:
    """What light counts for in a study's voxels, which are means of a survey's own voxels by 1/σ²."""

    values: np.ndarray  # (x, y, f) float32 of the survey's own voxels; mean 1 over each voxel of the study
    x_edges_deg: np.ndarray  # (x + 1,) from the middle of the study's field, equal steps
    y_edges_deg: np.ndarray  # (y + 1,)
    frequency_edges_ghz: np.ndarray  # (f + 1,)

    @property
    def edges(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Along x, y and frequency."""
        return self.x_edges_deg, self.y_edges_deg, self.frequency_edges_ghz

    @property
    def content(self) -> str:
        """A hash of all of it."""
        found = hashlib.sha256()
        for one in (self.values, *self.edges):
            found.update(np.ascontiguousarray(one).tobytes())
        return found.hexdigest()[:16]

    def at(self, x_deg: np.ndarray, y_deg: np.ndarray, freq_ghz: np.ndarray) -> np.ndarray:
        """At places (n,) in degrees from the middle of the field; those beyond its ends count as the nearest."""
        places = []
        for where, edges in zip((x_deg, y_deg, freq_ghz), self.edges, strict=True):
            step, n = (edges[-1] - edges[0]) / (len(edges) - 1), len(edges) - 1
            places.append(np.clip((where - edges[0]) / step, 0, n - 1).astype(np.int32))
        return self.values[tuple(places)]


def _step(centers: np.ndarray) -> float:
    return float(centers[-1] - centers[0]) / max(1, len(centers) - 1)


def checked(survey: SurveyMap, where: object) -> SurveyMap:
    """The survey map, if its arrays fit one another; else one line that says what does not."""
    cube = survey.temperature_uk
    again = "read the survey's own file again"
    shape = len(survey.x_deg), len(survey.y_deg), len(survey.frequency_ghz)
    for name in ("temperature_uk", "sigma_uk", "mask"):
        if getattr(survey, name).shape != shape or min(shape) < 2:
            found = f"{name} of shape {getattr(survey, name).shape}"
            raise problem(where, found, f"{shape}, as the axes have it, at least 2 along each", again)
    for name in ("x_deg", "y_deg", "frequency_ghz"):
        steps = np.diff(getattr(survey, name))
        if not (steps > 0).all() or np.abs(steps / steps.mean() - 1).max() > EQUAL:
            raise problem(f"{where}: {name}", "steps that differ or fall", "a rising axis of equal steps", again)
    if survey.frequency_ghz[0] <= 0:
        raise problem(f"{where}: frequency_ghz", f"{survey.frequency_ghz[0]:g}", "frequencies above 0", again)
    if not survey.mask.any():
        raise problem(f"{where}: mask", "no voxel that was observed", "at least one", "give another map")
    sigma, seen = survey.sigma_uk, survey.mask
    if not np.isfinite(cube).all() or not np.isfinite(sigma[seen]).all() or np.isfinite(sigma[~seen]).any():
        expected = "finite temperatures, and a σ that is infinite where masked and nowhere else"
        raise problem(where, "other values", expected, again)
    known = survey.sigma_uk[survey.mask] > 0
    if (sigma[seen] < 0).any() or (known.any() and not known.all()):
        raise problem(f"{where}: sigma_uk", "observed voxels with σ of 0 or less", "a σ above 0", "mask these voxels")
    numbers = survey.beam_fwhm_arcmin, survey.efficiency, survey.modes_removed, *survey.center_deg
    if not np.isfinite(numbers).all() or min(numbers[:3]) < 0 or not 0 < survey.efficiency <= 1:
        found = f"beam {numbers[0]}′, efficiency {numbers[1]}, {numbers[2]} modes removed"
        raise problem(where, found, "numbers of 0 or more, an efficiency in (0, 1]", again)
    return survey


def save_survey(path: str | Path, survey: SurveyMap, weights: LightWeights | None = None) -> None:
    """Write a survey map as limelight's HDF5 of kind `survey`, atomically; weights: of its own voxels in these."""
    checked(survey, path)
    scalars = {one.name: getattr(survey, one.name) for one in fields(survey) if one.name not in ARRAYS}
    scalars["center_deg"] = list(map(float, survey.center_deg))
    with write_hdf5(path, KIND, {**provenance({}, 0), **scalars}) as file:
        for name, unit in ARRAYS.items():
            values, large = getattr(survey, name), getattr(survey, name).ndim == 3
            file.create_dataset(name, data=values, compression="gzip" if large else None, shuffle=large or None)
            if unit:
                file[name].attrs["unit"] = unit
        for one in fields(weights) if weights else ():
            values = getattr(weights, one.name)
            file.create_dataset(f"{LIGHT}/{one.name}", data=values, compression="gzip" if values.ndim == 3 else None)


def load_survey(path: str | Path) -> SurveyMap:
    """The survey map of a file of `save_survey`; LimelightError for anything else."""
    with read_hdf5(path, KIND, tuple(ARRAYS)) as file:
        with reading(path, "a survey map"):
            arrays = {name: file[name][...] for name in ARRAYS}
            cubes = {name: np.asarray(arrays[name], np.float32) for name in ("temperature_uk", "sigma_uk")}
            axes = {name: np.asarray(arrays[name], np.float64) for name in ("x_deg", "y_deg", "frequency_ghz")}
            ra, dec = map(float, attribute(file, "center_deg"))
            survey = SurveyMap(
                **cubes,
                **axes,
                mask=np.asarray(arrays["mask"], bool),
                beam_fwhm_arcmin=float(attribute(file, "beam_fwhm_arcmin")),
                efficiency=float(attribute(file, "efficiency")),
                modes_removed=int(attribute(file, "modes_removed")),
                means_removed=bool(attribute(file, "means_removed")),
                source=str(attribute(file, "source")),
                center_deg=(ra, dec),
            )
        return checked(survey, path)


def load_light_weights(path: str | Path) -> LightWeights:
    """The LightWeights in a file of `save_survey`; LimelightError for a file that has none."""
    if not Path(path).is_file():
        raise problem(path, "no such file", "a survey's map (scripts/plan.py)", "check the path, or make it")
    return _light_weights(Path(path), Path(path).stat().st_mtime_ns)


@functools.lru_cache(maxsize=2)  # every field that is painted asks for it
def _light_weights(path: Path, changed_ns: int) -> LightWeights:
    with read_hdf5(path, KIND, tuple(ARRAYS)) as file:
        if LIGHT not in file:
            expected = f"a survey's map with {LIGHT}, as scripts/plan.py writes it"
            raise problem(path, f"no {LIGHT}", expected, "make it again, or leave grid.survey out")
        with reading(path, LIGHT):
            found = LightWeights(**{one.name: file[LIGHT][one.name][...] for one in fields(LightWeights)})
    shape = tuple(len(edges) - 1 for edges in found.edges)
    if found.values.shape != shape or not np.isfinite(found.values).all() or (found.values < 0).any():
        expected = f"{shape} finite numbers of 0 or more, as its edges have it"
        raise problem(f"{path}: {LIGHT}", f"{found.values.shape}", expected, "make the file again")
    return found
