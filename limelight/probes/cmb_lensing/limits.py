"""What theory promises of the quadratic and of the iterative estimator, on periodic patches and without the bias N1."""

import numpy as np

from limelight.data.shard import Header
from limelight.probes.cmb_lensing.estimators import iterative_estimator
from limelight.probes.cmb_lensing.features import quadratic_estimator
from limelight.probes.cmb_lensing.grid import bin_modes


def analytic_noise(header: Header, noise_uk_arcmin: float, edges: np.ndarray) -> dict[str, np.ndarray]:
    """Noise 1/r² − 1 of κ in bins of L (bins,), by estimator: from N0 of EE and EB, and from N0 iterated."""
    best = quadratic_estimator(header, noise_uk_arcmin)
    iterated = best.grid.sample(iterative_estimator(best).expected)
    r_squared = {"quadratic": best.wiener, "map": iterated}
    return {name: 1 / bin_modes(best.grid, one, edges) - 1 for name, one in r_squared.items()}
