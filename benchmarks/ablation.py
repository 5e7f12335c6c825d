#!/usr/bin/env python3
"""The table of config/ablation.yaml: one row per network and test, from its finished workflow.

example: snakemake --configfile config/ablation.yaml --cores 2
         python -m benchmarks.ablation --results results/ablation --output docs/results/ablation.csv

validation_mse chose (the lowest of all epochs, on light-cones not trained on); test_mse_dex2 judges, on others again.
Both are squares of log10(1 + N), but for the validation_mse of targets that are something else.
"""

import argparse
import csv
from pathlib import Path

from limelight.errors import plain_errors, problem
from limelight.files import write_csv

TOTALS = {
    "test_mse_dex2": "total_mse_dex",
    "gain_over_mean": "total_gain_dex",
    "lowest_spread_ratio_100": "total_lowest_spread_ratio_100",
}


def rows(results: Path) -> list[dict]:
    """A row a network and test, as strings, in the order of the summary."""
    if not (results / "summary.csv").is_file():
        raise problem(results, "no summary.csv", "the results of a finished workflow", "run snakemake first")
    table = []
    with open(results / "summary.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["output"] != "0":
                continue
            with open(results / "networks" / row["network"] / "history.csv", encoding="utf-8", newline="") as history:
                epochs = list(csv.DictReader(history))
            best = min(epochs, key=lambda epoch: float(epoch["validation_loss"]))
            table.append(
                {
                    "network": row["network"],
                    "test": row["test"],
                    "noise_sigma_uk": row["noise_sigma_uk"],
                    "epoch": best["epoch"],
                    "validation_mse": float(best["validation_mse"]),
                    **{name: float(row[column]) for name, column in TOTALS.items()},
                }
            )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="results folder of the study")
    parser.add_argument("--output", type=Path, required=True, metavar="TABLE.csv", help="table to write")
    args = parser.parse_args()
    write_csv(args.output, rows(args.results), digits=4)


if __name__ == "__main__":
    with plain_errors():
        main()
