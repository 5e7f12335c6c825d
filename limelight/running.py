"""Which Snakemake works in a folder, so that a lock is taken away only when the one that set it is dead.

Snakemake's lock, the files below .snakemake/locks, says neither host nor process. So each run writes down who it is once it
holds the lock; between these two moments only a look at this host's processes can tell.
"""

import contextlib
import os
import socket
from pathlib import Path

import psutil

from limelight.files import write_text

LOCKS, OWNER = ".snakemake/locks", ".snakemake/limelight-owner"
NO_RUN = ("--mode", "--dry-run", "--dryrun", "-n", "--unlock", "--report", "--lint")  # those take no lock


def record_owner(folder: Path) -> None:
    """Write down that this process runs Snakemake in a folder."""
    write_text(folder / OWNER, f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time():.2f}\n")


def free_stale_lock(folder: Path) -> str:
    """Take away the lock that a killed Snakemake left in a folder; or say whose it is, if that one lives or may live."""
    locks = list((folder / LOCKS).glob("*"))
    owner = lock_owner(folder) if locks else ""
    for lock in [] if owner else locks:
        lock.unlink(missing_ok=True)
    return owner


def lock_owner(folder: Path) -> str:
    """Who lives, or may live, of those that set a folder's lock, in words; empty where they are known to be dead."""
    process = at_work(folder)
    if process:
        return f"Snakemake (process {process.pid} on this host)"
    with contextlib.suppress(FileNotFoundError, ValueError):
        host, pid, start = (folder / OWNER).read_text(encoding="utf-8").split()
        if host != socket.gethostname():
            return f"Snakemake (process {pid} on {host})"
        with contextlib.suppress(psutil.NoSuchProcess):
            if abs(psutil.Process(int(pid)).create_time() - float(start)) < 1 and int(pid) != os.getpid():
                return f"Snakemake (process {pid} on this host)"
    return ""


def at_work(folder: Path) -> psutil.Process | None:
    """A Snakemake of this host that makes files in a folder; neither this process nor one that it was started by."""
    process = psutil.Process()
    own = {process.pid, *(parent.pid for parent in process.parents())}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid not in own and _runs_jobs(process.cmdline()) and Path(process.cwd()) == folder.resolve():
                return process
    return None


def _runs_jobs(words: list[str]) -> bool:
    """Whether a command line is that of a Snakemake that runs jobs of its own."""
    return any(Path(word).name == "snakemake" for word in words[:3]) and not set(words) & set(NO_RUN)
