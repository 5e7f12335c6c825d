#!/usr/bin/env python3
"""Compute the exact posterior of every row of one test, with the noise that the networks are shown (docs/inference.md).

example: python scripts/exact_posterior.py --config config/reionisation.yaml --test masked --data shards/sky/18.h5 \\
    --output exact/masked.h5
"""

import sys
import time
from pathlib import Path

from limelight.arguments import Arguments
from limelight.errors import plain_errors, problem


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--test", required=True, help="name of one of the config's tests")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="SHARD.h5", help="data of the test")
    parser.add_output("--output", metavar="I.h5", help="intervals file to write")
    args = parser.parse_args()
    import torch

    from limelight.ancestry import check_data
    from limelight.data.shard import read_shards
    from limelight.evaluation.estimates import check_rows
    from limelight.evaluation.observe import noise_of_test, observed
    from limelight.files import provenance
    from limelight.inference.exact import DENSITY, exact_intervals, moments
    from limelight.inference.intervals import write_intervals
    from limelight.probe import load_probe
    from limelight.study.config import load_study
    from limelight.study.settings import estimates_settings

    start = time.monotonic()
    study = load_study(args.config)
    probe = load_probe(study.probe)
    known = [name for name, test in study.tests.items() if probe.has_exact_posterior(study, test)]
    if args.test not in known:
        expected = f"one whose exact posterior is known: {', '.join(known) or '(there is none)'}"
        raise problem("--test", f"'{args.test}'", expected, "choose one")
    settings = estimates_settings(study, args.test)
    check_data(args.data, {settings.entry.dataset: settings.dataset})
    found = read_shards(args.data)
    check_rows(settings, found)
    recorder = probe.recorder(settings.observation, found.header)
    recorded = torch.cat(list(observed(found.x, recorder, settings.seed, noise_of_test(args.test)))).numpy()
    exact, grid = probe.exact_posterior(settings.observation, found.header), probe.grid(found.header)
    density = exact.log_posterior(recorded)
    result = exact_intervals(exact.method, density, grid, recorder.target, found, args.test, study.seed)
    write_intervals(args.output, result, provenance(settings, study.seed))
    width = moments(result.extra[DENSITY], grid)[1].mean(axis=0)
    words = ", ".join(f"{value:.4g}" for value in width)
    print(f"{args.output}: {len(found)} rows, mean width {words}; {time.monotonic() - start:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
