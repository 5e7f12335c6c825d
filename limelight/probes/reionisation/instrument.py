"""Noise, systematics and mask: how they are drawn, and their exact covariance."""

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from limelight.probes.reionisation.config import Instrument
from limelight.probes.reionisation.harmonics import directions, flat_matrix, multipoles, pixels_of, synthesis_matrix

if TYPE_CHECKING:  # pixels and spectra are asked for with every config, which torch would hold up
    import torch
    from torch import Tensor

ARCMIN = np.pi / 180 / 60
POLE = np.radians([60.189, 96.384])  # of the ecliptic: θ and φ in galactic coordinates
TEMPLATE_SEED = 20190524  # the templates are known: the same in every study
DUST_SLOPE, DUST_HEIGHT_DEG = -2.4, 20.0  # power over ℓ; how far from the plane it reaches


def noise_spectrum(instrument: Instrument, lmax: int) -> np.ndarray:
    """N_ℓ of the isotropic noise, (lmax + 1,) in µK² steradian; 0 below ℓ = 2."""
    ells = np.arange(lmax + 1, dtype=np.float64)
    found = np.zeros(lmax + 1)
    rise = (instrument.knee_ell / ells[2:]) ** instrument.knee_slope if instrument.knee_ell else 0.0
    found[2:] = (instrument.isotropic_uk_arcmin * ARCMIN) ** 2 * (1 + rise)
    return found


def seen_pixels(instrument: Instrument, nside: int) -> np.ndarray:
    """Which pixels are seen, (npix,) bool."""
    latitude = 90 - np.degrees(directions(nside)[0])
    return np.abs(latitude) >= instrument.cut_deg


def pixel_sigma(instrument: Instrument, nside: int) -> np.ndarray:
    """σ of each pixel's own noise, (npix,) in µK."""
    size = np.sqrt(4 * np.pi / pixels_of(nside)) / ARCMIN
    towards_pole = np.abs(_cos_from_pole(nside))
    variance = 1 + instrument.anisotropy * (1 - 2 * towards_pole)
    return instrument.pixel_uk_arcmin / size * np.sqrt(variance)


def _cos_from_pole(nside: int) -> np.ndarray:
    theta, phi = directions(nside)
    return np.cos(theta) * np.cos(POLE[0]) + np.sin(theta) * np.sin(POLE[0]) * np.cos(phi - POLE[1])


@functools.lru_cache(maxsize=4)
def templates(nside: int, lmax: int) -> np.ndarray:
    """A dust-like and a gain-like map of Q and U with an rms of 1, (2, 2 npix)."""
    rng = np.random.default_rng(TEMPLATE_SEED)
    ells = multipoles(lmax)
    moments = rng.standard_normal(2 * len(ells)) * np.tile(ells, 2) ** (DUST_SLOPE / 2)
    moments[len(ells) :] /= np.sqrt(2)  # dust has half the power in B
    theta, phi = directions(nside)
    plane = np.exp(-np.abs(90 - np.degrees(theta)) / DUST_HEIGHT_DEG)
    dust = flat_matrix(nside, lmax) @ moments * np.tile(plane, 2)
    cosine = _cos_from_pole(nside)  # a scan along ecliptic meridians; ψ: their angle to the galactic ones
    psi = np.arctan2(
        np.sin(POLE[0]) * np.sin(POLE[1] - phi),
        np.cos(POLE[0]) * np.sin(theta) - np.sin(POLE[0]) * np.cos(theta) * np.cos(POLE[1] - phi),
    )
    gain = np.concatenate([cosine * np.cos(2 * psi), cosine * np.sin(2 * psi)])
    found = np.stack([dust, gain])
    return found / np.sqrt(np.mean(found**2, axis=1, keepdims=True))


def noise_covariance(instrument: Instrument, nside: int, lmax: int) -> np.ndarray:
    """Of Q, then U, of all pixels: (2 npix, 2 npix) in µK², without the mask."""
    found = np.diag(np.tile(pixel_sigma(instrument, nside) ** 2, 2))
    if instrument.isotropic_uk_arcmin:
        matrix = flat_matrix(nside, lmax)
        found += matrix * np.tile(noise_spectrum(instrument, lmax)[multipoles(lmax)], 2) @ matrix.T
    for spread, template in zip((instrument.dust_uk, instrument.gain_uk), templates(nside, lmax), strict=True):
        if spread:
            found += spread**2 * np.outer(template, template)
    return found


def signal_covariance(ee: np.ndarray, nside: int) -> np.ndarray:
    """Of Q, then U, of all pixels, for one C_ℓ^EE (lmax + 1,): (2 npix, 2 npix)."""
    lmax = len(ee) - 1
    matrix = synthesis_matrix(nside, lmax).reshape(2 * pixels_of(nside), -1)
    return matrix * ee[multipoles(lmax)] @ matrix.T


@dataclass(frozen=True, eq=False)
class Noise:
    """An instrument's noise and mask on one set of pixels, ready to be drawn."""

    seen: "Tensor"  # (npix,) float32, 0 or 1
    sigma: "Tensor"  # (npix,)
    modes: "Tensor | None"  # (2 npix, 2 k): maps of isotropic noise of unit moments
    templates: "Tensor"  # (t, 2 npix), times their spread

    def draw(self, rows: int, random: "torch.Generator") -> "Tensor":
        """Noise and systematics (rows, 2, npix) in µK, without the mask."""
        import torch

        device = random.device

        def normal(*shape: int) -> "Tensor":
            return torch.randn(*shape, generator=random, device=device)

        found = normal(rows, 2, len(self.sigma)) * self.sigma.to(device)
        for maps in (self.modes, self.templates.T):
            if maps is not None and maps.shape[1]:
                found = found + (normal(rows, maps.shape[1]) @ maps.to(device).T).view_as(found)
        return found


@functools.lru_cache(maxsize=8)
def noise_of(instrument: Instrument, nside: int, lmax: int) -> Noise:
    """The noise of an instrument."""
    modes = None
    if instrument.isotropic_uk_arcmin:
        spread = np.sqrt(np.tile(noise_spectrum(instrument, lmax)[multipoles(lmax)], 2))
        modes = _float32(flat_matrix(nside, lmax) * spread)
    spreads = np.array([instrument.dust_uk, instrument.gain_uk])
    some = (templates(nside, lmax) * spreads[:, None])[spreads > 0]
    sigma = pixel_sigma(instrument, nside)
    return Noise(_float32(seen_pixels(instrument, nside)), _float32(sigma), modes, _float32(some))


def _float32(values: np.ndarray) -> "Tensor":
    import torch

    return torch.from_numpy(np.asarray(values, np.float32))
