"""Kernels of the exact estimators against automatic differentiation and against finite differences."""

import numpy as np
import pytest
import torch

from limelight.probes.cmb_lensing import kernels, sky
from limelight.probes.cmb_lensing.grid import Grid
from limelight.probes.cmb_lensing.noise import Data
from limelight.probes.cmb_lensing.quadratic import QuadraticEstimator
from limelight.probes.cmb_lensing.wiener import wiener_e
from tests.unit.cmb_toys import fiducial

GRID = Grid(32, 2.34375)
DATA = Data(1.0, beam_fwhm=2.0, lmin=100, lmax=3500)
PIXEL = (20, 9)


def observed() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    maps = sky.simulate(GRID, fiducial(), 1, rng, beam_fwhm=2.0)
    return tuple(one[0] + sky.white_noise(GRID, 1.0, (), rng) for one in (maps.q, maps.u))


def by_autograd(answer) -> list[np.ndarray]:
    q, u = (torch.from_numpy(one).requires_grad_() for one in observed())
    answer(q, u)[PIXEL].backward()
    return [one.grad.numpy() for one in (q, u)]


def test_the_saliency_of_the_wiener_filter_is_its_kernel():
    saliency = by_autograd(lambda q, u: wiener_e(GRID, q, u, fiducial().lensed_ee, DATA))
    for found, exact in zip(saliency, kernels.wiener_kernel(GRID, fiducial().lensed_ee, DATA, PIXEL), strict=True):
        np.testing.assert_allclose(found, exact, atol=1e-9 * np.abs(exact).max())


def test_the_wiener_kernel_turns_by_twice_the_angle():
    """Q ∝ cos 2θ and U ∝ sin 2θ about the pixel: no U along the axes, no Q along the diagonals."""
    along_q, along_u = kernels.wiener_kernel(GRID, fiducial().lensed_ee, DATA, (0, 0))
    steps = np.arange(1, 10)
    np.testing.assert_allclose(along_u[0, steps], 0, atol=1e-12)
    np.testing.assert_allclose(along_q[steps, steps], 0, atol=1e-12)
    np.testing.assert_allclose(along_q[0, steps], -along_q[steps, 0], atol=1e-12)
    assert np.abs(along_q[0, steps]).max() > 0.01


def test_the_saliency_of_the_quadratic_estimator_is_its_kernel():
    estimator = QuadraticEstimator(GRID, fiducial(), fiducial().lensed_ee, DATA)
    saliency = by_autograd(estimator.estimate)
    for found, exact in zip(saliency, kernels.quadratic_kernel(estimator, *observed(), PIXEL), strict=True):
        np.testing.assert_allclose(found, exact, atol=1e-9 * np.abs(exact).max())


def test_radii_of_a_single_pixel_and_of_a_ring():
    point, far = np.zeros((16, 16)), np.zeros((16, 16))
    point[3, 4] = far[3, 12] = far[15, 4] = 2.0  # 8 and, around the edge, 4 pixels away
    assert kernels.mean_radius((point,), (3, 4)) == 0
    assert kernels.mean_radius((far, far), (3, 4)) == pytest.approx(6)
    far[15, 4] = 1.0
    assert kernels.mean_radius((far,), (3, 4), power=2) == pytest.approx((4 * 8 + 4) / 5)
    assert kernels.mean_radius((far,), (3, 4), power=1) == pytest.approx((2 * 8 + 4) / 3)
