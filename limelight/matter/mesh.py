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

from limelight.compiled import compiled
from limelight.cosmology import Cosmology
from limelight.matter.chunks import chunk_runner
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


def poisson(cosmology: Cosmology) -> float:
    """3/2 Ωm H0², (km/s/Mpc)²: forces and kicks are so many times the gradient of ∇⁻²δ."""
    return 1.5 * cosmology.omega_m * (100 * cosmology.h) ** 2


def inverse_laplacian(side_mpc: float, cells: int) -> torch.Tensor:
    """1/k² on the modes of rfftn, Mpc²; 0 for the mean."""
    k = Box((cells,) * 3, side_mpc / cells).wavenumbers()
    k = [torch.from_numpy(v.astype(np.float32)).reshape(s) for v, s in zip(k, BROADCAST, strict=True)]
    squared = k[0] ** 2 + k[1] ** 2 + k[2] ** 2
    squared[0, 0, 0] = torch.inf
    return 1 / squared


def density_modes(position: np.ndarray, side_mpc: float, cells: int) -> torch.Tensor:
    """The density over its mean as modes of rfftn."""
    density = np.zeros((cells,) * 3, np.float32)
    deposit(position, density, np.float32(cells / side_mpc))
    density *= cells**3 / len(position)
    return rfftn(torch.from_numpy(density))


def push(position: np.ndarray, moved: np.ndarray, side_mpc: float, modes: torch.Tensor, scale: float) -> None:
    """moved += scale × gradient of the field with these modes, at each particle."""
    cells = modes.shape[0]
    field = irfftn(modes, s=(cells,) * 3).numpy()
    _gather(position, moved, field, np.float32(cells / side_mpc), np.float32(scale * cells / side_mpc))


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
def move(position, momentum, step, side):
    """Move particles around the periodic box."""
    for p in range(len(position)):
        for c in range(3):
            x = position[p, c] + momentum[p, c] * step
            if x < 0 or x >= side:
                x -= side * np.floor(x / side)
            position[p, c] = x if 0 <= x < side else 0
