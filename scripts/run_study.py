#!/usr/bin/env python3
"""Run a whole study on this machine and write its report: what `make demo` does.

Safe to interrupt in any way and to repeat: a second call goes on where the first one stopped, and does nothing when there is
nothing to do. Arguments after -- go to snakemake as they are.

example: python scripts/run_study.py --configfile config/demo.yaml --cores 2 -- --keep-going
"""

import argparse
import fcntl
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from limelight.errors import LimelightError, plain_errors
from limelight.evaluation.audit import in_words as audit_in_words
from limelight.evaluation.audit_file import read_audit
from limelight.evaluation.classify import in_words as classification_in_words
from limelight.evaluation.classify import read_classification
from limelight.evaluation.evaluation_file import read_evaluation
from limelight.evaluation.metrics import READS_GAIN, READS_SPREAD, in_words, reads_the_map
from limelight.figures.common import adds_to_maps
from limelight.study.config import load_study
from limelight.study.selection import audited_networks, classifiers, suitable_tests


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configfile", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--cores", default="all", help="cores to use (default: all)")
    parser.add_argument("snakemake", nargs="*", help="further arguments of snakemake, after --")
    args = parser.parse_args()
    configfile = args.configfile.resolve()
    study = load_study(configfile)
    results = ROOT / "results" / study["study"]
    results.mkdir(parents=True, exist_ok=True)
    snakemake = [sys.executable, "-m", "snakemake", "--directory", str(ROOT), "--snakefile", str(ROOT / "Snakefile")]
    snakemake += ["--configfile", str(configfile)]
    start = time.monotonic()
    with open(ROOT / "results" / ".running", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LimelightError("results/.running: another run of this checkout is at work; wait for it") from None
        # we hold the lock, so a lock of snakemake's own can only be left over from a killed run
        subprocess.run([*snakemake, "--unlock", "--quiet", "all"], stderr=subprocess.DEVNULL, check=False)
        run = [*snakemake, "--cores", args.cores, "--rerun-incomplete", "--show-failed-logs", *args.snakemake]
        if subprocess.run(run, check=False).returncode:
            raise LimelightError(f"{args.configfile}: a stage failed (its log is above); mend it and run this again")
        report = results / "report.html"
        figures = sorted((results / "figures").rglob("*.p[dn][fg]"))
        if not report.exists() or any(figure.stat().st_mtime > report.stat().st_mtime for figure in figures):
            part = results / ".report.part.html"
            subprocess.run([*snakemake, "--report", str(part)], check=True)
            part.replace(report)
    print(
        f"\nThe study is complete ({time.monotonic() - start:.0f} s).\n  report   {report.relative_to(ROOT)}\n  figures"
    )
    for figure in figures:
        if figure.suffix == ".pdf":
            print(f"    {figure.relative_to(ROOT)}")
    for line in verdicts(study, results):
        print(line)


def verdicts(study: dict, results: Path) -> list[str]:
    """What the evaluation files say of every network under every test, whether it reads maps without noise, and audits."""
    lines = [f"  test maps (wanted without noise: at least {READS_GAIN:g} × and a spread ratio above {READS_SPREAD:g})"]
    for network in study["networks"]:
        for test in suitable_tests(study, network):
            found = read_evaluation(results / "evaluation" / network / f"{test}.h5")
            answer = "" if adds_to_maps(found) else f" -> {'yes' if reads_the_map(found.totals) else 'NO'}"
            lines.append(f"    {network}, {test}: {in_words(found.totals)}{answer}")
    lines += [f"  {audit_in_words(read_audit(results / 'audit' / f'{name}.h5'))}" for name in audited_networks(study)]
    told = (read_classification(results / "classification" / f"{name}.h5") for name in classifiers(study))
    return lines + [f"  {classification_in_words(one)}" for one in told]


if __name__ == "__main__":
    with plain_errors():
        main()
