"""Progress of long loops: a bar on a terminal, one plain line every so often in a log."""

import re
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
# Of Snakemake's output: the stage that starts, the steps that are done, and what goes wrong
STAGE = re.compile(r"(?:local)?rule (\w+):")
DONE = re.compile(r"(\d+) of (\d+) steps")
ERROR = re.compile(r"Error\b|\w+(Error|Exception)\b")


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


def show_steps(output: Iterable[str], log: TextIO) -> None:
    """Snakemake's output as one bar with the stage that started last; all of it goes to `log`.

    Lines of limelight's own (errors, warnings) are shown, and everything is from the first error of Snakemake's on.
    """
    failed = False
    looks = "{l_bar}{bar}| {n_fmt}/{total_fmt} steps, {elapsed}{postfix}"
    with tqdm(total=0, file=sys.stderr, bar_format=looks) as bar:
        for line in output:
            log.write(line)
            failed = failed or bool(ERROR.match(line))
            stage, done = STAGE.match(line), DONE.match(line)
            if failed or line.startswith("limelight: "):
                bar.write(line.rstrip("\n"), file=sys.stderr)
            elif stage:
                bar.set_postfix_str(stage[1])
            elif done:
                bar.total = int(done[2])
                bar.update(int(done[1]) - bar.n)
