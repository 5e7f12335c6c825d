"""What is counted on convergence maps: peaks, minima and Minkowski functionals, batched on the device.

Maps (b, n, n) may be periodic; otherwise pixels at the edge, which lack neighbours, are left out.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def smoothed(maps: Tensor, sigma: float, periodic: bool) -> Tensor:
    """Maps behind a Gaussian of σ pixels, out to 4 σ; maps that are not periodic are mirrored at their edges."""
    if sigma == 0:
        return maps
    reach = min(math.ceil(4 * sigma), maps.shape[-1] - 1)
    x = torch.arange(-reach, reach + 1, dtype=maps.dtype, device=maps.device)
    weight = torch.exp(-0.5 * (x / sigma) ** 2)
    weight = weight / weight.sum()
    wide = F.pad(maps[:, None], (reach,) * 4, mode="circular" if periodic else "reflect")
    return F.conv2d(F.conv2d(wide, weight.view(1, 1, 1, -1)), weight.view(1, 1, -1, 1))[:, 0]


def ringed(maps: Tensor, periodic: bool) -> Tensor:
    """Maps with one more pixel on each side: the opposite edge's of periodic maps; others stay, and lose theirs."""
    return F.pad(maps[:, None], (1, 1, 1, 1), mode="circular")[:, 0] if periodic else maps


def histogram(place: Tensor, weight: Tensor, edges: Tensor) -> Tensor:
    """Sums (b, bins) of weights (b, p) by place (b, p) between rising edges (bins + 1,); what lies beyond counts nowhere."""
    bins = len(edges) - 1
    at = torch.bucketize(place.contiguous(), edges, right=True)
    found = weight.new_zeros(len(place), bins + 2).scatter_add_(1, at, weight)
    return found[:, 1:-1]


def peak_counts(maps: Tensor, edges: Tensor, periodic: bool) -> Tensor:
    """Local maxima, higher than all eight neighbours, by height: (b, bins). Minima are the peaks of −maps."""
    ring = ringed(maps, periodic)
    n = ring.shape[-1] - 2
    middle = ring[:, 1:-1, 1:-1]
    around = [ring[:, i : i + n, j : j + n] for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    highest = around[0]
    for one in around[1:]:
        highest = torch.maximum(highest, one)
    return histogram(middle.flatten(1), (middle > highest).to(maps.dtype).flatten(1), edges)


def minkowski(maps: Tensor, edges: Tensor, periodic: bool) -> Tensor:
    """V0, V1 and V2 per pixel, (b, 3, bins): V0 above each lower edge, V1 and V2 as means over the bins of height.

    V0 is the share of pixels above a threshold, V1 a quarter of the length of its contour and V2 the Euler characteristic
    of the area above (its turn over 2π), with central differences of the map (Schmalzing & Górski 1998, eqs. 3 and 4).
    """
    ring = ringed(maps, periodic)
    here = ring[:, 1:-1, 1:-1]
    x = (ring[:, 2:, 1:-1] - ring[:, :-2, 1:-1]) / 2
    y = (ring[:, 1:-1, 2:] - ring[:, 1:-1, :-2]) / 2
    xx = ring[:, 2:, 1:-1] + ring[:, :-2, 1:-1] - 2 * here
    yy = ring[:, 1:-1, 2:] + ring[:, 1:-1, :-2] - 2 * here
    xy = (ring[:, 2:, 2:] + ring[:, :-2, :-2] - ring[:, 2:, :-2] - ring[:, :-2, 2:]) / 4
    square = x**2 + y**2
    turn = (2 * x * y * xy - x**2 * yy - y**2 * xx) / square.clamp(min=1e-30)
    flat, pixels = here.flatten(1), here[0].numel()
    width = edges.diff() * pixels
    length = histogram(flat, square.sqrt().flatten(1), edges) / width / 4
    euler = histogram(flat, turn.flatten(1), edges) / width / (2 * math.pi)
    far = torch.cat([edges[:-1], edges.new_full((1,), torch.inf)])
    above = histogram(flat, torch.ones_like(flat), far).flip(1).cumsum(1).flip(1) / pixels
    return torch.stack([above, length, euler], dim=1)
