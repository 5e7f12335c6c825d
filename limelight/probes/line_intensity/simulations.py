"""Maps painted for inference.

At the prior's mean and beside it, with the seeds of one another: what an IMNN learns its derivatives from. And at any
parameters, again and again, for population Monte Carlo.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from limelight.errors import problem
from limelight.halos.subfields import read_subfield_halos, read_subfields
from limelight.inference.intervals import evenly
from limelight.probes.line_intensity.labels import count_above
from limelight.probes.line_intensity.lines.models import LN10, LineModel, get_model
from limelight.probes.line_intensity.lines.priors import prior_gaussian
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.paint import fill_cube, prepare_field
from limelight.probes.line_intensity.rival.shapes import SHAPES
from limelight.probes.line_intensity.shards import pool_map
from limelight.progress import progress
from limelight.seeds import generator


def fisher_maps(
    paths: Sequence[str | Path],
    line_model: dict,
    grid: Grid,
    beam_fwhm_arcmin: float,
    options: dict,
    study_seed: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pooled maps without noise: fiducial (s, x, y, f), below and above (n, p, x, y, f) float32; steps (p,).

    paths: subfields files; line_model: the config's entry; options: posteriors.*.imnn. Map i is painted on a subfield that
    moves through the files with i, so that the second half, which is held out, has other halos than the first. A pair below
    and above shares halos and scatter and differs in one parameter. The prior's cuts are not applied.
    """
    model = get_model(line_model["model"], line_model["parameters"])
    mean, covariance = prior_gaussian(model, line_model["prior"])
    names, sigma = list(model.parameters), np.sqrt(np.diag(covariance))
    if not (sigma > 0).all():
        fixed = ", ".join(name for name, s in zip(names, sigma, strict=True) if s == 0)
        raise problem("the line model's prior", f"no spread in {fixed}", "some in every parameter", "widen it")
    step = options["step"] * sigma
    fields = sum(len(read_subfields(path)) for path in paths)
    counts = (options["simulations"], options["derivatives"])
    fiducial = np.empty((counts[0], *grid.pooled_shape), np.float32)
    sides = np.empty((2, counts[1], len(names), *grid.pooled_shape), np.float32)

    def paint(field, values: np.ndarray, *key: int) -> np.ndarray:
        rng = generator(study_seed, "imnn scatter", *key)
        log10_lum = model.log10_luminosity(
            field.mass_msun, field.redshift, dict(zip(names, values.tolist(), strict=True)), rng
        )
        return pool_map(fill_cube(field, 10.0**log10_lum * field.unit_per_lsun, grid), grid, beam_fwhm_arcmin)

    for which, (center, cosmology, halos) in enumerate(progress(_halos(paths), "paint for IMNN", fields)):
        field = prepare_field(halos, grid, center, cosmology)
        for i in _share(counts[0], which, fields):
            fiducial[i] = paint(field, mean, 0, i)
        for i in _share(counts[1], which, fields):
            for p in range(len(names)):
                for side, sign in enumerate((-1, 1)):
                    sides[side, i, p] = paint(field, mean + sign * step * (np.arange(len(names)) == p), 1, i)
    return fiducial, sides[0], sides[1], step


def _halos(paths: Sequence[str | Path]):
    """(centre, cosmology, halos) of every subfield of every file."""
    for path in paths:
        subfields = read_subfields(path)
        for i, halos in read_subfield_halos(path):
            yield subfields.center_deg[i], subfields.cosmology, halos


def _share(count: int, which: int, fields: int) -> range:
    """Which of `count` maps are painted on one of the fields: consecutive ones."""
    return range(which * count // fields, (which + 1) * count // fields)


@dataclass
class LightField:
    """The halos of one subfield that are in the map, n rows, kept ready to be painted many times with any parameters."""

    voxel: np.ndarray  # (n,) int32 among fine pixels and pooled channels
    per_lsun: np.ndarray  # (n,) float32: what 1 Lsun adds to the voxel, in the map's unit
    uk_per_lsun: np.ndarray  # (n,) float32: the same array when the unit is µK
    x: np.ndarray | None  # (n,) float32: what a model of inference.shapes reads off a halo
    mass_msun: np.ndarray | None  # (n,) float32, for the other models
    redshift: np.ndarray | None


def light_fields(
    paths: Sequence[str | Path], line_model: dict, grid: Grid, lightcones: Sequence[int], count: int
) -> list[LightField]:
    """`count` subfields (0: all), evenly spread over the files, which must be of the given (training) light-cones."""
    tables = [read_subfields(path) for path in paths]
    for path, table in zip(paths, tables, strict=True):
        if table.lightcone not in lightcones:
            found, expected = f"light-cone {table.lightcone}", f"training light-cones {list(lightcones)}"
            raise problem(path, found, expected, "give those: the test must stay unseen")
    chosen = set(evenly(sum(map(len, tables)), count).tolist())
    shape = SHAPES.get(line_model["model"])
    fields = []
    for which, (center, cosmology, halos) in enumerate(progress(_halos(paths), "read halos", sum(map(len, tables)))):
        if which not in chosen:
            continue
        field = prepare_field(halos, grid, center, cosmology)
        slab = np.repeat(np.arange(grid.pixels), np.diff(field.starts))
        pixel, channel = np.divmod(field.index, grid.channels)
        voxel = (slab * grid.pixels + pixel) * (grid.channels // grid.pool_channels) + channel // grid.pool_channels
        x = None if shape is None else shape.feature(field.mass_msun, field.redshift)
        shines = slice(None) if x is None else np.isfinite(x)
        uk = field.uk_per_lsun[shines].astype(np.float32)
        fields.append(
            LightField(
                voxel=voxel[shines].astype(np.int32),
                per_lsun=uk if grid.unit == "uK" else field.unit_per_lsun[shines].astype(np.float32),
                uk_per_lsun=uk,
                x=None if x is None else x[shines].astype(np.float32),
                mass_msun=field.mass_msun if x is None else None,
                redshift=field.redshift if x is None else None,
            )
        )
    return fields


def simulate_map(
    field: LightField,
    model: LineModel,
    values: dict[str, float],
    line_model: dict,
    grid: Grid,
    beam_fwhm_arcmin: float,
    edges: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray] | None:
    """(pooled map without noise (x, y, f) float32, sources per bin (bins,)) of fresh scatter; None if its mean temperature
    is outside line_model["mean_temperature_uk"], or not finite.

    The same distribution as maps.paint.paint_draw with these parameters, in float32; a model of inference.shapes is painted
    from its amplitude and shape.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if field.x is None:
            log_lum = model.log10_luminosity(field.mass_msun, field.redshift, values, rng).astype(np.float32)
        else:
            shape = SHAPES[model.name]
            (amplitude,), (own,) = shape.split(np.array([[values[name] for name in model.parameters]]))
            log_lum = shape.location(field.x, own).astype(np.float32)
            log_lum += np.float32(amplitude)
            scatter = shape.scatter(own)
            if scatter:
                log_lum += np.float32(scatter) * rng.standard_normal(len(log_lum), dtype=np.float32)
        if "log10_lum_cut" in line_model:
            log_lum[log_lum >= line_model["log10_lum_cut"]] = -np.inf
        light = np.exp(np.float32(LN10) * log_lum)
        mean_uk = float(light @ field.uk_per_lsun) / grid.voxels
        low, high = line_model.get("mean_temperature_uk") or (0.0, np.inf)
        if not (low <= mean_uk <= high and np.isfinite(mean_uk)):
            return None
        light *= field.per_lsun
    flat = replace(grid, channels=grid.channels // grid.pool_channels, pool_channels=1)
    cube = np.bincount(field.voxel, light, flat.voxels).astype(np.float32).reshape(flat.shape)
    return pool_map(cube, flat, beam_fwhm_arcmin), -np.diff(count_above(log_lum, edges))
