"""How far predicted luminosity functions can be trusted: errors per bin over many test maps.

All functions take arrays of shape (maps, bins). Two kinds of error are kept apart:

- fractional, (predicted − true)/true of the quantity itself, over the maps whose true value is not zero (`n_used` counts
  them);
- squared, of the encoded target and in dex: log10(1 + N), or the log10 N of the notes with 0 where empty.

Every squared error stands beside that of the constant "predict the training mean": a network that does not beat it has
not read its maps.
"""

from collections.abc import Mapping

import numpy as np

from limelight.evaluation.metrics import Judged, spread_ratio, squared_errors
from limelight.probes.line_intensity.targets import LuminosityTarget

READS_GAIN, READS_SPREAD = 10.0, 0.8  # what is asked of a network on maps without noise
WANTED: str = (
    f"wanted without noise: {READS_GAIN:g} × below the training mean, and a spread ratio above {READS_SPREAD:g}"
)
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


def line_metrics(judged: Judged) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Every statistic of a luminosity function: (per bin, each (bins,); over all bins, plain numbers)."""
    target = judged.target
    if not isinstance(target, LuminosityTarget):
        return {}, {}
    sources = [
        target.sources(judged.predicted, judged.y),
        target.sources(judged.truth, judged.y),
        target.sources(judged.constant[None], judged.average)[0],
    ]
    bins = fractional_statistics(judged.predicted, judged.truth)
    bins["mean_truth"] = np.mean(judged.truth, axis=0, dtype=np.float64)
    bins["mean_predicted"] = np.mean(judged.predicted, axis=0, dtype=np.float64)
    bins["mean_counts"] = np.mean(sources[1], axis=0, dtype=np.float64)
    totals = {"n_maps": float(len(judged.truth))}
    for name, log in (("dex", log10_1p), ("dex_notes", log10_or_zero)):
        per_bin, over_all = squared_errors(*map(log, sources), name)
        bins |= per_bin
        totals |= over_all
    bins["rms_dex"] = np.sqrt(bins["mse_dex"])
    well_filled = bins["mean_counts"] >= 100
    ratios = spread_ratio(judged.predicted_target, judged.truth_target)[well_filled]
    totals["lowest_spread_ratio_100"] = float(ratios.min()) if len(ratios) else float("nan")
    return bins, totals


def in_words(totals: dict[str, float]) -> str:
    """The totals of `line_metrics` in one line."""
    spread = totals["lowest_spread_ratio_100"]
    words = f"lowest spread ratio {spread:.2f} in bins of 100 sources or more"
    return f"mse {totals['mse_dex']:.3g} dex², {totals['gain_dex']:.3g} times below that of the training mean; " + (
        words if np.isfinite(spread) else "no bin holds 100 sources"
    )


def in_columns(totals: dict[str, float], settings: Mapping) -> dict[str, str]:
    """The same as a row of a table, with whether the goal is reached; settings: those of the evaluation."""
    spread = totals["lowest_spread_ratio_100"]
    noisy = np.max(settings["noise_sigma_uk"]) > 0 or settings["foregrounds"] != "none"
    return {
        "mse [dex²]": f"{totals['mse_dex']:.3g}",
        "below the training mean": f"{totals['gain_dex']:.3g} ×",
        "lowest spread ratio": f"{spread:.2f}" if np.isfinite(spread) else "",
        "goal": "" if noisy else "reached" if reads_the_map(totals) else "MISSED",
    }


def reads_the_map(totals: dict[str, float]) -> bool:
    """Whether a network does what is asked of one on maps without noise; False where no bin is filled well enough."""
    return totals["gain_dex"] >= READS_GAIN and totals["lowest_spread_ratio_100"] > READS_SPREAD
