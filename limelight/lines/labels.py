"""Luminosity functions of maps: what a network learns to read. numpy arrays and torch tensors alike.

A map carries N(≥ L), the number of its halos at least as luminous as each bin edge; every other quantity follows from it.
Bins are equal in log10 L and half-open, [lower, upper).
"""

import numpy as np

# Edges continue this many bins past the top. A map dimmed by k whole bins has the counts of the edges k bins higher, so its
# label stays exact for dimming by up to this many bins (one dex with the default bins).
EXTENSION_BINS = 14
LN10 = float(np.log(10))
QUANTITIES = ("dn", "n_above", "phi", "l_phi")
TRANSFORMS = ("none", "log10", "log10_1p")
UNITS = {"dn": "", "n_above": "", "phi": "Lsun^-1 Mpc^-3", "l_phi": "Mpc^-3"}


def log10_lum_edges(labels: dict, extension: int = 0) -> np.ndarray:
    """Bin edges in log10 Lsun, float64 (bins + 1 + extension,), of the config's `labels`.

    extension = EXTENSION_BINS gives the edges at which map files count.
    """
    low, high, bins = labels["log10_lum_min"], labels["log10_lum_max"], labels["bins"]
    return low + (high - low) * np.arange(bins + 1 + extension) / bins


def count_above(log10_lum: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Number of halos with log10 L ≥ each edge; int64 (len(edges),). log10_lum (n,) may hold −inf, not NaN."""
    bright = np.sort(log10_lum[log10_lum >= edges[0]])  # twice as fast as looking up every halo's bin
    return (len(bright) - np.searchsorted(bright, edges, side="left")).astype(np.int64)


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


def to_target(values, transform: str):
    """A luminosity function as a network sees it: none, log10 (0 where a bin is empty), or log10_1p = log10(1 + x)."""
    numpy = isinstance(values, np.ndarray)
    if transform == "none":
        return values
    if transform == "log10_1p":
        return np.log1p(values) / LN10 if numpy else values.log1p() / LN10
    if transform == "log10":
        if numpy:
            return np.where(values > 0, np.log10(np.where(values > 0, values, 1.0)), 0.0)
        return values.where(values > 0, values.new_ones(())).log10()
    raise ValueError(f"no transform '{transform}'; there are {', '.join(TRANSFORMS)}")


def from_target(target, transform: str):
    """Undo to_target. With log10, 0 comes back as 1: the notes' label cannot tell an empty bin from one halo."""
    numpy = isinstance(target, np.ndarray)
    if transform == "none":
        return target
    if transform == "log10_1p":
        return np.expm1(target * LN10) if numpy else (target * LN10).expm1()
    if transform == "log10":
        return np.power(10.0, target) if numpy else (target * LN10).exp()
    raise ValueError(f"no transform '{transform}'; there are {', '.join(TRANSFORMS)}")
