"""How far predicted luminosity functions can be trusted: per-bin errors over many test maps.

All functions take arrays of shape (maps, bins). Two kinds of error are kept apart:

- fractional, (predicted − true)/true in natural space, over the maps whose true value is not zero (`n_used` counts them);
- squared, in the network's own target space and in dex: log10(1 + N), or the log10 N of the notes with 0 where empty.

Every squared error stands beside that of the constant "predict the training mean": a network that does not beat it has
not read its maps.
"""

import numpy as np

READS_GAIN, READS_SPREAD = 10.0, 0.8  # what is asked of a network on maps without noise
PERCENTILES = (2.5, 16.0, 50.0, 84.0, 97.5)  # of a Gaussian: about 2σ and 1σ either side of the median


def fractional_errors(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(predicted − true)/true, (maps, bins) float64; NaN where the truth is zero."""
    predicted, truth = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    return np.divide(predicted - truth, truth, out=np.full(truth.shape, np.nan), where=truth != 0)


def fractional_statistics(predicted: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """Statistics per bin of the fractional error over the test maps, each (bins,); NaN in bins where no map counts.

    n_used: maps whose truth is not zero; bias_mean, bias_median; variance: mean square about the truth, not about the mean
    error, as section 7 of the notes has it; std: its root; two_sigma_lower/upper: ∓2 std; scatter: spread about the mean
    error; p2.5 … p97.5: percentiles (linear between order statistics).
    """
    errors = fractional_errors(predicted, truth)
    used = np.isfinite(errors)
    names = ("bias_mean", "bias_median", "variance", "std", "two_sigma_lower", "two_sigma_upper", "scatter")
    names += tuple(f"p{q:g}" for q in PERCENTILES)
    result = {"n_used": used.sum(axis=0)} | {name: np.full(errors.shape[1], np.nan) for name in names}
    for i in np.flatnonzero(result["n_used"]):
        e = errors[used[:, i], i]
        variance = np.mean(e**2)
        values = [e.mean(), np.median(e), variance, variance**0.5, -2 * variance**0.5, 2 * variance**0.5, e.std()]
        for name, value in zip(names, [*values, *np.percentile(e, PERCENTILES)], strict=True):
            result[name][i] = value
    return result


def log10_1p(counts: np.ndarray) -> np.ndarray:
    """log10(1 + N), negative predictions taken as none."""
    return np.log10(1 + np.maximum(np.asarray(counts, np.float64), 0))


def log10_or_zero(counts: np.ndarray) -> np.ndarray:
    """log10 N, 0 where fewer than one source: the notes' label."""
    return np.log10(np.maximum(np.asarray(counts, np.float64), 1))


def squared_statistics(
    predicted: np.ndarray, truth: np.ndarray, constant: np.ndarray, name: str
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Mean squared error per bin and in all, of the predictions and of a constant prediction (bins,).

    Returns ({mse_NAME, mse_mean_NAME, gain_NAME}, the same over all bins); gain is mse_mean/mse, so 10 means that the
    network's squared error is ten times below that of predicting the training mean. Units: the input's, squared.
    """
    predicted, truth = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    mse = np.mean((predicted - truth) ** 2, axis=0)
    mse_mean = np.mean((np.asarray(constant, np.float64) - truth) ** 2, axis=0)
    bins = {f"mse_{name}": mse, f"mse_mean_{name}": mse_mean, f"gain_{name}": _ratio(mse_mean, mse)}
    total, total_mean = mse.mean(), mse_mean.mean()
    totals = {f"mse_{name}": total, f"mse_mean_{name}": total_mean, f"gain_{name}": _ratio(total_mean, total)}
    return bins, {key: float(value) for key, value in totals.items()}


def spread_ratio(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Standard deviation of the predictions over that of the truths, per bin (bins,); NaN where the truth never varies.

    0 for a network that always says the same (the memorisation of sections 11 and 12 of the notes), 1 for the truth itself.
    """
    return _ratio(np.std(predicted, axis=0, dtype=np.float64), np.std(truth, axis=0, dtype=np.float64))


def r_squared(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Share of the truths' variance that the predictions explain, per bin (bins,); NaN where the truth never varies.

    1 − Σ(predicted − true)²/Σ(true − mean true)²: unlike the spread ratio it is not fooled by spread that misses the truth.
    """
    residual = np.mean((np.asarray(predicted, np.float64) - truth) ** 2, axis=0)
    return 1 - _ratio(residual, np.var(truth, axis=0, dtype=np.float64))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above/below, NaN where below is zero (to rounding of the sums that made it)."""
    above, below = np.asarray(above, np.float64), np.asarray(below, np.float64)
    return np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 1e-300)


def summarise(
    predicted: dict[str, np.ndarray], truth: dict[str, np.ndarray], constant: dict[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Every statistic of one test: (per bin, each (bins,); over all bins, plain numbers).

    Each argument holds the keys `target` (the network's own target space, not standardised), `natural` (the quantity itself)
    and `counts` (sources per bin, or above its lower edge when N(>L) is predicted); predicted and truth (maps, bins),
    constant (bins,): the training mean in target space and what it means in the other two.
    """
    bins = fractional_statistics(predicted["natural"], truth["natural"])
    bins["mean_truth"] = np.mean(truth["natural"], axis=0, dtype=np.float64)
    bins["mean_predicted"] = np.mean(predicted["natural"], axis=0, dtype=np.float64)
    bins["mean_counts"] = np.mean(truth["counts"], axis=0, dtype=np.float64)
    bins["spread_ratio"] = spread_ratio(predicted["target"], truth["target"])
    bins["r_squared"] = r_squared(predicted["target"], truth["target"])
    totals = {"n_maps": float(len(truth["natural"]))}
    for name, log in (("dex", log10_1p), ("dex_notes", log10_or_zero), ("target", None)):
        key = "counts" if log else "target"
        arrays = [log(d[key]) if log else d[key] for d in (predicted, truth, constant)]
        per_bin, over_all = squared_statistics(*arrays, name)
        bins |= per_bin
        totals |= over_all
    bins["rms_dex"] = np.sqrt(bins["mse_dex"])
    well_filled = bins["mean_counts"] >= 100
    ratios = bins["spread_ratio"][well_filled]
    totals["lowest_spread_ratio_100"] = float(ratios.min()) if len(ratios) else float("nan")
    return bins, totals


def in_words(totals: dict[str, float]) -> str:
    """The totals of `summarise` in one line."""
    spread = totals["lowest_spread_ratio_100"]
    words = f"lowest spread ratio {spread:.2f} in bins of 100 sources or more"
    return f"mse {totals['mse_dex']:.3g} dex², {totals['gain_dex']:.3g} × below always the training mean; " + (
        words if np.isfinite(spread) else "no bin holds 100 sources"
    )


def reads_the_map(totals: dict[str, float]) -> bool:
    """Whether a network does what is asked of one on maps without noise; False where no bin is filled well enough."""
    return totals["gain_dex"] >= READS_GAIN and totals["lowest_spread_ratio_100"] > READS_SPREAD
