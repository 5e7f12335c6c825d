"""What is timed still runs: each benchmark at a size of seconds. No time is judged here."""

import csv
import sys
from pathlib import Path

import pytest

from benchmarks import observation, painting, scaling, start


def test_painting_gives_the_same_light_as_histogramdd(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    arguments = ["--halos", "2000", "--pixels", "16", "--channels", "8", "--repeats", "1"]
    monkeypatch.setattr(sys, "argv", ["painting", *arguments])
    monkeypatch.setattr(painting.os, "sched_setaffinity", lambda *_: None)  # this process goes on to other tests
    painting.main()
    assert "results exactly equal: True" in capsys.readouterr().out


def test_observation_tells_its_share_of_a_step(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    monkeypatch.setattr(sys, "argv", ["observation", "--pixels", "16", "--channels", "10", "--repeats", "2"])
    observation.main()
    assert capsys.readouterr().out.count("ms a step") == 2


def test_starts_are_told_beside_what_libraries_take(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    config = str(start.ROOT / "config" / "gaussian_field.yaml")
    monkeypatch.setattr(sys, "argv", ["start", "--config", config, "--repeats", "1"])
    start.main()
    said = capsys.readouterr().out
    assert said.count("of processor time") == 2
    assert "a dry run of 0 jobs" not in said


def test_scaling_writes_points_and_a_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setattr(sys, "argv", ["scaling", "--output", str(tmp_path / "scaling"), "--scale", "0.02"])
    monkeypatch.setattr(scaling, "lightcones", lambda scale: iter(()))  # the smallest that can be made takes seconds
    scaling.main()
    rows = list(csv.DictReader((tmp_path / "scaling.csv").open()))
    assert {row["size_of"] for row in rows} == {"halos", "voxels", "voxels of a map", "maps"}
    assert all(float(row["processor_seconds"]) > 0 for row in rows)
    assert (tmp_path / "scaling.png").stat().st_size > 10_000
    assert "a draw of its map" in capsys.readouterr().out


def test_a_slope_is_that_of_the_larger_half():
    sizes = [1.0, 10.0, 100.0, 1000.0]
    assert scaling.slope(sizes, [5.0, 5.0, 1.0, 100.0]) == pytest.approx(2.0)
