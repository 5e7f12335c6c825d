"""The workflow as a user meets it: end to end, repeated, changed, killed."""

import csv
import random
import re
import resource
import subprocess
import sys
from pathlib import Path

import h5py
import pytest
import torch
import yaml
from checkout import COMPARED, ROOT, TINY, Checkout, environment, plan

import limelight
from benchmarks.kill_harness import one_round
from limelight.study.config import load_study
from tests.browser import browse


def variant(checkout: Checkout, name: str, change) -> str:
    """Write a changed copy of the tiny config into the checkout; returns its path."""
    raw = yaml.safe_load(yaml.safe_dump(TINY))
    change(raw)
    path = checkout.root / "config" / f"{name}.yaml"
    path.write_text(yaml.safe_dump(raw))
    return f"config/{name}.yaml"


def test_the_study_is_whole(finished: Checkout):
    results = finished.root / "results" / "tiny"
    study = load_study(finished.root / "config" / "tiny.yaml")
    for network in study.networks:
        assert (results / "networks" / network / "history.csv").read_text().count("\n") == 1 + 3
        for test in study.tests:
            assert (results / "evaluation" / network / f"{test}.h5").stat().st_size > 0
        pdfs = {path.stem for path in (results / "figures" / network).glob("*.pdf")}
        assert pdfs == {path.stem for path in (results / "figures" / network).glob("*.png")}
        assert {"map_slices", "luminosity_function", "error_bands", "loss_history", "blank_map", "audit"} <= pdfs
        assert (results / "audit" / f"{network}.csv").read_text().count("\n") == 1 + 14, "a row a bin"
    assert not (results / "maps" / "li10" / "0.h5").exists(), "full-resolution maps are temporary unless kept"
    assert not list(results.rglob("*.part")), "no temporary file may stay behind"
    # PYTHONPATH names the repository, which has a commit; the scratch checkout has none
    with h5py.File(results / "evaluation" / "cnn" / "clean.h5") as file:
        assert file.attrs["git_commit"] == "unknown", "jobs run the package of their own checkout"


def test_no_test_map_shares_halos_with_a_training_map(finished: Checkout):
    study = load_study(finished.root / "config" / "tiny.yaml")
    cones = {}
    for split in ("train", "validation", "test"):
        for cone in study.splits[split]:
            with h5py.File(finished.root / "results" / "tiny" / "shards" / "li10" / f"{cone}.h5") as file:
                cones.setdefault(int(file["group"][0]), set()).add(split)
    assert set(cones) == {0, 1, 2, 3}
    assert all(len(splits) == 1 for splits in cones.values())


def test_a_second_run_has_nothing_to_do(finished: Checkout):
    assert finished.planned() == {}


def test_a_finished_study_makes_again_what_was_deleted_and_nothing_for_a_new_date(finished: Checkout, tmp_path: Path):
    results = finished.results
    for name in ("lightcones/0.h5", "subfields/0.h5", "shards/li10/0.h5", "networks/cnn/model.pt"):
        (results / name).touch()
    assert finished.planned() == {}, "the contents are the same"
    gone = {"shards/li10/3.h5": "pooled", "networks/cnn/model.pt": "network", "evaluation/cnn/clean.h5": "evaluation"}
    for name, rule in gone.items():
        (results / name).rename(tmp_path / "away")
        planned = finished.planned()
        (tmp_path / "away").rename(results / name)
        assert planned[rule] == 1, name
        assert "figure_error_bands" in planned
    assert finished.planned() == {}


def test_a_lock_that_a_killed_snakemake_left_stops_nobody(finished: Checkout):
    """And a plain run with nothing to do takes it away."""
    lock = finished.root / ".snakemake" / "locks" / "0.output.lock"
    lock.write_text("\n".join(f"results/tiny/{name}" for name in finished.outputs()))
    finished.snakemake("--cores", "1", *COMPARED)
    assert not lock.exists()


def test_a_key_given_twice_is_refused_by_snakemake_too(tmp_path: Path):
    checkout = Checkout(tmp_path)
    config = tmp_path / checkout.config
    config.write_text(config.read_text() + "seed: 8\n")
    run = checkout.snakemake("--dry-run", check=False)
    assert run.returncode == 1
    errors = [line for line in run.stderr.splitlines() if line.startswith("limelight: error:")]
    assert len(errors) == 1
    assert "key 'seed' given twice" in errors[0]
    assert not (tmp_path / "results").exists()


def test_stages_ask_for_the_gpu_that_they_use(tmp_path: Path):
    for gpus in (0, 1):
        checkout = Checkout(tmp_path / str(gpus), {**TINY, "resources": {"gpus": gpus}})
        said = checkout.snakemake("--dry-run", "--printshellcmds").stdout
        assert said
        jobs = re.findall(r"^rule (\w+):(.*?)(?=^(?:local)?rule |\Z)", said, re.MULTILINE | re.DOTALL)
        asked = {rule for rule, words in jobs if "gpu=1" in words}
        used = {rule for rule, words in jobs if "--device $DEVICE" in words}
        assert used == {"network", "evaluation", "audit_network"}
        assert asked == (used if gpus else set())


def test_a_changed_config_reruns_what_it_must_and_nothing_else(finished: Checkout):
    figures = {
        f"figure_{name}" for name in ("map_slices", "luminosity_function", "error_bands", "spread_ratio", "blank_map")
    }
    figures |= {
        "figure_loss_history",
        "figure_training_spread",
        "figure_comparison",
        "provenance",
        "summary",
        "overview",
    }
    audit, layers = {"audit_network", "figure_audit"}, {"layers", "figure_filters", "figure_feature_maps"}

    def planned(name, change):
        return finished.planned(variant(finished, name, change))

    noise = planned("noise", lambda raw: raw["tests"]["observed"].update(noise="none"))
    assert set(noise) == {"evaluation"} | figures
    assert noise["evaluation"] == 2, "one test of two networks"
    epochs = planned("epochs", lambda raw: raw["networks"]["cnn"].update(training={"epochs": 4}))
    assert set(epochs) == {"network", "evaluation"} | figures | audit | layers
    assert epochs["audit_network"] == 1
    assert (epochs["network"], epochs["evaluation"]) == (2, 2), "it and its control, which is shown to nobody else"
    prior = planned("prior", lambda raw: raw["line_models"]["breysse"].update(prior="10%"))
    assert set(prior) == {"maps", "pooled", "network", "evaluation"} | figures | audit
    assert (prior["pooled"], prior["network"]) == (3, 2), (
        "the line model's train and validation maps; one network uses it, and its control"
    )
    seed = planned("seed", lambda raw: raw.update(seed=8))
    assert seed["lightcone"] == 4
    assert planned("keep", lambda raw: raw.update(keep=["lightcones", "subfields", "maps"])) == {}


def test_changed_code_reruns_what_it_must_and_nothing_else(finished: Checkout):
    package = finished.root / "limelight"
    style, loop = package / "figures" / "style.py", package / "training" / "loop.py"
    run = package / "training" / "run.py"
    networks, probes = package / "networks" / "__init__.py", package / "probes" / "__init__.py"
    lines = package / "probes" / "line_intensity" / "lines" / "models.py"
    figures = package / "figures" / "__init__.py"
    original = {path: path.read_text() for path in (style, loop, run, networks, probes, lines, figures)}

    def change(path: Path, old: str, new: str) -> None:
        assert old in original[path]
        path.write_text(original[path].replace(old, new, 1))

    try:
        style.write_text(original[style] + "\n# a remark\nUNUSED = 1\n")
        loop.write_text(original[loop] + '\n\ndef unused():\n    """Nothing."""\n    return 1\n')
        change(networks, '"limelight":', '"new": "limelight.networks.new:new", "limelight":')
        change(probes, '"gaussian_field":', '"new": "limelight.probes.new.probe:PROBE", "gaussian_field":')
        change(lines, '"li":', '"new": "limelight.probes.line_intensity.lines.new:NEW", "li":')
        change(figures, '"loss_history":', '"new": "limelight.figures.new:NEW", "loss_history":')
        assert finished.planned() == {}, "what no stage uses changes nothing"
        change(style, "COLUMN_IN, PAGE_IN = 3.5, 7.1", "COLUMN_IN, PAGE_IN = 3.5, 7.2")
        assert {rule.split("_")[0] for rule in finished.planned()} == {"figure", "overview"}
        style.write_text(original[style])
        change(run, "CALIBRATION_ROWS = 128", "CALIBRATION_ROWS = 127")
        stages = {"network", "evaluation", "audit", "layers", "summary", "overview", "figure", "provenance"}
        assert {rule.split("_")[0] for rule in finished.planned()} == stages
    finally:
        for path, text in original.items():
            path.write_text(text)


@pytest.mark.parametrize("name", ["index.html", "report.html"])
def test_a_browser_shows_the_result_first(finished: Checkout, tmp_path: Path, name: str):
    """The page opens without an error, and its headline figure and tables are what a reader sees first."""
    if name == "report.html":
        finished.snakemake("--report", "results/tiny/report.html")
    seen = browse(finished.results / name, tmp_path)
    assert seen.faults == []
    first = next(iter(load_study(finished.root / finished.config).networks))
    (headline,) = [image for image in seen.images if image["words"] == f"Error bands of {first}."]
    assert headline["pixels"] > 0
    assert headline["width"] > 300
    assert 0 <= headline["top"] < 300, "at the top, and not above it"
    for words in ("What came out", "below the training mean", "Can it be believed?", "What to look at first"):
        assert words in seen.text


def test_the_report_is_one_html_with_captions(finished: Checkout):
    finished.snakemake("--report", "results/tiny/report.html")
    text = (finished.root / "results" / "tiny" / "report.html").read_text()
    figures = list((finished.root / "results" / "tiny" / "figures").rglob("*.png"))
    assert {figure.parent.name for figure in figures} == {"limelight", "cnn", "comparisons"}
    assert text.count("data:image/png") == len(figures) + 1, "each figure once, and the headline on the first page"
    assert "95 %" in text, "the captions must be in it"
    assert "Both networks on what they take." in text, "that of a comparison is the config's"
    page = (finished.root / "results" / "tiny" / "provenance.html").read_text()  # of networks and their controls
    for kind, count in (("shard", 7), ("network", 4), ("evaluation", 4)):
        assert page.count(f"<td>{kind}</td>") in range(1, count + 1)
    for words in (limelight.__version__, f"torch {torch.__version__}", "<td>7</td>", "networks/cnn/model.pt"):
        assert words in page
    assert "provenance.html" in text


def test_killed_again_and_again_on_one_core_gives_the_same_bytes(finished: Checkout, tmp_path: Path):
    """The short form of benchmarks/kill_harness.py, against a run on two cores; then the one command that users type."""
    checkout, expected = Checkout(tmp_path, origin=finished.root), finished.outputs()
    kills, wrong = one_round(checkout, finished, random.Random(3), kills=4)
    assert len(kills) == 4
    assert [kill["damaged"] for kill in kills] == [0, 0, 0, 0]
    assert wrong == []
    assert set(checkout.outputs()) == set(expected)
    command = [sys.executable, "scripts/run_study.py", "--configfile", "config/tiny.yaml", "--cores", "1"]
    run = subprocess.run(command, cwd=checkout.root, capture_output=True, text=True, env=environment())
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    assert "The study is complete" in run.stdout
    for row in (
        r"network +test +mse \[dex²\]",
        r"limelight +clean +\S+ +\S+ ×",
        r"audit of +reads",
        r"limelight( +\d+){4} ",
    ):
        assert re.search(row, run.stdout), "what the evaluation files and audits say of the network closes the run"
    assert checkout.outputs() == expected


def test_part_of_a_study_is_made_without_a_report(tmp_path: Path):
    checkout = Checkout(tmp_path)
    part = "results/tiny/lightcones/0.h5"
    command = [sys.executable, "scripts/run_study.py", "--configfile", "config/tiny.yaml", "--cores", "1", "--", part]
    run = subprocess.run(command, cwd=checkout.root, capture_output=True, text=True, env=environment())
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    assert "a report needs the whole study" in run.stdout
    assert (checkout.root / part).is_file()
    assert not (checkout.root / "results" / "tiny" / "report.html").exists()


def test_a_bad_config_ends_in_one_line(finished: Checkout):
    config = variant(finished, "bad", lambda raw: raw["grid"].update(pixel=3))
    run = finished.snakemake("--dry-run", config=config, check=False)
    assert run.returncode != 0
    errors = [line for line in run.stderr.splitlines() if line.startswith("limelight: error:")]
    assert len(errors) == 1
    assert "did you mean 'pixels'" in errors[0]
    assert "Traceback" not in run.stderr


def test_a_dry_run_of_the_notes_bench_plans_it_and_writes_no_file(tmp_path: Path):
    checkout = Checkout(tmp_path)
    jobs = checkout.planned("config/bench.yaml")
    bench = load_study(checkout.root / "config" / "bench.yaml")
    assert jobs["network"] >= len(bench.networks)
    assert jobs["figure_comparison"] == len(bench.comparisons)
    assert not (checkout.root / "results").exists()


def test_galaxy_fields_go_to_posteriors_and_tables_by_one_command(tmp_path: Path):
    checkout = Checkout(tmp_path)
    jobs = checkout.planned("config/galaxy_field.yaml")
    study = load_study(checkout.root / "config" / "galaxy_field.yaml")
    assert jobs["posterior"] == jobs["calibrate"] == len(study.posteriors)
    assert jobs["beside_catalogue"] == len(study.tests)


def test_boxes_of_another_simulation_go_to_painters_and_bias_models_by_one_command(tmp_path: Path):
    realisations = {"train": [0, 1], "validation": [2], "test": [3]}
    for number in range(4):
        (tmp_path / f"box{number}.h5").touch()
    theirs = {"files": f"{tmp_path}/box{{realisation}}.h5", "side_mpc": 32, "particles": 32, "cells": 8}
    study = {"study": "theirs", "probe": "halo_field", "realisations": realisations, "data": {"theirs": theirs}}
    study |= {"training": {"loss": "negative_binomial_field", "batch_size": 1, "epochs": 1}}
    study |= {"networks": {"painter": {"architecture": "inception", "data": ["theirs"]}}}
    study |= {"tests": {"unseen": {"data": "theirs"}}, "bias": {"data": "theirs"}, "audit": {"networks": "none"}}
    checkout = Checkout(tmp_path / "checkout", study=study)
    jobs = checkout.planned(checkout.config)
    assert jobs["simulate"] == 4
    assert jobs["painted"] == jobs["bias"] == 1


MASKED = {"cut_deg": 20, "pixel_uk_arcmin": 70}
SKY = {
    "study": "small_sky",
    "probe": "reionisation",
    "realisations": {"train": [0], "validation": [1], "test": [2]},
    "data": {"sky": {"nside": 4, "maps": 200}},
    "training": {"epochs": 2, "batch_size": 64},
    "networks": {
        "maps": {
            "architecture": "healpix",
            "options": {"filters": 4, "spin": 2},
            "data": ["sky"],
            "inputs": "maps",
            "instrument": MASKED,
        }
    },
    "tests": {"masked": {"data": "sky", "instrument": MASKED}},
    "posteriors": {
        "mixture": {"network": "maps", "kind": "mdn", "mdn": {"components": 2, "rank": 0, "dropout": 0}},
    },
    "audit": {"networks": "none"},
    "figures": {"each_network": ["predicted_against_true"]},
    "resources": {"training_threads": 1},
}


def test_a_sky_goes_to_posteriors_beside_the_exact_one_by_one_command(tmp_path: Path):
    checkout = Checkout(tmp_path, study=SKY)
    checkout.snakemake("--cores", "2", "--show-failed-logs")
    with (checkout.results / "exact" / "masked.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["posterior"] for row in rows] == ["exact", "mixture"]
    assert float(rows[1]["nats_lost"]) > 0
    assert (checkout.results / "exact" / "masked.png").stat().st_size > 10_000


def test_the_notes_at_paper_scale_plan_fast(tmp_path: Path):
    checkout = Checkout(tmp_path)
    checkout.forget_answers()
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    jobs = checkout.planned("config/notes_paper.yaml")
    assert jobs["lightcone"] == 88
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 60  # of a processor; 5 s on an idle machine


def test_the_paper_study_plans_fast_and_as_estimated_under_the_cluster_profile(tmp_path: Path):
    checkout = Checkout(tmp_path)
    checkout.forget_answers()
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    run = checkout.snakemake("--profile", "slurm", "--dry-run", config="config/paper.yaml")
    # the issue of a slow plan is quadratic work in the Snakefile; it takes 8 s of a processor, however busy the machine
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 90
    jobs = plan(run.stdout + run.stderr)
    assert jobs["lightcone"] == 161 == (run.stdout + run.stderr).count("Group job cone"), "a job a light-cone"
    estimate = [sys.executable, "scripts/estimate.py", "--config", "config/paper.yaml"]
    says = subprocess.run(estimate, cwd=checkout.root, capture_output=True, text=True, env=environment()).stdout
    total, queued = (
        int(n.replace(",", "")) for n in re.search(r"total: ([\d,]+) jobs \(([\d,]+) in a queue", says).groups()
    )
    assert total == pytest.approx(sum(jobs.values()), rel=0.03)
    assert queued == total - sum(jobs[rule] for rule in ("subfields", "maps", "pooled")) - 1
    assert f"has {total} stages, which are\n{queued} jobs of the queue" in (ROOT / "docs" / "cluster.md").read_text()
    assert queued < 500
    assert float(re.search(r"([\d.,]+) GPU-hours", says)[1].replace(",", "")) > 0
