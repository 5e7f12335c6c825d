"""The line model of COMAP Early Science V (Chung et al. 2022)."""

import numpy as np

from limelight.probes.line_intensity.lines.models import (
    CO_LSUN_PER_LPRIME,
    CO_REST_FREQ_GHZ,
    LineModel,
    Parameters,
    log10_sum,
    lognormal_scatter,
)


def comap(mass_msun: np.ndarray, redshift: np.ndarray, parameters: Parameters, rng: np.random.Generator) -> np.ndarray:
    """Chung et al. 2022 (COMAP Early Science V, arXiv:2111.05931), CO(1-0): L′ = C / [(M/M*)^A + (M/M*)^B].

    M and M* are in Msun. The scatter is log-normal, of sigma dex, with linear mean 1.
    """
    log_ratio = np.log10(mass_msun, dtype=np.float64) - parameters["log10_Mstar"]
    log_l = lognormal_scatter(parameters["sigma"], len(log_ratio), rng)
    log_l += np.log10(CO_LSUN_PER_LPRIME) + parameters["log10_C"]
    log_l -= log10_sum(parameters["A"] * log_ratio, parameters["B"] * log_ratio)
    return log_l


UM = np.array([-1.66, 0.04, 10.25, 12.41, 0.4])  # "UM" prior of Chung et al. 2022, Table 1
UM_SIGMA = np.array([2.33, 1.26, 5.29, 1.77, 0.1])
DATA_MEAN = np.array([-3.614278, 0.45687856, 10.68714991, 12.47593157, 0.35517494])
DATA_COVARIANCE = np.array(
    [
        [2.20772089, 0.08729876, 0.16230234, 0.19120324, -0.02930135],
        [0.08729876, 0.99506924, 0.19754548, 0.08097735, 0.02139264],
        [0.16230234, 0.19754548, 0.22875155, 0.16540717, -0.02105480],
        [0.19120324, 0.08097735, 0.16540717, 0.15713717, -0.02256431],
        [-0.02930135, 0.02139264, -0.02105480, -0.02256431, 0.02119048],
    ]
)

COMAP = LineModel(
    name="comap",
    source="Chung et al. 2022 (COMAP Early Science V), arXiv:2111.05931; means UM+COLDz+COPSS, σ of the UM prior",
    parameters={
        "A": (-2.85, 2.33),
        "B": (-0.42, 1.26),
        "log10_C": (10.63, 5.29),
        "log10_Mstar": (12.3, 1.77),
        "sigma": (0.42, 0.1),
    },
    log10_luminosity=comap,
    rest_freq_ghz=CO_REST_FREQ_GHZ,
    priors={
        "um": (UM, np.diag(UM_SIGMA**2)),
        "data_driven": (DATA_MEAN, DATA_COVARIANCE),
    },
)
