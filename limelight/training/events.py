"""Event files for TensorBoard, so that losses can be watched while a network trains."""

import shutil
from collections.abc import Callable
from pathlib import Path


def event_writer(folder: Path) -> Callable[[dict], None]:
    """A function that adds a row of the history to the event files of a folder, and shows it at once.

    The first epoch's row begins the folder afresh; a later one goes on with what a run before left there.
    """
    import tensorboard  # noqa: F401 - torch's writer needs it, and says so less clearly
    from torch.utils.tensorboard import SummaryWriter

    writers = []

    def write(row: dict) -> None:
        if not writers:
            if row["epoch"] == 1:
                shutil.rmtree(folder, ignore_errors=True)
            writers.append(SummaryWriter(str(folder), purge_step=row["step"]))
        for name, value in row.items():
            if name not in ("epoch", "step"):
                writers[0].add_scalar(name, value, row["step"])
        writers[0].flush()

    return write
