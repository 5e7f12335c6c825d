"""When halos formed: a published fit, so that a light-cone written for other codes has its formation redshifts."""

import numpy as np

from limelight.cosmology import COLLAPSE_THRESHOLD, Cosmology

FRACTION = 0.5  # a halo has formed when one progenitor first holds this part of its mass


def formation_redshift(mass_msun: np.ndarray, redshift: np.ndarray, cosmology: Cosmology) -> np.ndarray:
    """Median formation redshift of halos (n,) at their redshifts (n,), float32.

    Giocoli, Tormen & Sheth 2012 (arXiv:1111.6977), their fit of w = [δc(zf) − δc(z)] / √(S(fM) − S(M)): the median is
    √(2 ln(1 + α)), α = 0.815 exp(−2 f³) / f^0.707, with S the variance and δc = 1.686 / D.
    """
    alpha = 0.815 * np.exp(-2 * FRACTION**3) / FRACTION**0.707
    median = np.sqrt(2 * np.log1p(alpha))
    mass = np.asarray(mass_msun, dtype=np.float64)
    log_mass = np.log(mass.min()) + np.linspace(0, 1, 200) * max(np.log(mass.max() / mass.min()), 1e-6)
    step = cosmology.sigma(FRACTION * np.exp(log_mass)) ** 2 - cosmology.sigma(np.exp(log_mass)) ** 2
    barrier = COLLAPSE_THRESHOLD / cosmology.growth(np.asarray(redshift, dtype=np.float64))
    barrier = barrier + median * np.sqrt(np.interp(np.log(mass), log_mass, step))
    table = np.linspace(0, 60, 3001)
    return np.interp(barrier, COLLAPSE_THRESHOLD / cosmology.growth(table), table).astype(np.float32)
