"""The tiny study, run through the real workflow in a scratch copy of the repository's working files."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Checkout:
    """A scratch checkout with the tiny config, and ways to run snakemake in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("Snakefile", "limelight", "scripts", "workflow", "config", "resources", "envs", "slurm"):
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copy2(source, root / name)
        shutil.copy2(ROOT / "tests" / "pipeline" / "tiny.yaml", root / "config" / "tiny.yaml")

    def snakemake(self, *arguments: str, config: str = "config/tiny.yaml", check: bool = True):
        """Run snakemake on a config; returns the finished process with its output as text."""
        command = [sys.executable, "-m", "snakemake", "--configfile", config, *arguments]
        run = subprocess.run(command, cwd=self.root, capture_output=True, text=True, env=environment())
        if check and run.returncode:
            raise AssertionError(f"{' '.join(command)} failed:\n{run.stdout[-3000:]}\n{run.stderr[-6000:]}")
        return run

    def planned(self, config: str = "config/tiny.yaml") -> dict[str, int]:
        """Jobs by rule that snakemake would run now."""
        answer = self.snakemake("--dry-run", "--quiet", "rules", config=config)
        jobs = {}
        for line in (answer.stdout + answer.stderr).splitlines():
            words = line.split()
            if len(words) == 2 and words[1].isdigit() and words[0] not in ("total", "all"):
                jobs[words[0]] = int(words[1])
        return jobs

    def outputs(self) -> dict[str, bytes]:
        """Every finished file of the study that must be the same whenever the config is."""
        results = self.root / "results" / "tiny"
        kinds = ("lightcones", "pooled", "networks", "evaluation", "figures")
        files = sorted(path for kind in kinds for path in (results / kind).rglob("*") if path.is_file())
        return {str(path.relative_to(results)): path.read_bytes() for path in files}


def environment() -> dict[str, str]:
    """One thread a job: two cores oversubscribe badly."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The tiny study, run once to its end with two cores."""
    checkout = Checkout(tmp_path_factory.mktemp("finished"))
    checkout.snakemake("--cores", "2", "--show-failed-logs")
    return checkout
