"""A square patch of flat sky and its Fourier modes, for numpy arrays and torch tensors alike.

Conventions of the whole probe
------------------------------
- Maps have shape (..., npix, npix); the last axis is x, the one before it y, and both grow with the index.
- Fourier modes are numpy's: f(l) = Σ f(n) exp(−i l·n), in FFT order, without a factor. l is in radians⁻¹ (multipoles).
- Polarisation: Q > 0 along x and along y it is < 0; U > 0 along the diagonal x = y. This is the sign of HEALPix when x
  points south and y east; a map in the IAU convention has the other sign of U.
- E and B: (Q + iU)(l) = (E + iB)(l) exp(2iφ_l) with φ_l = atan2(l_y, l_x).
- Modes at the Nyquist frequency have no partner at −l, and the mean has no direction: E and B leave both out.
- Lensing: the lensed Q + iU at n is the unlensed one at n + α(n), α = ∇φ, κ = −∇²φ/2, so κ(l) = l² φ(l)/2.
- C_ℓ are in µK² steradian; white noise of σ_P µK arcmin has σ_P/pixel_arcmin µK in each pixel of Q and of U.
"""

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:  # patches are laid out with every config, which torch would hold up
    import torch

ARCMIN = np.pi / 10800  # radians
Array: TypeAlias = "np.ndarray | torch.Tensor"


@dataclass(frozen=True)
class Grid:
    """npix × npix square pixels of pixel_arcmin on a flat, periodic sky."""

    npix: int
    pixel_arcmin: float

    @property
    def pixel(self) -> float:
        """Side of a pixel in radians."""
        return self.pixel_arcmin * ARCMIN

    @property
    def side(self) -> float:
        """Side of the square in radians."""
        return self.npix * self.pixel

    @functools.cached_property
    def ly(self) -> np.ndarray:
        """l_y of each mode, (npix, 1)."""
        return 2 * np.pi * np.fft.fftfreq(self.npix, self.pixel)[:, None]

    @functools.cached_property
    def lx(self) -> np.ndarray:
        """l_x of each mode, (1, npix)."""
        return 2 * np.pi * np.fft.fftfreq(self.npix, self.pixel)[None, :]

    @functools.cached_property
    def ell(self) -> np.ndarray:
        """|l| of each mode, (npix, npix)."""
        return np.hypot(self.lx, self.ly)

    @functools.cached_property
    def usable(self) -> np.ndarray:
        """1 for each mode with a direction and a partner at −l, 0 for the mean and the Nyquist frequency, (npix, npix)."""
        usable = np.ones((self.npix, self.npix))
        usable[0, 0] = 0
        if self.npix % 2 == 0:
            usable[self.npix // 2, :] = usable[:, self.npix // 2] = 0
        return usable

    @functools.cached_property
    def spin(self) -> np.ndarray:
        """exp(2iφ_l) of each usable mode and 0 elsewhere, (npix, npix) complex."""
        return self.usable * np.exp(2j * np.arctan2(self.ly, self.lx))

    def finer(self, factor: int) -> "Grid":
        """The same square with pixels smaller by a whole factor."""
        return Grid(self.npix * factor, self.pixel_arcmin / factor)

    def sample(self, curve: np.ndarray) -> np.ndarray:
        """A curve at ℓ = 0, 1, 2, … on each mode, linear between; 0 beyond its end and for modes not usable."""
        ells = np.arange(len(curve))
        return self.usable * np.interp(self.ell, ells, curve, right=0.0)


def like(constant: np.ndarray, x: Array) -> Array:
    """A constant array as numpy or torch, on the device and in the precision of x."""
    import torch

    wide = x.dtype in (np.float64, np.complex128, torch.float64, torch.complex128)
    if isinstance(x, torch.Tensor):
        real, double = (torch.float64, torch.complex128) if wide else (torch.float32, torch.complex64)
        kind = double if np.iscomplexobj(constant) else real
        return torch.as_tensor(constant, dtype=kind, device=x.device)
    real, double = (np.float64, np.complex128) if wide else (np.float32, np.complex64)
    return constant.astype(double if np.iscomplexobj(constant) else real, copy=False)


def fft(x: Array) -> Array:
    """Modes of maps, over the last two axes."""
    import torch

    return torch.fft.fft2(x) if isinstance(x, torch.Tensor) else np.fft.fft2(x)


def ifft(modes: Array) -> Array:
    """Maps of modes, complex."""
    import torch

    return torch.fft.ifft2(modes) if isinstance(modes, torch.Tensor) else np.fft.ifft2(modes)


def filtered(grid: Grid, maps: Array, transfer: np.ndarray) -> Array:
    """Real maps with each mode multiplied by transfer (npix, npix), which must be that of a real filter."""
    modes = fft(maps)
    return ifft(modes * like(transfer, modes)).real


def eb_modes(grid: Grid, q: Array, u: Array) -> tuple[Array, Array]:
    """Modes of E and of B of Q and U maps (..., npix, npix)."""
    modes = fft(q + 1j * u)
    return real_parts(modes * like(grid.spin.conj(), modes))


def real_parts(modes: Array) -> tuple[Array, Array]:
    """The modes of the real and of the imaginary part of the complex map that modes (..., npix, npix) belong to."""
    import torch

    if isinstance(modes, torch.Tensor):
        mirrored = modes.conj().flip((-2, -1)).roll((1, 1), (-2, -1))
    else:
        mirrored = np.roll(np.flip(modes.conj(), (-2, -1)), (1, 1), (-2, -1))
    return (modes + mirrored) / 2, (modes - mirrored) / 2j


def eb_from_qu(grid: Grid, q: Array, u: Array) -> tuple[Array, Array]:
    """E and B maps of Q and U maps of shape (..., npix, npix) each."""
    modes = fft(q + 1j * u)
    spinless = ifft(modes * like(grid.spin.conj(), modes))
    return spinless.real, spinless.imag


def qu_from_eb(grid: Grid, e: Array, b: Array) -> tuple[Array, Array]:
    """Q and U maps of E and B maps of shape (..., npix, npix) each."""
    modes = fft(e + 1j * b)
    polarisation = ifft(modes * like(grid.spin, modes))
    return polarisation.real, polarisation.imag


def cropped(modes: np.ndarray, npix: int) -> np.ndarray:
    """Modes of a fine grid cut to those of npix pixels on the same square, without its Nyquist frequency.

    The maps keep their values: a factor (npix/fine)² is applied.
    """
    fine = modes.shape[-1]
    half = (npix - 1) // 2  # highest frequency kept
    keep = np.r_[0 : half + 1, -half:0]
    small = np.zeros((*modes.shape[:-2], npix, npix), dtype=modes.dtype)
    small[..., keep[:, None], keep[None, :]] = modes[..., keep[:, None], keep[None, :]]
    return small * (npix / fine) ** 2


def bin_modes(grid: Grid, values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Mean of values (..., npix, npix) over the usable modes between successive edges in ℓ, (..., bins); nan where none."""
    edges = np.asarray(edges, dtype=np.float64)
    place = np.digitize(grid.ell, edges) - 1
    inside = (place >= 0) & (place < len(edges) - 1) & (grid.usable > 0)
    member = np.zeros((len(edges) - 1, inside.sum()))
    member[place[inside], np.arange(inside.sum())] = 1
    counts = member.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.where(counts > 0, (values[..., inside] @ member.T) / counts, np.nan)


def cross_power(grid: Grid, one: np.ndarray, other: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Cross spectra of maps (..., npix, npix) in bins of ℓ with the given edges, (..., bins), in map units² steradian."""
    product = (np.fft.fft2(one) * np.fft.fft2(other).conj()).real * grid.pixel**2 / grid.npix**2
    return bin_modes(grid, product, edges)
