"""Power spectra of the convergence over (Ωm, σ8), from a small table that CAMB made once.

C_ℓ = (3/2 Ωm H0²/c²)² ∫ dχ (1 + z)² ((χ_s − χ)/χ_s)² P((ℓ + ½)/χ, z), the extended Limber integral for sources at one
redshift, with the non-linear power of HMcode 2020 (Mead et al., arXiv:2009.01858). All else is fixed (UNIVERSE). Between the
nodes ln C_ℓ is a spline in ln Ωm, ln σ8 and ln ℓ.
"""

import functools

import numpy as np
from scipy.interpolate import CubicSpline, RectBivariateSpline

from limelight.cosmology import SPEED_OF_LIGHT_KMS, Cosmology
from limelight.files import read_csv, resource_path

TABLE = "weak_lensing_spectra.csv"
UNIVERSE = {"omega_b": 0.046, "h": 0.72, "ns": 0.96}
PARAMETERS = ("omega_m", "sigma8")
OMEGA_M = np.round(np.geomspace(0.15, 0.5, 6), 5)  # nodes of the table
SIGMA8 = np.round(np.geomspace(0.45, 1.15, 6), 5)
REDSHIFTS = (0.5, 1.0, 1.5, 2.0)  # of the sources
ELLS = np.round(np.geomspace(10, 30000, 24), 1)
DISTANCES = 200  # steps of the integral
K_MAX = 30.0  # 1/Mpc; beyond it CAMB extrapolates


def cosmology(omega_m: float, sigma8: float, **others: float) -> Cosmology:
    """The universe of these parameters; others: in place of UNIVERSE's."""
    return Cosmology(omega_m=omega_m, sigma8=sigma8, **(UNIVERSE | others))


def camb_power(omega_m: float, sigma8: float, z_max: float):
    """CAMB's interpolator of HMcode's power: its P(z, k) is in Mpc³, k in 1/Mpc."""
    import camb  # a second of import that only the maker of the table and tests need

    universe = cosmology(omega_m, sigma8)
    h2 = universe.h**2
    settings = camb.CAMBparams(NonLinearModel=camb.nonlinear.Halofit(halofit_version="mead2020"))
    densities = {"ombh2": universe.omega_b * h2, "omch2": (omega_m - universe.omega_b) * h2}
    settings.set_cosmology(H0=100 * universe.h, mnu=0, num_massive_neutrinos=0, omk=0, **densities)
    settings.InitPower.set_params(ns=universe.ns, As=2e-9)
    settings.set_matter_power(redshifts=[0.0], kmax=2.0)
    linear = camb.get_results(settings).get_sigma8_0()
    settings.InitPower.set_params(ns=universe.ns, As=2e-9 * (sigma8 / linear) ** 2)
    return camb.get_matter_power_interpolator(
        settings, zmin=0, zmax=z_max, nz_step=40, kmax=K_MAX, hubble_units=False, k_hunit=False, extrap_kmax=3000.0
    )


def camb_spectra(omega_m: float, sigma8: float, redshifts=REDSHIFTS, ells: np.ndarray = ELLS) -> np.ndarray:
    """C_ℓ of the convergence from CAMB's HMcode, (redshifts, ells); a second."""
    universe = cosmology(omega_m, sigma8)
    power, found = camb_power(omega_m, sigma8, max(redshifts) * 1.01), []
    for redshift in redshifts:
        far = float(universe.comoving_distance(redshift))
        chi = (np.arange(DISTANCES) + 0.5) * far / DISTANCES
        z = universe.redshift_at(chi)
        weight = ((1 + z) * (far - chi) / far) ** 2 * far / DISTANCES
        p = [power.P(one, (ells + 0.5) / distance) for one, distance in zip(z, chi, strict=True)]
        found.append(lensing_strength(universe) ** 2 * (weight @ np.array(p)))
    return np.array(found)


def lensing_strength(universe: Cosmology) -> float:
    """3/2 Ωm H0²/c², 1/Mpc²."""
    return 1.5 * universe.omega_m * (100 * universe.h / SPEED_OF_LIGHT_KMS) ** 2


def table_rows() -> list[dict]:
    """The table's rows, one for each node and source redshift: ln C_ℓ at each ℓ."""
    rows = []
    for omega_m in OMEGA_M:
        for sigma8 in SIGMA8:
            for redshift, spectrum in zip(REDSHIFTS, np.log(camb_spectra(omega_m, sigma8)), strict=True):
                node = {"omega_m": omega_m, "sigma8": sigma8, "source_redshift": redshift}
                rows.append(node | {f"{ell:g}": value for ell, value in zip(ELLS, spectrum, strict=True)})
    return rows


@functools.cache
def _splines(redshift: float) -> list[RectBivariateSpline]:
    """ln C_ℓ over (ln Ωm, ln σ8) at each of ELLS."""
    table = read_csv(resource_path(TABLE), "table of spectra")
    here = table["source_redshift"] == redshift
    nodes = np.log(OMEGA_M), np.log(SIGMA8)
    values = (table[f"{ell:g}"][here].reshape(len(OMEGA_M), len(SIGMA8)) for ell in ELLS)
    return [RectBivariateSpline(*nodes, one, s=0) for one in values]


def convergence_power(theta: np.ndarray, ells: np.ndarray, redshift: float) -> np.ndarray:
    """C_ℓ (m, len(ells)) of θ (m, 2) of PARAMETERS for sources at one of REDSHIFTS; ℓ from 10 to 30000, beyond on a line."""
    omega_m, sigma8 = np.log(np.asarray(theta, np.float64)).T
    at_nodes = np.stack([spline.ev(omega_m, sigma8) for spline in _splines(redshift)], axis=1)
    x = np.log(np.clip(ells, 1.0, None))
    inside = np.clip(x, np.log(ELLS[0]), np.log(ELLS[-1]))
    spline = CubicSpline(np.log(ELLS), at_nodes, axis=1)
    return np.exp(spline(inside) + spline(inside, 1) * (x - inside))
