#!/usr/bin/env python3
"""Tell what networks that find lenses identify falsely, or hold posteriors against MCMC (docs/strong_lens.md).

With --networks: a table by Einstein radius and kind, and what the first network's layers make of a true and a false
positive.
With --intervals: MCMC on the first lenses of the test that these posteriors were drawn for.

example: python scripts/judge_lenses.py --config config/strong_lens.yaml --test mixed --networks networks/finder/model.pt \\
    --data shards/mixed/9.h5 --output beside/finding.csv
"""

import sys
import time
from argparse import Namespace
from pathlib import Path

from limelight.arguments import Arguments
from limelight.errors import plain_errors, problem


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--test", required=True, help="name of one of the config's tests")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="SHARD.h5", help="the test's shards")
    parser.add_argument("--networks", type=Path, nargs="+", metavar="MODEL.pt", help="networks that answer kind")
    parser.add_argument("--intervals", type=Path, nargs="+", metavar="I.h5", help="posteriors, drawn for the test")
    parser.add_output("--output", metavar="B.csv", help="table; figures stand beside it", beside=(".pdf", ".png"))
    for kind in ("true", "false"):
        words = f"layers of the first network for its surest {kind} positive"
        parser.add_output(f"--{kind}-positive", metavar="L.png", help=words, beside=(".pdf",), required=False)
    args = parser.parse_args()
    import torch

    from limelight.ancestry import check_data
    from limelight.data.shard import read_shards
    from limelight.evaluation.estimates import check_rows
    from limelight.probe import load_probe
    from limelight.study.config import load_study
    from limelight.study.settings import estimates_settings

    start, study = time.monotonic(), load_study(args.config)
    if study.probe != "strong_lens":
        raise problem(args.config, f"a study of {study.probe}", "one of strong_lens", "give another")
    if args.test not in study.tests:
        raise problem("--test", f"'{args.test}'", f"one of {', '.join(study.tests)}", "choose one")
    if bool(args.networks) == bool(args.intervals):
        found = "both --networks and --intervals" if args.networks else "neither --networks nor --intervals"
        raise problem("judge_lenses.py", found, "one of them", "give one")
    if args.intervals and (args.true_positive or args.false_positive):
        raise problem(
            "--true-positive, --false-positive", "--intervals", "--networks, whose layers they show", "mend it"
        )
    dataset = study.tests[args.test].data
    check_data(args.data, {dataset: load_probe(study.probe).dataset_settings(study, dataset)})
    torch.set_num_threads(study.resources.training_threads)
    rows = read_shards(args.data)
    check_rows(estimates_settings(study, args.test), rows)
    table = finding(args, study, rows) if args.networks else chains(args, study, rows)
    print(f"{args.output}: {len(table)} rows; {time.monotonic() - start:.1f} s", file=sys.stderr)


def finding(args: Namespace, study, rows) -> list[dict]:
    """Judge networks that answer kind, and show their layers where that was asked for."""
    from limelight.ancestry import check_made_from
    from limelight.evaluation.layers import layers_of
    from limelight.figures.layers import feature_maps
    from limelight.figures.style import save
    from limelight.files import write_csv
    from limelight.probes.strong_lens import beside, figures
    from limelight.study.settings import evaluation_settings, network_settings
    from limelight.training.checkpoint import load_model

    modules, infos = {}, {}
    for path in args.networks:
        module, info = load_model(path)
        name = info["network"]
        if name not in study.networks or not study.networks[name].classifies:
            known = ", ".join(one for one, entry in study.networks.items() if entry.classifies) or "(none)"
            raise problem(path, f"network {name}", f"one of the study that answers kind: {known}", "give others")
        check_made_from(path, info["provenance"], network_settings(study, name))
        modules[name], infos[name] = module, info
    found = beside.judge_finding(modules, study, args.test, rows)
    first = next(iter(modules))
    settings = evaluation_settings(study, first, args.test)
    for lens, output in ((True, args.true_positive), (False, args.false_positive)):
        if output:
            shown = layers_of(modules[first], infos[first], settings, beside.PROBE, rows, found.first(first, lens))
            save(feature_maps([shown]), output, args.data)
    write_csv(args.output, found.table, 5, beside.FINDING_COLUMNS)
    save(figures.finding_figure(found), args.output, args.data)
    return found.table


def chains(args: Namespace, study, rows) -> list[dict]:
    """Hold posteriors against MCMC."""
    from limelight.ancestry import check_file
    from limelight.figures.style import save
    from limelight.files import write_csv
    from limelight.inference.intervals import read_intervals
    from limelight.probes.strong_lens import beside, figures
    from limelight.study.settings import intervals_settings

    posteriors = {}
    for path in args.intervals:
        one = read_intervals(path)
        name = str(one.settings.get("posterior"))
        if name not in study.posteriors or one.test != args.test:
            known = f"a posterior of the study ({', '.join(study.posteriors) or 'none'}) on {args.test}"
            raise problem(path, f"posterior {name} on {one.test}", known, "give others")
        check_file(path, intervals_settings(study, name, args.test))
        if one.samples is None:
            raise problem(path, "no draws", "a posterior of kind mdn, npe or imnn", "give another")
        posteriors[name] = one
    found = beside.judge_chains(posteriors, study, rows)
    for line in beside.chain_words(found):
        print(line, file=sys.stderr)
    write_csv(args.output, found.table, 5, beside.CHAIN_COLUMNS)
    save(figures.chains_figure(found), args.output, [*args.intervals, *args.data])
    return found.table


if __name__ == "__main__":
    with plain_errors():
        main()
