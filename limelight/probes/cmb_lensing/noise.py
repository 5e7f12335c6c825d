"""Reconstruction noise N0 of the EE and EB quadratic estimators by integrals over the plane of l, and what iterating leaves.

With l₁ + l₂ = L and the weights f of the gradient of E alone,

    1/N0_EE(L) = ½ ∫ d²l₁/(2π)² f_EE²/(C_EE(l₁) C_EE(l₂)),   f_EE = [C∇(l₁) L·l₁ + C∇(l₂) L·l₂] cos 2(φ₁ − φ₂)
    1/N0_EB(L) =   ∫ d²l₁/(2π)² f_EB²/(C_EE(l₁) C_BB(l₂)),   f_EB = C∇(l₁) L·l₁ sin 2(φ₁ − φ₂)

(Hu & Okamoto 2002, astro-ph/0111606). The C below are totals: lensed signal and noise divided by the beam squared.
All curves are arrays at ℓ = 0, 1, 2, …; N0 is that of φ, and L⁴ N0/4 that of κ.
"""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from limelight.errors import problem
from limelight.probes.cmb_lensing.grid import ARCMIN
from limelight.probes.cmb_lensing.spectra import Spectra

PLANE = 320  # points along each axis of the plane of l; fewer than 260 are off by percents


@dataclass(frozen=True)
class Data:
    """What is known of the observed maps: noise and beam, and which multipoles an estimator uses."""

    sigma_p: float  # white noise of Q and of U, µK arcmin
    beam_fwhm: float = 0.0  # arcmin
    lmin: int = 100
    lmax: int = 4000

    def __post_init__(self) -> None:
        if not 0 < self.sigma_p < np.inf:
            fix = "without noise give the floor that the filters shall assume, such as 0.1"
            raise problem("cmb_lensing: sigma_p", f"{self.sigma_p:g} µK arcmin", "noise above 0", fix)
        if not 2 <= self.lmin < self.lmax:
            raise problem("cmb_lensing: lmin, lmax", f"{self.lmin}, {self.lmax}", "2 ≤ lmin < lmax", "mend the range")

    def noise(self, ells: np.ndarray) -> np.ndarray:
        """N_ℓ over the beam squared in µK² steradian."""
        width = self.beam_fwhm * ARCMIN / np.sqrt(8 * np.log(2))
        return (self.sigma_p * ARCMIN) ** 2 * np.exp(np.minimum((ells * width) ** 2, 600.0))

    def kept(self, ells: np.ndarray) -> np.ndarray:
        """1 for the multipoles that are used, 0 for others."""
        return ((ells >= self.lmin) & (ells <= self.lmax)).astype(np.float64)


def inverse_total(signal: np.ndarray, data: Data) -> np.ndarray:
    """1/(C_ℓ + N_ℓ) at the multipoles used and 0 elsewhere."""
    ells = np.arange(len(signal), dtype=np.float64)
    return data.kept(ells) / (signal + data.noise(ells))


def response(
    multipoles: np.ndarray, gradient: np.ndarray, inverse_ee: np.ndarray, inverse_bb: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """1/N0 of φ from EE and from EB at each L of multipoles, for curves C∇, 1/C_EE and 1/C_BB (0 where not used)."""
    lx, ly, area = _plane(_end(inverse_ee, inverse_bb))
    one = lx + 1j * ly
    size = np.abs(one)
    grad_1, inverse_1 = _at(gradient, size), _at(inverse_ee, size)
    found = np.empty((2, len(multipoles)))
    for i, big in enumerate(multipoles):
        other = big - one
        size_2 = np.abs(other)
        turn = (one * other.conj() / np.maximum(size * size_2, 1e-30)) ** 2  # exp 2i(φ₁ − φ₂)
        left = grad_1 * big * lx
        ee = (left + _at(gradient, size_2) * big * other.real) * turn.real
        found[0, i] = 0.5 * np.sum(ee**2 * inverse_1 * _at(inverse_ee, size_2))
        found[1, i] = np.sum((left * turn.imag) ** 2 * inverse_1 * _at(inverse_bb, size_2))
    return found[0] * area, found[1] * area


def lensing_bb(multipoles: np.ndarray, product_ee_phi: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Σ over pairs of curves (EE, φφ) of the B that φ makes of E to first order, at each ℓ of multipoles.

    C_BB(ℓ) = ∫ d²l₁/(2π)² [l₁·(l − l₁)]² sin² 2(φ₁ − φ_l) C_EE(l₁) C_φφ(|l − l₁|). A second pair with a negative EE
    subtracts what is known of the two.
    """
    lx, ly, area = _plane(max(len(ee) for ee, _ in product_ee_phi) - 1)
    one = lx + 1j * ly
    size = np.abs(one)
    sine = ((one / np.maximum(size, 1e-30)) ** 2).imag ** 2
    spectra = [(_at(ee, size), phi) for ee, phi in product_ee_phi]
    found = np.empty(len(multipoles))
    for i, ell in enumerate(multipoles):
        other = ell - one
        weight = (one * other.conj()).real ** 2 * sine
        found[i] = np.sum(weight * sum(ee * _at(phi, np.abs(other)) for ee, phi in spectra))
    return found * area


@dataclass(frozen=True)
class Iterated:
    """What an iterated (MAP) estimator reaches: 1/N0 of φ and the B left after delensing, at ℓ = 0 … lmax."""

    response: np.ndarray
    delensed_bb: np.ndarray


def iterated_n0(spectra: Spectra, data: Data, rounds: int = 6) -> Iterated:
    """N0 after delensing again and again (Smith et al. 2012, arXiv:1010.0048), without the bias N1.

    Each round delenses with the φ known so far, which leaves less B, which gives a better φ. Lensed E and its gradient
    count as unlensed here, since the delensing undoes theirs as well.
    """
    ells = spectra.ells
    at = spaced(len(ells) - 1)
    noise = data.noise(ells)
    known_ee = np.where(data.kept(ells) > 0, spectra.ee**2 / (spectra.ee + noise), 0.0)
    everything = lensing_bb(at, [(spectra.ee, spectra.phi)])
    left = spectra.lensed_bb
    found = np.zeros_like(ells)
    for _ in range(rounds):
        ee, eb = response(at, spectra.ee, inverse_total(spectra.ee, data), inverse_total(left, data))
        found = between(at, ee + eb, ells)
        known_phi = spectra.phi**2 * found / (spectra.phi * found + 1)
        share = lensing_bb(at, [(spectra.ee, spectra.phi), (-known_ee, known_phi)]) / everything
        left = spectra.lensed_bb * np.interp(ells, at, share)
    return Iterated(found, left)


def spaced(lmax: int) -> np.ndarray:
    """Multipoles at which smooth curves are worked out, dense where they bend, up to lmax."""
    return np.unique(np.round(np.concatenate([np.geomspace(10, 500, 30), np.linspace(500, lmax, lmax // 100)])))


def between(at: np.ndarray, values: np.ndarray, ells: np.ndarray) -> np.ndarray:
    """A curve known at some multipoles, smooth in its logarithm between them; 0 where it is 0 and below L = 2."""
    some = values > 0
    at, values = at[some], values[some]
    inside = np.clip(ells, at[0], at[-1])
    curve = np.exp(PchipInterpolator(np.log(at), np.log(values))(np.log(inside)))
    curve = curve * (np.minimum(ells, at[0]) / at[0]) ** 4  # 1/N0 of φ for long waves
    return np.where((ells < 2) | (ells > at[-1]), 0.0, curve)


def _end(*curves: np.ndarray) -> int:
    """The last multipole at which one of the curves is not 0."""
    return max(int(np.flatnonzero(curve)[-1]) for curve in curves)


def _plane(lmax: float) -> tuple[np.ndarray, np.ndarray, float]:
    """l_x (1, n), l_y (n/2, 1) of the upper half of a plane |l_x|, |l_y| < lmax, and dl²/(2π)² for both halves."""
    step = 2 * lmax / PLANE
    axis = (np.arange(PLANE) + 0.5) * step - lmax
    return axis[None, :], axis[PLANE // 2 :, None], 2 * step**2 / (2 * np.pi) ** 2


def _at(curve: np.ndarray, size: np.ndarray) -> np.ndarray:
    """A curve at the nearest whole multipoles, 0 beyond its end: next to the mesh of the plane they are dense."""
    return np.append(curve, 0.0)[np.minimum(np.rint(size), len(curve)).astype(np.intp)]
