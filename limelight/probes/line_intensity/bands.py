"""Which halos a voxel's light comes from: the test maps painted again, band by band in luminosity and in mass."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from limelight.data.axes import OutputAxis
from limelight.data.shard import Rows
from limelight.errors import problem
from limelight.halos.subfields import Subfields, read_subfield_halos, read_subfields
from limelight.probes.line_intensity.lines.models import get_model
from limelight.probes.line_intensity.maps.paint import Field, Light, bin_light, drawn_light, prepare_field
from limelight.probes.line_intensity.settings import ShardSettings
from limelight.probes.line_intensity.shards import pool_map
from limelight.saliency.shares import PixelClasses
from limelight.seeds import generator

BAND_DEX = 0.5
MASS_EDGES = tuple(10.0 + BAND_DEX * np.arange(9))  # log10 Msun
TOLERANCE = 1e-4  # of the voxels of the maps, relative to the brightest


def light_bands(settings: ShardSettings, found: Rows, paths: Sequence[str | Path]) -> dict[str, PixelClasses]:
    """The share of each voxel's light that comes from halos of each band of luminosity, and of mass.

    Every map is painted again from its own random stream. The outermost bands take what lies beyond them.

    Parameters
    ----------
    settings
        Of the maps' dataset.
    found
        Rows of its shards, of any number of light-cones.
    paths
        Subfields files of these light-cones.

    Raises LimelightError for a light-cone without its file, and when what is painted is not the maps.
    """
    labels = settings.maps.labels
    count = max(1, round((labels.log10_lum_max - labels.log10_lum_min) / BAND_DEX))
    luminosity = np.linspace(labels.log10_lum_min, labels.log10_lum_max, count + 1)
    edges = {"luminosity": luminosity, "halo_mass": np.array(MASS_EDGES)}
    n, shape = len(found), found.x.shape[1:]
    light = {name: np.zeros((n, len(bands) - 1, *shape), np.float32) for name, bands in edges.items()}
    done = np.zeros(n, bool)
    for path in paths:
        table = read_subfields(path)
        mine = np.flatnonzero(found.group == table.lightcone)
        if not len(mine):
            continue
        for subfield, halos in read_subfield_halos(path):
            rows = mine[found.rows["subfield"][mine] == subfield]
            if len(rows):
                field = prepare_field(halos, settings.maps.grid, table.center_deg[subfield], table.cosmology)
                for row in rows:
                    draw = _draw(field, settings, table, subfield, int(found.rows["draw"][row]))
                    for name, values in (("luminosity", draw.log10_lum), ("halo_mass", np.log10(field.properties[0]))):
                        light[name][row, :, 0] = _painted(field, draw, values, edges[name], settings)
                done[rows] = True
    if not done.all():
        missing = sorted(set(found.group[~done].tolist()))
        raise problem("subfields", f"none of light-cones {missing}", "a file for each that is shown", "give them")
    total = light["luminosity"].sum(axis=1)
    if np.abs(total - found.x).max() > TOLERANCE * found.x.max():
        expected = "the maps themselves, when their subfields are painted again"
        raise problem("subfields", "halos that make other maps", expected, "make shards and subfields with one version")
    axes = {
        "luminosity": OutputAxis("luminosity", "Lsun", log10=True, edges=tuple(luminosity.tolist())),
        "halo_mass": OutputAxis("halo mass", "Msun", log10=True, edges=tuple(float(edge) for edge in MASS_EDGES)),
    }
    return {name: _classes(light[name], total, axes[name]) for name in axes}


def _draw(field: Field, settings: ShardSettings, table: Subfields, subfield: int, draw: int) -> Light:
    """The very light of one map of the study: as maps.paint.paint_subfields draws it."""
    maps = settings.maps
    rng = generator(maps.seed, f"paint/{maps.name}", table.lightcone, subfield, draw)
    where = f"line_models.{maps.name} on light-cone {table.lightcone}, subfield {subfield}, draw {draw}"
    return drawn_light(field, get_model(maps.dataset.model, maps.dataset.parameters), maps.dataset, rng, where)[0]


def _painted(field: Field, draw: Light, values: np.ndarray, edges: np.ndarray, settings: ShardSettings) -> np.ndarray:
    """The pooled light of each band, (bands, x, y, f) float32; values (n,): what the halos are told apart by."""
    band = np.searchsorted(edges[1:-1], values, side="right")
    return np.array(
        [
            pool_map(
                bin_light(field, np.where(band == number, draw.per_halo, 0.0)), settings.grid, settings.beam_fwhm_arcmin
            )
            for number in range(len(edges) - 1)
        ],
        np.float32,
    )


def _classes(light: np.ndarray, total: np.ndarray, axis: OutputAxis) -> PixelClasses:
    """light (n, bands, 1, x, y, f) of each band, total (n, 1, x, y, f)."""
    weights = light / np.where(total > 0, total, 1.0)[:, None]
    amount = light.sum(axis=(0, *range(2, light.ndim)), dtype=np.float64)
    return PixelClasses(axis, weights, amount / (amount.sum() or 1.0))
