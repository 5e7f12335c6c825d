"""Kill a running study at random moments, run it again, and compare every file with an unbroken run, byte for byte.

    python -m benchmarks.kill_harness --kills 40 --slurm-kills 20 --output docs/results/kill_harness.csv

A round is one small study run to its end in a scratch checkout, every second one from its training on: by
scripts/run_study.py, or by `snakemake --profile slurm`. At seeded random moments one of its processes gets SIGKILL: `study`
(run_study), `workflow` (snakemake itself), `job` (the snakemake inside a job), `stage` (a script), `trainer`, or `writer` (a
script while HDF5 or torch writes its file), the kind that was hit least so far. What a killed process leaves running is left
running, and the same command is given again at once, with nothing else done.

damaged: files found then that differ from the unbroken run's. repeated_s: seconds of work that must be done again: the age
of the killed script, or of all scripts that ran when their workflow was killed; for a trainer the time since its last
checkpoint.
"""

import argparse
import contextlib
import os
import platform
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from limelight.errors import LimelightError, plain_errors
from limelight.files import git_commit, write_csv, write_text
from tests.cluster.one_node import missing, one_node_slurm
from tests.pipeline.checkout import FINAL, SKY, TINY, Checkout, environment

COLUMNS = ("kill", "round", "scheduler", "moment_s", "kind", "process", "repeated_s", "damaged")
# one network that trains for longer than it starts, so that kills find it
STUDY = {
    **SKY,
    "study": "kills",
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
    "training": {"epochs": 40, "batch_size": 4, "steps_per_epoch": 40},
    "resources": {"training_threads": 1},
}
LOCAL = ("--cores", "1", "--rerun-incomplete")
WATCH_S = 20.0  # how long a script that writes is waited for
PART = re.compile(r"\.(?P<file>.+\.(h5|pt))\..*\.(?P<pid>\d+)\.part")  # limelight.files.atomic_path
SLURM = ("--profile", "slurm", "--slurm-init-seconds-before-status-checks", "3")
RERUNS = 6  # of a round after its last kill


def processes(root: Path) -> dict[str, list[psutil.Process]]:
    """The living processes at work in a checkout, by kind."""
    found = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if Path(process.cwd()) != root or not process.name().startswith("python"):
                continue
            words = process.cmdline()
            script = script_name(words)
            if script == "run_study.py":
                kind = "study"
            elif script:
                kind = "trainer" if script == "train_network.py" else "stage"
            elif any("snakemake" in word for word in words[:3]) and "--unlock" not in words:
                kind = "job" if "--mode" in words else "workflow"
            else:
                continue
            found.setdefault(kind, []).append(process)
    return found


def script_name(words: list[str]) -> str:
    """The script of scripts/ that a command line runs, or an empty string."""
    return next((Path(word).name for word in words[1:3] if word.startswith("scripts/")), "")


def writer(checkout: Checkout, dice: random.Random) -> tuple[psutil.Process, str] | None:
    """A script of the study amid the writing of an HDF5 or torch file, and the file's name; None where none comes."""
    deadline = time.monotonic() + WATCH_S
    while time.monotonic() < deadline:
        for part in checkout.results.rglob(".*.part"):
            found = PART.fullmatch(part.name)
            with contextlib.suppress(psutil.Error):
                if found and script_name((process := psutil.Process(int(found["pid"]))).cmdline()):
                    time.sleep(dice.uniform(0, 0.01))
                    return process, found["file"]
        time.sleep(0.0005)
    return None


def unsaved_s(process: psutil.Process, checkout: Checkout) -> float:
    """Seconds of work of a script that its death loses."""
    start = process.create_time()
    if script_name(process.cmdline()) == "train_network.py":
        written = [path.stat().st_mtime for path in (checkout.results / "checkpoints").rglob("epoch-*.pt")]
        start = max([start, *written])
    return max(0.0, time.time() - start)


def damaged(checkout: Checkout, expected: dict[str, bytes]) -> list[str]:
    """Files in the checkout that are not exactly the unbroken run's. They may come and go while this looks."""
    wrong = []
    for name, content in expected.items():
        with contextlib.suppress(FileNotFoundError):
            if (checkout.results / name).read_bytes() != content:
                wrong.append(name)
    return wrong


def strike(checkout: Checkout, dice: random.Random, hits: dict[str, int]) -> dict | None:
    """SIGKILL one process of the study, of the kind hit least so far; what was hit, or None where nothing lives."""
    alive = processes(checkout.root)
    if not alive:
        return None
    kind = min(sorted([*alive, "writer"]), key=lambda kind: (hits.get(kind, 0), dice.random()))
    if kind == "writer":
        if not (found := writer(checkout, dice)):
            hits[kind] = hits.get(kind, 0) + 1  # try another kind the next time
            return None
        victim, file = found
    else:
        victim, file = dice.choice(sorted(alive[kind], key=lambda process: process.pid)), ""
    with contextlib.suppress(psutil.NoSuchProcess):
        name = (script_name(victim.cmdline()) or "snakemake") + (f" in {file}" if file else "")
        hit = [victim]
        if kind == "study":  # its Snakemake goes on
            hit = []
        if kind in ("workflow", "job"):  # the stages below it run again; a trainer's orphan goes on and keeps its work
            hit = [child for child in victim.children(recursive=True) if child in alive.get("stage", [])]
        lost = sum(unsaved_s(process, checkout) for process in hit)
        victim.kill()
        hits[kind] = hits.get(kind, 0) + 1
        return {"kind": kind, "process": name, "repeated_s": round(lost, 1)}
    return None


def one_round(
    checkout: Checkout,
    expected: dict[str, bytes],
    dice: random.Random,
    kills: int,
    spacing_s: float,
    slurm: bool = False,
    hits: dict[str, int] | None = None,
) -> tuple[list[dict], list[str]]:
    """Run a study to its end through at most `kills` kills, each up to spacing_s after the one before or the rerun's start.

    hits: kills by kind so far. Returns a row a kill, and the final outputs that are missing or not as expected.
    """
    rows, after, hits = [], 0, {} if hits is None else hits
    finals = {name for name in expected if name.split("/")[0] in FINAL}
    log = open(checkout.root / "harness.log", "a")  # noqa: SIM115 - outlives this function in orphans
    own = [sys.executable, "scripts/run_study.py", "--configfile", checkout.config, "--cores", "1"]
    command = checkout.command(*SLURM) if slurm else own
    start, run = time.monotonic(), None
    while True:
        if run is None or run.poll() is not None:
            if run is not None and run.returncode == 0:
                break
            after += len(rows) >= kills
            if after > RERUNS:
                break
            run = subprocess.Popen(command, cwd=checkout.root, stdout=log, stderr=log, env=environment())
            moment = time.monotonic() - start + dice.uniform(1, spacing_s)
        time.sleep(0.2)
        if len(rows) < kills and time.monotonic() - start > moment:
            row = strike(checkout, dice, hits)
            if row:
                row |= {"moment_s": round(time.monotonic() - start, 1), "scheduler": "slurm" if slurm else "local"}
                time.sleep(0.1)
                rows.append(row | {"damaged": len(damaged(checkout, expected))})
                print(" ".join(f"{key}={value}" for key, value in rows[-1].items()), flush=True)
            moment = time.monotonic() - start + dice.uniform(1, spacing_s)
    deadline = time.monotonic() + 120
    while processes(checkout.root) and time.monotonic() < deadline:  # orphans may still write: wait and look then
        time.sleep(0.5)
    missing = [name for name in finals if not (checkout.results / name).exists()]
    return rows, missing + damaged(checkout, expected)


def from_training_on(checkout: Checkout, unbroken: Checkout) -> None:
    """Give a checkout the light-cones and shards of the unbroken run, so that training is its first stage."""
    shutil.copytree(unbroken.root / ".snakemake", checkout.root / ".snakemake")
    for kind in ("lightcones", "shards"):
        shutil.copytree(unbroken.results / kind, checkout.results / kind)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40, help="kills of local runs (default: 40)")
    parser.add_argument(
        "--slurm-kills", type=int, default=0, help="kills under a one-node SLURM of its own (needs root)"
    )
    parser.add_argument("--kills-a-round", type=int, default=5, help="kills of one study before the next (default: 5)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the moments and victims")
    parser.add_argument("--output", type=Path, help="CSV of the kills; a summary is written beside it as .md")
    args = parser.parse_args()
    rows, lost, walls = [], [], {}
    with tempfile.TemporaryDirectory(prefix="kills-") as scratch:
        unbroken = Checkout(Path(scratch) / "unbroken", {**STUDY, "keep": ["lightcones", "subfields", "maps"]})
        start = time.monotonic()
        unbroken.snakemake(*LOCAL)
        walls["unbroken"] = time.monotonic() - start
        expected = unbroken.outputs((*FINAL, "subfields", "maps"))
        print(f"unbroken run: {walls['unbroken']:.0f} s, {len(expected)} files", flush=True)
        with contextlib.ExitStack() as stack:
            for scheduler, wanted in (("local", args.kills), ("slurm", args.slurm_kills)):
                if scheduler == "slurm" and wanted:
                    wait_for_turn()
                    stack.enter_context(one_node_slurm(Path(scratch) / "slurm", cpus=1))
                done, hits = 0, {}
                while done < wanted:
                    number = len(walls)
                    checkout = Checkout(Path(scratch) / f"round{number}", STUDY, unbroken.root)
                    if number % 2 == 0:
                        from_training_on(checkout, unbroken)
                    start, dice = time.monotonic(), random.Random(args.seed * 1000 + number)
                    found, wrong = one_round(
                        checkout,
                        expected,
                        dice,
                        min(wanted - done, args.kills_a_round),
                        walls["unbroken"] / 4,
                        scheduler == "slurm",
                        hits,
                    )
                    walls[f"round {number}"] = time.monotonic() - start
                    for row in found:
                        rows.append({"kill": len(rows) + 1, "round": number, **row})
                    done += len(found)
                    lost += [f"round {number}: {name}" for name in wrong]
                    state = (
                        f"LOST {wrong}\n{(checkout.root / 'harness.log').read_text()[-3000:]}"
                        if wrong
                        else "same bytes"
                    )
                    print(f"round {number} ({scheduler}): {walls[f'round {number}']:.0f} s, {state}", flush=True)
                    if args.output:
                        save(args.output, rows, summary(rows, lost, walls, args, len(expected)))
    print(summary(rows, lost, walls, args, len(expected)))
    sys.exit(bool(lost or sum(row["damaged"] for row in rows)))


def wait_for_turn() -> None:
    """Wait while the cluster tests hold the one SLURM that this machine can have."""
    for _ in range(120):
        if not missing():
            return
        time.sleep(10)
    raise LimelightError(f"--slurm-kills: {missing()}")


def save(path: Path, rows: list[dict], text: str) -> None:
    """Write the CSV and the page beside it."""
    seconds = ("moment_s", "repeated_s")
    write_csv(path, [{**row, **{name: f"{row[name]:.1f}" for name in seconds}} for row in rows], 5, COLUMNS)
    write_text(path.with_suffix(".md"), text)


def summary(rows: list[dict], lost: list[str], walls: dict[str, float], args: argparse.Namespace, files: int) -> str:
    """The result as a short Markdown page."""
    kinds = sorted({(row["scheduler"], row["kind"]) for row in rows})
    counts = [(*kind, [row for row in rows if (row["scheduler"], row["kind"]) == kind]) for kind in kinds]
    table = "\n".join(
        f"| {scheduler} | {kind} | {len(found)} | {sum(row['repeated_s'] for row in found):.0f} |"
        for scheduler, kind, found in counts
    )
    broken = sum(walls.values()) - walls["unbroken"]
    options = (
        f"--kills {args.kills} --slurm-kills {args.slurm_kills} --kills-a-round {args.kills_a_round} --seed {args.seed}"
    )
    damaged_files = sum(row["damaged"] for row in rows)
    return f"""# Killed at random, run again, compared byte for byte

{len(rows)} kills with SIGKILL in {len(walls) - 1} runs of a small study ({files} files each).
Final outputs lost or different after the reruns: **{len(lost)}**.
Files half-written or wrong right after a kill: **{damaged_files}**.
Work done again: {sum(row["repeated_s"] for row in rows):.0f} s in all, of {broken:.0f} s of running (an unbroken run took
{walls["unbroken"]:.0f} s on this machine at its load then, most of it starting Python).

| scheduler | killed | kills | work done again, s |
|---|---|---|---|
{table}

Local runs are `scripts/run_study.py`'s, those of SLURM `snakemake --profile slurm`'s; after each kill the same command was
given again, and nothing else. `study` is run_study (its snakemake goes on, and the rerun waits for it), `workflow` snakemake
itself (its jobs go on as orphans, and the rerun starts beside them), `job` the snakemake inside a job, `stage` a script,
`trainer` the training, which goes on from its last checkpoint, `writer` a script amid the writing of an HDF5 or torch file.
Every kill: `kill_harness.csv`.

{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, `OMP_NUM_THREADS=1`, commit
{git_commit()[:12]}:

    python -m benchmarks.kill_harness {options} --output docs/results/kill_harness.csv
"""


if __name__ == "__main__":
    with plain_errors():
        main()
