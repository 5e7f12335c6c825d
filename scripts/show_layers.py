#!/usr/bin/env python3
"""Show one test map to a trained network and keep what its layers make of it, with its first filters.

The map is presented as the test does it: its noise, the network's preprocessing. The figures are drawn from the file.

example: python scripts/show_layers.py --config config/demo.yaml --test no_noise --network networks/limelight/model.pt \\
    --maps pooled/li10/9.h5 --map 0 --output layers/limelight.h5
"""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from limelight.errors import plain_errors, problem
from limelight.evaluation.layers import Layers, feature_maps, filters, write_layers
from limelight.evaluation.predict import check_geometry, observed, test_presentation
from limelight.files import provenance
from limelight.probes.line_intensity.maps.files import read_pooled
from limelight.study.config import load_study
from limelight.study.legacy import stage_settings
from limelight.training import load_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--test", required=True, help="name of one of the config's tests")
    parser.add_argument("--network", type=Path, required=True, metavar="model.pt", help="trained network")
    parser.add_argument("--maps", type=Path, required=True, metavar="P.h5", help="pooled maps of a test light-cone")
    parser.add_argument("--map", type=int, default=0, help="which of them (default: 0)")
    parser.add_argument("--output", type=Path, required=True, metavar="L.h5", help="layers file to write")
    args = parser.parse_args()
    study = load_study(args.config)
    if args.test not in study["tests"]:
        raise problem("--test", f"'{args.test}'", f"one of {', '.join(study['tests'])}", "choose one")
    module, info = load_model(args.network)
    if info["network"] not in study["networks"]:
        expected = f"one of {', '.join(study['networks'])}"
        raise problem(args.network, f"network '{info['network']}'", expected, "choose one")
    data = read_pooled([args.maps])
    check_geometry(data.geometry, info["geometry"], args.maps)
    if not 0 <= args.map < len(data):
        raise problem("--map", args.map, f"0 to {len(data) - 1}, the maps of {args.maps}", "choose one of them")
    settings = stage_settings(study, "evaluation", info["network"], args.test)
    torch.set_num_threads(settings["threads"])
    how, stage = test_presentation(info, settings), f"noise of test {args.test}"
    inputs = list(observed(data.maps[: args.map + 1], how, settings["seed"], stage))[-1][-1:]  # the noise of its row
    result = Layers(
        network=info["network"],
        test=args.test,
        map={
            "index": args.map,
            "lightcone": int(data.lightcone[args.map]),
            "subfield": int(data.subfield[args.map]),
            "draw": int(data.draw[args.map]),
            "line_model": str(data.line_model[args.map]),
        },
        grid=asdict(how.grid),
        transform=how.preprocessing["transform"],
        middle=inputs[0, 0, :, :, inputs.shape[4] // 2].numpy(),
        projected=inputs[0, 0].mean(dim=2).numpy(),
        filters=filters(module),
        layers=feature_maps(module, inputs),
    )
    write_layers(args.output, result, provenance(settings, study["seed"]))
    print(f"{args.output}: {len(result.layers)} layers of {info['network']} for map {args.map}", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
