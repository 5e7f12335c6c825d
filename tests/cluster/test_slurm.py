"""`snakemake --profile slurm` on a real scheduler: to the figures, and through all that ends a job before its time."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from runs import MODEL, PROFILE, STUDY, Checkout, Run, checkpoints, environment, epochs_to_fill, training_jobs

pytestmark = pytest.mark.cluster
LOG = "results/cluster/logs/networks/limelight.log"


def untrained(study: Run, folder: Path, training: dict | None = None) -> Checkout:
    """A copy of the finished study from before its training, which may be given other settings."""
    checkout = Checkout(folder, {**STUDY, "training": {**STUDY["training"], **(training or {})}}, study.checkout.root)
    for name in ("results", ".snakemake"):
        shutil.copytree(study.checkout.root / name, folder / name)
    for name in ("networks", "checkpoints", "evaluation", "figures"):
        shutil.rmtree(checkout.results / name)
    return checkout


def train(checkout: Checkout, *arguments: str) -> Run:
    """Start training through the scheduler."""
    return Run(checkout, *PROFILE, *arguments, "--", MODEL)


def start_at_once(run: Run, job: str) -> None:
    """Spare a job that is back in the queue the two minutes that SLURM lets it wait, once its node is free of it."""
    state = ["sinfo", "-h", "-o", "%T"]
    run.until(lambda: training_jobs("PENDING") == [job], "the job back in the queue")
    run.until(lambda: set(subprocess.check_output(state, text=True).split()) == {"idle"}, "an idle node")
    subprocess.run(["scontrol", "update", f"jobid={job}", "starttime=now"], check=True)


def newer_checkpoint(checkout: Checkout):
    """A condition: training has gone on beyond the checkpoints there are now."""
    before = checkpoints(checkout)
    return lambda: bool(checkpoints(checkout)) and checkpoints(checkout)[-1:] > before[-1:]


def resumed_at(checkout: Checkout) -> int:
    """The epoch that the last start of training went on from."""
    text = (checkout.root / LOG).read_text()
    assert "going on from epoch" in text, text
    return int(text.split("going on from epoch ")[1].split(",")[0])


def trained(checkout: Checkout) -> dict[str, bytes]:
    return checkout.outputs(("networks",))


def test_the_study_runs_to_its_figures_with_the_same_bytes_as_without_a_scheduler(study: Run, unbroken: Run):
    assert unbroken.end() == 0, unbroken.text()[-4000:]
    expected = unbroken.checkout.outputs()
    assert {name.split("/")[0] for name in expected} == {"lightcones", "pooled", "networks", "evaluation", "figures"}
    assert study.checkout.outputs() == expected
    submitted = study.text().count("has been submitted with SLURM jobid")
    assert submitted == 3 + 1 + 1 + 7, "a job a light-cone's whole chain, one a network, test and figure"
    assert not list(study.checkout.results.rglob("*.part"))


def test_training_asks_for_the_gpu_and_light_cones_do_not(study: Run):
    jobs = [line for line in study.jobs.splitlines() if "JobId=" in line]
    training = [job for job in jobs if "Comment=rule_network" in job]
    cones = [job for job in jobs if "Comment=rule_cone" in job]
    assert (len(training), len(cones)) == (1, 3), study.jobs
    assert "gres:gpu:1" in training[0] or "gres/gpu" in training[0], training
    assert not any("gpu" in job for job in cones), cones
    assert all("Requeue=1" in job for job in jobs)


def test_requeue_goes_on_from_the_checkpoint_and_a_second_trainer_is_refused(study: Run, tmp_path: Path):
    checkout = untrained(study, tmp_path)
    run = train(checkout)
    run.until(lambda: len(checkpoints(checkout)) == 2, "a second checkpoint")
    (job,) = training_jobs("RUNNING")

    # a second trainer on the same folder is refused while the first one trains, and harms nothing
    config = next((checkout.results / "config").glob("*.yaml"))
    second = [sys.executable, "scripts/train_network.py", "--config", str(config), "--network", "limelight"]
    second += ["--train", "results/cluster/pooled/li10/0.h5", "--validation", "results/cluster/pooled/li10/1.h5"]
    second += ["--checkpoints", "results/cluster/checkpoints/limelight"]
    second += ["--output", str(tmp_path / "second.pt"), "--history", str(tmp_path / "second.csv")]
    refused = subprocess.run(second, cwd=tmp_path, capture_output=True, text=True, env=environment())
    assert refused.returncode == 1
    assert "training here already" in refused.stderr
    assert not (tmp_path / "second.pt").exists()

    subprocess.run(["scontrol", "requeue", job], check=True)
    start_at_once(run, job)
    run.until(newer_checkpoint(checkout), "an epoch after the requeue")
    assert training_jobs("RUNNING") == [job], "a requeued job keeps its id"
    assert resumed_at(checkout) >= 3

    assert run.end() == 0, run.text()[-4000:]
    assert run.text().count("has been submitted") == 1, "all that was one job for snakemake"
    assert trained(checkout) == trained(study.checkout)


def test_scancel_or_ctrl_c_then_the_same_command_goes_on_from_the_checkpoint(study: Run, tmp_path: Path):
    checkout = untrained(study, tmp_path)
    run = train(checkout, "--retries", "0")
    run.until(lambda: len(checkpoints(checkout)) == 2, "a second checkpoint")
    subprocess.run(["scancel", *training_jobs("RUNNING")], check=True)
    assert run.end() != 0
    assert LOG in run.text(), "the user is shown where to look"
    assert not (checkout.root / MODEL).exists()

    run = train(checkout)
    run.until(newer_checkpoint(checkout), "an epoch after scancel")
    assert resumed_at(checkout) >= 3
    run.process.send_signal(signal.SIGINT)
    assert run.end() != 0
    assert not training_jobs("RUNNING", "PENDING"), "Ctrl-C takes its jobs along"

    run = train(checkout)
    assert run.end() == 0, run.text()[-4000:]
    assert resumed_at(checkout) >= 4
    assert trained(checkout) == trained(study.checkout)


def test_a_failing_job_shows_its_log_and_the_error(study: Run, tmp_path: Path):
    checkout = untrained(study, tmp_path)
    pooled = checkout.results / "pooled" / "li10" / "0.h5"
    pooled.write_bytes(pooled.read_bytes()[:5000])
    run = train(checkout, "--retries", "0")
    assert run.end() != 0
    assert LOG in run.text()
    errors = [line for line in run.text().splitlines() if "limelight: error:" in line]
    assert any("pooled/li10/0.h5" in line and "expected" in line for line in errors), run.text()[-4000:]


def test_a_job_over_its_time_limit_goes_on_by_itself(study: Run, tmp_path: Path):
    """SLURM's shortest limit is a minute, and it looks every half minute: training must take longer than both."""
    epochs = epochs_to_fill(110, (study.checkout.root / LOG).read_text())
    checkout = untrained(study, tmp_path / "limited", {"epochs": epochs})
    reference = Run(untrained(study, tmp_path / "unlimited", {"epochs": epochs}), "--cores", "1", "--", MODEL)
    # a slow machine spends much of a minute on starting: it may need more starts than the profile grants a day-long job
    limit = ["--set-resources", "network:runtime=1", "network:slurm_partition=gpu"]
    run = train(checkout, "--retries", "8", *limit)
    assert run.end() == 0, run.text()[-4000:]
    assert "TIMEOUT" in run.text()
    assert run.text().count("has been submitted") >= 2
    assert resumed_at(checkout) >= 3
    assert (checkout.results / "networks" / "limelight" / "history.csv").read_text().count("\n") == 1 + epochs
    assert reference.end() == 0, reference.text()[-4000:]
    assert trained(checkout) == trained(reference.checkout)
