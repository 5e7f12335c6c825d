"""Stopping a run: a scheduler's signals and Ctrl-C lead to a checkpoint at the next step."""

import contextlib
import signal
import threading
from collections.abc import Iterator


class Stopped(Exception):
    """A signal asked training to stop; a checkpoint is written. The argument is the signal's number."""


@contextlib.contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Yield a list that collects the numbers of SIGTERM, SIGUSR1 (schedulers send them before a time limit) and Ctrl-C."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked  # only the main thread may handle signals
        return
    wanted = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
    before = [signal.signal(number, lambda number, frame: asked.append(number)) for number in wanted]
    try:
        yield asked
    finally:
        for number, handler in zip(wanted, before, strict=True):
            signal.signal(number, handler)
