"""Work in chunks on several threads, with results that do not depend on how many."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")

# Large pages for torch's arrays, read at its first allocation: in 4 kB pages, faults cost more than the arithmetic.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


@contextlib.contextmanager
def chunk_runner() -> Iterator[Callable[[Callable, Sequence], None]]:
    """Yield run(work, items), which calls work on every item, on as many threads as torch has.

    Inside a chunk torch itself uses one thread: how it splits a sum or a vectorised loop over threads changes the last
    bit. OpenMP's thread number belongs to each thread (set by the initializer), MKL's to the process (set by run).
    """
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:

        def run(work: Callable, items: Sequence) -> None:
            torch.set_num_threads(1)
            try:
                for _ in pool.map(work, items):  # what works return is not kept
                    pass
            finally:
                torch.set_num_threads(threads)

        yield run


def together(run: Callable, *works: Callable[[], T]) -> list[T]:
    """What each work returns, done as chunks of `run`, in their order."""
    found: list[T] = [None] * len(works)

    def one(i: int) -> None:
        found[i] = works[i]()

    run(one, range(len(works)))
    return found
