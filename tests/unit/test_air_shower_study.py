"""Tiny studies of air showers, from shards to networks beside detectors and fits."""

import re
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml

from limelight.data.shard import Rows, read_shards, write_shard
from limelight.errors import LimelightError
from limelight.evaluation.predict import evaluate
from limelight.files import ROOT, provenance, read_csv
from limelight.probe import load_probe
from limelight.probes.air_shower import beside
from limelight.probes.air_shower.beside import (
    DIRECTION_COLUMNS,
    QUIET,
    TRAINED,
    TRIGGER_COLUMNS,
    Trigger,
    direction_rows,
    distance_edges,
    judge_directions,
    judge_triggers,
)
from limelight.probes.air_shower.figures import directions_figure, rates_shown, trigger_figure
from limelight.probes.air_shower.noise import noise_of
from limelight.probes.air_shower.presentation import TracePresentation
from limelight.probes.air_shower.probe import station_of
from limelight.probes.air_shower.pulses import TRANSIENTS
from limelight.section import plain
from limelight.study.config import resolve_study
from limelight.study.settings import evaluation_settings, network_settings
from limelight.training.checkpoint import load_model, save_model
from limelight.training.loop import train

PROBE = load_probe("air_shower")


def study_of(answer: str):
    direction = answer == "direction"
    data = {"samples": 48 if direction else 64, "rows": 300}
    data |= {"array": {"side": 3}, "snr": [8, 20], "window": [0.4, 0.6]} if direction else {"transients": ["sparks"]}
    network = {"architecture": "antennas" if direction else "traces", "data": ["data"]}
    network["options"] = (
        {"filters": 4, "width": 8, "layers": 1} if direction else {"filters": 8, "context": 8, "dense": 8}
    )
    network["target"] = {"answer": answer, "standardise": not direction}
    training = {"epochs": 2 if direction else 6, "batch_size": 32, "loss": "mse" if direction else "cross_entropy"}
    return resolve_study(
        {
            "study": "tiny",
            "probe": "air_shower",
            "realisations": {"train": [0, 3, 4, 5], "validation": [1], "test": [2]},
            "data": {"data": data},
            "training": {**training, "learning_rate": 4e-3},
            "networks": {"n": network | ({} if direction else {"curriculum": {"lift": 3}})},
            "tests": {"t": {"data": "data"}},
            "judging": {"noise_traces": 3000, "traces": 300, "snr": [2, 5], "rates": [0.1, 0.01]},
            "audit": {"networks": "none"},
            "resources": {"training_threads": 1},
        },
        "tiny.yaml",
    )


def trained(study, folder):
    """The trained network of a study with its info, and the rows of its test."""
    torch.set_num_threads(1)
    settings = PROBE.dataset_settings(study, "data")
    for split in study.splits.values():
        for n in split:
            write_shard(folder / f"{n}.h5", PROBE.simulate(settings, "data", n), provenance(settings, study.seed))
    rows: dict[str, Rows] = {
        split: read_shards([folder / f"{n}.h5" for n in numbers]) for split, numbers in study.splits.items()
    }
    content, history = train(
        network_settings(study, "n"), PROBE, rows["train"], rows["validation"], folder / "checkpoints"
    )
    save_model(folder / "model.pt", content, provenance(network_settings(study, "n"), study.seed))
    columns = {key: np.array([row[key] for row in history]) for key in history[0]}
    return *load_model(folder / "model.pt"), rows["test"], columns


def test_a_trigger_learns_and_is_judged_beside_the_likelihood_ratio(tmp_path, monkeypatch):
    study, at, shares = study_of("kind"), TracePresentation.at, []
    monkeypatch.setattr(TracePresentation, "at", lambda self, share: (shares.append(share), at(self, share))[1])
    module, info, rows, history = trained(study, tmp_path)
    result = evaluate(module, info, evaluation_settings(study, "n", "t"), PROBE, rows, history)
    assert result.totals["accuracy"] > 0.58
    steps = study.networks["n"].training.epochs * 38  # batches of 1200 rows
    np.testing.assert_allclose(shares, np.arange(steps) / steps)  # the curriculum knows how far the training is
    found = judge_triggers({"n": module}, study)
    assert {tuple(row) for row in found.table} == {TRIGGER_COLUMNS}

    def share(detector, background, pulses, rate):
        keys = ("detector", "background", "pulses", "rate")
        (row,) = [row for row in found.table if tuple(row[key] for key in keys) == (detector, background, pulses, rate)]
        return row["efficiency"]

    for detector in ("threshold", "matched filter", "n"):
        for rate in (0.1, 0.01):
            assert share(detector, QUIET, "prior", rate) < share("likelihood ratio", QUIET, "prior", rate) + 0.04
    assert share("n", QUIET, "5", 0.1) > share("n", QUIET, "2", 0.1)
    assert share("n", QUIET, "5", 0.1) > 0.4
    assert share("matched filter", TRAINED, "5", 0.01) < share("matched filter", QUIET, "5", 0.01) - 0.3
    assert np.mean([share("threshold", QUIET, kind, 0.01) for kind in TRANSIENTS]) > 0.5  # they pass for pulses
    again = judge_triggers({"n": module}, study)
    assert again.table == found.table
    assert len(trigger_figure(found).axes) == 3


def test_directions_come_near_the_bound_after_a_minute(tmp_path):
    study = study_of("direction")
    module, info, rows, history = trained(study, tmp_path)
    result = evaluate(module, info, evaluation_settings(study, "n", "t"), PROBE, rows, history)
    assert 0.8 < result.totals["angle_over_bound"] < 2.5
    assert "Cramér-Rao" in PROBE.in_words(result.totals)
    found = judge_directions({"n": module}, study)
    assert {tuple(row) for row in found.table} == {DIRECTION_COLUMNS}
    over = {row["estimate"]: row["over_bound"] for row in reversed(found.table)}  # the first row: of all events
    assert over["bound"] == 1
    assert 0.85 < over["spherical wave"] < 1.4
    assert over["n"] < 2.5
    assert len(directions_figure(found).axes) == 2
    by_script(study, tmp_path)


def by_script(study, folder):
    """The table of the script is that of the function; a network of another study is refused in one line."""
    for name, seed in (("ours", study.seed), ("theirs", 1)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({**plain(study), "seed": seed}))
    words = [sys.executable, ROOT / "scripts" / "judge_showers.py", "--networks", folder / "model.pt"]
    said = subprocess.run([*words, "--config", folder / "ours.yaml", "--output", folder / "b.csv"], capture_output=True)
    assert said.returncode == 0, said.stderr.decode()
    assert read_csv(folder / "b.csv", "table")["estimate"][0] == "plane wave"
    assert {path.name for path in folder.glob("b.*")} == {"b.csv", "b.pdf", "b.png"}
    said = subprocess.run(
        [*words, "--config", folder / "theirs.yaml", "--output", folder / "c.csv"], capture_output=True
    )
    assert said.returncode == 1
    assert re.fullmatch(r"limelight: error: [^\n]*model\.pt: found [^\n]*seed[^\n]*\n", said.stderr.decode())
    assert not list(folder.glob("c.*"))


def test_networks_that_cannot_be_judged_together_are_refused():
    study = study_of("direction")
    networks = {**study.networks, "other": study.networks["n"].model_copy(update={"clock_ns": 5.0})}
    other = study.model_copy(update={"networks": networks})
    with pytest.raises(LimelightError, match="one dataset and one clock_ns"):
        judge_directions({"n": None, "other": None}, other)


def test_every_event_counts_in_the_row_of_all_distances():
    """Ends that are no tenths of a kilometre were rounded, and the events beyond them left out of the mean over all."""
    distance = np.geomspace(0.26, 2.24, 100)
    edges = distance_edges(0.26, 2.24)
    assert edges == (0.26, *(float(f"{edge:.3g}") for edge in (0.26 * (2.24 / 0.26) ** (i / 3) for i in (1, 2))), 2.24)
    rows = direction_rows({"plane wave": distance}, np.ones(100), distance, edges)
    counted = [row["events"] for row in rows if row["estimate"] == "plane wave"]
    assert counted[0] == sum(counted[1:]) == 100
    assert distance_edges(3.0, 300.0) == (3.0, 13.9, 64.6, 300.0)


@pytest.mark.parametrize(("noise_traces", "count"), [(1000, 2000), (200_000, 20_000)])
def test_transients_have_their_share_however_little_noise_there_is(noise_traces, count):
    study = study_of("kind")
    settings = PROBE.dataset_settings(study, study.networks["n"].data[0])
    data = settings.data.model_copy(update={"transients": list(TRANSIENTS)[:1], "transient_share": 0.5})
    station = station_of(PROBE.header(settings))
    streams = beside._Streams(1, noise_of(station, data.samples))
    judging = study.judging.model_copy(update={"noise_traces": noise_traces})
    found = beside._busy(
        lambda traces: np.ones((2, len(traces))), streams, data, station, judging, np.zeros((2, noise_traces)), "busy"
    )
    assert found.shape == (2, count)
    assert found.mean() == 0.5


def test_the_figure_of_triggers_shows_rates_that_there_are():
    """The rates are the study's, and its panels stayed empty under a title of 1e-2 and 1e-4 where it named others."""
    curves, table = {}, []
    for name in ("threshold", "matched filter", "likelihood ratio"):
        curves[name] = np.linspace(0, 1, 81)
        for rate, share in ((0.3, 0.9), (0.05, 0.7), (0.002, 0.5), (1e-5, np.nan)):
            row = (name, QUIET, "3", rate, 0.0, share, 0.01, 0.9)
            table.append(dict(zip(TRIGGER_COLUMNS, row, strict=True)))
    found = Trigger(table, curves)
    assert rates_shown(found) == (0.05, 0.002)
    panel = trigger_figure(found).axes[1]
    assert panel.get_title() == "noise: rates 0.05, 0.002 (dashed)"
    drawn = sorted(set(np.concatenate([line.get_ydata() for line in panel.lines])))
    np.testing.assert_allclose(drawn, [0.5, 0.7])
    usual = Trigger([{**row, "rate": 10 ** -(1 + i % 4), "efficiency": 0.5} for i, row in enumerate(table)], curves)
    assert trigger_figure(usual).axes[1].get_title() == "noise: rates $10^{-2}$, $10^{-4}$ (dashed)"
