"""Attribution by what the pixel is: its value, its Fourier mode, its distance from the output, its place against a stride.

Every row's attribution is brought to the sum 1 before rows are averaged, so that all rows count alike.
"""

from dataclasses import dataclass, field

import numpy as np

from limelight.data.axes import Axis, OutputAxis
from limelight.data.shard import Header

VALUE_EDGES = (-np.inf, -3, -2, -1, 0, 1, 2, 3, 5, 10, np.inf)  # σ from the mean
STRIDE = 4  # pixels: the artefacts of strides of 2 and of two strides of 2 repeat within it
WAVE_BINS, DIRECTIONS = 16, 8


@dataclass
class PixelClasses:
    """What a probe knows of its pixels: how much of each belongs to each of several classes."""

    axis: OutputAxis  # of the classes: edges, one more than classes, or names
    weights: np.ndarray  # (n, classes, channels, *axes) from 0 to 1; what is missing to 1 belongs to none
    amount: np.ndarray = field(
        default_factory=lambda: np.zeros(0)
    )  # (classes,) share of what makes the data, such as light


def normalised(attribution: np.ndarray) -> np.ndarray:
    """Attribution (n, …) with the sum 1 in every row; a row without any stays 0."""
    total = attribution.reshape(len(attribution), -1).sum(axis=1)
    return attribution / np.where(total > 0, total, 1.0).reshape(-1, *[1] * (attribution.ndim - 1))


def by_value(shares: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(shares of attribution (channels, bins), shares of pixels (channels, bins)) by value in σ from the channel's mean.

    shares (n, channels, *axes): of `normalised`; values: the pixels', of the same shape. The shares of pixels add up to 1
    in each channel, those of attribution in all channels together.
    """
    if shares.shape != values.shape:
        raise ValueError(f"shares of {shares.shape} and values of {values.shape}")
    bins, channels = len(VALUE_EDGES) - 1, values.shape[1]
    found, pixels = np.zeros((channels, bins)), np.zeros((channels, bins))
    for c in range(channels):
        mine = values[:, c]
        number = np.searchsorted(VALUE_EDGES[1:-1], (mine - mine.mean()) / (mine.std() or 1.0), side="right")
        found[c] = np.bincount(number.ravel(), shares[:, c].ravel(), minlength=bins) / len(values)
        pixels[c] = np.bincount(number.ravel(), minlength=bins) / number.size
    return found, pixels


@dataclass(frozen=True)
class Waves:
    """The Fourier modes of the axes that share the unit of the first."""

    edges: np.ndarray  # (bins + 1,) of |k|
    label: str
    number: np.ndarray  # (*axes,) bin of each mode; −1: the mean
    direction: np.ndarray  # (*axes,) bin of each mode's direction, −1 for the mean; all 0 of a single axis


def waves(axes: tuple[Axis, ...]) -> Waves:
    """The modes of data of these axes; |k| in 2π over the axes' unit, or the multipole ℓ where they are in degrees."""
    axes = fourier_axes(axes)
    unit = axes[0].unit
    per_radian = 180 / np.pi if unit == "deg" else 10800 / np.pi if unit == "arcmin" else 1.0
    steps = [abs(axis.high - axis.low) / axis.n for axis in axes]
    k = np.meshgrid(
        *(2 * np.pi * np.fft.fftfreq(axis.n, step) * per_radian for axis, step in zip(axes, steps, strict=True)),
        indexing="ij",
    )
    size = np.sqrt(np.sum(np.square(k), axis=0))
    edges = np.linspace(0, size.max() * (1 + 1e-9), WAVE_BINS + 1)
    some = size > 0
    number = np.where(some, np.searchsorted(edges[1:-1], size, side="right"), -1)
    direction = np.where(some, 0, -1)
    if len(axes) > 1:
        angle = np.arctan2(k[1], k[0]) % np.pi
        turned = (
            np.floor(angle / np.pi * DIRECTIONS + 0.5).astype(int) % DIRECTIONS
        )  # the first is about the first axis
        direction = np.where(some, turned, -1)
    label = "multipole ℓ" if unit in ("deg", "arcmin") else f"|k| [rad / {unit or 'unit'}]"
    return Waves(edges, label, number, direction)


def fourier_axes(axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
    """The axes of the data that share the unit of the first: those that a direction has a meaning among."""
    return tuple(axis for axis in axes if axis.unit == axes[0].unit)


def by_wave(saliency: np.ndarray, header: Header) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the squared Fourier modes of the saliency (n, channels, *axes): (by |k|, by direction).

    With δ a Fourier mode of the data, ∂answer/∂δ is the Fourier mode of the gradient, so that for the gradient this is the
    attribution of modes as the square is that of pixels. Of all modes but the mean; channels and further axes are added up.
    """
    found = waves(header.axes)
    along = [2 + i for i, axis in enumerate(header.axes) if axis.unit == header.axes[0].unit]
    power = np.abs(np.fft.fftn(saliency.astype(np.float64), axes=along)) ** 2
    power = np.moveaxis(power, along, range(-len(along), 0))
    power = power.reshape(len(power), -1, *found.number.shape).sum(axis=1)
    some = found.number >= 0
    power = normalised(power[:, some]).mean(axis=0)
    size = np.bincount(found.number[some], power, minlength=WAVE_BINS)
    return size, np.bincount(found.direction[some], power, minlength=DIRECTIONS)


def modes(header: Header) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the modes themselves by |k| and by direction: what a saliency without any scale would have."""
    found = waves(header.axes)
    some = found.number >= 0
    size = np.bincount(found.number[some], minlength=WAVE_BINS)
    return size / some.sum(), np.bincount(found.direction[some], minlength=DIRECTIONS) / some.sum()


def distances(shape: tuple[int, ...], place: np.ndarray) -> np.ndarray:
    """Distance of each pixel (*axes,) from a place (axes,), in pixels; no axis is taken for periodic."""
    grid = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    return np.sqrt(sum((g - p) ** 2 for g, p in zip(grid, place, strict=True)))


def by_distance(shares: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(mean attribution of pixels r − ½ to r + ½ from a place, share within r + ½), r = 0, 1, …, of shares (n, c, *axes)."""
    mean = shares.mean(axis=0).sum(axis=0)
    ring = np.round(distances(mean.shape, place)).astype(int)
    inside = np.bincount(ring.ravel(), mean.ravel())
    count = np.bincount(ring.ravel())
    return inside / np.maximum(count, 1), np.cumsum(inside)


def radii(shares: np.ndarray, place: np.ndarray) -> dict[str, float]:
    """How far from a place attribution (n, channels, *axes) lies, in pixels.

    mean_radius: distance weighted by attribution; saliency_radius: by its root, the size of the saliency, which gives more
    to wide and faint skirts; reach_95: within which 95 % of the attribution is; receptive: of the farthest pixel with any,
    of a gradient the network's receptive field.
    """
    plane = shares.sum(axis=1)
    away = distances(plane.shape[1:], place)
    mean, size = plane.mean(axis=0), np.sqrt(plane).mean(axis=0)
    order = np.argsort(away, axis=None)
    inside = np.cumsum(mean.ravel()[order])
    enough = min(np.searchsorted(inside, 0.95 * inside[-1]), mean.size - 1)
    return {
        "mean_radius": float((mean * away).sum() / (mean.sum() or 1.0)),
        "saliency_radius": float((size * away).sum() / (size.sum() or 1.0)),
        "reach_95": float(away.ravel()[order][enough]),
        "receptive": float(away[mean > 0].max(initial=0.0)),
    }


def by_stride(shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean attribution of the pixels of each class modulo STRIDE along the first two axes, and its error over rows.

    (STRIDE, STRIDE) each, or (STRIDE, 1) of data with one axis. A network that treats all places alike has 1 everywhere.
    """
    plane = shares.sum(axis=1)
    plane = plane.reshape(*plane.shape[:3], -1).sum(axis=3) if plane.ndim > 2 else plane[:, :, None]
    rows, columns = (min(STRIDE, n) for n in plane.shape[1:])
    classes = [[plane[:, i::rows, j::columns].mean(axis=(1, 2)) for j in range(columns)] for i in range(rows)]
    found = np.array(classes) / (plane.mean() or 1.0)
    return found.mean(axis=2), found.std(axis=2) / np.sqrt(len(plane))


def by_class(shares: np.ndarray, classes: PixelClasses) -> np.ndarray:
    """Share of attribution that falls on each class of pixels, (classes,); what belongs to none is missing to 1."""
    flat = classes.weights.reshape(*classes.weights.shape[:2], -1)
    shares = shares[:, : classes.weights.shape[2]]  # a network may see more beside the data, which belongs to no class
    return np.mean(flat @ shares.reshape(len(shares), -1, 1), axis=0)[:, 0]
