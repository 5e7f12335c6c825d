"""Shares of attribution by value, wave and class, against pictures whose shares are known."""

import numpy as np
import pytest

from limelight.data.axes import Axis, OutputAxis
from limelight.data.shard import Header
from limelight.saliency import shares

SQUARE = Header(
    "gaussian_field", (Axis("x", "pixel", 0, 16, 16), Axis("y", "pixel", 0, 16, 16)), ("field",), "1", {}, {}
)


def test_shares_by_value_are_those_of_the_pixels_where_nothing_is_known_of_them():
    values = np.random.default_rng(1).standard_normal((4, 2, 32, 32))
    flat = shares.normalised(np.ones_like(values))
    found, pixels = shares.by_value(flat, values)
    assert 2 * found == pytest.approx(pixels)
    edges = np.array(shares.VALUE_EDGES)
    high = shares.normalised(np.where(values > 3.2 * values.std(), 1.0, 0.0))
    found, _ = shares.by_value(high, values)
    assert found[:, edges[:-1] < 2.5].sum() == 0 < found.sum()


def test_a_wave_is_found_at_its_wave_number_and_direction():
    x = np.arange(16)
    for k, axis, bin_of in ((3, 0, 0), (5, 1, shares.DIRECTIONS // 2)):
        wave = np.cos(2 * np.pi * k * x / 16)
        field = wave[:, None] * np.ones(16) if axis == 0 else np.ones(16)[:, None] * wave
        size, direction = shares.by_wave(field[None, None], SQUARE)
        found = shares.waves(SQUARE.axes)
        assert found.edges[size.argmax()] <= 2 * np.pi * k / 16 < found.edges[size.argmax() + 1]
        assert (size.max(), direction[bin_of]) == pytest.approx((1, 1))
    count, turns = shares.modes(SQUARE)
    noise = np.random.default_rng(2).standard_normal((400, 1, 16, 16))
    size, direction = shares.by_wave(noise, SQUARE)
    assert size == pytest.approx(count, rel=0.1)
    assert direction == pytest.approx(turns, rel=0.1)


def test_waves_on_the_sky_are_multipoles():
    """A wave of one degree has ℓ = 360."""
    axes = (Axis("x", "deg", -4, 4, 64), Axis("y", "deg", -4, 4, 64), Axis("frequency", "GHz", 26, 34, 10))
    sky = Header("line_intensity", axes, ("line",), "uK", {}, {})
    wave = np.cos(2 * np.pi * np.arange(64) / 8)[:, None, None] * np.ones((64, 64, 10))
    size, _ = shares.by_wave(wave[None, None], sky)
    found = shares.waves(axes)
    assert "ℓ" in found.label
    assert found.edges[size.argmax()] <= 360 < found.edges[size.argmax() + 1]


def test_attribution_falls_on_the_classes_that_hold_the_pixels():
    weights = np.zeros((2, 3, 1, 4, 4))
    weights[:, 0, :, :2], weights[:, 1, :, 2:] = 1.0, 0.25
    classes = shares.PixelClasses(OutputAxis("kind", names=("a", "b", "c")), weights)
    found = shares.by_class(shares.normalised(np.ones((2, 1, 4, 4))), classes)
    assert found == pytest.approx([0.5, 0.125, 0])
