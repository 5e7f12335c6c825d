#!/usr/bin/env python3
"""Run the estimators that stand beside the networks of one test, on the rows and with the noise that the networks are shown.

example: python scripts/run_estimators.py --config config/cmb_lensing.yaml --test noise_1 --data shards/patch/17.h5 \\
    --output estimates/noise_1.h5
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
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="SHARD.h5", help="data of the test")
    parser.add_output("--output", metavar="S.h5", help="estimates file to write")
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where it runs (default: cpu)")
    args = parser.parse_args()
    import torch

    from limelight.ancestry import check_data
    from limelight.data.shard import read_shards
    from limelight.evaluation.estimates import check_rows, estimates, write_estimates
    from limelight.files import provenance
    from limelight.probe import load_probe
    from limelight.study.config import load_study
    from limelight.study.settings import estimates_settings

    start = time.monotonic()
    study = load_study(args.config)
    known = [name for name, test in study.tests.items() if test.beside]
    if args.test not in known:
        expected = f"one that names estimators: {', '.join(known) or '(there is none)'}"
        raise problem("--test", f"'{args.test}'", expected, "choose one")
    settings, probe = estimates_settings(study, args.test), load_probe(study.probe)
    torch.set_num_threads(study.resources.training_threads)
    check_data(args.data, {settings.entry.dataset: settings.dataset})
    found = read_shards(args.data)
    check_rows(settings, found)
    result = estimates(settings, probe, found, pick_device(args.device))
    write_estimates(args.output, result, provenance(settings, study.seed))
    words = f"{len(found)} rows, {', '.join(result.truths)}"
    print(f"{args.output}: {words}; {time.monotonic() - start:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
