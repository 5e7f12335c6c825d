"""The voxel grid of a map: pixels on the tangent plane, channels equal in frequency. Axes (x, y, frequency).

Sky coordinates are gnomonic (TAN) degrees about the light-cone's axis, the same plane for every subfield of a light-cone. On
it dx dy covers the solid angle dx dy (1 + X² + Y²)^(-3/2), X and Y in radians of the plane (tangents of the angle).
"""

import math
from dataclasses import dataclass

import numpy as np

from limelight.compiled import compiled_exactly
from limelight.cosmology import Cosmology
from limelight.errors import LimelightError, problem

DEGREE = math.pi / 180
UNITS = ("uK", "Jy/sr")


@dataclass(frozen=True)
class Grid:
    """A square of sky of side size_deg times a band; its pooling travels with it. Edges are half-open: [low, high).

    pixels, channels: fine ones, along a side and over the band; pool_pixels, pool_channels: how many of them are summed into
    one of a pooled map; unit: uK or Jy/sr, of painted maps; survey: file of the one that maps are a part of (LightWeights).
    """

    size_deg: float
    pixels: int
    channels: int
    freq_min_ghz: float
    freq_max_ghz: float
    rest_freq_ghz: float
    unit: str = "uK"
    pool_pixels: int = 1
    pool_channels: int = 1
    survey: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be a grid: maps on it would be empty, or in another unit than asked for."""
        if self.unit not in UNITS:
            raise problem("grid: unit", repr(self.unit), f"one of {', '.join(UNITS)}", "paint in one of these")
        if not self.size_deg > 0:
            raise problem("grid: size_deg", f"{self.size_deg:g}", "a side above 0 degrees", "mend it")
        if not 0 < self.freq_min_ghz < self.freq_max_ghz:
            found = f"{self.freq_min_ghz:g} to {self.freq_max_ghz:g} GHz"
            raise problem("grid", found, "0 < freq_min_ghz < freq_max_ghz", "put the frequencies in order")
        for axis in ("pixels", "channels"):
            n, block = getattr(self, axis), getattr(self, f"pool_{axis}")
            if n < 1 or block < 1 or n % block:
                raise problem(f"grid: {axis}", f"{n} in blocks of {block}", "whole blocks", f"choose a divisor of {n}")

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
        """Raveled voxel of each point, int64 (n,); `voxels` for a point outside the square or band."""
        slab, index = self.slab_and_index(x_deg, y_deg, freq_ghz, center_deg)
        return slab.astype(np.int64) * (self.pixels * self.channels) + index

    def slab_and_index(
        self, x_deg: np.ndarray, y_deg: np.ndarray, freq_ghz: np.ndarray, center_deg
    ) -> tuple[np.ndarray, np.ndarray]:
        """Place on the map's first axis of each point (n,) and its raveled voxel in that slab, int32; (pixels, 0) outside.

        All in float64: float32 coordinates would move halos across voxel edges.
        """
        if not len(x_deg) == len(y_deg) == len(freq_ghz):  # compiled loops do not look
            raise ValueError(f"{len(x_deg)}, {len(y_deg)} and {len(freq_ghz)} coordinates of the same points")
        low = center_deg[0] - self.size_deg / 2, center_deg[1] - self.size_deg / 2, self.freq_min_ghz
        high = center_deg[0] + self.size_deg / 2, center_deg[1] + self.size_deg / 2, self.freq_max_ghz
        slab, index = np.empty((2, len(x_deg)), np.int32)
        compiled_exactly(_find_voxels)(
            x_deg, y_deg, freq_ghz, np.array(low), np.array(high), np.array(self.shape), slab, index
        )
        return slab, index

    def pixel_solid_angle_sr(self, x_deg: np.ndarray, y_deg: np.ndarray) -> np.ndarray:
        """Solid angle of one fine pixel at places of the tangent plane, float64 (…): dx dy (1 + X² + Y²)^(-3/2)."""
        x, y = np.broadcast_arrays(x_deg, y_deg)
        solid_angle = np.empty(x.shape)
        compiled_exactly(_add_squares)(x.reshape(-1), y.reshape(-1), solid_angle.reshape(-1))
        solid_angle **= -1.5
        solid_angle *= (self.pixel_deg * DEGREE) ** 2
        return solid_angle

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


def _add_squares(x_deg, y_deg, total):
    """1 + X² + Y² of points (n,)."""
    for i in range(len(total)):
        x, y = x_deg[i] * DEGREE, y_deg[i] * DEGREE
        total[i] = 1 + (x * x + y * y)


def _find_voxels(x, y, freq, low, high, shape, slab, index):
    """slab, index (n,): see slab_and_index. Places round down; those that rounding takes to the upper edge stay inside."""
    per_x, per_y, per_ghz = shape[0] / (high[0] - low[0]), shape[1] / (high[1] - low[1]), shape[2] / (high[2] - low[2])
    for i in range(len(slab)):
        slab[i], index[i] = shape[0], 0
        if low[0] <= x[i] < high[0] and low[1] <= y[i] < high[1] and low[2] <= freq[i] < high[2]:
            slab[i] = min(int((x[i] - low[0]) * per_x), shape[0] - 1)
            row = min(int((y[i] - low[1]) * per_y), shape[1] - 1)
            channel = min(int((freq[i] - low[2]) * per_ghz), shape[2] - 1)
            index[i] = row * shape[2] + channel


def grid_from(geometry: dict, where: object) -> Grid:
    """The Grid in the attributes of a file; refuses a geometry that cannot be one."""
    try:
        return Grid(**geometry)
    except TypeError as error:
        raise problem(
            where, f"a grid that cannot be read ({error})", "a complete grid", "make the file again"
        ) from None
    except LimelightError as error:
        raise problem(
            where, f"grid {geometry} ({error})", "one with positive, divisible axes", "make the file again"
        ) from None
