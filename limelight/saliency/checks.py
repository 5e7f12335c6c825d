"""What a method of saliency is tried for, and what condemns it. Needs no captum: files and figures know these, too."""

from dataclasses import dataclass, field

import numpy as np

from limelight.study.saliency import SaliencyThresholds

FRACTIONS = (0.0, 0.01, 0.03, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0)  # of pixels taken away, or put in
CHECKS = {
    "randomised": "rank correlation with the attribution of the network with all weights drawn afresh",
    "control": "rank correlation with the attribution of the recipe trained on permuted labels; empty without it",
    "echo": "rank correlation with the distance of the pixel's value from the baseline",
    "completeness": "median over rows of |sum of saliency − change of the answer| over the change, where it is promised",
    "shift": "rank correlation with the attribution of the same network behind a constant shift of the data",
    "deletion_gain": "change of the answer when the pixels go in the order of attribution, over that in random order",
    "insertion_gain": "the same when pixels are put into the baseline",
}


@dataclass
class Tried:
    """What came of one method on one answer. Correlations are means over rows."""

    checks: dict[str, float] = field(default_factory=dict)  # CHECKS; NaN: not asked
    cascade: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (stages,) correlation with the trained network's
    cascade_echo: np.ndarray = field(
        default_factory=lambda: np.zeros(0)
    )  # (stages,) with the distance from the baseline
    deletion: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (FRACTIONS,) rms change of the answer
    insertion: np.ndarray = field(default_factory=lambda: np.zeros(0))


def faults(checks: dict[str, float], limits: SaliencyThresholds) -> list[str]:
    """What condemns a method by its checks, in a few words each; empty where it passes all. NaN counts for nothing."""
    found = []
    if checks["randomised"] >= limits.randomised:
        found.append("ignores the weights")
    if checks["control"] >= limits.randomised:
        found.append("shows the same of permuted labels")
    if checks["completeness"] > limits.completeness:
        found.append("is not complete")
    if checks["shift"] < limits.shift:
        found.append("depends on where zero is")
    if checks["deletion_gain"] < 1 and checks["insertion_gain"] < 1:
        found.append("no better than a random order")
    return found
