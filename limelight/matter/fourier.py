"""Fourier transforms whose last bit does not depend on the number of threads."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

PLANES = 8  # that are transformed at a time into an array that is there already


def rfftn(x: Tensor) -> Tensor:
    """torch.fft.rfftn of real values, the same on any number of threads."""
    with _alone():
        return torch.fft.rfftn(x)


def irfftn(modes: Tensor, s: tuple[int, ...], out: Tensor | None = None) -> Tensor:
    """torch.fft.irfftn of modes to the real shape s, the same on any number of threads.

    To the bit as torch has it, in less memory: modes that nobody else holds are freed half-way, and torch would make `out`
    from a copy.
    """
    with _alone():
        modes = torch.fft.ifftn(modes, dim=tuple(range(len(s) - 1)))
        if out is None:
            return torch.fft.irfft(modes, n=s[-1])
        for first in range(0, s[0], PLANES):
            out[first : first + PLANES] = torch.fft.irfft(modes[first : first + PLANES], n=s[-1])
        return out


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """MKL splits a transform differently over different numbers of threads, which changes its last bit on some CPUs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
