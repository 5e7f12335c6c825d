"""Quantile heads against distributions whose quantiles are known, and ranks among quantiles by hand."""

import numpy as np
import torch
from scipy import stats

from limelight.inference.calibration import coverage
from limelight.inference.intervals import LEVELS
from limelight.inference.posteriors.fit import fit
from limelight.inference.posteriors.quantiles import QuantileHead, pinball, quantile_ranks

OPTIONS = {"epochs": 12, "patience": 12, "batch_size": 256, "learning_rate": 3e-3, "weight_decay": 0.0}


def problem(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """x uniform in [−1, 1]; a Gaussian about sin 2x of width e^x / 4, and an exponential of scale e^-x, which is skewed."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, count)
    y = np.stack(
        [np.sin(2 * x) + np.exp(x) / 4 * rng.standard_normal(count), np.exp(-x) * rng.exponential(1, count)], 1
    )
    return torch.as_tensor(x[:, None], dtype=torch.float32), torch.as_tensor(y, dtype=torch.float32)


def exact(x: np.ndarray) -> np.ndarray:
    """Quantiles (b, 2, 5) at LEVELS."""
    gauss = np.sin(2 * x) + np.exp(x) / 4 * stats.norm.ppf(LEVELS)
    return np.stack([gauss, np.exp(-x) * stats.expon.ppf(LEVELS)], axis=1)


def test_a_head_learns_the_quantiles_of_known_distributions():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    (x, y), (held_x, held_y) = problem(16_000, 1), problem(4000, 2)
    head = QuantileHead(1, 2, members=2, hidden=32, layers=2, dropout=0.0)
    fit(
        head,
        lambda rows, r: pinball(head(x[rows]), y[rows]),
        lambda: pinball(head.quantiles(held_x), held_y),
        len(x),
        OPTIONS,
        5,
        "quantiles",
    )
    at = torch.linspace(-0.9, 0.9, 37)[:, None]
    with torch.no_grad():
        found = head.quantiles(at).numpy()
    known = exact(at.numpy())
    width = known[..., 4:] - known[..., :1]
    error = (found - known) / width
    assert np.sqrt(np.square(error).mean(axis=(0, 1))).max() < 0.05, "of the 95 % interval, any quantile"
    assert abs(((found[..., 4] - found[..., 0]) / width[..., 0]).mean() - 1) < 0.03
    rank = quantile_ranks(found_at(head, held_x), held_y.numpy())
    assert np.abs(coverage(rank, 0.95)[0] - 0.95).max() < 0.012, "of 4000; the binomial error is 0.0034"


def found_at(head: QuantileHead, x: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return head.quantiles(x).numpy()


def test_quantiles_rise_whatever_the_weights_and_the_ensemble_is_the_mean_of_its_members():
    torch.manual_seed(1)
    head = QuantileHead(3, 4, members=3, hidden=8, layers=2, dropout=0.0).eval()
    x = 100 * torch.randn(50, 3)
    each, mean = head(x), head.quantiles(x)
    assert each.shape == (3, 50, 4, 5)
    assert (each.diff(dim=-1) >= 0).all()
    torch.testing.assert_close(mean, (each[0] + each[1] + each[2]) / 3)
    assert not torch.equal(each[0], each[1])


def test_pinball_by_hand():
    quantiles = torch.tensor([[[-2.0, -1.0, 0.0, 1.0, 2.0]]])
    by_hand = (0.025 * 3 + 0.16 * 2 + 0.5 * 1 + 0.84 * 0 + 0.025 * 1) / 5  # y = 1; the last quantile is 1 too high
    assert abs(pinball(quantiles, torch.tensor([[1.0]])).item() - by_hand) < 1e-6


def test_ranks_lie_between_the_levels():
    quantiles = np.array([[[0.0, 1.0, 2.0, 3.0, 4.0]]])
    for truth, rank in ((-1, 0.0125), (0.5, 0.0925), (2, 0.5), (3.5, 0.9075), (9, 0.9875)):
        assert abs(quantile_ranks(quantiles, np.array([[float(truth)]]))[0, 0] - rank) < 1e-12
