"""One-point function of painted maps, with errors from leaving out quarters of their sky."""

from dataclasses import dataclass

import numpy as np

FINE_EDGES = np.geomspace(1e-4, 1e4, 3201)  # µK; a percentile is read off this histogram, to 0.3 %
STEP = 200  # fine bins in one of the one-point function: half a decade
FEWEST_VOXELS = 200


@dataclass(frozen=True)
class OnePoint:
    """Statistics of voxels in the map's unit, and the share of them in each bin of brightness."""

    mean: float
    rms: float  # about the mean
    skewness: float
    percentile: float  # the 99th
    share: np.ndarray  # (bins,)


def one_point_edges() -> np.ndarray:
    """Edges (bins + 1,) of the one-point function."""
    return FINE_EDGES[::STEP]


def quarter_sums(cube: np.ndarray) -> np.ndarray:
    """Sums over the four quarters of a map's sky, (4, 4 + fine bins + 1): voxels, T, T², T³, and a histogram of T.

    The histogram's first entry holds what is fainter than its range.
    """
    rows = []
    for half in np.array_split(cube, 2, axis=0):
        for quarter in np.array_split(half, 2, axis=1):
            values = quarter.astype(np.float64).ravel()
            powers = [len(values), *(float((values**power).sum()) for power in (1, 2, 3))]
            place = np.searchsorted(FINE_EDGES, values, side="right").clip(max=len(FINE_EDGES) - 1)
            rows.append([*powers, *np.bincount(place, minlength=len(FINE_EDGES))])
    return np.array(rows)


def one_point(sums: np.ndarray) -> OnePoint:
    """The statistics of all voxels whose sums these are, (parts, ...)."""
    total = sums.sum(axis=0)
    first, second, third = total[1:4] / total[0]
    variance = second - first**2
    below = np.cumsum(total[4:]) / total[0]  # the share under each fine edge
    middle = 10 ** np.interp(0.99, below, np.log10(FINE_EDGES))
    skewness = (third - 3 * first * second + 2 * first**3) / variance**1.5
    return OnePoint(first, variance**0.5, skewness, middle, np.diff(below[::STEP]))


def jackknifed_one_point(sums: np.ndarray) -> tuple[OnePoint, OnePoint]:
    """The statistics, and their 1 σ from leaving out each part in turn."""
    left = [one_point(np.delete(sums, part, axis=0)) for part in range(len(sums))]
    names = OnePoint.__dataclass_fields__
    scale = (len(sums) - 1) ** 0.5
    return one_point(sums), OnePoint(*(scale * np.std([getattr(s, n) for s in left], axis=0) for n in names))
