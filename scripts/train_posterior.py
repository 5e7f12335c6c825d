#!/usr/bin/env python3
"""Train one posterior of a study: a head on a trained network (docs/inference.md).

example: python scripts/train_posterior.py --config config/money.yaml --name mdn_comap \\
    --network results/money/networks/comap/model.pt --train results/money/shards/li_full/[0-9].h5 \\
    --validation results/money/shards/li_full/1[678].h5 --output posterior.pt

A posterior with a stream learns from what its network saw of it: --train and --validation are then files of make_stream.py.

Kind imnn also simulates about the prior's mean, and needs what its probe simulates from: for line maps the subfields of the
training light-cones (--simulate-from).
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
    parser.add_argument("--name", required=True, help="of the posterior, in the config")
    parser.add_argument("--network", type=Path, required=True, metavar="model.pt", help="the trained network")
    parser.add_argument(
        "--train",
        type=Path,
        nargs="+",
        required=True,
        metavar="SHARD.h5",
        help="data the network trained on; with a stream its files of the training realisations",
    )
    parser.add_argument(
        "--validation",
        type=Path,
        nargs="+",
        required=True,
        metavar="SHARD.h5",
        help="data, or files of the stream, that choose the best epoch",
    )
    parser.add_argument(
        "--simulate-from",
        type=Path,
        nargs="*",
        default=[],
        metavar="S.h5",
        help="imnn: what the probe simulates from (subfields)",
    )
    parser.add_output("--output", metavar="posterior.pt", help="posterior file to write")
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where it runs (default: cpu)")
    args = parser.parse_args()
    from limelight.stages.posterior import train_posterior
    from limelight.study.config import load_study

    start = time.monotonic()
    study, device = load_study(args.config), pick_device(args.device)
    given = args.name, args.network, args.train, args.validation
    training, history = train_posterior(study, *given, args.output, args.simulate_from, device)
    for row in history:
        numbers = ", ".join(f"{key} {value:.5g}" for key, value in row.items() if isinstance(value, int | float))
        print(numbers, file=sys.stderr)
    print(f"{args.output}: {training}; {time.monotonic() - start:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
