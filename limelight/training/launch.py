"""Start the processes of a data-parallel training on this machine, and end with them.

torchrun's process manager (torch.distributed.elastic.multiprocessing) starts the processes, redirects what they print, and
ends all of them when one fails. torchrun's agent (`torchrun`, `elastic_launch`) is not used, for two reasons. After a stop
signal it drops the exit codes of the processes, so that a run that wrote its checkpoint looks like one that did not. And it
has a single timeout for a stop, which may take a step and a checkpoint, and for a failure, which should end all at once.
Neither of them ends the processes of a launcher that was killed. This module therefore hands signals on, makes one exit code
of many, and lets each process watch its launcher.
"""

import contextlib
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, RunProcsResult, Std, start_processes
from torch.distributed.elastic.utils.distributed import get_free_port

from limelight.training.signals import stop_signals

STOPPED, LOST = 75, 74  # exit codes: a checkpoint is written, run again; another process is gone
LAUNCHER = "LIMELIGHT_LAUNCHER"  # environment variable: the launcher's process number
POLL_S = 0.05


def launch(count: int) -> int:
    """Run this very command as `count` processes and return the exit code for all of them.

    They get torchrun's environment variables. After a stop only the first of them may exit with STOPPED or 130, the others
    exit with 0: the first code that is not 0 ends all. What the others print is shown only where one of them failed.
    """
    shared = {
        "WORLD_SIZE": count,
        "LOCAL_WORLD_SIZE": count,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": get_free_port(),
    }
    os.environ |= {name: str(value) for name, value in {**shared, LAUNCHER: os.getpid()}.items()}
    if sys.platform == "linux":
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"  # all are on this machine, whatever its name resolves to
    os.environ["TORCHELASTIC_SIGNALS_TO_HANDLE"] = "SIGQUIT"  # the others are handed on below
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # `_exit_code` says it in one line
    ranks = {rank: {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)}
    with stop_signals() as asked, tempfile.TemporaryDirectory() as folder:
        logs = DefaultLogsSpecs(folder, redirects=dict.fromkeys(range(1, count), Std.ERR))
        command = dict.fromkeys(ranks, tuple(sys.argv))
        processes = start_processes("training", sys.executable, command, ranks, logs)
        handed_on = 0
        while (result := processes.wait(timeout=0)) is None:
            for number in asked[handed_on:]:
                for process in processes.pids().values():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process, number)
                handed_on += 1
            time.sleep(POLL_S)
        return _exit_code(result, count, asked)


def _exit_code(result: RunProcsResult, count: int, asked: list[int]) -> int:
    """One exit code for `count` processes, after one line about the one that failed first. asked: stop signals received."""
    codes = {rank: failure.exitcode for rank, failure in result.failures.items()}  # in the order of the failures
    if not codes:
        return 0
    for code in (STOPPED, 130):
        if code in codes.values():
            return code
    if asked:
        return 128 + asked[0]  # stopped before there was anything to keep
    again = "run the same command again: it goes on from the last checkpoint"
    consequences = (LOST, -signal.SIGTERM)  # when one fails, the others lose it, and torchrun ends them
    first = next((rank for rank, code in codes.items() if code not in consequences), next(iter(codes)))
    if codes[first] == LOST:
        print(f"limelight: error: the {count} training processes lost each other; {again}", file=sys.stderr)
        return 1
    if codes[first] < 0:
        found = f"training process {first + 1} of {count} was killed by {signal.Signals(-codes[first]).name}"
        print(f"limelight: error: {found}; see whether its memory ran out, then {again}", file=sys.stderr)
        return 1
    if result.stderrs[first]:  # what the first process prints has been shown already
        sys.stderr.write(Path(result.stderrs[first]).read_text(encoding="utf-8", errors="replace"))
    return codes[first]


def follow_launcher() -> bool:
    """Whether `launch` started this process; it then ends when the launcher is gone, for nobody else would end it."""
    launcher = int(os.environ.get(LAUNCHER, 0))

    def watch() -> None:
        while os.getppid() == launcher:
            time.sleep(POLL_S)
        os._exit(LOST)

    if launcher:
        threading.Thread(target=watch, daemon=True).start()
    return launcher > 0
