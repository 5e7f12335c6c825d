"""Is a map like those of training at all? A posterior is worth nothing for one that is not.

Two views of a presented map are held against the training presentations: the trunk's features, and plain statistics of the
map, which a network may have learnt to overlook. In each view the mean distance to the nearest training presentations, in
whitened principal components, is ranked among the distances of the validation light-cones' presentations: a p-value that is
calibrated by construction, down to 1/(their number + 1).
"""

import math

import torch
from torch import Tensor

from limelight.errors import problem

NEIGHBOURS = 10
COMPONENTS = 16  # of the features
REFERENCE = 2000  # training presentations kept
VIEWS = ("features", "statistics")
UNLIKE, UNUSUAL = 0.01, 0.05


def make_check(training: dict[str, Tensor], validation: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The check of a posterior file, per view: {mean, whiten, reference, distances}; inputs (n, d) per view."""
    for view in VIEWS:
        if (training[view] == training[view][:1]).all():
            found, fix = (
                f"the same {view} of every map",
                "train its network longer, or give the posterior other features",
            )
            raise problem("posterior", found, f"{view} that tell maps apart", fix)
    return {view: _make_view(training[view], validation[view]) for view in VIEWS}


def _make_view(training: Tensor, validation: Tensor) -> dict[str, Tensor]:
    mean, std = training.mean(dim=0), training.std(dim=0, correction=0)
    alive = std > 1e-6 * std.max()
    turn = torch.zeros(training.shape[1], int(alive.sum()), dtype=training.dtype, device=training.device)
    turn[alive] = torch.diag(1 / std[alive])
    _, lengths, directions = torch.linalg.svd((training - mean) @ turn, full_matrices=False)
    kept = min(COMPONENTS, int((lengths > 1e-4 * lengths[0]).sum()))
    spread = lengths[:kept] / math.sqrt(len(training))
    whiten = turn @ directions[:kept].T / spread
    step = max(1, -(-len(training) // REFERENCE))
    view = {"mean": mean, "whiten": whiten, "reference": ((training - mean) @ whiten)[::step]}
    return {**view, "distances": distances(view, validation).sort().values}


def distances(view: dict[str, Tensor], x: Tensor) -> Tensor:
    """Mean distance (b,) of rows x (b, d) to the NEIGHBOURS nearest training presentations."""
    far = torch.cdist((x - view["mean"]) @ view["whiten"], view["reference"])
    return far.topk(min(NEIGHBOURS, far.shape[1]), dim=1, largest=False).values.mean(dim=1)


def p_values(check: dict[str, dict[str, Tensor]], views: dict[str, Tensor]) -> Tensor:
    """p (b,): twice the smaller of the two views' (Bonferroni), of a map this strange under the training prior.

    Beyond the largest of the n validation distances, whose p is 1/(n + 1), it falls exponentially with the mean excess of
    their last tenth: how far out a map lies still shows, though no longer to scale.
    """
    found = []
    for name in VIEWS:
        known, here = check[name]["distances"], distances(check[name], views[name])
        n = len(known)
        p = (n - torch.searchsorted(known, here.contiguous()) + 1) / (n + 1)
        tail = (known[-max(1, n // 10) :] - known[-max(1, n // 10)]).mean().clamp(min=1e-6)
        found.append(p * torch.exp((known[-1] - here).clamp(max=0) / tail))
    return (len(VIEWS) * torch.stack(found).amin(dim=0)).clamp(1e-30, 1.0)


def how_unlike(p: float) -> str:
    """In words."""
    if p < UNLIKE:
        return f"unlike anything in training (p = {p:.2g}): do not trust what follows"
    if p < UNUSUAL:
        return f"unusual among the training maps (p = {p:.2g})"
    return f"like the training maps (p = {p:.2g})"
