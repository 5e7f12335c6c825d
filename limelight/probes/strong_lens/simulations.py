"""Rows of datasets: lenses, and galaxies like theirs without a lensed source."""

import numpy as np

from limelight.probes.strong_lens.config import Camera, Galaxies
from limelight.probes.strong_lens.images import ANSWERED, PARAMETERS, Painter, Shape, fluxes

KINDS = ("lens", "alone", "companions", "disc")  # the last three are no lenses
COMPANIONS_ARCSEC = (0.6, 3.0)  # how far from the galaxy they stand
TRUTHS = dict[str, np.ndarray]


def limits(data: Galaxies) -> np.ndarray:
    """Of the even prior of each of PARAMETERS, (19, 2); radii in their logarithm."""
    return np.array(
        [
            *(data.theta_e, data.ellipticity, data.ellipticity, data.source_place, data.source_place),
            *(data.centre, data.centre, np.log(data.lens_radius), data.lens_ellipticity, data.lens_ellipticity),
            *(data.lens_mag, data.lens_g_r, data.lens_r_i),
            *(np.log(data.source_radius), data.source_ellipticity, data.source_ellipticity),
            *(data.source_mag, data.source_g_r, data.source_r_i),
        ]
    )


def simulate_images(data: Galaxies, camera: Camera, rng: np.random.Generator) -> tuple[np.ndarray, TRUTHS]:
    """Images (rows, 3, n, n) float32, and their truths; of rows that are no lenses the numbers of a lens are 0.

    lens: 1 or 0; kind: number in KINDS; parameters: ANSWERED; model: all PARAMETERS.
    """
    painter, rows = Painter(camera), data.images
    model = rng.uniform(*limits(data).T, (rows, len(PARAMETERS)))
    kind = np.where(rng.uniform(size=rows) < data.lenses, 0, rng.integers(1, len(KINDS), rows))
    x = np.empty((rows, 3, camera.pixels, camera.pixels), np.float32)
    for i in range(rows):
        if kind[i] == 0:
            x[i] = painter.lens(model[i])
        else:
            x[i] = painter.galaxy(model[i], around(KINDS[kind[i]], model[i], data, rng))
    lens = kind == 0
    model = model * lens[:, None]
    return x, {"lens": lens.astype(np.int64), "kind": kind, "parameters": model[:, : len(ANSWERED)], "model": model}


def around(kind: str, model: np.ndarray, data: Galaxies, rng: np.random.Generator) -> list[tuple[Shape, np.ndarray]]:
    """What stands beside a galaxy of a kind: (shape, fluxes (3,)) each. Companions have the sources' shapes and colours."""
    if kind == "alone":
        return []
    if kind == "disc":
        radius = rng.uniform(*data.disc_radius)
        e1, e2 = rng.uniform(*data.lens_ellipticity, 2)
        colours = rng.uniform(*data.source_g_r), rng.uniform(*data.source_r_i)
        return [((radius, e1, e2, model[5], model[6]), fluxes(rng.uniform(*data.disc_mag), *colours))]
    found = []
    for _ in range(rng.integers(1, data.companions + 1)):
        ln_radius, e1, e2, mag, g_r, r_i = rng.uniform(*limits(data)[13:].T)
        near, far = COMPANIONS_ARCSEC
        distance, angle = np.sqrt(rng.uniform(near**2, far**2)), rng.uniform(0, 2 * np.pi)
        place = model[5] + distance * np.cos(angle), model[6] + distance * np.sin(angle)
        mag -= rng.uniform(*data.companion_brighter)
        found.append(((np.exp(ln_radius), e1, e2, *place), fluxes(mag, g_r, r_i)))
    return found
