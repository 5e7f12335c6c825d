"""The line model of Breysse, Kovetz & Kamionkowski 2014."""

import numpy as np

from limelight.probes.line_intensity.lines.models import CO_REST_FREQ_GHZ, LineModel, Parameters


def breysse(
    mass_msun: np.ndarray, redshift: np.ndarray, parameters: Parameters, rng: np.random.Generator
) -> np.ndarray:
    """Breysse et al. 2014 (arXiv:1405.0489) power law, CO(1-0): L/Lsun = A (M/Msun)^b, without scatter."""
    return np.log10(parameters["A"]) + parameters["b"] * np.log10(mass_msun, dtype=np.float64)


BREYSSE = LineModel(
    name="breysse",
    source="Breysse, Kovetz & Kamionkowski 2014, arXiv:1405.0489",
    parameters={"A": (2e-6, 5e-7), "b": (1.0, 0.125)},
    log10_luminosity=breysse,
    rest_freq_ghz=CO_REST_FREQ_GHZ,
    positive=("A",),
)
