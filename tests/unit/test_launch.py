"""The launcher's exit code and its words for whatever ends its processes. They are tiny here and train nothing."""

import os
import signal
import sys

import pytest

from limelight.training.launch import launch

PROCESS = """
import os, signal, sys, time
rank, folder = int(os.environ["RANK"]), sys.argv[1]

def stop(number, frame):
    time.sleep(0.5 * (rank == 0))  # the first process writes a checkpoint, the other has nothing to do
    sys.exit([130 if number == signal.SIGINT else 75, 0][rank])

def ask_launcher(number):
    open(f"{folder}/ready-{rank}", "w").close()
    while rank and not os.path.exists(f"{folder}/ready-0"):
        time.sleep(0.01)
    if rank:
        os.kill(os.getppid(), number)
    time.sleep(60)

"""
TIME_LIMIT_S = 20  # much less than the processes sleep
LOST = "sys.exit(74) if rank == {} else time.sleep(60)"


@pytest.fixture
def launched(tmp_path, monkeypatch, capfd):
    """A function from the text of a process to (exit code of two of them, what was printed on stderr)."""
    monkeypatch.setattr(os, "environ", {**os.environ})
    before = [(number, signal.getsignal(number)) for number in (signal.SIGQUIT, signal.SIGALRM)]

    def too_late(number, frame):
        raise TimeoutError

    signal.signal(signal.SIGALRM, too_late)
    signal.alarm(TIME_LIMIT_S)

    def run(process: str) -> tuple[int, str]:
        (tmp_path / "ready-0").unlink(missing_ok=True)
        script = tmp_path / "process.py"
        script.write_text(PROCESS + process)
        monkeypatch.setattr(sys, "argv", [str(script), str(tmp_path)])
        return launch(2), capfd.readouterr().err

    yield run
    signal.alarm(0)
    for number, handler in before:
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("name", "code_with_checkpoint", "code_without"), [("SIGTERM", 75, 143), ("SIGUSR1", 75, 138), ("SIGINT", 130, 130)]
)
def test_a_signal_to_the_launcher_reaches_the_processes_and_decides_its_exit_code(
    launched, name, code_with_checkpoint, code_without
):
    handled = f"signal.signal(signal.{name}, stop); ask_launcher(signal.{name})"
    assert launched(handled) == (code_with_checkpoint, "")
    assert launched(f"signal.signal(signal.{name}, signal.SIG_DFL); ask_launcher(signal.{name})") == (code_without, "")


@pytest.mark.parametrize(
    ("process", "code", "said"),
    [
        ("print('both say so', file=sys.stderr)", 0, "both say so"),  # but the first alone is heard
        ("if rank: sys.exit('a fault of the second')\ntime.sleep(60)", 1, "a fault of the second"),
        ("if not rank: sys.exit('a fault of the first')\ntime.sleep(60)", 1, "a fault of the first"),
        ("os.kill(os.getpid(), signal.SIGSEGV) if rank else sys.exit(74)", 1, "process 2 of 2 was killed by SIGSEGV"),
        ("os.kill(os.getpid(), signal.SIGTERM) if rank else time.sleep(60)", 1, "process 2 of 2 was killed by SIGTERM"),
        (LOST.format(0), 1, "the 2 training processes lost each other"),
        (LOST.format(1), 1, "the 2 training processes lost each other"),
    ],
)
def test_the_process_that_failed_first_is_named_in_one_line_and_nothing_waits(launched, process, code, said):
    found = launched(process)
    assert found[0] == code
    assert said in found[1]
    assert found[1].count("\n") == 1
