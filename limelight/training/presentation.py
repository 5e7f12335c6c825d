"""How a network is shown its data: the part that every probe defines, and the part that needs no probe."""

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from limelight.data.shard import Rows
from limelight.data.targets import DATASET, FieldTarget, Target
from limelight.seeds import generator

Truths = Mapping[str, Tensor]
IMAGES_AT_ONCE = 256  # rows whose truths stand in memory as float64


@dataclass
class Data:
    """Rows on the device. x (n, channels, *axes) float32 stays on the host if it does not fit; y (n, …) each."""

    x: Tensor
    y: dict[str, Tensor]
    theta: Tensor  # (n, p) float32

    def __len__(self) -> int:
        return len(self.x)

    @property
    def device(self) -> torch.device:
        """Where truths are, and where batches are made."""
        return self.theta.device

    def batch(self, rows: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """(x, y) of some rows, on the device."""
        x = self.x[rows.to(self.x.device)].to(self.device, non_blocking=True)
        here = rows.to(self.device)
        return x, {name: values[here] for name, values in self.y.items()}


class Presentation(Protocol):
    """What a probe does to clean data before a network sees them, and what the network is to predict.

    Every draw uses the generator that is passed in, on the device of the data.
    """

    target: Target

    def augment(self, x: Tensor, y: Truths, random: torch.Generator) -> tuple[Tensor, Truths]:
        """Exact joint changes of data and truths, drawn anew for each row of a batch."""

    def observe(self, x: Tensor, random: torch.Generator) -> Tensor:
        """Network inputs of clean data: foregrounds, noise, preprocessing; each row with its own draws."""

    def moments(self, data: Data) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the encoded truths under augmentation; (*shape,) each."""

    def unaltered(self) -> "Presentation":
        """The same with only those changes that leave the distribution of the data unchanged (symmetries)."""

    def silent(self) -> "Presentation":
        """The same without noise and foregrounds."""

    def as_recorded(self) -> "Presentation":
        """The same for data that an instrument recorded: nothing is added to them or cut out of them."""

    def bare(self) -> "Presentation":
        """The same without preprocessing: what an instrument would record."""

    def with_noise(self, level: float) -> "Presentation":
        """The same with white noise of one level, in the probe's unit of noise."""

    def at(self, share: float) -> "Presentation":
        """The same after a share of the training, 0 to below 1: a curriculum may begin with easier data."""


@dataclass(frozen=True)
class PlainPresentation:
    """Data shown as they are: nothing is added, rotated or rescaled. Probes that need more inherit from it.

    A class with its own `observe` must also define `silent` and `with_noise`. Otherwise the audit's clean data would have
    noise and its noise sweep would be flat. By default there is no preprocessing, and every augmentation is a symmetry.
    """

    target: Target

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        missing = [name for name in ("silent", "with_noise") if getattr(cls, name) is getattr(PlainPresentation, name)]
        if missing and cls.observe is not PlainPresentation.observe:
            raise TypeError(f"{cls.__name__} has its own observe, so it needs its own {' and '.join(missing)} too")

    def augment(self, x: Tensor, y: Truths, random: torch.Generator) -> tuple[Tensor, Truths]:
        return x, y

    def observe(self, x: Tensor, random: torch.Generator) -> Tensor:
        return x

    def moments(self, data: Data) -> tuple[Tensor, Tensor]:
        """Moments of the truths as they are, of images one pair for each channel; outputs without spread get 1."""
        if isinstance(self.target, FieldTarget):
            mean, spread = channel_moments(data, self.target)
        else:
            every = all_answers(data, self.target)
            mean, spread = every.mean(dim=0), every.std(dim=0, correction=0)
        return mean, torch.where(spread > 0, spread, 1.0)

    def unaltered(self) -> "PlainPresentation":
        return self

    def silent(self) -> "PlainPresentation":
        return self

    def as_recorded(self) -> "PlainPresentation":
        return self.silent()

    def bare(self) -> "PlainPresentation":
        return self

    def with_noise(self, level: float) -> "PlainPresentation":
        return self

    def at(self, share: float) -> "PlainPresentation":
        return self


def answers(y: Truths, target: Target) -> Tensor:
    """The right answers, (b, *shape) float64, from the truths of b rows."""
    return target.encode(target.truth(y), y)


def all_answers(data: Data, target: Target) -> Tensor:
    """The right answers to all rows without augmentation, (n, *shape) float64."""
    return answers(data.y, target)


def image_batches(data: Data, target: Target, rows: Tensor | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """(truths, encoded truths) of some rows at a time, (b, *shape) float64 each: all rows of images fill the memory."""
    rows = torch.arange(len(data)) if rows is None else rows
    for some in rows.split(IMAGES_AT_ONCE):
        y = {name: values[some.to(data.device)] for name, values in data.y.items()}
        truth = target.truth(y)
        yield truth, target.encode(truth, y)


def channel_moments(data: Data, target: Target) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel of the encoded truths over rows and pixels, (*shape,) each."""
    axes = tuple(i for i in range(len(target.shape) + 1) if i != 1)
    sums = [torch.stack([e.sum(axes), e.square().sum(axes)]) for _, e in image_batches(data, target)]
    mean, square = torch.stack(sums).sum(0) / (len(data) * math.prod(target.shape[1:]))
    spread = (square - mean**2).clamp(min=0).sqrt()
    spread = torch.where(spread > 1e-7 * mean.abs(), spread, 0.0)  # what rounding leaves of a constant
    wide = [-1] + [1] * (len(target.shape) - 1)
    return mean.view(wide).expand(target.shape).clone(), spread.view(wide).expand(target.shape).clone()


def present(data: Data, rows: Tensor, presentation: Presentation, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Training inputs (b, …) float32 and right answers (b, *shape) float64 of the rows, all drawn anew."""
    x, y = presentation.augment(*data.batch(rows), random)
    return presentation.observe(x, random), answers(y, presentation.target)


def on_device(found: Rows, datasets: list[str], device: torch.device, rows: np.ndarray | None = None) -> Data:
    """Put data and truths on the device; data that would fill more than half of a GPU's free memory stay on the host.

    Parameters
    ----------
    found
        Rows of shards; x (n, channels, *axes).
    datasets
        The network's datasets, in the order that numbers them (for targets of classes).
    rows
        The row whose truths belong to each x (n' ≤ n); an order other than 0, 1, … shuffles labels among data.
    """
    rows = np.arange(len(found)) if rows is None else rows
    where = device
    if device.type == "cuda" and found.x.nbytes > torch.cuda.mem_get_info(device)[0] // 2:
        where = torch.device("cpu")
    y = {name: torch.as_tensor(_exact(v)[rows], device=device) for name, v in found.y.items()}
    number = np.array([datasets.index(name) for name in found.dataset.tolist()], np.int64)[rows]
    y[DATASET] = torch.as_tensor(number, device=device)
    theta = torch.as_tensor(found.theta[rows], dtype=torch.float32, device=device)
    return Data(torch.as_tensor(np.ascontiguousarray(found.x[: len(rows)], np.float32)).to(where), y, theta)


def _exact(values: np.ndarray) -> np.ndarray:
    """Truths as float64, but images as they are stored: they are many."""
    return values if values.ndim > 2 and values.dtype == np.float32 else np.asarray(values, np.float64)


def training_data(found: Rows, datasets: list[str], options, seed: int, name: str, device: torch.device) -> Data:
    """The data to train on: the first max_maps rows, labels shuffled among them where the config asks for it."""
    count = min(options.max_maps or len(found), len(found))
    rows = np.arange(count)
    if options.permute_labels:
        rows = generator(seed, f"permuted labels of {name}").permutation(count)
    return on_device(found, datasets, device, rows)


def epoch_batches(n_rows: int, batch_size: int, steps: int, seed: int, network: str, epoch: int) -> list[np.ndarray]:
    """Rows of each batch of one epoch.

    steps = 0: every row once, in batches whose sizes differ by at most one row (batch norm could not take a last batch of
    one row). Otherwise `steps` full batches from an endless sequence of rows, shuffled anew after each pass.
    """

    def shuffled(turn: int) -> np.ndarray:
        return generator(seed, f"order of {network}", turn).permutation(n_rows)

    if steps == 0:
        return np.array_split(shuffled(epoch), -(-n_rows // batch_size))
    first = epoch * steps * batch_size
    last = first + steps * batch_size
    turns = range(first // n_rows, (last - 1) // n_rows + 1)
    deck = np.concatenate([shuffled(turn) for turn in turns])
    start = first - turns[0] * n_rows
    return list(deck[start : start + steps * batch_size].reshape(steps, batch_size))


LEVELS = (0.025, 0.16, 0.5, 0.84, 0.975)
SORTED_IMAGES = 1000  # rows, evenly spread
SORTED_AT_ONCE = 10_000_000  # numbers; torch.quantile takes 16 million at most


def label_statistics(data: Data, target: Target) -> dict[str, Tensor]:
    """Mean, standard deviation and percentiles 2.5, 16, 50, 84, 97.5 of the training labels, float64 on the CPU.

    mean, std (*shape,), percentiles (5, *shape) of the quantity itself; the same with `_target` as encoded. mean_target is
    also the prediction of a network that ignores its input. The percentiles of images are those of SORTED_IMAGES rows.
    """
    if isinstance(target, FieldTarget):
        return _image_statistics(data, target)
    y = {name: values.cpu() for name, values in data.y.items()}
    natural = target.truth(y)
    found = {}
    for ending, values in (("", natural), ("_target", target.encode(natural, y))):
        found[f"mean{ending}"] = values.mean(dim=0)
        found[f"std{ending}"] = values.std(dim=0, correction=0)
        found[f"percentiles{ending}"] = percentiles(values)
    return found


def _image_statistics(data: Data, target: Target) -> dict[str, Tensor]:
    """`label_statistics` of images, of which no copy of all rows is made."""
    sums = torch.zeros(2, 2, *target.shape, dtype=torch.float64, device=data.device)
    for pair in image_batches(data, target):
        sums += torch.stack([torch.stack([values.sum(0), values.square().sum(0)]) for values in pair])
    rows = torch.arange(len(data))[:: -(-len(data) // SORTED_IMAGES)]
    some = [torch.cat(parts).cpu() for parts in zip(*image_batches(data, target, rows), strict=True)]
    found = {}
    for ending, (mean, square), values in zip(("", "_target"), sums.cpu() / len(data), some, strict=True):
        found[f"mean{ending}"], found[f"std{ending}"] = mean, (square - mean**2).clamp(min=0).sqrt()
        found[f"percentiles{ending}"] = percentiles(values)
    return found


def percentiles(values: Tensor) -> Tensor:
    """Percentiles (5, *shape) at LEVELS of values (n, *shape), in parts: images have more numbers than torch can sort."""
    levels = torch.tensor(LEVELS, dtype=values.dtype)
    parts = values.flatten(1).split(max(1, SORTED_AT_ONCE // len(values)), dim=1)
    return torch.cat([torch.quantile(part, levels, dim=0) for part in parts], dim=1).unflatten(1, values.shape[1:])


def fingerprint(found: Rows) -> str:
    """A hash of data and truths: a run must not go on from a checkpoint of other data."""
    digest = hashlib.sha256(np.ascontiguousarray(found.x))
    for name in sorted(found.y):
        digest.update(np.ascontiguousarray(found.y[name]))
    return digest.hexdigest()
