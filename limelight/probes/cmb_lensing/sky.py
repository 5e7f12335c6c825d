"""Simulated skies: Gaussian unlensed E and κ, the lensed Q and U that a telescope sees, masks and white noise.

Maps are numpy float64 in µK (κ has no unit), of shape (n, npix, npix); signs and axes are those of grid.py.
"""

from typing import NamedTuple

import numpy as np

from limelight.errors import problem
from limelight.probes.cmb_lensing.grid import ARCMIN, Grid, cropped
from limelight.probes.cmb_lensing.spectra import Spectra

NUFFT_PRECISION = 1e-9  # relative to the largest mode: B at ℓ of a few thousand is 1e-3 of E


class Sky(NamedTuple):
    """Patches of sky, each map (n, npix, npix) float64: lensed q and u behind the beam, unlensed e and kappa without it."""

    q: np.ndarray
    u: np.ndarray
    e: np.ndarray
    kappa: np.ndarray


def simulate(
    grid: Grid,
    spectra: Spectra,
    n: int,
    rng: np.random.Generator,
    oversample: int = 2,
    margin: int = 0,
    beam_fwhm: float = 0.0,
) -> Sky:
    """Draw n patches without noise.

    E and κ are drawn, and Q + iU is lensed, on pixels smaller by `oversample`, because lensing makes waves shorter than the
    pixels. Then come the beam and the cut to the modes of the patch's own pixels. E and κ are cut in the same way. E and κ
    are independent (their correlation in ΛCDM is below 1 % but for the longest waves), and there is no B before lensing.

    Parameters
    ----------
    grid : the patch
    spectra : unlensed EE and φφ
    n : number of patches; the stream `rng` yields the same patches whether drawn together or one after another
    oversample : how many times smaller the pixels of the lensing are
    margin : pixels of sky simulated beyond the patch, in all; 0 gives patches with periodic edges, more gives edges that
        do not fit one another
    beam_fwhm : full width at half maximum of the Gaussian beam, arcmin

    Returns
    -------
    Sky of maps (n, grid.npix, grid.npix)
    """
    box = Grid(grid.npix + margin, grid.pixel_arcmin)
    fine = box.finer(oversample)
    root_e = np.sqrt(fine.sample(spectra.ee)) / fine.pixel
    root_kappa = np.sqrt(fine.sample(spectra.kappa)) / fine.pixel
    seen = beam(box, beam_fwhm)
    start = margin // 2
    patch = slice(start, start + grid.npix)
    maps = np.empty((4, n, grid.npix, grid.npix))
    for i in range(n):
        white = rng.standard_normal((2, fine.npix, fine.npix))
        e, kappa = np.fft.fft2(white) * (root_e, root_kappa)
        lensed = remap(fine, e * fine.spin, deflection(fine, kappa))
        observed = np.fft.ifft2(cropped(np.fft.fft2(lensed), box.npix) * seen)
        e, kappa = np.fft.ifft2(cropped(np.stack([e, kappa]), box.npix)).real
        maps[:, i] = np.stack([observed.real, observed.imag, e, kappa])[:, patch, patch]
    return Sky(*maps)


def deflection(grid: Grid, kappa_modes: np.ndarray) -> np.ndarray:
    """α = ∇φ at each pixel for the modes of κ (..., npix, npix): complex α_x + i α_y in radians."""
    ell2 = np.where(grid.ell > 0, grid.ell**2, 1.0)
    gradient = 1j * (grid.lx + 1j * grid.ly) * grid.usable * 2 / ell2
    return np.fft.ifft2(gradient * kappa_modes)


def remap(grid: Grid, modes: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The field with the given modes at n + α(n), exactly (a non-uniform FFT of the band-limited field).

    modes: (npix, npix) complex, or (fields, npix, npix) all moved alike; alpha: (npix, npix) complex, radians.
    Returns complex maps of the shape of modes.
    """
    import ducc0  # an extra: only what is lensed needs it

    values = ducc0.nufft.u2nu(
        grid=np.ascontiguousarray(modes),
        coord=_landing(grid, alpha),
        forward=False,
        epsilon=NUFFT_PRECISION,
        nthreads=1,
        periodicity=grid.side,
        fft_order=True,
    )
    return values.reshape(modes.shape) / grid.npix**2


def remap_transposed(grid: Grid, maps: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The adjoint of `remap`, maps to modes, both complex with plain sums as inner products."""
    import ducc0  # see above

    modes = ducc0.nufft.nu2u(
        points=maps.reshape(*maps.shape[:-2], -1),
        coord=_landing(grid, alpha),
        forward=True,
        epsilon=NUFFT_PRECISION,
        nthreads=1,
        periodicity=grid.side,
        fft_order=True,
        out=np.empty(maps.shape, dtype=np.complex128),
    )
    return modes / grid.npix**2


def _landing(grid: Grid, alpha: np.ndarray) -> np.ndarray:
    """Where each pixel looks, (npix², 2) as y, x in radians."""
    place = np.arange(grid.npix) * grid.pixel
    return np.stack([(place[:, None] + alpha.imag).ravel(), (place[None, :] + alpha.real).ravel()], axis=1)


def inverse_deflection(grid: Grid, alpha: np.ndarray, rounds: int = 6) -> np.ndarray:
    """β with β(n) = −α(n + β(n)), so that remapping by β undoes the remapping by α; complex, radians.

    Each round of this fixed point shrinks the error by |∇α|, which is about 0.05 on the sky.
    """
    modes = np.fft.fft2(alpha)
    beta = -alpha
    for _ in range(rounds):
        beta = -remap(grid, modes, beta)
    return beta


def lens(grid: Grid, q: np.ndarray, u: np.ndarray, kappa: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Q and U (npix, npix) lensed by κ (npix, npix), without oversampling."""
    moved = remap(grid, np.fft.fft2(q + 1j * u), deflection(grid, np.fft.fft2(kappa)))
    return moved.real, moved.imag


def delens(grid: Grid, q: np.ndarray, u: np.ndarray, kappa: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Q and U (npix, npix) with the lensing by κ (npix, npix) undone."""
    beta = inverse_deflection(grid, deflection(grid, np.fft.fft2(kappa)))
    moved = remap(grid, np.fft.fft2(q + 1j * u), beta)
    return moved.real, moved.imag


def beam(grid: Grid, fwhm_arcmin: float) -> np.ndarray:
    """A Gaussian beam's factor on each mode, (npix, npix)."""
    sigma = fwhm_arcmin * ARCMIN / np.sqrt(8 * np.log(2))
    return np.exp(-0.5 * (grid.ell * sigma) ** 2)


def noise_power(sigma_p: float) -> float:
    """N_ℓ of E and of B in µK² steradian for white noise of σ_P µK arcmin (σ_P = √2 σ_T for most detectors)."""
    return (sigma_p * ARCMIN) ** 2


def white_noise(grid: Grid, sigma_p: float, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Noise of σ_P µK arcmin in maps of Q or of U, (*shape, npix, npix) in µK."""
    return rng.standard_normal((*shape, grid.npix, grid.npix)) * (sigma_p / grid.pixel_arcmin)


def taper(grid: Grid, width_deg: float = 1.5) -> np.ndarray:
    """A mask that is 1 inside and falls to 0 at the edges along a cosine of the given width, (npix, npix)."""
    inside = (np.arange(grid.npix) + 0.5) * grid.pixel_arcmin / 60  # degrees from the edge
    from_edge = np.minimum(inside, inside[::-1])
    if width_deg < 0 or width_deg > inside[-1] / 2:
        raise problem(
            "cmb_lensing: taper",
            f"a width of {width_deg:g} degrees on a patch of {grid.npix * grid.pixel_arcmin / 60:g}",
            "at most half the side of the patch",
            "make the taper narrower or the patch larger",
        )
    edge = np.ones(grid.npix)
    if width_deg > 0:
        edge = 0.5 - 0.5 * np.cos(np.pi * np.minimum(from_edge / width_deg, 1.0))
    return edge[:, None] * edge[None, :]
