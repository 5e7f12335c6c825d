"""Convergence maps from projected half-boxes: light passes through both halves of a random box, then of another.

In the Born approximation κ(θ) = 3/2 Ωm H0²/c² Σ_i Σ_i(χ_i θ) w_i, with the surface overdensity Σ_i of slab i and
w_i the mean of (1 + z) χ (χ_s − χ)/χ_s over it. Otherwise the rays are bent at every plane and their distortion is carried
along (Hilbert et al. 2009, arXiv:0809.5035); κ is then half of 2 minus the trace of the distortion.

Which box and axis two slabs are, which half comes first, their shift, flips and transposition are drawn afresh for each
map. Two halves that belong together keep the waves along the line of sight that half a box would cut off. A plane stands for
the time of its slab: it is scaled by the linear growth from the time at which it was kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from limelight.compiled import compiled
from limelight.cosmology import Cosmology
from limelight.probes.weak_lensing.spectra import lensing_strength

FINE = 200  # steps in each slab of its weight's integral


@dataclass(frozen=True)
class Slabs:
    """Half-boxes between the observer and the sources."""

    distance_mpc: np.ndarray  # (slabs,) of their middles
    weight: np.ndarray  # (slabs,) κ per surface overdensity, 1/Mpc
    time: np.ndarray  # (slabs,) scale factor of their middles
    far_mpc: float  # of the sources

    @property
    def strength(self) -> np.ndarray:
        """The weights without the lever χ (χ_s − χ)/χ_s of their middles, which bent rays find themselves, 1/Mpc²."""
        lever = self.distance_mpc * (self.far_mpc - self.distance_mpc) / self.far_mpc
        return np.where(lever > 0, self.weight / np.where(lever > 0, lever, 1.0), 0.0)


def slabs_of(universe: Cosmology, side_mpc: float, source_redshift: float) -> Slabs:
    """Half-boxes up to the sources; the last one counts as far as it lies before them."""
    far, depth = float(universe.comoving_distance(source_redshift)), side_mpc / 2
    count = int(np.ceil(far / depth - 1e-9))
    chi = (np.arange(count * FINE).reshape(count, FINE) + 0.5) * depth / FINE
    z = universe.redshift_at(np.minimum(chi, far))
    weight = np.where(chi < far, (1 + z) * chi * (far - chi) / far, 0.0).mean(axis=1)
    middle = (np.arange(count) + 0.5) * depth
    time = 1 / (1 + universe.redshift_at(np.minimum(middle, far)))
    return Slabs(middle, lensing_strength(universe) * weight, time, far)


def nearest(times: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Which of the times at which planes were kept is nearest to each of those wanted."""
    return np.abs(np.asarray(times)[None] - wanted[:, None]).argmin(axis=1)


def trace_maps(
    boxes: list[np.ndarray],
    times: np.ndarray,
    side_mpc: float,
    slabs: Slabs,
    maps: int,
    field_deg: float,
    pixels: int,
    rng: np.random.Generator,
    bent_to: Sequence[tuple[float, Slabs]] = (),
) -> np.ndarray:
    """Maps of κ, (maps, pixels, pixels) float32.

    Parameters
    ----------
    boxes
        Planes of matter.projected.projected_boxes, at `times`; each slab is of one of these.
    bent_to
        The share of sources at each redshift, and the slabs before it: rays are bent at every plane. None: straight rays
        through `slabs`.
    """
    which, field = nearest(times, slabs.time), np.radians(field_deg)
    found = np.empty((maps, pixels, pixels), np.float32)
    for i in range(maps):
        drawn = [
            plane for pair in zip_longest(which[::2], which[1::2]) for plane in _planes(boxes, pair, side_mpc, rng)
        ]
        if bent_to:
            parts = [share * bent(drawn[: len(one.time)], one, side_mpc, field, pixels) for share, one in bent_to]
            found[i] = np.sum(parts, axis=0)
        else:
            found[i] = straight(drawn, slabs, side_mpc, field, pixels)
    return found


def _planes(
    boxes: list[np.ndarray], steps: tuple[int, int | None], side_mpc: float, rng: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Both halves of a random box along a random axis, one behind the other, turned and mirrored at random; for one step
    one half. Each is a plane (m, m) and where the line of sight meets it."""
    box, axis, half = boxes[rng.integers(len(boxes))], rng.integers(3), rng.integers(2)
    turn, flips = rng.integers(2), rng.choice([-1, 1], 2)
    origin, found = rng.uniform(0, side_mpc, 2), []
    for step, which in zip(steps, (half, 1 - half), strict=True):
        if step is not None:
            plane = box[step, axis, which]
            found.append(((plane.T if turn else plane)[:: flips[0], :: flips[1]], origin))
    return found


def straight(drawn: list, slabs: Slabs, side_mpc: float, field: float, pixels: int) -> np.ndarray:
    """κ in the Born approximation, each pixel the mean of four rays."""
    kappa = np.zeros((2 * pixels, 2 * pixels), np.float32)
    for (plane, origin), distance, weight in zip(drawn, slabs.distance_mpc, slabs.weight, strict=True):
        m = len(plane)
        angle = (np.arange(2 * pixels) + 0.5) / (2 * pixels) * field - field / 2
        x, y = ((o + angle * distance) * m / side_mpc for o in origin)
        _add_sampled(plane, x, y, np.float32(weight), kappa)
    return _averaged(kappa)


def _averaged(fine: np.ndarray) -> np.ndarray:
    n = len(fine) // 2
    return fine.reshape(n, 2, n, 2).mean(axis=(1, 3))


@compiled
def _add_sampled(plane, x, y, weight, out):
    """out += weight times the plane at (x_i, y_j) in cells of a periodic plane, between its nodes."""
    m = len(plane)
    for i in range(len(x)):
        row = int(np.floor(x[i]))
        u = np.float32(x[i] - row)
        row, low = row % m, (row + 1) % m
        for j in range(len(y)):
            column = int(np.floor(y[j]))
            v = np.float32(y[j] - column)
            column, right = column % m, (column + 1) % m
            up = (1 - v) * plane[row, column] + v * plane[row, right]
            down = (1 - v) * plane[low, column] + v * plane[low, right]
            out[i, j] += weight * ((1 - u) * up + u * down)


def bent(drawn: list, slabs: Slabs, side_mpc: float, field: float, pixels: int) -> np.ndarray:
    """κ of rays that every plane bends, each pixel the mean of four.

    A ray at the comoving place x moves by its slope s from plane to plane, and plane i changes s by −∇Ψ_i(x), with
    ∇²Ψ_i = 2 Σ_i strength_i. The same of derivatives by the angle at which the ray arrives gives the distortion.
    """
    n = 2 * pixels
    angle = (np.arange(n) + 0.5) / n * field - field / 2
    slope = np.stack(np.meshgrid(angle, angle, indexing="ij")).reshape(2, -1)
    turn = np.tile(np.eye(2)[:, :, None], (1, 1, n * n))  # ∂s/∂θ
    place, stretch, before = np.zeros_like(slope), np.zeros_like(turn), 0.0  # x, ∂x/∂θ, χ
    for (plane, origin), distance, strength in zip(drawn, slabs.distance_mpc, slabs.strength, strict=True):
        if strength == 0:
            continue
        place = place + (distance - before) * slope
        stretch = stretch + (distance - before) * turn
        gradient, tide = _derivatives(plane, origin[:, None] + place, side_mpc)
        slope = slope - strength * gradient
        turn = turn - strength * np.einsum("abp,bcp->acp", tide, stretch)
        before = distance
    stretch = (stretch + (slabs.far_mpc - before) * turn) / slabs.far_mpc
    return _averaged((1 - 0.5 * (stretch[0, 0] + stretch[1, 1])).reshape(n, n).astype(np.float32))


def _derivatives(plane: np.ndarray, place: np.ndarray, side_mpc: float) -> tuple[np.ndarray, np.ndarray]:
    """∇Ψ (2, p) and ∇∇Ψ (2, 2, p) of ∇²Ψ = 2 × plane, a periodic plane (m, m), at places (2, p) in Mpc."""
    m = len(plane)
    k = 2 * np.pi * np.fft.fftfreq(m, side_mpc / m)
    kx, ky = k[:, None], k[None, : m // 2 + 1]
    squared = kx**2 + ky**2
    squared[0, 0] = 1
    psi = -2 * np.fft.rfft2(plane) / squared
    psi[0, 0] = 0
    psi[m // 2], psi[:, m // 2] = 0, 0  # the Nyquist waves have no odd derivative
    x, y = place * m / side_mpc
    waves = {"x": 1j * kx * psi, "y": 1j * ky * psi, "xx": -kx * kx * psi, "xy": -kx * ky * psi, "yy": -ky * ky * psi}
    found = {name: np.zeros(len(x)) for name in waves}
    for name, modes in waves.items():
        _sampled(np.fft.irfft2(modes, s=(m, m)), x, y, found[name])
    tide = [[found["xx"], found["xy"]], [found["xy"], found["yy"]]]
    return np.stack([found["x"], found["y"]]), np.array(tide)


@compiled
def _sampled(plane, x, y, out):
    """The periodic plane at places (x_p, y_p) in cells, between its nodes."""
    m = len(plane)
    for p in range(len(x)):
        row, column = int(np.floor(x[p])), int(np.floor(y[p]))
        u, v = x[p] - row, y[p] - column
        row, column = row % m, column % m
        low, right = (row + 1) % m, (column + 1) % m
        up = (1 - v) * plane[row, column] + v * plane[row, right]
        out[p] = (1 - u) * up + u * ((1 - v) * plane[low, column] + v * plane[low, right])
