"""How well maps are reconstructed, scale by scale: correlation with the truth, transfer, and effective noise.

With the power of truths ⟨tt⟩, of predictions ⟨pp⟩ and their cross power ⟨pt⟩ in a shell of |k|, summed over maps:

    r = ⟨pt⟩ / √(⟨pp⟩⟨tt⟩)      transfer = ⟨pt⟩ / ⟨tt⟩      noise = 1/r² − 1

The noise is what a prediction, rescaled to be unbiased, adds to the truth, in units of the truth's power. It and r do not
care how a prediction is scaled; its raw power does. Posterior means (whose transfer is r²) and unbiased estimates can only
be compared in r or in the noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from limelight.summaries.power import PowerBins, shell_means, transformed

if TYPE_CHECKING:
    from torch import Tensor

BOOTSTRAPS = 200


@dataclass(frozen=True)
class Spectra:
    """Spectra of m maps of some channels beside their truths, (m, channels, bins) each."""

    predicted: np.ndarray  # power
    truth: np.ndarray  # power
    cross: np.ndarray

    def __getitem__(self, rows: np.ndarray | slice) -> Spectra:
        return Spectra(self.predicted[rows], self.truth[rows], self.cross[rows])

    def __len__(self) -> int:
        return len(self.truth)

    def channel(self, number: int) -> Spectra:
        """One channel alone, (m, bins) each."""
        return Spectra(self.predicted[:, number], self.truth[:, number], self.cross[:, number])


def spectra_of(predicted: Tensor, truth: Tensor, bins: PowerBins) -> Spectra:
    """Spectra of predictions and truths (m, channels, *shape), which are on the device of the bins."""
    count, channels = truth.shape[:2]
    a, b = (transformed(maps.flatten(0, 1), bins) for maps in (predicted, truth))
    products = (a.abs().square(), b.abs().square(), (a * b.conj()).real)
    means = [shell_means(one.double(), bins).view(count, channels, -1).cpu().numpy() for one in products]
    return Spectra(*means)


def joined(parts: list[Spectra]) -> Spectra:
    """Spectra of several batches of maps, one after the other."""
    return Spectra(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("predicted", "truth", "cross")))


def correlation(spectra: Spectra) -> np.ndarray:
    """r in each shell, (…, bins); NaN where there is no power."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return spectra.cross.sum(0) / np.sqrt(spectra.predicted.sum(0) * spectra.truth.sum(0))


def transfer(spectra: Spectra) -> np.ndarray:
    """⟨pt⟩/⟨tt⟩ in each shell, (…, bins): 1 for unbiased estimates, r² for posterior means."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return spectra.cross.sum(0) / spectra.truth.sum(0)


def noise(spectra: Spectra) -> np.ndarray:
    """1/r² − 1 in each shell, (…, bins); infinite where nothing is recovered."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1 / correlation(spectra) ** 2 - 1


def bootstrap(
    statistic: Callable[..., np.ndarray], *measured: Spectra, draws: int = BOOTSTRAPS, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """A statistic of spectra of the same maps, and its standard error by drawing whole maps with replacement.

    statistic: of as many Spectra as are given, such as `noise`, or a ratio of two. All see the same maps in each draw, so
    the scatter from map to map, which they share, cancels in ratios and differences.
    """
    rng, count = np.random.default_rng(seed), len(measured[0])
    drawn = [statistic(*(one[rows] for one in measured)) for rows in rng.integers(0, count, (draws, count))]
    with np.errstate(invalid="ignore"):
        return statistic(*measured), np.std(drawn, axis=0, ddof=1)
