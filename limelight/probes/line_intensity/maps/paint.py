"""Painting: the light of every halo into the voxel it is seen in.

A halo of luminosity L fills its voxel with I_ν = L / (4π D_L² Δν Ω), D_L = χ (1 + z) with the cosmological z, and with the
Rayleigh-Jeans temperature T = c² I_ν / (2 k_B ν²) at its observed frequency ν. Ω is the pixel's solid angle at the halo's
place on the tangent plane. Constants are astropy's: with L in Lsun, χ in Mpc, ν and Δν in GHz, Ω in sr they make
T[µK] = (2.61720/2) L / (4π χ² (1+z)² Δν Ω ν²); limlam_mocker's own constant, 2.63083, is 1.0052 times that 2.61720, so its
maps are 0.52 % brighter than these.

Every map goes the same way: a Field of sources whose voxels are known, `halo_light` from their luminosities, `bin_light`.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from limelight.compiled import chunks, compiled_exactly
from limelight.cosmology import Cosmology
from limelight.errors import problem
from limelight.probes.line_intensity.config import Labels, MapDataset
from limelight.probes.line_intensity.labels import EXTENSION_BINS, LN10, count_above, log10_lum_edges
from limelight.probes.line_intensity.lines.models import LineModel, get_model, lsun_per_lprime
from limelight.probes.line_intensity.lines.own import check_brightness
from limelight.probes.line_intensity.lines.priors import draw_parameters
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.survey import load_light_weights
from limelight.section import plain
from limelight.seeds import generator

MAX_TRIES = 200  # parameter draws for one map before its mean_temperature_uk is called out of reach


def brightness_per_lsun(
    sky_deg: np.ndarray, redshift: np.ndarray, freq_ghz: np.ndarray, grid: Grid, cosmology: Cosmology, unit: str
) -> np.ndarray:
    """What 1 Lsun in each halo adds to its voxel, in µK or Jy/sr, float64 (n,). freq_ghz: observed, of the line."""
    from limelight.probes.line_intensity.maps.units import JY_PER_LSUN, intensity_per_kelvin  # astropy

    brightness = np.empty(len(redshift))
    for part in chunks(len(redshift)):
        distance_mpc = cosmology.comoving_distance(redshift[part])
        solid_angle = grid.pixel_solid_angle_sr(sky_deg[part, 0], sky_deg[part, 1])
        compiled_exactly(_intensities)(
            redshift[part], distance_mpc, solid_angle, JY_PER_LSUN, grid.channel_ghz, brightness[part]
        )
        if unit == "uK":
            brightness[part] *= 1e6
            brightness[part] /= intensity_per_kelvin(freq_ghz[part])
    return brightness


def _intensities(redshift, distance_mpc, solid_angle_sr, jy_per_lsun, channel_ghz, intensity):
    """Of 1 Lsun, Jy/sr: see the top."""
    for i in range(len(intensity)):
        luminosity_distance = distance_mpc[i] * (1 + np.float64(redshift[i]))
        intensity[i] = jy_per_lsun / (luminosity_distance * luminosity_distance * channel_ghz * solid_angle_sr[i])


@dataclass
class Field:
    """The sources inside one map, with all that does not depend on the line model's parameters; n rows.

    Rows are ordered by slab, the map's first axis; within a slab they keep the order in which they were given.
    """

    grid: Grid
    channels: int  # that light is binned into: the grid's, or its pooled ones
    index: np.ndarray  # (n,) int32 voxel within the slab
    starts: np.ndarray  # (pixels + 1,) int64: the rows of slab i are starts[i] to starts[i + 1]
    uk_per_lsun: np.ndarray  # (n,) what 1 Lsun adds to the fine voxel, in the field's precision
    unit_per_lsun: np.ndarray  # (n,) the same in the grid's unit, as it counts in a survey's means
    properties: tuple[np.ndarray, ...]  # (n,) each: what luminosities are computed from

    def __len__(self) -> int:
        return len(self.index)

    @property
    def precision(self) -> np.dtype:
        """In which light is computed, float64 or float32; it is summed in float64 in either case."""
        return self.uk_per_lsun.dtype


def prepare_field(
    halos,
    grid: Grid,
    center_deg: np.ndarray,
    cosmology: Cosmology,
    shape=None,
    precision: type = np.float64,
    pooled_channels: bool = False,
) -> Field:
    """The Field of a subfield, ready for any number of maps.

    Parameters
    ----------
    halos : halos.subfields.SubfieldHalos
    grid : the voxels and their unit
    center_deg : (2,) middle of the map on the tangent plane
    cosmology : gives the distances
    shape : rival.shapes.Shape, if luminosities are computed from its x; halos without a line are then left out. By default
        the properties are mass in Msun and redshift, which a LineModel takes
    precision : np.float64, or np.float32 for simulators that keep many fields and paint them thousands of times
    pooled_channels : whether light is binned into pooled channels at once
    """
    sky, redshift, mass = halos.sky_deg, halos.redshift, halos.mass_msun
    freq_ghz = grid.observed_freq_ghz(halos.redshift_observed)
    properties: tuple[np.ndarray, ...] = (mass, redshift)
    if shape is not None:
        x = shape.feature(mass, redshift)
        lit = np.isfinite(x)
        sky, redshift, freq_ghz, properties = sky[lit], redshift[lit], freq_ghz[lit], (x[lit].astype(precision),)
    return place_sources(sky, redshift, freq_ghz, properties, grid, center_deg, cosmology, precision, pooled_channels)


def place_sources(
    sky_deg: np.ndarray,
    redshift: np.ndarray,
    freq_ghz: np.ndarray,
    properties: tuple[np.ndarray, ...],
    grid: Grid,
    center_deg: np.ndarray,
    cosmology: Cosmology,
    precision: type = np.float64,
    pooled_channels: bool = False,
) -> Field:
    """The Field of sources at given places; those outside the square or band are dropped.

    Parameters
    ----------
    sky_deg : (n, 2) on the tangent plane
    redshift : (n,) cosmological
    freq_ghz : (n,) observed, of the line
    properties : arrays (n,) that the Field takes along
    grid, center_deg, cosmology, precision, pooled_channels : as for `prepare_field`
    """
    if {len(sky_deg)} != {len(column) for column in (redshift, freq_ghz, *properties)}:  # compiled loops do not look
        raise ValueError(
            f"{len(sky_deg)} places, and columns of {[len(one) for one in (redshift, freq_ghz, *properties)]}"
        )
    slab, index = grid.slab_and_index(sky_deg[:, 0], sky_deg[:, 1], freq_ghz, center_deg)
    starts = np.zeros(grid.pixels + 1, np.int64)
    order, index = compiled_exactly(_sort_slabs)(slab, index, starts)

    def ordered(column: np.ndarray) -> np.ndarray:
        taken = np.empty(len(order), column.dtype)
        compiled_exactly(_take)(column, order, taken)
        return taken

    channels = grid.channels
    if pooled_channels:
        pixel, channel = np.divmod(index, channels)
        channels //= grid.pool_channels
        index = pixel * channels + channel // grid.pool_channels
    with np.errstate(divide="ignore", invalid="ignore"):  # of what lies outside, wherever that is
        light = brightness_per_lsun(sky_deg, redshift, freq_ghz, grid, cosmology, "uK")
        uk = unit = ordered(light).astype(precision, copy=False)
        if grid.unit != "uK":
            light = brightness_per_lsun(sky_deg, redshift, freq_ghz, grid, cosmology, grid.unit)
            unit = ordered(light).astype(precision, copy=False)
        if grid.survey:
            x, y = sky_deg[:, 0] - center_deg[0], sky_deg[:, 1] - center_deg[1]
            light *= load_light_weights(grid.survey).at(x, y, freq_ghz)
            unit = ordered(light).astype(precision, copy=False)
    properties = tuple(map(ordered, properties))
    for column in properties:
        column.flags.writeable = False  # so that what line models make of them can be kept
    return Field(grid, channels, index, starts, uk, unit, properties)


def _sort_slabs(slab, index, starts):
    """The points in the order of their slabs, each slab's in the order given: those inside the map.

    slab, index (n,): of Grid.slab_and_index. starts (pixels + 1,): zeros, filled with the row where each slab's begin.
    Returns which point stands in each row, and what is its index.
    """
    pixels = len(starts) - 1
    for i in range(len(slab)):
        if slab[i] < pixels:
            starts[slab[i] + 1] += 1
    for k in range(pixels):
        starts[k + 1] += starts[k]
    place = starts.copy()
    order, sorted_index = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.int32)
    for i in range(len(slab)):
        if slab[i] < pixels:
            row = place[slab[i]]
            place[slab[i]] += 1
            order[row], sorted_index[row] = i, index[i]
    return order, sorted_index


def _take(column, order, taken):
    for i in range(len(order)):
        taken[i] = column[order[i]]


def cut_luminosities(log10_lum: np.ndarray, line_model: MapDataset | None) -> np.ndarray:
    """log10 luminosities (n,), −inf for those at or above line_model.log10_lum_cut: they are neither painted nor counted.

    A test of what networks do where the brightest sources are missing. line_model: an entry of the config's line_models, or
    None for no cut.
    """
    if line_model is None or line_model.log10_lum_cut is None:
        return log10_lum
    return np.where(log10_lum >= line_model.log10_lum_cut, -np.inf, log10_lum)


class Light(NamedTuple):
    """What the halos of a field shine with under one draw of their luminosities."""

    per_halo: np.ndarray  # (n,) what each adds to its voxel, in the map's unit
    log10_lum: np.ndarray  # (n,) −inf for halos that have no line or are cut
    mean_uk: float  # of the map, per fine voxel
    allowed: bool  # whether that is finite and within the line model's mean_temperature_uk


def halo_light(field: Field, log10_lum: np.ndarray, line_model: MapDataset | None = None) -> Light:
    """The light of a field's halos, in its precision, from log10 L / Lsun (n,), −inf for none.

    line_model: an entry of the config's line_models, for its log10_lum_cut and mean_temperature_uk; None: neither.
    """
    log10_lum = cut_luminosities(np.asarray(log10_lum, field.precision), line_model)
    light, sum_uk = np.empty_like(log10_lum), 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for part in chunks(len(light)):
            lum = _ten_to(log10_lum[part])
            sum_uk += float(np.einsum("i,i", lum, field.uk_per_lsun[part]))  # unlike BLAS on one thread
            np.multiply(lum, field.unit_per_lsun[part], out=light[part])
    mean_uk = sum_uk / field.grid.voxels
    low, high = (line_model and line_model.mean_temperature_uk) or (0.0, np.inf)
    return Light(light, log10_lum, mean_uk, bool(low <= mean_uk <= high and np.isfinite(mean_uk)))


def _ten_to(exponent: np.ndarray) -> np.ndarray:
    """10^exponent in its own precision, by what is vectorised: the power of an array, or in float32 the exponential."""
    if exponent.dtype == np.float64:
        return np.power(np.full_like(exponent, 10.0), exponent)
    return np.exp(np.float32(LN10) * exponent)


def bin_light(field: Field, light: np.ndarray, dtype: type = np.float32) -> np.ndarray:
    """The map (pixels, pixels, field.channels) of a field whose sources add light (n,) to their voxels.

    Sums are float64, slab by slab, and then rounded to dtype. LimelightError when a voxel overflows it or is NaN.
    """
    pixels = field.grid.pixels
    cube = np.empty((pixels, pixels, field.channels), dtype)
    if not compiled_exactly(_sum_slabs)(
        field.index, field.starts, light, np.zeros(pixels * field.channels), cube.reshape(pixels, -1)
    ):
        raise problem(
            "painting",
            "voxels too bright for float32, or NaN",
            "luminosities of galaxies",
            "narrow the line model's prior or set its mean_temperature_uk",
        )
    return cube


def _sum_slabs(index, starts, light, sums, cube):
    """Fill the cube (slab, voxel) with the light summed in each voxel; whether all of it is finite. sums (voxel,): zeros."""
    finite = True
    for i in range(len(cube)):
        for j in range(starts[i], starts[i + 1]):
            sums[index[j]] += light[j]
        row = cube[i]
        for k in range(len(sums)):
            row[k] = sums[k]
            finite &= np.isfinite(row[k])
            sums[k] = 0
    return finite


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

    sky_deg (n, 2) degrees on the tangent plane; redshift, redshift_observed (n,); log10_lum (n,) log10 Lsun, −inf for none;
    center_deg (2,) of the grid's square on that plane; cosmology: how bright a luminosity is. Halos outside the square or
    band are dropped; edges are half-open, so a halo on an edge counts once.
    """
    freq_ghz = grid.observed_freq_ghz(redshift_observed)
    field = place_sources(sky_deg, redshift, freq_ghz, (log10_lum,), grid, center_deg, cosmology)
    return bin_light(field, halo_light(field, *field.properties).per_halo)


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
    field: Field, model: LineModel, settings: MapDataset, edges: np.ndarray, rng: np.random.Generator, where: str
) -> tuple[np.ndarray, dict[str, float], np.ndarray]:
    """One draw of parameters and scatter on a field: (cube, parameters, n_above).

    edges: luminosity edges that n_above counts at, log10 Lsun; the rest as for `drawn_light`.
    """
    light, parameters = drawn_light(field, model, settings, rng, where)
    return bin_light(field, light.per_halo), parameters, count_above(light.log10_lum, edges)


def drawn_light(
    field: Field, model: LineModel, settings: MapDataset, rng: np.random.Generator, where: str
) -> tuple[Light, dict[str, float]]:
    """What the halos of a field shine with under one draw of parameters and scatter, and these parameters.

    With settings.mean_temperature_uk, parameters whose map has a mean outside that range (µK per fine voxel) are drawn
    again from the same stream, at most MAX_TRIES times.

    Parameters
    ----------
    field : of float64 precision
    model : settings' own
    settings : an entry of the config's line_models
    rng : stream of the map
    where : names the map in errors
    """
    limits = settings.mean_temperature_uk
    means: list[float] = []
    while len(means) < MAX_TRIES:
        parameters = draw_parameters(model, settings.prior, settings.parameters, rng)
        light = halo_light(field, model.log10_luminosity(*field.properties, parameters, rng), settings)
        if light.allowed:
            return light, parameters
        if not limits:
            raise problem(
                where, f"a mean temperature of {light.mean_uk:g} µK", "a finite one", "set mean_temperature_uk"
            )
        means.append(light.mean_uk)
    low, middle, high = np.percentile(np.nan_to_num(means, posinf=np.finfo(float).max), [5, 50, 95])
    raise problem(
        f"{where}: mean_temperature_uk",
        f"no map in {limits} µK among {MAX_TRIES} draws (5, 50, 95 %: {low:.3g}, {middle:.3g}, {high:.3g} µK)",
        "a range that the prior reaches in a fair share of draws",
        "widen the range or narrow the prior",
    )


def paint_subfields(
    subfields,
    halos,
    line_model: str,
    settings: MapDataset,
    labels: Labels,
    grid: Grid,
    study_seed: int,
    chosen: Collection[tuple[int, int]] | None = None,
) -> Iterator[PaintedMap]:
    """Paint settings.draws maps of every subfield, one at a time.

    Every map has its own random stream, keyed by (study seed, "paint/<line model>", light-cone, subfield, draw), so that the
    maps do not depend on how many are made or in which order.

    Parameters
    ----------
    subfields : halos.subfields.Subfields
    halos : their (index, SubfieldHalos) one after the other, each read once for all its draws
    line_model : its name in the config
    settings : the config's line_models[line_model]
    labels : the config's section
    grid : the fine voxels
    study_seed : of the config
    chosen : (subfield, draw) of the maps wanted; by default all
    """
    model = get_model(settings.model, settings.parameters)
    edges, own = log10_lum_edges(plain(labels), EXTENSION_BINS), ":" in settings.model
    for subfield, part in halos:
        draws = [draw for draw in range(settings.draws) if chosen is None or (subfield, draw) in chosen]
        if not draws:
            continue
        center = subfields.center_deg[subfield]
        field = prepare_field(part, grid, center, subfields.cosmology)
        volume = grid.volume_mpc3(subfields.cosmology, center)
        if own and settings.mean_temperature_uk is None:
            _check_own(field, model, plain(labels), f"line_models.{line_model}: {model.name}")
        for draw in draws:
            rng = generator(study_seed, f"paint/{line_model}", subfields.lightcone, subfield, draw)
            where = f"line_models.{line_model} on light-cone {subfields.lightcone}, subfield {subfield}, draw {draw}"
            cube, parameters, n_above = paint_draw(field, model, settings, edges, rng, where)
            yield PaintedMap(cube, subfield, draw, parameters, n_above, volume)


def _check_own(field: Field, model: LineModel, labels: dict, where: str) -> None:
    """Refuse a user's line model that makes a field too bright for galaxies at the means of its parameters."""
    means = {name: mean for name, (mean, _) in model.parameters.items()}
    log10_lum = model.log10_luminosity(*field.properties, means, generator(0, "check"))
    mean_uk = halo_light(field, log10_lum).mean_uk
    edges, per_lprime = (labels["log10_lum_min"], labels["log10_lum_max"]), lsun_per_lprime(field.grid.rest_freq_ghz)
    check_brightness(where, log10_lum, edges, per_lprime, mean_uk)
