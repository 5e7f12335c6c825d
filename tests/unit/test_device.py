"""--device of every script that computes with torch."""

import pytest
import torch

from limelight.device import DEVICES, device_for, pick_device
from limelight.errors import LimelightError


@pytest.mark.parametrize(("here", "found"), [(False, ["cpu", "cpu", None]), (True, ["cuda", "cpu", "cuda"])])
def test_a_gpu_is_used_where_there_is_one_and_missed_in_one_line(
    here: bool, found: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: here)
    for asked, device in zip(DEVICES, found, strict=True):
        if device:
            assert pick_device(asked) == device
        else:
            with pytest.raises(LimelightError, match="--device: found cuda"):
                pick_device(asked)


def test_a_study_without_gpus_stays_on_the_cpu_of_a_machine_that_has_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [pick_device(device_for(gpus)) for gpus in (0, 1, 4)] == ["cpu", "cuda", "cuda"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [pick_device(device_for(gpus)) for gpus in (0, 1)] == ["cpu", "cpu"]
