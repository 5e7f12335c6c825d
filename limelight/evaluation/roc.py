"""True and false positives of a score: what stands above which threshold."""

import numpy as np
from scipy import stats

LEAST = 10  # false positives that a threshold is set on


def threshold_at(negative: np.ndarray, rate: float) -> float:
    """The score that a share `rate` of the negatives' scores (n,) exceeds; infinite where they are too few (LEAST)."""
    count = rate * len(negative)
    return float(np.quantile(negative, 1 - rate, method="higher")) if count >= LEAST else np.inf


def efficiency(positive: np.ndarray, negative: np.ndarray, rate: float) -> float:
    """Share of the positives' scores above the threshold of a rate; NaN where the negatives are too few to set it."""
    threshold = threshold_at(negative, rate)
    return float(np.mean(positive > threshold)) if np.isfinite(threshold) else np.nan


def rate_error(count: int, rate: float) -> float:
    """σ of the true rate of a threshold that a share `rate` of `count` negatives exceeds."""
    return float(np.sqrt(rate * (1 - rate) / count))


def efficiency_error(positive: np.ndarray, negative: np.ndarray, rate: float) -> float:
    """σ of `efficiency`: of the share of so few positives, and of a threshold set on so few negatives."""
    share = efficiency(positive, negative, rate)
    if not np.isfinite(share):
        return np.nan
    sigma = rate_error(len(negative), rate)
    ends = np.quantile(negative, [1 - rate - sigma, 1 - rate + sigma], method="higher")
    moved = np.mean(positive > ends[0]) - np.mean(positive > ends[1])
    return float(np.hypot(np.sqrt(share * (1 - share) / len(positive)), moved / 2))


def roc(positive: np.ndarray, negative: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """The share of true positives at each rate of false ones."""
    return np.array([efficiency(positive, negative, rate) for rate in rates])


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Probability that a positive scores higher than a negative, ties counting half (Mann and Whitney)."""
    rank = stats.rankdata(np.concatenate([positive, negative]))[: len(positive)]
    return float((rank.sum() - len(positive) * (len(positive) + 1) / 2) / (len(positive) * len(negative)))
