#!/usr/bin/env python3
"""Audit a trained network: does it read its maps, or repeat what it remembers? A verdict for every output.

Writes an audit file and, beside it, the verdict table as CSV. docs/audit.md explains the tests and the thresholds.

example: python scripts/audit_network.py --config config/demo.yaml --network networks/limelight/model.pt \\
    --data shards/li10/9.h5 shards/li10/10.h5 --control networks/limelight-permuted/model.pt --output audit/limelight.h5
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
    parser.add_argument("--network", type=Path, required=True, metavar="model.pt", help="trained network")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="SHARD.h5", help="test data")
    parser.add_argument("--control", type=Path, metavar="model.pt", help="its recipe trained on permuted labels")
    parser.add_output("--output", metavar="A.h5", help="audit file; A.csv stands beside it", beside=(".csv",))
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where it runs (default: cpu)")
    args = parser.parse_args()
    import torch

    from limelight.ancestry import check_data, check_made_from
    from limelight.data.shard import read_shards
    from limelight.evaluation.audit import audit, in_words
    from limelight.evaluation.audit_file import write_audit, write_table
    from limelight.files import provenance
    from limelight.probe import load_probe
    from limelight.study.config import load_study
    from limelight.study.selection import control_name
    from limelight.study.settings import audit_settings, network_settings
    from limelight.training import load_model

    start = time.monotonic()
    study = load_study(args.config)
    device = pick_device(args.device)
    network = load_model(args.network, device)
    name = network[1]["network"]
    if name not in study.networks:
        raise problem(args.network, f"network '{name}'", f"one of {', '.join(study.networks)}", "choose one")
    control = load_model(args.control, device) if args.control else None
    settings, probe = audit_settings(study, name), load_probe(study.probe)
    check_made_from(args.network, network[1]["provenance"], settings.evaluation.trained)
    if control:
        check_made_from(args.control, control[1]["provenance"], network_settings(study, control_name(name)))
    torch.set_num_threads(settings.evaluation.trained.threads)
    files: dict[str, list[Path]] = {dataset: [] for dataset in settings.datasets}
    for path, dataset in zip(args.data, check_data(args.data, settings.datasets), strict=True):
        files[dataset].append(path)
    missing = [dataset for dataset in settings.audited_on if not files[dataset]]
    if missing:
        raise problem("--data", f"none of {', '.join(missing)}", "the datasets that the verdict is from", "add them")
    datasets = {dataset: read_shards(paths) for dataset, paths in files.items() if paths}
    result = audit(*network, settings, probe, datasets, control, device)
    write_audit(args.output, result, provenance(settings, study.seed))
    write_table(args.output.with_suffix(".csv"), result)
    print(f"{args.output}: {in_words(result)}; {time.monotonic() - start:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
