"""What the tests of CMB lensing share: spectra of one universe, and those of a box that lacks the longest waves of φ."""

import numpy as np
from camb import correlations

from limelight.probes.cmb_lensing.spectra import FIDUCIAL, Spectra, gradient_ee, spectra_of

LMAX = 4000  # half the time of CAMB's 5000; E beyond it has no power to speak of


def fiducial() -> Spectra:
    """Spectra of the default universe."""
    return spectra_of(FIDUCIAL, LMAX)


def gradient() -> np.ndarray:
    """Lensed-gradient EE of the default universe."""
    return gradient_ee(FIDUCIAL, LMAX)


def lensed_in_a_box(spectra: Spectra, low_l: float) -> tuple[np.ndarray, np.ndarray]:
    """Lensed EE and BB by CAMB's full-sky correlation functions, with only the φ of L ≥ low_l."""
    scale = (spectra.ells * (spectra.ells + 1) / (2 * np.pi))[:, None]
    unlensed = np.zeros((len(spectra.ells), 4))
    unlensed[:, 1] = spectra.ee
    phi = np.where(spectra.ells >= low_l, spectra.phi, 0.0)
    lensed = correlations.lensed_cls(unlensed * scale, spectra.ells**2 * (spectra.ells + 1) ** 2 / (2 * np.pi) * phi)
    lensed[1:] /= scale[1:]
    return lensed[:, 1], lensed[:, 2]
