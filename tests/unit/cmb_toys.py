"""What the tests of CMB lensing share: spectra of one universe, those of a box that lacks the longest waves of φ, and a tiny
study with its shards."""

from pathlib import Path

import numpy as np
from camb import correlations

from limelight.data.shard import Rows, read_shards, write_shard
from limelight.files import provenance
from limelight.probe import load_probe
from limelight.probes.cmb_lensing.config import LensingStudy
from limelight.probes.cmb_lensing.presentation import LensingPresentation
from limelight.probes.cmb_lensing.spectra import FIDUCIAL, Spectra, gradient_ee, spectra_of
from limelight.study.config import resolve_study
from limelight.study.selection import header_of

LMAX = 4000  # half the time of CAMB's 5000; E beyond it has no power to speak of
PROBE = load_probe("cmb_lensing")
GATED = {"filters": 6, "blocks": 1, "padding": "circular"}
FLAT = {"architecture": "resunet", "options": {"filters": 2, "levels": 1, "down": "flat"}, "noise_uk_arcmin": 1.0}
BOTH = {"maps": ["kappa", "e"]}


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


def lensing_study(**sections) -> LensingStudy:
    """A study of 24 patches of 32² pixels for each split; sections replace its own."""
    raw = {
        "study": "tiny_lensing",
        "probe": "cmb_lensing",
        "seed": 3,
        "realisations": {"train": [0], "validation": [1], "test": [2]},
        "data": {"patch": {"pixels": 32, "pixel_arcmin": 3.0, "maps": 24, "oversample": 1}},
        "training": {"epochs": 2, "batch_size": 8, "learning_rate": 1.0e-3},
        "networks": {
            "hybrid": {
                "architecture": "gated",
                "options": {**GATED, "start_from": [2, 7]},
                "data": ["patch"],
                "inputs": "hybrid",
                "noise_uk_arcmin": 1.0,
                "target": BOTH,
            },
            "flat": {
                "architecture": "resunet",
                "options": {"filters": 2, "levels": 1, "down": "flat"},
                "data": ["patch"],
                "noise_uk_arcmin": 1.0,
            },
            "unsure": {
                "architecture": "gated",
                "options": {**GATED, "start_from": [2, -1]},
                "data": ["patch"],
                "inputs": "hybrid",
                "noise_uk_arcmin": 1.0,
                "training": {"loss": "gaussian"},
            },
        },
        "tests": {"noise_1": {"data": "patch", "noise_uk_arcmin": 1.0, "estimators": ["quadratic", "wiener"]}},
        "audit": {"maps": 24, "thresholds": {"min_maps": 10}, "networks": ["hybrid"]},
        "resources": {"training_threads": 1},
    }
    return resolve_study({**raw, **sections}, "tiny_lensing.yaml")


def lensing_shards(study: LensingStudy, folder: Path) -> list[Rows]:
    """Shards of its three realisations, written and read again."""
    settings = PROBE.dataset_settings(study, "patch")
    for group in range(3):
        write_shard(folder / f"{group}.h5", PROBE.simulate(settings, "patch", group), provenance(settings, study.seed))
    return [read_shards([folder / f"{group}.h5"]) for group in range(3)]


def lensing_presentation(study: LensingStudy, network: str = "flat", noise: float = 0.0) -> LensingPresentation:
    """How one of its networks is shown its maps."""
    return PROBE.presentation(study.networks[network], {"noise_uk_arcmin": noise}, header_of(study, "patch"))
