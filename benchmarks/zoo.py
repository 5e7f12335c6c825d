#!/usr/bin/env python3
"""The zoo: what networks of a study achieve for their processor time, each trained from several random starts.

The networks of a config are named <architecture>_<number>; all of one architecture differ in their random numbers alone.
Here all are trained one after the other in one process, on one thread, so that their times can be compared. `snakemake
--configfile` of the same config trains the same networks, job by job.

example: python -m benchmarks.zoo --config config/zoo_lenses.yaml --shards scratch/zoo_lenses --output zoo_lenses.csv
         python -m benchmarks.zoo --tables lenses=zoo_lenses.csv cubes=zoo_cubes.csv --figure zoo.png
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from limelight.data.shard import Rows, read_shards, write_shard
from limelight.errors import plain_errors, problem
from limelight.evaluation.predict import evaluate
from limelight.figures.style import COLOURS, PAGE_IN, save, style
from limelight.files import provenance, read_csv, settings_hash, write_csv
from limelight.probe import load_probe
from limelight.study.config import load_study
from limelight.study.sections import Study
from limelight.study.selection import suitable_tests
from limelight.study.settings import evaluation_settings, network_settings
from limelight.training.checkpoint import load_model, save_model
from limelight.training.loop import train

COLUMNS = (
    *("network", "start", "weights", "steps", "training_s", "ms_per_row", "test"),
    *("error_over_mean", "theta_e_over_bound"),
)
MARKS = "os^Dv"


def shards(study: Study, dataset: str, split: str, folder: Path) -> Rows:
    """The rows of a split; shards that are not in the folder yet are simulated."""
    probe = load_probe(study.probe)
    settings, paths = probe.dataset_settings(study, dataset), []
    for realisation in study.splits[split]:
        path = folder / f"{dataset}-{settings_hash(settings)}-{realisation}.h5"
        if not path.exists():
            write_shard(path, probe.simulate(settings, dataset, realisation), provenance(settings, study.seed))
        paths.append(path)
    return read_shards(paths)


def rows(study: Study, folder: Path, steps: int = 0) -> Iterator[dict]:
    """One row of the table for each network: its cost, and its errors on its first test.

    steps: train each for only this many, to see what a step costs; 0: as the config says.
    """
    probe = load_probe(study.probe)
    torch.set_num_threads(1)
    for name in study.networks:
        settings, test = network_settings(study, name), suitable_tests(study, name)[0]
        if steps:
            training = settings.network.training.model_copy(update={"steps_per_epoch": steps, "epochs": 1})
            settings = replace(settings, network=settings.network.model_copy(update={"training": training}))
        (dataset,) = settings.network.datasets
        data = [shards(study, dataset, split, folder) for split in ("train", "validation")]
        shown = shards(study, study.tests[test].dataset, "test", folder)
        with tempfile.TemporaryDirectory() as scratch:
            begin = time.process_time()
            content, history = train(settings, probe, *data, Path(scratch))
            seconds = time.process_time() - begin
            save_model(Path(scratch, "model.pt"), content, provenance(settings, study.seed))
            module, info = load_model(Path(scratch, "model.pt"))
        columns = {key: np.array([row[key] for row in history]) for key in history[0]}
        totals = evaluate(module, info, evaluation_settings(study, name, test), probe, shown, columns).totals
        architecture, _, start = name.rpartition("_")
        seen = history[-1]["step"] * settings.network.training.batch_size
        yield {
            **{"network": architecture, "start": start, "weights": sum(one.numel() for one in module.parameters())},
            **{"steps": history[-1]["step"], "training_s": seconds, "ms_per_row": 1e3 * seconds / seen, "test": test},
            "error_over_mean": totals["gain_target"] ** -0.5,
            "theta_e_over_bound": totals.get("theta_e_over_bound", np.nan),
        }


def figure(tables: dict[str, dict[str, np.ndarray]]) -> Figure:
    """Root mean square error, over that of the training mean, against processor seconds: one panel for each table."""
    with style():
        drawn = Figure(figsize=(PAGE_IN, 2.9))
        for panel, (title, table) in zip(np.ravel(drawn.subplots(1, len(tables))), tables.items(), strict=True):
            for i, network in enumerate(dict.fromkeys(table["network"].tolist())):
                mine = table["network"] == network
                x, y = table["training_s"][mine], table["error_over_mean"][mine]
                panel.plot(x, y, MARKS[i % 5], ms=4, color=COLOURS[i], label=network, alpha=0.6)
                panel.errorbar(x.mean(), y.mean(), y.std(ddof=1) if len(y) > 1 else 0, capsize=3, color=COLOURS[i])
            panel.set(title=title, xlabel="processor seconds of training", ylabel="error / that of the mean")
        drawn.legend(*panel.get_legend_handles_labels(), loc="outside upper center", ncols=5)
        return drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, help="YAML of the study")
    parser.add_argument("--shards", type=Path, metavar="DIR", help="where its shards are, or go")
    parser.add_argument("--steps", type=int, default=0, help="train each for so few steps, to see what one costs")
    parser.add_argument("--output", type=Path, metavar="T.csv", help="table to write")
    parser.add_argument("--tables", nargs="+", default=[], metavar="TITLE=T.csv", help="tables to draw")
    parser.add_argument("--figure", type=Path, metavar="F.png", help="figure to draw of them")
    args = parser.parse_args()
    if args.config:
        if not (args.shards and args.output):
            raise problem("zoo", "--config alone", "--shards and --output as well", "give both")
        args.shards.mkdir(parents=True, exist_ok=True)
        table = []
        for row in rows(load_study(args.config), args.shards, args.steps):
            table.append(row)
            write_csv(args.output, table, 4, COLUMNS)
    if args.figure:
        save(
            figure({one.partition("=")[0]: read_csv(one.partition("=")[2], "table") for one in args.tables}),
            args.figure,
        )


if __name__ == "__main__":
    with plain_errors():
        main()
