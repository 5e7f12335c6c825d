"""Train one network of a study on pooled maps, or go on where an interrupted training stopped."""

import argparse
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from limelight.codehash import code_hash
from limelight.device import DEVICES, pick_device
from limelight.errors import plain_errors, problem
from limelight.files import provenance, write_text
from limelight.networks import REGISTRY
from limelight.probes.line_intensity.maps.files import read_pooled
from limelight.probes.line_intensity.maps.grid import make_grid
from limelight.study.config import grid_section, load_study, stage_settings
from limelight.study.selection import with_controls
from limelight.training.checkpoint import load_model, save_model
from limelight.training.checks import check_study
from limelight.training.distributed import Lost, Team, join
from limelight.training.launch import LOST, STOPPED, follow_launcher, launch
from limelight.training.loop import history_csv, train
from limelight.training.signals import Stopped

EXAMPLE = """example:
  python scripts/train_network.py --config config/demo.yaml --network limelight \\
      --train results/demo/pooled/li10/[0-7].h5 --validation results/demo/pooled/li10/8.h5 \\
      --checkpoints results/demo/checkpoints/limelight --output model.pt --history history.csv

Interrupt it as you like: the same command goes on from the last checkpoint. SIGTERM, SIGUSR1 and Ctrl-C write one at the
next step; the exit code is then 75 (130 after Ctrl-C).

With resources.gpus above 1 it starts a process a GPU, as many as there are on this machine; each takes its part of every
batch. Over several machines: torchrun ... scripts/train_network.py ..."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", required=True, help="the study (YAML)")
    parser.add_argument("--network", required=True, help="name of the network in the config")
    parser.add_argument("--train", nargs="+", required=True, metavar="POOLED.h5", help="pooled maps to train on")
    parser.add_argument("--validation", nargs="+", required=True, metavar="POOLED.h5", help="pooled maps that choose")
    parser.add_argument("--checkpoints", required=True, metavar="DIR", help="folder for checkpoints; kept between runs")
    parser.add_argument("--output", required=True, metavar="MODEL.pt", help="the trained network, to be written")
    parser.add_argument("--history", required=True, metavar="HISTORY.csv", help="losses by epoch, to be written")
    parser.add_argument(
        "--start", metavar="MODEL.pt", help="trained network to begin with (the config's initialise_from)"
    )
    parser.add_argument("--device", choices=DEVICES, default="auto", help="auto: a GPU if there is one")
    parser.add_argument(
        "--processes", type=int, metavar="N", help="processes (default: the config's gpus that are here; 1 on a CPU)"
    )
    args = parser.parse_args()
    with plain_errors():
        study = load_study(args.config)
        networks = with_controls(study)["networks"]
        if args.network not in networks:
            found = f"'{args.network}'"
            raise problem("--network", found, f"one of {', '.join(networks)}", "name one of the config's")
        if bool(args.start) != ("initialise_from" in networks[args.network]):
            raise problem("--start", repr(args.start), "what the config's initialise_from says", "give both or neither")
        device = pick_device(args.device)
        here = torch.cuda.device_count() if device == "cuda" else 1
        processes = args.processes or max(1, min(study["resources"]["gpus"], here))
        if processes < 1 or (device == "cuda" and processes > here):
            raise problem("--processes", f"{processes}", f"1 to {here}, the GPUs here", "give fewer")
        if processes > 1 and "RANK" not in os.environ:
            sys.exit(launch(processes))
        launched = follow_launcher()
        try:
            with join(device) as team:
                work(args, study, networks[args.network], device, team)
        except Lost as lost:
            if not launched:  # the launcher says which process went, and how
                print(f"limelight: error: {lost}", file=sys.stderr)
            sys.exit(LOST)


def work(args: argparse.Namespace, study: dict, network: dict, device: str, team: Team) -> None:
    """What each process does: read, train, and, the first of them, write."""
    settings = stage_settings(study, "network", args.network)
    grid = make_grid(grid_section(study, network["line_models"][0]), study["subfields"]["size_deg"])
    training, validation = read_pooled(args.train), read_pooled(args.validation)
    check_study(training, validation, grid, settings["beam_fwhm_arcmin"], settings["labels"], settings["splits"])
    code = code_hash("scripts/train_network.py", chosen=(REGISTRY.dotted(network["architecture"]),))
    try:
        found = settings, grid, training, validation, args.checkpoints, device, code, team
        content, history = train(*found, start=load_model(args.start)[0].state_dict() if args.start else None)
    except torch.OutOfMemoryError as error:
        found = f"no room on the GPU ({str(error).splitlines()[0][:120]})"
        fix = "lower training.batch_size, or set training.precision: bf16"
        raise problem(f"networks.{args.network}", found, "a network and batch that fit", fix) from None
    except Stopped as stopped:
        number = signal.Signals(stopped.args[0])
        if team.leads:
            print(f"limelight: {number.name}: checkpoint written; the same command goes on from it", file=sys.stderr)
        sys.exit(130 if number == signal.SIGINT else STOPPED)
    if team.leads:
        write_text(args.history, history_csv(history))
        content["cosmology"] = training.cosmology  # of the maps: that of foreign halos where the study adopts it
        save_model(args.output, content, provenance(settings, study["seed"]))


if __name__ == "__main__":
    main()
