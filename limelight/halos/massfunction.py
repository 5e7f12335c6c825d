"""How many halos there are, and how they cluster on large scales: colossus' fits on limelight's own σ(M).

colossus works in units of h and keeps a global cosmology; both stay inside this file. It is imported where it is used:
figures load this module with their probe, and ask for no halos.
"""

import numpy as np

from limelight.cosmology import COLLAPSE_THRESHOLD, Cosmology
from limelight.errors import problem

BAND_DEX = 0.25  # width of the mass bands; within one, all halos answer to the density in the same way
WIDE_FROM_MSUN, WIDE_DEX = 1e13, 0.5  # the few halos above share wider bands
TABLE_POINTS = 26  # masses at which a band's abundance is tabulated, edges included
MASS_MAX = 1e16


def mass_definition(model: str) -> str:
    """The mass definition in which a colossus mass function is used: 200m where it exists, else fof, else vir."""
    from colossus.lss import mass_function as colossus_mass_function

    models = colossus_mass_function.models
    if model not in models:
        raise problem(
            "lightcones: mass_function", f"'{model}'", f"a colossus name ({', '.join(sorted(models))})", "choose one"
        )
    allowed = models[model].mdefs
    if "*" in allowed:
        return "200m"
    for choice in ("200m", "fof", "vir"):
        if choice in allowed:
            return choice
    raise problem("lightcones: mass_function", f"'{model}' (splashback masses)", "200m, fof or vir", "choose another")


def _set_colossus(cosmology: Cosmology) -> None:
    """Make colossus' global cosmology ours, without its files on disk."""
    from colossus.cosmology import cosmology as colossus_cosmology

    parameters = {
        "flat": True,
        "H0": 100 * cosmology.h,
        "Om0": cosmology.omega_m,
        "Ob0": cosmology.omega_b,
        "sigma8": cosmology.sigma8,
        "ns": cosmology.ns,
        "relspecies": False,
    }
    colossus_cosmology.setCosmology("limelight", params=parameters, persistence="")


def mass_function(mass_msun: np.ndarray, redshift: float, cosmology: Cosmology, model: str) -> np.ndarray:
    """dn/dlnM in 1/Mpc³ (comoving): f(σ) of colossus times ρm/M dlnσ⁻¹/dlnM of our linear power."""
    from colossus.lss import mass_function as colossus_mass_function

    _set_colossus(cosmology)
    sigma = cosmology.sigma(mass_msun) * cosmology.growth(redshift)
    f = colossus_mass_function.massFunction(
        sigma, redshift, q_in="sigma", q_out="f", mdef=mass_definition(model), model=model
    )
    return f * cosmology.matter_density / mass_msun * -cosmology.log_sigma_slope(mass_msun)


def halo_bias(mass_msun: np.ndarray, redshift: float, cosmology: Cosmology) -> np.ndarray:
    """Large-scale linear bias of Tinker et al. 2010 (arXiv:1001.3162) for 200m masses."""
    from colossus.lss import bias as colossus_bias

    _set_colossus(cosmology)
    height = COLLAPSE_THRESHOLD / (cosmology.sigma(mass_msun) * cosmology.growth(redshift))
    return colossus_bias.haloBiasFromNu(height, redshift, "200m", model="tinker10")


def band_masses(
    mass_min_msun: float, volume_mpc3: float, redshift: float, cosmology: Cosmology, model: str
) -> np.ndarray:
    """Masses (bands, TABLE_POINTS) in Msun at which the bands are tabulated, edges shared.

    The bands reach up to where fewer than 0.001 halos are expected in the volume at this (lowest) redshift.
    """
    edges = [np.log10(mass_min_msun)]
    while edges[-1] < np.log10(MASS_MAX):
        masses = np.logspace(edges[-1], edges[-1] + 4, 81)
        above = np.trapezoid(mass_function(masses, redshift, cosmology, model), np.log(masses))
        if above * volume_mpc3 < 1e-3:
            break
        edges.append(edges[-1] + (BAND_DEX if edges[-1] < np.log10(WIDE_FROM_MSUN) else WIDE_DEX))
    if len(edges) < 2:
        raise problem(
            "lightcones: mass_min_msun",
            f"{mass_min_msun:g} Msun, above which this volume holds no halos",
            "a floor that some halos pass",
            "lower it or widen the field",
        )
    return 10.0 ** np.linspace(edges[:-1], edges[1:], TABLE_POINTS, axis=1)


def band_abundance(
    masses: np.ndarray, redshifts: np.ndarray, cosmology: Cosmology, model: str
) -> tuple[np.ndarray, np.ndarray]:
    """Cumulative abundance and mean bias of the bands.

    masses (b, t) Msun; redshifts (g,). Returns the number density below each table mass within the band, (g, b, t) in
    1/Mpc³ with 0 at the lower edge and the band's n_j at the upper, and the bias averaged over the band's halos, (g, b).
    """
    log_mass = np.log(masses)
    cumulative = np.empty((len(redshifts), *masses.shape))
    bias = np.empty((len(redshifts), len(masses)))
    for g, z in enumerate(redshifts):
        abundance = mass_function(masses.ravel(), z, cosmology, model).reshape(masses.shape)
        biased = abundance * halo_bias(masses.ravel(), z, cosmology).reshape(masses.shape)
        cumulative[g] = _cumulative(abundance, log_mass)
        bias[g] = _cumulative(biased, log_mass)[:, -1] / cumulative[g, :, -1]
    return cumulative, bias


def _cumulative(values: np.ndarray, log_mass: np.ndarray) -> np.ndarray:
    """Running integral over each row, exact for power laws between the points (the steps are 0.01 or 0.02 dex)."""
    left, right = values[:, :-1], values[:, 1:]
    slope = np.log(right / left)
    slope = np.where(np.abs(slope) < 1e-8, 1e-8, slope)
    steps = (right - left) / slope * np.diff(log_mass, axis=1)
    return np.concatenate([np.zeros((len(values), 1)), np.cumsum(steps, axis=1)], axis=1)
