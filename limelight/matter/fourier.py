"""Fourier transforms whose last bit does not depend on the number of threads.

A box that does not fit the cache is transformed along z alone, some rows of modes at a time, and then plane by plane: half
the time of a transform along all axes at once. Modes are those of rfftn, (nz, ny, nx // 2 + 1) for (nz, ny, nx) real values;
between the two steps stand the modes of each plane along y and x, of the same shape.
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

CACHE = 1 << 17  # complex numbers that are transformed at a time: 1 MB, what a core's cache holds


def rfftn(x: Tensor) -> Tensor:
    """torch.fft.rfftn of real values, the same on any number of threads."""
    with _alone():
        return torch.fft.rfftn(x)


def irfftn(modes: Tensor, s: tuple[int, ...]) -> Tensor:
    """torch.fft.irfftn of modes to the real shape s, the same on any number of threads.

    To the bit as torch has it, in less memory: modes that nobody else holds are freed half-way.
    """
    with _alone():
        modes = torch.fft.ifftn(modes, dim=tuple(range(len(s) - 1)))
        return torch.fft.irfft(modes, n=s[-1])


def rows_of(modes: Tensor) -> list[slice]:
    """Rows of modes (z, y, x) along y that are transformed along z at a time."""
    return _slices(modes.shape[1], modes.shape[0] * modes.shape[2])


def planes_of(modes: Tensor) -> list[slice]:
    """Planes of modes (z, y, x) that are transformed along y and x at a time."""
    return _slices(modes.shape[0], modes.shape[1] * modes.shape[2])


def _slices(size: int, numbers: int) -> list[slice]:
    step = max(1, CACHE // numbers)
    return [slice(low, min(low + step, size)) for low in range(0, size, step)]


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """MKL splits a transform differently over different numbers of threads, which changes its last bit on some CPUs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
