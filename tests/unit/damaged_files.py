"""Damage to the torch files of the tests."""

from pathlib import Path

import torch

from limelight.training.checkpoint import load_torch, save_torch


def spoil(path: Path, damage: str) -> None:
    """Damage a file; its weights hold the numbers from 3 to 199 in a row where a bit is to flip."""
    data = bytearray(path.read_bytes())
    if damage == "truncated":
        data = data[: len(data) // 2]
    elif damage == "missing tail":
        data = data[:-10]
    elif damage == "empty":
        data = bytearray()
    elif damage == "text":
        data = bytearray(b"not a checkpoint\n" * 50)
    elif damage == "flipped":
        place = data.index(torch.arange(3.0, 200.0).numpy().tobytes())  # inside the weights
        data[place + 100] ^= 1
    elif damage == "foreign":
        content = load_torch(path, "checkpoint")
        content["recipe"] = "another"
        save_torch(path, "checkpoint", {k: v for k, v in content.items() if not k.startswith("limelight")})
        return
    path.write_bytes(bytes(data))
