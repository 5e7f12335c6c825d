#!/usr/bin/env python3
"""Show one test row to a trained network and keep what its layers make of it, with its first filters.

The row is presented as the test does it: its noise, the network's preprocessing. The figures are drawn from the file.

example: python scripts/show_layers.py --config config/demo.yaml --test no_noise --network networks/limelight/model.pt \\
    --data shards/li10/9.h5 --row 0 --output layers/limelight.h5
"""

import sys
from pathlib import Path

from limelight.arguments import Arguments, whole
from limelight.errors import plain_errors, problem


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--test", required=True, help="name of one of the config's tests")
    parser.add_argument("--network", type=Path, required=True, metavar="model.pt", help="trained network")
    parser.add_argument("--data", type=Path, required=True, metavar="SHARD.h5", help="data of a test realisation")
    parser.add_argument("--row", type=whole(0), default=0, help="which of its rows (default: 0)")
    parser.add_output("--output", metavar="L.h5", help="layers file to write")
    args = parser.parse_args()
    import torch

    from limelight.ancestry import check_data, check_made_from
    from limelight.data.shard import read_shards
    from limelight.evaluation.layers import layers_of
    from limelight.evaluation.layers_file import write_layers
    from limelight.files import provenance
    from limelight.probe import load_probe
    from limelight.study.config import load_study
    from limelight.study.settings import evaluation_settings
    from limelight.training.checkpoint import load_model

    study = load_study(args.config)
    if args.test not in study.tests:
        raise problem("--test", f"'{args.test}'", f"one of {', '.join(study.tests)}", "choose one")
    module, info = load_model(args.network)
    if info["network"] not in study.networks:
        expected = f"one of {', '.join(study.networks)}"
        raise problem(args.network, f"network '{info['network']}'", expected, "choose one")
    settings = evaluation_settings(study, info["network"], args.test)
    check_made_from(args.network, info["provenance"], settings.trained)
    check_data([args.data], {settings.entry.dataset: settings.dataset})
    torch.set_num_threads(settings.trained.threads)
    result = layers_of(module, info, settings, load_probe(study.probe), read_shards([args.data]), args.row)
    write_layers(args.output, result, provenance(settings, study.seed))
    print(f"{args.output}: {len(result.layers)} layers of {info['network']} for row {args.row}", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
