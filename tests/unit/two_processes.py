"""What test_distributed.py runs as two processes: `python two_processes.py FOLDER EVENT CASE...`.

Cases are trained one after the other, each in its folder. Events befall the second process once it has presented 3 batches:
"SIGTERM", "SIGKILL", "fail" (a fault of its own) or "none"; "slow" waits in each step. With any but "none" every step is
followed by a checkpoint.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from training_toys import PROBE, settings, toys

from limelight.errors import LimelightError, problem
from limelight.training import loop
from limelight.training.checkpoint import save_model
from limelight.training.distributed import Lost, Team, join
from limelight.training.launch import LOST, STOPPED, follow_launcher, launch
from limelight.training.loop import history_csv, train
from limelight.training.signals import Stopped

EPOCHS = 2
NOISY = {
    "blank_fraction": 0.1,
    "dim_fraction": 0.2,
    "superpose_fraction": 0.2,
    "noise": {"some": {"sigma_uk": 3}},
}
BATCH_NORM = {"network": {"architecture": "cnn2d", "options": {"filters": 4, "layers": 3, "dropout": 0.5}}}
# SGD: of a gradient that is nothing but rounding (a bias before batch norm; small ones in bf16) Adam would make full steps
CASES = {
    "limelight": {**NOISY, "batch_size": 8, "clip_norm": 0.5},
    "counts": {**NOISY, "batch_size": 8, "loss": "negative_binomial", "ema_decay": 0.9},
    # 21 maps: batches of 4 and 5, so parts of 2 and 3
    "cnn2d": {**NOISY, **BATCH_NORM, "optimizer": "sgd", "batch_size": 5},
    "bf16": {**NOISY, "optimizer": "sgd", "batch_size": 8, "precision": "bf16"},
}


def run(folder: Path, case: str, team: Team) -> None:
    """Train a case in a folder; the leader writes model.pt, history.csv and (all digits) history.json."""
    wanted = settings(epochs=EPOCHS, **CASES[case])
    content, history = train(wanted, PROBE, toys(21), toys(7, 1), folder / "checkpoints", team=team)
    if team.leads:
        save_model(folder / "model.pt", content, {"seed": 7})
        (folder / "history.csv").write_text(history_csv(history))
        (folder / "history.json").write_text(json.dumps(history))


def befall(folder: Path, event: str) -> None:
    """Let the event happen in the course of training."""
    shown, present = [], loop.present

    def eventful(*arguments):
        shown.append(None)
        (folder / f"process-{os.environ['RANK']}").write_text(str(os.getpid()))
        if len(shown) == 3 and os.environ["RANK"] == "1":
            if event.startswith("SIG"):
                os.kill(os.getpid(), getattr(signal, event))
            elif event == "fail":
                raise problem("process 1", "a fault", "none", "mend it")
        if event == "slow":
            time.sleep(0.5)
        return present(*arguments)

    loop.present = eventful
    loop.CHECKPOINT_EVERY_S = 0.0


def main() -> None:
    folder, event, cases = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    if "RANK" not in os.environ:
        sys.exit(launch(2))
    follow_launcher()
    if event != "none":
        befall(folder, event)
    try:
        with join("cpu") as team:
            for case in cases:
                run(folder / case, case, team)
    except Stopped:
        sys.exit(STOPPED if team.leads else 0)
    except Lost:
        sys.exit(LOST)
    except LimelightError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
