"""Metrics that any target can have: errors compared with those of a constant, spread, accuracy, correlation.

Every squared error is compared with that of the constant "always predict the training mean": a network that does not beat
it has not read its data. A probe adds metrics of its own through `Probe.metrics`, a function like those below.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from limelight.data.shard import Header
from limelight.data.targets import FieldTarget, Target
from limelight.training.presentation import Presentation


@dataclass(frozen=True)
class Judged:
    """A network's answers to the data of one test, with the truth; m rows, answers of `target.shape`."""

    presentation: Presentation
    header: Header
    y: Mapping[str, np.ndarray]  # the truths of the shards, row for row
    predicted_target: np.ndarray  # (m, *shape) encoded
    truth_target: np.ndarray  # (m, *shape) encoded
    constant_target: np.ndarray  # (*shape,) encoded: the training mean
    predicted: np.ndarray  # (m, *shape) the quantity itself
    truth: np.ndarray  # (m, *shape)
    constant: np.ndarray  # (*shape,)
    average: Mapping[str, np.ndarray]  # truths of a row that is average in everything, (1, …) each

    @property
    def target(self) -> Target:
        return self.presentation.target


Statistics = tuple[dict[str, np.ndarray], dict[str, float]]  # per output, each (*shape,); over all outputs
Metric = Callable[[Judged], Statistics]


def judge(judged: Judged, *more: Metric) -> Statistics:
    """All statistics of one test: those of the probe (`more`), those of any target, and those of the target's kind."""
    per_output: dict[str, np.ndarray] = {}
    totals: dict[str, float] = {}
    kinds = [class_metrics] if judged.target.classes else []
    kinds += [field_metrics] if isinstance(judged.target, FieldTarget) else []
    for metric in (*more, *kinds, common_metrics):
        own, over_all = metric(judged)
        per_output |= own
        totals |= over_all
    return per_output, totals


def common_metrics(judged: Judged) -> Statistics:
    """Squared error of the encoded target and its gain over the training mean, spread ratio, R²."""
    pair = judged.predicted_target, judged.truth_target
    per_output, totals = squared_errors(*pair, judged.constant_target, "target")
    per_output |= {"spread_ratio": spread_ratio(*pair), "r_squared": r_squared(*pair)}
    return per_output, {"n_rows": float(len(judged.truth)), **totals}


def class_metrics(judged: Judged) -> Statistics:
    """Share of rows whose class is right, and the share when always predicting the most frequent class."""
    right = judged.predicted.argmax(axis=1) == judged.truth.argmax(axis=1)
    chance = judged.truth.mean(axis=0).max()
    return {}, {"accuracy": float(right.mean()), "accuracy_by_chance": float(chance)}


def field_metrics(judged: Judged) -> Statistics:
    """Correlation of predicted and true images, averaged over rows."""
    pairs = [values.reshape(len(values), -1) for values in (judged.predicted, judged.truth)]
    predicted, truth = (values - values.mean(axis=1, keepdims=True) for values in pairs)
    sizes = np.sqrt(np.mean(predicted**2, axis=1) * np.mean(truth**2, axis=1))
    return {}, {"correlation": float(np.nanmean(ratio(np.mean(predicted * truth, axis=1), sizes)))}


def squared_errors(predicted: np.ndarray, truth: np.ndarray, constant: np.ndarray, name: str) -> Statistics:
    """Mean squared error, per output and in total, of the predictions (m, *shape) and of a constant (*shape,).

    Returns ({mse_NAME, mse_mean_NAME, gain_NAME}, the same over all outputs); gain is mse_mean/mse, so 10 means that the
    network's squared error is ten times below that of predicting the training mean. Units: the input's, squared.
    """
    predicted, truth = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    mse = np.mean((predicted - truth) ** 2, axis=0)
    mse_mean = np.mean((np.asarray(constant, np.float64) - truth) ** 2, axis=0)
    per_output = {f"mse_{name}": mse, f"mse_mean_{name}": mse_mean, f"gain_{name}": ratio(mse_mean, mse)}
    total, total_mean = mse.mean(), mse_mean.mean()
    totals = {f"mse_{name}": total, f"mse_mean_{name}": total_mean, f"gain_{name}": ratio(total_mean, total)}
    return per_output, {key: float(value) for key, value in totals.items()}


def spread_ratio(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Standard deviation of the predictions over that of the truths, per output; NaN where the truth never varies.

    0 for a network that always predicts the same, 1 for the truth itself.
    """
    return ratio(np.std(predicted, axis=0, dtype=np.float64), np.std(truth, axis=0, dtype=np.float64))


def r_squared(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Share of the truths' variance that the predictions explain, per output; NaN where the truth never varies.

    1 − Σ(predicted − true)²/Σ(true − mean true)²: unlike the spread ratio, it counts only spread that follows the truth.
    """
    residual = np.mean((np.asarray(predicted, np.float64) - truth) ** 2, axis=0)
    return 1 - ratio(residual, np.var(truth, axis=0, dtype=np.float64))


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above/below, NaN where below is zero (to rounding of the sums that made it)."""
    above, below = np.asarray(above, np.float64), np.asarray(below, np.float64)
    return np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 1e-300)


def in_words(totals: Mapping[str, float]) -> str:
    """The totals of any target in one line."""
    if "accuracy" in totals:
        return f"{totals['accuracy']:.1%} of {totals['n_rows']:.0f} rows right, {totals['accuracy_by_chance']:.1%} by chance"
    return f"mse {totals['mse_target']:.3g}, {totals['gain_target']:.3g} times below that of the training mean"
