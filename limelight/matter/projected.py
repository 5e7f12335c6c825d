"""A fast particle mesh that keeps what a lens sees of it: projected slabs of a box at several times.

Particles start from second-order perturbation theory and move by a leapfrog whose kicks and drifts grow as linear theory
has it, so that two dozen steps will do (FastPM, Feng et al. 2016, arXiv:1603.00476). The sums over particles are compiled by
numba and run on one thread. Units: Mpc, km/s and comoving momenta p = a² dx/dt, as in particle_mesh.

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

    A plane is ∫ δ dx over half of the box, in Mpc. The halves are those below and above side/2.
    """
    position, momentum = _started(side_mpc, particles, cosmology, seed, sign, fixed)
    green = _green(side_mpc, cells, cosmology)
    steps = np.concatenate([np.linspace(FIRST, times[0], BEFORE + 1)[:-1], times])
    grow = Growth(cosmology)
    _kick(position, momentum, side_mpc, green, grow.kick(steps[0], steps[0], (steps[0] + steps[1]) / 2))
    planes = np.zeros((len(times), 3, 2, plane_cells, plane_cells), np.float32)
    mean = particles**3 / 2 / plane_cells**2
    for i in progress(range(1, len(steps)), "particle mesh", total=len(steps) - 1):
        before, now = steps[i - 1], steps[i]
        middle = (before + now) / 2
        _drift(position, momentum, np.float32(grow.drift(middle, before, now)), np.float32(side_mpc))
        if i >= BEFORE:
            _project(position, np.float32(side_mpc), planes[i - BEFORE])
        if i + 1 < len(steps):
            _kick(position, momentum, side_mpc, green, grow.kick(now, middle, (now + steps[i + 1]) / 2))
    planes -= mean
    planes *= side_mpc / 2 / mean
    return planes


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


def _green(side_mpc: float, cells: int, cosmology: Cosmology) -> torch.Tensor:
    """−3/2 Ωm H0²/k² on the modes of rfftn."""
    k = Box((cells,) * 3, side_mpc / cells).wavenumbers()
    k = [torch.from_numpy(v.astype(np.float32)).reshape(s) for v, s in zip(k, _BROADCAST, strict=True)]
    squared = k[0] ** 2 + k[1] ** 2 + k[2] ** 2
    squared[0, 0, 0] = 1
    green = -1.5 * cosmology.omega_m * (100 * cosmology.h) ** 2 / squared
    green[0, 0, 0] = 0
    return green


def _kick(position: np.ndarray, momentum: np.ndarray, side_mpc: float, green: torch.Tensor, kick: float) -> None:
    """momentum −= ∇Φ kick."""
    cells = green.shape[0]
    density = np.zeros((cells,) * 3, np.float32)
    _deposit(position, density, np.float32(cells / side_mpc))
    density *= cells**3 / len(position)
    potential = irfftn(rfftn(torch.from_numpy(density)).mul_(green), s=(cells,) * 3).numpy()
    force = np.empty((cells, cells, cells, 3), np.float32)
    _gradient(potential, force, np.float32(-kick * cells / side_mpc))
    _gather(position, momentum, force, np.float32(cells / side_mpc))


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
def _gradient(potential, force, scale):
    """scale times the differences of the potential per cell, of fourth order, x first."""
    n = potential.shape[0]
    near, far = np.float32(2 / 3) * scale, np.float32(1 / 12) * scale
    for k in range(n):
        ka, kb, kc, kd = (k + 1) % n, (k - 1) % n, (k + 2) % n, (k - 2) % n
        for j in range(n):
            ja, jb, jc, jd = (j + 1) % n, (j - 1) % n, (j + 2) % n, (j - 2) % n
            for i in range(n):
                ia, ib, ic, id_ = (i + 1) % n, (i - 1) % n, (i + 2) % n, (i - 2) % n
                f = potential
                force[k, j, i, 0] = near * (f[k, j, ia] - f[k, j, ib]) - far * (f[k, j, ic] - f[k, j, id_])
                force[k, j, i, 1] = near * (f[k, ja, i] - f[k, jb, i]) - far * (f[k, jc, i] - f[k, jd, i])
                force[k, j, i, 2] = near * (f[ka, j, i] - f[kb, j, i]) - far * (f[kc, j, i] - f[kd, j, i])


@compiled
def _gather(position, momentum, force, scale):
    """Add the force of the eight cells of each cloud to the momentum."""
    n = force.shape[0]
    for p in range(len(position)):
        x, y, z = position[p, 0] * scale, position[p, 1] * scale, position[p, 2] * scale
        i, j, k = int(x), int(y), int(z)
        u, v, w = x - i, y - j, z - k
        i, j, k = i % n, j % n, k % n
        i1, j1, k1 = (i + 1) % n, (j + 1) % n, (k + 1) % n
        for c in range(3):
            low = (1 - v) * ((1 - u) * force[k, j, i, c] + u * force[k, j, i1, c])
            low += v * ((1 - u) * force[k, j1, i, c] + u * force[k, j1, i1, c])
            high = (1 - v) * ((1 - u) * force[k1, j, i, c] + u * force[k1, j, i1, c])
            high += v * ((1 - u) * force[k1, j1, i, c] + u * force[k1, j1, i1, c])
            momentum[p, c] += (1 - w) * low + w * high


@compiled
def _drift(position, momentum, step, side):
    """Move particles around the periodic box."""
    for p in range(len(position)):
        for c in range(3):
            x = (position[p, c] + momentum[p, c] * step) % side
            position[p, c] = x if x < side else 0


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
