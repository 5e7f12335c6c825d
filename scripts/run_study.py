#!/usr/bin/env python3
"""Run a whole study on this machine and write its report: what `make demo` does.

Safe to interrupt in any way and to repeat: a second call goes on where the first one stopped, and does nothing when there is
nothing to do. Arguments after -- go to snakemake as they are.

example: python scripts/run_study.py --configfile config/demo.yaml --cores 2 -- --keep-going
"""

import subprocess
import sys
import time
from pathlib import Path

from filelock import FileLock, Timeout

from limelight.arguments import Arguments
from limelight.errors import LimelightError, plain_errors
from limelight.evaluation.audit import in_words as audit_in_words
from limelight.evaluation.audit_file import read_audit
from limelight.evaluation.evaluation_file import read_evaluation
from limelight.evaluation.metrics import in_words
from limelight.probe import load_probe
from limelight.study.config import load_study
from limelight.study.sections import Study
from limelight.study.selection import audited_networks, suitable_tests

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--configfile", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--cores", default="all", help="cores to use (default: all)")
    parser.add_argument("snakemake", nargs="*", help="further arguments of snakemake, after --")
    args = parser.parse_args()
    configfile = args.configfile.resolve()
    study = load_study(configfile)
    results = ROOT / "results" / study.study
    results.mkdir(parents=True, exist_ok=True)
    snakemake = [sys.executable, "-m", "snakemake", "--directory", str(ROOT), "--snakefile", str(ROOT / "Snakefile")]
    snakemake += ["--configfile", str(configfile)]
    start = time.monotonic()
    try:
        running = FileLock(ROOT / "results" / ".running", fallback_to_soft=False).acquire(blocking=False)
    except Timeout:
        raise LimelightError("results/.running: another run of this checkout is at work; wait for it") from None
    with running:
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


def verdicts(study: Study, results: Path) -> list[str]:
    """What the evaluation files say of every network under every test, and the audits."""
    probe = load_probe(study.probe)
    lines = [f"  tests{probe.wanted}"]
    for network in study.networks:
        for test in suitable_tests(study, network):
            found = read_evaluation(results / "evaluation" / network / f"{test}.h5")
            words = probe.in_words(found.totals) or in_words(found.totals)
            lines.append(f"    {network}, {test}: {words}{probe.verdict(found.totals, found.settings)}")
    return lines + [
        f"  {audit_in_words(read_audit(results / 'audit' / f'{name}.h5'))}" for name in audited_networks(study)
    ]


if __name__ == "__main__":
    with plain_errors():
        main()
