"""Quantile regression (Koenker & Bassett 1978): a head that answers with quantiles of each output by itself.

The pinball loss of a level p, (p − [y < q]) (y − q), is smallest in the mean where a share p of the truths lies below q. It
asks for no form of the distribution, and for no joint density of all outputs, which takes more simulations to learn. The
price: there are no draws, no density and nothing joint.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limelight.inference.intervals import LEVELS

MIDDLE = LEVELS.index(0.5)


class QuantileHead(nn.Module):
    """Features (b, inputs) -> quantiles at LEVELS, (members, b, outputs, 5), both standardised by the caller.

    Each member is a network of its own, with weights and losses of its own; `quantiles` is their mean. Quantiles rise with
    their level by construction: the median, and steps above 0 away from it.
    """

    def __init__(self, inputs: int, outputs: int, members: int, hidden: int, layers: int, dropout: float):
        super().__init__()
        self.outputs = outputs
        self.members = nn.ModuleList(_network(inputs, outputs, hidden, layers, dropout) for _ in range(members))

    def forward(self, x: Tensor) -> Tensor:
        raw = torch.stack([member(x) for member in self.members]).unflatten(-1, (self.outputs, len(LEVELS)))
        median, steps = raw[..., MIDDLE : MIDDLE + 1], F.softplus(raw)
        below = steps[..., :MIDDLE].flip(-1).cumsum(-1).flip(-1)
        above = steps[..., MIDDLE + 1 :].cumsum(-1)
        return torch.cat([median - below, median, median + above], dim=-1)

    def quantiles(self, x: Tensor) -> Tensor:
        """The mean of the members' quantiles, (b, outputs, 5)."""
        return self(x).mean(dim=0)


def _network(inputs: int, outputs: int, hidden: int, layers: int, dropout: float) -> nn.Sequential:
    body: list[nn.Module] = []
    for width in [inputs] + [hidden] * (layers - 1):
        body += [nn.Linear(width, hidden), nn.SiLU(), nn.Dropout(dropout)]
    return nn.Sequential(*body, nn.Linear(hidden, outputs * len(LEVELS)))


def pinball(quantiles: Tensor, y: Tensor) -> Tensor:
    """The mean pinball loss of quantiles (…, b, d, 5) at LEVELS for truths y (b, d), in the units of y."""
    over = y[..., None] - quantiles
    return torch.maximum(over * over.new_tensor(LEVELS), over * (over.new_tensor(LEVELS) - 1)).mean()


def quantile_ranks(quantiles: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Where truths (m, d) stand among quantiles (m, d, 5): their chance to be lower, in [0, 1]; both continuous.

    Between two levels linearly; beyond the outer ones, where nothing is known, the middle of what is left.
    """
    low, high = np.concatenate([[0.0], LEVELS]), np.concatenate([LEVELS, [1.0]])
    place = (truth[..., None] >= quantiles).sum(axis=-1)
    edges = np.concatenate([quantiles[..., :1], quantiles, quantiles[..., -1:]], axis=-1)
    ends = [np.take_along_axis(edges, (place + i)[..., None], axis=-1)[..., 0] for i in (0, 1)]
    step = ends[1] - ends[0]
    share = np.divide(truth - ends[0], step, out=np.full(step.shape, 0.5), where=step > 0)
    return low[place] + np.clip(share, 0, 1) * (high[place] - low[place])
