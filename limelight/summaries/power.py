"""Power and cross spectra of maps of one to three axes, for batches on the CPU or a GPU.

P(k) = V_voxel / N_voxels · |Σ T e^(−ikx)|², in (unit of T)² Mpc³, averaged over the modes of a shell of |k|. Voxels may be
anisotropic, and Mpc stands for any unit of length (of the sky: radians, and k is then the multipole). Maps are not
periodic, but taken so, without a taper.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from limelight.errors import problem

if TYPE_CHECKING:  # loaded where it is used: figures read spectra from files
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class PowerBins:
    """Which mode of a map's real Fourier transform belongs to which shell of |k|."""

    shape: tuple[int, ...]  # of the maps: (x, y, f), or fewer axes
    voxel_mpc: tuple[float, ...]
    k_edges: np.ndarray  # (bins + 1,) 1/Mpc, half-open shells [lower, upper)
    index: Tensor  # (modes of the real transform,) int64; `bins` for a mode in no shell and for k = 0
    weight: Tensor  # same shape, float64: 2 for a mode whose conjugate the real transform leaves out, else 1
    mu2: Tensor  # same shape, float64: (k_z / k)²
    modes: np.ndarray  # (bins,) modes of each shell, k and −k counted both: Gaussian P has variance 2 P² / modes
    k_mean: np.ndarray  # (bins,) 1/Mpc, mean |k| of the shell's modes; NaN for an empty one

    def to(self, device: str | torch.device) -> PowerBins:
        """The same bins on a device."""
        tensors = {name: getattr(self, name).to(device) for name in ("index", "weight", "mu2")}
        return PowerBins(**{**self.__dict__, **tensors})


def wave_numbers(shape: tuple[int, ...], voxel_mpc: tuple[float, ...]) -> list[np.ndarray]:
    """k along each axis of a real transform over the last one, 1/Mpc: (nx, 1, 1), (1, ny, 1), (1, 1, nf // 2 + 1)."""
    every = [2 * math.pi * np.fft.fftfreq(n, d) for n, d in zip(shape, voxel_mpc, strict=True)]
    every[-1] = 2 * math.pi * np.fft.rfftfreq(shape[-1], voxel_mpc[-1])
    return [k.reshape([-1 if i == axis else 1 for i in range(len(shape))]) for axis, k in enumerate(every)]


def wave_cells_of(shape: tuple[int, ...]) -> np.ndarray:
    """The cell of each mode of a real transform of maps of a shape, flat int64: whole waves a map across, and along.

    Of three axes the last is along the line of sight; of two, both are across.
    """
    half = np.arange(shape[-1] // 2 + 1)
    sky = [np.fft.fftfreq(n, 1 / n) for n in shape]
    across = np.rint(np.hypot(sky[0][:, None], half if len(shape) < 3 else sky[1])).astype(np.int64)
    return (across if len(shape) < 3 else across[..., None] * len(half) + half).ravel()


def power_bins(shape: tuple[int, ...], voxel_mpc: tuple[float, ...], k_edges: np.ndarray) -> PowerBins:
    """The shells of |k| between edges (1/Mpc, rising) for maps of a shape with voxels of these sides."""
    k_edges = np.asarray(k_edges, np.float64)
    if k_edges.ndim != 1 or len(k_edges) < 2 or np.any(np.diff(k_edges) <= 0) or k_edges[0] < 0:
        raise problem("power spectrum: k_edges", k_edges.tolist(), "rising wave numbers ≥ 0", "mend the bins")
    along = wave_numbers(shape, voxel_mpc)
    k = np.sqrt(sum(one**2 for one in along))
    bins = len(k_edges) - 1
    index = np.searchsorted(k_edges, k, side="right") - 1
    index[(index < 0) | (index >= bins) | (k == 0)] = bins
    weight = np.full(k.shape, 2.0)
    weight[..., 0] = 1
    if shape[-1] % 2 == 0:
        weight[..., -1] = 1
    mu2 = np.divide(along[-1] ** 2, k**2, out=np.zeros_like(k), where=k > 0)
    modes = np.bincount(index.ravel(), weight.ravel(), bins + 1)[:bins]
    with np.errstate(invalid="ignore"):
        k_mean = np.bincount(index.ravel(), (weight * k).ravel(), bins + 1)[:bins] / modes
    import torch

    flat = (torch.from_numpy(np.ascontiguousarray(a).reshape(-1)) for a in (index.astype(np.int64), weight, mu2))
    return PowerBins(tuple(shape), tuple(map(float, voxel_mpc)), k_edges, *flat, modes, k_mean)


def power_spectrum(maps: Tensor, bins: PowerBins, multipoles: tuple[int, ...] = (0,)) -> Tensor:
    """Power of maps (b, *shape) in each shell, float64 (b, multipoles, bins); NaN in a shell without modes.

    Multipole ℓ about the line of sight (the last axis): (2ℓ + 1) ⟨P(k, μ) L_ℓ(μ)⟩ over the shell's modes. With few modes
    in a shell the L_ℓ are not orthogonal on them, and a monopole leaks into ℓ = 2, 4: measure that on an isotropic field.
    The map's mean plays no part (k = 0 is in no shell). The noise bias is not taken off: see noise_power.
    """
    power = transformed(maps, bins).abs().square().double()
    if multipoles == (0,):
        return shell_means(power, bins)[:, None]
    import torch

    return torch.stack([shell_means(power, bins, ell) for ell in multipoles], 1)


def transformed(maps: Tensor, bins: PowerBins) -> Tensor:
    """The real Fourier transform of maps (b, *shape), flat: (b, modes)."""
    import torch

    return torch.fft.rfftn(maps, dim=tuple(range(1, 1 + len(bins.shape)))).reshape(len(maps), -1)


def shell_means(products: Tensor, bins: PowerBins, multipole: int = 0) -> Tensor:
    """Products of modes (b, modes) float64 as power, averaged over each shell, (b, bins); NaN in a shell without modes."""
    products = products * (bins.weight * (math.prod(bins.voxel_mpc) / math.prod(bins.shape)))
    if multipole:
        products = products * ((2 * multipole + 1) * legendre(multipole, bins.mu2))
    n = len(bins.k_edges) - 1
    sums = products.new_zeros(len(products), n + 1)
    sums.index_add_(1, bins.index, products)
    import torch

    return sums[:, :n] / torch.as_tensor(bins.modes, device=products.device)


def legendre(ell: int, mu2: Tensor | np.ndarray) -> Tensor | np.ndarray:
    """L_ℓ(μ) of even ℓ up to 4 from μ²."""
    if ell == 0:
        return 1 + 0 * mu2
    if ell == 2:
        return (3 * mu2 - 1) / 2
    if ell == 4:
        return (35 * mu2**2 - 30 * mu2 + 3) / 8
    raise problem("power spectrum: multipoles", ell, "0, 2 or 4", "mend the list")


def noise_power(sigma: float, voxel_mpc: tuple[float, ...]) -> float:
    """Power of white noise of σ per voxel: σ² V_voxel, the same at every k (the noise bias of the monopole)."""
    return sigma**2 * math.prod(voxel_mpc)


def transfer(bins: PowerBins, beam_sigma_mpc: float = 0.0, pixel_window: bool = True) -> np.ndarray:
    """What share of the sky's power a shell of the map keeps, (bins,): the mean of W² over its modes.

    A Gaussian beam of comoving σ takes exp(−k_⊥² σ²) (see beam_sigma_mpc); voxels that average the sky take
    Π sinc²(k_i d_i/2). Measured P / transfer is the sky's as far as P hardly changes within a shell and little power is
    aliased into it from beyond the Nyquist wave number (shot noise is: there the pixel window takes away nothing, and
    should be left out).
    """
    kx, ky, kz = wave_numbers(bins.shape, bins.voxel_mpc)
    window = np.exp(-(kx**2 + ky**2 + 0 * kz) * beam_sigma_mpc**2)
    if pixel_window:
        for k, side in zip((kx, ky, kz), bins.voxel_mpc, strict=True):
            window = window * np.sinc(k * side / (2 * math.pi)) ** 2
    index, weight, n = bins.index.cpu().numpy(), bins.weight.cpu().numpy(), len(bins.modes)
    with np.errstate(invalid="ignore"):
        return np.bincount(index, weight * window.ravel(), n + 1)[:n] / bins.modes
