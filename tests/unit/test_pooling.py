"""Block sums against loops, and the logs against their definitions, in numpy and torch."""

import math

import numpy as np
import pytest
import torch

from limelight.errors import LimelightError
from limelight.probes.line_intensity.maps.pooling import TRANSFORMS, pool, transform


def test_pool_sums_blocks():
    cube = np.random.default_rng(1).normal(size=(12, 8, 10))
    pooled = pool(cube, 4, 5)
    assert pooled.shape == (3, 2, 2)
    for i, j, k in np.ndindex(3, 2, 2):
        block = cube[4 * i : 4 * i + 4, 4 * j : 4 * j + 4, 5 * k : 5 * k + 5]
        assert pooled[i, j, k] == pytest.approx(math.fsum(block.ravel()), abs=1e-12)


def test_pool_is_the_same_on_torch_and_batches():
    cube = np.random.default_rng(2).normal(size=(3, 8, 8, 6)).astype(np.float32)
    pooled = pool(cube, 2, 3)
    assert pooled.dtype == np.float32
    np.testing.assert_allclose(pool(torch.from_numpy(cube), 2, 3).numpy(), pooled, rtol=1e-5, atol=1e-6)
    assert np.array_equal(pool(cube[1], 2, 3), pooled[1])
    assert pool(cube, 1, 1) is cube


def test_pool_refuses_what_does_not_divide():
    with pytest.raises(LimelightError, match="pooling along y"):
        pool(np.zeros((8, 9, 4)), 2, 1)


T = np.array([-30.0, -1.0, 0.0, 1e-3, 1.0, 150.0, 4000.0])


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("none", T, T),
        ("log10_offset", T[2:], [0.0, math.log10(1.001e-3) + 6, math.log10(1.000001) + 6, 8.176091262, 9.602059991]),
        ("signed_log", T, [math.copysign(math.log10(1 + abs(t) / 3), t) for t in T]),
        ("asinh", T, [math.asinh(t / 3) for t in T]),
    ],
)
def test_transforms_by_definition(name, values, expected):
    np.testing.assert_allclose(transform(values, name, 3.0), expected, rtol=1e-8, atol=1e-9)
    tensor = torch.from_numpy(values.astype(np.float32))
    np.testing.assert_allclose(transform(tensor, name, 3.0).numpy(), expected, rtol=1e-5, atol=1e-5)


def test_zero_stays_zero_in_float32():
    zero = torch.zeros(3)
    for name in TRANSFORMS:
        assert transform(zero, name, 3.0).abs().max() < 1e-6


def test_the_notes_signed_log_has_scale_one():
    assert transform(np.array([-9.0, 99.0]), "signed_log", 1.0) == pytest.approx([-1.0, 2.0])


def test_negative_temperatures_have_no_log10_offset():
    assert np.isnan(transform(torch.tensor([-1.0]), "log10_offset").item())
    assert [name for name, t in TRANSFORMS.items() if not t.negative] == ["log10_offset"]


def test_unknown_transform():
    with pytest.raises(LimelightError, match="log10_offset"):
        transform(T, "ln")
