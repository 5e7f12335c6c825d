"""Judging answers that are images: by channel and scale, batch by batch, so that memory holds the first few images alone."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import nn

from limelight.errors import problem
from limelight.evaluation.metrics import ImageSums
from limelight.evaluation.observe import BATCH
from limelight.summaries.power import PowerBins, power_spectrum
from limelight.summaries.reconstruction import joined, spectra_of
from limelight.summaries.scales import Scales
from limelight.training.losses import decoded_outputs, decoded_spread
from limelight.training.presentation import Presentation

INTERVALS = {"68": 1.0, "95": 1.96}  # half widths in standard deviations, by the share that a Gaussian has within


@torch.no_grad()
def judge_images(
    module: nn.Module,
    info: dict,
    batches: Iterator[torch.Tensor],
    y: Mapping[str, np.ndarray],
    presentation: Presentation,
    scales: Scales,
    keep: int,
    more: Callable[[np.ndarray, slice], dict[str, np.ndarray]],
    device: str = "cpu",
) -> tuple[np.ndarray, ImageSums]:
    """(the first `keep` encoded predictions (k, *shape), what is kept of all m).

    Parameters
    ----------
    info
        Of load_model.
    batches
        Network inputs, in the order of the rows.
    y
        Truths of all m rows.
    more
        (answers (b, *shape), which rows) -> what else to keep of each.

    Raises LimelightError when a prediction is not finite.
    """
    target, bins = presentation.target, scales.bins.to(device)
    constant = np.asarray(info["label_statistics"]["mean_target"], np.float64)
    first, parts, correlations, errors, kept, done = [], [], [], [], [], 0
    for inputs in batches:
        outputs = module(inputs.to(device)).double().cpu().numpy()
        predicted, spread = decoded_outputs(outputs, info["target"]), calibrated_spread(outputs, info)
        if not np.isfinite(predicted).all():
            raise problem(f"network {info['network']}", "predictions that are not finite", "numbers", "train it again")
        rows = slice(done, done + len(inputs))
        mine = {name: values[rows] for name, values in y.items()}
        truth = target.encode(target.truth(mine), mine)
        parts.append(spectra_of(torch.as_tensor(predicted, device=device), torch.as_tensor(truth, device=device), bins))
        correlations.append(correlation_of_rows(predicted, truth))
        errors.append([np.sum((answer - truth) ** 2) / truth[0].size for answer in (predicted, constant)])
        kept.append(more(target.decode(predicted, mine), rows) | coverage(predicted - truth, spread, bins))
        if done < keep:
            first.append(predicted[: keep - done])
        done += len(inputs)
    error, constant_error = np.sum(errors, axis=0) / done
    every = {name: np.concatenate([one[name] for one in kept]) for name in kept[0]}
    correlations, errors = np.concatenate(correlations), (float(error), float(constant_error))
    expected = np.array(info["spread"]["power"]) if "spread" in info else None
    sums = ImageSums(scales, joined(parts), correlations, *errors, more=every, expected_error=expected)
    return np.concatenate(first), sums


def calibrated_spread(outputs: np.ndarray, info: dict) -> np.ndarray | None:
    """The standard deviations (b, *shape) of a network's answers, calibrated; None for a network that answers none."""
    if info["target"]["outputs"] != "gaussian":
        return None
    factor = np.reshape(info["spread"]["factor"], (-1, *[1] * (outputs.ndim - 2)))
    return decoded_spread(outputs, info["target"]) * factor


def coverage(wrong: np.ndarray, spread: np.ndarray | None, bins: PowerBins) -> dict[str, np.ndarray]:
    """Share of each row's pixels (b, channels) within the 68 and 95 % intervals, and the power of what is wrong."""
    if spread is None:
        return {}
    pull = np.abs(wrong / spread).reshape(*wrong.shape[:2], -1)
    maps = torch.as_tensor(wrong, device=bins.index.device)
    power = power_spectrum(maps.flatten(0, 1), bins)[:, 0].view(*maps.shape[:2], -1)
    found = {f"covered_{name}": (pull < width).mean(axis=2) for name, width in INTERVALS.items()}
    return {**found, "error_power": power.cpu().numpy()}


def correlation_of_rows(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Correlation of predicted and true pixels of each row, all channels together, (m,); NaN for one without spread."""
    pairs = [values.reshape(len(values), -1) for values in (predicted, truth)]
    predicted, truth = (values - values.mean(axis=1, keepdims=True) for values in pairs)
    sizes = np.sqrt(np.mean(predicted**2, axis=1) * np.mean(truth**2, axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(sizes > 0, np.mean(predicted * truth, axis=1) / sizes, np.nan)


def power_of_rows(values: np.ndarray, scales: Scales) -> np.ndarray:
    """Power of images (m, channels, *axes) in each shell, (m, channels, bins); NaN where an image is."""
    found = []
    for first in range(0, len(values), BATCH):
        some = torch.as_tensor(np.ascontiguousarray(values[first : first + BATCH]))
        power = power_spectrum(some.flatten(0, 1), scales.bins)[:, 0]
        found.append(power.view(*some.shape[:2], -1).numpy())
    return np.concatenate(found)
