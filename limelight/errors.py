"""The one kind of error a user is meant to see, and the edge of a script where it becomes one line."""

import contextlib
import errno
import os
import sys
from collections.abc import Iterator


class LimelightError(Exception):
    """A problem the user can mend. The message is one line: where, what was found, what was expected, what to do."""


def problem(where: object, found: str, expected: str, fix: str) -> LimelightError:
    """Build the error every check in limelight raises.

    where: the file, config key or array; found, expected: facts; fix: an imperative.
    """
    parts = (str(part).replace("\n", " ") for part in (found, expected, fix))
    return LimelightError("{}: found {}; expected {}; {}".format(where, *parts))


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what can go wrong at a script's edge into one line on stderr and a non-zero exit, without a traceback.

    Faults of limelight itself (any other exception) keep their traceback: those are for us to read.
    """
    try:
        yield
    except LimelightError as error:
        _stop(str(error))
    except KeyboardInterrupt:
        _stop("interrupted; finished files are kept, run the same command again to go on", code=130)
    except BrokenPipeError:
        os._exit(0)  # the reader of our output went away (`| head`): nothing to say, nobody to say it to
    except MemoryError as error:
        _stop(f"out of memory ({error}); give the job more memory, or a smaller map, batch or light-cone")
    except OSError as error:
        where = error.filename or "a file"
        if error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
            _stop(
                f"{where}: the disk is full; free space and run the same command again (nothing half-written is kept)"
            )
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            _stop(f"{where}: {error.strerror}; choose a place you may write to, or mend the permissions")
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR):
            _stop(f"{where}: {error.strerror}; check the path")
        raise


def _stop(line: str, code: int = 1) -> None:
    print(f"limelight: error: {line}", file=sys.stderr)
    sys.exit(code)
