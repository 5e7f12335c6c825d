#!/usr/bin/env python3
"""Say what a study will cost before it runs: jobs, cores, memory, hours and disk, stage by stage.

The jobs are those of a dry run of the whole study, whatever of it is finished already.

examples: python scripts/estimate.py --config config/paper.yaml
  python scripts/estimate.py --config config/money.yaml --target money_plot
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from limelight.arguments import Arguments, whole
from limelight.errors import LimelightError, plain_errors, problem

if TYPE_CHECKING:
    from limelight.study.sections import Study


COLUMNS = {  # heading: (column, format)
    "jobs": ("jobs", "{:,d}"),
    "cores": ("cores", "{:d}"),
    "GPUs": ("gpus", "{:d}"),
    "memory GB": ("memory_gb", "{:.1f}"),
    "minutes": ("minutes", "{:.1f}"),
    "limit min": ("limit_min", "{:d}"),
    "core-hours": ("core_hours", "{:,.1f}"),
    "GPU-hours": ("gpu_hours", "{:,.1f}"),
    "kept GB": ("kept_gb", "{:,.1f}"),
    "temp. GB": ("temporary_gb", "{:.1f}"),
}
JOB = re.compile(r"^(\w+) +(\d+)$", re.MULTILINE)  # a line of Snakemake's table of jobs
NO_JOBS = ("total", "all", "audit", "calibration", "money_plot")  # the targets themselves run nothing


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--target", nargs="+", default=["all"], help="what is to be made (default: all)")
    parser.add_argument("--jobs", type=whole(1), default=200, help="jobs at once, for the disk in use (default: 200)")
    args = parser.parse_args()
    from limelight.study.config import load_study
    from limelight.study.cost import costs
    from limelight.text_table import text_table

    study = load_study(args.config)
    count = jobs_of(args.config, args.target)
    rows = costs(study, count)
    cells = [{heading: form.format(row[column]) for heading, (column, form) in COLUMNS.items()} for row in rows]
    print(text_table([{"stage": row["stage"]} | cell for row, cell in zip(rows, cells, strict=True)]))
    print(summary(study, rows, count, args.jobs))


def jobs_of(config: Path, targets: list[str]) -> dict[str, int]:
    """Jobs by rule that make the targets of a study from nothing, as Snakemake plans them."""
    from limelight.files import ROOT

    command = [sys.executable, "-m", "snakemake", *targets, "--snakefile", str(ROOT / "Snakefile")]
    command += ["--configfile", str(config), "--dry-run", "--forceall", "--quiet", "rules", "--nolock"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        said = [line for line in run.stderr.splitlines() if line.strip()] or ["nothing"]
        own = [line.partition("error: ")[2] for line in said if line.startswith("limelight: error: ")]
        if own:
            raise LimelightError("\n".join(own))
        raise problem(f"{config}: {' '.join(targets)}", said[-1], "targets that can be planned", "mend that")
    table = (run.stdout + run.stderr).partition("Job stats:")[2].partition("\ntotal")[0]
    return {rule: int(number) for rule, number in JOB.findall(table) if rule not in NO_JOBS}


def grouped(count: dict[str, int]) -> int:
    """Jobs that the cluster profile runs within another job: all of a group but those that begin it."""
    import yaml

    from limelight.files import ROOT

    groups = yaml.safe_load((ROOT / "slurm" / "config.yaml").read_text(encoding="utf-8"))["groups"]
    first = {group: rule for rule, group in reversed(groups.items())}
    return sum(count.get(rule, 0) for rule, group in groups.items() if rule != first[group])


def summary(study: "Study", rows: list[dict], count: dict[str, int], at_once: int) -> str:
    """The totals, the networks and how all was estimated, in words."""
    from limelight.study.cost import GPU_FLOPS, GPU_STEP_S, MARGIN, network_size, training_seconds, training_steps

    total = {column: sum(row[column] for row in rows) for column in rows[0] if column != "stage"}
    queued = total["jobs"] - grouped(count) - 1  # the page of provenance is made beside Snakemake
    realisations = sum(map(len, study.splits.values()))
    peak = total["kept_gb"] + total["temporary_gb"] * min(at_once, realisations)
    lines = [
        "",
        f"total: {total['jobs']:,d} jobs ({queued:,d} in a queue: the shards of each of {realisations:,d} realisations are "
        f"made in one), {total['core_hours']:,.0f} core-hours, {total['gpu_hours']:,.1f} GPU-hours",
        f"disk: {total['kept_gb']:,.0f} GB when done, {peak:,.0f} GB at most with {at_once} jobs at once",
    ]
    for name in study.networks:
        flops, weights = network_size(study, name)
        lines.append(
            f"network {name}: {weights / 1e6:.1f} M weights, {flops / 1e9:.2f} GFLOP per row, "
            f"{training_steps(study, name):,d} steps, {training_seconds(study, name) / 3600:.2f} h"
        )
    lines.append(
        "\nCPU stages: measured on one core of a 2025 server and scaled with the study; memory and minutes are those of the "
        "longest job."
    )
    if study.resources.gpus:
        rates = " and ".join(f"{rate / 1e12:.0f} TFLOP/s in {name}" for name, rate in GPU_FLOPS.items())
        lines.append(
            f"GPUs: not measured. Multiplications of the networks at {rates}, what an H100 should reach, and "
            f"{1000 * GPU_STEP_S:.0f} ms per step besides; an A100 takes about twice as long."
        )
    lines.append(f"A job's limit is {MARGIN} times its expected minutes and 5 more; a retry doubles limit and memory.")
    return "\n".join(lines)


if __name__ == "__main__":
    with plain_errors():
        main()
