"""Damage to the files of the tests."""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import torch

from limelight.errors import LimelightError
from limelight.files import seal
from limelight.training.checkpoint import load_torch, save_torch

SEEDS = range(40)  # damages of each kind of file: flips and cuts in turn


def damaged(data: bytes, seed: int) -> bytes:
    """Even seeds: up to 8 bits flipped, half of the time all near the start, where headers stand; odd ones: cut short."""
    rng = np.random.default_rng([seed, len(data)])
    if seed % 2:
        return data[: int(len(data) * rng.random() ** 2)]
    changed = bytearray(data)
    reach = len(data) if seed % 4 else min(len(data), 3000)
    for place in rng.integers(0, reach, rng.integers(1, 9)):
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def one_line_or(read, path: Path) -> object:
    """The answer of a reader, or None where it says in one line what is wrong with the file."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return read(path)
    except LimelightError as error:
        lines = str(error).splitlines()
        assert lines
        several = path.suffix == ".yaml"  # one line for each fault of a config
        assert several or len(lines) == 1
        assert all(path.name in line or path.parent.name in line for line in lines)
        return None


@contextlib.contextmanager
def edited(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file of limelight open for changes, after which its checksum is right again."""
    with h5py.File(path, "r+") as file:
        yield file
    seal(path)


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
