"""Luminosity functions against brute force, numpy's histogram and closed forms."""

import numpy as np
import pytest
import torch
from scipy.special import gammaincc

from limelight.probes.line_intensity.labels import (
    EXTENSION_BINS,
    QUANTITIES,
    TRANSFORMS,
    count_above,
    from_target,
    log10_lum_edges,
    one_source,
    quantity,
    to_target,
)

LABELS = {"log10_lum_min": 3.5, "log10_lum_max": 7.0, "bins": 49}
EDGES = log10_lum_edges(LABELS)
LONG = log10_lum_edges(LABELS, EXTENSION_BINS)


def luminosities(n: int = 20_000) -> np.ndarray:
    """log10 L of halos on both sides of the edges, some dark, some exactly on an edge."""
    rng = np.random.default_rng(2)
    return np.concatenate([rng.normal(4.5, 1.2, n), np.full(100, -np.inf), np.repeat(LONG, 3)])


def test_edges():
    assert (len(EDGES), len(LONG)) == (50, 64)
    assert (EDGES[0], EDGES[-1]) == (3.5, 7.0)
    np.testing.assert_allclose(EDGES, np.linspace(3.5, 7, 50), atol=1e-14)
    assert np.array_equal(LONG[:50], EDGES)
    np.testing.assert_allclose(np.diff(LONG), 3.5 / 49, atol=1e-14)


def test_counts_against_brute_force_and_histogram():
    log_l = luminosities()
    counts = count_above(log_l, LONG)
    assert counts.dtype == np.int64
    assert counts.tolist() == [sum(value >= edge for value in log_l.tolist()) for edge in LONG.tolist()]
    dn = quantity(counts, LONG, 1.0, "dn")
    # numpy closes its last bin: give it one more edge
    assert np.array_equal(dn, np.histogram(log_l[np.isfinite(log_l)], np.r_[LONG, 99.0])[0][:-1])
    assert np.array_equal(quantity(counts, LONG, 1.0, "n_above"), counts[:-1])


@pytest.mark.parametrize("log_l", [np.empty(0), np.full(3, -np.inf), np.array([3.0]), np.array([50.0])])
def test_counts_of_corner_cases(log_l):
    expected = np.full(len(EDGES), int(np.sum(log_l > 10)))
    assert np.array_equal(count_above(log_l, EDGES), expected)


def test_counts_above_edges_of_any_spacing_and_of_the_infinitely_bright():
    edges, log_l = np.array([3.5, 3.6, 6.0, 6.01]), np.r_[luminosities(), np.inf, -np.inf]
    for values in (log_l, log_l.astype(np.float32)):
        assert count_above(values, edges).tolist() == [int((values >= edge).sum()) for edge in edges]
        assert count_above(values, edges[:1]).tolist() == [int((values >= 3.5).sum())]


def test_bins_are_half_open():
    edge = EDGES[10]
    counts = count_above(np.array([edge, np.nextafter(edge, 0)]), EDGES)
    dn = quantity(counts, EDGES, 1.0, "dn")
    assert (dn[9], dn[10], dn.sum()) == (1, 1, 2)


def test_phi_and_l_phi_by_hand():
    log_l, volume = luminosities(), 2.54e7
    phi = quantity(count_above(log_l, EDGES), EDGES, volume, "phi")
    l_phi = quantity(count_above(log_l, EDGES), EDGES, volume, "l_phi")
    for i in (0, 7, 48):
        low, high = 10 ** (3.5 + i * 3.5 / 49), 10 ** (3.5 + (i + 1) * 3.5 / 49)
        n = sum(EDGES[i] <= value < EDGES[i + 1] for value in log_l.tolist())
        assert phi[i] == pytest.approx(n / (high - low) / volume)
        assert l_phi[i] == pytest.approx((low * high) ** 0.5 * n / (high - low) / volume)


def test_schechter_function_is_recovered():
    """Luminosities drawn from φ ∝ (L/L*)^−½ exp(−L/L*) by its own gamma distribution give back φ."""
    n, star, volume = 2_000_000, 1e5, 1e6
    log_l = np.log10(star * np.random.default_rng(4).gamma(0.5, size=n))
    counts = count_above(log_l, EDGES)
    lum = 10**EDGES
    np.testing.assert_allclose(counts[:20], n * gammaincc(0.5, lum[:20] / star), rtol=5e-3)
    expected = n * -np.diff(gammaincc(0.5, lum / star))
    well = expected > 5e3
    assert well.sum() > 20
    phi = quantity(counts, EDGES, volume, "phi")
    np.testing.assert_allclose(phi[well], (expected / np.diff(lum) / volume)[well], rtol=0.06)
    middle = np.sqrt(lum[1:] * lum[:-1])
    form = n / volume / star / np.sqrt(np.pi) * (middle / star) ** -0.5 * np.exp(-middle / star)
    np.testing.assert_allclose(quantity(counts, EDGES, volume, "l_phi")[well], (middle * form)[well], rtol=0.06)


@pytest.mark.parametrize("k", [1, 5, EXTENSION_BINS])
def test_dimming_by_whole_bins_shifts_the_counts_exactly(k):
    rng = np.random.default_rng(3)
    step = 3.5 / 49
    # well inside the bins, so that the dimming's own rounding moves nothing over an edge
    log_l = 3.5 + step * (rng.integers(-5, 75, 5000) + rng.uniform(0.01, 0.99, 5000))
    assert np.array_equal(count_above(log_l - k * step, EDGES), count_above(log_l, LONG)[k : k + len(EDGES)])


@pytest.mark.parametrize("name", QUANTITIES)
def test_many_maps_at_once_and_torch_alike(name):
    counts = np.stack([count_above(luminosities(n), EDGES) for n in (10, 1000, 30_000)])
    volume = np.array([1e6, 2e6, 3e6])
    together = quantity(counts, EDGES, volume, name)
    assert (together.shape, together.dtype) == ((3, 49), np.float64)
    for row in range(3):
        np.testing.assert_allclose(together[row], quantity(counts[row], EDGES, float(volume[row]), name))
    torched = quantity(torch.from_numpy(counts), EDGES, torch.from_numpy(volume), name)
    assert torched.dtype == torch.float64
    np.testing.assert_allclose(torched.numpy(), together, rtol=1e-15)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("kind", ["numpy", "torch", "torch32"])
def test_target_round_trip(transform, kind):
    values = np.array([[1.0, 2.0, 500.0, 1e6], [3.0, 7.5e-9, 1e-3, 12.0]])
    x = (
        values
        if kind == "numpy"
        else torch.from_numpy(values).to(torch.float32 if kind == "torch32" else torch.float64)
    )
    target = to_target(x, transform)
    back = from_target(target, transform)
    assert type(target) is type(back) is type(x)
    assert back.dtype == x.dtype
    np.testing.assert_allclose(np.asarray(back), values, rtol=3e-6 if kind == "torch32" else 1e-12)
    by_hand = {"none": values, "log10": np.log10(values), "log10_1p": np.log10(1 + values)}[transform]
    np.testing.assert_allclose(np.asarray(target), by_hand, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_empty_bins_are_zero_in_every_target(transform):
    for zero in (np.zeros(5), torch.zeros(5)):
        with np.errstate(all="raise"):
            assert np.array_equal(np.asarray(to_target(zero, transform)), np.zeros(5))
    assert from_target(np.zeros(1), transform).item() == (1.0 if transform == "log10" else 0.0)


@pytest.mark.parametrize("name", ["phi", "l_phi"])
def test_logs_of_densities_are_those_of_counts_moved_by_one_source(name):
    """phi of N sources is N times that of one, so log10(one + phi) = log10(1 + N) + log10(one): no bin is flat."""
    dn, volume = np.array([[0, 1, 9, 999], [5, 0, 2, 0]]), np.array([1e6, 3e6])
    n_above = np.c_[np.cumsum(dn[:, ::-1], axis=1)[:, ::-1], np.zeros(2, int)]
    lum = 10 ** EDGES[:5]
    by_hand = 1 / (np.diff(lum) * volume[:, None]) * (np.sqrt(lum[1:] * lum[:-1]) if name == "l_phi" else 1)
    for kind in (np.asarray, torch.as_tensor):
        values = quantity(kind(n_above), EDGES[:5], kind(volume), name)
        one = one_source(values, EDGES[:5], kind(volume), name)
        assert type(one) is type(values)
        np.testing.assert_allclose(np.asarray(one), by_hand, rtol=1e-12)
        target = to_target(values, "log10_1p", one)
        np.testing.assert_allclose(np.asarray(target), np.log10(1 + dn) + np.log10(by_hand), rtol=1e-12)
        np.testing.assert_allclose(
            np.asarray(from_target(target, "log10_1p", one)), dn * by_hand, atol=1e-12 * by_hand.max()
        )
        target = to_target(values, "log10", one)
        np.testing.assert_allclose(np.asarray(target), np.log10(np.maximum(dn, 1)) + np.log10(by_hand), rtol=1e-12)
    assert one_source(values, EDGES[:5], 1e6, "dn") == 1


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="no quantity"):
        quantity(np.ones(50), EDGES, 1.0, "density")
    for function in (to_target, from_target):
        with pytest.raises(ValueError, match="no transform"):
            function(np.ones(3), "ln")
