"""Distances and growth of a flat ΛCDM universe, and its linear power spectrum.

astropy gives the distances, CAMB the linear power. Lengths are comoving Mpc without h, masses Msun, speeds km/s.
"""

import functools
from dataclasses import dataclass

import numpy as np
from astropy.cosmology import FlatLambdaCDM
from scipy.interpolate import CubicSpline

SPEED_OF_LIGHT_KMS = 299792.458


@dataclass(frozen=True)
class Cosmology:
    """Flat ΛCDM without radiation (as Peak Patch has it); defaults are the light-cones of arXiv:1905.10376."""

    omega_m: float = 0.286
    omega_b: float = 0.047
    h: float = 0.70
    ns: float = 0.96
    sigma8: float = 0.82

    @functools.cached_property
    def astropy(self) -> FlatLambdaCDM:
        """The same universe as an astropy object (no radiation, no neutrinos)."""
        return FlatLambdaCDM(H0=100 * self.h, Om0=self.omega_m, Ob0=self.omega_b, Tcmb0=0)

    @functools.cached_property
    def _distance_splines(self) -> tuple[CubicSpline, CubicSpline]:
        """χ(z) and z(χ) for 0 ≤ z ≤ 20, good to better than 1e-7: halos come by the ten million."""
        z = np.expm1(np.linspace(0.0, np.log(21.0), 4000))
        chi = self.astropy.comoving_distance(z).value
        return CubicSpline(z, chi), CubicSpline(chi, z)

    def comoving_distance(self, redshift: np.ndarray | float) -> np.ndarray:
        """Comoving distance χ(z) in Mpc."""
        return self._distance_splines[0](redshift)

    def redshift_at(self, distance_mpc: np.ndarray | float) -> np.ndarray:
        """Redshift at comoving distance χ in Mpc."""
        return self._distance_splines[1](distance_mpc)

    def hubble(self, redshift: np.ndarray | float) -> np.ndarray:
        """H(z) in km/s/Mpc."""
        return 100 * self.h * np.sqrt(self.omega_m * (1 + np.asarray(redshift)) ** 3 + 1 - self.omega_m)
