"""Test maps changed on purpose, their luminosity functions changed exactly with them: dimmed, or with sources painted on.

A network that reads its maps follows such a change in the right direction and by the right amount; one that answers from
memory does not move.
"""

from dataclasses import replace

import numpy as np
import torch

from limelight.cosmology import Cosmology
from limelight.probes.line_intensity.labels import EXTENSION_BINS
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.instrument import smooth
from limelight.probes.line_intensity.maps.paint import bin_points, brightness_per_lsun
from limelight.probes.line_intensity.maps.pooling import pool
from limelight.probes.line_intensity.presentation import dimmed


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


def light_of_extra(
    extra: np.ndarray,
    edges: np.ndarray,
    grid: Grid,
    beam_fwhm_arcmin: float,
    center_deg: np.ndarray,
    cosmology: Cosmology,
    rng: np.random.Generator,
) -> np.ndarray:
    """What `extra` sources at random places add to a pooled map of this geometry: (x, y, f) float32 in the grid's unit.

    extra (k,) sources between the edges (k + 1,) log10 Lsun, even in log L within a bin; places even over the map's square
    of the sky and over its band. Each shines with the brightness that painting gives a halo of its luminosity at its place
    and frequency (limelight.probes.line_intensity.maps.paint); the beam, if any, spreads it before pooling.
    """
    total = int(extra.sum())
    place = rng.random((total, 3))
    lum = 10 ** (np.repeat(edges[:-1], extra) + np.repeat(np.diff(edges), extra) * rng.random(total))
    sky = np.asarray(center_deg) + grid.size_deg * (place[:, :2] - 0.5)
    freq = grid.freq_min_ghz + (grid.freq_max_ghz - grid.freq_min_ghz) * place[:, 2]
    light = lum * brightness_per_lsun(sky, grid.rest_freq_ghz / freq - 1, freq, grid, cosmology, grid.unit)
    slabs = replace(grid, channels=grid.channels // grid.pool_channels, pool_channels=1)  # the beam acts on fine pixels
    sums = bin_points(sky[:, 0], sky[:, 1], freq, light, slabs, center_deg, np.zeros(slabs.voxels + 1))
    cube = smooth(sums[:-1].reshape(slabs.shape), beam_fwhm_arcmin, grid.pixel_deg)
    return pool(cube, grid.pool_pixels, 1).astype(np.float32)
