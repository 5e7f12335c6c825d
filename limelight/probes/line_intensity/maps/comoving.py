"""A map's voxels in comoving lengths, for power spectra.

The light-cone is taken as a box of straight, equal voxels: across the line of sight every voxel has the size that it has at
the mean redshift (the middle of the band in frequency), along it the band's comoving depth over the number of channels. For
26–34 GHz the true transverse size runs from −8 to +9 % about that, the radial one from −7 to +8 %: the same stretch of k in
every map of one geometry, so comparisons of maps with maps stand; comparison with a theory's P(k) at one redshift is only so
good.
"""

from limelight.cosmology import Cosmology
from limelight.probes.line_intensity.maps.grid import DEGREE, Grid
from limelight.probes.line_intensity.maps.instrument import FWHM_PER_SIGMA


def mean_redshift(grid: Grid) -> float:
    """Redshift of the line at the middle of the band in frequency."""
    return grid.rest_freq_ghz / (0.5 * (grid.freq_min_ghz + grid.freq_max_ghz)) - 1


def voxel_size_mpc(grid: Grid, cosmology: Cosmology) -> tuple[float, float, float]:
    """Comoving sides (x, y, line of sight) of one pooled voxel, Mpc; transverse at the mean redshift."""
    across = float(cosmology.comoving_distance(mean_redshift(grid))) * grid.pixel_deg * DEGREE * grid.pool_pixels
    near, far = (float(cosmology.comoving_distance(z)) for z in grid.redshift_range)
    return across, across, (far - near) / grid.pooled_shape[2]


def beam_sigma_mpc(fwhm_arcmin: float, grid: Grid, cosmology: Cosmology) -> float:
    """Comoving σ of a Gaussian beam at the mean redshift, Mpc."""
    return float(cosmology.comoving_distance(mean_redshift(grid))) * fwhm_arcmin / 60 * DEGREE / FWHM_PER_SIGMA
