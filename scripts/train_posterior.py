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
from limelight.errors import plain_errors, problem


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
    import torch

    from limelight.ancestry import check_data, check_made_from
    from limelight.data.shard import read_shards
    from limelight.files import provenance
    from limelight.inference.posteriors.learn import train_posterior
    from limelight.inference.posteriors.stream import read_stream
    from limelight.probe import load_probe
    from limelight.study.config import load_study
    from limelight.study.selection import header_of
    from limelight.study.settings import posterior_settings
    from limelight.training import load_model
    from limelight.training.checkpoint import fingerprint_weights, save_model
    from limelight.training.checks import check_shards

    start = time.monotonic()
    study = load_study(args.config)
    if args.name not in study.posteriors:
        known = ", ".join(study.posteriors) or "none"
        raise problem("--name", f"'{args.name}'", f"one of the config's: {known}", "name one of them")
    settings, probe = posterior_settings(study, args.name), load_probe(study.probe)
    network = settings.network
    torch.set_num_threads(network.threads)
    device = pick_device(args.device)
    trunk, info = load_model(args.network, device)
    if info["network"] != network.name:
        found, fix = f"network '{info['network']}'", "give the right model.pt"
        raise problem(args.network, found, f"'{network.name}', on which posterior {args.name} stands", fix)
    check_made_from(args.network, info["provenance"], network)
    if settings.stream is not None:
        weights = fingerprint_weights(trunk.state_dict())
        training, validation = (
            read_stream(paths, settings.stream, network.name, weights, network.splits[split])
            for paths, split in ((args.train, "train"), (args.validation, "validation"))
        )
    else:
        training, validation = read_shards(args.train), read_shards(args.validation)
        expected = header_of(study, network.network.datasets[0])
        check_shards("--train", training, expected, network.splits["train"])
        check_shards("--validation", validation, expected, network.splits["validation"])
        check_data([*args.train, *args.validation], network.datasets)
    simulations = None
    if settings.entry.kind == "imnn":
        simulations = probe.fisher_rows(settings, args.simulate_from)
    content, history = train_posterior(settings, probe, trunk, info, training, validation, simulations)
    save_model(args.output, content, provenance(settings, study.seed), "posterior")
    for row in history:
        numbers = ", ".join(f"{key} {value:.5g}" for key, value in row.items() if isinstance(value, int | float))
        print(numbers, file=sys.stderr)
    print(f"{args.output}: {content['training']}; {time.monotonic() - start:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
