"""A fast particle mesh that keeps what a lens sees of it: projected slabs of a box at several times.

Particles start from second-order perturbation theory and move by a leapfrog whose kicks and drifts grow as linear theory
has it, so that two dozen steps will do (FastPM, Feng et al. 2016, arXiv:1603.00476). The sums over particles are compiled by
numba and run on one thread. Units: Mpc, km/s and comoving momenta p = a² dx/dt, as in particle_mesh.

Forces are not divided by the clouds' window: on a mesh twice as fine as the particles that would raise the lattice's own
waves, and the forces at the start with them. What forces, steps and clouds blur is put back where planes are kept: potential
gradient descent (Dai, Feng & Seljak 2018, arXiv:1804.00671) moves the particles of a copy by −α ∇φ, with φ the potential of
the density between two scales (SHARPEN).

Two boxes with the amplitude of every wave fixed at its mean and opposite phases have a mean power that is almost free of
sample variance (Angulo & Pontzen 2016, arXiv:1603.05253).
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy.interpolate import CubicSpline

from limelight.cosmology import Cosmology
from limelight.matter.chunks import chunk_runner
from limelight.matter.compiled import compiled
from limelight.matter.fourier import irfftn, rfftn
from limelight.matter.initial import Box, LinearField, displacements, periodic_field
from limelight.matter.lagrangian import lpt_factors
from limelight.progress import progress

FIRST = 0.1  # scale factor at which the particles start
BEFORE = 12  # steps from there to the first time asked for
SHARPEN = (
    0.0025,
    1.5,
    1.0,
    5.0,
)  # α today, its power of 1/a, k from and k to in units of one over the particles' spacing
LEAST_WINDOW = 0.8  # planes are not raised by more than this window's inverse
_BROADCAST = ((-1, 1, 1), (1, -1, 1), (1, 1, -1))


def projected_boxes(
    side_mpc: float,
    particles: int,
    cells: int,
    plane_cells: int,
    times: Sequence[float],
    cosmology: Cosmology,
    seed: int,
    sign: int = 1,
    fixed: bool = True,
    sharpen: bool = True,
) -> np.ndarray:
    """Surface overdensity of the halves of a periodic box along each axis, (times, 3, 2, plane_cells, plane_cells) float32.

    Parameters
    ----------
    side_mpc, particles, cells
        Of the cube: its side, particles along it, and cells of the mesh.
    plane_cells
        Cells along each side of the projected planes.
    times
        Rising scale factors at which planes are kept.
    sign
        1 or −1: of all initial waves. The two make a pair.
    fixed
        Whether waves have their mean amplitude; otherwise it is drawn.
    sharpen
        Whether the blur of forces and steps is undone as far as SHARPEN does it.

    A plane is ∫ δ dx over half of the box, in Mpc. The halves are those below and above side/2. Values are such that, taken
    between nodes on straight lines, they have the right power (`_unblurred`).
    """
    position, momentum = _started(side_mpc, particles, cosmology, seed, sign, fixed)
    inverse = _inverse_laplacian(side_mpc, cells)
    sharper = _between_scales(inverse, side_mpc / particles) if sharpen else None
    strength = 1.5 * cosmology.omega_m * (100 * cosmology.h) ** 2
    steps = np.concatenate([np.linspace(FIRST, times[0], BEFORE + 1)[:-1], times])
    grow = Growth(cosmology)
    planes = np.zeros((len(times), 3, 2, plane_cells, plane_cells), np.float32)
    middles = (steps[1:] + steps[:-1]) / 2
    for i in progress(range(len(steps)), "particle mesh", total=len(steps)):
        if i:
            drift = grow.drift(middles[i - 1], steps[i - 1], steps[i])
            _drift(position, momentum, np.float32(drift), np.float32(side_mpc))
        modes = _density(position, side_mpc, cells)
        if i >= BEFORE:
            seen = position if sharper is None else _sharpened(position, side_mpc, modes * sharper, steps[i])
            _project(seen, np.float32(side_mpc), planes[i - BEFORE])
        if i + 1 < len(steps):
            modes *= inverse
            kick = grow.kick(steps[i], middles[i - 1] if i else steps[0], middles[i])
            _push(position, momentum, side_mpc, modes, strength * kick)
    mean = particles**3 / 2 / plane_cells**2
    planes -= mean
    planes *= side_mpc / 2 / mean
    return _unblurred(planes)


class Growth:
    """Kicks and drifts with which one step of any length grows linear waves as it should."""

    def __init__(self, cosmology: Cosmology):
        self.a = np.linspace(0.05, 1.02, 400)
        self.hubble = cosmology.hubble
        self.position = CubicSpline(self.a, cosmology.growth(1 / self.a - 1))
        self.force = CubicSpline(self.a, self.a**3 * self._h(self.a) * self.position(self.a, 1))

    def _h(self, a: np.ndarray | float) -> np.ndarray:
        return self.hubble(1 / np.asarray(a) - 1)

    def drift(self, at: float, begin: float, end: float) -> float:
        """∫ dt/a² for momenta of time `at`."""
        change = (self.position(end) - self.position(begin)) / self.position(at, 1)
        return float(change / (at**3 * self._h(at)))

    def kick(self, at: float, begin: float, end: float) -> float:
        """∫ dt/a for forces of time `at`."""
        return float((self.force(end) - self.force(begin)) / self.force(at, 1) / (at**2 * self._h(at)))


def _started(
    side_mpc: float, particles: int, cosmology: Cosmology, seed: int, sign: int, fixed: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Positions and momenta (n, 3) float32, x first, at the scale factor FIRST."""
    box = Box((particles,) * 3, side_mpc / particles)
    with chunk_runner() as run:
        modes = periodic_field(box, cosmology, seed, "cpu", run).modes
        if fixed:
            modes = fixed_amplitude(modes, box, cosmology)
        psi = displacements(LinearField(box, modes * sign), run).permute(1, 2, 3, 0).reshape(-1, 6)
    redshift = 1 / FIRST - 1
    first, second, first_speed, second_speed = (float(f) for f in lpt_factors(redshift, cosmology))
    axis = torch.arange(particles, dtype=torch.float32) * box.cell_mpc
    position = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")[::-1], dim=-1).reshape(-1, 3)
    position += psi[:, :3] * first + psi[:, 3:] * second
    momentum = (psi[:, :3] * first_speed + psi[:, 3:] * second_speed) * FIRST
    return position.remainder_(side_mpc).numpy(), momentum.numpy()


def fixed_amplitude(modes: torch.Tensor, box: Box, cosmology: Cosmology) -> torch.Tensor:
    """Modes (rfftn) with the phases of these, each with the root of its mean power, N² P/V for N cells."""
    k = [torch.from_numpy(v).reshape(s) for v, s in zip(box.wavenumbers(), _BROADCAST, strict=True)]
    size = (k[0] ** 2 + k[1] ** 2 + k[2] ** 2).sqrt()
    table = np.geomspace(0.5 * float(size[0, 0, 1]), 1.01 * float(size.max()), 2000)
    power = np.interp(np.log(size.clamp(min=table[0]).numpy()), np.log(table), np.log(cosmology.linear_power(table)))
    wanted = torch.from_numpy(np.exp(power / 2) * math.prod(box.shape) / math.sqrt(box.volume)).float()
    found = modes * (wanted / modes.abs().clamp(min=1e-30))
    found[0, 0, 0] = 0
    return found


def _inverse_laplacian(side_mpc: float, cells: int) -> torch.Tensor:
    """1/k² on the modes of rfftn, Mpc²; 0 for the mean."""
    k = Box((cells,) * 3, side_mpc / cells).wavenumbers()
    k = [torch.from_numpy(v.astype(np.float32)).reshape(s) for v, s in zip(k, _BROADCAST, strict=True)]
    squared = k[0] ** 2 + k[1] ** 2 + k[2] ** 2
    squared[0, 0, 0] = torch.inf
    return 1 / squared


def _between_scales(inverse: torch.Tensor, spacing_mpc: float) -> torch.Tensor:
    """1/k² exp(−k_from²/k² − (k/k_to)⁴)."""
    low, high = (value / spacing_mpc for value in SHARPEN[2:])
    return inverse * torch.exp(-(low**2) * inverse - (high**2 * inverse) ** -2)


def _sharpened(position: np.ndarray, side_mpc: float, modes: torch.Tensor, time: float) -> np.ndarray:
    """Positions moved towards matter, by −α ∇φ; modes: of −φ."""
    alpha, power, *_ = SHARPEN
    moved = position.copy()
    _push(position, moved, side_mpc, modes, alpha * time**-power)
    _drift(moved, np.zeros_like(moved), np.float32(0), np.float32(side_mpc))  # back into the box
    return moved


def _unblurred(planes: np.ndarray) -> np.ndarray:
    """Planes (…, m, m) over the windows of their clouds and of straight lines between nodes, each sinc² along an axis."""
    m = planes.shape[-1]
    window = [np.maximum(np.sinc(f), LEAST_WINDOW) ** 4 for f in (np.fft.fftfreq(m), np.fft.rfftfreq(m))]
    window = torch.from_numpy((window[0][:, None] * window[1][None]).astype(np.float32))
    for plane in planes.reshape(-1, m, m):
        plane[:] = irfftn(rfftn(torch.from_numpy(plane)).div_(window), s=(m, m)).numpy()
    return planes


def _density(position: np.ndarray, side_mpc: float, cells: int) -> torch.Tensor:
    """The density over its mean as modes of rfftn."""
    density = np.zeros((cells,) * 3, np.float32)
    _deposit(position, density, np.float32(cells / side_mpc))
    density *= cells**3 / len(position)
    return rfftn(torch.from_numpy(density))


def _push(position: np.ndarray, moved: np.ndarray, side_mpc: float, modes: torch.Tensor, scale: float) -> None:
    """moved += scale × gradient of the field with these modes, at each particle."""
    cells = modes.shape[0]
    field = irfftn(modes, s=(cells,) * 3).numpy()
    _gather(position, moved, field, np.float32(cells / side_mpc), np.float32(scale * cells / side_mpc))


@compiled
def _deposit(position, density, scale):
    """Clouds of one cell; axes of the mesh (z, y, x), of positions (x, y, z)."""
    n = density.shape[0]
    for p in range(len(position)):
        x, y, z = position[p, 0] * scale, position[p, 1] * scale, position[p, 2] * scale
        i, j, k = int(x), int(y), int(z)
        u, v, w = x - i, y - j, z - k
        i, j, k = i % n, j % n, k % n
        i1, j1, k1 = (i + 1) % n, (j + 1) % n, (k + 1) % n
        density[k, j, i] += (1 - w) * (1 - v) * (1 - u)
        density[k, j, i1] += (1 - w) * (1 - v) * u
        density[k, j1, i] += (1 - w) * v * (1 - u)
        density[k, j1, i1] += (1 - w) * v * u
        density[k1, j, i] += w * (1 - v) * (1 - u)
        density[k1, j, i1] += w * (1 - v) * u
        density[k1, j1, i] += w * v * (1 - u)
        density[k1, j1, i1] += w * v * u


@compiled
def _gather(position, moved, potential, scale, factor):
    """Add `factor` times the potential's differences per cell, of fourth order, in each particle's eight cells."""
    n = potential.shape[0]
    near, far = np.float32(2 / 3) * factor, np.float32(1 / 12) * factor
    place, share, slope = np.empty((3, 6), np.int64), np.empty((3, 2), np.float32), np.empty((3, 6), np.float32)
    for p in range(len(position)):
        for c in range(3):
            x = position[p, c] * scale
            i = int(x)
            u = np.float32(x - i)
            v = 1 - u
            for o in range(6):
                at = i + o - 2
                place[c, o] = at + n if at < 0 else at - n if at >= n else at
            share[c, 0], share[c, 1] = v, u
            slope[c, 0], slope[c, 5] = v * far, -u * far
            slope[c, 1], slope[c, 4] = u * far - v * near, u * near - v * far
            slope[c, 2], slope[c, 3] = -u * near, v * near
        gx = gy = gz = np.float32(0)
        for one in range(2):
            for two in range(2):
                yz, zx, xy = share[1, one] * share[2, two], share[2, one] * share[0, two], share[0, one] * share[1, two]
                x, y, z = place[0, 2 + two], place[1, 2 + one], place[2, 2 + two]
                zz, yy, xx = place[2, 2 + one], place[1, 2 + two], place[0, 2 + one]
                for o in range(6):
                    gx += yz * slope[0, o] * potential[z, y, place[0, o]]
                    gy += zx * slope[1, o] * potential[zz, place[1, o], x]
                    gz += xy * slope[2, o] * potential[place[2, o], yy, xx]
        moved[p, 0] += gx
        moved[p, 1] += gy
        moved[p, 2] += gz


@compiled
def _drift(position, momentum, step, side):
    """Move particles, by less than the side of the periodic box."""
    for p in range(len(position)):
        for c in range(3):
            x = position[p, c] + momentum[p, c] * step
            x = x + side if x < 0 else x - side if x >= side else x
            position[p, c] = x if 0 <= x < side else 0


@compiled
def _project(position, side, planes):
    """Add particles to planes (3, 2, m, m): seen along axis c, their clouds lie over the two axes that follow it."""
    m = planes.shape[2]
    scale = m / side
    for p in range(len(position)):
        for c in range(3):
            half = 0 if position[p, c] < side / 2 else 1
            x, y = position[p, (c + 1) % 3] * scale, position[p, (c + 2) % 3] * scale
            i, j = int(x), int(y)
            u, v = x - i, y - j
            i, j = i % m, j % m
            i1, j1 = (i + 1) % m, (j + 1) % m
            plane = planes[c, half]
            plane[i, j] += (1 - u) * (1 - v)
            plane[i, j1] += (1 - u) * v
            plane[i1, j] += u * (1 - v)
            plane[i1, j1] += u * v
