"""One SLURM for all cluster tests, and the small study run through it once while the unbroken run goes on beside it."""

import os
import signal
import subprocess

import pytest
from one_node import missing, one_node_slurm
from runs import PROFILE, STUDY, Checkout, Run, training_jobs


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory):
    """The scheduler; without one the tests are skipped, but never in CI."""
    if reason := missing():
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(f"CI must run the cluster tests: {reason}")
        pytest.skip(reason)
    # a shell that starts this in the background lets it ignore Ctrl-C, and all that it starts
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with one_node_slurm(tmp_path_factory.mktemp("slurm")):
        yield


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory: pytest.TempPathFactory, slurm: None):
    """The study, run on this machine without any scheduler; it goes on beside the first test."""
    run = Run(Checkout(tmp_path_factory.mktemp("unbroken"), STUDY), "--cores", "1")
    yield run
    run.process.kill()
    run.process.wait()


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory, unbroken: Run) -> Run:
    """The study, run once to its figures by `snakemake --profile slurm`."""
    run = Run(Checkout(tmp_path_factory.mktemp("study"), STUDY, unbroken.checkout.root), *PROFILE)
    run.until(lambda: run.process.poll() is not None or training_jobs(run.checkout, "RUNNING"), "a training job")
    run.jobs = subprocess.run(["scontrol", "--oneliner", "show", "job"], capture_output=True, text=True).stdout
    assert run.end() == 0, run.text()[-6000:]
    return run
