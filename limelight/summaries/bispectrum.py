"""The bispectrum of periodic cubes by Fourier transforms: shells of |k|, and products of what each shell holds.

B(k1, k2, k3) is the mean of δ(k1) δ(k2) δ(k3) over all triangles k1 + k2 + k3 = 0 with sides in three shells, in Mpc⁶ for
a field without unit (Scoccimarro 2015, arXiv:1506.02729, without a line of sight). Once what each shell holds is transformed
back, a sum over triangles is a sum over cells.
"""

import numpy as np
from scipy import fft


def shell_fields(fields: list[np.ndarray], side_mpc: float, shells: list[tuple[float, float]]) -> np.ndarray:
    """What fields (n, n, n) hold in each shell [low, high) of |k| (1/Mpc), then the shells' waves: (f + 1, s, n, n, n)."""
    n = fields[0].shape[0]
    along = 2 * np.pi * np.fft.fftfreq(n, side_mpc / n)
    half = np.abs(2 * np.pi * np.fft.rfftfreq(n, side_mpc / n))
    k = np.sqrt(along[:, None, None] ** 2 + along[None, :, None] ** 2 + half[None, None] ** 2)
    masks = [(k >= max(low, 1e-9)) & (k < high) for low, high in shells]
    modes = [fft.rfftn(np.asarray(field, np.float64)) for field in fields] + [np.ones_like(k)]
    return np.array([[fft.irfftn(one * mask, s=(n,) * 3) for mask in masks] for one in modes])


def bispectra(
    fields: list[np.ndarray], side_mpc: float, triangles: list[tuple[tuple[float, float], ...]]
) -> tuple[np.ndarray, np.ndarray]:
    """(B (f, t) in Mpc⁶, number of triangles (t,)) of fields, for triangles given as three shells of |k| in 1/Mpc each.

    A triangle counts once for each order of its sides that its shells allow. B is NaN where there is none. The sum over
    cells wraps around at twice the Nyquist wave number: sides of more than 2/3 of it may alias.
    """
    shells = sorted({shell for triangle in triangles for shell in triangle})
    held = shell_fields(fields, side_mpc, shells)
    n = fields[0].shape[0]
    sums = np.empty((len(held), len(triangles)))
    for j, triangle in enumerate(triangles):
        first, second, third = (shells.index(shell) for shell in triangle)
        sums[:, j] = (held[:, first] * held[:, second] * held[:, third]).sum(axis=(1, 2, 3))
    number = np.round(
        sums[-1] * n**6
    )  # each transform back divides by n³, the sum over cells counts a triangle n³ times
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(number > 0, sums[:-1] * n**6 / number, np.nan)
    return mean * (side_mpc**3) ** 2 / float(n) ** 9, number
