"""The forces of the particle mesh against closed forms."""

import numpy as np
import pytest

from limelight.cosmology import Cosmology
from limelight.matter.mesh import accelerate, greens_function
from limelight.matter.particle_mesh import MESH_PER_PARTICLE

COSMOLOGY = Cosmology()
PARTICLES, SIDE = 16, 8.0  # of the lattice; Mpc


def displaced(wavelength: float, direction: int, offset: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions and displacements (n, 3), Mpc, of a lattice in a sine wave; wavelength and offset in its spacings."""
    spacing = SIDE / PARTICLES
    axis = np.arange(PARTICLES) * spacing
    lattice = np.stack(np.meshgrid(axis, axis, axis, indexing="ij")[::-1], -1).reshape(-1, 3)
    psi = np.zeros_like(lattice)
    psi[:, direction] = 0.1 * spacing * np.sin(2 * np.pi / (wavelength * spacing) * lattice[:, direction] + 0.3)
    return np.mod(lattice + psi + offset * spacing, SIDE).astype(np.float32), psi


@pytest.mark.parametrize(("wavelength", "at_most"), [(16.0, 1.03), (8.0, 1.08), (4.0, 1.26)])
def test_forces_on_sheets_are_their_displacements(wavelength, at_most):
    """Zel'dovich: sheets that have not crossed feel 3/2 Ωm H0² ψ exactly. Particles on nodes of the mesh feel the most."""
    green = greens_function(SIDE, MESH_PER_PARTICLE * PARTICLES, COSMOLOGY)
    for direction, offset in ((0, 0.0), (1, 0.13), (2, 0.25)):
        position, psi = displaced(wavelength, direction, offset)
        momentum = np.zeros_like(position)
        accelerate(position, momentum, SIDE, green, 1.0)
        force = momentum / (1.5 * COSMOLOGY.omega_m * (100 * COSMOLOGY.h) ** 2)
        slope = (force * psi).sum() / (psi**2).sum()
        assert 0.99 < slope < at_most, (direction, offset)
        assert np.abs(force - slope * psi).max() < 0.12 * np.abs(psi).max()
