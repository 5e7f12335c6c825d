"""Star formation rates of halos."""

import functools
import weakref

import numpy as np

from limelight.files import resource_path

CHUNK = 1 << 16  # halos at a time, so that intermediate arrays stay in the cache


@functools.lru_cache(maxsize=1)
def _behroozi_table() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """log10 M (m,), log10(1+z) (z,) and the SFR in Msun/yr (m, z), 0 where there is none."""
    rows = np.loadtxt(resource_path("sfr_behroozi_release.dat"))
    log_mass, log_1z = np.unique(rows[:, 1]), np.log10(np.unique(rows[:, 0]))
    log_sfr = rows[:, 2].reshape(len(log_mass), len(log_1z))
    return log_mass, log_1z, np.where(log_sfr > -999, 10.0**log_sfr, 0.0)


_known: dict[
    tuple[int, int], np.ndarray
] = {}  # of halos that cannot change, by their arrays' ids, as long as they live


def log10_sfr(mass_msun: np.ndarray, redshift: np.ndarray) -> np.ndarray:
    """log10 of `behroozi_sfr` of halos (n,), −inf where no stars form; float64 (n,), read-only.

    A field's halos are asked for again with every draw of a line model's parameters. Of arrays that cannot be written to (as
    those of a Field) the answer is kept as long as they live: it is half of a draw.
    """
    key = id(mass_msun), id(redshift)
    if key in _known:
        return _known[key]
    with np.errstate(divide="ignore"):
        answer = np.log10(behroozi_sfr(np.log10(mass_msun, dtype=np.float64), redshift))
    answer.flags.writeable = False
    if not (mass_msun.flags.writeable or redshift.flags.writeable):
        _known[key] = answer
        for array in (mass_msun, redshift):
            weakref.finalize(array, _known.pop, key, None).atexit = False
    return answer


def behroozi_sfr(log10_mass: np.ndarray, redshift: np.ndarray) -> np.ndarray:
    """Mean star formation rate, Msun/yr, of halos (n,) in Behroozi et al. 2013 (arXiv:1207.6105); float64 (n,).

    Bilinear in log10 M and log10(1+z) on the SFR itself; 0 where the table has none. Outside the table the edge value holds.
    """
    log_mass, log_1z, table = _behroozi_table()
    sfr, flat = np.empty(len(log10_mass)), table.ravel()
    for start in range(0, len(sfr), CHUNK):
        part = slice(start, start + CHUNK)
        corner, w = _cell(log10_mass[part], log_mass)
        column, v = _cell(np.log10(1 + redshift[part].astype(np.float64)), log_1z)
        corner *= len(log_1z)
        corner += column
        low = flat[corner]
        low += v * (flat[corner + 1] - low)
        corner += len(log_1z)
        high = flat[corner]
        high += v * (flat[corner + 1] - high)
        sfr[part] = low + w * (high - low)
    return sfr


def _cell(x: np.ndarray, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index (n,) of the cell between sorted nodes that holds each x, and the place 0–1 in it.

    The nodes are equally spaced but for the rounding of their printed digits (2e-4 of a step). So division finds the cell or
    the one before it, and one comparison settles which. That is several times faster than a search.
    """
    x, last = np.clip(x, nodes[0], nodes[-1]), len(nodes) - 2
    cell = ((x - nodes[0]) * ((last + 1) / (nodes[-1] - nodes[0])) - 1e-3).astype(np.int32)
    np.minimum(cell, last, out=cell)
    cell += x >= nodes[1:][cell]
    np.minimum(cell, last, out=cell)
    return cell, (x - nodes[cell]) / (nodes[1:] - nodes[:-1])[cell]
