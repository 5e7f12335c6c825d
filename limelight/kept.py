"""Answers that nothing but limelight's code and some words decide, kept in .snakemake/ from one command to the next.

Every call of snakemake, and every job of a cluster, takes the code apart for its hashes and measures the study's networks,
and many a stage asks CAMB for the same spectra: seconds each time, for the same answers. A changed line of code, or another
Python, torch or numpy, forgets them all.
"""

import contextlib
import functools
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path(".snakemake", "limelight")


def kept_arrays(question: object, package: str, answer: Callable[[], list[np.ndarray]]) -> list[np.ndarray]:
    """`kept` for float64 arrays that a package computes: they come back to the bit; another version of it is asked anew."""
    found = kept((question, package, version(package)), lambda: [array.tolist() for array in answer()])
    return [np.array(numbers, np.float64) for numbers in found]


def kept(question: object, answer: Callable[[], Any]) -> Any:
    """What `answer()` returned when it was asked this question before, or returns now: something that JSON can hold.

    Where there is no .snakemake/, nothing is kept.

    question: all that decides the answer beside the code: plain values and bytes.
    """
    if not FOLDER.parent.is_dir():
        return answer()
    file = FOLDER / code_of(ROOT) / hashlib.sha256(repr(question).encode()).hexdigest()[:24]
    with contextlib.suppress(OSError, ValueError):
        return json.loads(file.read_text(encoding="utf-8"))
    found = answer()
    with contextlib.suppress(OSError):  # a folder that cannot be written to costs time alone
        _write(file, json.dumps(found))
    return found


@functools.cache
def code_of(root: Path) -> str:
    """A hash of every file of code below the root, and of what runs it."""
    digest = hashlib.sha256(f"{sys.version} {version('torch')} {version('numpy')}".encode())
    for folder in ("limelight", "scripts"):
        for file in sorted((root / folder).rglob("*.py")):
            digest.update(f"{file.relative_to(root)}\n".encode() + file.read_bytes())
    return digest.hexdigest()[:24]


def _write(file: Path, text: str) -> None:
    """Whole or not at all; what older code answered goes."""
    if not file.parent.is_dir():
        for old in FOLDER.glob("*"):
            if old != file.parent:  # another process may have made it by now
                shutil.rmtree(old, ignore_errors=True)
        file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}")
    part.write_text(text, encoding="utf-8")
    os.replace(part, file)
