"""Light-cones turned and mirrored halo by halo: what cutting subfields and painting them must agree with."""

from dataclasses import replace

import astropy.units as u
import numpy as np
from astropy.coordinates.matrix_utilities import rotation_matrix

from limelight.halos.catalogue import HaloCatalogue


def rotate(halos: HaloCatalogue, angle_deg: float) -> HaloCatalogue:
    """The light-cone turned about the line of sight (+z), positions and velocities alike.

    astropy's matrix turns the axes by +angle, that is vectors in (X, Y) by −angle. x = −X/Z mirrors the sense:
    the light-cone turns counter-clockwise on the tangent plane.
    """
    return _moved(halos, rotation_matrix(angle_deg * u.deg, "z"))


def reflect(halos: HaloCatalogue) -> HaloCatalogue:
    """The mirror image of the light-cone in x, positions and velocities alike."""
    return _moved(halos, np.diag([-1.0, 1.0, 1.0]))


def _moved(halos: HaloCatalogue, matrix: np.ndarray) -> HaloCatalogue:
    position, velocity = (columns @ matrix.T for columns in (halos.position_mpc, halos.velocity_kms))
    return replace(halos, position_mpc=position.astype(np.float32), velocity_kms=velocity.astype(np.float32))
