"""The [CII] model of Silva et al. 2015."""

import numpy as np

from limelight.normals import standard_normals
from limelight.probes.line_intensity.lines.models import LN10, LineModel, Parameters
from limelight.probes.line_intensity.lines.star_formation import log10_sfr

CII_REST_FREQ_GHZ = 1900.54


def silva(mass_msun: np.ndarray, redshift: np.ndarray, parameters: Parameters, rng: np.random.Generator) -> np.ndarray:
    """Silva et al. 2015 (arXiv:1410.4808), [CII]: log10 L/Lsun = a log10 SFR + b, the SFR that of Behroozi et al. 2013.

    The scatter is log-normal, of sigma dex, with linear mean 1. a and b are their model m1; the widths of the prior span
    their four models, whose b reach from 6.5 to 7.2.
    """
    log_l = log10_sfr(mass_msun, redshift) * parameters["a"]
    log_l += parameters["b"] - LN10 * parameters["sigma"] ** 2 / 2
    log_l += parameters["sigma"] * standard_normals(rng, len(log_l))
    return log_l


SILVA = LineModel(
    name="silva",
    source="Silva et al. 2015, arXiv:1410.4808",
    parameters={"a": (0.8475, 0.07), "b": (7.2203, 0.3), "sigma": (0.3, 0.1)},
    log10_luminosity=silva,
    rest_freq_ghz=CII_REST_FREQ_GHZ,
    positive=("a",),
)
