"""Errors are one line that says what was found, what was expected and what to do."""

import errno
import os
import signal

import pytest
from a_process import names, outcome, script

from limelight.errors import plain_errors, problem


def test_problem_is_one_line_in_four_parts():
    text = str(problem("a\nb.h5", "two\nlines", "one\tline", "mend\r\nit"))
    assert text == "a b.h5: found two lines; expected one line; mend it"


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        (problem("x.h5", "nothing", "something", "run it"), 1, "x.h5: found nothing; expected something; run it"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError("80 GiB\nfor an array"), 1, "out of memory (80 GiB for an array)"),
        (PermissionError(errno.EACCES, "Permission denied", "/p/a.h5"), 1, "/p/a.h5: Permission denied; choose"),
        (OSError(errno.EROFS, "Read-only file system", "/p"), 1, "/p: Read-only file system; choose"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/p/q"), 1, "/p/q: No such file or directory"),
        (FileExistsError(errno.EEXIST, "File exists", "/p"), 1, "/p: File exists; check the path"),
        (OSError(errno.EIO, "Input/output error", "/p"), 1, "/p: Input/output error; check the path and the disk"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), 1, "out of memory"),
        (ModuleNotFoundError("No module", name="pyarrow.parquet"), 1, "'formats'; pip install pyarrow"),
    ],
)
def test_plain_errors_one_line_and_exit_code(capsys, fault, code, says):
    with pytest.raises(SystemExit) as caught, plain_errors():
        raise fault
    err = capsys.readouterr().err
    assert caught.value.code == code
    assert err.startswith("limelight: error: ")
    assert says in err
    assert err.count("\n") == 1


OURS = [
    ValueError("ours"),
    RuntimeError("ours"),
    OSError("no errno"),
    KeyError("ours"),
    ModuleNotFoundError("No module", name="limelight.mapz"),
]


@pytest.mark.parametrize("fault", OURS)
def test_faults_of_limelight_keep_their_traceback(fault):
    with pytest.raises(type(fault)), plain_errors():
        raise fault


def test_reader_of_the_output_that_goes_away_is_no_error():
    body = """
    from limelight.errors import plain_errors
    with plain_errors():
        for i in range({n}):
            print("line", i)
    """
    for n in (100_000, 10):  # while printing, and at the last flush
        process = script(body.format(n=n), env={**os.environ, "PYTHONUNBUFFERED": ""})
        process.stdout.close()
        err = process.stderr.read()
        process.stderr.close()
        assert process.wait(timeout=60) == 128 + signal.SIGPIPE
        assert err == ""


def test_unwritable_target_is_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder.h5" / "inside").mkdir(parents=True)
    body = """
    from limelight.errors import plain_errors
    from limelight.files import write_hdf5
    with plain_errors():
        with write_hdf5(sys.argv[1], "thing", {}) as file:
            file["a"] = [1]
    """
    for target in (tmp_path / "file" / "a.h5", tmp_path / "folder.h5", "/proc/a.h5", tmp_path / ("n" * 300)):
        code, err = outcome(script(body, target))
        assert (code, err.count("\n")) == (1, 1)
        assert err.startswith("limelight: error: /")
    assert names(tmp_path) == ["file", "folder.h5"]
