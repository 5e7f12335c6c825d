"""The study of the cluster tests, and snakemake at work on it in the background."""

import contextlib
import re
import subprocess
import time
from pathlib import Path

import psutil

from tests.pipeline.checkout import SKY, TINY, Checkout, environment

PROFILE = ("--profile", "slurm", "--slurm-init-seconds-before-status-checks", "2")
# One line model, one network; training of some seconds, to be met at work. It asks for a GPU, and uses the CPU without one.
STUDY = {
    **SKY,
    "study": "cluster",
    "lightcones": {**TINY["lightcones"], "train": [0], "validation": [1], "test": [2]},
    "line_models": {"li10": TINY["line_models"]["li10"]},
    "networks": {
        "limelight": {
            "architecture": "limelight",
            "options": {"filters": 4},
            "line_models": ["li10"],
            "noise": ["none", "loud"],
            "foregrounds": "radio",
        }
    },
    "tests": {"observed": {"line_model": "li10", "noise": "loud", "foregrounds": "radio"}},
    "figures": {"maps": [0, 1]},
    "audit": {"networks": "none"},
    "training": {"epochs": 20, "batch_size": 4, "steps_per_epoch": 40},
    "resources": {"gpus": 1, "training_threads": 1},
}
MODEL = "results/cluster/networks/limelight/model.pt"
PATIENCE_S = 1200  # for a busy machine: on a free one nothing here takes three minutes


class Run:
    """A snakemake in the background of a checkout, its output in a file."""

    def __init__(self, checkout: Checkout, *arguments: str) -> None:
        self.checkout, self.output = checkout, checkout.root / f"output-{time.monotonic_ns()}.txt"
        with open(self.output, "w") as file:
            self.process = subprocess.Popen(
                checkout.command(*arguments), cwd=checkout.root, stdout=file, stderr=file, env=environment()
            )

    def until(self, condition, what: str) -> None:
        """Wait for a condition; fail when the run ends or time is up before it."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.process.poll() is None, f"the run ended before {what}:\n{self.text()[-4000:]}"
            assert time.monotonic() < deadline, f"{what} never came:\n{self.text()[-4000:]}"
            time.sleep(0.1)

    def end(self) -> int:
        """Wait for the end; the exit status."""
        try:
            return self.process.wait(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"still running after {PATIENCE_S} s:\n{self.text()[-4000:]}") from None

    def text(self) -> str:
        """What snakemake said so far."""
        return self.output.read_text()


def training_jobs(checkout: Checkout, *states: str) -> list[str]:
    """Ids of SLURM's training jobs of a checkout in one of these states."""
    answer = subprocess.run(["squeue", "-h", "-o", "%i %T %Z %k"], capture_output=True, text=True)
    jobs = [line.split(maxsplit=3) for line in answer.stdout.splitlines() if "rule_network" in line]
    return [job for job, state, folder, _ in jobs if state in states and Path(folder) == checkout.root]


def asked(job: str, what: str) -> str:
    """What a job asked SLURM for: TimeLimit, MinMemoryNode, TresPerJob, Requeue...; empty if it did not."""
    answer = subprocess.run(["scontrol", "--oneliner", "show", "job", job], capture_output=True, text=True, check=True)
    return next((word.partition("=")[2] for word in answer.stdout.split() if word.startswith(f"{what}=")), "")


def submitted(run: Run) -> list[str]:
    """Ids of the jobs that a run sent to SLURM."""
    return re.findall(r"has been submitted with SLURM jobid (\d+)", run.text())


def scripts(checkout: Checkout, name: str) -> list[psutil.Process]:
    """The processes that run a script of scripts/ in a checkout."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if f"scripts/{name}" in process.cmdline()[1:2] and Path(process.cwd()) == checkout.root:
                found.append(process)
    return found


def checkpoints(checkout: Checkout) -> list[str]:
    """Names of the checkpoints in a checkout, oldest first."""
    return sorted(path.name for path in (checkout.results / "checkpoints").rglob("epoch-*.pt"))
