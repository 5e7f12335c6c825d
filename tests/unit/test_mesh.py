"""The forces of the particle mesh against closed forms."""

import numpy as np
import pytest

from limelight.matter.mesh import density_modes, inverse_laplacian, move, push
from limelight.matter.particle_mesh import MESH_PER_PARTICLE

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
    """Zel'dovich: sheets that have not crossed feel their displacement ψ, in units of 3/2 Ωm H0².

    Particles on nodes of the mesh feel the most.
    """
    cells = MESH_PER_PARTICLE * PARTICLES
    for direction, offset in ((0, 0.0), (1, 0.13), (2, 0.25)):
        position, psi = displaced(wavelength, direction, offset)
        force = np.zeros_like(position)
        modes = density_modes(position, SIDE, cells) * inverse_laplacian(SIDE, cells)
        push(position, force, SIDE, modes, 1.0)
        slope = (force * psi).sum() / (psi**2).sum()
        assert 0.99 < slope < at_most, (direction, offset)
        assert np.abs(force - slope * psi).max() < 0.12 * np.abs(psi).max()


def test_particles_come_back_into_the_box_however_far_they_move():
    position = np.array([[1.0, 7.5, 4.0]], np.float32)
    move(position, np.array([[-2.0, 1.0, 10.0]], np.float32), np.float32(2), np.float32(SIDE))
    np.testing.assert_allclose(position, [[5.0, 1.5, 0.0]], atol=1e-5)  # -3, 9.5 and 24 in a box of 8
