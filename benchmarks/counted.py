"""What was left to ask of heads that count: docs/counting.md, on the streams of a study.

example: snakemake stream_files --configfile config/counted.yaml --cores 2
         python -m benchmarks.streamed_rival --config config/counted.yaml --results results/counted
         python -m benchmarks.counted --config config/counted.yaml --results results/counted --output docs/results/counting

Each head is trained, kept and asked as those of benchmarks.streamed are. Tables: <output>.csv, one row per test, method and
luminosity: quantiles, the rival, what Fisher's information promises it over the prior, ABC and the ideal;
<output>_scores.csv, one row per head; <output>_gains.csv, what some heads know beyond others; <output>_models.csv, one row
per line model that a head has learnt and line model that it is shown. --groups takes some of the groups of heads alone.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.special import logsumexp

from benchmarks.counted_rows import abc_intervals, forecast_intervals
from benchmarks.streamed import COLUMNS, TESTS, Judge
from benchmarks.streamed_heads import SAMPLED, Head
from benchmarks.streamed_tables import foreign_row, gain_row, score_row
from benchmarks.streamed_verdicts import verdict_rows
from limelight.errors import plain_errors
from limelight.files import write_csv
from limelight.probes.line_intensity.money import ROWS, interval_rows, maps_of, of_maps

NETWORKS = ("comap_unknown", "comap", "quiet")
MODELS = ("power_law", "padmanabhan")  # streams of other line models than that of the networks
SHOWN_MODELS = ("comap", "quiet")  # networks that are shown them
GROUPS = ("quantiles", "sizes", "joint", "flows", "models")
FEWER = (1536, 6144)  # simulations that heads without the mean learn from, beside those of all
JOINT_LEARN_FROM = 6144  # simulations: a mixture takes longer than quantiles,
FLOWS_LEARN_FROM = 1536  # and a flow five times that
SEEDS = (1, 2, 3)


def heads(group: str) -> Iterator[Head]:
    """The heads of a group, the most needed first."""
    if group == "quantiles":
        yield from (Head(network, recalibrated=done) for done in (True, False) for network in NETWORKS)
    if group == "sizes":
        yield from (Head("comap_unknown", rows=rows, recalibrated=True) for rows in FEWER)
    if group == "joint":
        for network in NETWORKS:
            head = Head(network, "mdn", rows=JOINT_LEARN_FROM, seed=1, members=1)
            yield from (head, replace(head, recalibrated=True))
    if group == "flows":
        for kind in ("npe", "mdn"):
            yield from (ensemble(kind), *(replace(ensemble(kind), seed=seed, members=1) for seed in SEEDS))
    if group == "models":
        yield from (Head(network, stream=stream) for network in SHOWN_MODELS for stream in MODELS)
        yield from (Head(network, "mdn", seed=1, members=1, stream=s) for network in SHOWN_MODELS for s in MODELS)


def ensemble(kind: str) -> Head:
    """As many members as there are seeds of single heads."""
    return Head("comap", kind, rows=FLOWS_LEARN_FROM, seed=SEEDS[0], members=len(SEEDS))


def together(several: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """What the mean of several heads' densities knows: ln q of the truths alone."""
    score = logsumexp([found["log_score"] for found in several], axis=0) - np.log(len(several))
    return {name: several[0][name] for name in ("truth", *ROWS)} | {"log_score": score}


def gain_rows(answers: dict[Head, dict]) -> list[dict]:
    """What some heads know beyond others, map by map, of one stream's tests: one row per comparison and test."""
    heads_of = {kind: [replace(ensemble(kind), seed=seed, members=1) for seed in SEEDS] for kind in ("npe", "mdn")}
    rows = []
    for test in next(iter(answers.values())):
        if not {*heads_of["npe"], *heads_of["mdn"]} <= set(answers):
            continue
        flows, mixtures = ([answers[head][test] for head in heads_of[kind]] for kind in ("npe", "mdn"))
        both = list(zip(flows, mixtures, strict=True))
        rows.append(gain_row("flow for mixture", (heads_of["npe"][0], heads_of["mdn"][0]), test, both))
        for kind, found in (("npe", flows), ("mdn", mixtures)):
            three = ensemble(kind)
            if three in answers:
                both = [(answers[three][test], one) for one in found]
                rows.append(gain_row("an ensemble for one", (three,), test, both))
            if "log_score" not in found[0]:  # a flow of some principal components has no density of all bins
                continue
            rows.append(gain_row("mean of three for one", (heads_of[kind][0],), test, [(together(found), found[0])]))
    return rows


def width_rows(judge: Judge, answers: dict[Head, dict], ideal: int) -> list[dict]:
    """One row per test, method and luminosity; shared_*: of the rival's maps alone, on_ideal_*: of those of the ideal."""
    rows, shown = [], [test for test in TESTS.values() if test in next(iter(answers.values()))]
    ideals = {test: judge.ideal(test, ideal, 79) for test in shown if ideal}
    for head, tests in answers.items():
        if head.kind == "quantiles" and head.recalibrated:
            for test in shown:
                found, rival = judge.intervals(head, test, tests[test]), judge.rival(test, head.network)
                mine = judge.rows_of(found, head.network, rival)
                alike = interval_rows(of_maps(found, maps_of(ideals[test]))) if test in ideals else [{}] * len(mine)
                rows += [
                    row | {"on_ideal_width_95": some.get("width_95")} for row, some in zip(mine, alike, strict=True)
                ]
    for network, test in SAMPLED:
        rival = judge.rival(test, network)
        if rival is None:
            continue
        elsewhere = {"on_ideal_width_95": None}  # of other maps than the ideal's
        rows += [row | elsewhere for row in judge.rows_of(rival, network, rival)]
        if test == "prior":
            promised = forecast_intervals(judge, "li", test, network, rival)
            rows += [row | elsewhere | {"mean_known": False} for row in judge.rows_of(promised, network, rival)]
    if (found := abc_intervals(judge, "abc", "prior")) is not None:
        rows += judge.rows_of(found, "comap", judge.rival("prior", "comap"))
    for one in ideals.values():
        rows += interval_rows(one)
    return rows


def model_rows(answers: dict[Head, dict]) -> list[dict]:
    """One row per (trained on, tested on) pair."""
    rows = []
    for head, tests in answers.items():
        if head.kind == "quantiles" and not (head.recalibrated or head.rows) and head.network in SHOWN_MODELS:
            rows_of = 0 if head.stream else JOINT_LEARN_FROM
            mixture = answers.get(replace(head, kind="mdn", rows=rows_of, seed=1, members=1), {})
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
    write_csv(args.output.with_suffix(".csv"), rows, digits=4, columns=(*COLUMNS, "on_ideal_width_95"))
    tables = {
        "scores": scores,
        "gains": gain_rows(answers),
        "models": model_rows(answers),
        "verdicts": verdict_rows(rows),
    }
    for name, table in tables.items():
        if table:
            write_csv(args.output.with_name(f"{args.output.name}_{name}.csv"), table, digits=4)


if __name__ == "__main__":
    with plain_errors():
        main()
