"""A histogram of voxels whose edges are learnt: a layer that is differentiable in its edges, their softness and the map."""

import math

import torch
from torch import Tensor, nn

from limelight.summaries.counting import blurred, quick_asinh

NODES = 512  # of the grid on which edges are evaluated; a soft edge is wider than a step of it


class SoftHistogram(nn.Module):
    """Voxels of cubes (b, x, y, f) in bins between soft edges, behind Gaussians of several widths: (b, scales · bins).

    A voxel of brightness t = asinh(T / unit) belongs to a bin by σ((t − a)/u) − σ((t − b)/v): a and b are the bin's edges, u
    and v their softness, σ the logistic function. Outer bins are open, so that each voxel counts once. Edges and softness of
    each scale are learnt; edges begin in equal steps, and never cross. The answer is log(1 + n) of the numbers n.

    Each voxel is first shared between the two nodes of a fine grid that it lies between, so that edges are evaluated on the
    nodes alone: the logistic functions are interpolated linearly between nodes, which costs one pass over the voxels.

    Parameters
    ----------
    scale
        σ of a voxel's noise. Behind a Gaussian the unit is what it leaves of white noise of that σ.
    low, high
        Ends of the grid in units; voxels beyond count as if they lay there.
    bins
        Of each scale.
    smoothing
        σ of the Gaussians on the sky, pixels; 0: the cube as it is.
    """

    def __init__(self, scale: float, low: float, high: float, bins: int, smoothing: tuple[float, ...]):
        super().__init__()
        self.scale, self.smoothing = scale, smoothing
        ends = math.asinh(low), math.asinh(high)
        step = (ends[1] - ends[0]) / bins
        self.register_buffer("nodes", torch.linspace(*ends, NODES))
        self.first = nn.Parameter(torch.full((len(smoothing), 1), ends[0] + step))
        self.log_gaps = nn.Parameter(torch.full((len(smoothing), bins - 2), math.log(step)))
        self.log_softness = nn.Parameter(torch.full((len(smoothing), bins - 1), math.log(step / 4)))

    def __len__(self) -> int:
        return len(self.smoothing) * (self.log_gaps.shape[1] + 2)

    @property
    def edges(self) -> Tensor:
        """Edges between the bins of each scale, (scales, bins − 1), of asinh(T / unit)."""
        return torch.cat([self.first, self.first + self.log_gaps.exp().cumsum(dim=1)], dim=1)

    def forward(self, cubes: Tensor) -> Tensor:
        shared = torch.stack([self.shares(cubes, sigma) for sigma in self.smoothing], dim=1)  # (b, scales, nodes)
        place = (self.nodes[:, None] - self.edges[:, None]) / self.log_softness.exp()[:, None]
        above = torch.einsum("bsn,sne->bse", shared, torch.sigmoid(place))
        every = shared.sum(dim=2, keepdim=True)
        numbers = -torch.cat([every, above, torch.zeros_like(every)], dim=2).diff(dim=2)
        return numbers.clamp(min=0).log1p().flatten(1)

    def shares(self, cubes: Tensor, sigma: float) -> Tensor:
        """How many voxels stand at each node, (b, NODES), behind one Gaussian."""
        t = quick_asinh(blurred(cubes / self.scale, sigma).flatten(1))
        low, step = self.nodes[0], self.nodes[1] - self.nodes[0]
        at = ((t - low) / step).clamp(0, NODES - 1)
        node = at.detach().long().clamp(max=NODES - 2)
        right = at - node
        found = t.new_zeros(len(t), NODES).scatter_add(1, node, 1 - right)
        return found.scatter_add(1, node + 1, right)
