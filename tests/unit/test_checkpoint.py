"""Checkpoints: resuming gives the same bytes, a damaged newest one costs little, and there is one writer."""

import contextlib
import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from damaged_files import spoil
from training_toys import PROBE, settings, toys

from limelight.errors import LimelightError
from limelight.training import checkpoint, loop, presentation
from limelight.training.checkpoint import (
    checkpoints_in,
    load_checkpoint,
    load_torch,
    lock,
    save_checkpoint,
    save_model,
)
from limelight.training.loop import history_csv, train
from limelight.training.signals import Stopped

HERE = Path(__file__).resolve().parent


# Resuming

WANTED = {
    "epochs": 4,
    "batch_size": 4,
    "blank_fraction": 0.1,
    "dim_fraction": 0.2,
    "superpose_fraction": 0.2,
    "schedule": "one_cycle",
    "loss": "negative_binomial",  # which learns numbers of its own
    "ema_decay": 0.9,
    "network": {"architecture": "cnn3d", "options": {"filters": 4, "layers": 3}},  # with batch norm and dropout
    "noise": {"some": {"sigma_uk": [1, 3]}},
}
STEPS = 6  # an epoch: 24 maps in batches of 4
RANGES = 3  # batches at the end, from which the ranges of inputs are


def run(folder: Path) -> tuple[bytes, bytes]:
    """Train (or go on) in a folder; the bytes of model file and history."""
    content, history = train(settings(**WANTED), PROBE, toys(24), toys(6, 1), folder / "checkpoints")
    save_model(folder / "model.pt", content, {"seed": 7})
    return (folder / "model.pt").read_bytes(), history_csv(history).encode()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    return run(tmp_path_factory.mktemp("unbroken"))


def test_a_run_killed_in_mid_epoch_and_resumed_writes_the_same_bytes(tmp_path, unbroken, capsys):
    text = f"""
from pathlib import Path
import test_checkpoint
from limelight.training import loop
loop.CHECKPOINT_EVERY_S = 0.0  # a checkpoint after each step
test_checkpoint.run(Path({str(tmp_path)!r}))
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", text],
        cwd=HERE,  # for this module and its own
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not any(STEPS * int(p.stem[6:12]) + int(p.stem[-6:]) >= STEPS + 1 for p in tmp_path.glob("*/*/epoch-*.pt")):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert not (tmp_path / "model.pt").exists()
    assert 1 <= len(list(tmp_path.glob("*/*/epoch-*.pt"))) <= 3  # killed between writing and deleting, perhaps
    assert run(tmp_path) == unbroken
    assert "going on from epoch" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
@pytest.mark.parametrize("at", [2, STEPS - 1, STEPS, 4 * STEPS - 2])
def test_a_signal_checkpoints_at_the_next_step_and_loses_nothing(tmp_path, unbroken, monkeypatch, number, at):
    calls = []

    def present(*arguments):
        calls.append(None)
        if len(calls) == at + 1:
            os.kill(os.getpid(), number)
        return presentation.present(*arguments)

    monkeypatch.setattr(loop, "present", present)
    with pytest.raises(Stopped) as stopped:
        run(tmp_path)
    assert stopped.value.args == (number,)
    assert len(calls) == at + 1  # stopped after the step in which the signal came
    assert run(tmp_path) == unbroken
    assert len(calls) == 4 * STEPS + RANGES  # no step done twice


def test_a_signal_in_the_last_step_lets_the_run_finish(tmp_path, unbroken, monkeypatch):
    calls = []

    def present(*arguments):
        calls.append(None)
        if len(calls) == 4 * STEPS:
            os.kill(os.getpid(), signal.SIGTERM)
        return presentation.present(*arguments)

    monkeypatch.setattr(loop, "present", present)
    assert run(tmp_path) == unbroken


def test_a_finished_run_started_again_gives_the_same_bytes_at_once(tmp_path):
    found, held_out, written = toys(8), toys(4, 1), []
    for i in range(2):
        content, history = train(settings(), PROBE, found, held_out, tmp_path / "run")
        save_model(tmp_path / f"{i}.pt", content, {"seed": 7})
        written.append((tmp_path / f"{i}.pt").read_bytes() + history_csv(history).encode())
    assert written[0] == written[1]


def test_other_settings_code_or_data_start_afresh(tmp_path):
    def run(found, code="", **changes):
        train(settings(epochs=1, **changes), PROBE, found, toys(4, 1), tmp_path, code=code)
        return {p.name for p in tmp_path.iterdir()}

    first = run(toys(8))
    assert run(toys(8)) == first
    assert len(run(toys(8), learning_rate=1e-4)) == 2
    assert len(run(toys(8), code="edited")) == 3
    assert len(run(toys(8, seed=5))) == 4


# The checkpoint folder


def state(step: int) -> dict:
    return {"epoch": 0, "step": step, "weights": torch.arange(1000.0) + step}


def test_the_last_two_checkpoints_are_kept(tmp_path):
    for step in range(5):
        save_checkpoint(tmp_path, "r", state(step))
    assert [p.name for p in checkpoints_in(tmp_path)] == ["epoch-000000-step-000004.pt", "epoch-000000-step-000003.pt"]
    assert load_checkpoint(tmp_path, "r")["step"] == 4
    assert load_checkpoint(tmp_path / "nothing", "r") is None


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped", "text", "foreign", "missing tail"])
def test_a_damaged_newest_checkpoint_falls_back_to_the_older_and_says_so(tmp_path, capsys, damage):
    save_checkpoint(tmp_path, "r", state(1))
    save_checkpoint(tmp_path, "r", state(2))
    spoil(checkpoints_in(tmp_path)[0], damage)
    assert load_checkpoint(tmp_path, "r")["step"] == 1
    said = capsys.readouterr().err
    assert "step-000002.pt" in said
    assert "going on from the older epoch-000000-step-000001.pt" in said


def test_no_sound_checkpoint_is_an_error_in_one_line(tmp_path):
    for step, damage in ((1, "truncated"), (2, "text")):
        save_checkpoint(tmp_path, "r", state(step))
        spoil(checkpoints_in(tmp_path)[0], damage)
    with pytest.raises(LimelightError, match="no sound checkpoint.*delete the folder to start again") as caught:
        load_checkpoint(tmp_path, "r")
    assert "\n" not in str(caught.value)


def test_every_single_byte_flip_is_refused_or_harmless(tmp_path):
    save_checkpoint(tmp_path, "r", state(3))
    path = checkpoints_in(tmp_path)[0]
    data, refused = path.read_bytes(), 0
    for place in range(0, len(data), 37):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :])
        try:
            found = load_torch(path, "checkpoint")
        except LimelightError:
            refused += 1
        else:
            assert torch.equal(found["weights"], state(3)["weights"])
            assert (found["epoch"], found["step"], found["recipe"]) == (0, 3, "r")
    assert refused > 0.8 * len(range(0, len(data), 37))


@contextlib.contextmanager
def trainer_elsewhere(folder: Path):
    """A process of its own that holds the folder's lock."""
    text = (
        "import time\nfrom pathlib import Path\nfrom limelight.training.checkpoint import lock\n"
        f"with lock(Path({str(folder)!r})):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)
    try:
        assert owner.stdout.readline() == "held\n"
        yield owner
    finally:
        owner.kill()
        owner.communicate()


def test_a_second_trainer_waits_for_the_first_and_says_so_once(tmp_path, capsys):
    with trainer_elsewhere(tmp_path) as owner:
        end = threading.Timer(2, owner.kill)
        end.start()
        with lock(tmp_path):  # the kernel freed it
            assert owner.wait(timeout=10) == -signal.SIGKILL
        end.join()
        said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"process {owner.pid} on {socket.gethostname()} trains in {tmp_path}; waiting" in said


def test_a_second_trainer_waits_for_one_that_gets_on_and_refuses_beside_a_silent_one(tmp_path, monkeypatch):
    clock = [time.time()]

    def sleep(seconds):
        """A minute goes by; in the first hour the other trainer writes a checkpoint every ten."""
        clock[0] += 60
        minutes = round((clock[0] - start) / 60)
        if minutes <= 60 and minutes % 10 == 0:
            save_checkpoint(tmp_path, "r", state(minutes))
            os.utime(tmp_path, (clock[0], clock[0]))

    with trainer_elsewhere(tmp_path) as owner:
        start = clock[0]
        monkeypatch.setattr(checkpoint, "time", SimpleNamespace(time=lambda: clock[0], sleep=sleep))
        says = f"process {owner.pid} on .* training here already.*let it end, or stop it"
        with pytest.raises(LimelightError, match=says) as caught, lock(tmp_path):
            pass
    assert "\n" not in str(caught.value)
    assert clock[0] - start == pytest.approx(60 * 60 + checkpoint.SILENCE_S, abs=61)
    with lock(tmp_path):
        pass


def test_a_lock_keeps_out_training_itself(tmp_path, monkeypatch):
    train(settings(epochs=1), PROBE, toys(6), toys(2, 1), tmp_path)
    folder = next(tmp_path.iterdir())
    monkeypatch.setattr(checkpoint, "SILENCE_S", -1.0)
    before = sorted(path.name for path in folder.iterdir())
    with lock(folder), pytest.raises(LimelightError, match="one trainer per folder"):
        train(settings(epochs=1), PROBE, toys(6), toys(2, 1), tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_warns_and_goes_on(tmp_path, monkeypatch, capsys, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with lock(tmp_path):
        pass
    expected = f"limelight: {tmp_path} has no file locks ({os.strerror(number)}); start one trainer only"
    assert capsys.readouterr().err.splitlines() == [expected]
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]  # no marker that would outlive the process


def test_signals_have_their_handlers_back_after_training(tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)]
    train(settings(epochs=1), PROBE, toys(6), toys(2, 1), tmp_path)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)] == before


def test_a_full_disk_leaves_the_older_checkpoint(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, "r", state(1))

    def full(*_, **__):
        raise OSError(28, "No space left on device", "weights")

    monkeypatch.setattr(checkpoint.torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tmp_path, "r", state(2))
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["epoch-000000-step-000001.pt"]
    assert load_checkpoint(tmp_path, "r")["step"] == 1
