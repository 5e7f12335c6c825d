"""What a reconstructed cube is worth beyond its correlation with the truth: its peaks and its voxel distribution."""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

PEAK = 3.5  # σ of the cube itself: the threshold of Moriwaki et al. 2021 (arXiv:2010.00809)
KINDS = (
    "found",
    "right",
    "true",
    "seen",
)  # peaks of the answer, those near a true one; true peaks, those near a found one
EDGES = np.sinh(np.linspace(np.arcsinh(-4), np.arcsinh(40), 29))  # of voxels, in σ of the true cube about its mean


def peaks(cubes: Tensor) -> Tensor:
    """Voxels of (b, x, y, f) that none of their 26 neighbours exceeds and that lie PEAK σ above the mean; bool."""
    flat = cubes.flatten(1)
    mean, sigma = flat.mean(1), flat.std(1, correction=0)
    limit = (mean + PEAK * sigma)[:, None, None, None]
    highest = F.max_pool3d(cubes[:, None], 3, stride=1, padding=1)[:, 0]
    return (cubes == highest) & (cubes > limit)


def peak_counts(answers: Tensor, truth: Tensor) -> Tensor:
    """Numbers (b, 4) of KINDS for cubes (b, x, y, f); near is the same voxel or one of its 26 neighbours."""
    found, true = peaks(answers), peaks(truth)
    near_found, near_true = (F.max_pool3d(p[:, None].float(), 3, stride=1, padding=1)[:, 0] > 0 for p in (found, true))
    return torch.stack([p.flatten(1).sum(1) for p in (found, found & near_true, true, true & near_found)], dim=1)


def voxel_shares(cubes: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Share of the voxels of each cube (b, x, y, f) in each bin of EDGES, (b, bins); outer bins take what lies beyond."""
    flat, true = cubes.reshape(len(cubes), -1), truth.reshape(len(truth), -1)
    sigma = np.maximum(true.std(axis=1, keepdims=True), 1e-30)
    place = np.searchsorted(EDGES[1:-1], (flat - true.mean(axis=1, keepdims=True)) / sigma, side="right")
    bins = len(EDGES) - 1
    index = place + bins * np.arange(len(flat))[:, None]
    return np.bincount(index.ravel(), minlength=bins * len(flat)).reshape(-1, bins) / flat.shape[1]


def judged_rows(answers: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """Peaks (b, channels, 4) and voxel shares (b, channels, bins) of answers and truths (b, channels, x, y, f)."""
    pairs = [(answers[:, i].astype(np.float32), truth[:, i].astype(np.float32)) for i in range(answers.shape[1])]
    counts = [peak_counts(torch.from_numpy(a), torch.from_numpy(t)).numpy() for a, t in pairs]
    return {
        "peaks": np.stack(counts, axis=1),
        "voxels": np.stack([voxel_shares(a, t) for a, t in pairs], axis=1),
        "voxels_true": np.stack([voxel_shares(t, t) for _, t in pairs], axis=1),
    }


def precision_recall(counts: np.ndarray) -> tuple[float, float]:
    """Of all rows together, from counts (m, 4) of KINDS; NaN where there is no peak."""
    found, right, true, seen = counts.sum(axis=0).astype(float)
    return right / found if found else np.nan, seen / true if true else np.nan


def peak_totals(kept: Mapping[str, np.ndarray], names: tuple[str, ...]) -> dict[str, float]:
    """precision_<line> and recall_<line> of a network."""
    totals = {}
    for i, name in enumerate(names):
        totals[f"precision_{name}"], totals[f"recall_{name}"] = precision_recall(kept["peaks"][:, i])
    return {name: float(value) for name, value in totals.items()}
