"""Event files for TensorBoard, read by its own reader."""

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_toys import PROBE, settings, toys

from limelight.training.events import event_writer
from limelight.training.loop import train


def steps_and_values(folder: Path, name: str) -> list[tuple[int, float]]:
    found = EventAccumulator(str(folder)).Reload()
    return [(event.step, event.value) for event in found.Scalars(name)]


def test_a_training_is_watched_epoch_by_epoch(tmp_path: Path):
    _, history = train(
        settings(epochs=2), PROBE, toys(8), toys(4, 1), tmp_path / "run", watch=event_writer(tmp_path / "events")
    )
    for name in ("train_loss", "validation_mse", "learning_rate"):
        found = steps_and_values(tmp_path / "events", name)
        assert [step for step, _ in found] == [row["step"] for row in history]
        assert [value for _, value in found] == pytest.approx([row[name] for row in history], rel=1e-6)


def test_a_resumed_run_goes_on_and_another_begins_afresh(tmp_path: Path):
    rows = [{"epoch": i, "step": 10 * i, "train_loss": 1 / i} for i in (1, 2, 3)]
    event_writer(tmp_path)(rows[0])
    resumed = event_writer(tmp_path)
    resumed(rows[1])
    resumed(rows[2])
    assert steps_and_values(tmp_path, "train_loss") == [(10, 1.0), (20, 0.5), (30, pytest.approx(1 / 3))]
    event_writer(tmp_path)({**rows[0], "train_loss": 7.0})
    assert steps_and_values(tmp_path, "train_loss") == [(10, 7.0)]
