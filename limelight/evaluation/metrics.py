"""Metrics that any target can have: errors compared with those of a constant, spread, accuracy; of images, scale by scale.

Every squared error is compared with that of the constant "always predict the training mean": a network that does not beat
it has not read its data. A probe adds metrics of its own through `Probe.metrics`, a function like those below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from limelight.data.shard import Header
from limelight.data.targets import Target
from limelight.summaries.reconstruction import Spectra, bootstrap, correlation, noise, transfer
from limelight.summaries.scales import Scales

if TYPE_CHECKING:  # figures read what was judged, and load no torch
    from limelight.training.presentation import Presentation


@dataclass(frozen=True)
class ImageSums:
    """What is kept of all m rows of a test whose answers are images; encoded predictions and truths."""

    scales: Scales
    spectra: Spectra  # (m, channels, bins)
    correlation: np.ndarray  # (m,) of the pixels of each row
    error: float  # mean squared error over rows and pixels
    constant_error: float  # that of always answering the training mean
    estimators: Mapping[str, tuple[int, Spectra]] = field(default_factory=dict)  # name -> channel, (m, bins)
    more: Mapping[str, np.ndarray] = field(default_factory=dict)  # (m, …) each: what the probe keeps of each row
    expected_error: np.ndarray | None = None  # (channels, bins): power that a network's calibrated errors have

    def __len__(self) -> int:
        return len(self.correlation)


@dataclass(frozen=True)
class Judged:
    """A network's answers to the data of one test, with the truth; m rows, answers of `target.shape`.

    For images these are the first rows only, and `images` has what is kept of all of them.
    """

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
    images: ImageSums | None = None

    @property
    def target(self) -> Target:
        return self.presentation.target


# Per output, each (*shape,), of images (channels, bins); over all outputs.
Statistics = tuple[dict[str, np.ndarray], dict[str, float]]
Metric = Callable[[Judged], Statistics]


def judge(judged: Judged, *more: Metric) -> Statistics:
    """All statistics of one test: those of the probe (`more`), those of any target, and those of the target's kind."""
    per_output: dict[str, np.ndarray] = {}
    totals: dict[str, float] = {}
    kinds = [class_metrics] if judged.target.classes else []
    kinds += [common_metrics] if judged.images is None else [image_metrics]
    for metric in (*more, *kinds):
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


def image_metrics(judged: Judged) -> Statistics:
    """Reconstruction of images in shells of wave number, (channels, bins) each; see limelight.summaries.reconstruction.

    `…_error` is the standard error by bootstrap over rows. noise_over_NAME is the noise over that of an estimator of the
    same truth on the same rows; NaN for other channels. Of a network that answers its errors, error_power is the power of
    what is wrong, and error_power_over_expected compares it with that on the validation data, which the errors of modes are.
    """
    found, images = {}, judged.images
    spectra = images.spectra
    for name, statistic in (("correlation", correlation), ("transfer", transfer), ("noise", noise)):
        found[name], found[f"{name}_error"] = bootstrap(statistic, spectra)
    power, true_power, cross = (getattr(spectra, name).sum(0) for name in ("predicted", "truth", "cross"))
    found["r_squared"] = 1 - ratio(power + true_power - 2 * cross, true_power)
    found["spread_ratio"] = np.sqrt(ratio(power, true_power))
    for name, (channel, theirs) in images.estimators.items():
        pair = bootstrap(lambda a, b: noise(a) / noise(b), spectra.channel(channel), theirs)
        for ending, values in zip(("", "_error"), pair, strict=True):
            found[f"noise_over_{name}{ending}"] = np.full(power.shape, np.nan)
            found[f"noise_over_{name}{ending}"][channel] = values
    if "error_power" in images.more:
        power = images.more["error_power"].mean(axis=0)
        found["error_power"] = power
        found["error_power_over_expected"] = power / images.expected_error
    totals = {"n_rows": float(len(images)), "mse_target": images.error, "mse_mean_target": images.constant_error}
    totals["gain_target"] = float(ratio(images.constant_error, images.error))
    covered = {name: float(values.mean()) for name, values in images.more.items() if name.startswith("covered_")}
    return found, {**totals, **covered, "correlation": float(np.nanmean(images.correlation))}


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
    words = f"mse {totals['mse_target']:.3g}, {totals['gain_target']:.3g} times below that of the training mean"
    return words + (f", correlation {totals['correlation']:.3f}" if "correlation" in totals else "")


def in_columns(totals: Mapping[str, float]) -> dict[str, str]:
    """The same as a row of a table: {heading: text}."""
    if "accuracy" in totals:
        return {"right": f"{totals['accuracy']:.1%}", "by chance": f"{totals['accuracy_by_chance']:.1%}"}
    row = {"mse": f"{totals['mse_target']:.3g}", "below the training mean": f"{totals['gain_target']:.3g} ×"}
    return row | ({"correlation": f"{totals['correlation']:.3f}"} if "correlation" in totals else {})
