"""The check of a GPU, tried on the CPU: all of it runs, and what disagrees or is missing is said."""

import csv
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import gpu


def called(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["gpu", *words])
    with pytest.raises(SystemExit) as ended:
        gpu.main()
    return int(ended.value.code)


def test_every_check_runs_on_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert called(monkeypatch, "--dry", "--output", str(tmp_path)) == 0
    with open(tmp_path / "gpu.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    checks = {"machine", *(check.__name__ for check in gpu.CHECKS), "paper"}
    assert {row["check"] for row in rows} == checks
    assert [row["verdict"] for row in rows if row["check"] == "agreement"] == ["agrees"] * (2 * len(gpu.NETWORKS) + 1)
    steps = [row for row in rows if row["check"] == "training"]
    assert {row["what"] for row in steps} == {
        f"{name}, {kind}" for name in gpu.NETWORKS for kind in ("float32", "bf16")
    }
    assert all(float(row["value"]) > 0 for row in steps)
    assert (tmp_path / "gpu.png").stat().st_size > 1000


def test_what_differs_fails_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def wrong(run: gpu.Run) -> None:
        there = torch.tensor([1.0, -1.0, 1.0])
        gpu.compare(run, "agreement", "sound", there + 1e-4, there)
        gpu.compare(run, "agreement", "wrong", there * 1.1, there)
        gpu.compare(run, "agreement", "not a number", there * float("nan"), there)

    monkeypatch.setattr(gpu, "CHECKS", {wrong: 1})
    assert called(monkeypatch, "--dry", "--output", str(tmp_path)) == 1
    verdicts = [line.rpartition(",")[2] for line in (tmp_path / "gpu.csv").read_text().splitlines()[2:]]
    assert verdicts == ["agrees", "DIFFERS", "DIFFERS"]


def test_a_check_without_its_package_is_named_and_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "limelight.cosmology", None)
    monkeypatch.setattr(gpu, "CHECKS", {gpu.lightcone: 1})
    assert called(monkeypatch, "--dry", "--output", str(tmp_path)) == 0
    assert "lightcone,left out: needs limelight.cosmology" in (tmp_path / "gpu.csv").read_text()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["gpu", "--output", str(tmp_path)])
    with pytest.raises(SystemExit, match="torch finds no CUDA device; use a machine that has one, or --dry"):
        gpu.main()
