"""Clustering measured in a light-cone, against fields of known power, bias, distortion and counts in a cone's volume."""

import numpy as np
import pytest
from scipy import fft

from limelight.cosmology import SPEED_OF_LIGHT_KMS, Cosmology
from limelight.halos import cone_clustering
from limelight.halos.catalogue import HaloCatalogue
from limelight.halos.cone_clustering import (
    cone_cell_rows,
    cone_clustering_rows,
    cone_mesh,
    expected_power,
    inscribed_box,
    jackknifed,
    make_band,
    mean_counts,
    measured_power,
    power_jackknife,
    power_scatter,
    shell_sum,
)
from limelight.halos.massfunction import halo_bias, mass_function
from limelight.probes.line_intensity.maps.one_point import jackknifed_one_point, one_point, quarter_sums


class LongWaves(Cosmology):
    """The universe without short waves: density contrasts stay small, so that linear theory is the whole truth."""

    def linear_power(self, k: np.ndarray) -> np.ndarray:
        return PLAIN.linear_power(k) * np.exp(-((10 * np.asarray(k)) ** 2))

    def sigma(self, mass_msun: np.ndarray) -> np.ndarray:
        return PLAIN.sigma(mass_msun)

    def log_sigma_slope(self, mass_msun: np.ndarray) -> np.ndarray:
        return PLAIN.log_sigma_slope(mass_msun)


PLAIN, COSMOLOGY = Cosmology(), LongWaves()
GEOMETRY = {"field_deg": 2.8, "redshift_min": 2.5, "redshift_max": 3.2, "mass_min_msun": 1e11}
DEX = 0.5
SIDE, CELL = (480, 480, 1000), 5.0  # of the planted fields, Mpc


@pytest.fixture(scope="module")
def mesh():
    return cone_mesh(GEOMETRY, COSMOLOGY)


def planted(rng: np.random.Generator, clustered: bool, moving: bool = False) -> HaloCatalogue:
    """Poisson points of a Gaussian field of linear power times Tinker's bias, evolving along the cone; or of no field.

    moving: with linear velocities.
    """
    near, far = (float(COSMOLOGY.comoving_distance(GEOMETRY[f"redshift_{end}"])) for end in ("min", "max"))
    shape = tuple(int(side / CELL) for side in SIDE)
    masses = np.logspace(11, 11 + DEX, 41)
    grid = np.linspace(near - 50, far + 100, 13)
    z = COSMOLOGY.redshift_at(grid)
    weights = np.array([mass_function(masses, each, COSMOLOGY, "tinker08") for each in z])
    density = np.trapezoid(weights, np.log(masses), axis=1)
    bias = np.array([np.average(halo_bias(masses, z[i], COSMOLOGY), weights=weights[i]) for i in range(len(z))])
    growth, rate = COSMOLOGY.growth(z), COSMOLOGY.growth_rate(z)
    corner = np.array([-SIDE[0] / 2, -SIDE[1] / 2, near - 40])
    depth = corner[2] + (np.arange(shape[2]) + 0.5) * CELL
    field, speed = np.zeros(shape), np.zeros(shape)
    if clustered:
        k = np.stack(np.meshgrid(*[2 * np.pi * fft.fftfreq(n, CELL) for n in shape[:2]],
                                 2 * np.pi * fft.rfftfreq(shape[2], CELL), indexing="ij"))  # fmt: skip
        squared = (k**2).sum(axis=0)
        squared[0, 0, 0] = 1
        across, along = np.sinc(fft.fftfreq(shape[0])), np.sinc(fft.rfftfreq(shape[2]))
        cells = (across[:, None, None] * across[:, None] * along) ** 2  # points are even inside a cell
        power = COSMOLOGY.linear_power(np.sqrt(squared))
        power[0, 0, 0] = 0
        modes = fft.rfftn(rng.standard_normal(shape)) * np.sqrt(power / CELL**3)
        speed = fft.irfftn(1j * k[2] / squared * modes, shape)  # displacement along z of linear theory, today
        field = fft.irfftn(modes / np.sqrt(cells), shape)
    mean = np.interp(depth, grid, density) * CELL**3
    numbers = rng.poisson(mean * np.maximum(1 + field * np.interp(depth, grid, bias * growth), 0))
    cell = np.repeat(np.arange(numbers.size), numbers.ravel())
    place = np.stack(np.unravel_index(cell, shape), 1) + rng.random((len(cell), 3))
    position = corner + place * CELL
    distance = np.linalg.norm(position, axis=1)
    redshift = COSMOLOGY.redshift_at(distance)
    seen = redshift.copy()
    if moving:
        shift = speed.ravel()[cell] * np.interp(distance, grid, growth * rate)
        seen += shift * COSMOLOGY.hubble(redshift) / SPEED_OF_LIGHT_KMS
    columns = position, np.zeros_like(position), np.full(len(cell), 2e11), redshift, seen
    return HaloCatalogue(*(c.astype(np.float32) for c in columns), COSMOLOGY, GEOMETRY)


@pytest.fixture(scope="module")
def linear_halos():
    return planted(np.random.default_rng(3), clustered=True, moving=True)


def ratio_and_error(mesh, halos, k_max=0.1):
    counts = mesh.counts(halos.position_mpc)
    band = make_band(mesh, counts, 11.0, DEX, "tinker08")
    shell = mesh.shell(k_max)
    expected = expected_power(mesh, band.mean * band.bias * band.growth)
    ratio = shell_sum(mesh, measured_power(mesh, counts, band.mean), shell) / shell_sum(mesh, expected, shell)
    return ratio, power_scatter(mesh, band, shell)


def test_cells_inside_are_inside(mesh):
    """Random points of the cells kept lie in the cone, and the cells fill most of it: the volume has a closed form."""
    rng = np.random.default_rng(1)
    cells = np.argwhere(mesh.inside)
    points = mesh.corner_mpc + (cells[rng.integers(len(cells), size=50_000)] + rng.random((50_000, 3))) * mesh.cell_mpc
    half = np.radians(1.4)
    assert np.all(np.abs(points[:, :2]) <= half * points[:, 2:])
    near, far = COSMOLOGY.comoving_distance(np.array([2.5, 3.2]))
    distance = np.linalg.norm(points, axis=1)
    assert near <= distance.min()
    assert distance.max() <= far
    whole = 4 * np.arctan(half**2 / np.sqrt(1 + 2 * half**2)) * (far**3 - near**3) / 3
    assert 0.95 < mesh.inside.sum() * mesh.cell_mpc**3 / whole < 1


def test_bias_of_a_field_of_known_power(mesh, linear_halos):
    """Power seen through the cone's window, with growth and evolving bias, is what was planted."""
    ratio, error = ratio_and_error(mesh, linear_halos)
    assert 0.01 < error < 0.12
    assert ratio == pytest.approx(1, abs=2.5 * error)


def test_poisson_points_have_no_power_and_no_variance(mesh):
    halos = planted(np.random.default_rng(4), clustered=False)
    ratio, error = ratio_and_error(mesh, halos)
    assert abs(ratio) < 3 * error
    corner, shape = inscribed_box(GEOMETRY, COSMOLOGY, 2.9)
    box = corner + np.random.default_rng(5).random((200_000, 3)) * np.array(shape) * 8.0
    yardstick = box - corner, np.ones(len(box)), float(min(shape) * 8)
    halos.mass_msun[:] = np.random.default_rng(6).random(len(halos)) + 1
    rows, _ = cone_cell_rows(halos, yardstick, 2.9)
    variances = [row for row in rows if "variance" in row.quantity]
    assert variances
    for row in variances:
        assert abs(row.measured) < 4 * row.error
        assert row.error < 0.2
    empty = [row for row in rows if "empty" in row.quantity]
    for row in empty:
        density = float(row.case.split()[0])
        assert row.measured == pytest.approx(np.exp(-density * row.at**3), abs=0.01)


def test_errors_are_the_scatter_of_poisson_fields(mesh):
    """Shot noise alone: the power of forty draws of a mean number scatters as the error says, about zero."""
    rng = np.random.default_rng(7)
    band = make_band(mesh, rng.poisson(np.full(mesh.inside.sum(), 0.02)).astype(float), 11.0, DEX, "tinker08")
    shell = mesh.shell(0.1)
    found = []
    for _ in range(40):
        counts = rng.poisson(band.mean).astype(float)
        found.append(shell_sum(mesh, measured_power(mesh, counts, band.mean), shell))
    signal = shell_sum(mesh, expected_power(mesh, band.mean * band.bias * band.growth), shell)
    quiet = power_scatter(mesh, band, shell) ** 2 - 2 / effective_waves(mesh, shell, band)
    assert np.std(found) / signal == pytest.approx(np.sqrt(quiet), rel=0.4)
    assert abs(np.mean(found)) < 4 * np.std(found) / 40**0.5


def test_jackknife_of_gaussian_waves_agrees_with_their_count(mesh, linear_halos):
    """In a field of independent waves leaving out parts finds what counting does, as well as eight parts can tell."""
    band = make_band(mesh, mesh.counts(linear_halos.position_mpc), 11.0, DEX, "tinker08")
    shells = [mesh.shell(k) for k in (0.06, 0.1)]
    for error, shell in zip(power_jackknife(mesh, band, shells), shells, strict=True):
        assert error / power_scatter(mesh, band, shell) == pytest.approx(1, abs=0.7)


def effective_waves(mesh, shell, band):
    """2 / the cosmic variance, of noiseless power, by the textbook: independent waves in the volume ∫n²·∫n² / ∫n⁴."""
    k, _, number = (values[shell] for values in mesh.waves)
    weight = (band.mean * band.bias * band.growth) ** 2
    power = mesh.power[shell]
    share = np.sum(weight**2) * mesh.inside.size / weight.sum() ** 2
    return np.sum(number * power) ** 2 / (np.sum(number * power**2) * share)


def test_planted_kaiser_squashing(linear_halos, monkeypatch):
    """Linear velocities along the line of sight give Kaiser's quadrupole; halos at rest give none."""
    monkeypatch.setattr(cone_clustering, "KAISER_K", 0.1)  # short of where displacements blur this field
    rows, _ = cone_clustering_rows(linear_halos, "tinker08", DEX)
    moving = [row for row in rows if row.quantity == "redshift space"]
    assert len(moving) == 2
    for row in moving:
        assert row.measured == pytest.approx(row.expected, abs=3 * row.error)
    assert moving[0].expected > 0.3
    still = HaloCatalogue(**{**linear_halos.__dict__, "redshift_observed": linear_halos.redshift})
    rows, _ = cone_clustering_rows(still, "tinker08", DEX)
    quadrupole, monopole = (row for row in rows if row.quantity == "redshift space")
    assert abs(quadrupole.measured) < 0.2 * quadrupole.expected
    assert monopole.measured == pytest.approx(1, abs=0.02)


def test_mean_counts_keep_total_and_tilt():
    rng = np.random.default_rng(8)
    distance = np.linspace(5000, 6000, 5000)
    true = 3 * np.exp(-(distance - 5000) / 400)
    counts = rng.poisson(true).astype(float)
    fit = mean_counts(counts, np.full(5000, 0.1), distance)
    assert fit.sum() == pytest.approx(counts.sum(), rel=1e-9)
    assert fit @ distance == pytest.approx(counts @ distance, rel=1e-9)
    assert np.abs(fit / true - 1).max() < 0.12


def test_jackknife_of_independent_cells_is_the_error_of_a_mean():
    counts = np.random.default_rng(9).poisson(1.0, (30, 30, 30))
    found, error = jackknifed(counts)
    share = np.exp(-1.0)
    assert found.empty == pytest.approx(share, abs=4 * error.empty)
    assert error.empty == pytest.approx(np.sqrt(share * (1 - share) / counts.size), rel=0.4)


@pytest.mark.parametrize(
    ("field", "words"), [(1.2, "counts in cells"), (0.3, "the light-cone is small"), (0.05, "no cell of 5 Mpc")]
)
def test_narrow_cones_leave_out_what_they_cannot_tell(field, words):
    """A cone too narrow for cells or waves gives no such rows, and says so."""
    geometry = GEOMETRY | {"field_deg": field, "redshift_min": 2.85, "redshift_max": 2.95}
    near, far = COSMOLOGY.comoving_distance(np.array([2.85, 2.95]))
    rng = np.random.default_rng(10)
    half = np.radians(field / 2)
    distance = rng.uniform(near, far, 3000)
    position = np.stack([*(half * rng.uniform(-1, 1, (2, 3000)) * distance), distance], 1)
    redshift = COSMOLOGY.redshift_at(distance)
    columns = position, 0 * position, np.full(3000, 2e11), redshift, redshift
    halos = HaloCatalogue(*(c.astype(np.float32) for c in columns), COSMOLOGY, geometry)
    clustering, left_out = cone_clustering_rows(halos, "tinker08")
    cells, more = cone_cell_rows(halos, (position, columns[2], 320.0), 2.9)
    assert words in " ".join(left_out + more)
    assert not cells
    assert all(np.isfinite(row[2:6]).all() for row in clustering)


def test_one_point_function_of_known_voxels():
    """An exponential distribution: rms = mean, skewness 2, 99th percentile ln 100; errors those of a mean."""
    cube = np.random.default_rng(11).exponential(2.0, (64, 64, 50))
    sums = np.concatenate([quarter_sums(part) for part in np.split(cube, 4)])
    found, error = jackknifed_one_point(sums)
    assert found.mean == pytest.approx(cube.mean(), rel=1e-9)
    assert found.rms == pytest.approx(2, rel=0.02)
    assert found.skewness == pytest.approx(2, rel=0.05)
    assert found.percentile == pytest.approx(2 * np.log(100), rel=0.01)
    assert error.mean == pytest.approx(2 / cube.size**0.5, rel=0.5)
    assert found.share.sum() == pytest.approx(np.mean(cube >= 1e-4), abs=1e-6)
    assert one_point(sums[::-1]).percentile == found.percentile
