"""A lock of Snakemake goes only when the process that set it is dead; a killed run_study leaves nothing unseen."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from limelight.files import ROOT
from limelight.running import LOCKS, OWNER, at_work, free_stale_lock, lock_owner, record_owner

PATIENCE_S = 120  # for a busy machine: on a free one nothing here takes two seconds
SLEEPER = f"import time; time.sleep({5 * PATIENCE_S})"
# stands in for Snakemake: at work for a while, or until Ctrl-C
SNAKEMAKE = """import signal, sys, time
from pathlib import Path
if "--report" in sys.argv:
    Path(sys.argv[-1]).write_text("report")
    sys.exit()
try:
    Path("started").touch()
    while not Path("go").exists():
        time.sleep(0.02)
except KeyboardInterrupt:
    Path("interrupted").touch()
    sys.exit(1)
Path("done").touch()
"""


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    (tmp_path / LOCKS).mkdir(parents=True)
    (tmp_path / LOCKS / "0.output.lock").write_text("results/x.h5\n")
    return tmp_path


def is_locked(folder: Path) -> bool:
    return bool(list((folder / LOCKS).iterdir()))


@pytest.fixture
def snakemake(locked: Path) -> Iterator[subprocess.Popen]:
    """A living process in a locked folder that looks like Snakemake."""
    (locked / "bin").mkdir()
    (locked / "bin" / "snakemake").write_text(SLEEPER)
    process = subprocess.Popen([sys.executable, "bin/snakemake", "--cores", "1"], cwd=locked)
    yield process
    process.kill()
    process.wait()


def dead() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_lock_of_a_dead_process_goes(locked: Path):
    (locked / OWNER).write_text(f"{socket.gethostname()} {dead()} 1.0\n")
    free_stale_lock(locked)
    assert not is_locked(locked)


def test_so_does_one_of_a_number_that_another_process_has_now(locked: Path):
    (locked / OWNER).write_text(f"{socket.gethostname()} {os.getppid()} 1.0\n")
    free_stale_lock(locked)
    assert not is_locked(locked)


def test_one_of_a_living_process_or_of_another_host_stays(locked: Path):
    process = subprocess.Popen([sys.executable, "-c", SLEEPER])
    start = psutil.Process(process.pid).create_time()
    (locked / OWNER).write_text(f"{socket.gethostname()} {process.pid} {start:.2f}\n")
    free_stale_lock(locked)
    assert is_locked(locked)
    process.kill()
    process.wait()
    assert lock_owner(locked) == ""
    (locked / OWNER).write_text(f"elsewhere {dead()} 1.0\n")
    assert "on elsewhere" in free_stale_lock(locked)
    assert is_locked(locked)


def test_a_snakemake_that_has_not_yet_written_who_it_is_counts(locked: Path, snakemake: subprocess.Popen):
    deadline = time.monotonic() + PATIENCE_S
    while at_work(locked) is None and time.monotonic() < deadline:
        time.sleep(0.02)
    free_stale_lock(locked)
    assert is_locked(locked)
    assert at_work(locked).pid == snakemake.pid
    assert at_work(locked / "bin") is None
    snakemake.kill()
    snakemake.wait()
    free_stale_lock(locked)
    assert not is_locked(locked)


def test_the_record_is_of_this_process(tmp_path: Path):
    record_owner(tmp_path)
    host, pid, _ = (tmp_path / OWNER).read_text().split()
    assert (host, int(pid)) == (socket.gethostname(), os.getpid())
    assert lock_owner(tmp_path) == "", "we may go on"


FOLLOW = """import sys
from pathlib import Path
sys.path[:0] = [{root!r}, {scripts!r}]
import run_study
from limelight.errors import plain_errors
run_study.ROOT = Path(".").resolve()
with plain_errors(), run_study.only_run() as lock:
    sys.exit(run_study.follow([sys.executable, "bin/snakemake"], lock))
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("bin", "results"):
        (tmp_path / name).mkdir()
    (tmp_path / "bin" / "snakemake").write_text(SNAKEMAKE)
    return tmp_path


def follow(checkout: Path) -> subprocess.Popen:
    words = FOLLOW.format(root=str(ROOT), scripts=str(ROOT / "scripts"))
    return subprocess.Popen([sys.executable, "-c", words], cwd=checkout, stderr=subprocess.PIPE, text=True)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not path.exists():
        assert time.monotonic() < deadline, f"no {path}"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_what_ends_run_study_ends_its_snakemake(checkout: Path, number: signal.Signals):
    run = follow(checkout)
    wait_for(checkout / "started")
    run.send_signal(number)
    _, errors = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 130
    assert "run the same command again" in errors
    assert (checkout / "interrupted").exists()
    assert at_work(checkout) is None


def test_after_kill_9_the_same_command_says_who_works_and_waits(checkout: Path):
    run = follow(checkout)
    wait_for(checkout / "started")
    run.kill()
    run.wait()
    left = at_work(checkout)
    assert left, "Snakemake goes on"
    again = follow(checkout)
    assert (
        again.stderr.readline() == f"limelight: Snakemake, process {left.pid}, is at work here; waiting for it to end\n"
    )
    (checkout / "started").unlink()
    time.sleep(0.3)
    assert not (checkout / "started").exists(), "nothing starts beside it"
    (checkout / "go").touch()
    again.communicate(timeout=PATIENCE_S)
    assert again.returncode == 0
    assert (checkout / "started").exists(), "then it goes on"


def test_a_snakemake_that_somebody_else_started_is_named(checkout: Path):
    own = subprocess.Popen([sys.executable, "bin/snakemake"], cwd=checkout)
    wait_for(checkout / "started")
    run = follow(checkout)
    _, errors = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 1
    assert f"found Snakemake at work (process {own.pid})" in errors
    own.kill()
    own.wait()
