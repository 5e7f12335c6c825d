#!/usr/bin/env python3
"""Say what a study will cost before it runs: jobs, cores, memory, hours and disk, stage by stage.

example: python scripts/estimate.py --config config/paper.yaml
"""

import argparse
from pathlib import Path

from limelight.errors import plain_errors
from limelight.study.config import load_study
from limelight.study.cost import GPU_FLOPS, GPU_STEP_S, MARGIN, costs, network_size, training_seconds, training_steps

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--jobs", type=int, default=200, help="jobs at once, for the disk in use (default: 200)")
    args = parser.parse_args()
    study = load_study(args.config)
    rows = costs(study)
    print(f"{'':12s}" + "".join(f"{heading:>11s}" for heading in COLUMNS))
    for row in rows:
        cells = (form.format(row[column]) for column, form in COLUMNS.values())
        print(f"{row['stage']:12s}" + "".join(f"{cell:>11s}" for cell in cells))
    print(summary(study, rows, args.jobs))


def summary(study: dict, rows: list[dict], jobs: int) -> str:
    """The totals, the networks and how all was estimated, in words."""
    total = {column: sum(row[column] for row in rows) for column in rows[0] if column != "stage"}
    by_stage = {row["stage"]: row for row in rows}
    cones = by_stage["lightcone"]["jobs"]
    inner = sum(by_stage[stage]["jobs"] for stage in ("subfields", "maps", "pooled"))
    queued = total["jobs"] - inner - 1  # the page of provenance is made beside Snakemake
    peak = total["kept_gb"] + total["temporary_gb"] * min(jobs, cones)
    lines = [
        "",
        f"total: {total['jobs']:,d} jobs ({queued:,d} in a queue: the chains of {cones:,d} light-cones are one each), "
        f"{total['core_hours']:,.0f} core-hours, {total['gpu_hours']:,.1f} GPU-hours",
        f"disk: {total['kept_gb']:,.0f} GB when done, {peak:,.0f} GB at most with {jobs} jobs at once",
    ]
    for name in study["networks"]:
        flops, weights = network_size(study, name)
        lines.append(
            f"network {name}: {weights / 1e6:.1f} M weights, {flops / 1e9:.2f} GFLOP a map, "
            f"{training_steps(study, name):,d} steps, {training_seconds(study, name) / 3600:.2f} h"
        )
    lines.append(
        "\nCPU stages: measured on one core of a 2025 server and scaled with halos, voxels and maps; memory and minutes "
        "are those of the longest job."
    )
    if study["resources"]["gpus"]:
        rates = " and ".join(f"{rate / 1e12:.0f} TFLOP/s in {name}" for name, rate in GPU_FLOPS.items())
        lines.append(
            f"GPUs: not measured. Multiplications of the networks at {rates}, what an H100 should reach, and "
            f"{1000 * GPU_STEP_S:.0f} ms a step besides; an A100 takes about twice as long."
        )
    lines.append(f"A job's limit is {MARGIN} times its expected minutes and 5 more; a retry doubles limit and memory.")
    return "\n".join(lines)


if __name__ == "__main__":
    with plain_errors():
        main()
