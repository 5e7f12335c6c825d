"""Files that are either whole or absent, and that say what they are.

Every file of a study is written under a temporary name in its own folder, fsynced and renamed. Every HDF5 file carries its
kind, format version and provenance in its attributes, and is refused on reading with one clear line when it is missing,
truncated, of another kind, or lacks a dataset.
"""

import contextlib
import csv
import errno
import fcntl
import glob
import hashlib
import io
import json
import os
import re
import socket
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np

from limelight import __version__
from limelight.errors import FULL, problem, reading
from limelight.section import plain
from limelight.versions import git_commit, library_versions

FORMAT_VERSION = 1
# Bytes before what HDF5 reads, where an HDF5 file of limelight holds its seal: a checksum of all the rest
USER_BLOCK = 512
SEAL = b"limelight crc32 "
LARGE = 1 << 24  # bytes from which on a file has no seal, as it would be read twice; its large arrays have checksums
ORPHAN_DAYS = 7
AGAIN = "delete it and run its stage again"
ROOT = Path(__file__).resolve().parents[1]
MOST_PACKED = 1100  # bytes that one byte of a compressed file can stand for at most: of gzip, 1032
FAILED_WRITE = re.compile(r"file write failed.*?errno = (\d+)", re.DOTALL)
HDF5_FAULT = re.compile(r"(unable to|can't|couldn't|failed|invalid|bad |not found|wrong)", re.IGNORECASE)


def resource_path(name: str) -> Path:
    """A file of `resources/`: inside the installed package, or beside it in a checkout."""
    inside = Path(__file__).parent / "resources" / name
    return inside if inside.exists() else ROOT / "resources" / name


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success fsync it and rename it to `path`, on any error remove it."""
    path = Path(path)
    if not path.name or path.is_dir():
        raise problem(path, "a folder", "the name of a file to write", "name a file in it")
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
    except OSError as error:
        if error.filename == str(part) or (error.filename is None and error.errno in FULL):
            error.filename, error.filename2 = str(path), None  # what the user asked for, not our temporary name
        raise
    finally:
        part.unlink(missing_ok=True)


def _remove_orphans(path: Path) -> None:
    """Delete the temporary files that killed processes left for the same target.

    Of this host: those whose process is gone. Of other hosts, where that cannot be known: those untouched for days.
    """
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        host, _, pid = part.name[len(path.name) + 2 : -len(".part")].rpartition(".")
        if not host or not pid.isdigit():
            continue
        with contextlib.suppress(FileNotFoundError):  # another process may clean up at the same time
            days = (time.time() - part.stat().st_mtime) / 86400
            if not _alive(int(pid)) if host == socket.gethostname() else days > ORPHAN_DAYS:
                part.unlink()


def _alive(pid: int) -> bool:
    """Whether a process of this host runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")


def csv_text(table: dict[str, Sequence] | list[dict], digits: int, columns: Sequence[str] | None = None) -> str:
    """A table as CSV, from its columns or its rows, by name.

    Floats have `digits` significant digits. NaN, None and what a row lacks are empty fields. columns: which, in this order
    (default: all, as they come).
    """

    def text(value: object) -> str:
        if value is None or value != value:
            return ""
        return f"{value:.{digits}g}" if isinstance(value, float | np.floating) else str(value)

    if isinstance(table, dict):
        names, rows = list(table), [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    else:
        names, rows = list(dict.fromkeys(name for row in table for name in row)), table
    names = list(columns or names)
    made = io.StringIO()
    writer = csv.writer(made, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([text(row.get(name)) for name in names] for row in rows)
    return made.getvalue()


def write_csv(
    path: str | Path, table: dict[str, Sequence] | list[dict], digits: int, columns: Sequence[str] | None = None
) -> None:
    """Write a table of `csv_text` atomically."""
    write_text(path, csv_text(table, digits, columns))


def read_csv(path: str | Path, kind: str) -> dict[str, np.ndarray]:
    """The columns of a CSV file by name: float64 where all fields are numbers or empty (NaN), else text.

    Raises LimelightError when the file is missing, is not text, or has rows of other lengths than its first line.
    """
    path = Path(path)
    if not path.is_file():
        raise problem(path, "no such file", kind, "check the path")
    try:
        with open(path, encoding="utf-8", newline="") as file:
            names, *rows = csv.reader(file)
        columns = list(zip(names, *rows, strict=True))
    except (ValueError, csv.Error) as error:
        raise problem(path, f"something else ({error})", kind, "give the right file, or make it again") from None
    return {name: _numbers_or_text(fields) for name, *fields in columns}


def _numbers_or_text(fields: list[str]) -> np.ndarray:
    try:
        return np.array([float(field or "nan") for field in fields])
    except ValueError:
        return np.array(fields)


def settings_hash(settings: object) -> str:
    """A short hash of settings: sections, dataclasses, or what JSON knows. The order of keys does not matter."""
    text = json.dumps(plain(settings), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def provenance(settings: object, seed: int) -> dict[str, object]:
    """Attributes that every output carries: what made it, from which settings, with which code and libraries."""
    return {
        "limelight_version": __version__,
        "git_commit": git_commit(),
        "libraries": library_versions(),
        "config_hash": settings_hash(settings),
        "settings": json.dumps(plain(settings), sort_keys=True),
        "seed": int(seed),
    }


@contextlib.contextmanager
def write_hdf5(
    path: str | Path, kind: str, attributes: dict[str, object], in_memory: bool = False
) -> Iterator[h5py.File]:
    """Yield an HDF5 file open for writing that appears at `path` only when whole. Dicts, lists, sections and dataclasses in
    `attributes` become JSON.

    in_memory: build the file in memory and write it at once. For small files of many objects: HDF5 may crash when the disk
    fills up between them.
    """
    with atomic_path(path) as part, _one_error_is_enough():
        part.touch()  # the system says more clearly than HDF5 why a file cannot be made
        target = io.BytesIO() if in_memory else part
        try:
            with h5py.File(target, "w", libver=("v110", "v110"), userblock_size=USER_BLOCK) as file:
                file.attrs["limelight_kind"] = kind
                file.attrs["limelight_format"] = FORMAT_VERSION
                for name, value in plain(attributes).items():
                    is_json = isinstance(value, dict | list | tuple)
                    file.attrs[name] = json.dumps(value, sort_keys=True) if is_json else value
                yield file
            if in_memory:
                part.write_bytes(target.getvalue())
            seal(part)
        except (OSError, RuntimeError) as error:  # HDF5 tells of a full disk in several ways, some only when it closes
            failed = FAILED_WRITE.search(str(error))
            if not failed:
                if "lock file" in str(error):
                    refuse_unread(path, error)
                raise
            raise OSError(int(failed[1]), os.strerror(int(failed[1])), str(path)) from None


@contextlib.contextmanager
def _one_error_is_enough() -> Iterator[None]:
    """Keep h5py from printing two tracebacks for every object that it frees after a write failed (a full disk)."""
    uncaught, unraisable = sys.excepthook, sys.unraisablehook

    def on_uncaught(kind, error, trace) -> None:
        if not FAILED_WRITE.search(str(error)):
            uncaught(kind, error, trace)

    def on_unraisable(what) -> None:
        if not FAILED_WRITE.search(str(what.exc_value)):
            unraisable(what)

    sys.excepthook, sys.unraisablehook = on_uncaught, on_unraisable
    try:
        yield
    finally:
        sys.excepthook, sys.unraisablehook = uncaught, unraisable


@contextlib.contextmanager
def read_hdf5(path: str | Path, kind: str, datasets: Sequence[str] = ()) -> Iterator[h5py.File]:
    """Yield a checked HDF5 file of the given kind, open for reading.

    Raises LimelightError when it is missing, not HDF5, truncated, of another kind or format, or lacks a dataset.
    """
    path = Path(path)
    with open_hdf5(path, kind) as file:
        try:
            _check_kind(file, path, kind, datasets)
            yield file
        except (OSError, RuntimeError, KeyError, ValueError) as error:  # damage inside shows only when it is read
            if not _from_hdf5(error):
                raise
            if isinstance(error, OSError):
                refuse_unread(path, error)
            raise problem(path, f"damaged data ({error})", "a whole file", AGAIN) from None


@contextlib.contextmanager
def open_hdf5(path: str | Path, kind: str = "HDF5") -> Iterator[h5py.File]:
    """Yield an HDF5 file of whatever kind, open for reading; kind: what the user is told that it should be.

    Raises LimelightError when it is missing, no whole HDF5 file, not as it was written, or locked; OSError when the system
    cannot read it.
    """
    path = Path(path)
    if not path.is_file():
        article = "an" if kind == "HDF5" else "a"
        fix = f"check the path, or run the stage that writes it (snakemake {path})"
        raise problem(path, "no such file", f"{article} {kind} file", fix)
    _check_seal(path, kind)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        refuse_unread(path, error)
        expected = "an HDF5 file" if kind == "HDF5" else f"an HDF5 {kind} file"
        fix = f"give the right file, or a whole copy; if limelight wrote it, {AGAIN}"
        raise problem(path, f"an unreadable file ({error})", expected, fix) from None
    with file:
        yield file


def seal(path: Path) -> None:
    """Write the checksum of an HDF5 file into its user block."""
    if path.stat().st_size < LARGE:
        with open(path, "rb+") as file:
            file.seek(USER_BLOCK)
            words = _seal_of(file.read())
            file.seek(0)
            file.write(words)


def _check_seal(path: Path, kind: str) -> None:
    """Refuse a sealed file that was damaged, before HDF5 looks at it: of some damage it never comes back."""
    if path.stat().st_size >= LARGE:
        return
    with open(path, "rb") as file:
        begin, rest = file.read(USER_BLOCK), file.read()
        if not begin.startswith(SEAL) or begin.startswith(_seal_of(rest)):
            return
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # as HDF5 does: whoever has it open may be changing it
        except BlockingIOError as error:
            refuse_unread(path, OSError(error.errno, "unable to lock file"))
        except OSError:  # a file system without locks
            pass
    found = "a file that was cut short, damaged or edited (its checksum is another)"
    raise problem(path, found, f"a whole {kind} file", AGAIN)


def _seal_of(content: bytes) -> bytes:
    return SEAL + b"%08x\n" % zlib.crc32(content)


def refuse_unread(path: str | Path, error: OSError) -> None:
    """Raise what kept the system from reading a file, if that is what an error of HDF5 says; its bytes may be sound then."""
    if error.errno in (None, errno.EINVAL):  # HDF5 read the bytes and they are wrong, or they name places that are none
        return
    if "lock file" not in str(error):
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from None
    if error.errno in (errno.EAGAIN, errno.EACCES):
        fix = "wait for that process or end it; if there is none, set HDF5_USE_FILE_LOCKING=FALSE"
        raise problem(path, "a file that another process has open for writing", "one that can be read", fix) from None
    found = f"a file system that cannot lock it ({os.strerror(error.errno)})"
    raise problem(path, found, "one with locks", "set HDF5_USE_FILE_LOCKING=FALSE (docs/files.md)") from None


def _check_kind(file: h5py.File, path: Path, kind: str, datasets: Sequence[str]) -> None:
    """Refuse a file of another kind or format, or without the datasets (or groups)."""
    found = file.attrs.get("limelight_kind", "an HDF5 file that limelight did not write")
    if str(found) != kind:
        raise problem(path, f"kind '{found}'", f"kind '{kind}'", "give the file of the right stage")
    version = file.attrs.get("limelight_format", "unknown")
    if str(version) != str(FORMAT_VERSION):
        raise problem(path, f"format {version}", f"format {FORMAT_VERSION}", "make it again with this limelight")
    with reading(path, f"a whole {kind} file", "delete it and run its stage again"):
        file.visititems(refuse_unbounded)
    for name in datasets:
        if name not in file:
            expected = f"datasets {', '.join(datasets)}"
            raise problem(path, f"no dataset '{name}'", expected, "delete it and run its stage again")


def refuse_unbounded(name: str, item: h5py.Dataset | h5py.Group) -> None:
    """Refuse a dataset that claims more bytes than its file can hold: reading it would take all memory."""
    if isinstance(item, h5py.Dataset) and item.size:
        most = MOST_PACKED * max(item.file.id.get_filesize(), 4096)
        if item.size * item.dtype.itemsize > most:
            raise ValueError(f"dataset {name} of shape {item.shape} in a file that can hold {most} bytes at most")


def _from_hdf5(error: Exception) -> bool:
    """Whether an exception came out of the HDF5 library (h5py's compiled part) and not of what was done with the data."""
    trace = error.__traceback__
    while trace.tb_next:
        trace = trace.tb_next
    return "h5py" in Path(trace.tb_frame.f_code.co_filename).parts and HDF5_FAULT.search(str(error)) is not None


def attribute(file: h5py.File, name: str) -> object:
    """An attribute of a limelight file, JSON undone; LimelightError when absent or unreadable."""
    if name not in file.attrs:
        raise problem(file.filename, f"no attribute '{name}'", "a complete limelight file", "make it again")
    value = file.attrs[name]
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except json.JSONDecodeError as error:
            raise problem(file.filename, f"attribute '{name}' damaged ({error})", "JSON", "make it again") from None
    return value.item() if isinstance(value, np.generic) else value


def check_finite(array: np.ndarray, where: object) -> np.ndarray:
    """Return the array if it holds finite numbers only; otherwise say how many are not."""
    if array.dtype.kind not in "fiub":
        raise problem(where, f"values of type {array.dtype}", "numbers", "mend or remake the file")
    bad = int(array.size - np.count_nonzero(np.isfinite(array)))
    if bad:
        raise problem(
            where, f"{bad} of {array.size} values NaN or infinite", "finite numbers", "mend or remake the file"
        )
    return array
