"""`healpix`: convolutions on the sphere, for maps of all HEALPix pixels in ring order, (channels, 12 nside²).

Each layer mixes a pixel with its neighbours, in one of three ways: `neighbours` gives each of the nine its own weights, as a
3 × 3 kernel on a plane does (Krachmalnicoff & Tomasi 2019, arXiv:1902.04083); `chebyshev` takes polynomials of the mean over
the neighbours, which have no direction (Perraudin et al. 2019, arXiv:1810.12186); `disco`, discrete-continuous, sums over
pixels under a filter that is a function of distance and azimuth (Ocampo, Price & McEwen 2022, arXiv:2209.13603), on the
pixels of HEALPix, all of one weight; `disco_equiangular` does so on rows of equal latitude, as they do, to which the sky is
brought once. Between layers four pixels become one.

Q and U are given in frames that turn from pixel to pixel, so their plain sums mean nothing. With spin 2 the first layer
takes each pixel's polarisation along and across the great circle to the centre, and sums it in rings about that centre: the
sums are scalars (of even and odd parity) and do not depend on the frames.
"""

import functools
import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limelight.errors import problem
from limelight.networks.checks import one_of, vector, whole
from limelight.networks.disco import (
    TAPS,
    base,
    disco,
    disco_rows,
    filters_near,
    halved,
    near,
    pixel_areas,
    resampling,
    row_filters,
    seen_from,
)

KINDS = ("neighbours", "chebyshev", "disco", "disco_equiangular")
RING_DEG = 60.0  # as far as the rings of the first layer reach


def healpix(
    input_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
    kind: str = "neighbours",
    filters: int = 24,
    layers: int = 3,
    order: int = 4,
    spin: int = 0,
    rings: int = 6,
    dense: int = 128,
) -> nn.Module:
    """filters: of each layer; order: of the polynomials; spin: 2 for Q and U; rings: of the first layer of spin 2."""
    one_of("kind", kind, KINDS)
    one_of("spin", spin, (0, 2))
    limits = {"filters": 1024, "layers": 6, "order": 16, "rings": 32, "dense": 8192}
    given = {"filters": filters, "layers": layers, "order": order, "rings": rings, "dense": dense}
    for name, most in limits.items():
        whole(name, given[name], 1, most)
    if len(input_shape) != 2:
        found = f"data of {len(input_shape) - 1} axes for healpix"
        raise problem("networks.architecture", found, "one axis: all pixels", "choose another architecture")
    nside = math.isqrt(input_shape[1] // 12)
    if 12 * nside**2 != input_shape[1] or nside & (nside - 1) or nside < 2 ** (layers - 1):
        expected = f"12 nside² of them, nside a power of 2 and at least {2 ** (layers - 1)} with {layers} layers"
        raise problem("networks.architecture", f"{input_shape[1]} pixels for healpix", expected, "use fewer layers")
    if spin and input_shape[0] != 2:
        raise problem("networks.options.spin", f"2 of {input_shape[0]} channels", "Q and U", "set spin: 0")
    return Healpix(input_shape[0], nside, vector(output_shape), kind, filters, layers, order, spin, rings, dense)


class Healpix(nn.Module):
    """Layers, the mean and the mean square of every map under learnt weights of the pixels; dense; output."""

    def __init__(
        self,
        channels: int,
        nside: int,
        outputs: int,
        kind: str,
        filters: int,
        layers: int,
        order: int,
        spin: int,
        rings: int,
        dense: int,
    ):
        super().__init__()
        self.first = SpinRings(nside, rings) if spin else None
        width = 2 * rings if spin else channels
        self.kind, self.order, self.sizes = kind, order, [nside // 2**i for i in range(layers)]
        taps = {"neighbours": 9, "chebyshev": order + 1}.get(kind, TAPS)
        self.mixes = nn.ModuleList(
            nn.Conv1d(before * taps, filters, 1) for before in [width] + [filters] * (layers - 1)
        )
        seen = [(width, nside)] + [(filters, size) for size in self.sizes]
        self.weights = nn.ParameterList(nn.Parameter(self._even(size)) for _, size in seen)
        self.dense = nn.Linear(2 * sum(count for count, _ in seen), dense)
        self.output = nn.Linear(dense, outputs)

    def _even(self, nside: int) -> Tensor:
        """Weights of the pixels by their area, in ln: all of one area but on rows."""
        if self.kind == "disco_equiangular":
            return torch.as_tensor(np.log(pixel_areas(nside)), dtype=torch.float32)
        return torch.zeros(12 * nside**2)

    def _ordered(self, x: Tensor) -> Tensor:
        """(b, c, npix) in ring order -> (npix, b, c), nested or on rows: with pixels first, neighbours are whole rows."""
        x = x.permute(2, 0, 1)
        if self.kind == "disco_equiangular":
            return torch.tensordot(_on(x.device, resampling, self.sizes[0]), x, dims=1)
        return x[_on(x.device, nested, self.sizes[0])]

    def features(self, x: Tensor) -> Tensor:
        """(b, dense) numbers that the output is made of."""
        x = self._ordered(x if self.first is None else self.first(x))
        kept = self._seen(x, 0)
        for i, mix in enumerate(self.mixes):
            if i:
                x = halved(x) if self.kind == "disco_equiangular" else x.unflatten(0, (-1, 4)).mean(dim=1)
            nside, weight = self.sizes[i], mix.weight[..., 0]
            if self.kind == "neighbours":
                x = nine_weights(x, _on(x.device, neighbours, nside), weight) + mix.bias
            elif self.kind == "chebyshev":
                x = F.linear(chebyshev(x, _on(x.device, neighbours, nside), self.order), weight, mix.bias)
            elif self.kind == "disco_equiangular":
                x = F.linear(disco_rows(x, _on(x.device, row_filters, nside)), weight, mix.bias)
            else:
                around, filters = (_on(x.device, table, nside) for table in (near, filters_near))
                x = F.linear(disco(x, around, filters), weight, mix.bias)
            x = F.silu(x)
            kept += self._seen(x, i + 1)
        return F.silu(self.dense(torch.cat(kept, dim=1)))

    def _seen(self, x: Tensor, which: int) -> list[Tensor]:
        weight = self.weights[which].softmax(dim=0)
        mean, square = (torch.einsum("n,nbc->bc", weight, maps) for maps in (x, x.square()))
        return [mean, (square + 1e-6).log()]

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.features(x))


@functools.lru_cache(maxsize=32)
def _on(device: torch.device, table: Callable[..., np.ndarray], *arguments: int) -> Tensor:
    """A table of the pixels on a device. It is no part of a module, and so of no model file: the options say all of it."""
    return torch.as_tensor(table(*arguments), device=device)


def nested(nside: int) -> np.ndarray:
    """The ring number of each pixel in nested order, in which four neighbours follow one another, (npix,)."""
    return base(nside, "NEST").nest2ring(np.arange(12 * nside**2))


def neighbours(nside: int) -> np.ndarray:
    """The pixel itself and its eight neighbours in nested order, (npix, 9); where there are seven, the pixel again."""
    pixels = np.arange(12 * nside**2)
    around = base(nside, "NEST").neighbors(pixels)
    return np.column_stack([pixels, np.where(around < 0, pixels[:, None], around)])


def nine_weights(x: Tensor, around: Tensor, weight: Tensor) -> Tensor:
    """(npix, b, c) -> (npix, b, f): a pixel and its eight neighbours under weights (f, 9 c), the nine of a channel together.

    One neighbour after the other: all nine at once would be a copy nine times as large.
    """
    taps = weight.unflatten(1, (-1, around.shape[1]))
    found = x @ taps[..., 0].T  # the pixel itself
    for k in range(1, around.shape[1]):
        found = found + x.index_select(0, around[:, k]) @ taps[..., k].T
    return found


def chebyshev(x: Tensor, around: Tensor, order: int) -> Tensor:
    """(npix, b, c) -> (npix, b, (order + 1) c): T_0 … T_order of the mean over the eight neighbours."""
    others = around[:, 1:].contiguous()

    def mean(maps: Tensor) -> Tensor:
        return F.embedding_bag(others, maps.flatten(1), mode="mean").view_as(maps)

    found = [x, mean(x)]
    for _ in range(order - 1):
        found.append(2 * mean(found[-1]) - found[-2])
    return torch.cat(found[: order + 1], dim=2)


class SpinRings(nn.Module):
    """Q and U (b, 2, npix) in ring order -> (b, 2 rings, npix) scalars: even ones, then odd ones."""

    def __init__(self, nside: int, rings: int):
        super().__init__()
        self.nside, self.rings = nside, rings

    def forward(self, x: Tensor) -> Tensor:
        return (x.flatten(1) @ _on(x.device, spin_rings, self.nside, self.rings).T).unflatten(1, (-1, x.shape[-1]))


def spin_rings(nside: int, rings: int) -> np.ndarray:
    """(2 rings npix, 2 npix) float32: of each centre, the sum over a ring of the polarisation along and across its radius.

    With α the position angle of the centre as seen from a pixel, a pixel has Q cos 2α + U sin 2α along the great circle and
    U cos 2α − Q sin 2α across it (at 45°). Each row is normalised.
    """
    theta, phi = base(nside, "RING").pix2ang(np.arange(12 * nside**2)).T
    distance, south, east = (table.T for table in seen_from(theta, phi, theta, phi))  # of the centre from the pixel
    twice = 2 * np.arctan2(east, south)
    ring = np.minimum(np.floor(np.degrees(distance) / RING_DEG * rings).astype(int), rings)
    ring[distance < 1e-6] = rings  # the pixel itself has no direction to itself
    even, odd = [], []
    for i in range(rings):
        inside = ring == i
        inside = inside / np.sqrt(np.maximum(inside.sum(axis=1, keepdims=True), 1))
        along, across = inside * np.cos(twice), inside * np.sin(twice)
        even.append(np.concatenate([along, across], axis=1))
        odd.append(np.concatenate([-across, along], axis=1))
    return np.concatenate(even + odd).astype(np.float32)
