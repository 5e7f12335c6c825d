"""Loops over particles, halos and pixels: compiled by numba when first called, or in chunks that stay in the cache.

What was compiled is kept on disk for the next process, where there is a folder to keep it in.
"""

import functools
from collections.abc import Callable, Iterator

from limelight.errors import problem

CHUNK = 1 << 14  # numbers at a time: a dozen arrays of them fit a core's cache


def compiled(function: Callable) -> Callable:
    """The function, compiled for one thread at its first call; sums may be taken in any order."""
    return _compiled(function, fastmath=True)


def compiled_exactly(function: Callable) -> Callable:
    """The function, compiled for one thread at its first call; every operation is rounded as numpy rounds it, in order."""
    return _compiled(function, fastmath=False)


def _compiled(function: Callable, fastmath: bool) -> Callable:
    @functools.cache
    def machine_code() -> Callable:
        try:
            from numba import njit
        except ModuleNotFoundError:  # a checkout that moved on from what was installed
            raise problem("numba", "it not installed", "what limelight needs", "pip install numba") from None
        try:
            return njit(fastmath=fastmath, cache=True)(function)
        except RuntimeError:  # neither the package's folder nor the user's can be written to
            return njit(fastmath=fastmath)(function)

    @functools.wraps(function)
    def call(*arguments):
        return machine_code()(*arguments)

    return call


def chunks(n: int) -> Iterator[slice]:
    """Slices that cover n numbers, CHUNK at a time."""
    return (slice(start, start + CHUNK) for start in range(0, n, CHUNK))
