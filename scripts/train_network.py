"""Train one network of a study on shards, or go on where an interrupted training stopped."""

import os
import signal
import sys
from pathlib import Path

from limelight.arguments import Arguments, whole
from limelight.device import DEVICES, pick_device
from limelight.errors import plain_errors, problem

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
    parser.add_argument(
        "--simulate-from",
        type=Path,
        nargs="*",
        default=[],
        metavar="S.h5",
        help="what the probe simulates from, of each training realisation in turn (training.fresh_draws)",
    )
    parser.add_argument("--device", choices=DEVICES, default="auto", help="auto: a GPU if there is one")
    parser.add_argument(
        "--processes",
        type=whole(1),
        metavar="N",
        help="processes (default: the config's gpus that are here; 1 on a CPU)",
    )
    with plain_errors():
        args = parser.parse_args()
        import torch

        from limelight.stages.train import check_asked, train
        from limelight.study.config import load_study
        from limelight.training.distributed import Lost, join
        from limelight.training.launch import LOST, STOPPED, follow_launcher, launch
        from limelight.training.signals import Stopped

        study, device = load_study(args.config), pick_device(args.device)
        check_asked(study, args.name, args.start)
        here = torch.cuda.device_count() if device == "cuda" else 1
        processes = args.processes or max(1, min(study.resources.gpus, here))
        if device == "cuda" and processes > here:
            raise problem("--processes", f"{processes}", f"1 to {here}, the GPUs here", "give fewer")
        if processes > 1 and "RANK" not in os.environ:
            sys.exit(launch(processes))
        launched = follow_launcher()
        try:
            with join(device) as team:
                given = args.name, args.train, args.validation
                try:
                    kept = args.output, args.history, args.checkpoints, args.start
                    train(study, *given, *kept, device, team, args.simulate_from)
                except Stopped as stopped:
                    sys.exit(
                        ended(stopped.args[0], STOPPED) if team.leads else 0
                    )  # the first process says how it ended
        except Lost as lost:
            if not launched:  # the launcher says which process was lost, and how
                print(f"limelight: error: {lost}", file=sys.stderr)
            sys.exit(LOST)


def ended(number: int, status: int) -> int:
    """Say that a signal ended training after a checkpoint; the exit status: 130 after Ctrl-C, else the one given."""
    name = signal.Signals(number).name
    print(f"limelight: {name}: checkpoint written; the same command goes on from it", file=sys.stderr)
    return 130 if number == signal.SIGINT else status


if __name__ == "__main__":
    main()
