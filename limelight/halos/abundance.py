"""Are there as many halos as there should be? Catches masses or lengths with a wrong h, unit, redshift or column."""

import numpy as np

from limelight.cosmology import Cosmology
from limelight.errors import problem
from limelight.halos.massfunction import halo_bias, mass_function

STEP_DEX = 0.5  # between the masses at which counts are compared
ENOUGH = 50  # halos, found or expected, that make a mass worth comparing


def expected_density(masses: np.ndarray, redshift: float, cosmology: Cosmology, model: str) -> np.ndarray:
    """n(>M) in 1/Mpc³ (comoving) for an array of masses in Msun."""
    grid = np.logspace(np.log10(np.min(masses)) - 0.01, 16.5, 400)
    density = mass_function(grid, redshift, cosmology, model)
    steps = (density[1:] + density[:-1]) / 2 * np.diff(np.log(grid))
    above = np.concatenate([np.cumsum(steps[::-1])[::-1], [0.0]])
    return np.exp(np.interp(np.log(masses), np.log(grid), np.log(np.maximum(above, 1e-300))))


def compare_abundance(
    mass_msun: np.ndarray, shells: list[tuple[float, float]], floor_msun: float, cosmology: Cosmology, model: str
) -> list[dict]:
    """Found and expected numbers above some masses.

    shells: (redshift, volume in Mpc³) that the halos cover together. scatter: the 1σ of ln(found) from Poisson noise and
    from the density of the volume as a whole (bias times linear σ of its equivalent sphere).
    """
    # a decade beyond the heaviest halo, lest halos that should be there go unmissed
    top = max(np.log10(mass_msun.max()) + 1, np.log10(floor_msun) + STEP_DEX)
    masses = 10 ** np.arange(np.log10(floor_msun), min(top, 16.0), STEP_DEX)
    expected = sum(volume * expected_density(masses, z, cosmology, model) for z, volume in shells)
    volume = sum(volume for _, volume in shells)
    radius = (3 * volume / (4 * np.pi)) ** (1 / 3)
    redshift = float(np.average([z for z, _ in shells], weights=[volume for _, volume in shells]))
    rms = float(cosmology.sigma_radius(radius)[0] * cosmology.growth(redshift))
    sorted_mass = np.sort(mass_msun)
    rows = []
    for mass, number in zip(masses, expected, strict=True):
        found = int(len(sorted_mass) - np.searchsorted(sorted_mass, mass))
        scatter = np.hypot(max(number, 1.0) ** -0.5, float(halo_bias(np.array([mass]), redshift, cosmology)[0]) * rms)
        rows.append({"mass_msun": float(mass), "found": found, "expected": float(number), "scatter": float(scatter)})
    return [row for n, row in enumerate(rows) if n == 0 or max(row["found"], row["expected"]) >= ENOUGH]


def excess(rows: list[dict]) -> float:
    """The largest |ln(found / expected)| beyond twice its scatter; 0 where all agree."""
    off = [abs(np.log(max(row["found"], 0.5) / max(row["expected"], 0.5))) - 2 * row["scatter"] for row in rows]
    return max(0.0, *off)


def _share_of_volume(rows: list[dict]) -> float:
    """The share of the volume that would hold the halos if their number were right there: found over expected."""
    weights = [row["scatter"] ** -2 for row in rows]
    ratios = [np.log(max(row["found"], 0.5) / max(row["expected"], 0.5)) for row in rows]
    return float(np.exp(np.average(ratios, weights=weights)))


def check_abundance(
    mass_msun: np.ndarray,
    shells: list[tuple[float, float]],
    floor_msun: float,
    cosmology: Cosmology,
    model: str,
    factor: float,
    where: object,
) -> list[dict]:
    """Refuse halos whose number above some mass is off by more than `factor` beyond its scatter; returns what was compared.

    The error names the likeliest causes: changes of units, or a part of the volume without halos, that would bring the
    numbers in line, the closest first.
    """
    rows = compare_abundance(mass_msun, shells, floor_msun, cosmology, model)
    if excess(rows) <= np.log(factor):
        return rows
    h = cosmology.h
    causes = {  # cause: (what the masses should be multiplied by, what the volume should)
        "masses are in Msun/h but were read as Msun": (1 / h, 1.0),
        "masses are in Msun but were read as Msun/h": (h, 1.0),
        "positions are in Mpc/h but were read as Mpc": (1.0, h**-3),
        "positions are in Mpc but were read as Mpc/h": (1.0, h**3),
        "masses and positions carry h but were read without": (1 / h, h**-3),
        "masses and positions are without h but were read with it": (h, h**3),
    }
    share = _share_of_volume(rows)
    if share < 1 / factor:
        text = (
            f"only {100 * share:.2g} % of the volume has halos (missing pieces, a cut box), or as few are in the file"
        )
        causes[text] = (1.0, share)
    remaining = {}
    for cause, (mass_factor, volume_factor) in causes.items():
        changed = [(z, volume * volume_factor) for z, volume in shells]
        remaining[cause] = excess(
            compare_abundance(mass_msun * mass_factor, changed, floor_msun * mass_factor, cosmology, model)
        )
    limit = min(np.log(factor), 0.7 * excess(rows))
    likely = sorted((left, n, cause) for n, (cause, left) in enumerate(remaining.items()) if left <= limit)
    worst = max(rows, key=lambda row: excess([row]))
    found = f"{worst['found']} halos above {worst['mass_msun']:.3g} Msun"
    expected = (
        f"{worst['expected']:.0f} within a factor {factor:g} ({model}, z = {shells[0][0]:.2f} to {shells[-1][0]:.2f})"
    )
    advice = "check units, redshift, mass column and completeness"
    if likely:
        advice = f"likely cause: {', or '.join(cause for *_, cause in likely[:3])}; check which it is"
    fix = f"{advice}; or give your reason in lightcones.catalogue.abundance_unchecked to go on"
    raise problem(where, found, expected, fix)
