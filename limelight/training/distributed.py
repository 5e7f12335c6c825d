"""Data-parallel training: one process per GPU (nccl), or several on a CPU (gloo), with the result of a single process.

Every process draws the random numbers of the whole batch and works on its part. The loss curve is therefore that of one
process at the same batch size, up to rounding. Three things need care and are handled here: the mean over unequal parts
(`Team.weight`), the statistics of batch norm, and the masks of dropout.

The environment is torchrun's (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT). limelight.training.launch sets the
same variables.
"""

import contextlib
import datetime
import functools
import math
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from limelight.errors import LimelightError, problem
from limelight.training.checkpoint import checkpoint_path, load_checkpoint, load_torch

TIMEOUT = datetime.timedelta(
    minutes=30
)  # for a silent peer; a dead one is noticed at once, since its connections close


class Lost(LimelightError):
    """Another process of the training ended or fell silent; this one cannot go on alone."""


@dataclass
class Team:
    """The processes that train one network. For a single process, a team of one, no call below does anything."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    control: dist.ProcessGroup | None = None  # gloo on the CPU: agreeing on a stop must not wait for the GPU
    batch: int = 0  # maps in the current batch, over all processes

    @property
    def leads(self) -> bool:
        """Whether this process writes files, holds the lock and prints."""
        return self.rank == 0

    def part(self, count: int) -> slice:
        """This process's part of a batch of `count` maps. Parts differ in size by one map at most."""
        self.batch = count
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def weight(self, count: int) -> float:
        """The factor for the loss of this part that makes the mean of all gradients the gradient of the batch."""
        here = self.part(count)
        return (here.stop - here.start) * self.size / count

    def total(self, values: Tensor) -> Tensor:
        """Sum over the processes, in place and without waiting for the device."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def agree(self, *flags: int) -> list[int]:
        """The largest value of each flag over the processes, so that all act at the same step on what one was asked."""
        if self.size == 1:
            return list(flags)
        values = torch.tensor(flags)
        dist.all_reduce(values, dist.ReduceOp.MAX, group=self.control)
        return values.tolist()

    def broadcast(self, value: object) -> object:
        """The leader's value, in every process."""
        values = [value]
        if self.size > 1:
            dist.broadcast_object_list(values, group=self.control)
        return values[0]


@contextlib.contextmanager
def join(device: str) -> Iterator[Team]:
    """Yield the team that the environment describes. Its connections close at the end of the block.

    Where another process ends or falls silent, the block raises Lost.
    """
    size = int(os.environ.get("WORLD_SIZE", 1))
    if size == 1 or "RANK" not in os.environ:
        yield Team()
        return
    local_rank = int(os.environ.get("LOCAL_RANK", os.environ["RANK"]))
    if device == "cuda":
        if local_rank >= torch.cuda.device_count():
            found = f"{torch.cuda.device_count()} for process {local_rank} of this node"
            raise problem("GPUs", found, "one GPU per process", "start fewer processes, or ask for more GPUs")
        torch.cuda.set_device(local_rank)
    with _name_lost_process():
        dist.init_process_group("nccl" if device == "cuda" else "gloo", timeout=TIMEOUT)
        control = dist.new_group(backend="gloo", timeout=TIMEOUT)
        yield Team(dist.get_rank(), size, local_rank, control)
        dist.destroy_process_group()  # not after an error: it could wait for a process that is gone


@contextlib.contextmanager
def _name_lost_process() -> Iterator[None]:
    """Turn torch's many errors about a lost connection into Lost."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        signs = ("connection closed", "connection reset", "broken pipe", "timed out", "timeout", "gloo", "nccl")
        if not isinstance(error, dist.DistError) and not any(sign in str(error).lower() for sign in signs):
            raise
        first = str(error).strip().splitlines()[0][:160]
        where = f"training process {os.environ['RANK']} of {os.environ['WORLD_SIZE']}"
        fix = "see why above or in its log, then run the same command again: it goes on from the last checkpoint"
        raise Lost(str(problem(where, f"another process gone or silent ({first})", "all at work", fix))) from None


def parallel(module: nn.Module, team: Team) -> nn.Module:
    """The network as a team trains it: gradients are averaged, batch norm and dropout are those of the whole batch.

    `module` itself keeps the weights under their own names. For a team of one it is returned unchanged.
    """
    if team.size == 1:
        return module
    cuda = next(module.parameters()).is_cuda
    for name, part in list(module.named_modules()):
        if isinstance(part, nn.Dropout):
            part.forward = functools.partial(_dropout, part, team)
        elif isinstance(part, _BatchNorm) and cuda:
            parent, _, child = name.rpartition(".")
            setattr(module.get_submodule(parent), child, nn.SyncBatchNorm.convert_sync_batchnorm(part))
        elif isinstance(part, _BatchNorm):
            part.forward = functools.partial(_batch_norm, part)
    # a kernel of 1 × 1 × 1 has strides without meaning, and they may differ
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    # every process computes the same buffers, so that they need not be sent
    return DistributedDataParallel(module, device_ids=[team.local_rank] if cuda else None, forward_sync_buffers=False)


def resume(folder: Path, recipe: str, team: Team) -> dict | None:
    """The same checkpoint in every process of a team. The leader, which holds the lock, chooses it."""
    found = load_checkpoint(folder, recipe) if team.leads else None
    place = team.broadcast(found and (found["epoch"], found["step"]))
    if place and not team.leads:
        found = load_torch(checkpoint_path(folder, *place), "checkpoint")
    return found


class _Total(torch.autograd.Function):
    """Sum over the processes. The gradient of a sum that all processes use is the sum of their gradients."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        x = x.clone()
        dist.all_reduce(x)
        return x

    backward = forward


def _batch_norm(part: _BatchNorm, x: Tensor) -> Tensor:
    """Batch norm over the maps of all processes, of x (b, channels, axes...). torch has this for GPUs only."""
    if not part.training:
        return F.batch_norm(x, part.running_mean, part.running_var, part.weight, part.bias, False, 0.0, part.eps)
    axes = [0, *range(2, x.dim())]
    shape = [1, -1] + [1] * (x.dim() - 2)
    values = x.float()
    count = _Total.apply(values.new_tensor(x.numel() / x.shape[1]))
    mean = _Total.apply(values.sum(axes)) / count
    centred = values - mean.view(shape)
    variance = _Total.apply(centred.square().sum(axes)) / count
    with torch.no_grad():
        part.num_batches_tracked += 1
        part.running_mean.lerp_(mean, part.momentum)
        part.running_var.lerp_(variance * count / (count - 1), part.momentum)
    scale = (variance + part.eps).rsqrt() * part.weight
    return (centred * scale.view(shape) + part.bias.view(shape)).to(x.dtype)


def _dropout(part: nn.Dropout, team: Team, x: Tensor) -> Tensor:
    """Dropout with this process's part of the mask that a single process would draw for the whole batch."""
    if not part.training:
        return x
    count = team.batch
    layout = (math.prod(x.shape[1:]), *x.stride()[1:])  # the mask depends on the layout in memory
    whole = torch.empty_strided((count, *x.shape[1:]), layout, dtype=x.dtype, device=x.device).fill_(1)
    return x * F.dropout(whole, part.p)[team.part(count)]
