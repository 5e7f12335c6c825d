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
from limelight.errors import plain_errors, problem


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
    import torch

    from limelight.ancestry import check_data, check_made_from
    from limelight.data.shard import read_shards
    from limelight.files import provenance
    from limelight.inference.intervals import write_intervals
    from limelight.inference.posterior_intervals import posterior_intervals
    from limelight.inference.posteriors.posterior import load_posterior
    from limelight.probe import load_probe
    from limelight.study.config import load_study
    from limelight.study.selection import trained_posterior
    from limelight.study.settings import intervals_settings

    start = time.monotonic()
    study = load_study(args.config)
    if args.test not in study.tests:
        raise problem("--test", f"'{args.test}'", f"one of {', '.join(study.tests)}", "choose one")
    device = pick_device(args.device)
    posterior = load_posterior(args.posterior, device)
    name, known = args.name or posterior.content["posterior"], ", ".join(study.posteriors) or "none"
    if name not in study.posteriors:
        where = "--name" if args.name else args.posterior
        raise problem(where, f"posterior '{name}'", f"one of the config's: {known}", "choose one")
    trained = trained_posterior(study, name)
    if posterior.content["posterior"] != trained:
        found, expected = f"posterior '{posterior.content['posterior']}'", f"'{trained}', from which {name} draws"
        raise problem(args.posterior, found, expected, "give that one's posterior.pt")
    needs_files = study.posteriors[name].abc == "smc" and load_probe(study.probe).simulation_files(study, "results")
    if needs_files and not args.simulate_from:
        expected = "what the probe simulates from (subfields of the training light-cones), for abc: smc"
        raise problem("--simulate-from", "nothing", expected, "give it")
    settings, probe = intervals_settings(study, name, args.test), load_probe(study.probe)
    check_made_from(args.posterior, posterior.content["provenance"], settings.posterior)
    check_data(args.data, {settings.evaluation.entry.dataset: settings.evaluation.dataset})
    torch.set_num_threads(settings.evaluation.trained.threads)
    found = read_shards(args.data)
    result = posterior_intervals(posterior, settings, probe, found, args.timed, args.simulate_from)
    write_intervals(args.output, result, provenance(settings, study.seed))
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
