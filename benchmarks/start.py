"""Processor seconds before a command does anything, beside those of the libraries that it cannot do without.

  python -m benchmarks.start
  python -m benchmarks.start --cube C.h5 --network model.pt --posterior posterior.pt     # predict.py up to its table, too

Medians of --repeats, each beside its peer, after one run that keeps what is kept from one command to the next.
"""

import argparse
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from limelight.errors import plain_errors, problem
from limelight.files import ROOT

STUDY = ROOT / "config" / "paper.yaml"
CHAIN = "\n\n".join(  # as many jobs as the study plans, and nothing to decide
    f"rule {name}:\n    input: {source}\n    output: '{name}/{{n}}'\n    resources: mem_mb=1000, runtime=10\n"
    "    params: settings='', code=''\n    shell: 'touch {output}'"
    for name, source in (("a", "[]"), ("b", "'a/{n}'"), ("c", "'b/{n}'"))
)
TO_THE_TABLE = """
import os, runpy, sys
class Figure:  # drawn once the table is there
    def find_spec(self, name, *_):
        if name == "limelight.figures.style":
            os._exit(0)
sys.meta_path.insert(0, Figure())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def processor_s(command: list[str], folder: Path) -> tuple[float, str]:
    """(user and system seconds, what it said) of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    if run.returncode:
        raise problem(" ".join(command[:4]), run.stderr.strip()[-300:], "a command that runs", "mend it")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, run.stdout + run.stderr


def compare(what: str, command: list[str], peer: list[str], folders: tuple[Path, Path], repeats: int) -> None:
    """Print medians of a command and of its peer, and their ratio."""
    processor_s(command, folders[0])
    pairs = [(processor_s(command, folders[0])[0], processor_s(peer, folders[1])[0]) for _ in range(repeats)]
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{what}: {ours:.2f} s of processor time, {ours / theirs:.2f} × its peer's {theirs:.2f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=STUDY, help="study (default: config/paper.yaml)")
    parser.add_argument("--cube", type=Path, help="map that predict.py reads")
    parser.add_argument("--network", type=Path, help="model.pt")
    parser.add_argument("--posterior", type=Path, help="posterior.pt")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    python, config = [sys.executable, "-c"], str(args.config.resolve())
    with tempfile.TemporaryDirectory() as name:
        study, chain = Path(name, "study"), Path(name, "chain")
        for folder in (study, chain):
            (folder / ".snakemake").mkdir(parents=True)
        for part in ("limelight", "scripts", "workflow", "config", "resources", "envs"):
            shutil.copytree(ROOT / part, study / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "Snakefile", study)
        read = [*python, f"from limelight.study.config import load_study; load_study({config!r})"]
        compare("a config is read", read, [*python, "import pydantic, h5py"], (study, chain), args.repeats)

        dry = [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1"]
        said = processor_s([*dry, "--configfile", config], study)[1]
        jobs = int(re.findall(r"^total +(\d+)", said, re.MULTILINE)[-1])
        wanted = f"rule all:\n    input: expand('c/{{n}}', n=range({max(1, jobs // 3)}))\n\n{CHAIN}\n"
        (chain / "Snakefile").write_text(wanted, encoding="utf-8")
        what = f"a dry run of {jobs} jobs (peer: Snakemake on as many without a study)"
        compare(what, [*dry, "--configfile", config], dry, (study, chain), args.repeats)

        for option, path in (("--network", args.network), ("--posterior", args.posterior)):
            if path and args.cube:
                words = [str(ROOT / "scripts" / "predict.py"), option, str(path.resolve())]
                words += ["--cube", str(args.cube.resolve()), "--output", str(study / "lf.csv")]
                what = f"predict.py {option} from the shell to the table (peer: import torch)"
                compare(what, [*python, TO_THE_TABLE, *words], [*python, "import torch"], (study, chain), args.repeats)


if __name__ == "__main__":
    with plain_errors():
        main()
