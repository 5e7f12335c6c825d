"""What a survey's own pipeline does to its map, on batches of maps (b, x, y, f) and on their device.

Weights are 1/σ² of each voxel and 0 where nothing was observed. Voxels of weight 0 come out as 0 and never count.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from limelight.errors import problem
from limelight.files import read_csv

if TYPE_CHECKING:
    from scipy.interpolate import RegularGridInterpolator

COLUMNS = ("k_perp_per_mpc", "k_par_per_mpc", "transfer")


def inverse_variance(sigma: Tensor, observed: Tensor | None, shape: tuple[int, ...]) -> Tensor:
    """Weights (b, x, y, f) of maps of a shape; maps without noise get equal ones.

    sigma: (b, x, y, f), where axes of length 1 stand for all; observed: the same, bool; None: everywhere.
    """
    sigma = sigma.expand(shape)
    weights = torch.where(sigma > 0, 1 / sigma.clamp(min=1e-30).square(), 1.0)
    return weights if observed is None else weights * observed


def remove_means(maps: Tensor, weights: Tensor, of: str = "channels") -> Tensor:
    """Maps without the weighted mean of each channel, or of the whole map, over the voxels that were observed."""
    axes = {"channels": (1, 2), "map": (1, 2, 3)}[of]
    total = weights.sum(dim=axes, keepdim=True)
    mean = (maps * weights).sum(dim=axes, keepdim=True) / total.clamp(min=torch.finfo(total.dtype).tiny)
    return torch.where(weights > 0, maps - mean, 0.0)


def remove_modes(maps: Tensor, weights: Tensor, modes: int, lost: Tensor | None = None) -> Tensor:
    """Maps without their leading principal components along frequency, as surveys clean them (arXiv:2406.07511).

    A map in units of its noise is a matrix (pixels × channels); of its singular value decomposition the `modes` largest
    terms are subtracted. They are found as eigenvectors of the small matrix (channels × channels), in float64.
    lost: what modes that the maps lost before would add to that matrix (lost_modes).
    """
    if not modes:
        return maps
    root = weights.sqrt()
    whitened = (maps * root).flatten(1, 2)
    matrix = channel_matrix(maps, weights)
    spectra = torch.linalg.eigh(matrix if lost is None else matrix + lost)[1][..., -modes:].to(maps.dtype)  # rising
    cleaned = whitened - (whitened @ spectra) @ spectra.mT
    return torch.where(weights > 0, cleaned.view_as(maps) / root.clamp(min=1e-30), 0.0)


def channel_matrix(maps: Tensor, weights: Tensor) -> Tensor:
    """Sums over pixels of products of channels of maps in units of their noise, (b, f, f) float64."""
    precise = (maps * weights.sqrt()).flatten(1, 2).double()
    return precise.mT @ precise


def lost_modes(maps: Tensor, weights: Tensor, modes: int, alike: Tensor) -> Tensor:
    """What the modes that a map (1, x, y, f) has lost would add to its channel_matrix, (1, f, f) float64.

    Their spectra are those of which nothing is left. How bright they were nobody knows: over the brightest that is left they
    are taken to have stood as far as they do in maps that are alike (b, x, y, f) and have lost none.
    """
    seen = (weights[0] > 0).any(dim=(0, 1))
    matrix = channel_matrix(maps, weights)[0][seen][:, seen]
    values, spectra = torch.linalg.eigh(matrix)
    whole = torch.linalg.eigvalsh(channel_matrix(alike, weights))  # rising
    above = (whole[:, -modes:] / whole[:, -modes - 1, None]).mean(dim=0)
    found = torch.zeros((1, len(seen), len(seen)), dtype=matrix.dtype)
    part = (spectra[:, :modes] * (above * values[-1])) @ spectra[:, :modes].mT
    found[:, seen.nonzero(), seen.nonzero().T] = part
    return found


def high_pass(k: np.ndarray, cut: float, width: float) -> np.ndarray:
    """1/(1 + exp((cut − k)/width)): near 0 below the cut, 1/2 there, 1 above; 1/Mpc."""
    return 1 / (1 + np.exp(np.clip((cut - k) / width, -700, 700)))


def read_transfer(path: str | Path) -> "RegularGridInterpolator":
    """The transfer function of a CSV file with the columns of COLUMNS: every k_perp with every k_par, in any order.

    `transfer` is what is left of a mode's amplitude: the root of the ratio of powers. Raises LimelightError for other files.
    """
    table = read_csv(path, "a transfer function (CSV)")
    if any(name not in table or table[name].dtype.kind != "f" for name in COLUMNS):
        raise problem(path, f"columns {', '.join(table)}", f"numbers in {', '.join(COLUMNS)}", "add or rename columns")
    across, along, values = (table[name] for name in COLUMNS)
    k_perp, k_par = np.unique(across), np.unique(along)
    if not np.isfinite([across, along, values]).all() or min(across.min(), along.min()) < 0 or values.min() < 0:
        raise problem(path, "values that are negative, missing or not finite", "numbers of 0 or more", "mend the file")
    grid = np.full((len(k_perp), len(k_par)), np.nan)
    grid[np.searchsorted(k_perp, across), np.searchsorted(k_par, along)] = values
    if np.isnan(grid).any() or len(values) != grid.size or min(grid.shape) < 2:
        found = f"{len(values)} rows of {len(k_perp)} k_perp and {len(k_par)} k_par"
        raise problem(path, found, "each k_perp with each k_par once, two of each at least", "complete the table")
    from scipy.interpolate import RegularGridInterpolator

    return RegularGridInterpolator((k_perp, k_par), grid)


def transfer_on_modes(
    shape: tuple[int, int, int], voxel_mpc: tuple[float, float, float], across, along, gain: float, path: str | None
) -> np.ndarray:
    """What is left of the amplitude of each mode of a real transform (x, y, f) -> (x, y, f // 2 + 1), float32.

    Parameters
    ----------
    voxel_mpc
        Comoving sides of a voxel.
    across, along
        (cut, width) of `high_pass` in k_perp and k_par, or None.
    gain
        What is left of modes that pass both.
    path
        Of a file of `read_transfer`, in place of all these; beyond its ends it is taken as constant.
    """
    kx, ky = (2 * math.pi * np.fft.fftfreq(n, d) for n, d in zip(shape[:2], voxel_mpc[:2], strict=True))
    k_perp = np.hypot(kx[:, None], ky)[..., None]
    k_par = 2 * math.pi * np.fft.rfftfreq(shape[2], voxel_mpc[2])
    if path:
        known = read_transfer(path)
        pairs = np.broadcast_arrays(k_perp, k_par)
        limited = [np.clip(k, grid[0], grid[-1]) for k, grid in zip(pairs, known.grid, strict=True)]
        return known(np.stack(limited, axis=-1)).astype(np.float32)
    left = np.full((*shape[:2], shape[2] // 2 + 1), gain)
    left *= 1 if across is None else high_pass(k_perp, *across)
    left *= 1 if along is None else high_pass(k_par, *along)
    return left.astype(np.float32)


def apply_transfer(maps: Tensor, transfer: Tensor) -> Tensor:
    """Maps whose modes are multiplied by transfer (x, y, f // 2 + 1). The map is taken as periodic, as P(k) takes it."""
    axes = (1, 2, 3)
    return torch.fft.irfftn(torch.fft.rfftn(maps, dim=axes) * transfer, s=maps.shape[1:], dim=axes)


def correlated_on_sky(white: Tensor, k_perp: Tensor, knee: float, slope: float) -> Tensor:
    """White noise (b, x, y, f) of unit variance, made to have the power 1 + (knee/k_perp)^slope in every channel.

    k_perp: (x, y // 2 + 1) of a real transform over x and y. The mean of a channel has the power of the longest wave.
    """
    longest = k_perp[k_perp > 0].min()
    power = 1 + (knee / k_perp.clamp(min=longest)) ** slope
    waves = torch.fft.rfft2(white, dim=(1, 2)) * power.sqrt()[None, ..., None]
    return torch.fft.irfft2(waves, s=white.shape[1:3], dim=(1, 2))


def sky_wave_numbers(shape: tuple[int, int], pixel_mpc: float) -> np.ndarray:
    """k_perp (x, y // 2 + 1) of a real transform over x and y, 1/Mpc."""
    return 2 * math.pi * np.hypot(np.fft.fftfreq(shape[0], pixel_mpc)[:, None], np.fft.rfftfreq(shape[1], pixel_mpc))


def standing_wave(
    count: int, shape: tuple[int, int, int], freq_ghz: Tensor, period_ghz: float, random: torch.Generator
) -> Tensor:
    """Ripples of the baseline (count, x, y, f) with a root mean square of 1 over maps: a sine along frequency.

    Its phase is drawn for each map; its size changes linearly over the field, from a plane that is drawn as well.
    """
    device = random.device
    phase = 2 * math.pi * torch.rand(count, 1, generator=random, device=device)
    plane = torch.randn(count, 3, generator=random, device=device) / math.sqrt(3)
    x, y = (((torch.arange(n, device=device) + 0.5) * 2 / n - 1) * math.sqrt(3) for n in shape[:2])  # of unit variance
    size = plane[:, 0, None, None] + plane[:, 1, None, None] * x[:, None] + plane[:, 2, None, None] * y
    sine = math.sqrt(2) * torch.sin(2 * math.pi * freq_ghz.to(device) / period_ghz + phase)
    return size[..., None] * sine[:, None, None]
