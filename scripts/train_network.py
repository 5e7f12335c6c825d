"""Train one network of a study on shards, or go on where an interrupted training stopped."""

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from limelight.arguments import Arguments
from limelight.device import DEVICES, pick_device
from limelight.errors import plain_errors, problem

if TYPE_CHECKING:
    from limelight.training.distributed import Team


EXAMPLE = """example:
  python scripts/train_network.py --config config/demo.yaml --name limelight \\
      --train results/demo/shards/li10/[0-7].h5 --validation results/demo/shards/li10/8.h5 \\
      --checkpoints results/demo/checkpoints/limelight --output model.pt --history history.csv

Interrupt it as you like: the same command goes on from the last checkpoint. SIGTERM, SIGUSR1 and Ctrl-C write one at the
next step; the exit code is then 75 (130 after Ctrl-C).

With resources.gpus above 1 it starts one process per GPU, as many as this machine has. Each takes its part of every batch.
On several machines: torchrun ... scripts/train_network.py ..."""


def main() -> None:
    parser = Arguments(__doc__, epilog=EXAMPLE)
    parser.add_argument("--config", type=Path, required=True, help="the study (YAML)")
    parser.add_argument("--name", required=True, help="of the network, in the config")
    parser.add_argument("--train", type=Path, nargs="+", required=True, metavar="SHARD.h5", help="data to train on")
    parser.add_argument(
        "--validation", type=Path, nargs="+", required=True, metavar="SHARD.h5", help="data that choose the best epoch"
    )
    parser.add_argument(
        "--checkpoints", type=Path, required=True, metavar="DIR", help="folder for checkpoints; kept between runs"
    )
    parser.add_output("--output", metavar="MODEL.pt", help="the trained network, to be written")
    parser.add_output("--history", metavar="HISTORY.csv", help="losses by epoch, to be written")
    parser.add_argument(
        "--start", type=Path, metavar="MODEL.pt", help="trained network to begin with (the config's initialise_from)"
    )
    parser.add_argument("--device", choices=DEVICES, default="auto", help="auto: a GPU if there is one")
    parser.add_argument(
        "--processes", type=int, metavar="N", help="processes (default: the config's gpus that are here; 1 on a CPU)"
    )
    with plain_errors():
        args = parser.parse_args()
        import torch

        from limelight.study.config import load_study
        from limelight.study.selection import trained_networks
        from limelight.training.distributed import Lost, join
        from limelight.training.launch import LOST, follow_launcher, launch

        study = load_study(args.config)
        networks = trained_networks(study)
        if args.name not in networks:
            found = f"'{args.name}'"
            raise problem("--name", found, f"one of {', '.join(networks)}", "name one of the config's")
        if bool(args.start) != bool(networks[args.name].initialise_from):
            raise problem(
                "--start", args.start or "nothing", "what the config's initialise_from says", "give both or neither"
            )
        device = pick_device(args.device)
        here = torch.cuda.device_count() if device == "cuda" else 1
        processes = args.processes or max(1, min(study.resources.gpus, here))
        if processes < 1 or (device == "cuda" and processes > here):
            raise problem("--processes", f"{processes}", f"1 to {here}, the GPUs here", "give fewer")
        if processes > 1 and "RANK" not in os.environ:
            sys.exit(launch(processes))
        launched = follow_launcher()
        try:
            with join(device) as team:
                work(args, study, networks[args.name], device, team)
        except Lost as lost:
            if not launched:  # the launcher says which process was lost, and how
                print(f"limelight: error: {lost}", file=sys.stderr)
            sys.exit(LOST)


def work(args: argparse.Namespace, study, network, device: str, team: "Team") -> None:
    """What each process does: read, train, and, the first of them, write."""
    import torch

    from limelight.ancestry import check_data, check_made_from
    from limelight.data.shard import read_shards
    from limelight.files import provenance, write_text
    from limelight.probe import load_probe
    from limelight.study.code import network_code
    from limelight.study.selection import header_of
    from limelight.study.settings import network_settings
    from limelight.training.checkpoint import load_model, save_model
    from limelight.training.checks import check_shards
    from limelight.training.events import event_writer
    from limelight.training.launch import STOPPED
    from limelight.training.loop import history_csv, train
    from limelight.training.signals import Stopped

    settings, probe = network_settings(study, args.name), load_probe(study.probe)
    training, validation = read_shards(args.train), read_shards(args.validation)
    expected = header_of(study, network.datasets[0])
    check_shards("--train", training, expected, settings.splits["train"])
    check_shards("--validation", validation, expected, settings.splits["validation"])
    check_data([*args.train, *args.validation], settings.datasets)
    code, start = network_code(study, args.name), None
    watch = event_writer(args.history.parent / "events") if study.figures.tensorboard else None
    if args.start:
        begun, info = load_model(args.start)
        check_made_from(args.start, info["provenance"], settings.start)
        start = begun.state_dict()
    try:
        content, history = train(
            settings, probe, training, validation, args.checkpoints, device, code, team, start=start, watch=watch
        )
    except torch.OutOfMemoryError as error:
        found = f"no room on the GPU ({str(error).splitlines()[0][:120]})"
        fix = "lower training.batch_size, or set training.precision: bf16"
        raise problem(f"networks.{args.name}", found, "a network and batch that fit", fix) from None
    except Stopped as stopped:
        if not team.leads:
            sys.exit()  # the first process says how it ended
        number = signal.Signals(stopped.args[0])
        print(f"limelight: {number.name}: checkpoint written; the same command goes on from it", file=sys.stderr)
        sys.exit(130 if number == signal.SIGINT else STOPPED)
    if team.leads:
        write_text(args.history, history_csv(history))
        save_model(args.output, content, provenance(settings, study.seed))


if __name__ == "__main__":
    main()
