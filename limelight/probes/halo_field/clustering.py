"""What halos of a box are held against the true ones by: number, power, counts in cells, voids, bispectrum; and r(k)."""

import numpy as np
import torch

from limelight.summaries.bispectrum import bispectra
from limelight.summaries.power import power_bins, power_spectrum
from limelight.summaries.reconstruction import Spectra, spectra_of

COUNTS = (0, 1, 2, 3)  # cells that hold so many; then more
BLOCKS = (2, 4)  # cells along each side of the regions whose emptiness is told
ALIAS = 2 / 3  # of the Nyquist wave number, the longest side of a triangle

Statistic = tuple[str, float]  # its name, and where: wave number in 1/Mpc, number of halos, or side in Mpc


def statistics_of(counts: np.ndarray, side_mpc: float, k_edges: np.ndarray) -> dict[Statistic, float]:
    """Statistics of the halos (z, y, x) of one periodic box; power in Mpc³ and bispectrum in Mpc⁶ of N/⟨N⟩ − 1."""
    n = counts.shape[0]
    cell = side_mpc / n
    found: dict[Statistic, float] = {("number", 0.0): float(counts.sum())}
    contrast = counts / max(counts.mean(), 1e-30) - 1
    bins = power_bins(counts.shape, (cell,) * 3, k_edges)
    power = power_spectrum(torch.from_numpy(contrast[None].astype(np.float64)), bins)[0, 0].numpy()
    found |= {("power", float(k)): float(p) for k, p in zip(bins.k_mean, power, strict=True) if np.isfinite(p)}
    for number in COUNTS:
        found["cells with", float(number)] = float((np.round(counts) == number).mean())
    found["cells with more than", float(COUNTS[-1])] = float((np.round(counts) > COUNTS[-1]).mean())
    for block in BLOCKS:
        if n % block == 0:
            shape = (n // block, block) * 3
            regions = counts.reshape(shape).sum(axis=(1, 3, 5))
            found["empty regions", block * cell] = float((np.round(regions) == 0).mean())
    return found | bispectrum_of(contrast, side_mpc, k_edges)


def bispectrum_of(contrast: np.ndarray, side_mpc: float, k_edges: np.ndarray) -> dict[Statistic, float]:
    """Equilateral triangles in each shell, and squeezed ones: two sides in it, the third in the first shell."""
    shells = [tuple(pair) for pair in zip(k_edges[:-1].tolist(), k_edges[1:].tolist(), strict=True)]
    longest = ALIAS * np.pi * contrast.shape[0] / side_mpc
    used = [shell for shell in shells if shell[1] <= longest]
    kinds = {("equilateral bispectrum", shell): (shell,) * 3 for shell in used}
    kinds |= {("squeezed bispectrum", shell): (shell, shell, used[0]) for shell in used[1:]}
    if not kinds:
        return {}
    values, number = bispectra([contrast], side_mpc, list(kinds.values()))
    return {
        (name, 0.5 * sum(shell)): float(value)
        for (name, shell), value, count in zip(kinds, values[0], number, strict=True)
        if count >= 1
    }


def spectra_between(painted: np.ndarray, true: np.ndarray, side_mpc: float, k_edges: np.ndarray) -> Spectra:
    """Spectra of contrasts of boxes (m, z, y, x), (m, 1, shells) each."""
    cell = side_mpc / true.shape[-1]
    bins = power_bins(true.shape[1:], (cell,) * 3, k_edges)
    means = [values / np.maximum(values.mean(axis=(1, 2, 3), keepdims=True), 1e-30) - 1 for values in (painted, true)]
    return spectra_of(*(torch.from_numpy(values[:, None].astype(np.float64)) for values in means), bins)


def correlation_ceiling(power: np.ndarray, number: float, volume_mpc3: float) -> np.ndarray:
    """√(1 − 1/(n̄P)): the r of a painter that knows the expected number in every cell, P with its shot noise."""
    return np.sqrt(np.clip(1 - volume_mpc3 / (number * power), 0, None))
