"""Files that are either whole or absent, and that say what they are.

Every file of a study is written under a temporary name in its own folder, fsynced and renamed. Every HDF5 file carries its
kind, format version and provenance in its attributes, and is refused on reading with one clear line when it is missing,
truncated, of another kind, or lacks a dataset.
"""

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np

from limelight import __version__
from limelight.errors import problem

FORMAT_VERSION = 1


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success fsync it and rename it to `path`, on any error remove it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_orphans(path)
    part = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.part")
    try:
        yield part
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        part.unlink(missing_ok=True)


def _remove_orphans(path: Path) -> None:
    """Delete the temporary files that a killed process of this host left for the same target."""
    host = socket.gethostname()
    for part in path.parent.glob(f".{path.name}.{host}.*.part"):
        pid = part.name.split(".")[-2]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            part.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")


@functools.lru_cache(maxsize=1)
def git_commit() -> str:
    """The commit of the checkout this package runs from, or 'unknown' outside one."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return answer.stdout.strip() if answer.returncode == 0 else "unknown"


@functools.lru_cache(maxsize=1)
def library_versions() -> str:
    """Versions of Python and of the libraries that decide the numbers, as one line."""
    names = ("numpy", "scipy", "torch", "h5py", "astropy", "camb", "colossus")
    versions = [f"{name} {importlib.metadata.version(name)}" for name in names]
    return ", ".join([f"python {platform.python_version()}", *versions])


def settings_hash(settings: object) -> str:
    """A short hash of any JSON-able settings; key order does not matter."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def provenance(settings: object, seed: int) -> dict[str, object]:
    """Attributes that every output carries: what made it, from which settings, with which code and libraries."""
    return {
        "limelight_version": __version__,
        "git_commit": git_commit(),
        "libraries": library_versions(),
        "config_hash": settings_hash(settings),
        "settings": json.dumps(settings, sort_keys=True),
        "seed": int(seed),
    }


@contextlib.contextmanager
def write_hdf5(path: str | Path, kind: str, attributes: dict[str, object]) -> Iterator[h5py.File]:
    """Yield an HDF5 file open for writing that appears at `path` only when whole. Dicts in `attributes` become JSON."""
    with atomic_path(path) as part, h5py.File(part, "w", libver=("v110", "v110")) as file:
        file.attrs["limelight_kind"] = kind
        file.attrs["limelight_format"] = FORMAT_VERSION
        for name, value in attributes.items():
            file.attrs[name] = (
                json.dumps(value, sort_keys=True) if isinstance(value, dict | list | tuple) else value
            )
        yield file


@contextlib.contextmanager
def read_hdf5(path: str | Path, kind: str, datasets: Sequence[str] = ()) -> Iterator[h5py.File]:
    """Yield a checked HDF5 file of the given kind, open for reading.

    Raises LimelightError when it is missing, not HDF5, truncated, of another kind or format, or lacks a dataset.
    """
    path = Path(path)
    if not path.is_file():
        raise problem(path, "no such file", f"a {kind} file", f"run the stage that writes it (snakemake {path})")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise problem(
            path, f"an unreadable file ({error})", f"an HDF5 {kind} file", "delete it and run its stage again"
        ) from None
    with file:
        found = file.attrs.get("limelight_kind", "an HDF5 file that limelight did not write")
        if found != kind:
            raise problem(path, f"kind '{found}'", f"kind '{kind}'", "give the file of the right stage")
        version = int(file.attrs.get("limelight_format", 0))
        if version != FORMAT_VERSION:
            raise problem(path, f"format {version}", f"format {FORMAT_VERSION}", "make it again with this limelight")
        for name in datasets:
            if name not in file:
                raise problem(
                    path, f"no dataset '{name}'", f"datasets {', '.join(datasets)}", "delete it and run its stage again"
                )
        try:
            yield file
        except OSError as error:  # a damaged chunk shows only when it is read
            if error.errno is not None:
                raise
            raise problem(
                path, f"damaged data ({error})", "a whole file", "delete it and run its stage again"
            ) from None


def attribute(file: h5py.File, name: str) -> object:
    """An attribute of a limelight file, JSON undone; LimelightError when absent."""
    if name not in file.attrs:
        raise problem(file.filename, f"no attribute '{name}'", "a complete limelight file", "make it again")
    value = file.attrs[name]
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, str) and value[:1] in "{[":
        return json.loads(value)
    return value.item() if isinstance(value, np.generic) else value


def check_finite(array: np.ndarray, where: object) -> np.ndarray:
    """Return the array if it holds finite numbers only; otherwise say how many are not."""
    bad = int(array.size - np.count_nonzero(np.isfinite(array)))
    if bad:
        raise problem(
            where, f"{bad} of {array.size} values NaN or infinite", "finite numbers", "mend or remake the file"
        )
    return array
