"""The calibration of networks of images that answer a mean and its variance (the loss `gaussian`)."""

from collections.abc import Iterator

from torch import Tensor

from limelight.summaries.power import power_spectrum
from limelight.summaries.scales import Scales
from limelight.training.losses import Loss


def calibrated(pairs: Iterator[tuple[Tensor, Tensor]], loss: Loss, scales: Scales) -> dict:
    """What makes a network's errors right on the validation data, for the model file.

    pairs: outputs (b, 2c, *axes) and encoded truths (b, c, *axes) of all rows, batch by batch.

    factor: of each channel, what its standard deviations are multiplied with, so that they are the rms of what is wrong;
    power (channels, shells): of what is wrong, in the shells of wave number with these edges.
    """
    squares, power, count = 0.0, 0.0, 0
    for outputs, truth in pairs:
        wrong = loss.raw(outputs) - truth
        squares += (wrong / loss.spread(outputs)).square().flatten(2).mean(dim=2).sum(dim=0)
        found = power_spectrum(wrong.flatten(0, 1), scales.bins.to(wrong.device))
        power += found.view(*wrong.shape[:2], -1).sum(dim=0)
        count += len(wrong)
    return {
        "factor": (squares / count).sqrt().tolist(),
        "edges": list(scales.axis.edges),
        "power": (power / count).tolist(),
    }
