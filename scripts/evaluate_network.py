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
from limelight.errors import plain_errors


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
    from limelight.evaluation.metrics import in_words
    from limelight.probe import load_probe
    from limelight.stages.evaluate import evaluate
    from limelight.study.config import load_study

    start = time.monotonic()
    study, device = load_study(args.config), pick_device(args.device)
    given = args.test, args.network, args.history, args.data
    result = evaluate(study, *given, args.output, args.estimates, device)
    words = load_probe(study.probe).in_words(result.totals) or in_words(result.totals)
    print(
        f"{args.output}: {len(result.rows['group'])} rows; {words}; {time.monotonic() - start:.1f} s", file=sys.stderr
    )


if __name__ == "__main__":
    with plain_errors():
        main()
