"""Discrete-continuous (DISCO) convolutions on the sphere (Ocampo, Price & McEwen 2022, arXiv:2209.13603).

A filter is a function of the distance and azimuth about a pixel, and its convolution a sum over pixels near by, each with
the area it stands for. Two sets of pixels: HEALPix's in nested order, which have one area; and an equiangular grid, row by
row: 3 nside rows of equal latitude, none on a pole, with 6 nside pixels each. There a turn about the poles by one pixel is
an exact symmetry, so that a filter is one table for each pair of rows, and the sum along a row a product of its waves.
"""

import functools
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

TAPS = 6


def base(nside: int, order: str):
    import ducc0  # of the extra `cmb`

    return ducc0.healpix.Healpix_Base(nside, order)


def seen_from(
    theta: np.ndarray, phi: np.ndarray, other_theta: np.ndarray, other_phi: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distance (radian) of each other pixel (second axis) from each pixel (first), and its direction: south and east."""
    step = other_phi[None] - phi[:, None]
    sin, cos = np.sin(theta)[:, None], np.cos(theta)[:, None]
    other_sin, other_cos = np.sin(other_theta), np.cos(other_theta)
    distance = np.arccos(np.clip(cos * other_cos + sin * other_sin * np.cos(step), -1, 1))
    south = cos * other_sin * np.cos(step) - sin * other_cos
    return distance, south, other_sin * np.sin(step)


def taps(distance: np.ndarray, azimuth: np.ndarray, area: np.ndarray | float = 1.0) -> np.ndarray:
    """(TAPS, pixels, others): a hat about the pixel, and one about a ring of one pixel size: even, and with the cosine and
    sine of the azimuth and of twice the azimuth. The sum over a hat is 1; distance in pixel sizes."""
    middle, ring = (area * np.maximum(1 - np.abs(distance - at), 0) for at in (0, 1))
    middle, ring = middle / middle.sum(axis=1, keepdims=True), ring / ring.sum(axis=1, keepdims=True)
    waves = [wave(m * azimuth) for m in (1, 2) for wave in (np.cos, np.sin)]
    uneven = [ring * (wave - (ring * wave).sum(axis=1, keepdims=True)) for wave in waves]  # of an even sky they are 0
    return np.stack([middle, ring, *uneven])


# HEALPix


def disco(x: Tensor, around: Tensor, filters: Tensor) -> Tensor:
    """(npix, b, c) -> (npix, b, k c): sums over pixels around (npix, m) under filters (k, npix, m)."""
    flat = x.flatten(1)
    found = [F.embedding_bag(around, flat, mode="sum", per_sample_weights=one).view_as(x) for one in filters]
    return torch.cat(found, dim=2)


@functools.lru_cache(maxsize=8)
def _near(nside: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each pixel those within two pixel sizes, their distance in pixel sizes and azimuth; each (npix, m)."""
    theta, phi = base(nside, "NEST").pix2ang(np.arange(12 * nside**2)).T
    distance, south, east = seen_from(theta, phi, theta, phi)
    distance = distance / math.sqrt(math.pi / 3) * nside
    most = (distance < 2).sum(axis=1).max()
    around = np.argsort(distance, axis=1, kind="stable")[:, :most]
    azimuth = np.arctan2(np.take_along_axis(east, around, 1), np.take_along_axis(south, around, 1))
    return around, np.take_along_axis(distance, around, 1), azimuth


def near(nside: int) -> np.ndarray:
    """Pixels in nested order that `filters_near` weighs, (npix, m)."""
    return _near(nside)[0]


def filters_near(nside: int) -> np.ndarray:
    """`taps` of these pixels, (TAPS, npix, m) float32."""
    _, distance, azimuth = _near(nside)
    return taps(distance, azimuth).astype(np.float32)


# The equiangular grid


def directions(nside: int) -> tuple[np.ndarray, np.ndarray]:
    """(θ, φ) of its pixels, radians, (18 nside²,) each."""
    rows = 3 * nside
    theta, phi = (np.arange(rows) + 0.5) * np.pi / rows, np.arange(2 * rows) * np.pi / rows
    return np.repeat(theta, 2 * rows), np.tile(phi, rows)


def pixel_areas(nside: int) -> np.ndarray:
    """Of its pixels over their mean, (18 nside²,)."""
    area = np.sin(directions(nside)[0])
    return area / area.mean()


def resampling(nside: int) -> np.ndarray:
    """(18 nside², 12 nside²) float32, from HEALPix in ring order: the mean under a hat of one of its pixels' size."""
    theta, phi = base(nside, "RING").pix2ang(np.arange(12 * nside**2)).T
    distance, _, _ = seen_from(*directions(nside), theta, phi)
    hat = np.maximum(1 - distance / math.sqrt(math.pi / 3) * nside, 0)
    return (hat / hat.sum(axis=1, keepdims=True)).astype(np.float32)


def row_filters(nside: int) -> np.ndarray:
    """Waves along the rows of `taps`, (3 nside + 1, rows, TAPS, 3) complex64, conjugate.

    A filter ends within two rows, and so it meets its own row and the two beside it, also across a pole.
    """
    theta, phi = directions(nside)
    rows = 3 * nside
    first = slice(None, None, 2 * rows)  # of each row
    distance, south, east = seen_from(theta[first], phi[first], theta, phi)
    found = taps(distance * rows / np.pi, np.arctan2(east, south), np.sin(theta))
    waves = np.fft.rfft(found.reshape(TAPS, rows, rows, 2 * rows)).conj()
    beside = np.arange(rows)[:, None] + [-1, 0, 1]
    met = waves[:, np.arange(rows)[:, None], beside % rows] * ((beside >= 0) & (beside < rows))[..., None]
    return np.ascontiguousarray(met.transpose(3, 1, 0, 2)).astype(np.complex64)


def disco_rows(x: Tensor, filters: Tensor) -> Tensor:
    """(npix, b, c) on the grid -> (npix, b, TAPS c): `disco` with `row_filters`."""
    rows, (_, b, c) = filters.shape[1], x.shape
    waves = torch.fft.rfft(x.float().view(rows, 2 * rows, b * c), dim=1).transpose(0, 1)
    beside = torch.stack([waves.roll(-k, dims=1) for k in (-1, 0, 1)], dim=2)  # across the ends filters are 0
    found = torch.fft.irfft(filters @ beside, n=2 * rows, dim=0)
    return found.view(2 * rows, rows, TAPS, b, c).permute(1, 0, 3, 2, 4).reshape(len(x), b, TAPS * c)


def halved(x: Tensor) -> Tensor:
    """(npix, b, c) on the grid -> the mean of four pixels, on the grid of half of nside."""
    rows = math.isqrt(len(x) // 2)
    return x.view(rows // 2, 2, rows, 2, *x.shape[1:]).mean(dim=(1, 3)).flatten(0, 1)
