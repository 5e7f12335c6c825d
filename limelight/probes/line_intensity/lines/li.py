"""The line model of Li et al. 2016."""

import numpy as np

from limelight.compiled import compiled_exactly
from limelight.normals import standard_normals
from limelight.probes.line_intensity.lines.models import (
    CO_LSUN_PER_LPRIME,
    CO_REST_FREQ_GHZ,
    LN10,
    LineModel,
    Parameters,
)
from limelight.probes.line_intensity.lines.star_formation import log10_sfr


def li(mass_msun: np.ndarray, redshift: np.ndarray, parameters: Parameters, rng: np.random.Generator) -> np.ndarray:
    """Li et al. 2016 (arXiv:1503.08833), CO(1-0): M → SFR (Behroozi) → L_IR = SFR 1e10/δ_MF → log L_IR = α log L′ + β → L.

    The SFR (σ_SFR dex) and L′ (σ_LCO dex) have log-normal scatter, each with linear mean 1. That of the SFR reaches L′
    divided by α. Both together are one normal number per halo, since a sum of two normals is normal.
    """
    alpha, beta = parameters["alpha"], parameters["beta"]
    sigma_sfr, sigma_lco = parameters["sigma_sfr"], parameters["sigma_lco"]
    log_l_ir = 10 - parameters["log10_delta_mf"] - LN10 * sigma_sfr**2 / 2  # of 1 Msun/yr
    log_lsun = np.log10(CO_LSUN_PER_LPRIME) - LN10 * sigma_lco**2 / 2  # of 1 K km/s pc²
    sigma = np.hypot(sigma_sfr / alpha, sigma_lco)
    log_sfr = log10_sfr(mass_msun, redshift)
    log_l = standard_normals(rng, len(log_sfr))
    compiled_exactly(_luminosities)(log_l, log_sfr, log_l_ir - beta, alpha, log_lsun, sigma)
    return log_l


def _luminosities(normals, log_sfr, log_l_ir_less_beta, alpha, log_lsun, sigma):
    """log10 L / Lsun (n,) in place of the normal numbers of their scatter."""
    for i in range(len(normals)):
        normals[i] = (log_sfr[i] + log_l_ir_less_beta) / alpha + log_lsun + sigma * normals[i]


LI = LineModel(
    name="li",
    source="Li et al. 2016, arXiv:1503.08833",
    parameters={
        "log10_delta_mf": (0.0, 0.3),
        "alpha": (1.37, 0.37),
        "beta": (-1.74, 3.74),
        "sigma_sfr": (0.3, 0.1),
        "sigma_lco": (0.3, 0.1),
    },
    log10_luminosity=li,
    rest_freq_ghz=CO_REST_FREQ_GHZ,
    positive=("alpha",),
    # the same widths about the (α, β) of Ihle et al. 2019
    priors={
        "ihle2018": (np.array([0, 1.17, 0.21, 0.3, 0.3]), np.diag(np.square([0.3, 0.37, 3.74, 0.1, 0.1]))),
    },
)
