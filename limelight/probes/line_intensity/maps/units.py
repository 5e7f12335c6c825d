"""Brightness temperature, intensity and flux, from astropy's constants."""

import math

import numpy as np

from limelight.kept import kept_arrays

JANSKY = 1e-26  # W/m²/Hz


def _constants() -> list[np.ndarray]:
    from astropy import constants, units  # a second of import, for four numbers

    found = constants.c.si.value, constants.k_B.si.value, constants.L_sun.si.value, (1 * units.Mpc).to_value(units.m)
    return [np.array(found)]


# In m/s, J/K, W and m.
C_MS, K_B_J_K, LSUN_W, MPC_M = kept_arrays("constants", "astropy", _constants)[0].tolist()

# I_ν [Jy/sr] = L / (4π D_L² Δν Ω) of L in Lsun, D_L in Mpc, Δν in GHz, Ω in sr
JY_PER_LSUN = LSUN_W / (4 * math.pi * MPC_M**2 * 1e9) / JANSKY


def intensity_per_kelvin(freq_ghz: np.ndarray | float) -> np.ndarray | float:
    """Jy/sr of one kelvin of Rayleigh-Jeans brightness temperature: 2 k_B ν² / c²."""
    return 2 * K_B_J_K * (np.asarray(freq_ghz, np.float64) * 1e9) ** 2 / C_MS**2 / JANSKY
