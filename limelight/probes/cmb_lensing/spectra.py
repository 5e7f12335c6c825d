"""Power spectra of the CMB and of its lensing, from CAMB, kept in memory for each set of parameters."""

import functools
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from limelight.kept import kept_arrays

if TYPE_CHECKING:
    from camb import CAMBdata

LMAX = 5000  # unlensed EE is down by 1e-6 from its peak there


@dataclass(frozen=True)
class Parameters:
    """A flat ΛCDM universe with one massive neutrino; the defaults are Planck's (arXiv:1807.06209)."""

    ombh2: float = 0.02237
    omch2: float = 0.1200
    h: float = 0.6736
    ns: float = 0.9649
    ln1e10as: float = 3.044
    tau: float = 0.0544
    mnu: float = 0.06  # eV


FIDUCIAL = Parameters()


@dataclass(frozen=True)
class Spectra:
    """C_ℓ at ℓ = 0 … lmax in µK² steradian (φφ: no unit), each (lmax + 1,) float64; 0 at ℓ < 2."""

    ee: np.ndarray  # unlensed
    phi: np.ndarray  # lensing potential
    lensed_ee: np.ndarray
    lensed_bb: np.ndarray

    @property
    def ells(self) -> np.ndarray:
        """ℓ of each entry."""
        return np.arange(len(self.ee), dtype=np.float64)

    @property
    def kappa(self) -> np.ndarray:
        """C_L of κ = −∇²φ/2, L⁴ C_L^φφ / 4 (flat sky)."""
        return self.ells**4 * self.phi / 4


def draw_parameters(low: Parameters, high: Parameters, rng: np.random.Generator) -> Parameters:
    """Parameters drawn evenly between two sets of bounds; where these agree the parameter is fixed."""
    names = [field.name for field in fields(Parameters)]
    return Parameters(**{name: float(rng.uniform(getattr(low, name), getattr(high, name))) for name in names})


@functools.lru_cache(maxsize=64)
def spectra_of(parameters: Parameters = FIDUCIAL, lmax: int = LMAX) -> Spectra:
    """Spectra of a universe; non-linear growth enters φφ. About 5 s, once for each set of parameters in a folder."""

    def computed() -> list[np.ndarray]:
        results = _results(parameters, lmax)
        options = {"lmax": lmax, "CMB_unit": "muK", "raw_cl": True}
        lensed = results.get_lensed_scalar_cls(**options)
        ee, phi = results.get_unlensed_scalar_cls(**options)[:, 1], results.get_lens_potential_cls(**options)[:, 0]
        return [ee, phi, lensed[:, 1], lensed[:, 2]]

    return Spectra(*kept_arrays(("spectra", parameters, lmax), "camb", computed))


@functools.lru_cache(maxsize=64)
def gradient_ee(parameters: Parameters = FIDUCIAL, lmax: int = LMAX) -> np.ndarray:
    """Spectrum of lensed E with the gradient of E, (lmax + 1,) in µK² steradian. About 10 s more than `spectra_of`.

    A quadratic estimator responds to this one, not to the unlensed nor to the lensed spectrum (arXiv:1101.2234).
    """

    def computed() -> list[np.ndarray]:
        return [_results(parameters, lmax).get_lensed_gradient_cls(lmax, CMB_unit="muK", raw_cl=True)[:, 1]]

    return kept_arrays(("gradient", parameters, lmax), "camb", computed)[0]


@functools.lru_cache(maxsize=2)
def _results(parameters: Parameters, lmax: int) -> "CAMBdata":
    """CAMB's spectra of a universe."""
    import camb  # a second of import that most stages never need

    settings = camb.set_params(
        ombh2=parameters.ombh2,
        omch2=parameters.omch2,
        H0=100 * parameters.h,
        ns=parameters.ns,
        As=np.exp(parameters.ln1e10as) * 1e-10,
        tau=parameters.tau,
        mnu=parameters.mnu,
        WantTransfer=False,
    )
    settings.set_for_lmax(lmax, lens_potential_accuracy=4)
    return camb.get_results(settings)
