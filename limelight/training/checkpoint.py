"""Checkpoints and model files: complete or absent, checked when read, and never able to run code.

Both are torch zip archives of tensors, numbers and strings. The checksums of the zip cover every tensor, and files are read
with `weights_only`. A checkpoint folder belongs to one recipe: its name is the hash of settings, code and data. It keeps the
last two checkpoints, so that damage to the newest costs an epoch and not the run. A lock keeps a second trainer out.
"""

import contextlib
import hashlib
import io
import os
import re
import socket
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from torch import nn

from limelight.data.shard import header_from
from limelight.data.targets import built_shape
from limelight.errors import LimelightError, one_line, problem
from limelight.files import atomic_path
from limelight.networks import build
from limelight.networks.shapes import ShapesAlone

FORMAT_VERSION = 1
SILENCE_S = 900.0  # without a checkpoint (they come every five minutes), after which a second trainer waits no longer
LOOK_S = 0.5
MODEL_KEYS = (
    "probe",
    "architecture",
    "options",
    "header",
    "entry",
    "observation",
    "target",
    "label_statistics",
    "state_dict",
    "provenance",
)


def save_torch(path: str | Path, kind: str, content: dict) -> None:
    """Write a dict of tensors, numbers, strings, lists and dicts atomically; the same content gives the same bytes."""
    made = (
        io.BytesIO()
    )  # torch's own writer would say nothing clear of a full disk, and put a path's name into the file
    torch.save({"limelight_kind": kind, "limelight_format": FORMAT_VERSION, **content}, made)
    with atomic_path(path) as part:
        part.write_bytes(made.getbuffer())


def save_model(path: str | Path, content: dict, provenance: dict, kind: str = "network") -> None:
    """Write a model.pt. The bytes depend only on the values, so a resumed run writes the same file."""
    save_torch(path, kind, _plain({**content, "provenance": provenance}))


def _plain(value: object) -> object:
    """Copies without history: tensors contiguous on the CPU, equal strings one object (pickle writes a repeat shorter)."""
    if isinstance(value, torch.Tensor):
        return torch.empty(value.shape, dtype=value.dtype).copy_(value.detach())
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return sys.intern(value) if isinstance(value, str) else value


def load_torch(path: str | Path, kind: str) -> dict:
    """Read a file of `save_torch` onto the CPU; LimelightError when missing, damaged, foreign or holding code."""
    path = Path(path)
    if not path.is_file():
        raise problem(path, "no such file", f"a {kind} file", "check the path, or run the stage that writes it")
    fix = "delete it and make it again"
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                if any(one.compress_type != zipfile.ZIP_STORED for one in archive.infolist()):
                    raise zipfile.BadZipFile("compressed, which torch's files are not")  # a bomb may be
                damaged = archive.testzip()
        except Exception as error:  # noqa: BLE001 - zipfile answers damage with many kinds of exception
            right = f"give the right file; if it was to be one of limelight's, {fix}"
            raise problem(path, f"a truncated or foreign file ({error})", f"a {kind} file", right) from None
        if damaged:
            raise problem(path, f"damaged data in {damaged}", f"a whole {kind} file", fix)
        file.seek(0)
        try:
            content = torch.load(file, map_location="cpu", weights_only=True)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - and so does torch
            text = str(error)
            if "weights_only" in text or "Unsupported" in text:
                found = "a pickle that could run code (refused unread)"
            else:
                found = f"unreadable contents ({text.splitlines()[0][:100] if text else type(error).__name__})"
            raise problem(path, found, f"a {kind} file", "use only files that limelight wrote") from None
    found = content.get("limelight_kind") if isinstance(content, dict) else None
    if not isinstance(found, str) or found != kind:
        raise problem(path, f"kind {found!r}", f"kind '{kind}'", "give the file of the right stage")
    if content.get("limelight_format") != FORMAT_VERSION:
        expected = f"format {FORMAT_VERSION}"
        raise problem(path, f"format {content.get('limelight_format')}", expected, "make it again with this limelight")
    if not all(map(_is_whole, _tensors(content))):
        raise problem(path, "a tensor of more numbers than the file holds", f"a whole {kind} file", fix)
    return content


def _is_whole(tensor: torch.Tensor) -> bool:
    """Whether each number of a tensor has its own bytes: strides of 0 could make a small file fill all memory."""
    return (
        tensor.layout == torch.strided and tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
    )


def _tensors(value: object) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors(item)


@one_line("a complete network file")
def load_model(path: str | Path, device: str | torch.device = "cpu") -> tuple[nn.Module, dict]:
    """(network in evaluation mode on the device, everything else that the model file says) of a model.pt.

    Raises LimelightError when the file is missing, truncated, damaged, foreign, or its weights do not fit its network.
    """
    return rebuild(load_torch(path, "network"), path, device)


def rebuild(info: dict, path: str | Path, device: str | torch.device = "cpu") -> tuple[nn.Module, dict]:
    """`load_model` for content that is already read, such as the trunk within a posterior file at `path`."""
    info = dict(info)
    missing = [key for key in MODEL_KEYS if key not in info]
    if missing:
        raise problem(path, f"no {', '.join(missing)}", "a complete network file", "train it again")
    _check_words(info, path)
    weights = info.pop("state_dict")
    try:
        with ShapesAlone():  # no memory, no random numbers: the weights come from the file
            shape = header_from(info["header"]).shape
            shown = info.get("input_shape") or shape
            answered = {
                "gaussian": "gaussian",
                "log10_dispersed_counts": "negative_binomial_field",
                "log10_bernoulli_counts": "bernoulli_poisson_field",
            }
            loss = answered.get(info["target"].get("outputs"), "")
            shapes = tuple(shown), built_shape(loss, tuple(info["target"]["shape"]))
            module = build(info["architecture"], info["options"], *shapes)
        module.load_state_dict(weights, assign=True)
    except LimelightError as error:
        raise LimelightError(f"{path}: {error}") from None
    except Exception as error:  # noqa: BLE001 - a shape, key or type that does not fit
        first = str(error).splitlines()[0]
        fix = "train it again, or use the limelight version in its provenance"
        raise problem(path, f"weights that do not fit ({first})", f"those of {info['architecture']}", fix) from None
    if not all(torch.isfinite(w).all() for w in weights.values()):
        raise problem(path, "NaN or infinite weights", "finite weights", "train it again")
    return module.to(device).eval(), info


def _check_spread(spread: object, channels: int, path: str | Path) -> None:
    """Refuse a calibration of errors that is none: a positive factor and some powers for each channel."""
    found = spread if isinstance(spread, dict) else {}
    factor, power, edges = (found.get(key) for key in ("factor", "power", "edges"))
    numbers = [factor, edges, *(power if isinstance(power, list) else [None])]
    if not all(isinstance(one, list) and one and all(type(x) is float and x > 0 for x in one) for one in numbers):
        sound = False
    else:
        sound = len(factor) == len(power) == channels and all(len(one) == len(edges) - 1 for one in power)
    if not sound:
        raise problem(f"{path}: spread", repr(spread)[:80], "the calibration of its errors", "train it again")


def _check_words(info: dict, path: str | Path) -> None:
    """Refuse a model file whose entries are not of the kinds that its readers count on (`observation` is of any)."""
    dicts = ("options", "header", "entry", "target", "label_statistics", "state_dict", "provenance")
    kinds = {"probe": str, "architecture": str} | dict.fromkeys(dicts, dict)
    for key, kind in kinds.items():
        if not isinstance(info[key], kind):
            raise problem(f"{path}: {key}", f"a {type(info[key]).__name__}", f"a {kind.__name__}", "train it again")
    shape = info["target"].get("shape")
    if not isinstance(shape, list) or not all(type(n) is int and 0 < n < 2**31 for n in shape):
        raise problem(f"{path}: target.shape", repr(shape), "whole numbers above 0", "train it again")
    if info["target"].get("outputs") == "gaussian":
        _check_spread(info.get("spread"), shape[0], path)
    for place in ("target", "label_statistics"):
        for key, value in info[place].items():
            numbers = isinstance(value, torch.Tensor) and value.shape[value.ndim - len(shape) :] == tuple(shape)
            if (place == "label_statistics" or isinstance(value, torch.Tensor)) and not numbers:
                found = tuple(value.shape) if isinstance(value, torch.Tensor) else repr(value)[:80]
                raise problem(f"{path}: {place}.{key}", found, f"numbers of shape {tuple(shape)}", "train it again")
    for key in ("mean_target", "percentiles"):
        if key not in info["label_statistics"]:
            raise problem(f"{path}: label_statistics", f"no {key}", "a complete network file", "train it again")


def adopt(module: nn.Module, weights: dict[str, torch.Tensor], name: str) -> None:
    """Give a new network the weights of a trained one wherever they fit; only the last layer may keep its own.

    Raises LimelightError when any other layer differs.
    """
    own = module.state_dict()
    fitting = {key: value for key, value in weights.items() if key in own and own[key].shape == value.shape}
    last = [key for key, layer in module.named_modules() if layer is module.output][0]
    strange = sorted(key for key in set(own) ^ set(fitting) if key.rpartition(".")[0] != last)
    if strange:
        expected = "the same network but for its last layer"
        raise problem(
            f"networks.{name}.initialise_from", f"other weights ({strange[0]})", expected, "match its options"
        )
    module.load_state_dict({**own, **fitting})


def fingerprint_weights(weights: dict[str, torch.Tensor]) -> str:
    """A hash of weights, for the recipe of what starts from them."""
    digest = hashlib.sha256()
    for value in weights.values():
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Keep other trainers out of a checkpoint folder while the block runs.

    A second trainer waits as long as the first one writes checkpoints: the first may be left over from a killed workflow, or
    end in a moment. The kernel frees the lock when a process ends, however it ends. On NFS the lock holds across hosts, and
    the server drops it some time after a host is lost. On a file system without locks the run goes on after a warning.
    Raises LimelightError when the first trainer holds the lock and writes no checkpoint for SILENCE_S.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "lock"
    path.touch()
    held = FileLock(path, fallback_to_soft=False)  # a soft lock would outlive a killed process
    _acquire(held, folder)
    path.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
    try:
        yield
    finally:
        held.release()


def _acquire(held: FileLock, folder: Path) -> None:
    start, said = time.time(), False
    while True:
        try:
            held.acquire(blocking=False)
            return
        except Timeout:
            owner = (folder / "lock").read_text(encoding="utf-8").strip() or "another process"
        except OSError as error:
            print(f"limelight: {folder} has no file locks ({error.strerror}); start one trainer only", file=sys.stderr)
            return
        if time.time() - max(start, folder.stat().st_mtime) > SILENCE_S:  # each checkpoint changes the folder
            fix = "let it end, or stop it, and run this again: it goes on from the last checkpoint"
            raise problem(folder, f"{owner} training here already", "one trainer per folder", fix)
        if not said:
            print(f"limelight: {owner} trains in {folder}; waiting for it to end", file=sys.stderr, flush=True)
            said = True
        time.sleep(LOOK_S)


def checkpoint_path(folder: Path, epoch: int, step: int) -> Path:
    """Name of the checkpoint taken after `step` steps of epoch `epoch` (both from 0); names sort by age."""
    return folder / f"epoch-{epoch:06d}-step-{step:06d}.pt"


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints of a folder, newest first."""
    return sorted((p for p in folder.glob("epoch-*.pt") if re.fullmatch(r"epoch-\d+-step-\d+", p.stem)), reverse=True)


def save_checkpoint(folder: Path, recipe: str, state: dict) -> None:
    """Write the state of a run (with its "epoch" and "step") and delete all but the last two checkpoints."""
    save_torch(checkpoint_path(folder, state["epoch"], state["step"]), "checkpoint", {"recipe": recipe, **state})
    for old in checkpoints_in(folder)[2:]:
        old.unlink()


def load_checkpoint(folder: Path, recipe: str) -> dict | None:
    """The newest sound checkpoint of a recipe; None where there is none yet.

    A damaged or foreign one is named and the older one taken; LimelightError when none of them is sound.
    """
    faults = []
    for path in checkpoints_in(folder):
        try:
            state = load_torch(path, "checkpoint")
            if state.get("recipe") != recipe:
                fix = "delete it: it comes from another config, code or data"
                raise problem(path, f"recipe {state.get('recipe')}", f"recipe {recipe}", fix)
        except LimelightError as error:
            faults.append(str(error))
            print(f"limelight: warning: {error}", file=sys.stderr)
            continue
        if faults:
            print(f"limelight: going on from the older {path.name}", file=sys.stderr)
        return state
    if faults:
        fix = "delete the folder to start again"
        raise problem(folder, f"no sound checkpoint ({faults[0]})", "one to go on from", fix)
    return None
