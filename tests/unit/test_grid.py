"""The voxel grid against geometry done another way: integrals, astropy, exact fractions."""

import math
from dataclasses import asdict
from fractions import Fraction

import numpy as np
import pytest
from scipy.integrate import dblquad

from limelight.cosmology import Cosmology
from limelight.errors import LimelightError
from limelight.probes.line_intensity.maps.grid import Grid, grid_from

PAPER = Grid(1.4, 256, 100, 26.0, 34.0, 115.27, "uK", 4, 10)


def test_channels_and_redshifts():
    assert PAPER.channel_ghz == pytest.approx(0.08)
    assert PAPER.channel_freq_ghz[[0, -1]] == pytest.approx([26.04, 33.96])
    assert PAPER.redshift_range == pytest.approx((2.3903, 3.4335), abs=1e-4)  # 115.27/34 − 1, 115.27/26 − 1
    assert PAPER.pooled_shape == (64, 64, 10)


@pytest.mark.parametrize("center", [(0.0, 0.0), (4.06, -2.66), (-20.0, 11.0)])
def test_solid_angle_is_the_integral_over_the_sphere(center):
    grid = Grid(1.4, 8, 1, 26.0, 34.0, 115.27)
    low, high = (np.radians(np.array(center) + sign * 0.7) for sign in (-1, 1))
    integral = dblquad(lambda y, x: (1 + x * x + y * y) ** -1.5, low[0], high[0], low[1], high[1], epsrel=1e-10)[0]
    assert grid.solid_angle_sr(center) == pytest.approx(integral, rel=1e-9)
    x, y = np.meshgrid(*(np.array(c) + (np.arange(8) + 0.5) * grid.pixel_deg - 0.7 for c in center))
    assert grid.pixel_solid_angle_sr(x, y).sum() == pytest.approx(integral, rel=1e-5)


def test_solid_angle_of_a_hemisphere_face():
    """A square of ±45° on the plane is one face of the cube around the observer: 4π/6."""
    width = 2 * math.degrees(1.0)  # tangent 1 either way
    assert Grid(width, 1, 1, 26.0, 34.0, 115.27).solid_angle_sr((0, 0)) == pytest.approx(4 * math.pi / 6, rel=1e-12)


def test_volume_against_astropy():
    cosmology = Cosmology()
    shell = cosmology.astropy.comoving_volume(115.27 / 26 - 1) - cosmology.astropy.comoving_volume(115.27 / 34 - 1)
    expected = shell.value * PAPER.solid_angle_sr((2.1, 0.7)) / (4 * math.pi)
    assert PAPER.volume_mpc3(cosmology, (2.1, 0.7)) == pytest.approx(expected, rel=1e-6)


def test_edges_are_half_open_and_counted_once():
    grid = Grid(2.0, 4, 2, 26.0, 34.0, 115.27)
    x = np.array([-1.0, -0.5, 0.0, 0.5, 1.0, np.nextafter(1.0, 0), np.nextafter(-1.0, -2), 3.0])
    index = grid.voxel_index(x, np.zeros(8), np.full(8, 30.0), (0, 0))
    assert (index // 8).tolist() == [0, 1, 2, 3, 4, 3, 4, 4]  # 4 · 8 is `voxels`: outside
    assert (index[4], index[6]) == (grid.voxels, grid.voxels)
    freq = np.array([26.0, 30.0, 34.0, 25.999])
    index = grid.voxel_index(np.zeros(4), np.zeros(4), freq, (0, 0))
    assert index.tolist() == [20, 21, grid.voxels, grid.voxels]


def test_two_neighbouring_fields_share_no_halo():
    edges_x = np.concatenate([np.nextafter(0.7, [0, 2]), [0.7], np.random.default_rng(1).uniform(0, 1.4, 1000)])
    left, right = (
        Grid(1.4, 256, 1, 26, 34, 115.27).voxel_index(edges_x, np.zeros(1003), np.full(1003, 30.0), (c, 0.0))
        for c in (0.0, 1.4)
    )
    assert np.all((left < 65536) ^ (right < 65536))


def test_voxel_index_is_exact_in_float64():
    """Points a hair on either side of pixel edges, judged by exact rational arithmetic; float32 gets many of these wrong."""
    rng = np.random.default_rng(2)
    edge = -0.7 + rng.integers(1, 256, 2000) * (1.4 / 256)
    x = edge + rng.choice([-1, 1], 2000) * rng.uniform(1e-13, 1e-9, 2000)
    low, pixel = Fraction(-0.7), Fraction(1.4) / 256
    exact = np.array([math.floor((Fraction(value) - low) / pixel) for value in x.tolist()])
    found = PAPER.voxel_index(x, np.zeros(2000), np.full(2000, 26.0), (0, 0)) // (256 * 100)
    assert np.array_equal(found, exact)
    single = np.floor((x.astype(np.float32) + np.float32(0.7)) / np.float32(1.4 / 256)).astype(int)
    assert np.count_nonzero(single != exact) > 100


def test_no_halos():
    assert PAPER.voxel_index(np.empty(0), np.empty(0), np.empty(0), (0, 0)).shape == (0,)


def test_grid_from_file():
    section = {"pixels": 8, "channels": 4, "freq_min_ghz": 26.0, "freq_max_ghz": 34.0, "rest_freq_ghz": 115.27}
    assert grid_from({**section, "size_deg": 1.4}, "some file") == Grid(1.4, 8, 4, 26.0, 34.0, 115.27)
    with pytest.raises(LimelightError, match="some file"):
        grid_from({**section, "size_deg": 1.4, "pool_pixels": 3}, "some file")
    with pytest.raises(LimelightError, match="cannot be read"):
        grid_from({"pixels": 8}, "some file")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"unit": "mK"}, "grid: unit: found 'mK'; expected one of uK, Jy/sr"),
        ({"freq_min_ghz": 34.0, "freq_max_ghz": 26.0}, "grid: found 34 to 26 GHz"),
        ({"size_deg": -1.4}, "grid: size_deg: found -1.4"),
        ({"pool_pixels": 3}, "grid: pixels: found 8 in blocks of 3"),
        ({"channels": 0}, "grid: channels: found 0 in blocks"),
    ],
)
def test_what_is_no_grid_is_refused(change, found):
    """A map in mK would come out in Jy/sr, and one whose frequencies fall would be empty."""
    with pytest.raises(LimelightError, match=found):
        Grid(**{**asdict(Grid(1.4, 8, 4, 26.0, 34.0, 115.27)), **change})
