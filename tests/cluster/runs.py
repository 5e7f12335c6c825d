"""The study of the cluster tests, and snakemake at work on it in the background."""

import math
import subprocess
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "pipeline"))

from checkout import TINY, Checkout, environment

PROFILE = ("--profile", "slurm", "--slurm-init-seconds-before-status-checks", "2")
# One line model, one network; training long enough to be met at work. It asks for a GPU; torch finds none and uses the CPU.
STUDY = {
    **TINY,
    "study": "cluster",
    "lightcones": {**TINY["lightcones"], "train": [0], "validation": [1], "test": [2]},
    "line_models": {"li10": TINY["line_models"]["li10"]},
    "networks": {"limelight": {**TINY["networks"]["limelight"], "line_models": ["li10"]}},
    "tests": {"observed": TINY["tests"]["observed"]},
    "training": {"epochs": 40, "batch_size": 4, "steps_per_epoch": 40},
    "resources": {"gpus": 1, "training_threads": 1},
}
MODEL = "results/cluster/networks/limelight/model.pt"
PATIENCE_S = 600  # a busy machine; none of this takes a minute on a free one but the time limit


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


def training_jobs(*states: str) -> list[str]:
    """Ids of SLURM's training jobs in one of these states."""
    answer = subprocess.run(["squeue", "-h", "-o", "%i %T %k"], capture_output=True, text=True)
    jobs = [line.split(maxsplit=2) for line in answer.stdout.splitlines() if "network" in line]
    return [job[0] for job in jobs if job[1] in states]


def checkpoints(checkout: Checkout) -> list[str]:
    """Names of the checkpoints in a checkout, oldest first."""
    return sorted(path.name for path in (checkout.results / "checkpoints").rglob("epoch-*.pt"))


def epochs_to_fill(seconds: float, log: str) -> int:
    """Epochs that take this long on this machine, going by a training log."""
    taken = [float(line.rsplit(";", 1)[1].split()[0]) for line in log.splitlines() if ": epoch " in line]
    return math.ceil(seconds / (sum(taken) / len(taken)))
