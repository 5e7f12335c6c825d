"""Several processes train as one would: the same losses at the same batch, one writer, one stop, no hang when one dies."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import two_processes
from torch import nn

from limelight.errors import LimelightError
from limelight.training import loop
from limelight.training.checkpoint import checkpoints_in
from limelight.training.checks import refuse_small_batches
from limelight.training.distributed import Team
from limelight.training.launch import STOPPED
from limelight.training.loop import HISTORY_COLUMNS
from limelight.training.signals import Stopped

HERE = Path(__file__).resolve().parent
STEPS = 5  # an epoch of cnn2d


def start(folder: Path, event: str, *cases: str) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / "two_processes.py"), str(folder), event, *cases]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def finish(folder: Path, event: str, *cases: str) -> tuple[int, str]:
    """Exit code and stderr of two processes that train together; much sooner than they would wait for a silent peer."""
    process = start(folder, event, *cases)
    try:
        said = process.communicate(timeout=300)[1]
    finally:
        process.kill()
    assert "Traceback" not in said
    assert "Warning" not in said
    return process.returncode, said


def newest(folder: Path, case: str, most: int = 2) -> str:
    """Name of the newest checkpoint of a case; they are all in one folder, two at most (three while it is written)."""
    (recipe,) = (folder / case / "checkpoints").iterdir()
    found = checkpoints_in(recipe)
    assert 1 <= len(found) <= most
    return found[0].stem


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    """Folder of unbroken runs by two processes."""
    folder = tmp_path_factory.mktemp("two")
    code, said = finish(folder, "none", *two_processes.CASES)
    assert code == 0, said
    assert said.count("epoch 2/2") == len(two_processes.CASES)  # each line once, not once a process
    assert not list(folder.rglob("*.part"))
    return folder


def curves(folder: Path) -> np.ndarray:
    """All columns of a run's history."""
    rows = json.loads((folder / "history.json").read_text())
    assert len(rows) == two_processes.EPOCHS
    return np.array([[row[column] for column in HISTORY_COLUMNS] for row in rows])


@pytest.mark.parametrize("case", sorted(two_processes.CASES))
def test_two_processes_follow_the_loss_curve_of_one(tmp_path, two, case):
    two_processes.run(tmp_path, case, Team())
    # neighbouring bf16 numbers are 2^-8 apart; gradients that are not averaged miss by twice that
    np.testing.assert_allclose(curves(two / case), curves(tmp_path), rtol=2**-8 if case == "bf16" else 1e-5)
    one, both = (torch.load(folder / "model.pt")["state_dict"] for folder in (tmp_path, two / case))
    assert list(one) == list(both)
    if case != "bf16":
        for key in one:  # running statistics of batch norm among them
            torch.testing.assert_close(one[key], both[key], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("first", [1, 2])
def test_a_training_goes_on_with_another_number_of_processes(tmp_path, two, monkeypatch, capsys, first):
    """The number of GPUs is no part of the recipe: a checkpoint of one process serves two and the other way round."""
    case, shown, present = tmp_path / "cnn2d", [], loop.present

    def stopping(*arguments):
        shown.append(None)
        if len(shown) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return present(*arguments)

    if first == 2:
        assert finish(tmp_path, "SIGTERM", "cnn2d")[0] == STOPPED
        two_processes.run(case, "cnn2d", Team())
        said = capsys.readouterr().err
    else:
        monkeypatch.setattr(loop, "present", stopping)
        with pytest.raises(Stopped):
            two_processes.run(case, "cnn2d", Team())
        code, said = finish(tmp_path, "none", "cnn2d")
        assert code == 0, said
    assert said.count("going on from epoch 1, step 3") == 1
    np.testing.assert_allclose(curves(case), curves(two / "cnn2d"), rtol=1e-5)


def test_whatever_ends_a_run_of_two_the_next_goes_on_to_the_same_bytes(tmp_path, two):
    code, said = finish(tmp_path, "SIGTERM", "cnn2d")  # one process is asked, both stop after the same step
    assert code == STOPPED, said
    assert newest(tmp_path, "cnn2d") == "epoch-000000-step-000003"

    code, said = finish(tmp_path, "SIGKILL", "cnn2d")  # one dies, in its third step from there
    assert code == 1
    assert "process 2 of 2 was killed by SIGKILL" in said
    assert said.count("error") == 1
    assert newest(tmp_path, "cnn2d") == "epoch-000001-step-000000"

    process = start(tmp_path, "slow", "cnn2d")  # the launcher dies: the others must not live on without it
    deadline = time.monotonic() + 240
    while newest(tmp_path, "cnn2d", most=3) == "epoch-000001-step-000000":
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate()
    processes = [int((tmp_path / f"process-{rank}").read_text()) for rank in (0, 1)]
    while any(alive(pid) for pid in processes):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert not (tmp_path / "cnn2d" / "model.pt").exists()

    code, said = finish(tmp_path, "none", "cnn2d")
    assert code == 0, said
    assert said.count("going on from epoch 2, step") == 1
    for name in ("model.pt", "history.csv"):
        assert (tmp_path / "cnn2d" / name).read_bytes() == (two / "cnn2d" / name).read_bytes()


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for yet does not."""
    answer = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return bool(answer.stdout.strip()) and not answer.stdout.startswith("Z")


def test_a_fault_of_one_process_is_said_once_and_ends_both(tmp_path):
    code, said = finish(tmp_path, "fail", "limelight")
    assert code == 1
    assert said.count("process 1: found a fault; expected none; mend it") == 1


def test_batches_too_small_to_share_are_refused():
    module = nn.BatchNorm2d(1)
    for smallest, expected in ((1, "a map for each of 2 processes"), (3, "two maps or more a process")):
        with pytest.raises(LimelightError, match=expected):
            refuse_small_batches(module, smallest, "net", Team(size=2))
    refuse_small_batches(module, 4, "net", Team(size=2))
    refuse_small_batches(nn.Linear(1, 1), 2, "net", Team(size=2))


def test_the_parts_of_a_batch_are_all_of_it_and_weigh_as_much():
    for count in (3, 7, 40):
        teams = [Team(rank, 3) for rank in range(3)]
        parts = [list(range(count))[team.part(count)] for team in teams]
        assert sum(parts, []) == list(range(count))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        means = [np.mean(np.square(part)) for part in parts]  # a "loss" that is a mean over the maps of a part
        together = np.mean([mean * team.weight(count) for mean, team in zip(means, teams, strict=True)])
        assert together == pytest.approx(np.mean(np.square(range(count))))
