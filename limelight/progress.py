"""Progress of long loops: a bar on a terminal, one plain line every so often in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def progress(items: Iterable[Item], what: str, total: int | None = None, every_s: float = 10.0) -> Iterator[Item]:
    """Yield the items, showing how far the loop is.

    On a terminal a tqdm bar; otherwise a line `what: done/total, elapsed, left` at most every `every_s` seconds and one at
    the end, so that a cluster log stays readable.
    """
    if total is None and hasattr(items, "__len__"):
        total = len(items)
    if sys.stderr.isatty():
        yield from tqdm(items, desc=what, total=total, file=sys.stderr)
        return
    start = last = time.monotonic()
    done = 0
    for item in items:
        yield item
        done += 1
        now = time.monotonic()
        if now - last >= every_s and done != total:
            last = now
            left = f", {(now - start) / done * (total - done):.0f} s left" if total else ""
            print(f"{what}: {done}/{total or '?'}, {now - start:.0f} s{left}", file=sys.stderr, flush=True)
    print(f"{what}: {done} done in {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)
