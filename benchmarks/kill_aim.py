"""Aim of the kill harness: which processes of a study live, and a SIGKILL for one of them, also while it writes a file."""

import contextlib
import ctypes
import os
import random
import re
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.pipeline.checkout import Checkout

PART = re.compile(r"\.(?P<file>.+\.(h5|pt))\..*\.(?P<pid>\d+)\.part")  # limelight.files.atomic_path
# kinds of folders in which stages write HDF5 and torch files, below results/<study>
WRITTEN = ("lightcones", "subfields", "maps", "shards", "checkpoints", "networks", "evaluation")
WRITERS_S = 15.0  # how long a script that writes is waited for
OFTEN = {"trainer": 2.0, "writer": 3.0}  # kinds that are hit this many times as often as others
IN_MODIFY, IN_CREATE, EVENT = 0x2, 0x100, struct.Struct("iIII")


def processes(root: Path) -> dict[str, list[psutil.Process]]:
    """The living processes at work in a checkout, by kind."""
    found = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if Path(process.cwd()) != root or not process.name().startswith("python"):
                continue
            words = process.cmdline()
            script = script_name(words)
            if script == "run_study.py":
                kind = "study"
            elif script:
                kind = "trainer" if script == "train_network.py" else "stage"
            elif any("snakemake" in word for word in words[:3]) and "--unlock" not in words:
                kind = "job" if "--mode" in words else "workflow"
            else:
                continue
            found.setdefault(kind, []).append(process)
    return found


def script_name(words: list[str]) -> str:
    """The script of scripts/ that a command line runs, or an empty string."""
    return next((Path(word).name for word in words[1:3] if word.startswith("scripts/")), "")


def strike(checkout: Checkout, dice: random.Random, tries: dict[str, int], folders: list[str]) -> dict | None:
    """SIGKILL one process of the study, of the kind tried least so far; what was hit, or None where nothing was.

    tries: by kind, so far; counted on. folders: kinds of folders whose writers were hit already; others are preferred.
    """
    alive = processes(checkout.root)
    if not alive:
        return None
    kind = min(sorted([*alive, "writer"]), key=lambda kind: (tries.get(kind, 0) / OFTEN.get(kind, 1), dice.random()))
    tries[kind] = tries.get(kind, 0) + 1
    if kind == "writer":
        return strike_writer(checkout, dice, folders)
    victim = dice.choice(sorted(alive[kind], key=lambda process: process.pid))
    with contextlib.suppress(psutil.NoSuchProcess):
        name = script_name(victim.cmdline()) or "snakemake"
        hit = [victim]
        if kind == "study":  # its Snakemake goes on
            hit = []
        if kind in ("workflow", "job"):  # the stages below it run again; a trainer's orphan goes on and keeps its work
            hit = [child for child in victim.children(recursive=True) if child in alive.get("stage", [])]
        lost = sum(unsaved_s(process, checkout) for process in hit)
        victim.kill()
        return {"kind": kind, "process": name, "repeated_s": round(lost, 1)}
    return None


def strike_writer(checkout: Checkout, dice: random.Random, folders: list[str]) -> dict | None:
    """SIGKILL a script amid the writing of an HDF5 or torch file: when its temporary file appears, or at its first change.

    A hit counts as one where the temporary file is left behind, so that the file was not yet renamed.
    """
    deadline, changes, wanted = time.monotonic() + WRITERS_S, {}, dice.randrange(1, 3)
    with watched(checkout.results) as next_change:
        while time.monotonic() < deadline:
            folder, name = next_change(0.5)
            found, kind = PART.fullmatch(name), folder.relative_to(checkout.results).parts[0] if name else ""
            patient = time.monotonic() < deadline - WRITERS_S / 2
            if not found or (kind in folders and patient):
                continue
            changes[name] = changes.get(name, 0) + 1
            if changes[name] < wanted:
                continue
            with contextlib.suppress(psutil.NoSuchProcess):
                victim = psutil.Process(int(found["pid"]))
                script, lost = script_name(victim.cmdline()), unsaved_s(victim, checkout)
                victim.kill()
                psutil.wait_procs([victim], timeout=10)
                if not (folder / name).exists():  # renamed in the last moment
                    return {"kind": "stage", "process": script, "repeated_s": round(lost, 1)}
                folders.append(kind)
                size = (folder / name).stat().st_size
                words = f"{script} in {kind}/{found['file']} ({size} bytes)"
                return {"kind": "writer", "process": words, "repeated_s": round(lost, 1)}
    return None


@contextlib.contextmanager
def watched(results: Path) -> Iterator:
    """A function of a time limit (seconds): the next file made or changed in a folder of WRITTEN as (folder, name), or with
    an empty name where none comes.

    Folders that do not exist yet are not watched. By Linux's inotify, and before all other processes, for a write may take a
    few milliseconds.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    handle, events = libc.inotify_init1(os.O_NONBLOCK), []
    folders = {}
    for folder in (
        path for kind in WRITTEN for path in (results / kind, *(results / kind).rglob("*")) if path.is_dir()
    ):
        folders[libc.inotify_add_watch(handle, os.fsencode(folder), IN_CREATE | IN_MODIFY)] = folder
    nice = os.getpriority(os.PRIO_PROCESS, 0)

    def next_change(limit_s: float) -> tuple[Path, str]:
        deadline = time.monotonic() + limit_s
        while not events:
            with contextlib.suppress(BlockingIOError):
                content = os.read(handle, 65536)
                while content:
                    number, _, _, length = EVENT.unpack_from(content)
                    name = content[EVENT.size : EVENT.size + length].rstrip(b"\0")
                    events.append((folders[number], os.fsdecode(name)))
                    content = content[EVENT.size + length :]
                continue
            if time.monotonic() > deadline:
                return results, ""
            time.sleep(0.0005)
        return events.pop(0)

    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -15)
    try:
        yield next_change
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
        os.close(handle)


def unsaved_s(process: psutil.Process, checkout: Checkout) -> float:
    """Seconds of work of a script that its death loses."""
    start = process.create_time()
    if script_name(process.cmdline()) == "train_network.py":
        written = [path.stat().st_mtime for path in (checkout.results / "checkpoints").rglob("epoch-*.pt")]
        start = max([start, *written])
    return max(0.0, time.time() - start)
