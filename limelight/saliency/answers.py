"""What is explained: a network's answer made into one number per row, a weighted sum of its outputs."""

import math

import numpy as np
import torch
from torch import Tensor, nn

from limelight.saliency.separate import Separated
from limelight.seeds import torch_seed
from limelight.study.saliency import Answer


class Explained(nn.Module):
    """Σ weights × outputs of a network, standardisation undone: x (b, …), weights (b, *shape) -> (b,).

    Of a classifier these are its log odds, of a likelihood its log10 of the mean count, else the encoded target (but for the
    training mean, a constant).
    """

    def __init__(self, module: nn.Module | Separated, std: Tensor | None = None):
        super().__init__()
        self.module = module
        self.register_buffer("std", torch.ones(()) if std is None else std.float())

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        outputs = self.module(x)[:, : weights.shape[1]]  # of a mean and its variance, the mean
        return (outputs * self.std * weights).flatten(1).sum(dim=1)


def scale_of(info: dict) -> Tensor | None:
    """What the outputs of a trained network (info of load_model) are multiplied by; None where they are as they are."""
    return None if info["target"]["outputs"] == "log_odds" else info["target"]["std"]


def row_weights(weights: np.ndarray, answer: Answer, rows: int, seed: int, name: str) -> Tensor:
    """Weights of each of some rows, (rows, *shape): the same, or with signs drawn afresh for each row."""
    found = torch.as_tensor(weights)[None].expand(rows, *weights.shape)
    if answer.signs == "same":
        return found
    random = torch.Generator().manual_seed(torch_seed(seed, f"signs of {name}"))
    return found * (2.0 * torch.randint(0, 2, (rows, math.prod(weights.shape)), generator=random) - 1).view(found.shape)
