"""What maps should hold on average: the mass function taken through a line model, without any halo catalogue."""

import numpy as np
from astropy import constants
from astropy import units as u

from limelight.cosmology import Cosmology
from limelight.halos.massfunction import mass_function
from limelight.probes.line_intensity.lines.models import LineModel
from limelight.seeds import generator

MASSES = 1200  # of the integral, equal steps in ln M up to 10^15.5 Msun
DRAWS = 400  # of the model's scatter at each mass


def expected_luminosities(
    model: LineModel, parameters: dict, mass_min_msun: float, redshift: float, cosmology: Cosmology, mass_function_name: str,
    draws: int = DRAWS
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """log10 luminosities (Lsun) and the number densities (1/Mpc³) that they stand for: samples of the exact integral.

    draws: of the model's scatter at each of MASSES masses; 400 give a half-dex of luminosity to 1 %, 4000 to 0.3 %.
    """
    log_mass = np.linspace(np.log(mass_min_msun), np.log(10**15.5), MASSES + 1)
    middle = np.exp(0.5 * (log_mass[1:] + log_mass[:-1]))
    weight = mass_function(middle, redshift, cosmology, mass_function_name) * np.diff(log_mass)
    mass = np.repeat(middle, draws)
    rng = generator(0, "expected luminosities")
    log_lum = model.log10_luminosity(mass, np.full(len(mass), redshift), parameters, rng)
    return log_lum, np.repeat(weight / draws, draws)


def expected_temperature_uk(log10_lum: np.ndarray, density: np.ndarray, redshift: float, rest_freq_ghz: float,
                            cosmology: Cosmology) -> float:  # fmt: skip
    """Mean brightness temperature in µK of a line with these luminosities and number densities.

    T = c² / (2 k ν²) · c ρ_L / (4π H ν_rest) with the comoving luminosity density ρ_L (e.g. Breysse et al. 2014).
    """
    luminosity_density = np.sum(density * 10.0**log10_lum) * u.Lsun / u.Mpc**3
    hubble = cosmology.hubble(redshift) * u.km / u.s / u.Mpc
    rest = rest_freq_ghz * u.GHz
    intensity = constants.c * luminosity_density / (4 * np.pi * hubble * rest)
    observed = rest / (1 + redshift)
    return float((intensity * constants.c**2 / (2 * constants.k_B * observed**2)).to(u.uK).value)
