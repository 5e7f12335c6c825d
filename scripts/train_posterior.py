#!/usr/bin/env python3
"""Train one posterior of a study: a head on a trained network (docs/inference.md).

example: python scripts/train_posterior.py --config config/money.yaml --posterior mdn_comap \\
    --network results/money/networks/comap/model.pt --train results/money/pooled/li_full/[0-9].h5 \\
    --validation results/money/pooled/li_full/1[678].h5 --output posterior.pt

Kind imnn also paints maps about the prior's mean and needs the subfields of the training light-cones (--subfields).
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch  # noqa: E402

from limelight.device import DEVICES, pick_device  # noqa: E402
from limelight.errors import plain_errors, problem  # noqa: E402
from limelight.files import provenance  # noqa: E402
from limelight.inference.posteriors.learn import train_posterior  # noqa: E402
from limelight.probes.line_intensity.maps.files import read_pooled  # noqa: E402
from limelight.probes.line_intensity.maps.grid import make_grid  # noqa: E402
from limelight.probes.line_intensity.simulations import fisher_maps  # noqa: E402
from limelight.study.config import load_study  # noqa: E402
from limelight.study.legacy import (
    grid_section,  # noqa: E402
    stage_settings,  # noqa: E402
)
from limelight.training import load_model  # noqa: E402
from limelight.training.checkpoint import save_model  # noqa: E402
from limelight.training.checks import check_study  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--posterior", required=True, help="a name in the config's posteriors")
    parser.add_argument("--network", type=Path, required=True, metavar="model.pt", help="the trained network")
    parser.add_argument("--train", nargs="+", required=True, metavar="P.h5", help="pooled maps the network trained on")
    parser.add_argument("--validation", nargs="+", required=True, metavar="P.h5", help="pooled maps that choose")
    parser.add_argument("--subfields", nargs="*", default=[], metavar="S.h5", help="imnn: subfields to paint")
    parser.add_argument("--output", type=Path, required=True, metavar="posterior.pt", help="posterior file to write")
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where it runs (default: cpu)")
    args = parser.parse_args()
    start = time.monotonic()
    study = load_study(args.config)
    if args.posterior not in study["posteriors"]:
        known = ", ".join(study["posteriors"]) or "none"
        raise problem("--posterior", f"'{args.posterior}'", f"one of the config's: {known}", "name one of them")
    settings = stage_settings(study, "posterior", args.posterior)
    what, network = settings["posterior"], settings["network"]
    torch.set_num_threads(settings["threads"])
    device = pick_device(args.device)
    trunk, info = load_model(args.network, device)
    if info["network"] != network["name"]:
        found, fix = f"network '{info['network']}'", "give the right model.pt"
        raise problem(args.network, found, f"'{network['name']}', on which posterior {args.posterior} stands", fix)
    section = grid_section(study, network["line_models"][0])
    grid = make_grid(section, study["subfields"]["size_deg"])
    training, validation = read_pooled(args.train), read_pooled(args.validation)
    check_study(training, validation, grid, settings["beam_fwhm_arcmin"], settings["labels"], settings["splits"])
    simulations = None
    if what["kind"] == "imnn":
        if not args.subfields:
            raise problem("--subfields", "none", "subfields files: an IMNN paints its own maps", "give some")
        (line_model,) = settings["line_models"].values()
        simulations = fisher_maps(
            args.subfields, line_model, grid, settings["beam_fwhm_arcmin"], what["imnn"], study["seed"]
        )
    content, history = train_posterior(settings, grid, trunk, info, training, validation, simulations)
    save_model(args.output, content, provenance(settings, study["seed"]), "posterior")
    for row in history:
        numbers = ", ".join(f"{key} {value:.5g}" for key, value in row.items() if isinstance(value, int | float))
        print(numbers, file=sys.stderr)
    print(f"{args.output}: {content['training']}; {time.monotonic() - start:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
