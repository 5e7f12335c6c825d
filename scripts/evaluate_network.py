#!/usr/bin/env python3
"""Run a trained network over all maps of one test and write its errors, with all that the figures need.

The config's `tests` says which maps and which noise; the noise of each map is fixed by the study's seed.

example: python scripts/evaluate_network.py --config config/demo.yaml --test no_noise \\
    --network networks/limelight/model.pt --history networks/limelight/history.csv \\
    --maps pooled/li10/9.h5 pooled/li10/10.h5 --output evaluation/no_noise.h5
"""

import argparse
import sys
import time
from pathlib import Path

import torch

from limelight.device import DEVICES, pick_device
from limelight.errors import plain_errors, problem
from limelight.evaluation.evaluation_file import read_history, write_evaluation
from limelight.evaluation.metrics import in_words
from limelight.evaluation.predict import evaluate
from limelight.files import provenance
from limelight.probes.line_intensity.maps.files import read_pooled
from limelight.study.config import load_study
from limelight.study.legacy import stage_settings
from limelight.training import load_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--test", required=True, help="name of one of the config's tests")
    parser.add_argument("--network", type=Path, required=True, metavar="model.pt", help="trained network")
    parser.add_argument("--history", type=Path, required=True, metavar="history.csv", help="its training history")
    parser.add_argument("--maps", type=Path, nargs="+", required=True, metavar="P.h5", help="pooled test maps")
    parser.add_argument("--output", type=Path, required=True, metavar="E.h5", help="evaluation file to write")
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where it runs (default: cpu)")
    args = parser.parse_args()
    start = time.monotonic()
    study = load_study(args.config)
    if args.test not in study["tests"]:
        raise problem("--test", f"'{args.test}'", f"one of {', '.join(study['tests'])}", "choose one")
    device = pick_device(args.device)
    module, info = load_model(args.network, device)
    if info["network"] not in study["networks"]:
        raise problem(
            args.network, f"network '{info['network']}'", f"one of {', '.join(study['networks'])}", "choose one"
        )
    settings = stage_settings(study, "evaluation", info["network"], args.test)
    torch.set_num_threads(settings["threads"])
    result = evaluate(module, info, settings, read_pooled(args.maps), read_history(args.history), device)
    write_evaluation(args.output, result, provenance(settings, study["seed"]))
    seconds = time.monotonic() - start
    print(f"{args.output}: {len(result.truth)} maps; {in_words(result.totals)}; {seconds:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
