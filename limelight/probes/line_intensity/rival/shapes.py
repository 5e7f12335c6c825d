"""Line models split into an amplitude, a shape and one scatter, so that simulations vary as few numbers as possible.

Every luminosity of a map scales with the amplitude, and so does every temperature; the shape decides how light is shared
among the halos. log10 L = amplitude + location(x, shape) + scatter(shape) · (one unit normal per halo), where x is computed
once from a halo's mass and redshift. This is exact: the Li model's five parameters act through three numbers, and no data
can constrain more than these. A test checks that the line model itself gives the same log10 L.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from limelight.errors import problem
from limelight.probes.line_intensity.lines.models import CO_LSUN_PER_LPRIME, LN10
from limelight.probes.line_intensity.lines.star_formation import log10_sfr


class Shape(NamedTuple):
    """feature(mass_msun (n,), redshift (n,)) -> x (n,); split(parameters (m, p)) -> amplitude (m,), shape (m, s);
    location(x (n,), shape (s,)) -> (n,); scatter(shape (s,)) -> dex; coordinates(shape (m, s), light (m, 3)) -> (m, c): what
    the emulator interpolates over, light being ln of the shot noise and the means of x weighted by light and by its square.
    −inf in x: a halo without a line.
    """

    feature: Callable[[np.ndarray, np.ndarray], np.ndarray]
    split: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    location: Callable[[np.ndarray, np.ndarray], np.ndarray]
    scatter: Callable[[np.ndarray], float]
    coordinates: Callable[[np.ndarray, np.ndarray], np.ndarray] = lambda shape, light: shape


def log10_luminosity(
    shape: Shape, x: np.ndarray, amplitude: float, values: np.ndarray, normals: np.ndarray | float
) -> np.ndarray:
    """log10 L / Lsun of halos (n,), in the precision of their x (n,).

    Parameters
    ----------
    shape : of the line model
    x : of shape.feature
    amplitude, values : one row of shape.split
    normals : (n,) one unit normal per halo; 0 for the median of the scatter
    """
    values = np.asarray(values, x.dtype)  # with float64 numbers numpy would compute in float64
    log10_lum = shape.location(x, values).astype(x.dtype, copy=False)
    log10_lum += x.dtype.type(amplitude)
    scatter = shape.scatter(values)
    if scatter:
        log10_lum += x.dtype.type(scatter) * normals
    return log10_lum


def _log_mass(mass_msun: np.ndarray, redshift: np.ndarray) -> np.ndarray:
    return np.log10(mass_msun, dtype=np.float64)


def _split_li(parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shape: log10 α, and both scatters as one, hypot(σ_SFR/α, σ_LCO) dex."""
    delta, alpha, beta, sigma_sfr, sigma_lco = parameters.T
    amplitude = (10 - delta - LN10 * sigma_sfr**2 / 2 - beta) / alpha - LN10 * sigma_lco**2 / 2
    return amplitude + np.log10(CO_LSUN_PER_LPRIME), np.stack(
        [np.log10(alpha), np.hypot(sigma_sfr / alpha, sigma_lco)], 1
    )


def _split_comap(parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shape: the smaller and the larger of the two exponents (the model does not know which is which), log10 M*, σ."""
    a, b, log_c, log_m, sigma = parameters.T
    return log_c + np.log10(CO_LSUN_PER_LPRIME), np.stack([np.minimum(a, b), np.maximum(a, b), log_m, sigma], 1)


def _locate_comap(log_mass: np.ndarray, shape: np.ndarray) -> np.ndarray:
    low, high, log_m, sigma = shape
    ratio = LN10 * (log_mass - log_m)
    return -np.logaddexp(low * ratio, high * ratio) / LN10 - LN10 * sigma**2 / 2


def _split_breysse(parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.log10(parameters[:, 0]), parameters[:, 1:]


SHAPES = {
    "li": Shape(log10_sfr, _split_li, lambda x, shape: x * 10.0 ** -shape[0], lambda shape: float(shape[1])),
    # where a double power law bends matters little if no bright halos are there, so the distribution of light is a
    # coordinate as well; light alone does not constrain the faint halos, whose slope shows in voxels near the mean
    "comap": Shape(
        _log_mass,
        _split_comap,
        _locate_comap,
        lambda shape: float(shape[3]),
        lambda shape, light: np.column_stack([shape, light]),
    ),
    "breysse": Shape(_log_mass, _split_breysse, lambda x, shape: x * shape[0], lambda shape: 0.0),
}


def get_shape(model: str) -> Shape:
    """The Shape of a registered line model."""
    if model not in SHAPES:
        expected = f"one of {', '.join(SHAPES)}"
        fix = "choose one, or add the model's amplitude and shape to limelight/probes/line_intensity/rival/shapes.py"
        raise problem("rival", f"line model '{model}'", expected, fix)
    return SHAPES[model]
