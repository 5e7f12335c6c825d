"""The generator's compiled loops against numpy, scipy and torch."""

import zlib

import numpy as np
import pytest
import torch
from scipy.interpolate import RegularGridInterpolator

from limelight.compiled import compiled_exactly
from limelight.halos.catalogue import _compressed
from limelight.halos.draw import FLATTEST, STEEPEST, place_in_cells, sum_rates
from limelight.halos.generator import interpolate
from limelight.halos.kernels import cell_rates, cell_slopes, find_cells, keep_inside, look_up
from limelight.matter.fourier import irfftn, rfftn

RNG = np.random.default_rng(5)


@pytest.mark.parametrize("rising", [True, False])
def test_cells_are_numpys(rising):
    """In any order, on steps of equal sums (empty cells and rows), and beyond both ends."""
    rates = (RNG.random((100, 50)) * (RNG.random((100, 50)) < 0.5)).astype(np.float32)
    rates[[0, 40, 41, 99]] = 0
    running = np.cumsum(rates, dtype=np.float64)
    wanted = np.concatenate(
        [RNG.random(20_000) * running[-1], running[::50], [0.0, -1.0, running[-1], 2 * running[-1]]]
    )
    wanted = np.sort(wanted) if rising else RNG.permutation(wanted)
    found = np.empty(len(wanted), np.int64)
    compiled_exactly(find_cells)(rates, running[49::50].copy(), wanted, found)
    np.testing.assert_array_equal(found, np.minimum(np.searchsorted(running, wanted, side="right"), len(running) - 1))


def test_sums_of_rates_are_numpys():
    log_rates = torch.from_numpy(RNG.standard_normal((5, 20, 1000), dtype=np.float32))
    cells = sum_rates(log_rates)
    assert cells.rates.equal(log_rates.exp().view(100, 1000))
    np.testing.assert_array_equal(cells.sums.numpy(), np.cumsum(cells.rates.numpy(), dtype=np.float64)[999::1000])


@pytest.mark.parametrize("power", [1, 8])
def test_looked_up_values_are_numpys_interpolation(power):
    """To the bit, also where most known places lie close together or at the same place, and at both ends."""
    known = np.sort(RNG.random(26) ** power)
    known[10] = known[11]
    values = np.sort(RNG.random(26))
    x = np.concatenate([RNG.random(10_000) * (known[-1] - known[0]) + known[0], known])
    found = np.empty(len(x))
    compiled_exactly(look_up)(x, known, values, found)
    np.testing.assert_array_equal(found, np.interp(x, known, values))


@pytest.mark.parametrize("tilt", [0.0, 0.8])
def test_rates_are_the_formula(tilt):
    density = RNG.standard_normal((3, 4, 5)).astype(np.float32)
    lateral, depth = RNG.random((4, 5), dtype=np.float32), RNG.random(3, dtype=np.float32)
    expected = -0.7 - 0.5 * (0.3 - 1.2 * density.astype(float)) ** 2 + lateral + depth[:, None, None]
    if tilt:
        expected += np.log(np.maximum(0.4 - tilt * density.astype(float), 1e-12))
    terms = (0.4, tilt, 1e-12, 1.2, 0.3, 0.5, -0.7)
    compiled_exactly(cell_rates)(density, *map(np.float32, terms), lateral, depth)
    np.testing.assert_allclose(density, expected, atol=2e-6, rtol=1e-6)
    assert (expected < -20).any() == bool(tilt)  # cells without halos


def test_slopes_are_numpys_gradient():
    """Along each axis, one-sided at the ends; kept within the steepest, and off 0."""
    log_rates = (3 * RNG.standard_normal((4, 6, 8))).astype(np.float32)
    log_rates[2, 3] = 1.0  # no slope along x
    chosen = RNG.permutation(log_rates.size)
    slope, cell = np.empty((2, 3, len(chosen)), np.float32)
    bounds = np.float32(STEEPEST), np.float32(FLATTEST)
    compiled_exactly(cell_slopes)(log_rates, chosen, *bounds, slope, cell)
    np.testing.assert_array_equal(cell, np.stack(np.unravel_index(chosen, log_rates.shape))[::-1])
    for axis, found in enumerate(slope):
        expected = np.gradient(log_rates.astype(float), axis=2 - axis).reshape(-1)[chosen].clip(-STEEPEST, STEEPEST)
        flat = np.abs(expected) < FLATTEST
        np.testing.assert_allclose(found[~flat], expected[~flat], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found[flat], expected[flat] + FLATTEST, rtol=1e-5)
    assert np.count_nonzero(slope == np.float32(FLATTEST)) >= 8


def test_places_in_a_cell_follow_its_slope():
    """A slope of 1 a cell: the mean place of an exponential between -1/2 and 1/2 is coth(1/2)/2 - 1."""
    log_rates = torch.arange(9.0).expand(3, 3, 9).contiguous()
    place = torch.from_numpy(RNG.random((3, 200_000), dtype=np.float32))
    place_in_cells(place, torch.full((200_000,), 13 * 3 + 1), log_rates)  # x 4, y 1, z 1
    assert place[0].mean().item() == pytest.approx(4 + 0.5 / np.tanh(0.5) - 1, abs=3e-3)
    assert place[1:].mean(dim=1).numpy() == pytest.approx([1, 1], abs=3e-3)


def test_displacements_are_trilinear():
    block = torch.from_numpy(RNG.standard_normal((5, 7, 9, 6), dtype=np.float32))
    place = torch.from_numpy(RNG.random((3000, 3), dtype=np.float32) * np.float32([10.0, 8.0, 6.0]) - 1.5)
    inside = (place.double() + 1).clamp(min=torch.zeros(3), max=torch.tensor([8.0, 6.0, 4.0]))
    linear = RegularGridInterpolator([np.arange(n) for n in block.shape[:3]], block.double().numpy())
    np.testing.assert_allclose(interpolate(block, place), linear(inside.numpy()[:, ::-1]), atol=2e-5)


def test_columns_of_the_halos_that_stay():
    """Only those inside, in their order; velocities, redshifts and their Doppler shifts by hand."""
    n, half_width, near, far = 4000, 0.05, 5950.0, 6050.0
    position = (RNG.uniform(-1, 1, (n, 3)) * [400, 400, 100] + [0, 0, 6000]).astype(np.float32)
    mass, first, second = RNG.random((3, n), dtype=np.float32)
    psi = RNG.standard_normal((n, 6), dtype=np.float32)
    coefficients = np.array([2.9, 0.05, -2e-3, 1e-4, 0.0, 1e-5])
    columns = [np.empty((n, *shape), np.float32) for shape in ((3,), (3,), (), (), ())]
    curve = coefficients, 6000.0, 1 / 120
    kept = compiled_exactly(keep_inside)(
        position, mass, psi[:, :3], psi[:, 3:], first, second, *curve, half_width, near, far, 299792.458, *columns
    )
    distance = np.linalg.norm(position.astype(float), axis=1)
    inside = (np.abs(position[:, :2]) <= half_width * position[:, 2:].astype(float)).all(axis=1)
    inside &= (distance >= near) & (distance <= far)
    assert 300 < kept == np.count_nonzero(inside) < n
    velocity = psi[:, :3] * first[:, None].astype(float) + psi[:, 3:] * second[:, None].astype(float)
    redshift = np.polynomial.polynomial.polyval((distance - 6000) / 120, coefficients)
    shift = (1 + redshift) * np.sum(position * velocity, axis=1) / distance / 299792.458
    for found, expected in zip(columns, (position, velocity, mass, redshift, redshift + shift), strict=True):
        np.testing.assert_allclose(found[:kept], expected[inside], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("rows", [3000, 4500])
def test_packed_columns_are_a_gzip_stream(rows):
    """Half stored, half packed, and a checksum that zlib accepts; the rest of a last chunk is zeros."""
    values = RNG.lognormal(25, 1, (3000, 3)).astype("<f4")
    packed = _compressed(values, rows)
    plain = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(4, -1).T.reshape(-1).view("<f4").reshape(-1, 3)
    np.testing.assert_array_equal(plain[:3000], values)
    assert len(plain) == rows
    assert not plain[3000:].any()
    assert len(packed) < 0.9 * plain.nbytes


@pytest.mark.parametrize("shape", [(30, 20, 24), (7, 5, 9), (16, 36)])
def test_transforms_are_torchs_to_the_bit(shape):
    modes = torch.fft.rfftn(torch.from_numpy(RNG.standard_normal(shape, dtype=np.float32)))
    expected = torch.fft.irfftn(modes, s=shape)
    assert irfftn(modes, shape).equal(expected)
    assert rfftn(expected).equal(torch.fft.rfftn(expected))
