"""A scratch copy of the repository's working files, in which a study is run as a user runs it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
TINY = yaml.safe_load((ROOT / "tests" / "pipeline" / "tiny.yaml").read_text())
# The part of it that other tests build small studies of their own on
SKY = {key: TINY[key] for key in ("seed", "lightcones", "subfields", "grid", "labels", "observation")}
NAMES = ("Snakefile", "limelight", "scripts", "workflow", "config", "resources", "envs", "slurm")
COMPARED = ("--max-checksum-file-size", "200MB")  # as run_study and the cluster profile say
FINAL = ("lightcones", "shards", "networks", "evaluation", "figures")


class Checkout:
    """A scratch checkout with a small study, and ways to run snakemake on it."""

    def __init__(self, root: Path, study: dict = TINY, origin: Path = ROOT) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            source = origin / name
            if (root / name).exists():  # made before
                continue
            if source.is_dir():
                # with its compiled code: 45 jobs would compile it anew, and numba's loops once a checkout
                unfinished = shutil.ignore_patterns("*.pyc.*", "*.tmp.*")
                shutil.copytree(source, root / name, symlinks=True, ignore=unfinished)  # scripts/limelight is a link
            else:
                shutil.copy2(source, root / name)
        self.share_answers(origin)
        self.config = f"config/{study['study']}.yaml"
        self.results = root / "results" / study["study"]
        (root / self.config).write_text(yaml.safe_dump(study))

    def share_answers(self, origin: Path) -> None:
        """Give the checkout what limelight.kept knows of the same code: a link to the repository's, a copy of another's.

        For hashes of the code and sizes of networks, of which most tests plan studies, are seconds each time.
        """
        theirs, own = (folder / ".snakemake" / "limelight" for folder in (origin, self.root))
        if own.exists():
            return
        own.parent.mkdir(exist_ok=True)
        if origin == ROOT:
            theirs.mkdir(parents=True, exist_ok=True)
            own.symlink_to(theirs)
        elif theirs.is_dir():
            shutil.copytree(theirs, own)

    def forget_answers(self) -> None:
        """Let it plan as after an installation."""
        (self.root / ".snakemake" / "limelight").unlink()

    def command(self, *arguments: str, config: str = "") -> list[str]:
        """The snakemake command on a config, the checkout's own if none is named."""
        return [sys.executable, "-m", "snakemake", "--configfile", config or self.config, *arguments]

    def snakemake(self, *arguments: str, config: str = "", check: bool = True) -> subprocess.CompletedProcess:
        """Run snakemake to its end; the finished process has the output as text."""
        command = self.command(*arguments, config=config)
        run = subprocess.run(command, cwd=self.root, capture_output=True, text=True, env=environment())
        if check and run.returncode:
            raise AssertionError(f"{' '.join(command)} failed:\n{run.stdout[-3000:]}\n{run.stderr[-6000:]}")
        return run

    def planned(self, config: str = "") -> dict[str, int]:
        """Jobs by rule that snakemake would run now."""
        answer = self.snakemake("--dry-run", "--quiet", "rules", *COMPARED, config=config)
        return plan(answer.stdout + answer.stderr)

    def outputs(self, kinds: tuple[str, ...] = FINAL) -> dict[str, bytes]:
        """Every finished file of the study; it must be the same whenever the config is."""
        files = sorted(path for kind in kinds for path in (self.results / kind).rglob("*") if path.is_file())
        return {str(path.relative_to(self.results)): path.read_bytes() for path in files if path.suffix != ".part"}


def plan(dry_run: str) -> dict[str, int]:
    """Jobs by rule that a dry run's output lists at its end."""
    jobs = {}
    for line in dry_run[dry_run.rindex("Job stats:") :].splitlines() if "Job stats:" in dry_run else []:
        words = line.split()
        if len(words) == 2 and words[1].isdigit() and words[0] not in ("total", "all"):
            jobs[words[0]] = int(words[1])
    return jobs


def environment() -> dict[str, str]:
    """One thread a job: two cores oversubscribe badly."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
