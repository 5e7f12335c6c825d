"""Star formation rates of halos."""

import functools
import weakref

import numpy as np

from limelight.compiled import chunks, compiled_exactly
from limelight.files import resource_path


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
    if len(log10_mass) != len(redshift):  # compiled loops do not look
        raise ValueError(f"{len(log10_mass)} masses and {len(redshift)} redshifts")
    log_mass, log_1z, table = _behroozi_table()
    sfr = np.empty(len(log10_mass))
    for part in chunks(len(sfr)):
        log10_1z = np.log10(1 + redshift[part].astype(np.float64))
        compiled_exactly(_bilinear)(log10_mass[part], log10_1z, log_mass, log_1z, table, sfr[part])
    return sfr


def _bilinear(x, y, x_nodes, y_nodes, table, found):
    """The table (x, y) at points (n,); outside, the value at its edge.

    The nodes are equally spaced but for the rounding of their printed digits (2e-4 of a step). So division finds the cell or
    the one before it, and one comparison settles which.
    """
    x_cells, y_cells = len(x_nodes) - 1, len(y_nodes) - 1
    per_x, per_y = x_cells / (x_nodes[-1] - x_nodes[0]), y_cells / (y_nodes[-1] - y_nodes[0])
    for i in range(len(found)):
        a = min(max(x[i], x_nodes[0]), x_nodes[-1])
        b = min(max(y[i], y_nodes[0]), y_nodes[-1])
        if not (a == a and b == b):
            found[i] = np.nan
            continue
        j = min(int((a - x_nodes[0]) * per_x - 1e-3), x_cells - 1)
        k = min(int((b - y_nodes[0]) * per_y - 1e-3), y_cells - 1)
        j = min(j + (a >= x_nodes[j + 1]), x_cells - 1)
        k = min(k + (b >= y_nodes[k + 1]), y_cells - 1)
        w = (a - x_nodes[j]) / (x_nodes[j + 1] - x_nodes[j])
        v = (b - y_nodes[k]) / (y_nodes[k + 1] - y_nodes[k])
        low = table[j, k] + v * (table[j, k + 1] - table[j, k])
        high = table[j + 1, k] + v * (table[j + 1, k + 1] - table[j + 1, k])
        found[i] = low + w * (high - low)
