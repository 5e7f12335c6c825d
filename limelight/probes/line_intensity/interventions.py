"""Test maps changed on purpose, their luminosity functions changed exactly with them: dimmed, or with sources painted on.

A network that reads its maps follows such a change in the right direction and by the right amount; one that answers from
memory does not move.
"""

import numpy as np
import torch

from limelight.cosmology import Cosmology
from limelight.probes.line_intensity.config import MapDataset
from limelight.probes.line_intensity.labels import EXTENSION_BINS
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.paint import bin_light, halo_light, place_sources
from limelight.probes.line_intensity.presentation import dimmed
from limelight.probes.line_intensity.shards import pool_map


def dim(maps: np.ndarray, n_above: np.ndarray, bins_down: int, bin_width: float) -> tuple[np.ndarray, np.ndarray]:
    """Maps (m, x, y, f) whose every source is fainter by whole luminosity bins, and their exact counts.

    n_above (m, columns) halos at or above each edge; the counts that come back have EXTENSION_BINS columns fewer.
    """
    steps = torch.full((len(maps),), bins_down, dtype=torch.int64)
    darker, counts = dimmed(torch.as_tensor(maps), torch.as_tensor(n_above), steps, bin_width)
    return darker.numpy(), counts.numpy()


def undimmed(n_above: np.ndarray) -> np.ndarray:
    """Counts of maps as they are, in the columns that `dim` gives."""
    return np.asarray(n_above)[:, : np.shape(n_above)[1] - EXTENSION_BINS]


def count_extra(n_above: np.ndarray, extra: np.ndarray) -> np.ndarray:
    """Counts at or above each edge (m, k + 1) once extra (m, k) sources more stand between the edges."""
    more = np.cumsum(extra[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(n_above) + np.pad(more, ((0, 0), (0, 1)))


def allowed_extra(extra: np.ndarray, edges: np.ndarray, line_model: MapDataset) -> np.ndarray:
    """`extra` (..., k) sources per bin without those in bins that begin at or above line_model.log10_lum_cut.

    A study that cuts its sources has none there, so none are added there. edges (k + 1,) log10 Lsun.
    """
    return np.where(edges[:-1] < _cut(line_model), extra, 0)


def _cut(line_model: MapDataset) -> float:
    """log10 L / Lsun at and above which there are no sources; infinite where nothing is cut."""
    return np.inf if line_model.log10_lum_cut is None else line_model.log10_lum_cut


def light_of_extra(
    extra: np.ndarray,
    edges: np.ndarray,
    grid: Grid,
    beam_fwhm_arcmin: float,
    center_deg: np.ndarray,
    cosmology: Cosmology,
    rng: np.random.Generator,
    line_model: MapDataset,
) -> np.ndarray:
    """What `extra` sources at random places add to a pooled map of this geometry: (x, y, f) float32 in the grid's unit.

    Places are even over the map's square of the sky and over its band; luminosities are even in log L within a bin, below
    the cut in the bin that holds it. Each source shines as a halo of its luminosity at its place and frequency.

    Parameters
    ----------
    extra : (k,) sources to add in each bin, of `allowed_extra`
    edges : (k + 1,) of the bins, log10 Lsun
    grid, beam_fwhm_arcmin, center_deg, cosmology : of the map
    rng : of the places and luminosities
    line_model : the map's entry of the config's line_models
    """
    total = int(extra.sum())
    place = rng.random((total, 3))
    top = np.clip(_cut(line_model), edges[:-1], edges[1:])
    log10_lum = np.repeat(edges[:-1], extra) + np.repeat(top - edges[:-1], extra) * rng.random(total)
    sky = np.asarray(center_deg) + grid.size_deg * (place[:, :2] - 0.5)
    freq = grid.freq_min_ghz + (grid.freq_max_ghz - grid.freq_min_ghz) * place[:, 2]
    redshift = grid.rest_freq_ghz / freq - 1
    field = place_sources(sky, redshift, freq, (log10_lum,), grid, center_deg, cosmology, pooled_channels=True)
    light = halo_light(field, *field.properties, line_model).per_halo
    return pool_map(bin_light(field, light, np.float64), grid, beam_fwhm_arcmin).astype(np.float32)
