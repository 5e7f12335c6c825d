"""E-mode power spectra over the optical depth τ, from a small table that CAMB made once.

Flat ΛCDM with Planck's parameters (arXiv:1807.06209) and hydrogen reionised in a tanh step. As τ changes, A_s e^(−2τ)
stays as measured: small scales, which know it well, look the same at every τ. The spectra are unlensed: at ℓ < 50 lensing
adds 1e-6 µK² of B.
"""

import functools
from collections.abc import Sequence

import numpy as np

from limelight.files import read_csv, resource_path

TABLE = "reionisation_ee.csv"
OMBH2, OMCH2, H0, NS, MNU = 0.02237, 0.1200, 67.36, 0.9649, 0.06
LN_1E10_AS_E2TAU = 3.044 - 2 * 0.0544  # ln(10¹⁰ A_s e^(−2τ))
TAUS = np.round(np.arange(0.01, 0.1601, 0.005), 4)  # of the table
LMAX = 64


def camb_ee(tau: float, lmax: int = LMAX) -> np.ndarray:
    """C_ℓ^EE of one τ from CAMB, (lmax + 1,) in µK² steradian; some seconds."""
    import camb  # a second of import that only the maker of the table and its test need

    amplitude = np.exp(LN_1E10_AS_E2TAU + 2 * tau) * 1e-10
    universe = {"ombh2": OMBH2, "omch2": OMCH2, "H0": H0, "ns": NS, "As": amplitude, "tau": tau, "mnu": MNU}
    settings = camb.set_params(**universe, lmax=2 * lmax, DoLensing=False)
    found = camb.get_results(settings).get_unlensed_scalar_cls(lmax=lmax, CMB_unit="muK", raw_cl=True)
    return found[:, 1]


def table_rows(taus: Sequence[float] = TAUS) -> list[dict]:
    """The table's rows, one for each ℓ from 2: ell, and C_ℓ^EE at each τ."""
    spectra = [camb_ee(float(tau)) for tau in taus]
    return [
        {"ell": ell, **{f"{tau:g}": ee[ell] for tau, ee in zip(taus, spectra, strict=True)}}
        for ell in range(2, LMAX + 1)
    ]


@functools.cache
def _splines():
    from scipy.interpolate import CubicSpline  # the config needs this module's limits, and no spline

    columns = read_csv(resource_path(TABLE), "a table of spectra")
    columns.pop("ell")
    return CubicSpline(np.array([float(tau) for tau in columns]), np.log(np.stack(list(columns.values()))))


def ee_spectra(tau: np.ndarray, lmax: int) -> np.ndarray:
    """C_ℓ^EE (n, lmax + 1) in µK² steradian of τ (n,), 0 below ℓ = 2; τ within TAUS, lmax at most LMAX."""
    tau = np.asarray(tau, np.float64)
    found = np.zeros((len(tau), lmax + 1))
    found[:, 2:] = np.exp(_splines()(tau)[:, : lmax - 1])
    return found
