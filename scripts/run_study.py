#!/usr/bin/env python3
"""Run a whole study on this machine and write its report: what `make demo` does.

Safe to interrupt in any way and to repeat: a second call goes on where the first one stopped, and does nothing when there is
nothing to do. On a terminal one bar shows how far it is; what Snakemake says is in results/<study>/snakemake.log. Arguments
after -- go to snakemake as they are; where they name parts of a study that is not complete, there is no report.

example: python scripts/run_study.py --configfile config/demo.yaml --cores 2 -- --keep-going
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from limelight.arguments import Arguments
from limelight.errors import LimelightError, plain_errors, problem

if TYPE_CHECKING:
    from limelight.study.sections import Study


ROOT = Path(__file__).resolve().parents[1]
COMPARED = "200MB"  # inputs up to this size are compared by content when they are newer than what was made from them


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--configfile", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--cores", default="all", help="cores to use (default: all)")
    parser.add_argument(
        "--verbose", action="store_true", help="show all that Snakemake says, as where there is no terminal"
    )
    parser.add_argument("snakemake", nargs="*", help="further arguments of snakemake, after --")
    args = parser.parse_args()
    from limelight.study.config import load_study

    configfile = args.configfile.resolve()
    study = load_study(configfile)
    results = ROOT / "results" / study.study
    results.mkdir(parents=True, exist_ok=True)
    snakemake = [sys.executable, "-m", "snakemake", "--directory", str(ROOT), "--snakefile", str(ROOT / "Snakefile")]
    snakemake += ["--configfile", str(configfile)]
    start = time.monotonic()
    log = None if args.verbose or not sys.stderr.isatty() else results / "snakemake.log"
    with only_run() as lock:
        run = [*snakemake, "--cores", args.cores, "--rerun-incomplete", "--show-failed-logs"]
        if follow([*run, "--max-checksum-file-size", COMPARED, *args.snakemake], lock, log):
            raise LimelightError(f"{args.configfile}: a stage failed (its log is above); mend it and run this again")
        if args.snakemake and not (results / "index.html").exists():
            print(f"\nWhat was asked for is made ({time.monotonic() - start:.0f} s); a report needs the whole study.")
            return
        report = results / "report.html"
        figures = sorted((results / "figures").rglob("*.p[dn][fg]"))
        if not report.exists() or any(figure.stat().st_mtime > report.stat().st_mtime for figure in figures):
            part = results / ".report.part.html"
            if follow([*snakemake, "--report", str(part)], lock):
                raise LimelightError(
                    f"{report}: Snakemake could not write it (why is above); mend it and run this again"
                )
            part.replace(report)
    print(f"\nThe study is complete ({time.monotonic() - start:.0f} s).")
    print(f"  result   {(results / 'index.html').relative_to(ROOT)}\n  report   {report.relative_to(ROOT)}\n  figures")
    for figure in figures:
        if figure.suffix == ".pdf":
            print(f"    {figure.relative_to(ROOT)}")
    for line in verdicts(study, results):
        print(line)


@contextlib.contextmanager
def only_run() -> Iterator[TextIO]:
    """Wait for another run of this checkout, and hold its lock.

    Snakemake inherits the open lock file. So when this process is killed the lock stays until its Snakemake ends, too.
    """
    from limelight.running import at_work

    with open(ROOT / "results" / ".running", "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = at_work(ROOT)
            who = f"Snakemake, process {other.pid}," if other else "another run of this checkout"
            print(f"limelight: {who} is at work here; waiting for it to end", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            words = f"results/.running cannot be locked ({error.strerror}): start one run at a time"
            print(f"limelight: warning: {words}", file=sys.stderr, flush=True)
        if other := at_work(ROOT):
            found, fix = f"Snakemake at work (process {other.pid})", "wait for it or end it, then run this again"
            raise problem(ROOT, found, "a checkout in which nothing runs", fix)
        yield lock


def follow(command: list[str], lock: TextIO, log: Path | None = None) -> int:
    """Run Snakemake to its end; its exit status. A signal to end it ends Snakemake and its jobs, as Ctrl-C does.

    With a log its output goes there, and a bar shows how far it is.
    """
    asked, process = [], None

    def end(*_: object) -> None:
        asked.append(True)
        if process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)

    ends = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, end) for number in ends}
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace"} if log else {}
    try:
        process = subprocess.Popen(command, process_group=0, pass_fds=[lock.fileno()], **pipe)
        if asked:  # before there was a process
            end()
        if log:
            from limelight.progress import show_steps

            with open(log, "w", encoding="utf-8") as file:
                show_steps(process.stdout, file)
        status = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if asked:
        raise KeyboardInterrupt
    return status


def verdicts(study: "Study", results: Path) -> list[str]:
    """What the evaluation files say of every network under every test, and the audits: tables, line by line."""
    from limelight.evaluation.audit_file import read_audit
    from limelight.evaluation.evaluation_file import read_evaluation
    from limelight.evaluation.metrics import in_columns
    from limelight.evaluation.verdicts import in_columns as audit_in_columns
    from limelight.probe import load_probe
    from limelight.study.selection import audited_networks, suitable_tests
    from limelight.text_table import text_table

    probe, rows = load_probe(study.probe), []
    for network in study.networks:
        for test in suitable_tests(study, network):
            found = read_evaluation(results / "evaluation" / network / f"{test}.h5")
            columns = probe.in_columns(found.totals, found.settings) or in_columns(found.totals)
            rows.append({"network": network, "test": test} | columns)
    audits = [audit_in_columns(read_audit(results / "audit" / f"{name}.h5")) for name in audited_networks(study)]
    lines = ["", *text_table(rows, "  ").splitlines()]
    if probe.wanted:
        lines.append(f"  ({probe.wanted})")
    if audits:
        lines += ["", *text_table(audits, "  ").splitlines()]
    return lines + other_libraries(study, results)


def other_libraries(study: "Study", results: Path) -> list[str]:
    """A line where evaluations were made with other libraries than are installed now: nothing reruns for that."""
    from limelight.describe import MIXED, provenance_of
    from limelight.study.selection import suitable_tests
    from limelight.versions import library_versions

    pairs = [(network, test) for network in study.networks for test in suitable_tests(study, network)]
    found = [provenance_of(results / "evaluation" / network / f"{test}.h5")["libraries"] for network, test in pairs]
    old = [libraries for libraries in found if libraries != library_versions()]
    words = f"{len(old)} of {len(found)} evaluations were made with other libraries"
    return [f"  note: {words} ({', or '.join(dict.fromkeys(old))}): {MIXED}"] if old else []


if __name__ == "__main__":
    with plain_errors():
        main()
