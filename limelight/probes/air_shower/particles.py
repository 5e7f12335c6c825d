"""How well proton and iron could be told apart if a detector knew the depth of the shower's maximum, X_max: a ceiling.

Where a shower is largest is most of what radio knows of its particle. X_max scatters by itself from shower to shower, so a
perfect measurement leaves an overlap too. Its distribution is a generalised Gumbel one,

    p(X) = λ^λ / (σ Γ(λ)) exp(−λ z − λ e^(−z)),   z = (X − μ)/σ,

with μ, σ and λ of energy and mass for EPOS-LHC from De Domenico et al. 2013 (arXiv:1305.2331). Footprints are not
simulated here: that takes CoREAS or ZHAireS, whose traces `traces_file.py` reads.
"""

import numpy as np
from scipy import stats
from scipy.special import digamma, polygamma

MASSES = {"proton": 1, "iron": 56}
# Rows: powers of log10(E / 10^19 eV); columns: powers of ln A
MU = np.array([[775.589, -7.047, -2.427], [57.589, -0.743, 0.214], [-0.820, -0.169, -0.027]])
SIGMA = np.array([[29.403, 13.553, -3.154], [0.096, -0.961, 0.150]])
ENERGIES = 41  # of a range of energies
LAMBDA = np.array([[0.563, 0.711, 0.058], [0.039, 0.067, -0.004]])


def gumbel_parameters(mass: int, log10_ev: float) -> tuple[float, float, float]:
    """(μ, σ, λ): g/cm², g/cm² and a number, of nuclei of `mass` nucleons."""
    powers = np.log(mass) ** np.arange(3)
    energy = (log10_ev - 19.0) ** np.arange(3)
    return tuple(float(energy[: len(table)] @ (table @ powers)) for table in (MU, SIGMA, LAMBDA))


def x_max_density(x: np.ndarray, mass: int, log10_ev: float) -> np.ndarray:
    """p(X_max) per g/cm² at x (…,)."""
    mu, sigma, shape = gumbel_parameters(mass, log10_ev)
    return stats.loggamma.pdf(-(x - mu) / sigma + np.log(shape), shape) / sigma


def moments(mass: int, log10_ev: float) -> tuple[float, float]:
    """Mean and σ of X_max, g/cm², of that distribution."""
    mu, sigma, shape = gumbel_parameters(mass, log10_ev)
    return float(mu - sigma * (digamma(shape) - np.log(shape))), float(sigma * np.sqrt(polygamma(1, shape)))


def ceiling(log10_ev: float, resolution: float, decades: float = 0.0, step: float = 0.5) -> float:
    """The largest area under the ROC of proton against iron with X_max measured to σ = resolution g/cm².

    That of the likelihood ratio of the two measured distributions, by quadrature. The energy is log10_ev; or, where nothing
    tells it, anywhere within so many decades about it, even in its logarithm: X_max grows with the energy, too.
    """
    x = np.arange(-200.0, 2400.0, step)
    energies = log10_ev + decades * (np.arange(ENERGIES) + 0.5 - ENERGIES / 2) / ENERGIES if decades else [log10_ev]
    densities = [sum(x_max_density(x, mass, energy) for energy in energies) for mass in MASSES.values()]
    if resolution > 0:
        lags = np.arange(-5 * resolution, 5 * resolution + step, step)
        kernel = np.exp(-0.5 * (lags / resolution) ** 2)
        densities = [np.convolve(density, kernel / kernel.sum(), "same") for density in densities]
    proton, iron = (density / density.sum() for density in densities)
    order = np.argsort(np.log(proton + 1e-300) - np.log(iron + 1e-300), kind="stable")
    below = np.cumsum(iron[order])
    return float(np.sum(proton[order] * (below - 0.5 * iron[order])))
