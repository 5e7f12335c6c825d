"""The line model of Padmanabhan 2018."""

import numpy as np

from limelight.probes.line_intensity.lines.models import (
    CO_LSUN_PER_LPRIME,
    CO_REST_FREQ_GHZ,
    LineModel,
    Parameters,
    log10_sum,
)


def padmanabhan(
    mass_msun: np.ndarray, redshift: np.ndarray, parameters: Parameters, rng: np.random.Generator
) -> np.ndarray:
    """Padmanabhan 2018 (arXiv:1706.01471), CO(1-0): L′ = 2 N M / [(M/M1)^−b + (M/M1)^y], without scatter.

    log10 M1 = log10 M10 + M11 z/(1+z), and N, b, y = (value at z = 0) + slope z/(1+z).
    """
    z = np.asarray(redshift, np.float64)
    run = z / (1 + z)
    log_mass = np.log10(mass_msun, dtype=np.float64)
    norm, b, y = (parameters[f"{name}10"] + parameters[f"{name}11"] * run for name in ("N", "b", "y"))
    log_ratio = log_mass - (np.log10(parameters["M10"]) + parameters["M11"] * run)
    return np.log10(CO_LSUN_PER_LPRIME * 2 * norm) + log_mass - log10_sum(-b * log_ratio, y * log_ratio)


PADMANABHAN = LineModel(
    name="padmanabhan",
    source="Padmanabhan 2018, arXiv:1706.01471",
    parameters={
        "M10": (4.17e12, 2.03e12),
        "M11": (-1.17, 0.85),
        "N10": (0.0033, 0.0016),
        "N11": (0.04, 0.03),
        "b10": (0.95, 0.46),
        "b11": (0.48, 0.35),
        "y10": (0.66, 0.32),
        "y11": (-0.33, 0.24),
    },
    log10_luminosity=padmanabhan,
    rest_freq_ghz=CO_REST_FREQ_GHZ,
    positive=("M10", "N10", "N11"),  # else the luminosity would be negative at some redshift
)
