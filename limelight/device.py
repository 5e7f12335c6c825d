"""The device that a stage computes on."""

from limelight.errors import problem

DEVICES = ("auto", "cpu", "cuda")  # of --device; auto: a GPU if there is one


def device_for(gpus: int) -> str:
    """The --device of stages that run networks, in a study with so many GPUs: without any the CPU, whatever is there."""
    return "auto" if gpus else "cpu"


def pick_device(asked: str) -> str:
    """cpu or cuda for one of DEVICES; LimelightError where a GPU is asked for and torch finds none."""
    import torch  # here, because every script imports this module, and `--help` needs no torch

    if asked == "cuda" and not torch.cuda.is_available():
        raise problem("--device", "cuda", "a CUDA device that torch can use", "use cpu, or mend the driver")
    return "cuda" if asked != "cpu" and torch.cuda.is_available() else "cpu"
