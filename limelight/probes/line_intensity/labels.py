"""Luminosity functions of maps: what a network learns to read. numpy arrays and torch tensors alike.

A map carries N(≥ L), the number of its halos at least as luminous as each bin edge; every other quantity follows from it.
Bins are equal in log10 L and half-open, [lower, upper).
"""

import numpy as np

from limelight.compiled import compiled_exactly

# Edges continue this many bins past the top. A map dimmed by k whole bins has the counts of the edges k bins higher, so its
# label stays exact for dimming by up to this many bins (one dex with the default bins).
EXTENSION_BINS = 14
LN10 = float(np.log(10))
QUANTITIES = ("dn", "n_above", "phi", "l_phi")
TRANSFORMS = ("none", "log10", "log10_1p")


def log10_lum_edges(labels: dict, extension: int = 0) -> np.ndarray:
    """Bin edges in log10 Lsun, float64 (bins + 1 + extension,), of the config's `labels`.

    extension = EXTENSION_BINS gives the edges at which map files count.
    """
    low, high, bins = labels["log10_lum_min"], labels["log10_lum_max"], labels["bins"]
    return low + (high - low) * np.arange(bins + 1 + extension) / bins


def count_above(log10_lum: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Number of halos with log10 L ≥ each edge; int64 (len(edges),). log10_lum (n,) may hold −inf, not NaN."""
    per_bin = np.zeros(len(edges), np.int64)
    compiled_exactly(_count)(log10_lum, np.asarray(edges, np.float64), per_bin)
    return per_bin[::-1].cumsum()[::-1].copy()


def _count(log10_lum, edges, per_bin):
    """Count the numbers from each edge to the next, beyond the last as well; equally spaced edges are found at once."""
    last = len(edges) - 1
    per_dex = last / (edges[last] - edges[0]) if last else 0.0
    for i in range(len(log10_lum)):
        value = np.float64(log10_lum[i])
        if value >= edges[last]:
            per_bin[last] += 1
        elif value >= edges[0]:
            k = min(int((value - edges[0]) * per_dex), last - 1)
            while value < edges[k]:
                k -= 1
            while value >= edges[k + 1]:
                k += 1
            per_bin[k] += 1


def quantity(n_above, edges: np.ndarray, volume_mpc3, name: str):
    """A luminosity function in bins from counts above their edges; float64 (..., k) from n_above (..., k + 1).

    n_above: numpy or torch, last axis along `edges` (k + 1,) in log10 Lsun; volume_mpc3: a number or (...,), like n_above.
    name: dn, halos in the bin; n_above, halos at least as luminous as its lower edge; phi = dn / (ΔL volume) in
    Lsun^-1 Mpc^-3; l_phi = L phi in Mpc^-3 with L the geometric middle of the bin.
    """
    if name not in QUANTITIES:
        raise ValueError(f"no quantity '{name}'; there are {', '.join(QUANTITIES)}")
    n_above = n_above.astype(np.float64) if isinstance(n_above, np.ndarray) else n_above.double()
    if name == "n_above":
        return n_above[..., :-1]
    dn = n_above[..., :-1] - n_above[..., 1:]
    if name == "dn":
        return dn
    lum = 10.0 ** np.asarray(edges, np.float64)
    per_volume = 1 / (lum[1:] - lum[:-1])
    if name == "l_phi":
        per_volume = per_volume * np.sqrt(lum[1:] * lum[:-1])
    if not isinstance(dn, np.ndarray):
        per_volume = dn.new_tensor(per_volume)
    volume = volume_mpc3[..., None] if getattr(volume_mpc3, "ndim", 0) else volume_mpc3
    return dn * per_volume / volume


def one_source(like, edges: np.ndarray, volume_mpc3, name: str):
    """What a single source in a bin amounts to: 1 for counts, (..., k) for phi and l_phi; numpy or torch, as `like` is."""
    if name in ("dn", "n_above"):
        return 1.0
    steps = np.arange(len(edges) - 1, -1, -1.0)
    if not isinstance(like, np.ndarray):
        steps = like.new_tensor(steps)
    if getattr(volume_mpc3, "ndim", 0):
        steps = steps + 0 * volume_mpc3[..., None]
    return quantity(steps, edges, volume_mpc3, name)


def to_target(values, transform: str, one=1.0):
    """A luminosity function as a network sees it: none, log10, or log10_1p = log10(1 + x).

    one: of `one_source`. It takes the place of 1 for densities per volume, which are far below 1: an empty bin looks like
    one source in log10, and log10_1p is log10(one + x); log10(1 + x) would be flat, and 0 for an empty bin far above all.
    """
    numpy = isinstance(values, np.ndarray)
    if transform == "none":
        return values
    if transform == "log10_1p":
        return (np.log1p(values / one) if numpy else (values / one).log1p()) / LN10 + _log10(one)
    if transform == "log10":
        return (
            np.log10(np.where(values > 0, values, one))
            if numpy
            else values.where(values > 0, values.new_tensor(one) if isinstance(one, float) else one).log10()
        )
    raise ValueError(f"no transform '{transform}'; there are {', '.join(TRANSFORMS)}")


def _log10(one):
    return 0.0 if isinstance(one, float) else np.log10(one) if isinstance(one, np.ndarray) else one.log10()


def from_target(target, transform: str, one=1.0):
    """Undo to_target. With log10 an empty bin comes back as one source: the notes' label cannot tell the two apart."""
    numpy = isinstance(target, np.ndarray)
    if transform == "none":
        return target
    if transform == "log10_1p":
        shifted = (target - _log10(one)) * LN10
        return one * (np.expm1(shifted) if numpy else shifted.expm1())
    if transform == "log10":
        return np.power(10.0, target) if numpy else (target * LN10).exp()
    raise ValueError(f"no transform '{transform}'; there are {', '.join(TRANSFORMS)}")
