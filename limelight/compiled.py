"""Loops over particles, halos and pixels: compiled by numba when first called, or in chunks that stay in the cache.

What was compiled is kept on disk for the next process, where there is a folder to keep it in.
"""

import functools
from collections.abc import Callable, Iterator

CHUNK = 1 << 14  # numbers at a time: a dozen arrays of them fit a core's cache


def compiled(function: Callable) -> Callable:
    """The function, compiled for one thread at its first call; sums may be taken in any order."""

    @functools.wraps(function)
    def call(*arguments):
        return _machine_code(function, fastmath=True)(*arguments)

    return call


def compiled_exactly(function: Callable) -> Callable:
    """The function, compiled for one thread; every operation is rounded as numpy rounds it, in the order written.

    It gives up Python's lock: several threads can run it side by side, each on arrays of its own.

    Call it where the function is used. A decorator would act when its module is imported, which counts for every stage that
    does so (`limelight.codehash`).
    """
    return _machine_code(function, fastmath=False)


@functools.cache
def _machine_code(function: Callable, fastmath: bool) -> Callable:
    from numba import njit

    try:
        return njit(fastmath=fastmath, nogil=True, cache=True)(function)
    except RuntimeError:  # neither the package's folder nor the user's can be written to
        return njit(fastmath=fastmath, nogil=True)(function)


def chunks(n: int) -> Iterator[slice]:
    """Slices that cover n numbers, CHUNK at a time."""
    return (slice(start, start + CHUNK) for start in range(0, n, CHUNK))
