"""Start the processes of a data-parallel training on this machine, and end with them."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

STOPPED, LOST = 75, 74  # exit codes: a checkpoint is written, run again; another process is gone
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
MARK = "LIMELIGHT_LAUNCHED"
POLL_S = 0.05
GRACE_S = 10.0  # that the others have, when they were asked to stop and one of them failed


def launch(count: int) -> int:
    """Run this very command as `count` processes and return the exit code for all of them.

    They get torchrun's environment variables. Stop signals are handed on; when one process dies, the others are ended at
    once (only the first writes, and it writes whole files). What the others say is shown only where one of them failed.
    """
    asked: list[int] = []
    before = [signal.signal(number, lambda number, frame: asked.append(number)) for number in STOP_SIGNALS]
    with socket.socket() as probe:  # any free port
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, MARK: 1}
    if sys.platform == "linux":
        shared["GLOO_SOCKET_IFNAME"] = "lo"  # all are on this machine, whatever its name resolves to
    said = [None, *(tempfile.TemporaryFile("w+") for _ in range(1, count))]  # noqa: SIM115 - read again below
    workers = []
    for rank in range(count):
        own = {"RANK": rank, "LOCAL_RANK": rank, **shared}
        environment = {**os.environ, **{key: str(value) for key, value in own.items()}}
        command = [sys.executable, *sys.argv]
        workers.append(subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stderr=said[rank]))
    try:
        codes = _wait(workers, asked)
    finally:
        for number, handler in zip(STOP_SIGNALS, before, strict=True):
            signal.signal(number, handler)
    return _verdict(codes, asked, said)


def _wait(workers: list[subprocess.Popen], asked: list[int]) -> list[int]:
    """Exit codes of the processes when all have ended by themselves or one has failed; of the rest then None."""
    handed_on, patience = 0, GRACE_S
    while True:
        codes = [worker.poll() for worker in workers]
        if any(code not in (None, 0, STOPPED, 130) for code in codes):
            patience = patience - POLL_S if asked else 0
        if patience <= 0 or None not in codes:
            break
        for number in asked[handed_on:]:
            for worker in workers:
                if worker.poll() is None:
                    worker.send_signal(number)
            handed_on += 1
        time.sleep(POLL_S)
    for worker in workers:
        if worker.poll() is None:
            worker.kill()
        worker.wait()
    return codes


def _verdict(codes: list[int | None], asked: list[int], said: list) -> int:
    if not any(codes):
        return 0
    for code in (STOPPED, 130):
        if code in codes:
            return code
    if asked:
        return 128 + asked[0]  # stopped before there was anything to keep
    count = len(codes)
    for rank, code in enumerate(codes):
        if code is not None and code < 0:
            how = f"training process {rank + 1} of {count} was killed by {signal.Signals(-code).name}"
            fix = "see whether its memory ran out, then run the same command again: it goes on from the last checkpoint"
            print(f"limelight: error: {how}; {fix}", file=sys.stderr)
            return 1
    causes = [rank for rank, code in enumerate(codes) if code not in (None, 0, LOST)]
    if not causes:
        fix = "run the same command again: it goes on from the last checkpoint"
        print(f"limelight: error: the {count} training processes lost each other; {fix}", file=sys.stderr)
        return 1
    if causes[0] > 0:  # what the first process says has been shown already
        said[causes[0]].seek(0)
        sys.stderr.write(said[causes[0]].read())
    return codes[causes[0]]


def follow_launcher() -> bool:
    """Whether `launch` started this process; it then ends when the launcher is gone, for nobody else would end it."""
    if MARK not in os.environ:
        return False

    def watch() -> None:
        os.read(0, 1)  # the launcher never writes: this returns when its end of the pipe closes
        os._exit(LOST)

    threading.Thread(target=watch, daemon=True).start()
    return True
