"""The calibration of a method on a test as tables: bin by bin, and all bins together."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from limelight.inference import calibration
from limelight.inference.intervals import Intervals
from limelight.inference.posteriors.misspecification import UNLIKE, UNUSUAL
from limelight.probes.line_intensity.maps.files import POOLED, open_maps
from limelight.seeds import generator

FILLED = 1.0  # sources a map, on average, that a bin needs to count among those judged together
COLUMNS = (
    "method",
    "test",
    "noise_sigma_uk",
    "bin",
    "luminosity_lsun",
    "maps",
    "mean_count",
    "covered_68",
    "error_68",
    "covered_95",
    "error_95",
    "interval_covered_95",
    "rank_p",
    "gain_nats",
    "crps_dex",
    "prior_crps_dex",
    "bias_dex",
    "width_95_dex",
)


def prior_counts(paths: Sequence[str | Path], bins: int) -> np.ndarray:
    """Sources per bin (n, bins) of the training maps: draws from the prior. Only labels are read."""
    found = []
    for path in paths:
        with open_maps(path, POOLED) as (file, _):
            found.append(-np.diff(file["n_above"][:, : bins + 1], axis=1))
    return np.concatenate(found)


def calibrate(result: Intervals, prior: np.ndarray, seed: int) -> tuple[list[dict], dict]:
    """(a row a luminosity bin, arrays for the figure) of one method on one test; prior (n, bins) of `prior_counts`.

    dex: of log10(1 + N + u). A method without draws has interval_covered_95 alone. Further rows, by their `bin`: each
    line-model parameter (bias in its own unit); joint, the ellipsoid of the filled bins (its gain the mean of theirs); tarp,
    expected coverage; usual, the share of maps that the misspecification check lets pass; predictive k, the share whose
    k-th statistic is within its posterior predictive 95 %.
    """
    rng = generator(seed, f"calibration of {result.method} on {result.test}")
    m, bins = result.truth.shape
    inclusive = calibration.interval_coverage(result.quantiles, result.truth)
    width = np.log10((1 + result.quantiles[..., 4]) / (1 + result.quantiles[..., 0]))
    common = {"method": result.method, "test": result.test, "maps": m}
    common["noise_sigma_uk"] = result.settings.get("noise_sigma_uk")
    rows = [
        {
            **common,
            "bin": i,
            "luminosity_lsun": result.luminosity_lsun[i],
            "mean_count": result.truth[:, i].mean(),
            "interval_covered_95": inclusive[0.95][i],
            "width_95_dex": np.median(width[:, i]),
        }
        for i in range(bins)
    ]
    if result.samples is None:
        return rows, {}
    truth = calibration.spread_out(result.truth, rng)
    draws = calibration.spread_out(result.samples, rng)
    known = calibration.spread_out(prior, rng)
    rank = calibration.ranks(draws, truth)
    gain, crps = calibration.information_gain(draws, truth, known), calibration.crps(draws, truth)
    step = max(1, len(known) // 1000)
    prior_crps = np.stack([calibration.crps(known[None, ::step], one[None])[0] for one in truth])
    columns = {
        "rank_p": calibration.rank_p_value(rank),
        "gain_nats": gain.mean(axis=0),
        "crps_dex": crps.mean(axis=0),
        "prior_crps_dex": prior_crps.mean(axis=0),
        "bias_dex": (np.median(draws, axis=1) - truth).mean(axis=0),
    }
    for level in calibration.LEVELS:
        percent = f"{100 * level:.0f}"
        columns[f"covered_{percent}"], columns[f"error_{percent}"] = calibration.coverage(rank, level)
    for i, row in enumerate(rows):
        row |= {name: values[i] for name, values in columns.items()}

    rows += _parameter_rows(result, common)
    filled = result.truth.mean(axis=0) >= FILLED
    figure = {"rank": rank, "filled": filled}
    if filled.any():
        joint = calibration.joint_ranks(draws[..., filled], truth[:, filled])
        shares = calibration.tarp(draws[..., filled], truth[:, filled], rng)
        figure |= {"joint": joint, "tarp": shares}
        both = {f"{100 * level:.0f}": level for level in calibration.LEVELS}
        together = {"joint": {}, "tarp": {}}
        for percent, level in both.items():
            together["joint"][f"covered_{percent}"], error = calibration.joint_coverage(joint, level)
            together["tarp"][f"covered_{percent}"] = calibration.tarp_coverage(shares, np.array([level]))[0]
            for row in together.values():
                row[f"error_{percent}"] = error
        together["joint"]["gain_nats"] = gain[:, filled].mean()
        rows += [{**common, "bin": name, **row} for name, row in together.items()]
    if "p_value" in result.extra:
        p = result.extra["p_value"]
        shares = {f"usual at {limit}": np.mean(p >= limit) for limit in (UNUSUAL, UNLIKE)}
        rows += [{**common, "bin": name, "covered_95": share} for name, share in shares.items()]
    if "predictive_p" in result.extra:
        extreme = (result.extra["predictive_p"] < 0.05).mean(axis=0)
        rows += [{**common, "bin": f"predictive {i}", "covered_95": 1 - share} for i, share in enumerate(extreme)]
    return rows, figure


def _parameter_rows(result: Intervals, common: dict) -> list[dict]:
    """A row a line-model parameter whose draws and truths are known: its coverage, ranks and bias, in its own unit."""
    if result.parameter_samples is None or result.parameters is None:
        return []
    draws, truth = np.asarray(result.parameter_samples, np.float64), np.asarray(result.parameters)
    rank = calibration.ranks(draws, truth)
    p, bias = calibration.rank_p_value(rank), (np.median(draws, axis=1) - truth).mean(axis=0)
    shares = {level: calibration.coverage(rank, level) for level in calibration.LEVELS}
    rows = []
    for i, name in enumerate(result.parameter_names):
        row = {**common, "bin": name, "rank_p": p[i], "bias_dex": bias[i]}
        for level, (share, error) in shares.items():
            row |= {f"covered_{100 * level:.0f}": share[i], f"error_{100 * level:.0f}": error[i]}
        rows.append(row)
    return rows
