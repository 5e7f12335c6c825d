"""What an image of blended galaxies knows at most: the posterior mean of its catalogue's score, by a chain over catalogues.

The score of an image, ∂ ln p(d | θ)/∂θ, is the mean of the score of its catalogue over all catalogues that the image allows
(Fisher's identity); nothing that is made of the image knows more of θ. The chain draws catalogues by moves, births, deaths,
splits, merges and exchanges of light (Green 1995), under the process that fields are drawn from. What the image does not
know is how far the catalogue's score scatters about that mean (Louis 1982).

A catalogue is an array (k, 2 + bands): places in pixels, and the flux in each band.
"""

import math

import numpy as np

from limelight.compiled import compiled_exactly
from limelight.probes.galaxy_field.config import GalaxyField
from limelight.probes.galaxy_field.fields import (
    HIGHEST,
    REACH,
    TABLE,
    _add_sources,
    catalogue_fisher,
    cumulative,
    paint,
)
from limelight.probes.galaxy_field.simulations import all_of, draw_catalogue, limits
from limelight.seeds import generator

ROOM = 4000  # galaxies of a catalogue at most
NEAR = 3.0  # σ of the PSF within which two galaxies are merged or exchange light
EVERY = 20  # steps between the catalogues that are kept
BIRTH, DEATH, SPLIT, MERGE, EXCHANGE, MOVE = range(6)
CHANCES = (0.1, 0.2, 0.3, 0.4, 0.5, 1.0)  # that a step is one of these or of those before: as often as its reverse
FINEST = 0.01  # the shortest moves, in units of the longest

add_sources = compiled_exactly(_add_sources)


def scores_of_fields(
    data: GalaxyField, noise: float, fields: int, steps: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Of fields at the prior's mean the image's score by two chains (fields, 2, 3), and what they leave open (…, 3, 3).

    One chain begins with the true catalogue and the other with an empty one: they differ until both have forgotten it.
    """
    theta = all_of(limits(data).mean(axis=1), data)
    means, covariances = np.empty((fields, 2, 3)), np.empty((fields, 2, 3, 3))
    for i in range(fields):
        rng = generator(seed, f"image score at noise {noise:g}", i)
        light, places, colours = draw_catalogue(limits(data).mean(axis=1), data, rng)
        image = paint(light, places, colours, data.pixels, data.psf_sigma)
        image = image + noise * rng.standard_normal(image.shape)
        true = np.column_stack([places, light[:, None] * np.exp(colours)])
        for chain, start in enumerate((true, true[:0])):
            means[i, chain], covariances[i, chain] = image_score(image, noise, theta, data, steps, rng, start)
    return means, covariances


def image_fisher(means: np.ndarray, covariances: np.ndarray, most: np.ndarray) -> np.ndarray:
    """F (p, p) of images from `scores_of_fields` and the catalogue's F, of the first p parameters.

    What is missing is the catalogue's covariance given the image: half the square of the distance of two draws, one from
    each chain, so that a chain that has seen too little of it does not make it smaller.
    """
    p = len(most)
    apart = (means[:, 0] - means[:, 1])[:, :p]
    missing = covariances[:, :, :p, :p].sum(axis=1) + apart[:, :, None] * apart[:, None]
    return most - missing.mean(axis=0) / 2


@compiled_exactly
def _sums(luminosity, l_star, alpha):
    """Σ ∂ ln n(L)/∂θ (3,) over galaxies."""
    x = luminosity / l_star
    return np.array([float(len(x)), np.sum(x - alpha - 1), np.sum(np.log(x))])


def image_score(
    image: np.ndarray,
    noise: float,
    theta: np.ndarray,
    data: GalaxyField,
    steps: int,
    rng: np.random.Generator,
    start: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The image's score (3,) at θ (3,) of fields.PARAMETERS, and the covariance (3, 3) of its catalogues' scores.

    Both are taken over the last two thirds of a chain.

    Parameters
    ----------
    image
        (bands, n, n), with white noise of σ `noise` per pixel.
    start
        The catalogue to begin with; it may be empty.
    """
    phi, l_star, alpha = math.exp(theta[0]), math.exp(theta[1]), float(theta[2])
    catalogue = np.zeros((ROOM, 2 + len(image)))
    catalogue[: len(start)] = start
    x = np.geomspace(data.l_min / l_star, HIGHEST, TABLE)
    brighter = phi * cumulative(alpha, x)
    prior = (phi, l_star, alpha, data.l_min, data.colour, data.colour_scatter, data.psf_sigma)
    born = (-brighter, np.log(x * l_star), _birthplaces(image, noise, data.psf_sigma))
    sums = _walk(image.astype(np.float64), float(noise), catalogue, len(start), prior, born, steps, rng)
    return sums.mean(axis=0) - catalogue_fisher(theta, data.l_min)[0], np.cov(sums.T)


def _birthplaces(image: np.ndarray, noise: float, psf_sigma: float) -> np.ndarray:
    """Chances (n, n) of the pixels that galaxies are born in: half of them even, half where the image is bright."""
    from scipy.ndimage import gaussian_filter

    seen = np.maximum(sum(gaussian_filter(band, psf_sigma, mode="wrap") for band in image) / noise, 1e-9)
    return 0.5 / seen.size + 0.5 * seen / seen.sum()


@compiled_exactly
def _walk(image, noise, catalogue, count, prior, born, steps, rng):
    """`_sums` (kept, 3) of the catalogues of a chain; `catalogue` is changed."""
    psf, births = prior[6], np.cumsum(born[2])
    residual = image.copy()
    add_sources(residual, -catalogue[:count, 2:], catalogue[:count, :2], psf, REACH)
    new = np.zeros((2, catalogue.shape[1]))
    first = (steps + 2) // 3
    sums, kept = np.zeros(((steps - first + EVERY - 1) // EVERY, 3)), 0
    for step in range(steps):
        kind, chance = 0, rng.random()
        while chance >= CHANCES[kind]:
            kind += 1
        if kind in (BIRTH, DEATH, MOVE):
            gone, come, i, j, log_ratio = _propose_one(kind, catalogue, count, prior, born, births, new, rng)
        else:
            gone, come, i, j, log_ratio = _propose_two(kind, catalogue, count, prior, born[2].shape[0], new, rng)
        if log_ratio > -np.inf and count + come - gone <= len(catalogue):
            old = catalogue[np.array([i, j])[:gone]]
            change = add_sources(residual, old[:, 2:], old[:, :2], psf, REACH)
            change += add_sources(residual, -new[:come, 2:], new[:come, :2], psf, REACH)
            if math.log(1.0 - rng.random()) < log_ratio - change / (2 * noise**2):
                _replace(catalogue, count, i, j, gone, come, new)
                count += come - gone
            else:
                add_sources(residual, new[:come, 2:], new[:come, :2], psf, REACH)
                add_sources(residual, -old[:, 2:], old[:, :2], psf, REACH)
        if step >= first and (step - first) % EVERY == 0:
            sums[kept] = _sums(catalogue[:count, 2].copy(), prior[1], prior[2])
            kept += 1
    return sums


@compiled_exactly
def _replace(catalogue, count, i, j, gone, come, new):
    """Puts `come` new galaxies in place of i (and j), which are `gone`, and keeps the catalogue without gaps."""
    if come > gone:
        catalogue[count] = new[come - 1]
    if gone and come:
        catalogue[i] = new[0]
    if gone == come == 2:
        catalogue[j] = new[1]
    if gone > come:
        catalogue[j if come else i] = catalogue[count - 1]


@compiled_exactly
def _log_density(galaxy, prior, area):
    """ln of the expected galaxies per pixel², luminosity and ln of each flux ratio; −inf below l_min."""
    phi, l_star, alpha, l_min, colour, scatter, _ = prior
    x = galaxy[2] / l_star
    if galaxy[2] < l_min or x > HIGHEST or galaxy[2:].min() <= 0:
        return -np.inf
    found = math.log(phi / (l_star * area)) + alpha * math.log(x) - x
    for band in range(3, len(galaxy)):
        step = (math.log(galaxy[band] / galaxy[band - 1]) - colour) / scatter
        found -= 0.5 * step * step + math.log(scatter * math.sqrt(2 * math.pi))
    return found


@compiled_exactly
def _propose_one(kind, catalogue, count, prior, born, births, new, rng):
    """A birth, a death or a move: how many galaxies go and come (to `new`), which go, ln of the priors and steps' ratio."""
    n, expected = born[2].shape[0], -born[0][0]
    if kind == BIRTH:
        pixel = min(np.searchsorted(births, rng.random() * births[-1]), n * n - 1)
        new[0, 0], new[0, 1] = pixel // n + rng.random(), pixel % n + rng.random()
        new[0, 2] = math.exp(np.interp(-expected * rng.random(), born[0], born[1]))
        for band in range(3, catalogue.shape[1]):
            new[0, band] = new[0, band - 1] * math.exp(prior[4] + prior[5] * rng.standard_normal())
        chance = born[2][pixel // n, pixel % n]
        return 0, 1, 0, 0, math.log(expected / (n * n * chance * (count + 1)))
    if count == 0:
        return 0, 0, 0, 0, -np.inf
    i = int(rng.random() * count)
    if kind == DEATH:
        chance = born[2][int(catalogue[i, 0]) % n, int(catalogue[i, 1]) % n]
        return 1, 0, i, i, math.log(n * n * chance * count / expected)
    scale = FINEST ** rng.random()
    for axis in range(2):
        new[0, axis] = (catalogue[i, axis] + scale * prior[6] * rng.standard_normal()) % n
    ratio = math.exp(0.5 * scale * rng.standard_normal())
    new[0, 2] = ratio * catalogue[i, 2]
    for band in range(3, catalogue.shape[1]):
        ratio *= math.exp(prior[5] * scale * rng.standard_normal())
        new[0, band] = ratio * catalogue[i, band]
    jacobian = math.log(new[0, 2] / catalogue[i, 2])  # even steps of ln L, but a density of L
    return 1, 1, i, i, _log_density(new[0], prior, n * n) - _log_density(catalogue[i], prior, n * n) + jacobian


@compiled_exactly
def _neighbour(catalogue, count, i, n, reach, rng):
    """How many galaxies lie within `reach` of i, and one of them."""
    others, chosen = 0, -1
    for j in range(count):
        x, y = abs(catalogue[j, 0] - catalogue[i, 0]), abs(catalogue[j, 1] - catalogue[i, 1])
        x, y = min(x, n - x), min(y, n - y)
        if j != i and x * x + y * y < reach * reach:
            others += 1
            if rng.random() * others < 1:
                chosen = j
    return others, chosen


@compiled_exactly
def _propose_two(kind, catalogue, count, prior, n, new, rng):
    """A split, a merge or an exchange of light, as `_propose_one`.

    A galaxy becomes two whose light, centre of light and mean ln of flux ratios are its own; the merge is the reverse.
    """
    if count == 0:
        return 0, 0, 0, 0, -np.inf
    reach, i = NEAR * prior[6], int(rng.random() * count)
    others, j = _neighbour(catalogue, count, i, n, reach, rng)
    one = catalogue[i]
    if kind == EXCHANGE:
        if others == 0:
            return 0, 0, 0, 0, -np.inf
        new[0], new[1] = one, catalogue[j]
        light = FINEST ** rng.random() * rng.standard_normal() * (one[2] + catalogue[j, 2])
        new[0, 2:] *= 1 + light / one[2]
        new[1, 2:] *= 1 - light / catalogue[j, 2]
        before = _log_density(one, prior, n * n) + _log_density(catalogue[j], prior, n * n)
        return 2, 2, i, j, _log_density(new[0], prior, n * n) + _log_density(new[1], prior, n * n) - before
    if kind == MERGE:
        if others == 0:
            return 0, 0, 0, 0, -np.inf
        two, apart = catalogue[j], np.zeros(catalogue.shape[1])
        share = one[2] / (one[2] + two[2])
        for axis in range(2):
            apart[axis] = (one[axis] - two[axis] + 1.5 * n) % n - 0.5 * n
            new[0, axis] = (two[axis] + share * apart[axis]) % n
        new[0, 2] = one[2] + two[2]
        for band in range(3, len(one)):
            first, second = math.log(one[band] / one[band - 1]), math.log(two[band] / two[band - 1])
            apart[band] = first - second
            new[0, band] = new[0, band - 1] * math.exp(share * first + (1 - share) * second)
        after, before = (
            _log_density(new[0], prior, n * n),
            _log_density(one, prior, n * n) + _log_density(two, prior, n * n),
        )
        log_step = _log_split(apart, prior) - math.log(count - 1.0) - math.log(new[0, 2])
        return 2, 1, i, j, after - before + log_step + math.log(count * float(others))
    share, apart = rng.random(), rng.standard_normal(catalogue.shape[1])
    apart[:2] *= prior[6]
    apart[3:] *= prior[5]
    if apart[0] ** 2 + apart[1] ** 2 >= reach * reach:
        return 0, 0, 0, 0, -np.inf
    for which, weight in enumerate((1 - share, -share)):
        new[which, :2] = (one[:2] + weight * apart[:2]) % n
        new[which, 2] = one[2] * (share if which == 0 else 1 - share)
        for band in range(3, len(one)):
            new[which, band] = new[which, band - 1] * one[band] / one[band - 1] * math.exp(weight * apart[band])
    beside = 1 + _beside(catalogue, count, i, new[0], n, reach)
    after, before = (
        _log_density(new[0], prior, n * n) + _log_density(new[1], prior, n * n),
        _log_density(one, prior, n * n),
    )
    log_step = math.log(float(count)) + math.log(one[2]) - _log_split(apart, prior)
    return 1, 2, i, i, after - before + log_step - math.log((count + 1.0) * beside)


@compiled_exactly
def _beside(catalogue, count, i, place, n, reach):
    """Galaxies other than i within `reach` of a place."""
    found = 0
    for j in range(count):
        x, y = abs(catalogue[j, 0] - place[0]), abs(catalogue[j, 1] - place[1])
        x, y = min(x, n - x), min(y, n - y)
        if j != i and x * x + y * y < reach * reach:
            found += 1
    return found


@compiled_exactly
def _log_split(apart, prior):
    """ln of the density of a split's distance, in both axes and in the ln of each flux ratio."""
    found = -0.5 * (apart[0] ** 2 + apart[1] ** 2) / prior[6] ** 2 - 2 * math.log(prior[6] * math.sqrt(2 * math.pi))
    for band in range(3, len(apart)):
        found -= 0.5 * (apart[band] / prior[5]) ** 2 + math.log(prior[5] * math.sqrt(2 * math.pi))
    return found
