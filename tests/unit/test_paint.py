"""Painting against hand values from SI constants, sums over halos, symmetry and the shot-noise spectrum."""

import math
from dataclasses import replace

import numpy as np
import pytest
from turned_cones import rotate

from limelight.cosmology import Cosmology
from limelight.errors import LimelightError
from limelight.halos.catalogue import HaloCatalogue, observed_redshift
from limelight.halos.config import Subfields as SubfieldCuts
from limelight.halos.subfields import SubfieldHalos, Subfields, cut_subfields, plan_subfields
from limelight.probes.line_intensity.config import MapDataset
from limelight.probes.line_intensity.labels import EXTENSION_BINS
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.paint import (
    bin_light,
    brightness_per_lsun,
    halo_light,
    paint,
    paint_subfields,
    prepare_field,
)
from limelight.probes.line_intensity.maps.units import JY_PER_LSUN, intensity_per_kelvin

GRID = Grid(1.4, 16, 8, 26.0, 34.0, 115.27)
LABELS = {"log10_lum_min": 3.5, "log10_lum_max": 7.0, "bins": 49}
CENTER = np.zeros(2)
C, K_B, SUN, MPC = 299792458.0, 1.380649e-23, 3.828e26, 3.0856775814913673e22  # SI, typed in from CODATA and IAU tables
UK_CONSTANT = 1e6 * C**2 * SUN / MPC**2 / 1e9 / (2 * K_B * 1e18)  # µK of L/(4π χ² (1+z)² Δν Ω ν²) in Lsun, Mpc, GHz, sr


def some_halos(n: int, seed: int = 1, reach: float = 0.7) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    sky = rng.uniform(-reach, reach, (n, 2))
    z = rng.uniform(*GRID.redshift_range, n)
    return sky, z, z + rng.normal(0, 1e-3, n), rng.normal(5, 0.5, n)


@pytest.mark.parametrize("unit", ["uK", "Jy/sr"])
def test_one_halo_by_hand(unit):
    """1e6 Lsun at χ(z = 2.8), (x, y) = (3.1°, 0.4°), seen at z = 2.805."""
    c, k, sun, mpc = C, K_B, SUN, MPC
    grid = Grid(1.4, 256, 100, 26.0, 34.0, 115.27, unit)
    chi = Cosmology().astropy.comoving_distance(2.8).value * mpc
    nu = 115.27e9 / 3.805
    x, y = math.radians(3.1), math.radians(0.4)
    omega = (math.radians(1.4) / 256) ** 2 / (1 + x * x + y * y) ** 1.5
    intensity = 1e6 * sun / (4 * math.pi * (chi * 3.8) ** 2 * 0.08e9 * omega)  # W/m²/Hz/sr
    expected = {"uK": 1e6 * c**2 * intensity / (2 * k * nu**2), "Jy/sr": 1e26 * intensity}[unit]
    sky, one = np.array([[3.1, 0.4]]), np.ones(1)
    cube = paint(sky, 2.8 * one, 2.805 * one, 6 * one, grid, np.array([2.8, 0.7]), Cosmology())
    place = np.argwhere(cube)
    assert place.tolist() == [[int((3.1 - 2.1) / (1.4 / 256)), int(0.4 / (1.4 / 256)), int((nu / 1e9 - 26) / 0.08)]]
    assert cube.sum() == pytest.approx(expected, rel=1e-6)


def test_the_constant_of_the_literature():
    """T[µK] = (2.6172/2) L / (4π χ² (1+z)² Δν Ω ν²), 1 Lsun/Mpc²/GHz = 4.0204e-2 Jy."""
    sky, z = np.zeros((1, 2)), np.full(1, 3.0)
    nu = GRID.observed_freq_ghz(z)
    chi = Cosmology().astropy.comoving_distance(3.0).value
    omega = math.radians(1.4 / 16) ** 2
    found = brightness_per_lsun(sky, z, nu, GRID, Cosmology(), "uK")
    assert found[0] == pytest.approx(2.6172 / 2 / (4 * math.pi * (4 * chi) ** 2 * 1.0 * omega * nu[0] ** 2), rel=1e-4)
    found = brightness_per_lsun(sky, z, nu, GRID, Cosmology(), "Jy/sr")
    assert found[0] == pytest.approx(4.0204e-2 / (4 * math.pi * (4 * chi) ** 2 * 1.0 * omega), rel=2e-5)


def test_total_is_the_sum_over_halos_and_outsiders_are_dropped():
    sky, z, z_observed, log10_lum = some_halos(5000, reach=0.9)
    cube = paint(sky, z, z_observed, log10_lum, GRID, CENTER, Cosmology())
    nu = 115.27 / (1 + z_observed)
    inside = np.all((sky >= -0.7) & (sky < 0.7), axis=1) & (nu >= 26) & (nu < 34)
    assert 0 < inside.sum() < 5000
    chi = Cosmology().astropy.comoving_distance(z).value
    omega = math.radians(1.4 / 16) ** 2 * (1 + np.sum(np.radians(sky) ** 2, axis=1)) ** -1.5
    each = UK_CONSTANT * 10**log10_lum / (4 * math.pi * (chi * (1 + z)) ** 2 * 1.0 * omega * nu**2)
    assert cube.sum(dtype=np.float64) == pytest.approx(each[inside].sum(), rel=1e-5)
    expected = np.histogramdd(
        np.column_stack([sky, nu]), bins=GRID.shape, range=[(-0.7, 0.7), (-0.7, 0.7), (26, 34)], weights=each
    )[0]
    np.testing.assert_allclose(cube, expected, rtol=1e-5)


def test_a_quarter_turn_of_the_halos_turns_the_map_exactly():
    sky, z, z_observed, log10_lum = some_halos(20000)
    cube = paint(sky, z, z_observed, log10_lum, GRID, CENTER, Cosmology())
    turned = np.column_stack([-sky[:, 1], sky[:, 0]])  # (x, y) → (−y, x): counter-clockwise
    assert np.array_equal(
        paint(turned, z, z_observed, log10_lum, GRID, CENTER, Cosmology()), np.rot90(cube, axes=(0, 1))
    )


def test_the_map_of_a_light_cone_turned_by_90_degrees_is_the_turned_map():
    """Positions and velocities turned in space, observed redshifts made anew, cut and painted: np.rot90 of the map.

    To the bit, but for the observed redshifts: the turn adds v · r in another order (1e-16 of z).
    """
    rng = np.random.default_rng(4)
    sky, z, _, log10_lum = some_halos(20000)
    chi = Cosmology().comoving_distance(z)
    direction = np.column_stack([-np.tan(np.radians(sky[:, 0])), np.tan(np.radians(sky[:, 1])), np.ones(len(z))])
    position = (direction * (chi / np.linalg.norm(direction, axis=1))[:, None]).astype(np.float32)
    velocity = rng.normal(0, 300, (20000, 3)).astype(np.float32)
    halos = HaloCatalogue(position, velocity, 10**log10_lum, z, observed_redshift(position, velocity, z))
    turned = rotate(halos, 90.0)
    turned.redshift_observed = observed_redshift(turned.position_mpc, turned.velocity_kms, z)
    plan = plan_subfields(1.5, SubfieldCuts(size_deg=1.4, per_side=1))
    maps = []
    for catalogue in (halos, turned):
        ((_, part),) = cut_subfields(catalogue, plan)
        log10_part = np.log10(part.mass_msun)  # here a luminosity: it stays with its halo
        maps.append(paint(part.sky_deg, part.redshift, part.redshift_observed, log10_part, GRID, CENTER, Cosmology()))
    np.testing.assert_allclose(maps[1], np.rot90(maps[0], axes=(0, 1)), rtol=1e-6)
    assert not np.allclose(maps[1], maps[0])


def test_further_draws_take_the_same_path():
    """The map of a prepared field is that of paint(): the same voxels and brightness."""
    sky, z, z_observed, _ = some_halos(20000, reach=0.8)
    mass = np.random.default_rng(3).uniform(1e11, 1e12, 20000)
    field = prepare_field(SubfieldHalos(sky, z, z_observed, mass), GRID, CENTER, Cosmology())
    assert len(field) < 20000
    cube = bin_light(field, field.properties[0] * field.unit_per_lsun)
    expected = paint(sky, z, z_observed, np.log10(mass), GRID, CENTER, Cosmology())
    np.testing.assert_allclose(cube, expected, rtol=1e-6)
    assert np.array_equal(cube > 0, expected > 0)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("unit", ["uK", "Jy/sr"])
def test_compiled_loops_round_as_numpy_does(unit, kind):
    """Rows, brightness, map: to the bit what the plain formulas give, whatever part of the halos lies outside."""
    sky, z, z_observed, log10_lum = some_halos(40000, reach=0.8)
    z, z_observed = z.astype(kind), z_observed.astype(kind)
    grid = replace(GRID, unit=unit)
    freq = 115.27 / (1 + z_observed.astype(np.float64))
    low, high, shape = (-0.7, -0.7, grid.freq_min_ghz), (0.7, 0.7, grid.freq_max_ghz), np.array(grid.shape)
    points = np.column_stack([sky, freq])
    place = np.floor((points - low) * (shape / np.subtract(high, low))).astype(int)
    rows = np.flatnonzero(((points >= low) & (points < high)).all(axis=1))
    rows = rows[np.argsort(place[rows, 0], kind="stable")]

    distance = Cosmology().comoving_distance(z.astype(np.float64)) * (1 + z.astype(np.float64))
    x, y = np.radians(1) * sky.T
    solid_angle = (grid.pixel_deg * np.radians(1)) ** 2 * (1 + (x * x + y * y)) ** -1.5
    brightness = JY_PER_LSUN / (distance**2 * grid.channel_ghz * solid_angle)
    if unit == "uK":
        brightness = 1e6 * brightness / intensity_per_kelvin(freq)
    light = 10.0**log10_lum * brightness
    expected = np.histogramdd(points, grid.shape, list(zip(low, high, strict=True)), weights=light)[0]

    halos = SubfieldHalos(sky, z, z_observed, np.arange(len(z)).astype(np.float32))
    field = prepare_field(halos, grid, CENTER, Cosmology())
    assert field.properties[0].tolist() == rows.tolist()
    assert np.array_equal(field.index, place[rows, 1] * grid.channels + place[rows, 2])
    assert np.array_equal(np.diff(field.starts), np.bincount(place[rows, 0], minlength=grid.pixels))
    assert np.array_equal(field.unit_per_lsun, brightness[rows])
    painted = bin_light(field, halo_light(field, log10_lum[rows]).per_halo)
    assert np.array_equal(painted, expected.astype(np.float32))


def test_shot_noise_spectrum_is_white_at_the_analytic_level():
    """Unclustered halos: ⟨|δT_k|²⟩ = Σ T_i² for every mode, T_i each halo's own temperature."""
    grid = Grid(1.4, 32, 32, 26.0, 34.0, 115.27)
    n, measured, expected = 40000, np.zeros((32, 32, 32)), 0.0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        sky, nu = rng.uniform(-0.7, 0.7, (n, 2)), rng.uniform(26, 34, n)
        z, log10_lum = 115.27 / nu - 1, rng.normal(5, 0.2, n)
        # luminosities that cancel the geometry, so that the mean map is flat and only shot noise is left
        log10_lum -= np.log10(brightness_per_lsun(sky, z, nu, grid, Cosmology(), "uK"))
        cube = paint(sky, z, z, log10_lum, grid, CENTER, Cosmology()).astype(np.float64)
        measured += np.abs(np.fft.fftn(cube)) ** 2 / 12
        expected += n * np.exp(2 * (0.2 * math.log(10)) ** 2) * 1e10 / 12  # n ⟨T²⟩ of a log-normal about 1e5
    wave = np.sqrt(sum(k**2 for k in np.meshgrid(*[np.fft.fftfreq(32, 1 / 32)] * 3, indexing="ij")))
    for low, high in ((0.5, 6), (6, 10), (10, 14), (14, 28)):
        shell = (wave >= low) & (wave < high)
        error = 1 / math.sqrt(shell.sum() / 2 * 12)  # a mode and its conjugate are one
        assert measured[shell].mean() / expected == pytest.approx(1, abs=4 * error + 0.01)


def fields(n_subfields: int = 2) -> tuple[Subfields, list]:
    center = np.array([[-0.7 + 1.4 * i, 0.0] for i in range(n_subfields)])
    zeros = np.zeros(n_subfields)
    table = Subfields(
        zeros, zeros > 0, zeros.astype(int), np.arange(n_subfields), center, np.eye(n_subfields) > 0, 1.4, lightcone=7
    )
    halos = []
    for i in range(n_subfields):
        sky, z, z_observed, _ = some_halos(3000, seed=i)
        mass = 10 ** np.random.default_rng(i).uniform(10.4, 12.5, 3000)
        columns = (z.astype(np.float32), z_observed.astype(np.float32), mass.astype(np.float32))
        halos.append((i, SubfieldHalos(sky + center[i], *columns)))
    return table, halos


def painted(settings: MapDataset, keep=lambda halos: halos, seed: int = 5) -> list:
    table, halos = fields()
    return list(paint_subfields(table, keep(halos), "li10", settings, LABELS, GRID, seed))


LI10 = MapDataset(model="li", prior="10%", draws=2)


def test_paint_subfields_rows_labels_and_streams():
    maps = painted(LI10)
    assert [(one.subfield, one.draw) for one in maps] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert len({tuple(one.parameters.values()) for one in maps}) == 4
    for one in maps:
        assert one.cube.dtype == np.float32
        assert one.n_above.shape == (50 + EXTENSION_BINS,)
        assert np.all(np.diff(one.n_above) <= 0)
        assert one.n_above[0] > 0
        assert one.volume_mpc3 == pytest.approx(GRID.volume_mpc3(Cosmology(), (0.7, 0)))  # both mirror images
    # each map hangs on its own key alone: not on the other subfields, not on the number of draws
    alone = painted(LI10.model_copy(update={"draws": 1}), keep=lambda halos: halos[1:])
    assert np.array_equal(alone[0].cube, maps[2].cube)
    assert alone[0].parameters == maps[2].parameters
    assert not np.array_equal(painted(LI10, seed=6)[0].cube, maps[0].cube)


def test_labels_count_the_halos_of_the_map_only():
    """A power law without scatter: counts known from the masses of those halos whose frequency lies in the band."""
    settings = MapDataset(model="breysse", prior="fiducial", draws=1)
    table, halos = fields()
    for one, (_, part) in zip(painted(settings), halos, strict=True):
        nu = 115.27 / (1 + part.redshift_observed.astype(np.float64))
        log10_lum = np.log10(2e-6 * part.mass_msun.astype(np.float64))[(nu >= 26) & (nu < 34)]
        edges = 3.5 + 3.5 / 49 * np.arange(50 + EXTENSION_BINS)
        assert len(log10_lum) < 3000
        assert one.n_above.tolist() == [int(np.count_nonzero(log10_lum >= edge)) for edge in edges]


def test_parameters_are_redrawn_until_the_mean_temperature_fits():
    settings = MapDataset(model="li", prior="full", draws=6, mean_temperature_uk=[1e-5, 1.0])
    for one in painted(settings):
        assert 1e-5 <= one.cube.mean(dtype=np.float64) <= 1.0
    jansky = list(
        paint_subfields(*fields(), "li10", settings, LABELS, Grid(1.4, 16, 8, 26.0, 34.0, 115.27, "Jy/sr"), 5)
    )
    assert [one.parameters for one in jansky] == [
        one.parameters for one in painted(settings)
    ]  # judged in µK all the same


def test_a_range_out_of_reach_is_a_clear_error():
    with pytest.raises(LimelightError, match=r"mean_temperature_uk.*no map in \[10.0, 20.0\]"):
        painted(LI10.model_copy(update={"mean_temperature_uk": [10.0, 20.0]}))


def test_overflow_is_a_clear_error():
    sky, z, z_observed, log10_lum = some_halos(10)
    with pytest.raises(LimelightError, match="too bright for float32"):
        paint(sky, z, z_observed, log10_lum + 60, GRID, CENTER, Cosmology())


def test_a_cut_leaves_out_the_brightest_sources_and_nothing_else():
    for whole, cut in zip(painted(LI10), painted(LI10.model_copy(update={"log10_lum_cut": 5.0})), strict=True):
        edges = 3.5 + 3.5 / 49 * np.arange(50 + EXTENSION_BINS)
        first = np.searchsorted(edges, 5.0 - 1e-9)
        assert cut.n_above[first:].sum() == 0 < whole.n_above[first]
        np.testing.assert_array_equal(cut.n_above[:first], whole.n_above[:first] - whole.n_above[first])
        assert (cut.cube <= whole.cube * (1 + 1e-6)).all()
        assert cut.cube.sum() < whole.cube.sum()
        assert cut.parameters == whole.parameters
