"""Estimates: above what runs have taken, growing with what costs, and adding up."""

import inspect
import math
import subprocess
import sys

import pytest
from altered import altered
from snakemake.scheduling.job_scheduler import JobScheduler

from limelight.errors import LimelightError
from limelight.probes.line_intensity.config import LineStudy
from limelight.study.config import ROOT, load_study
from limelight.study.cost import costs, memory_mb, network_size, runtime_min, seconds, training_seconds
from limelight.study.selection import output_shape
from scripts.estimate import grouped, jobs_of

# What the demo and the tiny study took on one core: largest max_rss in MB and shortest wall time in s of their stages.
MEASURED = {
    "demo": {"lightcone": (990, 13.7), "subfields": (636, 3.1), "maps": (628, 9.4), "pooled": (366, 3.0)},
    "tiny": {
        "lightcone": (976, 14.0),
        "subfields": (329, 2.6),
        "maps": (329, 2.8),
        "pooled": (322, 2.6),
        "network": (429, 8.5),
    },
}
STAGES = ("lightcone", "subfields", "maps", "pooled", "network", "evaluation", "audit_network", "figure")
JOBS = {"lightcone": 161, "subfields": 161, "maps": 177, "pooled": 177, "network": 3, "evaluation": 12, "layers": 5}


@pytest.fixture(scope="module")
def studies() -> dict[str, LineStudy]:
    paths = {"demo": "config/demo.yaml", "paper": "config/paper.yaml", "tiny": "tests/pipeline/tiny.yaml"}
    return {name: load_study(ROOT / path) for name, path in paths.items()}


def changed(study: LineStudy, section: str, **values) -> LineStudy:
    return altered(study, {f"{section}.{key}": value for key, value in values.items()})


@pytest.mark.parametrize(("name", "stage"), [(name, stage) for name in MEASURED for stage in MEASURED[name]])
def test_estimates_hold_for_runs_that_were_measured(studies, name, stage):
    rss_mb, wall_s = MEASURED[name][stage]
    assert rss_mb < memory_mb(studies[name], stage) < max(2 * rss_mb, rss_mb + 3000)
    assert wall_s / 2 < seconds(studies[name], stage) < 4 * wall_s
    assert runtime_min(studies[name], stage) > 3 * wall_s / 60


def test_the_known_networks_have_their_known_size(studies):
    flops, weights = network_size(studies["paper"], "notes_cnn")
    assert flops == pytest.approx(6.45e9, rel=0.01)  # counted by hand: "same" pooling, 64 × 64 × 10
    assert weights == pytest.approx(122.3e6, rel=0.001)


def test_a_step_of_the_notes_cnn_takes_the_estimated_time_on_a_gpu(studies):
    study = changed(studies["paper"], "lightcones", validation=[])
    hours = training_seconds(study, "notes_cnn") - 60  # 100 epochs of 100 steps
    assert 6e-3 < hours / 1e4 - 0.01 < 8e-3


@pytest.mark.parametrize("stage", STAGES)
def test_more_costs_more_and_less_never_costs_more(studies, stage):
    paper = studies["paper"]
    wider = changed(paper, "lightcones", field_deg=2 * paper.lightcones.field_deg)
    finer = changed(paper, "grid", pixels=512)
    turned = changed(paper, "subfields", rotations_deg=[0, 90])
    for more in (wider, finer, turned):
        assert memory_mb(more, stage) >= memory_mb(paper, stage)
        assert seconds(more, stage) >= seconds(paper, stage)
    grows = {"lightcone": wider, "subfields": turned, "maps": turned, "pooled": finer}
    if stage in grows:
        fixed = 14 if stage == "lightcone" else 4  # seconds that no study is spared
        ratio = (seconds(grows[stage], stage) - fixed) / (seconds(paper, stage) - fixed)
        assert 1.5 < ratio < 5
    doubled = changed(paper, "resources", memory_factor=2.0, runtime_factor=2.0)
    assert memory_mb(doubled, stage) == pytest.approx(2 * memory_mb(paper, stage), abs=2)
    assert runtime_min(doubled, stage) == pytest.approx(2 * runtime_min(paper, stage), abs=2)


def test_more_gpus_train_faster_but_not_for_less(studies):
    one, four = studies["paper"], changed(studies["paper"], "resources", gpus=4)
    rows = [{row["stage"]: row for row in costs(study, JOBS)}["network"] for study in (one, four)]
    assert rows[1]["gpus"] == 4
    assert rows[1]["minutes"] < rows[0]["minutes"]
    assert rows[1]["gpu_hours"] > rows[0]["gpu_hours"]
    assert rows[1]["memory_gb"] > rows[0]["memory_gb"]
    assert {row["stage"]: row["gpus"] for row in costs(four, JOBS)}["evaluation"] == 1
    nothing = changed(studies["paper"], "resources", gpus=0)
    assert all(row["gpu_hours"] == 0 for row in costs(nothing, JOBS))
    assert seconds(nothing, "network") > 100 * seconds(one, "network")


def test_a_rule_without_a_cost_of_its_own_counts_as_a_figure(studies):
    rows = {row["stage"]: row for row in costs(studies["paper"], {**JOBS, "figure_error_bands": 3})}
    assert rows["figure"]["jobs"] == 8
    assert sum(row["jobs"] for row in rows.values()) == sum(JOBS.values()) + 3


def test_the_jobs_of_a_dry_run_are_counted_whatever_is_finished(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = jobs_of(ROOT / "tests" / "pipeline" / "tiny.yaml", ["all"])
    expected = {
        "lightcone": 4,
        "subfields": 4,
        "maps": 7,
        "pooled": 7,
        "network": 4,
        "evaluation": 4,
        "audit_network": 2,
    }
    assert expected.items() <= found.items()  # two networks and their controls; breysse has no test maps
    assert grouped(found) == 18
    with pytest.raises(LimelightError, match="nonsense"):
        jobs_of(ROOT / "tests" / "pipeline" / "tiny.yaml", ["nonsense"])


def test_what_is_kept_counts_as_disk_and_the_rest_as_temporary(studies):
    for keep, kept, temporary in (([], False, True), (["maps"], True, False)):
        study = altered(studies["paper"], {"keep": keep})
        row = {row["stage"]: row for row in costs(study, JOBS)}["maps"]
        assert (row["kept_gb"] > 0, row["temporary_gb"] > 0) == (kept, temporary)
    assert row["kept_gb"] == pytest.approx(177 * 36 * 256**2 * 100 * 4e-9)


def test_the_script_prints_one_row_per_stage_and_says_how_it_estimated():
    command = [sys.executable, ROOT / "scripts" / "estimate.py", "--config", ROOT / "config" / "paper.yaml"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    stages = [line.split()[0] for line in said.splitlines()[1:9]]
    assert stages == list(STAGES)
    for words in ("core-hours", "GPU-hours", "disk:", "not measured", "network resnet: 159.5 M"):
        assert words in said


def test_foreign_files_count_by_their_size(studies, tmp_path):
    """A light-cone read from 400 MB asks for memory and time for them, whatever its field; files not here count nothing."""
    for number, megabytes in enumerate((100, 400)):
        with open(tmp_path / f"{number}.list", "wb") as file:
            file.truncate(megabytes * 10**6)  # sparse
    cones = {"source": "rockstar", "train": [0], "validation": [1], "test": [7]}
    foreign = changed(studies["tiny"], "lightcones", **cones, files=str(tmp_path / "{lightcone}.list"))
    absent = changed(foreign, "lightcones", files=str(tmp_path / "none" / "{lightcone}.list"))
    shared = changed(foreign, "lightcones", files=[str(tmp_path / "0.list"), str(tmp_path / "1.list")])
    needs = [memory_mb(study, "lightcone") for study in (absent, foreign, shared)]
    assert 3 * 400 < needs[1] - needs[0] < 20 * 400
    assert needs[2] - needs[0] == pytest.approx((needs[1] - needs[0]) * 500 / 400, rel=0.01)
    assert seconds(foreign, "lightcone") > seconds(absent, "lightcone") + 4


def test_snakemake_schedules_without_the_rate_limiter_that_the_snakefile_turns_off():
    """The Snakefile sets `job_rate_limiter` to None: if Snakemake calls it otherwise one day, its timers are back."""
    assert "self.job_rate_limiter is None" in inspect.getsource(JobScheduler.job_selector)
    assert "self.job_rate_limiter is not None" in inspect.getsource(JobScheduler.schedule)


def test_draws_count_for_the_networks_that_posteriors_stand_on():
    """Beside them may be networks that answer whole cubes: 300 draws of two of these would ask for 120 GB."""
    study = load_study(ROOT / "config" / "interlopers.yaml")
    assert max(math.prod(output_shape(study, network)) for network in study.networks.values()) == 2 * 32**3
    assert memory_mb(study, "intervals") < 8000
