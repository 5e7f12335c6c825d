"""A study's progress on a terminal: Snakemake's own output, read as one bar."""

import contextlib
import io
import os
import pty
import re
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from limelight.progress import show_steps

ROOT = Path(__file__).resolve().parents[2]
SNAKEFILE = """
rule all:
    input: "sharp.txt"
rule blurred:
    output: "blurred.txt"
    shell: "echo limelight: warning: dim >&2; touch {output}"
rule sharp:
    input: "blurred.txt"
    output: "sharp.txt"
    log: "sharp.log"
    shell: "COMMAND"
"""


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What a user sees, and what the log holds, when Snakemake runs two rules of which the second is a command."""

    def run(command: str) -> tuple[str, str]:
        (tmp_path / "Snakefile").write_text(SNAKEFILE.replace("COMMAND", command))
        words = [sys.executable, "-m", "snakemake", "--cores", "1", "--show-failed-logs"]
        said = subprocess.run(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
        screen, log = io.StringIO(), io.StringIO()
        monkeypatch.setattr(sys, "stderr", screen)
        show_steps(said.splitlines(keepends=True), log)
        assert log.getvalue() == said
        return screen.getvalue(), said

    return run


def test_the_bar_ends_full_and_shows_warnings_alone(shown):
    screen, said = shown("touch {output}")
    assert "3/3 steps" in screen
    assert "limelight: warning: dim\n" in screen
    assert "Building DAG" in said
    assert "Building DAG" not in screen


def test_a_failed_stage_is_shown_with_its_log(shown):
    screen, _ = shown("echo the disk is full > {log}; exit 1")
    assert "1/3 steps" in screen
    assert "Error in rule sharp" in screen
    assert "the disk is full" in screen


def test_what_is_wrong_before_any_stage_is_shown(shown):
    screen, _ = shown("{no_such_name}")
    assert "no_such_name" in screen


def on_a_terminal(folder: Path, log: str) -> str:
    """What a terminal shows of a Snakemake of two lines that run_study follows; log: an expression."""
    script = f"""import sys
from pathlib import Path
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "scripts")!r}]
import run_study
run_study.follow([sys.executable, "-c", "print('rule maps:\\\\n1 of 2 steps (50%) done')"], sys.stdin, {log})
"""
    terminal, end = pty.openpty()
    termios.tcsetwinsize(end, (24, 100))
    subprocess.run([sys.executable, "-c", script], cwd=folder, stdin=end, stdout=end, stderr=end, check=True)
    os.close(end)
    screen = b""
    with contextlib.suppress(OSError):  # at its end
        while piece := os.read(terminal, 100_000):
            screen += piece
    return screen.decode()


def test_run_study_shows_a_bar_on_a_terminal_and_keeps_the_log(tmp_path: Path):
    assert re.search(r"50%.*1/2 steps.*maps", on_a_terminal(tmp_path, "Path('snakemake.log')"))
    assert (tmp_path / "snakemake.log").read_text().splitlines() == ["rule maps:", "1 of 2 steps (50%) done"]


def test_a_verbose_demo_shows_what_snakemake_says(tmp_path: Path):
    assert on_a_terminal(tmp_path, "None").split("\r\n")[:2] == ["rule maps:", "1 of 2 steps (50%) done"]
    for words, shown in (([], False), (["VERBOSE=1"], True)):
        make = subprocess.run(
            ["make", "--dry-run", "demo", *words], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert ("run_study.py --configfile config/demo.yaml --verbose" in make.stdout) is shown
