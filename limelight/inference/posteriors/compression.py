"""Training the compression of an IMNN posterior on a trunk's features of simulations about the fiducial point."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from limelight.inference.posteriors import scaling
from limelight.inference.posteriors.imnn import (
    Simulations,
    Summariser,
    best_linear,
    fisher,
    refuse_long_steps,
    train_imnn,
)
from limelight.inference.posteriors.tables import BATCH
from limelight.seeds import torch_seed

if TYPE_CHECKING:
    from limelight.inference.posteriors.learn import Learner


def train_summaries(learner: "Learner", simulations: tuple[np.ndarray, ...]) -> nn.Module:
    """The IMNN on the trunk's features of simulations about the fiducial point.

    Half of the simulations teach, a quarter chooses the weights, and the last quarter, which neither has seen, says how much
    information the summaries have. Raises LimelightError where derivatives are taken over steps that are too long.
    """
    options, device = learner.options, learner.device
    *data, step = simulations
    axes = data[0].ndim - 1  # of one map, its channels included
    step = torch.as_tensor(step, dtype=torch.float32, device=device)
    parts: tuple[list, list, list] = ([], [], [])
    turns = 1 if learner.settings.stream else learner.entry.presentations  # a stream shows each simulation once
    with torch.no_grad():
        for turn in range(turns):
            shown = [scaling.encode(learner.scales["features"], _features(learner, x, turn, axes)) for x in data]
            for part, (start, end) in zip(parts, ((0, 2), (2, 3), (3, 4)), strict=True):
                fiducial, below, above = (x[len(x) * start // 4 : len(x) * end // 4] for x in shown)
                part.append(Simulations(fiducial, below, above, step))
    learnt, (choosing, fresh) = parts[0], (_together(part) for part in parts[1:])
    inputs = learner.scales["features"]["mean"].shape[0]
    head = Summariser(inputs, len(step), options.hidden, options.layers).to(device)
    start = best_linear(head, _together(learnt), choosing)
    learner.history = train_imnn(
        head, lambda i: learnt[i % len(learnt)], choosing, options.steps, options.learning_rate, start=start
    )
    finite = [row for row in learner.history if row["held_out_log_det"] > start]
    begun = {"step": 0, "held_out_log_det": start}
    learner.kept = dict(max(finite, key=lambda row: row["held_out_log_det"], default=begun))
    with torch.no_grad():
        information = fisher(head, fresh)[0]
        covariance = fisher(head, _together([choosing, fresh]))[1]
    refuse_long_steps(learner.settings.name, options.step, step, information)
    learner.kept["fisher"] = information.tolist()
    learner.scales["summaries"] = {"covariance": covariance, "fisher": information}
    return head


def _together(parts: list[Simulations]) -> Simulations:
    """Several sets of simulations with one step as one."""
    fiducial, below, above = (torch.cat(x) for x in list(zip(*parts, strict=True))[:3])
    return Simulations(fiducial, below, above, parts[0].step)


def _features(learner: "Learner", x: np.ndarray, turn: int, axes: int) -> Tensor:
    """Features (…, F) of clean data (…, channels, *axes); row i of each array sees the same noise."""
    lead, found = x.shape[:-axes], []
    flat = torch.as_tensor(x.reshape(-1, *x.shape[-axes:]))
    per_row = int(np.prod(lead[1:], dtype=int))
    for first in range(0, len(flat), BATCH):
        shown = []
        for i, one in enumerate(flat[first : first + BATCH], first):
            seed = torch_seed(learner.seed, f"simulations of {learner.name}", turn, i // per_row)
            random = torch.Generator(learner.device).manual_seed(seed)
            shown.append(learner.presentation.observe(one[None].to(learner.device), random))
        found.append(learner.trunk.features(torch.cat(shown)).float())
    return torch.cat(found).reshape(*lead, -1)
