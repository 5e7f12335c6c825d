#!/usr/bin/env python3
"""Explain a trained network: which pixels its answers depend on, by several methods, each put to the test.

Writes a saliency file and, beside it, the table of checks as CSV. docs/saliency.md explains methods and checks.

example: python scripts/explain_network.py --config config/mine.yaml --run bins --network networks/limelight/model.pt \\
    --data shards/li10/9.h5 shards/li10/10.h5 --files subfields/9.h5 subfields/10.h5 --output saliency/bins.h5
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
    parser.add_argument("--run", required=True, help="name of one of the config's runs of saliency")
    parser.add_argument("--network", type=Path, required=True, metavar="model.pt", help="trained network")
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="SHARD.h5", help="data of the run's test"
    )
    parser.add_argument("--control", type=Path, metavar="model.pt", help="its recipe trained on permuted labels")
    parser.add_argument(
        "--files", type=Path, nargs="+", default=[], metavar="F.h5", help="what the probe's classes of pixels come from"
    )
    parser.add_output("--output", metavar="S.h5", help="saliency file; S.csv stands beside it", beside=(".csv",))
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where it runs (default: cpu)")
    args = parser.parse_args()
    import torch

    from limelight.ancestry import check_data, check_made_from
    from limelight.data.shard import read_shards
    from limelight.files import provenance
    from limelight.probe import load_probe
    from limelight.saliency.saliency_file import in_words, write_saliency, write_table
    from limelight.saliency.stage import explain
    from limelight.study.config import load_study
    from limelight.study.selection import control_name
    from limelight.study.settings import network_settings, saliency_settings
    from limelight.training.checkpoint import load_model

    start, study = time.monotonic(), load_study(args.config)
    if args.run not in study.saliency:
        known = ", ".join(study.saliency) or "none: the config has no saliency"
        raise problem("--run", f"'{args.run}'", f"one of {known}", "choose one")
    device = pick_device(args.device)
    module, info = load_model(args.network, device)
    expected = study.saliency[args.run].network
    if info["network"] != expected:
        raise problem(args.network, f"network '{info['network']}'", f"'{expected}', as the run has it", "give that one")
    control = load_model(args.control, device) if args.control else None
    settings, probe = saliency_settings(study, args.run), load_probe(study.probe)
    trained, evaluation = settings.evaluation.trained, settings.evaluation
    check_made_from(args.network, info["provenance"], trained)
    if control:
        check_made_from(args.control, control[1]["provenance"], network_settings(study, control_name(expected)))
    check_data(args.data, {evaluation.entry.dataset: evaluation.dataset})
    torch.set_num_threads(trained.threads)
    files = tuple(args.files)
    result = explain(module, info, settings, probe, read_shards(args.data), control, files, device)
    write_saliency(args.output, result, provenance(settings, study.seed))
    write_table(args.output.with_suffix(".csv"), result)
    print(f"{args.output}: {in_words(result)}; {time.monotonic() - start:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
