"""The columns of the table that scripts/predict.py writes, with what they hold. Apart, so that `--help` needs no torch."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

WHOLE = 0.95  # chance from which on a bin counts as complete
COLUMNS = {
    "log10_lum_lower": "lower edge of the bin, log10 Lsun",
    "log10_lum_upper": "upper edge of the bin, log10 Lsun",
    "luminosity_lsun": "middle of the bin in log, Lsun",
    "dn": "sources in the bin",
    "n_above": "sources above the lower edge; up to the last upper edge unless N(>L) itself was predicted",
    "phi": "dN/dL per volume, Lsun^-1 Mpc^-3",
    "l_phi": "L dN/dL per volume, Mpc^-3",
    "volume_mpc3": "comoving volume of the cube, Mpc^3",
    "complete": "chance that the training catalogues hold all sources of such a map in the bin; NaN: not known. Below"
    " 0.95 the counts are lower limits: sources of lighter halos are missing",
}

# And with a posterior:
QUANTILE_COLUMNS = {
    "dn_q2.5": "sources in the bin: lower end of the 95 % interval",
    "dn_q16": "lower end of the 68 % interval",
    "dn_q84": "upper end of the 68 % interval",
    "dn_q97.5": "upper end of the 95 % interval",
}


def incomplete(table: dict) -> "np.ndarray":
    """Bins (bins,) bool of such a table in which the training catalogues may miss sources: counts are lower limits."""
    return table["complete"] < WHOLE
