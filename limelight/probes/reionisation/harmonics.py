"""Spin-2 harmonics on HEALPix pixels (ring order) as matrices, and the symmetries of the pixels.

Multipole moments stand as real numbers: for each ℓ from 2, a_ℓ0 and then √2 Re, √2 Im of a_ℓm, m = 1 … ℓ. Each has the
variance C_ℓ. E alone makes (Q, U) = Y a; B makes (−U, Q) of that, for a turn of all polarisation by 45° makes B of E.
"""

import functools

import numpy as np

PIXELS_PER_NSIDE2 = 12


def pixels_of(nside: int) -> int:
    return PIXELS_PER_NSIDE2 * nside**2


def multipoles(lmax: int) -> np.ndarray:
    """ℓ of each real moment, ((lmax + 1)² − 4,)."""
    ells = np.arange(2, lmax + 1)
    return np.repeat(ells, 2 * ells + 1)


@functools.cache
def _base(nside: int):
    import ducc0  # of the extra `cmb`

    return ducc0.healpix.Healpix_Base(nside, "RING")


def directions(nside: int) -> tuple[np.ndarray, np.ndarray]:
    """(θ, φ) of the pixels' centres, radians, (npix,) each."""
    return tuple(_base(nside).pix2ang(np.arange(pixels_of(nside))).T)


@functools.lru_cache(maxsize=4)
def synthesis_matrix(nside: int, lmax: int, spin: int = 2) -> np.ndarray:
    """Y (2, npix, k) from E moments to Q and U, or (npix, k) to a scalar map (spin 0)."""
    import ducc0

    sht, size = _base(nside).sht_info(), (lmax + 1) * (lmax + 2) // 2
    columns = []
    for ell in range(2, lmax + 1):
        for m in range(ell + 1):
            place = m * (2 * lmax + 1 - m) // 2 + ell
            for unit in (1.0,) if m == 0 else (1 / np.sqrt(2), 1j / np.sqrt(2)):
                alm = np.zeros((1 if spin == 0 else 2, size), np.complex128)
                alm[0, place] = unit
                columns.append(ducc0.sht.synthesis(alm=alm, spin=spin, lmax=lmax, nthreads=1, **sht))
    found = np.moveaxis(np.array(columns), 0, -1)
    return found[0] if spin == 0 else found


def flat_matrix(nside: int, lmax: int) -> np.ndarray:
    """(2 npix, 2 k): from E moments, then B moments, to Q, then U."""
    q, u = synthesis_matrix(nside, lmax)
    return np.block([[q, -u], [u, q]])


@functools.lru_cache(maxsize=4)
def symmetries(nside: int) -> tuple[np.ndarray, np.ndarray]:
    """Exact symmetries of the pixels: (16, npix) which pixel goes where, and (16,) the sign that U takes.

    Quarter turns about the poles, mirrored in longitude or not, north and south exchanged or not.
    """
    theta, phi = directions(nside)
    pixels, signs = [], []
    for turn in range(4):
        for east in (1, -1):
            for north in (1, -1):
                pointing = np.stack(
                    [theta if north > 0 else np.pi - theta, (east * phi + turn * np.pi / 2) % (2 * np.pi)]
                )
                pixels.append(_base(nside).ang2pix(pointing.T))
                signs.append(east * north)
    return np.array(pixels), np.array(signs)
