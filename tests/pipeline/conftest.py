"""The tiny study, run through the real workflow in a scratch copy of the repository's working files."""

import os
import shutil

import pytest
from checkout import COMPARED, Checkout
from filelock import FileLock


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The tiny study, run to its end with two cores: once for all test processes, each of which has a copy of its own."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return run_to_its_end(Checkout(tmp_path_factory.mktemp("finished")))
    shared = tmp_path_factory.getbasetemp().parent / "shared"
    with FileLock(shared.with_suffix(".lock")):
        if not (shared / "complete").exists():
            shutil.rmtree(shared, ignore_errors=True)
            run_to_its_end(Checkout(shared))
            (shared / "complete").touch()
    own = Checkout(tmp_path_factory.mktemp("finished"), origin=shared)
    shutil.copytree(shared / "results", own.root / "results")
    others = shutil.ignore_patterns("limelight")  # answers that it has by now
    shutil.copytree(shared / ".snakemake", own.root / ".snakemake", ignore=others, dirs_exist_ok=True)
    return own


def run_to_its_end(checkout: Checkout) -> Checkout:
    checkout.snakemake("--cores", "2", "--show-failed-logs", *COMPARED)
    return checkout
