"""Fourier transforms whose last bit does not depend on the number of threads."""

from collections.abc import Callable

import torch
from torch import Tensor


def rfftn(x: Tensor) -> Tensor:
    """torch.fft.rfftn of real values, the same on any number of threads."""
    return _alone(torch.fft.rfftn, x)


def irfftn(modes: Tensor, s: tuple[int, ...], out: Tensor | None = None) -> Tensor:
    """torch.fft.irfftn of modes to the real shape s, the same on any number of threads."""
    return _alone(torch.fft.irfftn, modes, s=s, out=out)


def _alone(transform: Callable[..., Tensor], x: Tensor, **options) -> Tensor:
    """MKL splits a transform differently over different numbers of threads, which changes its last bit on some CPUs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return transform(x, **options)
    finally:
        torch.set_num_threads(threads)
