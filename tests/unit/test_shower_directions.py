"""Directions of air showers: waves against distances, fits against the Cramér-Rao bound, the network from both."""

import numpy as np
import pytest
import torch

from limelight.errors import LimelightError
from limelight.networks import build
from limelight.networks.antennas import spherical_wave
from limelight.probes.air_shower.arrays import (
    LIGHT_KM,
    angle_deg,
    arrival_times,
    bound,
    draw_directions,
    layout,
    plane_fit,
    spherical_fit,
)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def array_of(seed: int = 0) -> np.ndarray:
    return layout(5, 1.0, 50.0, np.random.default_rng(seed))


def test_waves_are_spheres_that_become_planes():
    positions, rng = array_of(), np.random.default_rng(1)
    direction = draw_directions(50, (20, 80), rng)
    near = arrival_times(direction, np.full(50, 20.0), positions)
    exact = np.linalg.norm(20 * direction[:, None] - positions, axis=2) - 20
    np.testing.assert_allclose(near, exact, atol=1e-12)
    np.testing.assert_allclose(
        arrival_times(direction, np.full(50, 1e9), positions), -direction @ positions.T, atol=1e-7
    )
    zenith = np.degrees(np.arccos(direction[:, 2]))
    assert (zenith > 20).all()
    assert (zenith < 80).all()


@pytest.mark.parametrize("distance_km", [5.0, 1e5])
def test_fits_reach_the_bound_and_near_sources_need_a_sphere(distance_km):
    positions, rng, sigma, m = array_of(), np.random.default_rng(2), 0.01, 120
    direction, distance = draw_directions(m, (20, 70), rng), np.full(m, distance_km * LIGHT_KM)
    exact = arrival_times(direction, distance, positions)
    assert angle_deg(spherical_fit(exact[:20], positions), direction[:20]).max() < 1e-3
    times = exact + sigma * rng.standard_normal(exact.shape)
    plane, sphere = (angle_deg(fit(times, positions), direction) for fit in (plane_fit, spherical_fit))
    rms = np.sqrt(np.mean(sphere**2)) / np.sqrt(np.mean(bound(direction, distance, positions, sigma) ** 2))
    assert rms == pytest.approx(1, abs=0.17)
    fixed = np.sqrt(np.mean(bound(direction, distance, positions, sigma, free_distance=False) ** 2))
    if distance_km > 1e4:
        assert np.sqrt(np.mean(plane**2)) / fixed == pytest.approx(1, abs=0.17)
    else:
        assert np.sqrt(np.mean(plane**2)) > 1.3 * fixed


def test_the_bound_of_a_flat_cross_is_the_textbooks():
    """Four antennas at ±a on two axes, a plane wave from the zenith: σ(n_x) = σ / (a √2)."""
    a, sigma = 1.0, 0.01
    cross = np.array([[a, 0, 0], [-a, 0, 0], [0, a, 0], [0, -a, 0]])
    found = bound(np.array([[0.0, 0.0, 1.0]]), np.array([1e6]), cross, sigma, free_distance=False)
    assert found[0] == pytest.approx(np.degrees(np.sqrt(2) * sigma / (a * np.sqrt(2))), rel=1e-4)


@pytest.mark.parametrize("over", ["attention", "grid", "recurrent", "none"])
def test_the_network_on_arrays_begins_with_the_spherical_wave(over):
    positions, rng = array_of(), np.random.default_rng(3)
    direction = draw_directions(20, (20, 70), rng)
    place = torch.from_numpy(positions).float().expand(20, -1, -1)
    for distance_km in (1e6, 30.0, 4.0):
        times = torch.from_numpy(arrival_times(direction, np.full(20, distance_km * LIGHT_KM), positions)).float()
        found, lack = spherical_wave(times, place)
        assert angle_deg(found.double().numpy(), direction).max() < 2e-3
        assert lack.abs().max() < 2e-5
    torch.manual_seed(0)
    module = build("antennas", {"over": over, "filters": 4, "width": 8, "layers": 1}, (5, 25, 32), (3,))
    clock = times[:, :, None] + torch.arange(32) / 500 - 0.032
    x = torch.cat(
        [torch.randn(20, 1, 25, 32), clock[:, None], place.transpose(1, 2)[..., None].expand(-1, -1, -1, 32)], 1
    )
    answer = module(x)
    torch.testing.assert_close(answer.norm(dim=1), torch.ones(20))
    answer[:, 0].sum().backward()
    assert module.output.weight.grad.abs().max() > 0
    order = torch.randperm(25, generator=torch.Generator().manual_seed(0))
    if over in ("attention", "none"):
        torch.testing.assert_close(module(x[:, :, order]), answer.detach(), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(
    ("options", "shape", "words"),
    [
        ({"over": "rnn"}, (5, 25, 32), "attention, grid"),
        ({"over": "grid"}, (5, 24, 32), "a square number"),
        ({"width": 6}, (5, 25, 32), "a multiple of four"),
        ({}, (2, 25, 32), "(5, antennas, samples)"),
    ],
)
def test_networks_on_arrays_say_what_they_take(options, shape, words):
    with pytest.raises(LimelightError, match=words.replace("(", r"\(").replace(")", r"\)")):
        build("antennas", options, shape, (3,))
