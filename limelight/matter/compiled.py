"""Loops over particles and pixels as machine code: numba compiles one when it is first called, and is not needed before.

What was compiled is kept on disk for the next process, where there is a folder to keep it in.
"""

import functools
from collections.abc import Callable


def compiled(function: Callable) -> Callable:
    """The function, compiled for one thread at its first call."""

    @functools.cache
    def machine_code() -> Callable:
        from numba import njit

        try:
            return njit(fastmath=True, cache=True)(function)
        except RuntimeError:  # neither the package's folder nor the user's can be written to
            return njit(fastmath=True)(function)

    @functools.wraps(function)
    def call(*arguments):
        return machine_code()(*arguments)

    return call
