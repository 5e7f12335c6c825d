"""Painting: the light of every halo into the voxel it is seen in.

A halo of luminosity L fills its voxel with I_ν = L / (4π D_L² Δν Ω), D_L = χ (1 + z) with the cosmological z, and with the
Rayleigh-Jeans temperature T = c² I_ν / (2 k_B ν²) at its observed frequency ν. Ω is the pixel's solid angle at the halo's
place on the tangent plane. Constants are astropy's: with L in Lsun, χ in Mpc, ν and Δν in GHz, Ω in sr they make
T[µK] = (2.61720/2) L / (4π χ² (1+z)² Δν Ω ν²); limlam_mocker's own constant, 2.63083, is 1.0052 times that 2.61720, so its
maps are 0.52 % brighter than these.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from limelight.cosmology import Cosmology
from limelight.errors import problem
from limelight.probes.line_intensity.labels import EXTENSION_BINS, count_above, log10_lum_edges
from limelight.probes.line_intensity.lines.models import LineModel, get_model
from limelight.probes.line_intensity.lines.priors import draw_parameters
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.units import JY_PER_LSUN, intensity_per_kelvin
from limelight.seeds import generator

BLOCK = 1 << 16  # halos handled at a time, so that what lies between stays in the cache
MAX_TRIES = 200  # parameter draws for one map before its mean_temperature_uk is called out of reach


def brightness_per_lsun(
    sky_deg: np.ndarray, redshift: np.ndarray, freq_ghz: np.ndarray, grid: Grid, cosmology: Cosmology, unit: str
) -> np.ndarray:
    """What 1 Lsun in each halo adds to its voxel, in µK or Jy/sr, float64 (n,). freq_ghz: observed, of the line."""
    z = np.asarray(redshift, np.float64)
    distance_mpc = cosmology.comoving_distance(z) * (1 + z)
    solid_angle = grid.pixel_solid_angle_sr(sky_deg[:, 0], sky_deg[:, 1])
    intensity = JY_PER_LSUN / (distance_mpc**2 * grid.channel_ghz * solid_angle)
    return intensity if unit == "Jy/sr" else 1e6 * intensity / intensity_per_kelvin(freq_ghz)


def paint(
    sky_deg: np.ndarray,
    redshift: np.ndarray,
    redshift_observed: np.ndarray,
    log10_lum: np.ndarray,
    grid: Grid,
    center_deg: np.ndarray,
    cosmology: Cosmology,
) -> np.ndarray:
    """The map (pixels, pixels, channels) of halos with luminosities, float32 in the grid's unit; sums in float64.

    sky_deg (n, 2) on the tangent plane; redshift, redshift_observed (n,); log10_lum (n,) log10 Lsun, −inf for none. Halos
    outside the square or band are dropped; edges are half-open, so a halo on an edge counts once.
    """
    freq_ghz = grid.observed_freq_ghz(redshift_observed)
    brightness = brightness_per_lsun(sky_deg, redshift, freq_ghz, grid, cosmology, grid.unit)
    brightness *= 10.0 ** np.asarray(log10_lum, np.float64)
    sums = np.zeros(grid.voxels + 1)
    bin_points(sky_deg[:, 0], sky_deg[:, 1], freq_ghz, brightness, grid, center_deg, sums)
    with np.errstate(over="ignore"):
        return check_cube(sums[:-1].astype(np.float32).reshape(grid.shape))


def bin_points(
    x_deg: np.ndarray,
    y_deg: np.ndarray,
    freq_ghz: np.ndarray,
    values: np.ndarray,
    grid: Grid,
    center_deg: np.ndarray,
    sums: np.ndarray,
) -> np.ndarray:
    """Add values (n,) to float64 sums (voxels + 1,) by voxel, in halo order; the last slot takes what lies outside.

    In blocks whose coordinates and indices stay in the cache; benchmarks/painting.py holds it against np.histogramdd.
    """
    sums_, values_ = torch.from_numpy(sums), torch.from_numpy(np.ascontiguousarray(values, np.float64))
    for start in range(0, len(values), BLOCK):
        part = slice(start, start + BLOCK)
        index = grid.voxel_index(x_deg[part], y_deg[part], freq_ghz[part], center_deg)
        sums_.scatter_add_(0, torch.from_numpy(index), values_[part])  # one after the other, faster than np.add.at
    return sums


def check_cube(cube: np.ndarray) -> np.ndarray:
    """Return the map if every voxel is finite; LimelightError when one overflowed float32 or is NaN."""
    if not np.isfinite(cube.sum(dtype=np.float64)):
        raise problem(
            "painting",
            "voxels too bright for float32, or NaN",
            "luminosities of galaxies",
            "narrow the line model's prior or set its mean_temperature_uk",
        )
    return cube


@dataclass
class Field:
    """The halos of one subfield that are in the map, with all that does not depend on the line model; n rows.

    Rows are ordered by slab, the map's first axis; within a slab they keep the order of the subfield.
    """

    index: np.ndarray  # (n,) int64 voxel within the slab
    starts: np.ndarray  # (pixels + 1,) int64: the rows of slab i are starts[i] to starts[i + 1]
    mass_msun: np.ndarray  # (n,) float32
    redshift: np.ndarray  # (n,) float32, cosmological
    uk_per_lsun: np.ndarray  # (n,) float64
    unit_per_lsun: np.ndarray  # (n,) float64: the same array when the unit is µK


def prepare_field(halos, grid: Grid, center_deg: np.ndarray, cosmology: Cosmology) -> Field:
    """Find the voxels and brightness factors of a subfield's halos (halos.subfields.SubfieldHalos) once for all draws."""
    freq_ghz = grid.observed_freq_ghz(halos.redshift_observed)
    index = grid.voxel_index(halos.sky_deg[:, 0], halos.sky_deg[:, 1], freq_ghz, center_deg)
    slab, index = np.divmod(index, grid.pixels * grid.channels)  # slab `pixels` takes what lies outside
    order = np.argsort(slab, kind="stable")
    starts = np.searchsorted(slab[order], np.arange(grid.pixels + 1))
    order = order[: starts[-1]]
    sky, redshift, freq_ghz = halos.sky_deg[order], halos.redshift[order], freq_ghz[order]
    uk = brightness_per_lsun(sky, redshift, freq_ghz, grid, cosmology, "uK")
    same = grid.unit == "uK"
    unit = uk if same else brightness_per_lsun(sky, redshift, freq_ghz, grid, cosmology, grid.unit)
    return Field(index[order], starts, halos.mass_msun[order], redshift, uk, unit)


def fill_cube(field: Field, brightness: np.ndarray, grid: Grid) -> np.ndarray:
    """The map of a field whose halos have the given brightness (n,): float64 sums slab by slab, then float32."""
    cube = np.empty(grid.shape, np.float32)
    slab_voxels = grid.pixels * grid.channels
    with np.errstate(over="ignore"):
        for i, (start, stop) in enumerate(zip(field.starts[:-1], field.starts[1:], strict=True)):
            sums = np.bincount(field.index[start:stop], weights=brightness[start:stop], minlength=slab_voxels)
            cube[i] = sums.reshape(cube.shape[1:])
    return check_cube(cube)


@dataclass
class PaintedMap:
    """One map and what it was painted from."""

    cube: np.ndarray  # (pixels, pixels, channels) float32
    subfield: int
    draw: int
    parameters: dict[str, float]
    n_above: np.ndarray  # (bins + 1 + EXTENSION_BINS,) int64: the map's halos at or above each luminosity edge
    volume_mpc3: float


def paint_draw(
    field: Field,
    model: LineModel,
    settings: dict,
    grid: Grid,
    edges: np.ndarray,
    rng: np.random.Generator,
    where: str,
) -> tuple[np.ndarray, dict[str, float], np.ndarray]:
    """One draw of parameters and scatter on a field: (cube, parameters, n_above).

    With settings["mean_temperature_uk"], parameters whose map has a mean outside that range (µK a fine voxel) are drawn
    again from the same stream, at most MAX_TRIES times.
    """
    limits = settings.get("mean_temperature_uk")
    means = []
    while len(means) < MAX_TRIES:
        parameters = draw_parameters(model, settings["prior"], settings.get("parameters"), rng)
        log10_lum = model.log10_luminosity(field.mass_msun, field.redshift, parameters, rng)
        if "log10_lum_cut" in settings:  # a test of what networks do where the brightest sources are missing
            log10_lum = np.where(log10_lum < settings["log10_lum_cut"], log10_lum, -np.inf)
        with np.errstate(over="ignore"):
            lum = 10.0**log10_lum
            means.append(float(lum @ field.uk_per_lsun) / grid.voxels)
        if limits and not limits[0] <= means[-1] <= limits[1]:  # NaN and infinity are outside as well
            continue
        if not np.isfinite(means[-1]):
            raise problem(where, f"a mean temperature of {means[-1]:g} µK", "a finite one", "set mean_temperature_uk")
        lum *= field.unit_per_lsun
        return fill_cube(field, lum, grid), parameters, count_above(log10_lum, edges)
    low, middle, high = np.percentile(np.nan_to_num(means, posinf=np.finfo(float).max), [5, 50, 95])
    raise problem(
        f"{where}: mean_temperature_uk",
        f"no map in {limits} µK among {MAX_TRIES} draws (5, 50, 95 %: {low:.3g}, {middle:.3g}, {high:.3g} µK)",
        "a range that the prior reaches in a fair share of draws",
        "widen the range or narrow the prior",
    )


def paint_subfields(
    subfields, halos, line_model: str, settings: dict, labels: dict, grid: Grid, study_seed: int
) -> Iterator[PaintedMap]:
    """Paint settings["draws"] maps of every subfield, one at a time.

    subfields: halos.subfields.Subfields; halos: its (index, SubfieldHalos) one after the other, each read once for all its
    draws; settings: the config's line_models[line_model]. Every map has its own random stream, keyed by (study seed,
    "paint/<line model>", light-cone, subfield, draw), so the maps do not depend on how many are made or in which order.
    """
    model = get_model(settings["model"], settings.get("parameters"))
    edges = log10_lum_edges(labels, EXTENSION_BINS)
    for subfield, part in halos:
        center = subfields.center_deg[subfield]
        field = prepare_field(part, grid, center, subfields.cosmology)
        volume = grid.volume_mpc3(subfields.cosmology, center)
        for draw in range(settings["draws"]):
            rng = generator(study_seed, f"paint/{line_model}", subfields.lightcone, subfield, draw)
            where = f"line_models.{line_model} on light-cone {subfields.lightcone}, subfield {subfield}, draw {draw}"
            cube, parameters, n_above = paint_draw(field, model, settings, grid, edges, rng, where)
            yield PaintedMap(cube, subfield, draw, parameters, n_above, volume)
