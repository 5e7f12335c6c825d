#!/usr/bin/env python3
"""Run a trained network over all maps of one test and write its errors, with all that the figures need.

The config's `tests` says which maps and which noise; the noise of each map is fixed by the study's seed.

example: python scripts/evaluate_network.py --config config/demo.yaml --test no_noise \\
    --network networks/limelight/model.pt --history networks/limelight/history.csv \\
    --data shards/li10/9.h5 shards/li10/10.h5 --output evaluation/no_noise.h5
"""

import sys
import time
from pathlib import Path

from limelight.arguments import Arguments
from limelight.device import DEVICES, pick_device
from limelight.errors import plain_errors, problem


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--test", required=True, help="name of one of the config's tests")
    parser.add_argument("--network", type=Path, required=True, metavar="model.pt", help="trained network")
    parser.add_argument("--history", type=Path, required=True, metavar="history.csv", help="its training history")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="SHARD.h5", help="data of the test")
    parser.add_argument("--estimates", type=Path, metavar="S.h5", help="what estimators made of the same test")
    parser.add_output("--output", metavar="E.h5", help="evaluation file to write")
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where it runs (default: cpu)")
    args = parser.parse_args()
    import torch

    from limelight.ancestry import check_data, check_file, check_history, check_made_from
    from limelight.data.shard import read_shards
    from limelight.evaluation.estimates import read_estimates
    from limelight.evaluation.evaluation_file import read_history, write_evaluation
    from limelight.evaluation.metrics import in_words
    from limelight.evaluation.predict import evaluate
    from limelight.files import provenance
    from limelight.probe import load_probe
    from limelight.study.config import load_study
    from limelight.study.settings import estimates_settings, evaluation_settings
    from limelight.training import load_model

    start = time.monotonic()
    study = load_study(args.config)
    if args.test not in study.tests:
        raise problem("--test", f"'{args.test}'", f"one of {', '.join(study.tests)}", "choose one")
    device = pick_device(args.device)
    module, info = load_model(args.network, device)
    if info["network"] not in study.networks:
        raise problem(args.network, f"network '{info['network']}'", f"one of {', '.join(study.networks)}", "choose one")
    settings, probe = evaluation_settings(study, info["network"], args.test), load_probe(study.probe)
    check_made_from(args.network, info["provenance"], settings.trained)
    check_data(args.data, {settings.entry.dataset: settings.dataset})
    if args.estimates:
        check_file(args.estimates, estimates_settings(study, args.test))
    torch.set_num_threads(settings.trained.threads)
    history, others = read_history(args.history), read_estimates(args.estimates) if args.estimates else None
    check_history(args.history, history, info["training"])
    found = read_shards(args.data)
    result = evaluate(module, info, settings, probe, found, history, device, others)
    write_evaluation(args.output, result, provenance(settings, study.seed))
    words = probe.in_words(result.totals) or in_words(result.totals)
    print(f"{args.output}: {len(found)} rows; {words}; {time.monotonic() - start:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
