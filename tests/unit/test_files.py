"""Files are whole or absent: tried with real kills and real failing writes."""

import errno
import json
import os
import resource
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from a_process import names, outcome, script
from damaged_files import edited
from map_files import GRID, make_files

from limelight import __version__
from limelight.errors import LimelightError
from limelight.files import (
    FORMAT_VERSION,
    atomic_path,
    attribute,
    check_finite,
    csv_text,
    provenance,
    read_csv,
    read_hdf5,
    settings_hash,
    write_csv,
    write_hdf5,
    write_text,
)

ROOT = Path(__file__).resolve().parents[2]


def good_file(path: Path, n: int = 1000) -> Path:
    with write_hdf5(path, "thing", {"note": "x"}) as file:
        file.create_dataset("a", data=np.arange(n, dtype=float), chunks=(100,), compression="gzip")
        file["b"] = np.ones(3)
    return path


# ---- whole or absent


def failing_write(path: Path) -> None:
    """Write half a file, check that the target is as it was, and raise."""
    before = path.read_bytes() if path.exists() else None
    with write_hdf5(path, "thing", {}) as file:
        file["a"] = np.zeros(10)
        file.flush()
        assert (path.read_bytes() if path.exists() else None) == before
        raise ZeroDivisionError


def test_a_writer_that_raises_leaves_nothing_and_keeps_the_old(tmp_path):
    path = tmp_path / "deep" / "a.h5"
    with pytest.raises(ZeroDivisionError):
        failing_write(path)
    assert names(path.parent) == []
    before = good_file(path).read_bytes()
    with pytest.raises(ZeroDivisionError):
        failing_write(path)
    assert path.read_bytes() == before
    assert names(path.parent) == ["a.h5"]


def test_success_replaces_at_once_and_leaves_no_temporary_name(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "first")
    with atomic_path(path) as part:
        part.write_text("second")
        assert path.read_text() == "first"
        assert part.parent == path.parent
    assert path.read_text() == "second"
    assert names(tmp_path) == ["a.txt"]


def test_sigkill_in_mid_write_leaves_the_old_file_and_an_orphan_that_the_next_write_removes(tmp_path):
    path = good_file(tmp_path / "odd [1] name.h5")
    before = path.read_bytes()
    process = script(
        """
        import time, numpy as np
        from limelight.files import write_hdf5
        with write_hdf5(sys.argv[1], "thing", {}) as file:
            file["a"] = np.zeros(100_000)
            file.flush()
            print("writing", flush=True)
            time.sleep(60)
        """,
        path,
    )
    assert process.stdout.readline().strip() == "writing"
    assert len(names(tmp_path)) == 2
    part = next(name for name in names(tmp_path) if name.endswith(".part"))
    other = tmp_path / "other.h5"
    good_file(other)
    good_file(path)  # the writer still lives: its file is left alone
    assert part in names(tmp_path)
    process.send_signal(signal.SIGKILL)
    outcome(process)
    assert part in names(tmp_path)
    assert path.read_bytes() == before
    good_file(other)  # another target: not its orphan
    assert part in names(tmp_path)
    good_file(path)
    assert names(tmp_path) == ["odd [1] name.h5", "other.h5"]


def test_orphans_of_other_hosts_go_only_after_days(tmp_path):
    fresh, old = tmp_path / ".a.txt.node7.example.123.part", tmp_path / ".a.txt.node8.124.part"
    mine = tmp_path / f".a.txt.{socket.gethostname()}.{os.getpid()}.part.txt"
    for part in (fresh, old, mine):
        part.write_text("x")
    os.utime(old, (0, 0))
    write_text(tmp_path / "a.txt", "whole")
    assert names(tmp_path) == sorted([fresh.name, mine.name, "a.txt"])


# ---- a full disk (a limit on the size of files stands in for it: the write fails in the same places)

WRITERS = {
    "one large dataset": 'file["a"] = np.random.default_rng(1).random(10**6)',
    "chunks flushed at closing": """
            data = file.create_dataset("a", (10**5,), chunks=(20_000,), dtype="f8")
            data[:50_000] = np.random.default_rng(1).random(50_000)""",
    "many small chunks": """
            data = file.create_dataset("a", (10**5,), chunks=(1000,), dtype="f8")
            data[:50_000] = np.random.default_rng(1).random(50_000)""",
    "groups": "[file.create_group(f'g{i}') for i in range(3000)]",
    "a long attribute": 'file.attrs["x"] = "a" * 300_000',
}


def limit_file_size() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


@pytest.mark.parametrize("what", list(WRITERS))
def test_full_disk_while_writing_hdf5_is_one_line(tmp_path, what):
    path = tmp_path / "big.h5"
    body = f"""
    import numpy as np
    from limelight.errors import plain_errors
    from limelight.files import write_hdf5
    with plain_errors():
        with write_hdf5(sys.argv[1], "thing", {{"n": 1}}) as file:
            {WRITERS[what].strip()}
    """
    code, err = outcome(script(body, path, preexec_fn=limit_file_size))
    assert code == 1
    assert err.count("\n") == 1
    assert err.startswith(f"limelight: error: {path}: it would pass the limit on the size of a file; free space")
    assert names(tmp_path) == []


def test_full_disk_while_writing_text_or_a_checkpoint_is_one_line(tmp_path):
    for writer in ('write_text(sys.argv[1], "a" * 10**6)', "binary()"):
        body = f"""
        from limelight.errors import plain_errors
        from limelight.files import atomic_path, write_text
        def binary():
            with atomic_path(sys.argv[1]) as part, open(part, "wb") as file:
                file.write(b"a" * 10**6)
        with plain_errors():
            {writer}
        """
        code, err = outcome(script(body, tmp_path / "a", preexec_fn=limit_file_size))
        assert (code, err.count("\n")) == (1, 1)
        assert err.startswith(f"limelight: error: {tmp_path / 'a'}: it would pass the limit")
        assert names(tmp_path) == []


def test_a_full_disk_while_a_cube_is_exported_is_one_line(tmp_path):
    """The limit on the size of files lies below that of the cube."""
    maps, _ = make_files(tmp_path, grid=replace(GRID, pixels=96))
    before = names(tmp_path)
    body = f"""
    import runpy
    sys.argv = ["export_fits.py", "--input", {str(maps)!r}, "--output", sys.argv[1]]
    runpy.run_path({str(ROOT / "scripts" / "export_fits.py")!r}, run_name="__main__")
    """
    path = tmp_path / "cube.fits"
    code, err = outcome(script(body, path, preexec_fn=limit_file_size))
    assert (code, err.count("\n")) == (1, 1), err
    assert err.startswith(f"limelight: error: {path}: it would pass the limit on the size of a file; free space")
    assert names(tmp_path) == before


def test_no_space_left_says_so():
    body = """
    from limelight.errors import plain_errors
    with plain_errors():
        with open("/dev/full", "w") as file:
            file.write("a" * 10**6)
    """
    code, err = outcome(script(body))
    assert (code, err.count("\n")) == (1, 1)
    assert "the disk is full; free space" in err


# ---- reading


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.9, 0.999])
def test_truncated_files_are_refused(tmp_path, share):
    path = good_file(tmp_path / "a.h5")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with (
        pytest.raises(LimelightError, match="found .*; expected .*; .*delete it") as caught,
        read_hdf5(path, "thing") as f,
    ):
        f["a"][...]
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_damaged_byte_range_is_refused_or_harmless(tmp_path):
    """Overwrite stretches of a file with noise: never a traceback, never a crash."""
    path = good_file(tmp_path / "a.h5")
    whole = path.read_bytes()
    noise = np.random.default_rng(1).bytes(64)
    refusals = []
    for start in range(0, len(whole) - 64, 64):
        path.write_bytes(whole[:start] + noise + whole[start + 64 :])
        try:
            with read_hdf5(path, "thing", ("a", "b")) as file:
                check_finite(file["a"][...], path)
                attribute(file, "note")
        except LimelightError as error:
            refusals.append(str(error))
    assert len(refusals) > 20
    assert not any("\n" in refusal for refusal in refusals)


def test_wrong_files_are_refused(tmp_path):
    path = good_file(tmp_path / "a.h5")
    foreign, text = tmp_path / "foreign.h5", tmp_path / "text.h5"
    with h5py.File(foreign, "w") as file:
        file["a"] = [1]
    text.write_text("not HDF5 at all")
    old = tmp_path / "old.h5"
    old.write_bytes(path.read_bytes())
    with edited(old) as file:
        file.attrs["limelight_format"] = 99
        file.create_group("group")
    for target, kind, datasets, says in (
        (tmp_path / "none.h5", "thing", (), "no such file"),
        (tmp_path, "thing", (), "no such file"),
        (text, "thing", (), "unreadable"),
        (foreign, "thing", (), "did not write"),
        (path, "maps", (), "kind 'thing'; expected kind 'maps'"),
        (path, "thing", ("a", "c"), "no dataset 'c'"),
        (old, "thing", (), "format 99"),
    ):
        with pytest.raises(LimelightError, match=says) as caught, read_hdf5(target, kind, datasets):
            pass
        assert str(target) in str(caught.value)
        assert "\n" not in str(caught.value)
    with edited(old) as file:
        file.attrs["limelight_format"] = FORMAT_VERSION
    with read_hdf5(old, "thing", ("a", "group")) as file:
        assert len(file) == 3
    with edited(old) as file:
        file.attrs["limelight_format"] = "newest"
    with pytest.raises(LimelightError, match="format newest"), read_hdf5(old, "thing"):
        pass


def test_a_file_open_elsewhere_or_without_locks_is_not_called_damaged(tmp_path, monkeypatch):
    path = tmp_path / "a.h5"
    with write_hdf5(path, "shard", {}) as file:
        file["x"] = np.arange(4)
    words = "import sys, h5py; file = h5py.File(sys.argv[1], 'r+'); print('open', flush=True); sys.stdin.read()"
    writer = subprocess.Popen(
        [sys.executable, "-c", words, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout.readline() == "open\n"
    with (
        pytest.raises(LimelightError, match="another process has open for writing") as caught,
        read_hdf5(path, "shard"),
    ):
        pass
    assert "delete" not in str(caught.value)
    writer.communicate()
    with read_hdf5(path, "shard") as file:
        assert file["x"][3] == 3

    def refused(number):
        def opened(*_, **__):
            raise OSError(number, f"Unable to synchronously open file (unable to lock file, errno = {number})")

        return opened

    for number, expected in ((errno.ENOLCK, "cannot lock it"), (errno.ENOSYS, "cannot lock it")):
        monkeypatch.setattr(h5py, "File", refused(number))
        with pytest.raises(LimelightError, match=expected) as caught, read_hdf5(path, "shard"):
            pass
        assert "HDF5_USE_FILE_LOCKING=FALSE" in str(caught.value)
        with pytest.raises(LimelightError, match=expected), write_hdf5(tmp_path / "new.h5", "shard", {}):
            pass
    assert not list(tmp_path.glob(".*"))


def test_a_disk_that_cannot_be_read_is_not_called_damage(tmp_path, monkeypatch):
    path = tmp_path / "a.h5"
    path.write_bytes(b"x")

    def opened(*_, **__):
        raise OSError(errno.EIO, "Unable to synchronously open file (file read failed: errno = 5, error message = ...)")

    monkeypatch.setattr(h5py, "File", opened)
    with pytest.raises(OSError, match=r"Input/output error: .*a\.h5"), read_hdf5(path, "shard"):
        pass


def test_faults_of_the_caller_are_not_taken_for_damage(tmp_path):
    path = good_file(tmp_path / "a.h5")
    for fault in (KeyError("mine"), ValueError("failed"), RuntimeError("failed"), OSError(errno.EIO, "failed")):
        with pytest.raises(type(fault)) as caught, read_hdf5(path, "thing"):
            raise fault
        assert caught.value is fault


def test_attributes_round_trip_and_damage(tmp_path):
    path = tmp_path / "a.h5"
    values = {
        "text": "µK",
        "number": 1.5,
        "whole": 7,
        "flag": True,
        "settings": {"b": [1, 2], "a": {"c": None}},
        "l": [1, "x"],
    }
    with write_hdf5(path, "thing", values | {"long": {"x": "y" * 200_000}}) as file:
        file.attrs["bad"] = '{"a": 1'
    with read_hdf5(path, "thing") as file:
        for name, value in values.items():
            assert attribute(file, name) == value
        assert attribute(file, "long") == {"x": "y" * 200_000}
        with pytest.raises(LimelightError, match="no attribute 'missing'"):
            attribute(file, "missing")
        with pytest.raises(LimelightError, match="attribute 'bad' damaged"):
            attribute(file, "bad")


def test_provenance_says_what_made_a_file(tmp_path):
    settings = {"z": 1, "a": {"rotations_deg": [0, 90]}}
    with write_hdf5(tmp_path / "a.h5", "thing", provenance(settings, 42)) as file:
        file["a"] = [1]
    with h5py.File(tmp_path / "a.h5") as file:  # with h5py alone: for a reader without limelight
        attrs = dict(file.attrs)
    assert (attrs["limelight_kind"], attrs["limelight_format"], attrs["seed"]) == ("thing", FORMAT_VERSION, 42)
    assert attrs["limelight_version"] == __version__
    assert json.loads(attrs["settings"]) == settings
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    assert attrs["git_commit"] == (head or "unknown")
    assert f"numpy {np.__version__}" in attrs["libraries"]
    assert attrs["config_hash"] == settings_hash({"a": {"rotations_deg": [0, 90]}, "z": 1})
    assert attrs["config_hash"] != settings_hash({"a": {"rotations_deg": [90, 0]}, "z": 1})


def test_same_content_same_bytes(tmp_path):
    assert good_file(tmp_path / "a.h5").read_bytes() == good_file(tmp_path / "b.h5").read_bytes()


def test_check_finite():
    array = np.ones((3, 4), np.float32)
    assert check_finite(array, "x") is array
    assert check_finite(np.empty(0), "x").size == 0
    check_finite(np.arange(3), "x")
    for bad in (np.nan, np.inf, -np.inf):
        array[1, 2] = bad
        with pytest.raises(LimelightError, match="maps.h5: t: found 1 of 12 values NaN or infinite"):
            check_finite(array, "maps.h5: t")
    with pytest.raises(LimelightError, match="values of type"):
        check_finite(np.array(["a"]), "x")


# ---- tables


def test_a_table_keeps_integers_rounds_floats_and_leaves_unknown_fields_empty(tmp_path):
    rows = [
        {"name": "a, b", "count": 1234567, "value": 1234567.0, "other": np.float32(0.1)},
        {"name": 'the "best"', "count": 3, "value": float("nan"), "other": None},
        {"count": np.int64(0), "value": 1e-9 / 3, "left out": 1},
        {"name": [1.0, 3.0], "value": 5, "other": True},
    ]
    head = "value,name,count,other\n"
    expected = head + '1.2346e+06,"a, b",1234567,0.1\n,"the ""best""",3,\n3.3333e-10,,0,\n5,"[1.0, 3.0]",,True\n'
    assert csv_text(rows, 5, ("value", "name", "count", "other")) == expected
    columns = {"bin": np.arange(2), "x": np.array([0.1 + 0.2, np.inf]), "y": ["one", "two"]}
    write_csv(tmp_path / "t.csv", columns, digits=17)
    assert (tmp_path / "t.csv").read_bytes() == b"bin,x,y\n0,0.30000000000000004,one\n1,inf,two\n"
    assert csv_text([], 5, ("a", "b")) == "a,b\n"


def test_a_table_comes_back_with_numbers_as_numbers(tmp_path):
    columns = {"x": np.array([0.1 + 0.2, np.nan]), "words": ["a, b", "3"], "none": [None, None]}
    write_csv(tmp_path / "t.csv", columns, digits=17)
    found = read_csv(tmp_path / "t.csv", "a table")
    assert found["x"][0] == 0.1 + 0.2
    assert np.isnan(found["x"][1])
    assert found["words"].tolist() == ["a, b", "3"]
    assert np.isnan(found["none"]).all()
    write_csv(tmp_path / "t.csv", [], 5, ("a", "b"))
    assert {name: len(values) for name, values in read_csv(tmp_path / "t.csv", "a table").items()} == {"a": 0, "b": 0}


@pytest.mark.parametrize("content", [None, b"", b"a,b\n1,2\n3\n", b"\x89HDF\xff\x00\n"])
def test_what_is_no_table_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "t.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LimelightError, match=r"t.csv: found .*; expected a table of halos; ") as caught:
        read_csv(path, "a table of halos")
    assert "\n" not in str(caught.value)
