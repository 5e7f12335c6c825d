"""What the layers of a trained network hold and make of one map: its filters and feature maps, and their file.

A layer is a step of the network in the order it runs: a convolution, a halving, a whole residual block. Norm, activation
and dropout right after a step belong to it. Any nn.Module will do: outputs are caught by forward hooks.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor, nn

from limelight.errors import problem
from limelight.files import attribute, check_finite, read_hdf5, write_hdf5

KIND = "layers"
CHANNELS = 8  # feature maps kept of each layer: those that vary most over the map
FILTERS = 32  # filters kept of each of the first convolutions
CONVOLUTIONS = 2
CHAINS = (nn.Sequential, nn.ModuleList)
NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)
AFTERTHOUGHTS = (
    *NORMS,
    nn.ReLU,
    nn.LeakyReLU,
    nn.GELU,
    nn.SiLU,
    nn.ELU,
    nn.Dropout,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.Identity,
)


@dataclass
class Layer:
    """One layer's answer to the map: k of its channels in a plane of frequency and averaged over frequency."""

    name: str  # as in the network, such as body.0
    kind: str  # class, such as Conv3d
    shape: list[int]  # channels, x, y and (of 3D layers) frequency
    silent: int  # channels that are zero everywhere
    channel: np.ndarray  # (k,) which ones, the most varied first
    middle: np.ndarray  # (k, x, y)
    projected: np.ndarray  # (k, x, y)


@dataclass
class Filters:
    """Weights of one convolution, averaged over its input channels."""

    name: str
    shape: list[int]  # outputs, inputs, kernel
    middle: np.ndarray  # (n, kx, ky): the kernel's middle plane of frequency (of 2D: of the middle input channel)
    projected: np.ndarray  # (n, kx, ky): mean over the kernel's frequencies (of 2D: over input channels)


@dataclass
class Layers:
    """A network's layers at work on one map."""

    network: str
    test: str
    map: dict  # which one: index, light-cone, subfield, draw, line model
    grid: dict
    transform: str  # of the input
    middle: np.ndarray  # (x, y) of the input, as presented: noise, preprocessing
    projected: np.ndarray  # (x, y)
    filters: list[Filters] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)


def steps(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """(name, module) of the network's steps, in the order they are registered; chains are opened, blocks are not."""
    for name, child in module.named_children():
        if isinstance(child, CHAINS):
            yield from steps(child, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", child


@torch.no_grad()
def feature_maps(module: nn.Module, inputs: Tensor) -> list[Layer]:
    """Every layer with a sky in its output for one presented map (1, 1, x, y, f), in the order in which they ran."""
    if len(inputs) != 1:
        raise problem("inputs", f"{len(inputs)} maps", "one map", "give one")
    seen: list[tuple[str, str, Tensor]] = []

    def keep(name: str, child: nn.Module):
        def hook(_module: nn.Module, _inputs: tuple, output: object) -> None:
            if not isinstance(output, Tensor) or output.ndim < 4:
                return
            if isinstance(child, AFTERTHOUGHTS) and seen:
                seen[-1] = (*seen[-1][:2], output[0])
            elif not isinstance(child, AFTERTHOUGHTS):
                seen.append((name, type(child).__name__, output[0]))

        return hook

    hooks = [child.register_forward_hook(keep(name, child)) for name, child in steps(module)]
    try:
        module(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    if not seen:
        raise problem("network", "no layer with a sky in its output", "a convolutional network", "choose another")
    return [_layer(name, kind, output.double().cpu()) for name, kind, output in seen]


def _layer(name: str, kind: str, output: Tensor) -> Layer:
    """output: (channels, x, y) or (channels, x, y, f)."""
    varied = output.flatten(1).std(dim=1, correction=0)
    chosen = torch.argsort(varied, descending=True, stable=True)[:CHANNELS]
    picked = output[chosen]
    deep = picked.ndim == 4
    return Layer(
        name,
        kind,
        list(output.shape),
        int((output.flatten(1) == 0).all(dim=1).sum()),
        chosen.numpy(),
        (picked[..., picked.shape[3] // 2] if deep else picked).numpy(),
        (picked.mean(dim=3) if deep else picked).numpy(),
    )


def filters(module: nn.Module) -> list[Filters]:
    """The first convolutions of a network that look at more than one pixel."""
    found = []
    for name, child in module.named_modules():
        if isinstance(child, nn.Conv2d | nn.Conv3d) and max(child.kernel_size) > 1:
            w = child.weight.detach().double().cpu()[:FILTERS]
            if w.ndim == 5:
                w = w.mean(dim=1)
                middle, projected = w[..., w.shape[3] // 2], w.mean(dim=3)
            else:
                middle, projected = w[:, w.shape[1] // 2], w.mean(dim=1)
            found.append(Filters(name, list(child.weight.shape), middle.numpy(), projected.numpy()))
    return found[:CONVOLUTIONS]


def write_layers(path: str | Path, layers: Layers, attributes: dict[str, object]) -> None:
    """Write a layers file: groups input, filters/0 …, layers/0 …, each with arrays middle and projected."""
    header = {f"layers_{key}": getattr(layers, key) for key in ("network", "test", "map", "grid", "transform")}
    with write_hdf5(path, KIND, {**attributes, **header}, in_memory=True) as file:
        _planes(file.create_group("input"), layers)
        for group, items in (("filters", layers.filters), ("layers", layers.layers)):
            made = file.create_group(group)
            for i, item in enumerate(items):
                one = made.create_group(f"{i:03d}")
                _planes(one, item)
                one.attrs["name"], one.attrs["shape"] = item.name, item.shape
                if group == "layers":
                    one["channel"] = item.channel
                    one.attrs["kind"], one.attrs["silent"] = item.kind, item.silent


def _planes(group: h5py.Group, item: Layers | Layer | Filters) -> None:
    for name in ("middle", "projected"):
        group[name] = check_finite(np.asarray(getattr(item, name), np.float32), f"{group.name}: {name}")


def read_layers(path: str | Path) -> Layers:
    """Read a layers file; refuses files of another kind, truncated or with parts missing, in one line."""
    with read_hdf5(path, KIND, ("input", "filters", "layers")) as file:
        header = {key: attribute(file, f"layers_{key}") for key in ("network", "test", "map", "grid", "transform")}
        try:
            planes = {name: file["input"][name][...] for name in ("middle", "projected")}
            found = [_item(Filters, file["filters"][key]) for key in sorted(file["filters"])]
            layers = [
                _item(
                    Layer,
                    one,
                    kind=str(one.attrs["kind"]),
                    silent=int(one.attrs["silent"]),
                    channel=one["channel"][...],
                )
                for one in (file["layers"][key] for key in sorted(file["layers"]))
            ]
        except KeyError as error:
            raise problem(path, f"a part missing ({error})", "a whole layers file", "make it again") from None
    return Layers(**header, **planes, filters=found, layers=layers)


def _item(make: type, group: h5py.Group, **more) -> Layer | Filters:
    shape = [int(n) for n in group.attrs["shape"]]
    return make(
        name=str(group.attrs["name"]),
        shape=shape,
        middle=group["middle"][...],
        projected=group["projected"][...],
        **more,
    )
