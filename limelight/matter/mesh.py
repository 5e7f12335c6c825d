"""Equal masses on a mesh: where they start, the forces on them, and the steps of a leapfrog.

Particles start from second-order perturbation theory and move by a leapfrog whose kicks and drifts grow as linear theory
has it, so that two dozen steps will do (FastPM, Feng et al. 2016, arXiv:1603.00476). Densities and forces are shared in
clouds of one cell, whose two windows are not divided out: on a mesh finer than the particles that would raise the
harmonics of the lattice they start from far above the forces. Sums over particles are compiled by numba and run on one
thread. Units: Mpc, km/s and comoving momenta p = a² dx/dt, so that dx = p ∫dt/a² and dp = −∇Φ ∫dt/a with
∇²Φ = 3/2 Ωm H0² δ.
"""

import numpy as np
import torch
from scipy.interpolate import CubicSpline

from limelight.cosmology import Cosmology
from limelight.matter.chunks import chunk_runner
from limelight.matter.compiled import compiled
from limelight.matter.fourier import irfftn, rfftn
from limelight.matter.initial import Box, LinearField, displacements
from limelight.matter.lagrangian import lpt_factors

BROADCAST = ((-1, 1, 1), (1, -1, 1), (1, 1, -1))  # of wavenumbers along z, y and x


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


def started(field: LinearField, redshift: float, cosmology: Cosmology) -> tuple[np.ndarray, np.ndarray]:
    """Positions and momenta (n, 3) float32, x first, of one particle from each cell of a cube, at a redshift.

    The field's modes are overwritten.
    """
    box = field.box
    with chunk_runner() as run:
        psi = displacements(field, run).permute(1, 2, 3, 0).reshape(-1, 6)
    first, second, first_speed, second_speed = (float(f) for f in lpt_factors(redshift, cosmology))
    axis = torch.arange(box.shape[0], dtype=torch.float32) * box.cell_mpc
    position = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")[::-1], dim=-1).reshape(-1, 3)
    position += psi[:, :3] * first + psi[:, 3:] * second
    momentum = (psi[:, :3] * first_speed + psi[:, 3:] * second_speed) / (1 + redshift)
    return position.remainder_(box.shape[0] * box.cell_mpc).numpy(), momentum.numpy()


def greens_function(side_mpc: float, cells: int, cosmology: Cosmology) -> torch.Tensor:
    """−3/2 Ωm H0²/k² on the modes of rfftn."""
    k = Box((cells,) * 3, side_mpc / cells).wavenumbers()
    k = [torch.from_numpy(v.astype(np.float32)).reshape(s) for v, s in zip(k, BROADCAST, strict=True)]
    squared = k[0] ** 2 + k[1] ** 2 + k[2] ** 2
    squared[0, 0, 0] = 1
    green = -1.5 * cosmology.omega_m * (100 * cosmology.h) ** 2 / squared
    green[0, 0, 0] = 0
    return green


def accelerate(position: np.ndarray, momentum: np.ndarray, side_mpc: float, green: torch.Tensor, kick: float) -> None:
    """momentum −= ∇Φ kick, on the mesh that `green` (greens_function) is for."""
    cells = green.shape[0]
    density = np.zeros((cells,) * 3, np.float32)
    deposit(position, density, np.float32(cells / side_mpc))
    density *= cells**3 / len(position)
    potential = irfftn(rfftn(torch.from_numpy(density)).mul_(green), s=(cells,) * 3).numpy()
    force = np.empty((cells, cells, cells, 3), np.float32)
    _gradient(potential, force, np.float32(-kick * cells / side_mpc))
    _gather(position, momentum, force, np.float32(cells / side_mpc))


@compiled
def deposit(position, density, scale):
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
def move(position, momentum, drift, side):
    """Move particles around the periodic box."""
    for p in range(len(position)):
        for c in range(3):
            x = (position[p, c] + momentum[p, c] * drift) % side
            position[p, c] = x if x < side else 0
