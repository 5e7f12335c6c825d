"""What was left to ask of heads that count: docs/counting.md, on the streams of a study.

example: snakemake stream_files --configfile config/counted.yaml --cores 2
         python -m benchmarks.streamed_rival --config config/counted.yaml --results results/counted
         python -m benchmarks.counted --config config/counted.yaml --results results/counted --output docs/results/counting

Each head is trained, kept and asked as those of benchmarks.streamed are. Tables: <output>.csv, one row per test, method and
luminosity: quantiles, the rival, what Fisher's information promises it, ABC and the ideal; <output>_scores.csv, one row per
head; <output>_gains.csv, what some heads know beyond others; <output>_models.csv, one row per line model that a head has
learnt and line model that it is shown. --groups takes some of the groups of heads alone.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.counted_rows import abc_intervals, forecast_intervals
from benchmarks.streamed import COLUMNS, TESTS, Judge
from benchmarks.streamed_heads import SAMPLED, Head
from benchmarks.streamed_tables import foreign_row, gain_row, score_row
from benchmarks.streamed_verdicts import verdict_rows
from limelight.errors import plain_errors
from limelight.files import write_csv
from limelight.probes.line_intensity.money import interval_rows

NETWORKS = ("comap", "comap_unknown", "season2", "quiet")
MODELS = ("power_law", "padmanabhan")  # streams of other line models than that of the networks
SHOWN_MODELS = ("comap", "quiet")  # networks that are shown them
GROUPS = ("quantiles", "joint", "flows", "models")
SEEDS = (1, 2, 3)


def heads(group: str) -> Iterator[Head]:
    """The heads of a group, the most needed first."""
    if group == "quantiles":
        yield from (Head(network, recalibrated=done) for done in (True, False) for network in NETWORKS)
    if group == "joint":
        for members in (1, 4):
            for network in NETWORKS:
                one = Head(network, "mdn", seed=1, members=members)
                yield from (one, replace(one, recalibrated=True))
    if group == "flows":
        for seed in SEEDS:
            yield from (Head("comap", kind, seed=seed, members=1) for kind in ("npe", "mdn"))
        flows = Head("comap", "npe", seed=1, members=4)
        yield from (flows, replace(flows, recalibrated=True), replace(flows, recalibrated=True, members=1))
    if group == "models":
        yield from (Head(network, stream=stream) for network in SHOWN_MODELS for stream in MODELS)
        yield from (Head(network, "mdn", seed=1, members=1, stream=s) for network in SHOWN_MODELS for s in MODELS)


def pairs() -> Iterator[tuple[str, list[Head], list[Head]]]:
    """(what the first know beyond the second, the first, the second): compared map by map, seed by seed."""
    for network in NETWORKS:
        one = Head(network, "mdn", seed=1, members=1)
        yield "four mixtures for one", [replace(one, members=4)], [one]
    flows, mixtures = ([Head("comap", kind, seed=seed, members=1) for seed in SEEDS] for kind in ("npe", "mdn"))
    yield "flow for mixture", flows, mixtures
    yield "four flows for one", [Head("comap", "npe", seed=1, members=4)], flows[:1]
    four = [Head("comap", kind, seed=1, members=4) for kind in ("npe", "mdn")]
    yield "four flows for four mixtures", four[:1], four[1:]


def width_rows(judge: Judge, answers: dict[Head, dict], ideal: int) -> list[dict]:
    """One row per test, method and luminosity; shared_*: of the rival's maps alone."""
    rows = []
    for head, tests in answers.items():
        if head.kind == "quantiles" and head.recalibrated:
            for test in TESTS.values():
                rival = judge.rival(test, head.network)
                rows += judge.rows_of(judge.intervals(head, test, tests[test]), head.network, rival)
    for network, test in SAMPLED:
        rival = judge.rival(test, network)
        if rival is None:
            continue
        rows += judge.rows_of(rival, network, rival)
        promised = forecast_intervals(judge, "li", test, network, rival)
        rows += [row | {"mean_known": False} for row in judge.rows_of(promised, network, rival)]
    if (found := abc_intervals(judge, "abc", "prior")) is not None:
        rows += judge.rows_of(found, "comap", judge.rival("prior", "comap"))
    for test in TESTS.values() if ideal else ():
        rows += interval_rows(judge.ideal(test, ideal, 79))
    return rows


def model_rows(answers: dict[Head, dict]) -> list[dict]:
    """One row per (trained on, tested on) pair."""
    rows = []
    for head, tests in answers.items():
        if head.kind == "quantiles" and not head.recalibrated and head.network in SHOWN_MODELS:
            mixture = answers.get(replace(head, kind="mdn", seed=1, members=1), {})
            rows += [foreign_row(head, test, found, mixture.get(test)) for test, found in tests.items()]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--results", type=Path, required=True, help="its folder of results")
    parser.add_argument("--output", type=Path, required=True, help="tables to write, without .csv")
    parser.add_argument("--groups", nargs="*", choices=GROUPS, default=GROUPS, help="of heads")
    parser.add_argument("--ideal", type=int, default=32, metavar="MAPS", help="maps whose ideal is drawn; 0: none")
    parser.add_argument("--train", action="store_true", help="train the heads and stop; their tests may be missing yet")
    args = parser.parse_args()
    torch.set_num_threads(1)
    judge = Judge(args.config, args.results)
    chosen = list(dict.fromkeys(head for group in args.groups for head in heads(group)))
    if args.train:
        for head in chosen:
            judge.trained(head)
        return
    answers = {head: judge.answers(head) for head in chosen}
    rows = width_rows(judge, answers, args.ideal)
    scores = [score_row(head, test, found) for head, tests in answers.items() for test, found in tests.items()]
    gains = [
        gain_row(what, (first[0], second[0]), test, [(answers[a][test], answers[b][test]) for a, b in both])
        for what, first, second in pairs()
        if {*first, *second} <= set(chosen)
        for both in [list(zip(first, second, strict=True))]
        for test in answers[first[0]]
    ]
    write_csv(args.output.with_suffix(".csv"), rows, digits=4, columns=COLUMNS)
    tables = {"scores": scores, "gains": gains, "models": model_rows(answers), "verdicts": verdict_rows(rows)}
    for name, table in tables.items():
        if table:
            write_csv(args.output.with_name(f"{args.output.name}_{name}.csv"), table, digits=4)


if __name__ == "__main__":
    with plain_errors():
        main()
