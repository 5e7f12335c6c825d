"""Skies of a given spectrum, for tests: healpy draws from numpy's global state alone, which hangs on the tests before."""

import numpy as np


def drawn_alm(spectrum: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Spherical harmonics, in healpy's order, of a Gaussian sky of the spectrum (lmax + 1,)."""
    import healpy

    ell, m = healpy.Alm.getlm(len(spectrum) - 1)
    real, imaginary = rng.standard_normal((2, len(ell))) * np.sqrt(spectrum[ell] / (1 + (m > 0)))
    return real + 1j * (m > 0) * imaginary
