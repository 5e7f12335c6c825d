"""The layers file, `layers/{network}.h5`: a trained network's first filters, and its feature maps for one row of data."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

import h5py
import numpy as np

from limelight.data.shard import Header, header_from
from limelight.errors import one_line, problem
from limelight.files import attribute, check_finite, read_hdf5, write_hdf5

KIND = "layers"
WORDS = ("network", "test", "row")


@dataclass
class Layer:
    """One layer's output for a row of data: k of its channels.

    Planes are the first two axes, (x, y): at the middle of all further axes, and averaged over them. For data with two axes
    both are the image itself; for data with a single axis they are a trace, (x,).
    """

    name: str  # as in the network, such as body.0
    kind: str  # class, such as Conv3d
    shape: list[int]  # channels and axes
    silent: int  # channels that are zero everywhere
    channel: np.ndarray  # (k,) which ones, the most varied first
    middle: np.ndarray  # (k, x, y)
    projected: np.ndarray  # (k, x, y)


@dataclass
class Filters:
    """Weights of one convolution: planes as in a Layer, of kernels averaged over their input channels.

    Kernels with fewer than three axes have no further ones: their `middle` is the kernel of the middle input channel.
    """

    name: str
    shape: list[int]  # outputs, inputs, kernel
    middle: np.ndarray  # (n, kx, ky)
    projected: np.ndarray  # (n, kx, ky)


@dataclass
class Layers:
    """A network's layers for one row of data."""

    network: str
    test: str
    row: dict  # which one: its number, dataset and group, and what the probe keeps of its rows
    header: Header  # of the data
    middle: np.ndarray  # (channels, x, y) of the input, as presented: noise, preprocessing
    projected: np.ndarray  # (channels, x, y)
    filters: list[Filters] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)


def write_layers(path: str | Path, layers: Layers, attributes: dict[str, object]) -> None:
    """Write a layers file: groups input, filters/000 …, layers/000 …, each with arrays middle and projected."""
    words = {name: getattr(layers, name) for name in WORDS} | {"header": asdict(layers.header)}
    attributes = {**attributes, **{f"layers_{key}": value for key, value in words.items()}}
    with write_hdf5(path, KIND, attributes, in_memory=True) as file:
        _write_planes(file.create_group("input"), layers)
        for group, items in (("filters", layers.filters), ("layers", layers.layers)):
            made = file.create_group(group)
            for i, item in enumerate(items):
                one = made.create_group(f"{i:03d}")
                _write_planes(one, item)
                one.attrs["name"], one.attrs["shape"] = item.name, item.shape
                if group == "layers":
                    one["channel"] = item.channel
                    one.attrs["kind"], one.attrs["silent"] = item.kind, item.silent


def _write_planes(group: h5py.Group, item: Layers | Layer | Filters) -> None:
    for name in ("middle", "projected"):
        group[name] = check_finite(np.asarray(getattr(item, name), np.float32), f"{group.name}: {name}")


@one_line("a layers file")
def read_layers(path: str | Path) -> Layers:
    """Read a layers file; refuses files of another kind, truncated or with parts missing, in one line."""
    with read_hdf5(path, KIND, ("input", "filters", "layers")) as file:
        words = {name: attribute(file, f"layers_{name}") for name in WORDS}
        header = header_from(attribute(file, "layers_header"))
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
    return Layers(**words, header=header, **planes, filters=found, layers=layers)


def _item(make: type, group: h5py.Group, **more) -> Layer | Filters:
    shape = [int(n) for n in group.attrs["shape"]]
    return make(
        name=str(group.attrs["name"]),
        shape=shape,
        middle=group["middle"][...],
        projected=group["projected"][...],
        **more,
    )
