"""The one kind of error a user is meant to see, and the edge of a script where it becomes one line."""

import contextlib
import errno
import functools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

EXTRAS = {
    "asdf": "formats",
    "blosc": "formats",
    "captum": "saliency",
    "ducc0": "cmb",
    "lenstronomy": "lenses",
    "nflows": "inference",
    "pyarrow": "formats",
    "pyro": "hmc",
    "reproject": "maps",
    "sbi": "inference",
    "tensorboard": "tensorboard",
}  # package: its extra
LATE = ("numba",)  # needed, but imported late: a checkout may have moved on from what was installed
NAMED = {"pyro": "pyro-ppl"}  # where a package is installed by another name
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no room: the disk's, the quota's, or the limit on a file's size


class LimelightError(Exception):
    """A problem the user can mend. The message is one line: where, what was found, what was expected, what to do.

    Of several faults at once (those of a config) it has one line for each.
    """


def problem(where: object, found: str, expected: str, fix: str) -> LimelightError:
    """Build the error every check in limelight raises.

    where: the file, config key or array; found, expected: facts; fix: an imperative.
    """
    parts = (" ".join(str(part).split()) for part in (where, found, expected, fix))
    return LimelightError("{}: found {}; expected {}; {}".format(*parts))


@contextlib.contextmanager
def reading(path: object, expected: str, fix: str = "copy the file again, or make it again") -> Iterator[None]:
    """Around what reads a file, whose bytes may be anything: whatever goes wrong is one line that names the file.

    Libraries answer damage with almost any exception. What the system says (no permission, no disk) stays as it is.
    """
    try:
        yield
    except LimelightError as error:  # what was found deep inside a file may not say where
        if str(path) in str(error) or "\n" in str(error):
            raise
        raise LimelightError(f"{path}: {error}") from None
    except ModuleNotFoundError:
        raise
    except MemoryError as error:
        found = f"more data than memory holds ({error})" if str(error) else "more data than memory holds"
        raise problem(path, found, f"{expected} of possible shapes", fix) from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        words = " ".join(str(error).split())[:160]
        raise problem(path, f"a truncated or damaged file ({type(error).__name__}: {words})", expected, fix) from None


def one_line(expected: str) -> Callable[[Callable], Callable]:
    """Decorates a reader, whose first argument is a file, with `reading`. expected: what the file should be."""

    def decorate(read: Callable) -> Callable:
        @functools.wraps(read)
        def guarded(path, *args, **kwargs):
            with reading(path, expected):
                return read(path, *args, **kwargs)

        return guarded

    return decorate


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what can go wrong at a script's edge into one line per fault on stderr and a non-zero exit, without a traceback.

    Faults of limelight itself (any other exception) keep their traceback: those are for us to read.
    """
    try:
        yield
        sys.stdout.flush()  # a reader that went away shows here, not while Python shuts down
    except LimelightError as error:
        _stop(*str(error).splitlines())
    except KeyboardInterrupt:
        _stop("interrupted; finished files are kept, run the same command again to go on", code=130)
    except BrokenPipeError:
        os._exit(128 + signal.SIGPIPE)  # the reader of our output went away (`| head`): nobody to say it to
    except MemoryError as error:
        _stop(f"out of memory ({error}); give the job more memory, or a smaller map, batch or light-cone")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in (*EXTRAS, *LATE):
            raise
        expected = f"the packages of the extra '{EXTRAS[package]}'" if package in EXTRAS else "what limelight needs"
        _stop(str(problem(package, "it not installed", expected, f"pip install {NAMED.get(package, package)}")))
    except OSError as error:
        if error.errno is None:
            raise
        where = error.filename or "a file"
        if error.errno in FULL:
            limit = (
                "it would pass the limit on the size of a file" if error.errno == errno.EFBIG else "the disk is full"
            )
            line = f"{where}: {limit}; free space and run the same command again (nothing half-written is kept)"
            _stop(line, at_once=True)  # at Python's end HDF5 would crash over the file that it could not finish
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            _stop(f"{where}: {error.strerror}; choose a place you may write to, or mend the permissions")
        _stop(f"{where}: {error.strerror}; check the path and the disk, then run the same command again")
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError" and "can't allocate memory" not in str(error):
            raise
        _stop(f"out of memory ({error}); give the job more memory, or a smaller map or batch")


def _stop(*lines: str, code: int = 1, at_once: bool = False) -> NoReturn:
    """Say the lines on stderr and end; at_once skips what Python does at its end."""
    for line in lines:
        print(f"limelight: error: {' '.join(line.split())}", file=sys.stderr, flush=True)
    if at_once:
        os._exit(code)
    sys.exit(code)
