"""Losses by name: each takes predictions and truths (b, bins), in the network's own target space, and returns a scalar."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def mse(prediction: Tensor, truth: Tensor) -> Tensor:
    """Mean of (p − t)²."""
    return (prediction - truth).square().mean()


def log_cosh(prediction: Tensor, truth: Tensor) -> Tensor:
    """Mean of ln cosh(p − t): (p − t)²/2 for small errors, |p − t| − ln 2 for large ones, without overflow."""
    d = (prediction - truth).abs()
    return (d + F.softplus(-2 * d) - math.log(2)).mean()


def msle(prediction: Tensor, truth: Tensor) -> Tensor:
    """Mean of (l(p) − l(t))² with l(x) = ln(1 + x), continued below zero as −ln(1 − x) so that the slope never dies."""
    return (signed_log1p(prediction) - signed_log1p(truth)).square().mean()


def signed_log1p(x: Tensor) -> Tensor:
    """sign(x) ln(1 + |x|)."""
    return torch.sign(x) * torch.log1p(x.abs())


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"mse": mse, "log_cosh": log_cosh, "msle": msle}
