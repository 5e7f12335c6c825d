"""Simulated skies of CMB lensing against CAMB, and the signs of polarisation and deflection against plain sums."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from limelight.errors import LimelightError
from limelight.probes.cmb_lensing import sky
from limelight.probes.cmb_lensing.grid import Grid, cross_power, eb_from_qu, filtered, qu_from_eb
from limelight.probes.cmb_lensing.spectra import FIDUCIAL, Parameters, draw_parameters
from tests.unit.cmb_toys import fiducial, lensed_in_a_box

GRID = Grid(64, 2.34375)
EDGES = np.array([200, 1000, 2000, 3500])


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_wave_along_x_is_pure_q_and_along_the_diagonal_pure_u():
    """E > 0 of a wave along x gives Q = E; along x = y gives U = E: φ_l is 0 and 45°."""
    x = 2 * np.pi * 3 * np.arange(64) / 64
    along_x = np.cos(x)[None, :] * np.ones((64, 1))
    q, u = qu_from_eb(GRID, along_x, np.zeros((64, 64)))
    np.testing.assert_allclose(q, along_x, atol=1e-12)
    np.testing.assert_allclose(u, 0, atol=1e-12)
    diagonal = np.cos(x[:, None] + x[None, :])
    q, u = qu_from_eb(GRID, diagonal, np.zeros((64, 64)))
    np.testing.assert_allclose(q, 0, atol=1e-12)
    np.testing.assert_allclose(u, diagonal, atol=1e-12)
    q, u = qu_from_eb(GRID, np.zeros((64, 64)), diagonal)
    np.testing.assert_allclose(q, -diagonal, atol=1e-12)


def test_e_and_b_come_back_from_q_and_u_in_numpy_and_torch():
    e, b = (sky.simulate(GRID, fiducial(), 2, rng(seed)).e for seed in (1, 2))
    q, u = qu_from_eb(GRID, e, b)
    for found, true in zip(eb_from_qu(GRID, q, u), (e, b), strict=True):
        np.testing.assert_allclose(found, true, atol=1e-10)
    found = eb_from_qu(GRID, torch.from_numpy(q).float(), torch.from_numpy(u).float())
    assert found[0].dtype == torch.float32
    np.testing.assert_allclose(found[1].numpy(), b, atol=1e-4)


def test_remapping_is_the_sum_over_modes_at_the_landing_points():
    small = Grid(8, 2.34375)
    field = rng().standard_normal((8, 8)) + 1j * rng(1).standard_normal((8, 8))
    modes = np.fft.fft2(field) * small.usable
    alpha = small.pixel * (rng(2).standard_normal((8, 8)) + 1j * rng(3).standard_normal((8, 8)))
    place = np.arange(8) * small.pixel
    y, x = place[:, None] + alpha.imag, place[None, :] + alpha.real
    waves = np.exp(1j * (small.ly[..., None, None] * y + small.lx[..., None, None] * x))  # (ly, lx, y, x)
    plain = np.einsum("ab,abyx->yx", modes, waves) / 64
    np.testing.assert_allclose(sky.remap(small, modes, alpha), plain, atol=1e-8)
    other = rng(4).standard_normal((8, 8)) + 1j * rng(5).standard_normal((8, 8))
    there, back = (
        np.vdot(other, sky.remap(small, modes, alpha)),
        np.vdot(sky.remap_transposed(small, other, alpha), modes),
    )
    np.testing.assert_allclose(there, back, rtol=1e-7)


def test_the_deflection_points_up_the_gradient_of_phi():
    """φ = cos(kx) gives α_x = −k sin(kx) and κ = k² cos(kx)/2."""
    k = 4 * 2 * np.pi / GRID.side
    x = np.arange(64) * GRID.pixel
    kappa = np.broadcast_to(k**2 * np.cos(k * x) / 2, (64, 64))
    alpha = sky.deflection(GRID, np.fft.fft2(kappa))
    np.testing.assert_allclose(alpha.real, np.broadcast_to(-k * np.sin(k * x), (64, 64)), atol=1e-9 * k)
    np.testing.assert_allclose(alpha.imag, 0, atol=1e-9 * k)


def over_theory(grid: Grid, maps: np.ndarray, theory: np.ndarray) -> np.ndarray:
    """Power over theory, mode by mode, and the mean of it over maps in bins of ℓ."""
    known = grid.sample(theory)
    white = filtered(grid, maps, np.where(known > 0, 1 / np.sqrt(np.where(known > 0, known, 1)), 0))
    return cross_power(grid, white, white, EDGES).mean(axis=0)


@pytest.mark.parametrize(("n", "close_bb"), [(60, 0.04), pytest.param(1000, 0.01, marks=pytest.mark.slow)])
def test_lensed_spectra_are_those_of_camb(n, close_bb):
    """EE within 0.3 % (beside the unlensed E of the same maps), BB within 1 %, of φ without waves longer than the box."""
    grid = Grid(128, 2.34375)
    spectra = fiducial()
    maps = sky.simulate(grid, spectra, n, rng(3))
    e, b = eb_from_qu(grid, maps.q, maps.u)
    lensed_ee, lensed_bb = lensed_in_a_box(spectra, 0.75 * 2 * np.pi / grid.side)
    lensing = over_theory(grid, e, lensed_ee) / over_theory(grid, maps.e, spectra.ee)
    np.testing.assert_allclose(lensing, 1, atol=3e-3)
    np.testing.assert_allclose(over_theory(grid, b, lensed_bb), 1, atol=close_bb)
    np.testing.assert_allclose(over_theory(grid, maps.kappa, spectra.kappa), 1, atol=close_bb)


def test_lensing_and_back_removes_b():
    spectra, fine = fiducial(), Grid(128, 2.34375 / 2)
    maps = sky.simulate(fine, spectra, 1, rng(4), oversample=1)
    q, u = sky.delens(fine, maps.q[0], maps.u[0], maps.kappa[0])
    before, after = (eb_from_qu(fine, *one)[1].var() for one in ((maps.q[0], maps.u[0]), (q, u)))
    assert after < 1e-3 * before
    again = sky.lens(fine, *(one[0] for one in qu_from_eb(fine, maps.e, 0 * maps.e)), maps.kappa[0])
    np.testing.assert_allclose(again[0], maps.q[0], atol=1e-3)


def test_without_lensing_there_is_no_b():
    flat = replace(fiducial(), phi=np.zeros_like(fiducial().phi))
    maps = sky.simulate(GRID, flat, 1, rng())
    e, b = eb_from_qu(GRID, maps.q, maps.u)
    np.testing.assert_allclose(e, maps.e, atol=1e-6)
    np.testing.assert_allclose(b, 0, atol=1e-6)
    assert not maps.kappa.any()


def test_patches_do_not_depend_on_how_many_are_drawn_together():
    stream = rng(5)
    apart = [sky.simulate(GRID, fiducial(), 1, stream) for _ in range(2)]
    together = sky.simulate(GRID, fiducial(), 2, rng(5))
    for one, two in zip(apart[1], together, strict=True):
        np.testing.assert_array_equal(one[0], two[1])


def test_the_beam_acts_on_q_and_u_alone():
    wide, sharp = (sky.simulate(GRID, fiducial(), 1, rng(6), beam_fwhm=fwhm) for fwhm in (8.0, 0.0))
    np.testing.assert_array_equal(wide.e, sharp.e)
    ratio = np.fft.fft2(wide.q)[0, 0, 5] / np.fft.fft2(sharp.q)[0, 0, 5]
    sigma = 8.0 / np.sqrt(8 * np.log(2)) * np.pi / 10800
    at = 5 * 2 * np.pi / (64 * 2.34375 * np.pi / 10800)
    np.testing.assert_allclose(ratio, np.exp(-0.5 * (at * sigma) ** 2), rtol=1e-6)


def test_a_margin_gives_edges_that_do_not_fit_one_another():
    maps = sky.simulate(Grid(32, 2.34375), fiducial(), 40, rng(7), margin=32)
    assert maps.q.shape == (40, 32, 32)
    steps_inside = np.diff(maps.q, axis=-1).std()
    assert (maps.q[..., 0] - maps.q[..., -1]).std() > 2 * steps_inside


def test_noise_has_its_stated_power():
    noise = sky.white_noise(GRID, 5.0, (200,), rng(8)), sky.white_noise(GRID, 5.0, (200,), rng(9))
    e, b = eb_from_qu(GRID, *noise)
    for one in (e, b):
        found = cross_power(GRID, one, one, np.array([200, 4500])).mean()
        assert found == pytest.approx(sky.noise_power(5.0), rel=0.01)


def test_the_taper_is_flat_inside_and_falls_to_the_edges():
    mask = sky.taper(Grid(128, 2.34375), 1.5)
    assert mask[64, 64] == 1
    assert mask[0].max() < 1e-3
    assert mask[64, 19] == pytest.approx(0.5, abs=0.05)  # 0.75 degrees from the edge
    np.testing.assert_array_equal(mask, mask.T)
    with pytest.raises(LimelightError, match=r"taper: found a width of 1\.5 degrees on a patch of 2\.5"):
        sky.taper(GRID, 1.5)


def test_parameters_are_drawn_between_their_bounds_or_fixed():
    low, high = replace(FIDUCIAL, omch2=0.11), replace(FIDUCIAL, omch2=0.13)
    drawn = [draw_parameters(low, high, rng(seed)) for seed in range(20)]
    assert {one.h for one in drawn} == {FIDUCIAL.h}
    assert all(0.11 <= one.omch2 <= 0.13 for one in drawn)
    assert len({one.omch2 for one in drawn}) == 20
    assert isinstance(drawn[0], Parameters)
