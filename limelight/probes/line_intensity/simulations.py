"""Maps painted for inference.

At the prior's mean and beside it, with the same random numbers: what an IMNN learns its derivatives from. And at any
parameters, again and again, for population Monte Carlo.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from limelight.ancestry import check_file
from limelight.data.shard import Rows
from limelight.errors import problem
from limelight.halos.subfields import read_subfield_halos, read_subfields
from limelight.inference.intervals import evenly
from limelight.probes.line_intensity.config import MapDataset
from limelight.probes.line_intensity.labels import EXTENSION_BINS, LN10, count_above, log10_lum_edges
from limelight.probes.line_intensity.lines.models import LineModel, get_model
from limelight.probes.line_intensity.lines.priors import draw_parameters, prior_gaussian
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.paint import MAX_TRIES, Field, bin_light, halo_light, prepare_field
from limelight.probes.line_intensity.rival.shapes import SHAPES, Shape, log10_luminosity
from limelight.probes.line_intensity.settings import ShardSettings
from limelight.probes.line_intensity.shards import line_header, pool_map
from limelight.progress import progress
from limelight.section import plain
from limelight.seeds import generator
from limelight.study.posteriors import Imnn

FAR, CLASS_WIDTH, CLASS_ERROR = 8.0, 0.01, 0.02  # σ; in x; share of the mean: see Typical


def fisher_maps(
    paths: Sequence[str | Path],
    line_model: MapDataset,
    grid: Grid,
    beam_fwhm_arcmin: float,
    options: Imnn,
    study_seed: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pooled maps without noise: fiducial (s, x, y, f), below and above (n, p, x, y, f) float32; steps (p,).

    Map i is painted on a subfield that moves through the files with i, so that the second half, which is held out, has other
    halos than the first. A pair below and above shares halos and scatter and differs in one parameter. The line model's
    log10_lum_cut is applied; its mean_temperature_uk, which limits the prior, is not.

    Parameters
    ----------
    paths : subfields files
    line_model : the config's entry
    grid : of the study, with its pooling
    beam_fwhm_arcmin : 0 for none
    options : the config's posteriors.*.imnn
    study_seed : of the config
    """
    model = get_model(line_model.model, line_model.parameters)
    mean, covariance = prior_gaussian(model, line_model.prior)
    names, sigma = list(model.parameters), np.sqrt(np.diag(covariance))
    if not (sigma > 0).all():
        fixed = ", ".join(name for name, s in zip(names, sigma, strict=True) if s == 0)
        raise problem("the line model's prior", f"no spread in {fixed}", "some in every parameter", "widen it")
    step = options.step * sigma
    fields = sum(len(read_subfields(path)) for path in paths)
    counts = (options.simulations, options.derivatives)
    fiducial = np.empty((counts[0], *grid.pooled_shape), np.float32)
    sides = np.empty((2, counts[1], len(names), *grid.pooled_shape), np.float32)

    def paint(field: Field, values: np.ndarray, *key: int) -> np.ndarray:
        rng = generator(study_seed, "imnn scatter", *key)
        parameters = dict(zip(names, values.tolist(), strict=True))
        log10_lum = model.log10_luminosity(*field.properties, parameters, rng)
        return pool_map(bin_light(field, halo_light(field, log10_lum, line_model).per_halo), grid, beam_fwhm_arcmin)

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


class Typical(NamedTuple):
    """A field's halos in narrow classes of their x (shapes.Shape): enough to foresee a map's mean temperature."""

    x: np.ndarray  # (classes,) mean of each
    light: np.ndarray  # (classes,) what 1 Lsun of each halo adds to the map's mean, µK
    squares: np.ndarray  # (classes,) the sum of the squares of that over halos

    def out_of_reach(self, shape: Shape, values: np.ndarray, limits: tuple[float, float]) -> bool:
        """Whether the mean at parameters (p,) lies outside the limits (µK) by more than FAR σ of what scatter makes of it.

        Most draws of a wide prior do, and their halos need not be painted to see it.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            (amplitude,), (own,) = shape.split(values[None])
            median = 10.0 ** (amplitude + shape.location(self.x, own))
            wide = np.exp((LN10 * shape.scatter(own)) ** 2)
            mean = self.light @ median * np.sqrt(wide)
            error = FAR * np.sqrt(self.squares @ median**2 * wide * (wide - 1)) + CLASS_ERROR * mean
            return bool(mean + error < limits[0] or mean - error > limits[1])


def typical_halos(field: Field) -> Typical:
    """The Typical of a field whose one property is x."""
    (x,) = field.properties
    light = field.uk_per_lsun.astype(np.float64) / field.grid.voxels
    place = np.floor((x - x.min()) / CLASS_WIDTH).astype(np.int64)
    sums = [np.bincount(place, weights) for weights in (light, light * x, light**2)]
    some = sums[0] > 0
    return Typical(sums[1][some] / sums[0][some], sums[0][some], sums[2][some])


FRESH_BATCH = 20  # maps that a stream shows at a time


def fresh_rows(
    settings: ShardSettings, realisation: int, part: int, draws: int, paths: Sequence[str | Path]
) -> Iterator[Rows]:
    """What Probe.fresh_rows gives: for each subfield of a light-cone `draws` maps, each with its own parameters and scatter.

    They are drawn as those of the dataset's shards are (maps.paint.paint_draw), but in float32.

    Parameters
    ----------
    settings : of the dataset; its `draws` play no part
    realisation, part : the light-cone, and which file of the stream
    draws : maps of each subfield
    paths : the light-cone's subfields file
    """
    maps, dataset, grid = settings.maps, settings.maps.dataset, settings.grid
    beam, labels = settings.beam_fwhm_arcmin, plain(settings.maps.labels)
    edges = log10_lum_edges(labels, EXTENSION_BINS)
    model, shape = get_model(dataset.model, dataset.parameters), SHAPES.get(dataset.model)
    if len(paths) != 1:
        expected = f"the subfields file of light-cone {realisation} alone"
        raise problem("--simulate-from", f"{len(paths)} files", expected, "give it")
    path = paths[0]
    check_file(path, maps.subfields)
    subfields = read_subfields(path)
    if subfields.lightcone != realisation:
        raise problem(path, f"light-cone {subfields.lightcone}", f"light-cone {realisation}", "give its subfields")
    header = line_header(grid, beam, labels, plain(maps.cosmology))
    for index, halos in read_subfield_halos(path):
        center = subfields.center_deg[index]
        field = prepare_field(halos, grid, center, subfields.cosmology, shape, np.float32, pooled_channels=True)
        foreseen = shape and dataset.mean_temperature_uk and dataset.log10_lum_cut is None
        typical = typical_halos(field) if foreseen else None
        volume = grid.volume_mpc3(subfields.cosmology, center)
        for first in range(0, draws, FRESH_BATCH):
            batch, made = np.arange(first, min(first + FRESH_BATCH, draws)), []
            for draw in batch.tolist():
                rng = generator(maps.seed, f"fresh/{maps.name}", realisation, part, index, draw)
                where = f"line_models.{maps.name} on light-cone {realisation}, subfield {index}"
                made.append(_fresh_map(field, typical, model, dataset, beam, edges, rng, where))
            cubes, parameters, n_above = zip(*made, strict=True)
            group = np.full(len(batch), realisation, np.int64)
            yield Rows(
                header=header,
                x=np.stack(cubes)[:, None],
                y={"n_above": np.stack(n_above), "volume_mpc3": np.full(len(batch), volume)},
                theta=np.array([[values[name] for name in model.parameters] for values in parameters]),
                parameter_names=list(model.parameters),
                group=group,
                dataset=np.repeat([maps.name], len(batch)),
                rows={"group": group, "subfield": np.full(len(batch), index), "draw": batch},
            )


def _fresh_map(
    field: Field,
    typical: Typical | None,
    model: LineModel,
    line_model: MapDataset,
    beam_fwhm_arcmin: float,
    edges: np.ndarray,
    rng: np.random.Generator,
    where: str,
) -> tuple[np.ndarray, dict[str, float], np.ndarray]:
    """(pooled map, parameters, sources above each edge) of one draw of the prior; see `fresh_rows`."""
    for _ in range(MAX_TRIES):
        values = draw_parameters(model, line_model.prior, line_model.parameters, rng)
        numbers = np.array([values[name] for name in model.parameters])
        if typical and typical.out_of_reach(SHAPES[model.name], numbers, line_model.mean_temperature_uk):
            continue
        light = halo_light(field, _drawn_luminosities(field, model, values, rng), line_model)
        if light.allowed:
            cube = pool_map(bin_light(field, light.per_halo), field.grid, beam_fwhm_arcmin)
            return cube, values, count_above(light.log10_lum, edges)
    found = f"no map within {line_model.mean_temperature_uk} µK in {MAX_TRIES} draws"
    raise problem(where, found, "a range that the prior reaches in a fair share of draws", "widen mean_temperature_uk")


def light_fields(
    paths: Sequence[str | Path], line_model: MapDataset, grid: Grid, lightcones: Sequence[int], count: int
) -> list[Field]:
    """`count` subfields (0: all) that `simulate_map` paints on, evenly spread over the files.

    They are kept in float32 and binned into pooled channels; where the line model has a Shape, its x is kept in place of
    mass and redshift.

    Parameters
    ----------
    paths : subfields files, which must be of `lightcones`
    line_model : the config's entry
    grid : of the study, with its pooling
    lightcones : those that train
    count : of the subfields
    """
    tables = [read_subfields(path) for path in paths]
    for path, table in zip(paths, tables, strict=True):
        if table.lightcone not in lightcones:
            found, expected = f"light-cone {table.lightcone}", f"training light-cones {list(lightcones)}"
            raise problem(path, found, expected, "give those: the test must stay unseen")
    chosen = set(evenly(sum(map(len, tables)), count).tolist())
    shape = SHAPES.get(line_model.model)
    return [
        prepare_field(halos, grid, center, cosmology, shape, np.float32, pooled_channels=True)
        for which, (center, cosmology, halos) in enumerate(progress(_halos(paths), "read halos", sum(map(len, tables))))
        if which in chosen
    ]


def simulate_map(
    field: Field,
    model: LineModel,
    values: dict[str, float],
    line_model: MapDataset,
    beam_fwhm_arcmin: float,
    edges: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray] | None:
    """A map of fresh scatter from the distribution of maps.paint.paint_draw at these parameters, in float32.

    Parameters
    ----------
    field : of `light_fields`
    model : line_model's own
    values : its parameters
    line_model : the config's entry
    beam_fwhm_arcmin : 0 for none
    edges : (bins + 1,) of luminosity, log10 Lsun
    rng : of the scatter

    Returns
    -------
    (pooled map without noise (x, y, f) float32, sources per bin (bins,)); None if the map's mean temperature is outside
    line_model.mean_temperature_uk, or not finite.
    """
    light = halo_light(field, _drawn_luminosities(field, model, values, rng), line_model)
    if not light.allowed:
        return None
    pooled = pool_map(bin_light(field, light.per_halo), field.grid, beam_fwhm_arcmin)
    return pooled, -np.diff(count_above(light.log10_lum, edges))


def _drawn_luminosities(
    field: Field, model: LineModel, values: dict[str, float], rng: np.random.Generator
) -> np.ndarray:
    """log10 L / Lsun (n,) with fresh scatter: by the model's Shape where it has one, which is faster."""
    with np.errstate(over="ignore", invalid="ignore"):
        if model.name not in SHAPES:
            return model.log10_luminosity(*field.properties, values, rng)
        shape = SHAPES[model.name]
        (amplitude,), (own,) = shape.split(np.array([[values[name] for name in model.parameters]]))
        normals = 0.0
        if shape.scatter(own):  # torch draws them more than twice as fast as numpy
            random = torch.Generator().manual_seed(int(rng.integers(2**63)))
            normals = torch.randn(len(field), generator=random).numpy()
        return log10_luminosity(shape, *field.properties, amplitude, own, normals)
