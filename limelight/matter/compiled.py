"""Loops over particles and pixels as machine code: numba compiles one when it is first called, and is not needed before."""

import functools
from collections.abc import Callable


def compiled(function: Callable) -> Callable:
    """The function, compiled for one thread at its first call."""

    @functools.cache
    def machine_code() -> Callable:
        from numba import njit

        return njit(fastmath=True)(function)

    @functools.wraps(function)
    def call(*arguments):
        return machine_code()(*arguments)

    return call
