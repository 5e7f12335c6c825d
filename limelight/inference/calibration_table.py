"""Tables of a method's calibration on a test: for each output (bin), and for all of them together."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from limelight.data.shard import open_shard
from limelight.data.targets import Target
from limelight.inference import calibration
from limelight.inference.intervals import Intervals
from limelight.inference.posteriors.misspecification import UNLIKE, UNUSUAL
from limelight.inference.posteriors.tables import answers_of
from limelight.seeds import generator

FILLED = 1.0  # counts per row of data, on average, that a bin needs to enter the joint rows
COLUMNS = (
    "method",
    "test",
    "bin",
    "output",
    "rows",
    "mean_truth",
    "covered_68",
    "error_68",
    "covered_95",
    "error_95",
    "interval_covered_95",
    "rank_p",
    "gain_nats",
    "crps",
    "prior_crps",
    "bias",
    "width_95",
)


def prior_answers(paths: Sequence[str | Path], target: Target) -> np.ndarray:
    """Answers of training data (n, d) from their shards: draws from the prior. Only truths are read."""
    found = []
    for path in paths:
        with open_shard(path) as file:
            found.append(answers_of({name: values[...] for name, values in file["y"].items()}, target))
    return np.concatenate(found)


def calibration_rows(result: Intervals, prior: np.ndarray, seed: int) -> tuple[list[dict], dict]:
    """(one row per output, arrays for the figure) of one method on one test; prior (n, d) of `prior_answers`.

    For counts, crps, bias and widths refer to log10(1 + N + u), in dex; for all else, to the answers in their own units. A
    method without draws has only interval_covered_95 and widths. Further rows, by their `bin`:

    - each parameter: bias in its own unit;
    - joint: the ellipsoid of the filled bins, or of all outputs if they are not counts; its gain is their mean;
    - tarp: expected coverage of the same;
    - usual: the share of rows of data that pass the misspecification check;
    - predictive k: the share whose k-th statistic is within its posterior predictive 95 %.
    """
    rng = generator(seed, f"calibration of {result.method} on {result.test}")
    common = {"method": result.method, "test": result.test, "rows": len(result.truth)}
    rows = _interval_rows(result, common)
    if result.samples is None:
        return rows, {}

    def continuous(answers: np.ndarray) -> np.ndarray:
        return calibration.spread_out(answers, rng) if result.counts else np.asarray(answers, np.float64)

    truth, draws, known = (continuous(answers) for answers in (result.truth, result.samples, prior))
    rank = calibration.ranks(draws, truth)
    gain = calibration.information_gain(draws, truth, known)
    for name, values in _draw_columns(draws, truth, known, rank, gain).items():
        for i, row in enumerate(rows):
            row[name] = values[i]
    rows += _parameter_rows(result, common)
    filled = result.truth.mean(axis=0) >= FILLED if result.counts else np.full(truth.shape[1], True)
    figure = {"rank": rank, "filled": filled}
    if filled.any():
        second = calibration.halves(result.samples)  # before counts are spread out: repeated draws stay together
        joint = calibration.joint_ranks(draws[..., filled], truth[:, filled], second)
        shares = calibration.tarp(draws[..., filled], truth[:, filled], rng)
        if np.isnan(shares).all():
            print(
                f"limelight: warning: {result.test}: TARP says nothing of truths that are all the same", file=sys.stderr
            )
        figure |= {"joint": joint, "tarp": shares}
        rows += _together(common, joint, shares, gain[:, filled].mean())
    return rows + _check_rows(result, common), figure


def _interval_rows(result: Intervals, common: dict) -> list[dict]:
    """One row per output, with the columns that need only intervals."""
    inclusive = calibration.interval_coverage(result.quantiles, result.truth)
    low, high = result.quantiles[..., 0], result.quantiles[..., 4]
    width = np.log10((1 + high) / (1 + low)) if result.counts else high - low
    outputs = result.axis.names or result.axis.centers.tolist()
    return [
        {
            **common,
            "bin": i,
            "output": output,
            "mean_truth": result.truth[:, i].mean(),
            "interval_covered_95": inclusive[0.95][i],
            "width_95": np.median(width[:, i]),
        }
        for i, output in enumerate(outputs)
    ]


def _draw_columns(
    draws: np.ndarray, truth: np.ndarray, known: np.ndarray, rank: np.ndarray, gain: np.ndarray
) -> dict[str, np.ndarray]:
    """Columns of each output, (d,) each, from draws (m, s, d), truths (m, d) and draws from the prior `known` (n, d)."""
    step = max(1, len(known) // 1000)
    prior_crps = np.stack([calibration.crps(known[None, ::step], one[None])[0] for one in truth])
    columns = {
        "rank_p": calibration.rank_p_value(rank),
        "gain_nats": gain.mean(axis=0),
        "crps": calibration.crps(draws, truth).mean(axis=0),
        "prior_crps": prior_crps.mean(axis=0),
        "bias": (np.median(draws, axis=1) - truth).mean(axis=0),
    }
    for level in calibration.LEVELS:
        percent = f"{100 * level:.0f}"
        columns[f"covered_{percent}"], columns[f"error_{percent}"] = calibration.coverage(rank, level)
    return columns


def _together(common: dict, joint: np.ndarray, shares: np.ndarray, gain: float) -> list[dict]:
    """The rows joint and tarp, from joint ranks (m,) and shares of TARP."""
    rows = {"joint": {}, "tarp": {}}
    for level in calibration.LEVELS:
        percent = f"{100 * level:.0f}"
        rows["joint"][f"covered_{percent}"], error = calibration.joint_coverage(joint, level)
        rows["tarp"][f"covered_{percent}"] = calibration.tarp_coverage(shares, np.array([level]))[0]
        for row in rows.values():
            row[f"error_{percent}"] = error
    rows["joint"]["gain_nats"] = gain
    return [{**common, "bin": name, **row} for name, row in rows.items()]


def _check_rows(result: Intervals, common: dict) -> list[dict]:
    """The rows usual and predictive, of a method that has checks of its own."""
    rows = []
    if "p_value" in result.extra:
        shares = {limit: np.mean(result.extra["p_value"] >= limit) for limit in (UNUSUAL, UNLIKE)}
        rows += [{**common, "bin": f"usual at {limit}", "covered_95": share} for limit, share in shares.items()]
    if "predictive_p" in result.extra:
        extreme = (result.extra["predictive_p"] < 0.05).mean(axis=0)
        rows += [{**common, "bin": f"predictive {i}", "covered_95": 1 - share} for i, share in enumerate(extreme)]
    return rows


def _parameter_rows(result: Intervals, common: dict) -> list[dict]:
    """One row per parameter whose draws and truths are known: its coverage, ranks and bias, in its own unit."""
    if result.parameter_samples is None or result.parameters is None:
        return []
    draws, truth = np.asarray(result.parameter_samples, np.float64), np.asarray(result.parameters)
    rank = calibration.ranks(draws, truth)
    p, bias = calibration.rank_p_value(rank), (np.median(draws, axis=1) - truth).mean(axis=0)
    shares = {level: calibration.coverage(rank, level) for level in calibration.LEVELS}
    rows = []
    for i, name in enumerate(result.parameter_names):
        row = {**common, "bin": name, "rank_p": p[i], "bias": bias[i]}
        for level, (share, error) in shares.items():
            row |= {f"covered_{100 * level:.0f}": share[i], f"error_{100 * level:.0f}": error[i]}
        rows.append(row)
    return rows
