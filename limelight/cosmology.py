"""Distances and growth of a flat ΛCDM universe, and its linear power spectrum.

astropy gives the distances, CAMB the linear power. Lengths are comoving Mpc without h, masses Msun, speeds km/s.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from limelight.compiled import compiled_exactly
from limelight.errors import problem
from limelight.kept import kept_arrays

if TYPE_CHECKING:  # a second to import each, and most stages ask for no distance
    from astropy.cosmology import FlatLambdaCDM
    from scipy.interpolate import CubicSpline

SPEED_OF_LIGHT_KMS = 299792.458
CRITICAL_DENSITY_H2 = 2.77536627e11  # 3 H0² / (8 π G) in Msun/Mpc³ for h = 1
COLLAPSE_THRESHOLD = 1.686  # linear overdensity of spherical collapse, as the barrier and the bias fits use it
Z_MAX, STEPS = 20.0, 3999  # of the table of distances
FEW = 1000  # halos: fewer are looked up one by one
CELLS = 1 << 15  # equal cells of z, narrower than any step of the table, through which a halo's step is found
LIMITS = {"omega_m": (0.0, 1.0), "omega_b": (0.0, 1.0), "h": (0.1, 2.0), "ns": (0.0, 2.0), "sigma8": (0.0, 3.0)}
CAMB_K_MAX = 70.0  # 1/Mpc; beyond it the spectrum goes on as k^(ns - 4) ln² k, smooth in both


@dataclass(frozen=True)
class Cosmology:
    """Flat ΛCDM without radiation (as Peak Patch has it); defaults are the light-cones of arXiv:1905.10376.

    omega_m, omega_b: of matter and of baryons today; h: H0 in 100 km/s/Mpc; ns: spectral index; sigma8: of linear matter.
    """

    omega_m: float = 0.286
    omega_b: float = 0.047
    h: float = 0.70
    ns: float = 0.96
    sigma8: float = 0.82

    def __post_init__(self) -> None:
        """Refuse what no universe of this kind is, such as H0 in the place of h: distances would be wrong without a word."""
        for name, (low, high) in LIMITS.items():
            if not low < getattr(self, name) <= high:
                expected = f"above {low:g}, up to {high:g}"
                raise problem(f"cosmology: {name}", f"{getattr(self, name):g}", expected, "mend it (h is H0/100)")

    @functools.cached_property
    def astropy(self) -> "FlatLambdaCDM":
        """The same universe as an astropy object (no radiation, no neutrinos)."""
        from astropy.cosmology import FlatLambdaCDM

        return FlatLambdaCDM(H0=100 * self.h, Om0=self.omega_m, Ob0=self.omega_b, Tcmb0=0)

    @functools.cached_property
    def _distance_splines(self) -> "tuple[CubicSpline, CubicSpline]":
        """χ(z) and z(χ) for 0 ≤ z ≤ 20, good to better than 1e-7: halos come by the ten million."""
        z = np.expm1(np.linspace(0.0, np.log(1 + Z_MAX), STEPS + 1))
        (chi,) = kept_arrays(
            ("distances", self), "astropy", lambda: [np.asarray(self.astropy.comoving_distance(z).value)]
        )
        return spline(z, chi), spline(chi, z)

    def comoving_distance(self, redshift: np.ndarray | float) -> np.ndarray:
        """Comoving distance χ(z) in Mpc, up to z = 20."""
        if np.max(redshift, initial=0.0) > Z_MAX:
            raise problem("redshift", f"{np.max(redshift):g}", f"at most {Z_MAX:g}", "stay below: the table ends there")
        if np.ndim(redshift) != 1 or len(redshift) < FEW:
            return self._distance_splines[0](redshift)
        chi = np.empty(len(redshift))
        compiled_exactly(_evaluate)(np.asarray(redshift), *self._distance_steps, chi)
        return chi

    @functools.cached_property
    def _distance_steps(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The spline χ(z) as `_evaluate` takes it."""
        distances = self._distance_splines[0]
        cells = np.linspace(0, Z_MAX, CELLS + 1)
        first = np.clip(np.searchsorted(distances.x, cells, side="right") - 1, 0, STEPS - 1)
        return distances.x, np.ascontiguousarray(distances.c[::-1].T), first.astype(np.int32)

    def redshift_at(self, distance_mpc: np.ndarray | float) -> np.ndarray:
        """Redshift at comoving distance χ in Mpc."""
        return self._distance_splines[1](distance_mpc)

    def hubble(self, redshift: np.ndarray | float) -> np.ndarray:
        """H(z) in km/s/Mpc."""
        return 100 * self.h * np.sqrt(self.omega_m * (1 + np.asarray(redshift)) ** 3 + 1 - self.omega_m)

    @property
    def matter_density(self) -> float:
        """Mean comoving matter density in Msun/Mpc³."""
        return CRITICAL_DENSITY_H2 * self.h**2 * self.omega_m

    def omega_m_at(self, redshift: np.ndarray | float) -> np.ndarray:
        """Ωm(z)."""
        matter = self.omega_m * (1 + np.asarray(redshift, dtype=np.float64)) ** 3
        return matter / (matter + 1 - self.omega_m)

    def growth(self, redshift: np.ndarray | float) -> np.ndarray:
        """Linear growth factor D(z) of matter and Λ, 1 today (closed form, e.g. Silveira & Waga 1994)."""
        from scipy.special import hyp2f1

        a = 1 / (1 + np.asarray(redshift, dtype=np.float64))
        ratio = (1 - self.omega_m) / self.omega_m
        return a * hyp2f1(1, 1 / 3, 11 / 6, -ratio * a**3) / hyp2f1(1, 1 / 3, 11 / 6, -ratio)

    def growth_rate(self, redshift: np.ndarray | float) -> np.ndarray:
        """f = dlnD/dlna ≈ Ωm(z)^(5/9)."""
        return self.omega_m_at(redshift) ** (5 / 9)

    @functools.cached_property
    def _log_power_spline(self) -> "CubicSpline":
        """ln P against ln k today from CAMB, before the scaling to sigma8; massless neutrinos, k in 1/Mpc, P in Mpc³."""
        if self.omega_b >= self.omega_m:
            raise problem(
                "cosmology: omega_b", f"{self.omega_b:g}", f"less than omega_m ({self.omega_m:g})", "lower omega_b"
            )
        k, power = kept_arrays(("linear power", self), "camb", self._camb_power)
        return spline(np.log(k), np.log(power))

    def _camb_power(self) -> list[np.ndarray]:
        """CAMB's k in 1/Mpc and P(k) in Mpc³ today."""
        import camb  # a second of import that most stages never need

        h2 = self.h**2
        settings = camb.CAMBparams()
        settings.set_cosmology(
            H0=100 * self.h,
            ombh2=self.omega_b * h2,
            omch2=(self.omega_m - self.omega_b) * h2,
            mnu=0,
            num_massive_neutrinos=0,
            omk=0,
        )
        settings.InitPower.set_params(ns=self.ns, As=2e-9)
        settings.WantCls = False
        settings.NonLinear = camb.model.NonLinear_none
        settings.set_matter_power(redshifts=[0.0], kmax=CAMB_K_MAX)
        results = camb.get_results(settings)
        k, _, power = results.get_linear_matter_power_spectrum(hubble_units=False, k_hunit=False)
        return [k, power[0]]

    def linear_power(self, k: np.ndarray) -> np.ndarray:
        """Linear matter power P(k) in Mpc³ at z = 0 for k in 1/Mpc (0 at k = 0): CAMB, scaled to sigma8."""
        return self._power_scale * self._unscaled_power(k)

    @functools.cached_property
    def _power_scale(self) -> float:
        """What brings the top-hat σ at 8 Mpc/h to sigma8 (CAMB's own integral differs by 2e-4)."""
        return float((self.sigma8 / _top_hat_rms(self._unscaled_power, 8 / self.h)) ** 2)

    def _unscaled_power(self, k: np.ndarray) -> np.ndarray:
        """CAMB's P(k), continued as k^ns below its table and as k^(ns - 4) ln²(k) above."""
        k = np.asarray(k, dtype=np.float64)
        spline = self._log_power_spline
        low, high = np.exp(spline.x[0]), np.exp(spline.x[-1])
        inside = np.clip(k, low, high)
        power = np.exp(spline(np.log(inside))) * (np.minimum(k, low) / low) ** self.ns
        above = np.maximum(k, high) / high
        return power * above ** (self.ns - 4) * (1 + np.log(above) / np.log(high / 0.01)) ** 2

    def sigma(self, mass_msun: np.ndarray) -> np.ndarray:
        """RMS linear overdensity today in top-hat spheres that hold mass_msun at the mean density."""
        return np.exp(self._log_sigma_spline(np.log(mass_msun)))

    def log_sigma_slope(self, mass_msun: np.ndarray) -> np.ndarray:
        """dlnσ/dlnM."""
        return self._log_sigma_spline(np.log(mass_msun), 1)

    def sigma_radius(self, radius_mpc: np.ndarray) -> np.ndarray:
        """RMS linear overdensity today in top-hat spheres of comoving radius radius_mpc."""
        radii = np.atleast_1d(np.asarray(radius_mpc, dtype=np.float64))
        return np.array([_top_hat_rms(self.linear_power, radius) for radius in radii])

    @functools.cached_property
    def _log_sigma_spline(self) -> "CubicSpline":
        """ln σ against ln M, 10^7 to 10^17 Msun."""
        log_mass = np.linspace(np.log(1e7), np.log(1e17), 121)
        radius = (3 * np.exp(log_mass) / (4 * np.pi * self.matter_density)) ** (1 / 3)
        return spline(log_mass, np.log(self.sigma_radius(radius)))

    @functools.cached_property
    def displacement_rms(self) -> float:
        """RMS linear displacement along one axis today, Mpc: σ² = ∫ P dk / (6 π²)."""
        log_k = np.linspace(np.log(1e-5), np.log(1e2), 6000)
        k = np.exp(log_k)
        return float(np.sqrt(np.sum(self.linear_power(k) * k) * (log_k[1] - log_k[0]) / (6 * np.pi**2)))

    def velocity_rms(self, redshift: np.ndarray | float) -> np.ndarray:
        """RMS linear peculiar velocity along one axis, km/s: a H f D σ_ψ."""
        z = np.asarray(redshift, dtype=np.float64)
        return self.hubble(z) / (1 + z) * self.growth_rate(z) * self.growth(z) * self.displacement_rms


def _top_hat_rms(power: Callable[[np.ndarray], np.ndarray], radius: float) -> float:
    """RMS of the field with spectrum power(k) in top-hat spheres: σ² = ∫ P W²(kR) k³ dlnk / (2 π²)."""
    log_k = np.linspace(np.log(1e-5), np.log(3e3), 12000)
    k = np.exp(log_k)
    weight = power(k) * k**3 / (2 * np.pi**2) * (log_k[1] - log_k[0])
    return float(np.sqrt(np.sum(weight * _top_hat(k * radius) ** 2)))


def _top_hat(x: np.ndarray) -> np.ndarray:
    """Fourier transform of a top-hat sphere, 3 (sin x − x cos x) / x³; the series below x = 0.01 avoids cancellation."""
    safe = np.maximum(x, 0.01)
    return np.where(x < 0.01, 1 - x**2 / 10, 3 * (np.sin(safe) - safe * np.cos(safe)) / safe**3)


def _evaluate(redshift, knots, coefficients, first, chi):
    """χ (n,) of a spline to the bit as scipy has it, without a search for the step of each redshift.

    coefficients (steps, 4), the constant first; first (cells + 1,): the step in which each of equal cells of z begins.
    """
    last, cells_per_z = len(knots) - 2, (len(first) - 1) / knots[-1]
    for i in range(len(chi)):
        z = np.float64(redshift[i])
        step = first[int(min(max(z, 0.0), knots[-1]) * cells_per_z)] if z == z else 0  # NaN stays NaN
        step -= np.int32(z < knots[step])  # rounding: the step beside it
        step += np.int32(z >= knots[step + 1])
        step = min(max(step, 0), last)
        offset = z - knots[step]
        square = offset * offset
        total = coefficients[step, 0] + coefficients[step, 1] * offset
        total += coefficients[step, 2] * square
        chi[i] = total + coefficients[step, 3] * (square * offset)


def spline(x: np.ndarray, y: np.ndarray) -> "CubicSpline":
    """The cubic spline through points."""
    from scipy.interpolate import CubicSpline

    return CubicSpline(x, y)
