"""`snakemake --profile slurm` on a real scheduler: to the figures, and through all that ends a job before its time.

Nothing here depends on how fast the machine is: a job is stopped once it has checkpoints, and a process that must still be
at work when something happens is paused for as long.
"""

import contextlib
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from one_node import lose_node, node_state, return_node
from runs import (
    MODEL,
    PATIENCE_S,
    PROFILE,
    STUDY,
    Checkout,
    Run,
    asked,
    checkpoints,
    environment,
    scripts,
    submitted,
    training_jobs,
)

pytestmark = pytest.mark.cluster
LOG = "results/cluster/logs/networks/limelight.log"
TRAINER = "train_network.py"


def untrained(study: Run, folder: Path, **changes) -> Checkout:
    """A copy of the finished study from before its training, which may be given other settings."""
    checkout = Checkout(folder, {**STUDY, **changes}, study.checkout.root)
    for name in ("results", ".snakemake"):  # of the second a part is there
        shutil.copytree(study.checkout.root / name, folder / name, dirs_exist_ok=True)
    for name in ("networks", "checkpoints", "evaluation", "figures"):
        shutil.rmtree(checkout.results / name)
    return checkout


def train(checkout: Checkout, *arguments: str) -> Run:
    """Start training through the scheduler."""
    return Run(checkout, *PROFILE, *arguments, "--", MODEL)


def pause(run: Run, signum: signal.Signals = signal.SIGSTOP) -> None:
    """Stop the trainer of a run where it stands; or let it go on (SIGCONT, which SLURM sends too before it ends a job)."""
    for trainer in at_work(run, TRAINER):
        with contextlib.suppress(psutil.NoSuchProcess):  # it just ended: what follows waits for the next, or says so
            trainer.send_signal(signum)


def at_work(run: Run, script: str) -> list[psutil.Process]:
    """The processes of a run that execute a script, as soon as there are some: asked again, they may be gone."""
    found: list[psutil.Process] = []

    def look() -> bool:
        found[:] = scripts(run.checkout, script)
        return bool(found)

    run.until(look, f"{script} at work")
    return found


def paused(run: Run) -> str:
    """Wait for a new checkpoint of a run, its second at least, and pause it there; the id of its training job."""
    before = checkpoints(run.checkout)
    run.until(
        lambda: len(checkpoints(run.checkout)) >= 2 and checkpoints(run.checkout)[-1:] > before[-1:], "a checkpoint"
    )
    pause(run)
    (job,) = training_jobs(run.checkout, "RUNNING")
    return job


def start_at_once(run: Run, job: str) -> None:
    """Spare a job that is back in the queue the two minutes that SLURM lets it wait, once its node is free of it."""
    run.until(lambda: job in training_jobs(run.checkout, "PENDING"), "the job back in the queue")
    run.until(lambda: node_state() == "idle" or training_jobs(run.checkout, "RUNNING"), "an idle node, or a job on it")
    subprocess.run(["scontrol", "update", f"jobid={job}", "starttime=now"])  # without effect on one that runs by now


def run_out(checkout: Checkout) -> None:
    """Wait until no training job of a checkout is in the queue."""
    deadline = time.monotonic() + PATIENCE_S
    while left := training_jobs(checkout, "PENDING", "RUNNING", "COMPLETING"):
        assert time.monotonic() < deadline, f"jobs {left} never end"
        time.sleep(0.5)


def log_text(checkout: Checkout) -> str:
    """What the trainer said so far; nothing while the old log is taken away and the next job has not begun one."""
    try:
        return (checkout.root / LOG).read_text()
    except FileNotFoundError:
        return ""


def resumed_at(checkout: Checkout) -> int:
    """The epoch that the last start of training went on from."""
    text = log_text(checkout)
    assert "going on from epoch" in text, text
    return int(text.split("going on from epoch ")[1].split(",")[0])


def trained(checkout: Checkout) -> dict[str, bytes]:
    return checkout.outputs(("networks",))


def test_the_study_runs_to_its_figures_with_the_same_bytes_as_without_a_scheduler(study: Run, unbroken: Run):
    assert unbroken.end() == 0, unbroken.text()[-4000:]
    expected = unbroken.checkout.outputs()
    assert {name.split("/")[0] for name in expected} == {"lightcones", "shards", "networks", "evaluation", "figures"}
    assert study.checkout.outputs() == expected
    sent = [line for line in study.text().splitlines() if "has been submitted" in line]
    assert sum("group_cone" in line for line in sent) == 3, "the whole chain of a light-cone is one job"
    assert not any(f"rule_{stage}" in line for stage in ("lightcone", "subfields", "maps", "pooled") for line in sent)
    for stage in ("network", "evaluation", "figure_error_bands"):
        assert sum(f"rule_{stage}" in line for line in sent) == 1, "one job a network, test and figure"
    assert not list(study.checkout.results.rglob("*.part"))


def test_training_asks_for_the_gpu_and_light_cones_do_not(study: Run):
    jobs = [line for line in study.jobs.splitlines() if "JobId=" in line]
    training = [job for job in jobs if "Comment=rule_network" in job]
    cones = [job for job in jobs if "Comment=rule_cone" in job]
    assert (len(training), len(cones)) == (1, 3), study.jobs
    assert "gres:gpu:1" in training[0] or "gres/gpu" in training[0], training
    assert not any("gpu" in job for job in cones), cones
    assert all("Requeue=1" in job for job in jobs)


@pytest.fixture(scope="module")
def overdue(study: Run, tmp_path_factory: pytest.TempPathFactory):
    """A training that hangs past its time limit (SLURM's shortest is a minute), beside the tests that ask for it."""
    run = train(untrained(study, tmp_path_factory.mktemp("overdue")))
    run.job = paused(run)
    subprocess.run(["scontrol", "update", f"jobid={run.job}", "timelimit=1"], check=True)
    yield run
    run.process.kill()
    run.process.wait()


@pytest.mark.usefixtures("overdue")
def test_a_light_cone_that_dies_asks_for_twice_the_memory_and_time(study: Run, tmp_path: Path):
    checkout = Checkout(tmp_path, STUDY, study.checkout.root)
    run = Run(checkout, *PROFILE, "--", "results/cluster/shards/li10/0.h5")
    for stage in at_work(run, "generate_lightcone.py"):
        with contextlib.suppress(psutil.NoSuchProcess):
            stage.kill()
    assert run.end() == 0, run.text()[-4000:]
    first, second = submitted(run)
    memory, again = (int(asked(job, "MinMemoryNode").rstrip("M")) for job in (first, second))
    assert abs(again - 2 * memory) <= 2, "of the largest stage of the group"
    minutes = [
        sum(int(n) * k for n, k in zip(asked(j, "TimeLimit").split(":"), (60, 1, 0), strict=True))
        for j in (first, second)
    ]
    assert minutes[1] == 2 * minutes[0]
    name = "shards/li10/0.h5"
    assert (checkout.results / name).read_bytes() == (study.checkout.results / name).read_bytes()


@pytest.mark.usefixtures("overdue")
def test_after_kill_9_of_snakemake_the_rerun_waits_for_the_orphan_and_does_nothing_twice(study: Run, tmp_path: Path):
    """Without GPUs, so that none has to be free for both trainings."""
    checkout = untrained(study, tmp_path, resources={**STUDY["resources"], "gpus": 0})
    run = train(checkout)
    orphan = paused(run)
    assert asked(orphan, "TresPerJob") == "", "no GPU is asked for"
    run.process.kill()
    run.process.wait()
    assert training_jobs(checkout, "RUNNING") == [orphan]

    checkout.snakemake("--unlock")
    run = train(checkout)
    run.until(lambda: "waiting for it to end" in log_text(checkout), "a trainer that waits")
    assert len(scripts(checkout, TRAINER)) == 2
    pause(run, signal.SIGCONT)
    assert run.end() == 0, run.text()[-4000:]
    assert len(submitted(run)) == 1
    assert resumed_at(checkout) == STUDY["training"]["epochs"] + 1, "the orphan had done it all"
    assert trained(checkout) == trained(study.checkout)


def test_a_job_over_its_time_limit_goes_on_by_itself(study: Run, overdue: Run):
    assert overdue.end() == 0, overdue.text()[-4000:]
    assert "TIMEOUT" in overdue.text()
    first, second = submitted(overdue)
    assert first == overdue.job
    assert int(asked(second, "MinMemoryNode").rstrip("M")) == 2 * int(asked(first, "MinMemoryNode").rstrip("M"))
    assert resumed_at(overdue.checkout) >= 3
    assert trained(overdue.checkout) == trained(study.checkout)


def test_requeue_and_a_lost_node_go_on_from_the_checkpoint(study: Run, tmp_path: Path):
    checkout = untrained(study, tmp_path)
    run = train(checkout)
    job = paused(run)

    # a second trainer waits for as long as the first one trains, and harms nothing
    config = next((checkout.results / "config").glob("*.yaml"))
    words = [sys.executable, "scripts/train_network.py", "--config", str(config), "--name", "limelight"]
    words += ["--train", "results/cluster/shards/li10/0.h5", "--validation", "results/cluster/shards/li10/1.h5"]
    words += ["--checkpoints", "results/cluster/checkpoints/limelight"]
    words += ["--output", str(tmp_path / "second.pt"), "--history", str(tmp_path / "second.csv")]
    before = {path: path.read_bytes() for path in (checkout.results / "checkpoints").rglob("epoch-*.pt")}
    second = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=environment())
    line = second.stderr.readline()
    assert "waiting for it to end" in line, line
    second.terminate()
    assert second.wait() == -signal.SIGTERM
    assert not (tmp_path / "second.pt").exists()
    assert before == {path: path.read_bytes() for path in (checkout.results / "checkpoints").rglob("epoch-*.pt")}

    subprocess.run(["scontrol", "requeue", job], check=True)
    start_at_once(run, job)
    assert paused(run) == job, "a requeued job keeps its id"
    assert resumed_at(checkout) >= 3
    assert submitted(run) == [job], "all that was one job for snakemake"

    # SLURM puts the lost node's job back into the queue. If Snakemake looks while its state is still NODE_FAIL, it sends
    # another one: of the two, the second to start waits for the first, and then has nothing left to do.
    reached = checkpoints(checkout)[-1]
    lose_node()
    run.until(lambda: training_jobs(checkout, "PENDING"), "a job in the queue again")
    assert not scripts(checkout, TRAINER)
    return_node()
    start_at_once(run, job)
    assert run.end() == 0, run.text()[-4000:]
    assert submitted(run)[0] == job
    assert len(submitted(run)) <= 2
    assert resumed_at(checkout) >= 1 + int(reached.split("-")[1])
    run_out(checkout)
    assert trained(checkout) == trained(study.checkout)


def test_scancel_or_ctrl_c_then_the_same_command_goes_on_from_the_checkpoint(study: Run, tmp_path: Path):
    checkout = untrained(study, tmp_path)
    run = train(checkout, "--retries", "0")
    subprocess.run(["scancel", paused(run)], check=True)
    assert run.end() != 0
    assert LOG in run.text(), "the user is shown where to look"
    assert not (checkout.root / MODEL).exists()

    run = train(checkout)
    paused(run)
    assert resumed_at(checkout) >= 3
    run.process.send_signal(signal.SIGINT)
    assert run.end() != 0
    assert not training_jobs(checkout, "RUNNING", "PENDING"), "Ctrl-C takes its jobs along"

    run = train(checkout)
    assert run.end() == 0, run.text()[-4000:]
    assert resumed_at(checkout) >= 4
    assert trained(checkout) == trained(study.checkout)


def test_a_failing_job_shows_its_log_and_the_error(study: Run, tmp_path: Path):
    checkout = untrained(study, tmp_path)
    shard = checkout.results / "shards" / "li10" / "0.h5"
    shard.write_bytes(shard.read_bytes()[:5000])
    run = train(checkout, "--retries", "0")
    assert run.end() != 0
    assert LOG in run.text()
    errors = [line for line in run.text().splitlines() if "limelight: error:" in line]
    assert any("shards/li10/0.h5" in line and "expected" in line for line in errors), run.text()[-4000:]
