"""What is worth counting on a map, and how sure posteriors are of all bins together: heads on the stream of a study.

example: snakemake stream_files --configfile config/counted.yaml --cores 2
         python -m benchmarks.counted --config config/counted.yaml --results results/counted --output docs/results/counted

Each head is trained, kept and asked as those of benchmarks.streamed are. Tables: <output>_scores.csv, one row per head, and
<output>_gains.csv, what some know beyond others. --groups takes some of the groups of heads alone.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.streamed import Judge
from benchmarks.streamed_heads import SUMMARIES, Head
from benchmarks.streamed_tables import gain_row, score_row
from limelight.errors import plain_errors
from limelight.files import write_csv

SEEDS = (1, 2, 3)
GROUPS = ("quantiles", "nats", "joint", "flows")


def central(network: str, kind: str, features: tuple[str, ...]) -> list[Head]:
    """The same head with each of the seeds."""
    return [Head(network, kind, features, seed=seed, members=1) for seed in SEEDS]


def compared(group: str) -> Iterator[tuple[str, list[Head], list[Head]]]:
    """(what the first know beyond the second, the first, the second) of a group: compared map by map, seed by seed."""
    if group == "quantiles":
        plain = central("comap", "quantiles", SUMMARIES)
        yield "soft_histogram", central("comap", "quantiles", (*SUMMARIES, "soft_histogram")), plain
        learnt, fixed = (central("comap", "quantiles", (kind,)) for kind in ("soft_histogram", "histogram"))
        yield "soft_histogram for histogram", learnt, fixed
    if group in ("quantiles", "nats"):
        kind = {"quantiles": "quantiles", "nats": "mdn"}[group]
        heads = (central("quiet_seen", kind, features) for features in ((*SUMMARIES, "convolutions"), SUMMARIES))
        yield "convolutions", *heads
    if group in ("joint", "flows"):
        one = Head("comap", {"joint": "mdn", "flows": "npe"}[group], seed=1, members=1)
        for done in (False, True):
            each = replace(one, recalibrated=done)
            yield "four heads for one", [replace(each, members=4)], [each]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--results", type=Path, required=True, help="its folder of results")
    parser.add_argument("--output", type=Path, required=True, help="tables to write, without _scores.csv")
    parser.add_argument("--groups", nargs="*", choices=GROUPS, default=GROUPS, help="of heads")
    parser.add_argument("--train", action="store_true", help="train the heads and stop; their tests may be missing yet")
    args = parser.parse_args()
    torch.set_num_threads(1)
    judge = Judge(args.config, args.results)
    pairs = [pair for group in args.groups for pair in compared(group)]
    heads = list(dict.fromkeys(head for _, first, second in pairs for head in (*second, *first)))
    if args.train:
        for head in heads:
            judge.trained(head)
        return
    answers = {head: judge.answers(head) for head in heads}
    scores = [score_row(head, test, found) for head in heads for test, found in answers[head].items()]
    gains = [
        gain_row(
            what,
            (first[0], second[0]),
            test,
            [(answers[a][test], answers[b][test]) for a, b in zip(first, second, strict=True)],
        )
        for what, first, second in pairs
        for test in answers[first[0]]
    ]
    write_csv(args.output.with_name(f"{args.output.name}_scores.csv"), scores, digits=4)
    write_csv(args.output.with_name(f"{args.output.name}_gains.csv"), gains, digits=4)


if __name__ == "__main__":
    with plain_errors():
        main()
