"""Down to which luminosity a catalogue of halos above a mass holds the sources: below, nothing can be known from it."""

import numpy as np

from limelight.probes.line_intensity.lines.models import LineModel, Parameters
from limelight.seeds import generator

STEPS, DRAWS = 8, 250  # of redshift; of the scatter at each
SHARE = 0.975  # of the lightest halos that are fainter


def complete_from(
    model: LineModel, parameters: Parameters, mass_min_msun: float, redshift_range: tuple[float, float]
) -> float:
    """log10 L / Lsun that all but a few of the catalogue's lightest halos stay below, at any redshift of the range.

    A luminosity function that is counted on halos above mass_min_msun lacks sources fainter than this. Of a model without
    scatter it ends there. −inf where the lightest halos have no line.
    """
    redshift = np.repeat(np.linspace(*redshift_range, STEPS), DRAWS)
    with np.errstate(over="ignore", invalid="ignore"):
        log10_lum = model.log10_luminosity(
            np.full(len(redshift), float(mass_min_msun)), redshift, parameters, generator(0, "completeness")
        )
    ordered = np.sort(log10_lum.reshape(STEPS, DRAWS), axis=1)
    return float(ordered[:, int(SHARE * DRAWS)].max())
