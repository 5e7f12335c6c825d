"""The lens planes' particle mesh: forces against direct sums, what sharpening does, the planes' power against HMcode's."""

import numpy as np
import pytest
from scipy.special import erfc

from limelight.matter import projected
from limelight.matter.chunks import chunk_runner
from limelight.matter.initial import Box, periodic_field
from limelight.matter.mesh import density_modes, inverse_laplacian, push, started
from limelight.matter.projected import projected_boxes
from limelight.probes.weak_lensing.raytracing import _add_sampled, _planes
from limelight.probes.weak_lensing.spectra import camb_power, cosmology

UNIVERSE = cosmology(0.3, 0.8)
SIDE, PARTICLES = 20.8, 16  # 1.3 Mpc between particles
ONE = np.float32(1)


def ewald(position: np.ndarray, targets: np.ndarray, side: float) -> np.ndarray:
    """−∇φ (t, 3) at some of the points, ∇²φ = n/n̄ − 1, with all their periodic images (Ewald's sum, splitting 6/side)."""
    x, alpha, n = position.astype(float) / side, 6.0, np.arange(-6, 7)
    k = 2 * np.pi * np.stack(np.meshgrid(n, n, n, indexing="ij"), -1).reshape(-1, 3)
    squared = (k**2).sum(axis=1)
    inside = (squared > 0) & (squared <= 40 * (2 * np.pi) ** 2)
    k, squared = k[inside], squared[inside]
    weight = 4 * np.pi * np.exp(-squared / 4 / alpha**2) / squared
    phase = np.exp(1j * (x @ k.T))
    found = np.real((phase[targets] * (phase.conj().sum(axis=0) * weight) * 1j) @ k)
    for i, target in enumerate(targets):
        d = x - x[target]
        d -= np.round(d)
        squared = (d**2).sum(axis=1)
        squared[target] = 1
        r = np.sqrt(squared)
        pull = erfc(alpha * r) / r**3 + 2 * alpha / np.sqrt(np.pi) * np.exp(-(alpha**2) * squared) / squared
        pull[target] = 0
        found[i] += pull @ d
    return found * side / (4 * np.pi * len(x))


def mesh_forces(position: np.ndarray, side: float, cells: int) -> np.ndarray:
    modes = density_modes(position, side, cells)
    modes *= inverse_laplacian(side, cells)
    found = np.zeros_like(position)
    push(position, found, side, modes, 1.0)
    return found


def test_a_direct_sum_of_two_points_is_the_inverse_square():
    """Close together, far from their images: 1/(4π n̄ r²)."""
    position = np.array([[10.0, 10, 10], [10.3, 10, 10]])
    expected = 1 / (4 * np.pi * 2 / 20.0**3 * 0.3**2)
    np.testing.assert_allclose(ewald(position, np.array([0]), 20.0)[0], [expected, 0, 0], rtol=1e-3, atol=1e-3)


def test_early_forces_are_those_of_a_direct_sum():
    """At z = 19, hardly off the lattice: also what linear theory says, the displacement itself."""
    with chunk_runner() as run:
        field = periodic_field(Box((PARTICLES,) * 3, SIDE / PARTICLES), UNIVERSE, 1, "cpu", run)
    position, _ = started(field, 19.0, UNIVERSE)
    targets = np.random.default_rng(0).choice(len(position), 300, replace=False)
    exact, found = ewald(position, targets, SIDE), mesh_forces(position, SIDE, 2 * PARTICLES)[targets]
    assert (exact * found).sum() / (exact**2).sum() == pytest.approx(1, abs=0.05)
    assert np.corrcoef(exact.ravel(), found.ravel())[0, 1] > 0.99
    axis = np.arange(PARTICLES) * SIDE / PARTICLES
    lattice = np.stack(np.meshgrid(axis, axis, axis, indexing="ij")[::-1], -1).reshape(-1, 3)
    moved = (position - lattice + SIDE / 2) % SIDE - SIDE / 2
    assert (moved[targets] * found).sum() / (moved[targets] ** 2).sum() == pytest.approx(1, abs=0.05)


def test_late_forces_are_those_of_a_direct_sum_beyond_the_cells():
    """Of clusters at random places, as at z = 0.5: right for points two cells and more from all others, softened within."""
    rng = np.random.default_rng(2)
    centres = rng.uniform(0, SIDE, (40, 3))
    position = centres[rng.integers(40, size=4000)] + rng.normal(0, 0.3, (4000, 3))
    alone = rng.uniform(0, SIDE, (600, 3))
    gap = np.abs((alone[:, None] - centres + SIDE / 2) % SIDE - SIDE / 2)
    alone = alone[(np.linalg.norm(gap, axis=2) > 3.0).all(axis=1)][:100]
    points = (np.concatenate([alone, position]) % SIDE).astype(np.float32)
    targets = np.arange(len(alone))
    exact, found = ewald(points, targets, SIDE), mesh_forces(points, SIDE, 2 * PARTICLES)[targets]
    assert (exact * found).sum() / (exact**2).sum() == pytest.approx(1, abs=0.05)
    inside = np.arange(len(alone), len(alone) + 200)
    exact, found = ewald(points, inside, SIDE), mesh_forces(points, SIDE, 2 * PARTICLES)[inside]
    assert 0.05 < (exact * found).sum() / (exact**2).sum() < 0.9


def test_sharpening_raises_a_wave_as_its_filter_says():
    """A wave of small amplitude ε becomes ε (1 + α F(k))."""
    side, n, amplitude, time = 48.0, 32, 0.02, 0.5
    axis = (np.arange(n) + 0.5) * side / n
    position = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    k = 2 * np.pi * 4 / side
    position[:, 0] -= amplitude / k * np.sin(k * position[:, 0])
    position = (position % side).astype(np.float32)
    modes = density_modes(position, side, 64) * projected._between_scales(inverse_laplacian(side, 64), side / n)
    sharp = projected._sharpened(position, side, modes, time)
    before, after = (abs(np.exp(-1j * k * x[:, 0].astype(float)).mean()) for x in (position, sharp))
    alpha, power, low, high = projected.SHARPEN
    expected = 1 + alpha * time**-power * np.exp(-((low / 1.5 / k) ** 2) - (k * 1.5 / high) ** 4)
    assert after / before - 1 == pytest.approx(expected - 1, rel=0.1)
    assert ((sharp >= 0) & (sharp < side)).all()


def test_points_at_random_have_the_same_power_at_all_scales_as_rays_see_it():
    """Clouds and straight lines between nodes blur; planes are divided by both."""
    rng, m = np.random.default_rng(3), 128
    position = rng.uniform(0, 1, (200_000, 3)).astype(np.float32)
    planes = np.zeros((3, 2, m, m), np.float32)
    projected._project(position, ONE, planes)
    planes = projected._unblurred(planes)
    fine = 4 * m
    seen, place = np.zeros((6, fine, fine), np.float32), (np.arange(fine) + 0.3) * m / fine
    for plane, out in zip(planes.reshape(-1, m, m), seen, strict=True):
        _add_sampled(plane, place, place, ONE, out)
    power = (np.abs(np.fft.fft2(seen)) ** 2).mean(axis=0) / (fine / m) ** 4 / 100_000
    k = np.hypot(*np.meshgrid(*(np.fft.fftfreq(fine, 1 / fine),) * 2)) / m  # waves per cell
    low, high = (power[(k > a) & (k <= b)].mean() for a, b in ((0.02, 0.15), (0.15, 0.3)))
    assert low == pytest.approx(1, abs=0.05)
    assert high == pytest.approx(1, abs=0.05)


def test_both_halves_of_a_box_stand_one_behind_the_other():
    boxes = [np.full((3, 3, 2, 4, 4), 100 * b, np.float32) for b in range(2)]
    for box in boxes:
        box += np.arange(3)[:, None, None, None, None] + 10 * np.arange(3)[:, None, None, None]
        box[:, :, 1] += 1000
    rng, firsts = np.random.default_rng(0), set()
    for _ in range(40):
        (one, here), (other, there) = _planes(boxes, (2, 1), 10.0, rng)
        assert (here == there).all()
        assert abs(one[0, 0] - 1 - other[0, 0]) == 1000  # another half and time, the same box and axis
        firsts.add(float(one[0, 0]))
    assert len(firsts) == 12  # two boxes, three axes, two halves
    assert len(_planes(boxes, (2, None), 10.0, rng)) == 1


def test_planes_have_the_power_of_hmcode():
    """A small pair at the particles' spacing of the studies; whole boxes, whose projection has the power of the cube.

    So small a box lacks long waves and what they add, up to a quarter; the benchmark has larger ones.
    """
    side, times = 113.0, [0.5, 0.57, 0.64, 0.7]
    pair = [projected_boxes(side, 64, 128, 256, times, UNIVERSE, 4, sign) for sign in (1, -1)]
    power_at, edges = camb_power(0.3, 0.8, 1.1), np.array([0.3, 0.6, 1.0, 1.5])
    k = 2 * np.pi / side * np.hypot(np.fft.fftfreq(256, 1 / 256)[:, None], np.arange(129))
    window = np.outer(*(np.maximum(np.sinc(f), 0.8) ** 2 for f in (np.fft.fftfreq(256), np.fft.rfftfreq(256))))
    for step in (0, 3):
        whole = np.stack([one[step].sum(axis=1) for one in pair]).reshape(-1, 256, 256)
        modes = np.fft.rfft2(whole) * window  # as straight lines between nodes see them
        power = (np.abs(modes) ** 2).mean(axis=0) * side / 256**4
        for low, high in zip(edges[:-1], edges[1:], strict=True):
            shell = (k >= low) & (k < high)
            ratio = (power[shell] / power_at.P(1 / times[step] - 1, k[shell])).mean()

            assert ratio == pytest.approx(1, abs=0.25)


def test_what_is_compiled_runs_where_nothing_can_be_kept(monkeypatch):
    import numba

    from limelight.compiled import compiled

    def njit(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(numba, "njit", njit)
    assert compiled(lambda x: x + 1)(2) == 3
