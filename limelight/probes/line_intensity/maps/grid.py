"""The voxel grid of a map: pixels on the tangent plane, channels equal in frequency. Axes (x, y, frequency).

Sky coordinates are gnomonic (TAN) degrees about the light-cone's axis, the same plane for every subfield of a light-cone. On
it dx dy covers the solid angle dx dy (1 + X² + Y²)^(-3/2), X and Y in radians of the plane (tangents of the angle).
"""

import math
from dataclasses import asdict, dataclass

import numpy as np

from limelight.cosmology import Cosmology
from limelight.errors import problem

DEGREE = math.pi / 180
UNITS = ("uK", "Jy/sr")


@dataclass(frozen=True)
class Grid:
    """A square of sky of side size_deg times a band; its pooling travels with it. Edges are half-open: [low, high)."""

    size_deg: float
    pixels: int
    channels: int
    freq_min_ghz: float
    freq_max_ghz: float
    rest_freq_ghz: float
    unit: str = "uK"
    pool_pixels: int = 1
    pool_channels: int = 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """(pixels, pixels, channels) of a fine map."""
        return self.pixels, self.pixels, self.channels

    @property
    def pooled_shape(self) -> tuple[int, int, int]:
        """Shape of a pooled map."""
        return self.pixels // self.pool_pixels, self.pixels // self.pool_pixels, self.channels // self.pool_channels

    @property
    def voxels(self) -> int:
        """Voxels of a fine map; also the index that voxel_index gives to what lies outside."""
        return self.pixels * self.pixels * self.channels

    @property
    def pixel_deg(self) -> float:
        """Side of a fine pixel on the tangent plane."""
        return self.size_deg / self.pixels

    @property
    def channel_ghz(self) -> float:
        """Width of a fine channel."""
        return (self.freq_max_ghz - self.freq_min_ghz) / self.channels

    @property
    def channel_freq_ghz(self) -> np.ndarray:
        """Middle of each fine channel (channels,); channel 0 lies at freq_min_ghz."""
        return self.freq_min_ghz + (np.arange(self.channels) + 0.5) * self.channel_ghz

    @property
    def redshift_range(self) -> tuple[float, float]:
        """Observed redshifts of the band's edges, low and high."""
        return self.rest_freq_ghz / self.freq_max_ghz - 1, self.rest_freq_ghz / self.freq_min_ghz - 1

    def observed_freq_ghz(self, redshift_observed: np.ndarray) -> np.ndarray:
        """Observed frequency of the line, float64 (n,)."""
        return self.rest_freq_ghz / (1 + np.asarray(redshift_observed, np.float64))

    def voxel_index(self, x_deg: np.ndarray, y_deg: np.ndarray, freq_ghz: np.ndarray, center_deg) -> np.ndarray:
        """Raveled voxel of each point, int64 (n,); `voxels` for a point outside the square or band.

        All in float64: float32 coordinates would move halos across voxel edges.
        """
        low = center_deg[0] - self.size_deg / 2, center_deg[1] - self.size_deg / 2, self.freq_min_ghz
        high = center_deg[0] + self.size_deg / 2, center_deg[1] + self.size_deg / 2, self.freq_max_ghz
        integer = np.int32 if self.voxels < 2**31 else np.int64  # the smaller is converted and multiplied faster
        index, outside = None, None
        for values, start, stop, n in zip((x_deg, y_deg, freq_ghz), low, high, self.shape, strict=True):
            place = np.subtract(values, start, dtype=np.float64)
            place *= n / (stop - start)
            if len(place) and not (place.min() >= 0 and place.max() < n - 1e-9):  # rarely: halos were cut before
                beyond = ~((values >= start) & (values < stop))
                np.clip(place, 0, n - 1, out=place, where=beyond | (place >= n))  # rounding reaches n below the edge
                outside = beyond if outside is None else outside | beyond
            whole = place.astype(integer)  # truncation is the floor: no place is negative
            if index is None:
                index = whole
            else:
                index *= integer(n)
                index += whole
        index = index.astype(np.int64)
        if outside is not None:
            index[outside] = self.voxels
        return index

    def pixel_solid_angle_sr(self, x_deg: np.ndarray, y_deg: np.ndarray) -> np.ndarray:
        """Solid angle of one fine pixel at a place of the tangent plane, float64 (n,): dx dy (1 + X² + Y²)^(-3/2)."""
        x, y = np.asarray(x_deg, np.float64) * DEGREE, np.asarray(y_deg, np.float64) * DEGREE
        return (self.pixel_deg * DEGREE) ** 2 * (1 + (x * x + y * y)) ** -1.5

    def solid_angle_sr(self, center_deg) -> float:
        """Solid angle of the whole square: the closed form arctan(XY / √(1 + X² + Y²)) at its four corners."""

        def corner(x: float, y: float) -> float:
            return math.atan(x * y / math.sqrt(1 + x * x + y * y))

        half = self.size_deg / 2 * DEGREE
        x, y = center_deg[0] * DEGREE, center_deg[1] * DEGREE
        low, high = (x - half, y - half), (x + half, y + half)
        return corner(*high) - corner(low[0], high[1]) - corner(high[0], low[1]) + corner(*low)

    def volume_mpc3(self, cosmology: Cosmology, center_deg) -> float:
        """Comoving volume of the map, Mpc³: Ω (χ_high³ − χ_low³) / 3 in a flat universe."""
        near, far = (float(cosmology.comoving_distance(z)) for z in self.redshift_range)
        return self.solid_angle_sr(center_deg) * (far**3 - near**3) / 3


def grid_from(geometry: dict, where: object) -> Grid:
    """The Grid in the attributes of a file; refuses a geometry that cannot be one."""
    try:
        grid = Grid(**geometry)
        sound = (
            grid.unit in UNITS
            and grid.size_deg > 0
            and 0 < grid.freq_min_ghz < grid.freq_max_ghz
            and min(grid.shape + grid.pooled_shape) > 0
            and grid.pixels % grid.pool_pixels == 0
            and grid.channels % grid.pool_channels == 0
        )
    except (TypeError, ZeroDivisionError) as error:
        raise problem(
            where, f"a grid that cannot be read ({error})", "a complete grid", "make the file again"
        ) from None
    if not sound:
        raise problem(where, f"grid {asdict(grid)}", "a grid with positive, divisible axes", "make the file again")
    return grid
