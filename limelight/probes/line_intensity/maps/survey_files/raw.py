"""From what a file of any survey holds to a SurveyMap: order of axes, what was never observed, units, efficiency."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from limelight.errors import problem
from limelight.probes.line_intensity.maps.survey import SurveyMap, checked

MOST_VOXELS = 400_000_000  # of one map with its σ: 3 GB in float32, as much again while it is read
LOUDEST_UK = 1e6  # no map has a kelvin of noise: such a file is in µK already
NO_MEAN = 0.02  # of the error of a channel's mean: so near to 0 no mean is by chance


@dataclass(frozen=True)
class Told:
    """What a user says of a file. None: nothing, and the file must say it, or its format."""

    feed: int | None = None  # of COMAP, from 1
    split: str | None = None  # of COMAP: NAME or NAME:NUMBER
    hdu: str | None = None  # of FITS
    noise: Path | None = None  # FITS file of σ, variance or weights
    mask: Path | None = None  # FITS file, not 0 where there are no data
    sigma_uk: float | None = None  # of every voxel, where the file has none
    beam_arcmin: float | None = None
    efficiency: float | None = None
    modes: int | None = None
    means_removed: bool | None = None
    max_sigma_uk: float | None = None  # louder voxels are masked
    min_hits: int | None = None  # voxels with fewer samples are masked

    def said(self, but: str = "") -> list[str]:
        """Names of what the user says, but for one."""
        return [name for name, value in vars(self).items() if value is not None and name != but]


@dataclass(frozen=True)
class Raw:
    """A map as a file holds it, in axes (x, y, channel) of any direction."""

    values_uk: np.ndarray  # not finite where missing
    sigma_uk: np.ndarray | None  # None: the file has none
    x_deg: np.ndarray  # on the sky, rising or falling
    y_deg: np.ndarray
    frequency_ghz: np.ndarray  # in any order
    source: str
    hits: np.ndarray | None = None
    beam_arcmin: float = 0.0
    modes: int = 0
    means_removed: bool | None = None  # None: see whether the channels' means are 0
    center_deg: tuple[float, float] = (0.0, 0.0)
    notes: list[str] = field(default_factory=list)


def assemble(raw: Raw, told: Told, where: object) -> SurveyMap:
    """The survey map of a file; what was done is told in its `source`."""
    sigma = _sigma(raw, told, where)
    seen = np.isfinite(raw.values_uk)
    if raw.hits is not None:
        seen &= raw.hits >= max(1, told.min_hits or 1)
    elif told.min_hits:
        raise problem(where, "no hits", "a map of hits for --min-hits", "leave it out")
    if sigma is not None:
        seen &= np.isfinite(sigma) & (sigma > 0)
        if told.max_sigma_uk:
            seen &= sigma <= told.max_sigma_uk
    if not seen.any():
        raise problem(where, "no voxel with a value and a σ", "a map", "loosen --max-sigma and --min-hits")
    efficiency = 1.0 if told.efficiency is None else told.efficiency
    if not 0 < efficiency <= 1:
        raise problem("--efficiency", f"{efficiency:g}", "a number above 0, up to 1", "mend it")
    values, axes, flipped = _ordered({"values": raw.values_uk, "seen": seen, "sigma": sigma}, raw)
    seen = values["seen"]
    cube = np.where(seen, values["values"] / efficiency, 0).astype(np.float32)
    noise = np.zeros_like(cube) if sigma is None else (values["sigma"] / efficiency).astype(np.float32)
    noise = np.where(seen, noise, np.float32(np.inf))
    stated = raw.means_removed if told.means_removed is None else told.means_removed
    survey = SurveyMap(
        temperature_uk=cube,
        sigma_uk=noise,
        mask=seen,
        **axes,
        beam_fwhm_arcmin=raw.beam_arcmin if told.beam_arcmin is None else told.beam_arcmin,
        efficiency=efficiency,
        modes_removed=raw.modes if told.modes is None else told.modes,
        means_removed=channel_means_are_zero(cube, noise, seen) if stated is None else stated,
        source="; ".join([raw.source, *raw.notes, *flipped]),
        center_deg=raw.center_deg,
    )
    return checked(survey, where)


def _sigma(raw: Raw, told: Told, where: object) -> np.ndarray | None:
    """σ of each voxel, µK: the file's, or what the user says."""
    if raw.sigma_uk is None:
        if told.max_sigma_uk:
            raise problem(where, "no σ", "a map with σ for --max-sigma", "leave it out")
        return None if told.sigma_uk is None else np.full(raw.values_uk.shape, float(told.sigma_uk), np.float32)
    if told.sigma_uk is not None:
        raise problem("--sigma", f"{told.sigma_uk:g} µK for a file that has σ", "one of them", "leave it out")
    positive = raw.sigma_uk[np.isfinite(raw.sigma_uk) & (raw.sigma_uk > 0)]
    if positive.size and np.median(positive) > LOUDEST_UK:
        found = f"a median σ of {np.median(positive) * 1e-6:.3g} K"
        raise problem(where, found, "less than 1 K", "give the map in kelvin (or with its unit)")
    return raw.sigma_uk


def _ordered(arrays: dict, raw: Raw) -> tuple[dict, dict, list[str]]:
    """(arrays, axes) with rising axes, and what was turned, in words."""
    orders, axes, words = {}, {}, []
    for number, name in enumerate(("x_deg", "y_deg", "frequency_ghz")):
        along = np.asarray(getattr(raw, name), np.float64)
        orders[number], axes[name] = np.argsort(along, kind="stable"), np.sort(along)
        if (np.diff(along) < 0).any():
            part = "" if (np.diff(along) < 0).all() else " in part"
            words.append(f"{('right ascension', 'declination', 'frequency')[number]} runs downwards{part}: turned")
    turned = {}
    for name, array in arrays.items():
        if array is not None:
            for axis, order in orders.items():
                array = array if (np.diff(order) == 1).all() else np.take(array, order, axis)
            turned[name] = array
    return turned, axes, words


def channel_means_are_zero(cube: np.ndarray, sigma: np.ndarray, seen: np.ndarray) -> bool:
    """Whether the mean of every channel, plain or weighted by 1/σ², is nearer to 0 than chance brings it."""
    n = seen.sum(axis=(0, 1))
    used = n > 1
    spread = np.sqrt((cube.astype(np.float64) ** 2).sum(axis=(0, 1))[used] / n[used])
    for weight in (seen.astype(np.float64), np.where(seen, 1 / np.maximum(sigma, 1e-30).astype(np.float64) ** 2, 0)):
        total = weight.sum(axis=(0, 1))[used]
        mean = (weight * cube).sum(axis=(0, 1))[used] / total
        if (np.abs(mean) <= NO_MEAN * spread / np.sqrt(n[used])).all():
            return bool(spread.any())
    return False
