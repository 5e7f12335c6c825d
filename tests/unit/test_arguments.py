"""Command lines: an output is never an input, by whatever name, in any script."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from limelight.arguments import Arguments, above, whole
from limelight.errors import LimelightError
from limelight.files import ROOT

SCRIPTS = sorted((ROOT / "scripts").glob("*.py"))


def parser() -> Arguments:
    one = Arguments("A stage.")
    one.add_argument("--data", type=Path, nargs="+", required=True)
    one.add_argument("--name")
    one.add_output("--output", metavar="A.h5", help="a file", beside=(".csv",))
    one.add_output("--history", metavar="H.csv", help="another", required=False)
    return one


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("one.h5", "two.h5"):
        (tmp_path / name).write_text(name)
    (tmp_path / "folder").mkdir()
    os.symlink("two.h5", "link.h5")
    os.symlink("folder", "other")
    os.link("two.h5", "hard.h5")
    (tmp_path / "folder" / "in.h5").write_text("in")
    return tmp_path


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("two.h5", "found the input two.h5"),
        ("./folder/../two.h5", "which is the input two.h5"),
        ("link.h5", "which is the input two.h5"),
        ("hard.h5", "which is the input two.h5"),
        ("other/in.h5", "which is the input folder/in.h5"),
        ("", "a folder; expected the name of a file"),
        ("folder.csv", "expected a name that ends in .h5"),
    ],
)
def test_an_output_that_is_an_input_is_refused(data: Path, output: str, expected: str):
    with pytest.raises(LimelightError, match=re.escape(expected)) as caught:
        parser().parse_args(["--data", "one.h5", "two.h5", "folder/in.h5", "--output", output])
    assert "\n" not in str(caught.value)
    assert (data / "two.h5").read_text() == "two.h5"


def test_what_is_written_beside_an_output_counts(data: Path):
    (data / "new.csv").write_text("x")
    for more in (["--data", "new.csv"], ["--data", "one.h5", "--history", "new.csv"]):
        with pytest.raises(LimelightError, match=r"new\.csv"):
            parser().parse_args([*more, "--output", "new.h5"])
    with pytest.raises(LimelightError, match="--history: found 'folder', a folder"):
        parser().parse_args(["--data", "one.h5", "--output", "new.h5", "--history", "folder"])


def test_sound_arguments_pass(data: Path):
    """Also an output that exists, of which nothing is read, and a plain word that a file is called by."""
    found = parser().parse_args(["--data", "one.h5", "--name", "two.h5", "--output", "two.h5"])
    assert (found.output, found.data) == (Path("two.h5"), [Path("one.h5")])
    assert parser().parse_args(["--data", "no.h5", "--output", "yet.h5", "--history", "h.csv"]).history == Path("h.csv")


@pytest.mark.parametrize(
    ("kind", "sound", "wrong"),
    [
        (whole(0), {"0": 0, "12": 12}, ["-1", "1.5", "many", "", "1e3", "²"]),
        (whole(2), {"2": 2, "+3": 3}, ["1"]),
        (above(0), {"0.5": 0.5, "1e3": 1000.0}, ["0", "-2", "nan", "inf", "wide"]),
    ],
)
def test_numbers_have_limits(kind, sound, wrong, capsys: pytest.CaptureFixture[str]):
    one = Arguments("A stage.")
    one.add_argument("--number", type=kind)
    for text, value in sound.items():
        assert one.parse_args(["--number", text]).number == value
    for text in wrong:
        with pytest.raises(SystemExit):
            one.parse_args([f"--number={text}"])
        assert f"--number: found {text}; expected a " in capsys.readouterr().err


@pytest.mark.parametrize(("load", "asked", "expected"), [(9e9, None, "1000"), (9e9, "7", "7"), (0.0, None, None)])
def test_threads_spin_on_an_idle_machine_alone(load, asked, expected, monkeypatch: pytest.MonkeyPatch):
    """And never otherwise than a user asks."""
    monkeypatch.setattr(os, "environ", {"GOMP_SPINCOUNT": asked} if asked else {})
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    parser()
    assert os.environ.get("GOMP_SPINCOUNT") == expected


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_parses_so(script: Path):
    """Its outputs are given to add_output, and its files are paths, so that they are compared."""
    text = script.read_text(encoding="utf-8")
    assert "ArgumentParser(" not in text
    assert 'add_argument("--output"' not in text
    assert not re.search(r"type=(int|float)\b(?!, required=True, metavar=\"σ_P\")", text), "say how large it may be"
    files = re.findall(r"add_argument\((?:[^()]|\([^()]*\))*\)", text)
    for one in files:
        metavar = re.search(r'metavar="([^"]*)"', one)
        if metavar and re.search(r"\.(h5|pt|csv|pdf|fits|yaml)$|FILE|DIR|FOLDER", metavar[1]):
            assert "type=Path" in one, one


SLOW = ["torch", "sbi", "matplotlib", "scipy", "astropy", "pandas", "snakemake"]
HELP = f"""
import contextlib, io, json, runpy, sys
found = {{}}
for script in sys.argv[1:]:
    sys.argv = [script, "--help"]
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as said:
        runpy.run_path(script, run_name="__main__")
    found[script] = [said.getvalue()[:6], *(name for name in {SLOW} if name in sys.modules)]
print(json.dumps(found))
"""


def test_help_of_every_script_imports_nothing_that_takes_seconds():
    command = [sys.executable, "-c", HELP, *map(str, SCRIPTS)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == {str(script): ["usage:"] for script in SCRIPTS}
