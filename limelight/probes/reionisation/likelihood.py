"""The exact likelihood of τ: in closed form where multipoles are independent, else from the covariance of all pixels.

The sky is Gaussian, and so are the noise and the amplitudes of the templates. With d the seen pixels of Q and U and
C(τ) = S(τ) + N their covariance, −2 ln L(τ) = dᵀ C⁻¹ d + ln det C. On the full sky under isotropic noise this becomes
Σ_ℓ (2ℓ + 1) [Ĉ_ℓ / (C_ℓ + N_ℓ) + ln(C_ℓ + N_ℓ)] over E alone, where Ĉ_ℓ is the power of the measured moments.
"""

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular

from limelight.probes.reionisation.config import Instrument
from limelight.probes.reionisation.harmonics import flat_matrix, multipoles
from limelight.probes.reionisation.instrument import noise_covariance, noise_spectrum, seen_pixels, signal_covariance
from limelight.probes.reionisation.spectra import ee_spectra

STEP = 1e-4  # of τ, for derivatives of the spectra: they are smooth


def beam_power(beam_deg: float, lmax: int) -> np.ndarray:
    """b_ℓ² of a Gaussian beam of this full width at half maximum, (lmax + 1,)."""
    sigma = np.radians(beam_deg) / np.sqrt(8 * np.log(2))
    ells = np.arange(lmax + 1)
    return np.exp(-ells * (ells + 1) * sigma**2)


def seen_ee(tau: np.ndarray, lmax: int, beam_deg: float) -> np.ndarray:
    """C_ℓ^EE behind the beam, (n, lmax + 1)."""
    return ee_spectra(tau, lmax) * beam_power(beam_deg, lmax)


def closed_form(maps: np.ndarray, taus: np.ndarray, instrument: Instrument, nside: int, lmax: int, beam_deg: float):
    """ln L (m, g) of τ (g,) for maps (m, 2, npix) of the full sky under isotropic noise."""
    matrix, ells = flat_matrix(nside, lmax), multipoles(lmax)
    moments = np.linalg.lstsq(matrix, maps.reshape(len(maps), -1).T.astype(np.float64), rcond=None)[0][: len(ells)].T
    power = np.stack([np.sum(moments[:, ells == ell] ** 2, axis=1) for ell in range(2, lmax + 1)], axis=1)
    total = (seen_ee(taus, lmax, beam_deg) + noise_spectrum(instrument, lmax))[:, 2:]
    weights = 2 * np.arange(2, lmax + 1) + 1
    return -0.5 * (power @ (1 / total).T + np.log(total) @ weights)


def pixel_likelihood(
    maps: np.ndarray,
    taus: np.ndarray,
    noise: np.ndarray,
    seen: np.ndarray,
    nside: int,
    lmax: int,
    beam_deg: float,
) -> np.ndarray:
    """ln L (m, g) of τ (g,) for maps (m, 2, npix).

    Parameters
    ----------
    noise
        Covariance of noise and systematics, (2 npix, 2 npix); of full rank on the seen pixels.
    seen
        Which pixels count, (npix,) bool.
    """
    both = np.tile(seen, 2)
    data = maps.reshape(len(maps), -1)[:, both].T.astype(np.float64)
    noise = noise[np.ix_(both, both)]
    found = np.empty((data.shape[1], len(taus)))
    for i, ee in enumerate(seen_ee(taus, lmax, beam_deg)):
        root = cholesky(signal_covariance(ee, nside)[np.ix_(both, both)] + noise, lower=True, check_finite=False)
        white = solve_triangular(root, data, lower=True, check_finite=False)
        found[:, i] = -0.5 * np.sum(white**2, axis=0) - np.log(np.diag(root)).sum()
    return found


def log_likelihood(
    maps: np.ndarray, taus: np.ndarray, instrument: Instrument, nside: int, lmax: int, beam_deg: float
) -> np.ndarray:
    """ln L (m, g) of τ (g,) for maps (m, 2, npix) that an instrument recorded, exactly; up to a constant of each map."""
    if instrument.harmonic:
        return closed_form(maps, taus, instrument, nside, lmax, beam_deg)
    noise = noise_covariance(instrument, nside, lmax)
    return pixel_likelihood(maps, taus, noise, seen_pixels(instrument, nside), nside, lmax, beam_deg)


def fisher_information(tau: float, instrument: Instrument, nside: int, lmax: int, beam_deg: float) -> float:
    """Of τ: Σ_ℓ (2ℓ + 1)/2 (∂ ln(C_ℓ + N_ℓ))² on the full sky, ½ Tr (C⁻¹ ∂C)² of the pixels else."""
    low, here, high = seen_ee(tau + STEP * np.array([-1, 0, 1]), lmax, beam_deg)
    slope = (high - low) / (2 * STEP)
    if instrument.harmonic:
        total = here + noise_spectrum(instrument, lmax)
        return float(np.sum((np.arange(2, lmax + 1) + 0.5) * (slope[2:] / total[2:]) ** 2))
    both = np.tile(seen_pixels(instrument, nside), 2)
    pick = np.ix_(both, both)
    covariance = signal_covariance(here, nside) + noise_covariance(instrument, nside, lmax)
    change = cho_solve(cho_factor(covariance[pick], lower=True), signal_covariance(slope, nside)[pick])
    return float(0.5 * np.sum(change * change.T))
