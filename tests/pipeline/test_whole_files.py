"""Each stage's script killed as it writes, or on a full disk: its output is whole or absent, and the user reads one line."""

import contextlib
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkout import Checkout, environment

STAGES = {
    "generate_lightcone": ("--lightcone 0", "0.h5"),
    "make_subfields": ("--lightcone {lightcones}/0.h5", "0.h5"),
    "paint_maps": ("--line-model li10 --subfields {fields}/0.h5", "0.h5"),
    "pool_maps": ("--maps {fields}/maps.h5", "0.h5"),
    "train_network": (
        "--name cnn --train {shards}/li10/0.h5 {shards}/li10/1.h5 --validation {shards}/li10/2.h5"
        " --checkpoints {out}/checkpoints --history {out}/history.csv",
        "model.pt",
    ),
    "evaluate_network": (
        "--test clean --network {networks}/cnn/model.pt --history {networks}/cnn/history.csv --data {shards}/li10/3.h5",
        "clean.h5",
    ),
    "make_figure": (
        "--figure error_bands --files {evaluation}/cnn/clean.h5 {evaluation}/cnn/observed.h5",
        "error_bands.pdf",
    ),
}
FULL_KB = 16  # of a full disk: less than any stage's output


def command(stage: str, finished: Checkout, fields: Path, out: Path) -> list[str]:
    """A stage's command line, its inputs from the finished study, its outputs in a folder."""
    options, output = STAGES[stage]
    kinds = ("lightcones", "shards", "networks", "evaluation")
    folders = {kind: finished.results / kind for kind in kinds} | {"fields": fields, "out": out}
    config = [] if stage == "make_figure" else ["--config", str(finished.root / finished.config)]
    words = [word.format(**folders) for word in options.split()]
    return [sys.executable, f"scripts/{stage}.py", *config, *words, "--output", str(out / output)]


def start(words: list[str], finished: Checkout, **options) -> subprocess.Popen:
    return subprocess.Popen(
        words,
        cwd=finished.root,
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


@pytest.fixture(scope="module")
def fields(finished: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Subfields and maps of light-cone 0, which the finished study deletes."""
    folder = tmp_path_factory.mktemp("fields")
    for stage, name in (("make_subfields", "0.h5"), ("paint_maps", "maps.h5")):
        words = command(stage, finished, folder, folder)
        subprocess.run([*words[:-1], str(folder / name)], cwd=finished.root, check=True, env=environment())
    return folder


@pytest.fixture(scope="module")
def whole(finished: Checkout, fields: Path) -> dict[str, bytes]:
    """What each stage must write."""
    results = finished.results
    return {
        "generate_lightcone": (results / "lightcones" / "0.h5").read_bytes(),
        "make_subfields": (fields / "0.h5").read_bytes(),
        "paint_maps": (fields / "maps.h5").read_bytes(),
        "pool_maps": (results / "shards" / "li10" / "0.h5").read_bytes(),
        "train_network": (results / "networks" / "cnn" / "model.pt").read_bytes(),
        "evaluate_network": (results / "evaluation" / "cnn" / "clean.h5").read_bytes(),
        "make_figure": (results / "figures" / "cnn" / "error_bands.pdf").read_bytes(),
    }


@pytest.mark.parametrize("stage", list(STAGES))
def test_sigkill_in_mid_write_leaves_the_whole_file_or_none(stage, finished, fields, whole, tmp_path):
    words, dice = command(stage, finished, fields, tmp_path), random.Random(stage)
    output = Path(words[-1])
    process = start(words, finished)
    while process.poll() is None and not list(tmp_path.rglob("*.part")) and not output.exists():
        time.sleep(0.001)
    time.sleep(dice.uniform(0, 0.02))
    process.send_signal(signal.SIGKILL)
    assert process.wait() in (-signal.SIGKILL, 0), process.stderr.read()
    assert not output.exists() or output.read_bytes() == whole[stage]
    again = start(words, finished)
    _, errors = again.communicate()
    assert again.returncode == 0, errors
    assert output.read_bytes() == whole[stage]
    assert not list(tmp_path.rglob("*.part")), "the next run takes away what the killed one left"


@contextlib.contextmanager
def full_disk(folder: Path) -> Iterator[dict]:
    """A folder on a file system of a few kB; where only a limit on the size of files can be had, options of Popen for it."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={FULL_KB}k", "tmpfs", str(folder)]
    if os.geteuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0:
        try:
            yield {}
        finally:
            subprocess.run(["umount", str(folder)], check=True)
    else:
        limit = (FULL_KB * 1024, FULL_KB * 1024)
        yield {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit)}


@pytest.mark.parametrize("stage", list(STAGES))
def test_a_full_disk_is_one_line_and_leaves_no_output(stage, finished, fields, tmp_path):
    words = command(stage, finished, fields, tmp_path)
    with full_disk(tmp_path) as options:
        process = start(words, finished, **options)
        _, errors = process.communicate()
        left = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "lock"]
    lines = [line for line in errors.splitlines() if line.startswith("limelight: error:")]
    assert process.returncode == 1
    assert "Traceback" not in errors
    assert len(lines) == 1
    assert "free space and run the same command again" in lines[0]
    assert str(tmp_path) in lines[0]
    assert left == []
