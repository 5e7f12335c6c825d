"""Schechter galaxies as arrivals of a Poisson process, and images of them; the bound of the perfect catalogue.

φ(L) dL = φ* (L/L*)^α exp(−L/L*) dL/L* above L_min. Expected are N(> L) = φ* Γ(α + 1, L/L*) galaxies in the field, φ* in
units of one per field. If Γ_1 < Γ_2 < … are the arrivals of a Poisson process of unit rate, the luminosities
L_i = N⁻¹(Γ_i; θ) are those of a field. With the same arrivals a field changes smoothly with θ, even its number of galaxies,
so that derivatives can be taken. The question is that of Livet et al. 2021 (arXiv:2102.01086).
"""

import math

import numpy as np
from scipy import integrate

from limelight.compiled import compiled_exactly

PARAMETERS = ("ln_phi_star", "ln_l_star", "alpha")
TABLE = 500  # steps of N(> L): linear between them, ln L is right to 3e-5
STEPS = 2000  # of integrals over L
HISTOGRAM_STEPS = 48  # of the pixels that networks are shown as a histogram, in arcsinh of pixel over noise
HISTOGRAM_REACH = (-2.0, 8.0)
HIGHEST = 40.0  # L/L* beyond which there is none
CELL = 2  # pixels along each side of the squares whose galaxies networks may be asked for
SUMS = ("galaxies", "ln light", "light")  # over the galaxies of a cell
REACH = 5.0  # σ of the PSF within which a source is painted, in each axis


def cumulative(alpha: float, faintest: np.ndarray) -> np.ndarray:
    """∫_x^∞ t^α e^(−t) dt of x (…,): the incomplete gamma function Γ(α + 1, x), also for α < −1."""
    from scipy import special  # seconds under load, of no use to a config

    x = np.asarray(faintest, np.float64)
    if alpha > -1:
        return special.gamma(alpha + 1) * special.gammaincc(alpha + 1, x)
    if alpha == -1:
        return special.exp1(x)
    return (cumulative(alpha + 1, x) - x ** (alpha + 1) * np.exp(-x)) / (alpha + 1)


def luminosities(arrivals: np.ndarray, theta: np.ndarray, l_min: float) -> np.ndarray:
    """L of the galaxies of one field, brightest first, from arrivals (k,) in rising order and θ (3,) of PARAMETERS."""
    phi, l_star, alpha = _natural(theta)
    x = np.geomspace(l_min / l_star, HIGHEST, TABLE)
    number = phi * cumulative(alpha, x)
    inside = arrivals[arrivals < number[0]]
    return l_star * np.exp(np.interp(-inside, -number, np.log(x)))


def _natural(theta: np.ndarray) -> tuple[float, float, float]:
    """φ*, L* and α."""
    return float(np.exp(theta[0])), float(np.exp(theta[1])), float(theta[2])


def draw_arrivals(most: float, rng: np.random.Generator) -> np.ndarray:
    """Arrivals of a unit Poisson process up to `most`, in rising order."""
    return np.sort(rng.uniform(0, most, rng.poisson(most)))


def expected_number(theta: np.ndarray, l_min: float) -> float:
    """Galaxies above l_min."""
    phi, l_star, alpha = _natural(theta)
    return float(phi * cumulative(alpha, l_min / l_star))


def catalogue_fisher(theta: np.ndarray, l_min: float) -> np.ndarray:
    """F (3, 3) of PARAMETERS from a perfect catalogue of all galaxies above l_min: nothing from the image can know more.

    A Poisson process of density n(L) has F_ij = ∫ n ∂_i ln n ∂_j ln n dL; here ∂ ln n/∂ ln φ* = 1, ∂ ln n/∂ ln L* =
    L/L* − α − 1 and ∂ ln n/∂α = ln(L/L*), so that with x = L_min/L* it is made of Γ_a = Γ(α + 1 + a, x) and, for α, of the
    derivatives of Γ_0 and Γ_1 by α.
    """
    phi, l_star, alpha = _natural(theta)
    x = l_min / l_star
    zero, one, two = (float(cumulative(alpha + a, x)) for a in (0, 1, 2))
    slope = one - (alpha + 1) * zero
    square = two - 2 * (alpha + 1) * one + (alpha + 1) ** 2 * zero
    log, log_one, log_square = (_log_moment(*of, x) for of in ((alpha, 1), (alpha + 1, 1), (alpha, 2)))
    across = log_one - (alpha + 1) * log
    return phi * np.array([[zero, slope, log], [slope, square, across], [log, across, log_square]])


def _log_moment(alpha: float, power: int, x: float) -> float:
    """∫_x^∞ t^α e^(−t) lnᵏ t dt, the k-th derivative of Γ(α + 1, x) by α: in steps of ln t, for it has no simple form."""
    u = np.linspace(np.log(x), np.log(x + HIGHEST), STEPS + 1)
    return float(integrate.simpson(np.exp((alpha + 1) * u - np.exp(u)) * u**power, x=u))


def isolated_fisher(theta: np.ndarray, l_min: float, sigma: float, beams: float) -> np.ndarray:
    """F (3, 3) of PARAMETERS from noisy fluxes: about what an image can know whose galaxies do not overlap.

    Every galaxy above l_min is measured with a Gaussian error `sigma` of its luminosity, among `beams` measurements of
    places without one, which cannot be told from faint galaxies: a Poisson process of density n̂(L) + beams N(L; 0, sigma²),
    with ∂n̂ as in `catalogue_fisher`. An image of p pixels behind a Gaussian PSF of σ pixels has about p/(4π σ²) such places.
    """
    phi, l_star, alpha = _natural(theta)
    true = np.geomspace(l_min, HIGHEST * l_star, STEPS)
    x = true / l_star
    weight = phi * x ** (alpha + 1) * np.exp(-x)  # n(L) L: the integral is over ln L
    slopes = np.stack([np.ones_like(x), x - alpha - 1, np.log(x)])
    seen = np.unique(np.r_[np.arange(-6, 8, 1 / 30) * sigma, np.geomspace(8 * sigma, 1.2 * true[-1], STEPS // 4)])
    kernel = _gauss(seen[:, None] - true, sigma)
    moved = np.stack([integrate.trapezoid(kernel * weight * one, np.log(true), axis=1) for one in slopes])
    density = moved[0] + beams * _gauss(seen, sigma)
    return integrate.trapezoid(moved[:, None] * moved / (density + 1e-300), seen, axis=2)


def _gauss(x: np.ndarray, sigma: float) -> np.ndarray:
    """Density of a Gaussian."""
    return np.exp(-0.5 * (x / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma)


def paint(luminosity: np.ndarray, places: np.ndarray, colours: np.ndarray, pixels: int, psf_sigma: float) -> np.ndarray:
    """Images (bands, pixels, pixels) float32 of point sources behind a Gaussian PSF; opposite edges touch.

    Parameters
    ----------
    luminosity
        (k,) in the first band.
    places
        (k, 2) in pixels, from 0 to `pixels`.
    colours
        (k, bands): ln of the flux in each band over that in the first.
    psf_sigma
        In pixels. The light of a pixel is that of the PSF integrated over it, out to REACH of its σ.
    """
    images = np.zeros((colours.shape[1], pixels, pixels))
    flux = luminosity[:, None] * np.exp(colours)
    compiled_exactly(_add_sources)(images, flux, places.astype(np.float64), float(psf_sigma), REACH)
    return images.astype(np.float32)


def cells_of(luminosity: np.ndarray, places: np.ndarray, pixels: int, l_min: float) -> np.ndarray:
    """SUMS over the galaxies of each cell, (3, pixels/CELL, pixels/CELL) float32: their number, Σ ln(L/l_min) and Σ L.

    Over the whole field these three sums are all that a perfect catalogue says of θ: ln of its probability is linear in
    them.
    """
    side = pixels // CELL
    row, column = (places // CELL).astype(int).T
    weights = (np.ones(len(luminosity)), np.log(luminosity / l_min), luminosity)
    found = [np.bincount(row * side + column, weights=one, minlength=side**2) for one in weights]
    return np.reshape(found, (len(SUMS), side, side)).astype(np.float32)


def _add_sources(images, flux, places, psf_sigma, reach):
    """Adds flux (k, bands) at places (k, 2) to images (bands, n, n); the change of the sum of their squares."""
    n, half = images.shape[1], int(math.ceil(reach * psf_sigma))
    width, change = 2 * half + 1, 0.0
    share = np.empty((2, width))
    for k in range(len(flux)):
        x, y = int(math.floor(places[k, 0])) - half, int(math.floor(places[k, 1])) - half
        for axis in range(2):
            first = (y if axis else x) - places[k, axis]
            below = math.erf(first / (math.sqrt(2.0) * psf_sigma))
            for i in range(width):
                above = math.erf((first + i + 1) / (math.sqrt(2.0) * psf_sigma))
                share[axis, i] = (above - below) / 2
                below = above
        for band in range(flux.shape[1]):
            for i in range(width):
                row, light = (x + i) % n, flux[k, band] * share[0, i]
                column = y % n
                for j in range(width):
                    added = light * share[1, j]
                    change += added * (2 * images[band, row, column] + added)
                    images[band, row, column] += added
                    column = column + 1 if column + 1 < n else 0
    return change
