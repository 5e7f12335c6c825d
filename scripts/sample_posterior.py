#!/usr/bin/env python3
"""Draw a posterior for every map of a test and write quantiles and samples: an intervals file (docs/files.md).

The noise of each map is the one its network was evaluated with. A posterior of abc: smc simulates for every map that it
takes, and needs the subfields of the training light-cones (--simulate-from).

example: python scripts/sample_posterior.py --config config/money.yaml --test prior_comap \\
    --posterior results/money/posteriors/mdn_comap/posterior.pt --data results/money/shards/li_full/19.h5 --output i.h5
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
    parser.add_argument("--name", help="posterior of the config; without it the one that posterior.pt was trained as")
    parser.add_argument("--test", required=True, help="name of one of the config's tests")
    parser.add_argument("--posterior", type=Path, required=True, metavar="posterior.pt", help="trained posterior")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="SHARD.h5", help="data of the test")
    parser.add_argument(
        "--simulate-from",
        type=Path,
        nargs="*",
        default=[],
        metavar="S.h5",
        help="abc: smc: what the probe simulates from",
    )
    parser.add_output("--output", metavar="I.h5", help="intervals file to write")
    parser.add_argument("--timed", action="store_true", help="store each map's seconds (the file then differs by run)")
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where it runs (default: cpu)")
    args = parser.parse_args()
    import numpy as np

    from limelight.stages.posterior import draw_posterior
    from limelight.study.config import load_study

    start = time.monotonic()
    study, device = load_study(args.config), pick_device(args.device)
    given, drawn = (args.test, args.posterior, args.data), (args.name, args.timed, args.simulate_from)
    result = draw_posterior(study, *given, args.output, *drawn, device)
    inside = (result.quantiles[..., 0] <= result.truth) & (result.truth <= result.quantiles[..., -1])
    filled = result.truth.mean(axis=0) >= 1 if result.counts else np.full(result.truth.shape[1], True)
    where = " of bins with a source or more" if result.counts else ""
    words = f"{100 * np.mean(inside[:, filled]):.1f} % of truths in the 95 % intervals{where}"
    if "simulations" in result.settings:
        words += f"; {result.settings['simulations']} simulations, "
        words += f"{100 * result.settings['accepted'] / result.settings['proposals']:.0f} % of proposals accepted"
    print(f"{args.output}: {len(result.truth)} rows; {words}; {time.monotonic() - start:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
