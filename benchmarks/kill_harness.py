"""Kill a running study at random moments, run it again, and compare every file with an unbroken run, byte for byte.

    python -m benchmarks.kill_harness --kills 40 --slurm-kills 20 --state FOLDER --output docs/results/kill_harness.csv

A round is one small study run to its end in a scratch checkout, every second one from its training on: by
scripts/run_study.py, or by `snakemake --profile slurm`. At seeded random moments one of its processes gets SIGKILL: `study`
(run_study), `workflow` (snakemake itself), `job` (the snakemake inside a job), `stage` (a script), `trainer`, or `writer` (a
script while HDF5 or torch writes its file), the kind that was tried least so far. What a killed process leaves running is
left running, and the same command is given again at once, with nothing else done.

Rounds that came to their end are kept in FOLDER/rounds.json: the same command goes on after them. --minutes ends it after
the round in which they are over.

damaged: files found after a kill that differ from the unbroken run's. repeated_s: seconds of work that must be done again:
the age of the killed script, or of all scripts that ran when their workflow was killed; for a trainer the time since its
last checkpoint.
"""

import argparse
import contextlib
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.kill_aim import WRITTEN, processes, strike
from limelight.errors import LimelightError, plain_errors
from limelight.files import write_csv, write_text
from limelight.versions import git_commit
from tests.cluster.one_node import missing, one_node_slurm
from tests.pipeline.checkout import FINAL, SKY, TINY, Checkout

COLUMNS = ("kill", "round", "scheduler", "moment_s", "kind", "process", "repeated_s", "damaged")
# every kind of stage, each as short as can be; a training that lasts longer than it takes to start, so that kills find it
STUDY = {
    **SKY,
    "study": "kills",
    "lightcones": {
        "field_deg": 0.6,
        "mass_min_msun": 3e11,
        "cell_mpc": 10.0,
        "train": [0],
        "validation": [1],
        "test": [2],
    },
    "subfields": {"size_deg": 0.25, "per_side": 2, "rotations_deg": [0]},
    "grid": {**SKY["grid"], "pixels": 16, "channels": 10},
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
    "figures": {"each_network": ["loss_history"], "maps": [0, 1]},
    "audit": {"networks": "none"},
    "training": {"epochs": 20, "batch_size": 4, "steps_per_epoch": 20},
    "resources": {"training_threads": 1},
}
LOCAL = ("--cores", "1", "--rerun-incomplete")
SLURM = ("--profile", "slurm", "--slurm-init-seconds-before-status-checks", "2")
COMPARED = (*FINAL, "subfields", "maps")
PAUSE_S = 10.0  # the longest time from one kill to the next, or from a rerun's start to a kill
RERUNS = 6  # of a round after its last kill


def one_round(
    checkout: Checkout,
    unbroken: Checkout,
    dice: random.Random,
    kills: int,
    slurm: bool = False,
    tries: dict[str, int] | None = None,
) -> tuple[list[dict], list[str]]:
    """Run a study to its end through at most `kills` kills.

    tries: kills tried so far, by kind. Returns a row a kill, and the final outputs that are missing or not as expected.
    """
    expected, tries = unbroken.outputs(COMPARED), {} if tries is None else tries
    for folder in (
        path for kind in WRITTEN for path in (unbroken.results / kind, *(unbroken.results / kind).rglob("*"))
    ):
        if folder.is_dir():  # they are watched from the start
            (checkout.results / folder.relative_to(unbroken.results)).mkdir(parents=True, exist_ok=True)
    rows, after, hit = [], 0, []
    own = [sys.executable, "scripts/run_study.py", "--configfile", checkout.config, "--cores", "1"]
    command = checkout.command(*SLURM) if slurm else own
    start, run = time.monotonic(), None
    with open(checkout.root / "harness.log", "a") as log:
        while True:
            if run is None or run.poll() is not None:
                if run is not None and run.returncode == 0:
                    break
                after += len(rows) >= kills
                if after > RERUNS:
                    break
                run = subprocess.Popen(command, cwd=checkout.root, stdout=log, stderr=log, env=environment())
                moment = time.monotonic() + dice.uniform(1, PAUSE_S)
            time.sleep(0.2)
            if len(rows) < kills and time.monotonic() > moment:
                if row := strike(checkout, dice, tries, hit):
                    row |= {"moment_s": round(time.monotonic() - start, 1), "scheduler": "slurm" if slurm else "local"}
                    time.sleep(0.1)
                    rows.append(row | {"damaged": len(damaged(checkout, expected))})
                    print(" ".join(f"{key}={value}" for key, value in rows[-1].items()), flush=True)
                moment = time.monotonic() + dice.uniform(1, PAUSE_S)
    deadline = time.monotonic() + 120
    while processes(checkout.root) and time.monotonic() < deadline:  # orphans may still write: wait and look then
        time.sleep(0.5)
    finals = {name for name in expected if name.split("/")[0] in FINAL}
    absent = [name for name in sorted(finals) if not (checkout.results / name).exists()]
    return rows, absent + damaged(checkout, expected)


def environment() -> dict[str, str]:
    """One thread a job: two cores oversubscribe badly."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def damaged(checkout: Checkout, expected: dict[str, bytes]) -> list[str]:
    """Files in the checkout that are not exactly the unbroken run's. They may come and go while this looks."""
    wrong = []
    for name, content in expected.items():
        with contextlib.suppress(FileNotFoundError):
            if (checkout.results / name).read_bytes() != content:
                wrong.append(name)
    return wrong


def from_training_on(checkout: Checkout, unbroken: Checkout) -> None:
    """Give a checkout the light-cones and shards of the unbroken run, so that training is its first stage."""
    others = shutil.ignore_patterns("limelight")  # answers that it has by now
    shutil.copytree(unbroken.root / ".snakemake", checkout.root / ".snakemake", ignore=others, dirs_exist_ok=True)
    for kind in ("lightcones", "shards"):
        shutil.copytree(unbroken.results / kind, checkout.results / kind)


def unbroken_run(folder: Path) -> Checkout:
    """The study run to its end, in a folder where it may stand already."""
    whole = folder / "unbroken.json"
    if not whole.exists():
        shutil.rmtree(folder / "unbroken", ignore_errors=True)
    checkout = Checkout(folder / "unbroken", {**STUDY, "keep": ["lightcones", "subfields", "maps"]})
    if not whole.exists():
        start = time.monotonic()
        run = checkout.command(*LOCAL)
        with open(checkout.root / "harness.log", "w") as log:
            subprocess.run(run, cwd=checkout.root, stdout=log, stderr=log, env=environment(), check=True)
        write_text(whole, json.dumps({"wall_s": time.monotonic() - start, "commit": git_commit()}))
    return checkout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40, help="kills of local runs (default: 40)")
    parser.add_argument(
        "--slurm-kills", type=int, default=0, help="kills under a one-node SLURM of its own (needs root)"
    )
    parser.add_argument(
        "--kills-a-round", type=int, default=10, help="kills of one study before the next (default: 10)"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the moments and victims")
    parser.add_argument("--state", type=Path, required=True, help="folder of the runs; the same one goes on")
    parser.add_argument("--minutes", type=float, default=1e6, help="begin no round after these")
    parser.add_argument("--output", type=Path, help="CSV of the kills; a summary is written beside it as .md")
    args = parser.parse_args()
    begin, folder = time.monotonic(), args.state.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    unbroken, kept = unbroken_run(folder), folder / "rounds.json"
    rounds = json.loads(kept.read_text()) if kept.exists() else []
    wanted = {"local": args.kills, "slurm": args.slurm_kills}
    with contextlib.ExitStack() as stack:
        served = False
        while time.monotonic() - begin < 60 * args.minutes:
            left = {
                name: wanted[name] - sum(len(r["rows"]) for r in rounds if r["scheduler"] == name) for name in wanted
            }
            if max(left.values()) <= 0:
                break
            scheduler = max(wanted, key=lambda name: left[name] / max(wanted[name], 1))  # by turns
            if scheduler == "slurm" and not served:
                wait_for_turn()
                stack.enter_context(one_node_slurm(folder / "slurm", cpus=1))
                served = True
            rounds.append(
                new_round(folder, unbroken, rounds, scheduler, min(left[scheduler], args.kills_a_round), args)
            )
            write_text(kept, json.dumps(rounds, indent=1))
    about = json.loads((folder / "unbroken.json").read_text()) | {"files": len(unbroken.outputs(COMPARED))}
    text = summary(rounds, about, args)
    if args.output:
        rows = [{"round": one["number"], **row} for one in rounds for row in one["rows"]]
        save(args.output, [{"kill": number, **row} for number, row in enumerate(rows, 1)], text)
    print(text)
    sys.exit(any(one["wrong"] or sum(row["damaged"] for row in one["rows"]) for one in rounds))


def new_round(
    folder: Path, unbroken: Checkout, rounds: list[dict], scheduler: str, kills: int, args: argparse.Namespace
) -> dict:
    """One round in a checkout of its own: its number, scheduler, kills, seconds, and final outputs not as expected."""
    number, own = len(rounds) + 1, [one for one in rounds if one["scheduler"] == scheduler]
    shutil.rmtree(folder / f"round{number}", ignore_errors=True)
    checkout = Checkout(folder / f"round{number}", STUDY, unbroken.root)
    if len(own) % 2:
        from_training_on(checkout, unbroken)
    tries = own[-1]["tries"] if own else {}
    start, dice = time.monotonic(), random.Random(args.seed * 1000 + number)
    rows, wrong = one_round(checkout, unbroken, dice, kills, scheduler == "slurm", tries)
    wall_s = time.monotonic() - start
    state = f"LOST {wrong}\n{(checkout.root / 'harness.log').read_text()[-3000:]}" if wrong else "same bytes"
    print(f"round {number} ({scheduler}): {wall_s:.0f} s, {state}", flush=True)
    return {"number": number, "scheduler": scheduler, "wall_s": wall_s, "rows": rows, "wrong": wrong, "tries": tries}


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


def summary(rounds: list[dict], about: dict, args: argparse.Namespace) -> str:
    """The result as a short Markdown page."""
    rows = [row for one in rounds for row in one["rows"]]
    kinds = sorted({(row["scheduler"], row["kind"]) for row in rows})
    counts = [(*kind, [row for row in rows if (row["scheduler"], row["kind"]) == kind]) for kind in kinds]
    table = "\n".join(
        f"| {scheduler} | {kind} | {len(found)} | {sum(row['repeated_s'] for row in found):.0f} |"
        for scheduler, kind, found in counts
    )
    ends = "\n".join(
        f"| {one['number']} | {one['scheduler']} | {len(one['rows'])} | {one['wall_s']:.0f} |"
        f" {'; '.join(one['wrong']) or 'same bytes'} |"
        for one in rounds
    )
    writers = sorted({row["process"].split(" (")[0] for row in rows if row["kind"] == "writer"})
    return f"""# Killed at random, run again, compared byte for byte

{len(rows)} kills with SIGKILL in {len(rounds)} runs of a small study ({about["files"]} files each), every run
followed to its end.
Final outputs lost or different after the reruns: **{sum(len(one["wrong"]) for one in rounds)}**.
Files half-written or wrong right after a kill: **{sum(row["damaged"] for row in rows)}**.
Work done again: {sum(row["repeated_s"] for row in rows):.0f} s in all, of
{sum(one["wall_s"] for one in rounds):.0f} s of running
(an unbroken run took {about["wall_s"]:.0f} s on this machine at its load then, most of it starting Python).

| scheduler | killed | kills | work done again, s |
|---|---|---|---|
{table}

| run | scheduler | kills | seconds | after the reruns |
|---|---|---|---|---|
{ends}

Local runs are `scripts/run_study.py`'s, those of SLURM `snakemake --profile slurm`'s; after each kill the same command was
given again, and nothing else. `study` is run_study (its snakemake goes on, and the rerun waits for it), `workflow` snakemake
itself (its jobs go on as orphans, and the rerun starts beside them), `job` the snakemake inside a job, `stage` a script,
`trainer` the training, which goes on from its last checkpoint, `writer` a script amid the writing of an HDF5 or torch file,
whose temporary file was found left behind: {", ".join(writers)}.
Every kill: `kill_harness.csv`.

{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, `OMP_NUM_THREADS=1`, commit
{about["commit"][:12]}:

    python -m benchmarks.kill_harness --kills {args.kills} --slurm-kills {args.slurm_kills} \\
        --kills-a-round {args.kills_a_round} --seed {args.seed} --state FOLDER --output docs/results/kill_harness.csv
"""


if __name__ == "__main__":
    with plain_errors():
        main()
