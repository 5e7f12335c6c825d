"""Lagrangian perturbation theory: how far and how fast matter moves from where it began."""

import numpy as np

from limelight.cosmology import Cosmology


def lpt_factors(z: np.ndarray | float, cosmology: Cosmology) -> np.ndarray:
    """Factors of ψ1 and ψ2 in the displacement, then in the velocity (km/s/Mpc), at redshift z; (4, ...)."""
    omega, first = cosmology.omega_m_at(z), cosmology.growth(z)
    second = 3 / 7 * first**2 * omega ** (-1 / 143)
    speed = cosmology.hubble(z) / (1 + z)
    return np.stack([first, second, speed * omega ** (5 / 9) * first, speed * 2 * omega ** (6 / 11) * second])
