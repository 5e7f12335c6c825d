"""What an audit found: measures of each output, a verdict on it, and both in words. `audit` makes it; figures read it."""

from dataclasses import dataclass, field

import numpy as np

from limelight.data.axes import OutputAxis
from limelight.errors import problem

READS, PARTLY, REMEMBERS, TOO_FEW = "reads", "partly", "remembers", "too few to tell"
VERDICTS = (READS, PARTLY, REMEMBERS, TOO_FEW)
COLUMNS: dict[str, str] = {
    "mean_truth": "mean of the truth: sources per bin for counts, the quantity itself otherwise; of images its power",
    "r_squared": "share of the truths' variance that the predictions explain, within each dataset",
    "spread_ratio": "standard deviation of the predictions over that of the truths, within each dataset",
    "gain_over_mean": "squared error of always answering the training mean, over the network's",
    "gain_over_control": "squared error of the same recipe trained on permuted labels, over the network's; empty without it",
    "blank_share": "the prediction for empty data over the average prediction, on the scale of `comparable`",
}


@dataclass
class Audit:
    """One network audited: k outputs, m rows of test data. Arrays are encoded targets unless they say otherwise.

    The k outputs of images are the shells of wave number of each channel. What stands for a value there is the root of its
    power in the shell, and for a squared error the power of the error.
    """

    network: str
    settings: dict  # the audit's section of the config; probe, test, datasets of the verdict, number of rows
    target: dict  # the config's `target`, and `shape`
    axis: OutputAxis
    verdict: np.ndarray  # (k,) of VERDICTS
    columns: (
        dict  # (k,) each: COLUMNS, `<intervention>_response` of interventions, `<invariance>_change` of invariances
    )
    scatter: dict  # predicted, truth (m, k) the quantity itself; dataset (m,) by number
    blank: dict  # the quantity itself: clean (k,), noisy (draws, k), training_percentiles (5, k)
    noise: dict  # level (s,) in the probe's unit; r_squared (s, k), mse (s,)
    datasets: dict  # r_squared, bias (d, k); mse, gain (d,): the network on the test data of each dataset
    interventions: dict = field(default_factory=dict)  # name -> further arrays, as the probe has them
    dataset_names: list[str] = field(default_factory=list)  # (d,)
    control: str = ""  # name of the network trained on permuted labels beside it


def verdicts(columns: dict[str, np.ndarray], rows: int, limits: dict) -> np.ndarray:
    """The verdict on each output from the audit's columns and the config's `audit.thresholds`; (k,) of VERDICTS.

    An output is remembered where predictions follow the truths no better than a constant does, by R² or by the gain over the
    training mean or over the control. It is read where they follow the truths well and interventions change them in the
    right direction by about the right amount, and where what must not change them does not. A test without a result (NaN)
    does not count.
    """

    def at_least(name: str, limit: float) -> np.ndarray:
        return ~(columns[name] < limit)

    follows = at_least("r_squared", limits["partly_r_squared"])
    follows &= at_least("gain_over_mean", limits["partly_gain"]) & at_least("gain_over_control", limits["partly_gain"])
    well = at_least("r_squared", limits["reads_r_squared"])
    well &= at_least("gain_over_mean", limits["reads_gain"]) & at_least("gain_over_control", limits["reads_gain"])
    for name in columns:
        if name.endswith("_response") and name in limits:
            low, high = limits[name]
            well &= at_least(name, low) & ~(columns[name] > high)
    for name in columns:
        if name.endswith("_change"):
            well &= ~(columns[name] > limits["unchanged"])
    if "blank_share" in limits:
        well &= ~(columns["blank_share"] > limits["blank_share"])
    found = np.where(follows, np.where(well, READS, PARTLY), REMEMBERS)
    unknown = ~np.isfinite(columns["r_squared"])
    if "min_sources" in limits:
        unknown |= columns["mean_truth"] < limits["min_sources"]
    return np.where(unknown | (rows < limits["min_maps"]), TOO_FEW, found)


def in_words(result: Audit) -> str:
    """The audit in one line."""
    share = {name: int(np.sum(result.verdict == name)) for name in VERDICTS}
    judged = len(result.verdict) - share[TOO_FEW]
    outputs = "bins" if result.axis.edges else "outputs"
    words = f"audit of {result.network}: reads {share[READS]} of {judged} {outputs}, {share[PARTLY]} partly"
    words += f", remembers {share[REMEMBERS]} ({share[TOO_FEW]} with too little data to tell)"
    for name, change in result.columns.items():
        if name.endswith("_change"):
            words += f", {name.removesuffix('_change').replace('_', ' ')} moves answers by {np.max(change):.1g} at most"
    if not judged:
        return f"{words}: NOT JUDGED"
    if share[REMEMBERS] > judged / 2:
        return f"{words}: CONDEMNED, it does not read its data"
    return f"{words}: {'cleared' if share[READS] == judged else 'cleared where it reads, and there alone'}"


def in_columns(result: Audit) -> dict[str, str]:
    """The same as a row of a table: {heading: text}."""
    counted = {name: str(int(np.sum(result.verdict == name))) for name in VERDICTS}
    return {"audit of": result.network, **counted, "verdict": in_words(result).rpartition(": ")[2]}


def condemned(result: Audit) -> list[str]:
    """The outputs whose verdict is `remembers`: names, or ranges of the axis with adjacent bins joined."""
    axis, wrong = result.axis, np.flatnonzero(result.verdict == REMEMBERS)
    if not axis.edges:
        return [axis.names[i] if axis.names else f"output {i}" for i in wrong]
    ranges: list[list[int]] = []
    for i in wrong:
        if ranges and ranges[-1][1] == i:
            ranges[-1][1] = i + 1
        else:
            ranges.append([i, i + 1])
    power = "10^" if axis.log10 else ""
    return [f"{power}{axis.edges[a]:.2f} to {power}{axis.edges[b]:.2f} {axis.unit}".strip() for a, b in ranges]


def config_hash(info: dict) -> str:
    """The config hash in a network's file: an audit belongs to that one network."""
    return info.get("provenance", {}).get("config_hash", "")


def warning(result: Audit, info: dict, where: object) -> str:
    """A line on the outputs that a network's audit condemns; empty when there are none.

    info: of load_model. Raises LimelightError when the audit is of another network.
    """
    if (result.network, result.settings["network_config_hash"]) != (info["network"], config_hash(info)):
        found = f"an audit of '{result.network}' made from {result.settings['network_config_hash']}"
        raise problem(where, found, f"'{info['network']}' made from {config_hash(info)}", "audit this network")
    wrong = condemned(result)
    if not wrong:
        return ""
    return f"its audit says that this network answers from memory, whatever the data, at {', '.join(wrong)}"
