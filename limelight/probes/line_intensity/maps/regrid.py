"""A cube of any projection brought onto the grid of a network's training maps, on request: means over areas and bands."""

import warnings
from dataclasses import replace

import numpy as np

from limelight.errors import problem
from limelight.probes.line_intensity.maps.cube import Cube, jacobian

COVERED = 0.8  # of a new pixel's area: projections bend the edge of a field by less


def regrid(cube: Cube, trained: dict, where: object) -> tuple[Cube, str]:
    """(the cube on the pooled pixels and channels of training maps about its own centre, what was done in words).

    Each new voxel is the mean of the old ones over its solid angle (reproject_exact) and its band: temperatures and
    intensities stay. What lies beyond the training maps' field and band is cut off; what the cube does not cover is missing.
    Noise of neighbouring voxels becomes correlated where they share an old one.
    """
    from astropy.wcs import WCS
    from reproject import reproject_exact  # of the extra `maps`

    n = trained["pixels"] // trained["pool_pixels"]
    pixel, channels = trained["size_deg"] / n, trained["channels"] // trained["pool_channels"]
    nx, ny, _ = cube.values.shape
    old = np.sqrt(abs(np.linalg.det(jacobian(cube.sky, (nx - 1) / 2, (ny - 1) / 2))))
    if not old <= 1.5 * pixel:
        fix = "give a finer map, or train a network on coarser ones (grid.pool_pixels)"
        raise problem(where, f"pixels of {old:.4g}°", f"at most those of the network, {pixel:.4g}°", fix)
    sky = WCS(naxis=2)
    sky.wcs.ctype, sky.wcs.cunit, sky.wcs.cdelt = ["RA---TAN", "DEC--TAN"], ["deg", "deg"], [pixel, pixel]
    sky.wcs.crpix = [(n + 1) / 2] * 2
    sky.wcs.crval = [float(value) for value in cube.sky.wcs_pix2world((nx - 1) / 2, (ny - 1) / 2, 0)]
    sky.wcs.radesys, sky.wcs.equinox = cube.sky.wcs.radesys, cube.sky.wcs.equinox
    values = cube.values.astype(np.float64) / (cube.pool_pixels**2 * cube.pool_channels)
    if cube.missing is not None:
        values[cube.missing] = np.nan
    with warnings.catch_warnings(action="ignore"):
        planes, footprint = reproject_exact((values.T, cube.sky), sky, shape_out=(n, n))
    planes[footprint < COVERED] = np.nan
    edges = np.linspace(trained["freq_min_ghz"], trained["freq_max_ghz"], channels + 1)
    values = rebinned(planes.T, cube.freq_edges_ghz, edges).astype(np.float32)
    missing = np.isnan(values)
    done = (
        f"regridded about RA {sky.wcs.crval[0]:.4f}°, Dec {sky.wcs.crval[1]:.4f}°: {nx} × {ny} pixels of {60 * old:.3g}′ and"
        f" {cube.values.shape[2]} channels to {n} × {n} of {60 * pixel:.3g}′ and {channels}"
    )
    made = Cube(
        values=values,
        missing=missing if missing.any() else None,
        unit=cube.unit,
        pixel_deg=(pixel, pixel),
        freq_edges_ghz=edges,
    )
    known = {"rest_freq_ghz": cube.rest_freq_ghz, "beam_arcmin": cube.beam_arcmin, "source": cube.source}
    return replace(made, **known), done


def rebinned(values: np.ndarray, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Means of (x, y, f) over new channels, from the edges of the old ones; NaN where these do not cover one.

    Edges in any unit, the old ones rising or falling.
    """
    low, high = np.minimum(old[1:], old[:-1]), np.maximum(old[1:], old[:-1])
    overlap = np.minimum(high, new[1:, None]) - np.maximum(low, new[:-1, None])  # (new, old)
    share = overlap.clip(min=0) / np.diff(new)[:, None]
    known = np.isfinite(values)
    total = np.where(known, values, 0) @ share.T
    return np.where(known.astype(np.float64) @ share.T > 1 - 1e-6, total, np.nan)
