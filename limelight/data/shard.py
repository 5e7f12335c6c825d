"""The shard: one HDF5 file of training data per dataset and realisation, the same for every probe. docs/data_format.md.

    /x              (n, channels, *axes) float32, without noise
    /y/<name>       (n, …) truths, row for row
    /theta          (n, p) parameters of the simulation; NaN where a row has none
    /group          (n,) realisation: data are split by group, never by row
    /rows/<name>    (n, …) what else is known of each row (where it was cut, which draw it is); no network sees it
    /examples/<name>  (k, …) pictures of the first k rows for figures; may be absent

Attributes: probe, dataset, axes, channels, unit, parameter_names, geometry, truths, simulation, made_from, and provenance.
"""

import contextlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import h5py
import numpy as np

from limelight.data.axes import Axis
from limelight.errors import one_line, problem, reading
from limelight.files import AGAIN, attribute, check_finite, read_hdf5, write_hdf5

KIND = "shard"
SAME = ("probe", "axes", "channels", "unit", "geometry", "truths", "simulation")  # in all shards that are read together


@dataclass(frozen=True)
class Header:
    """What all rows of a dataset have in common. A config says it before any data exist."""

    probe: str
    axes: tuple[Axis, ...]  # of x, after its channels
    channels: tuple[str, ...]
    unit: str  # of x
    geometry: dict  # what a network is bound to: it can read no data of another geometry
    truths: dict  # what the truths mean, as the target needs it (edges of bins, say)
    simulation: dict = field(default_factory=dict)  # what else the simulation was told, such as the cosmology

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row of x: (channels, *axes)."""
        return (len(self.channels), *(axis.n for axis in self.axes))


def header_from(found: Mapping) -> Header:
    """A header from its plain form (dataclasses.asdict), as files hold it."""
    axes = tuple(Axis(**axis) for axis in found["axes"])
    return Header(**{**found, "axes": axes, "channels": tuple(found["channels"])})


@dataclass
class Rows:
    """n rows of one or more shards."""

    header: Header
    x: np.ndarray  # (n, channels, *axes) float32
    y: dict[str, np.ndarray]  # each (n, …)
    theta: np.ndarray  # (n, p)
    parameter_names: list[str]
    group: np.ndarray  # (n,) int64
    dataset: np.ndarray  # (n,) names
    rows: dict[str, np.ndarray] = field(default_factory=dict)
    examples: dict[str, np.ndarray] = field(default_factory=dict)  # of the first k rows

    def __len__(self) -> int:
        return len(self.x)

    @property
    def identifiers(self) -> dict[str, np.ndarray]:
        """What tells rows of a dataset apart, (n,) int each: their group, then the whole numbers that the probe keeps."""
        own = {name: values for name, values in self.rows.items() if values.ndim == 1 and values.dtype.kind in "iu"}
        return {"group": self.group, **own}


def write_shard(
    path: str | Path, found: Rows, attributes: Mapping[str, object], made_from: Mapping[str, object] | None = None
) -> None:
    """Write one shard (docs/data_format.md): it is whole, or it is not there.

    Parameters
    ----------
    path
        Of the file to write.
    found
        The rows, all of one dataset and one realisation.
    attributes
        Provenance (limelight.files.provenance).
    made_from
        What in the config made this dataset, for people who read the file.

    Raises LimelightError when arrays disagree in length or shape, or hold numbers that are not finite.
    """
    _check(found, path)
    if len(set(found.dataset.tolist())) != 1 or len(set(found.group.tolist())) != 1:
        raise problem(path, "rows of several datasets or realisations", "one of each", "write one shard for each")
    header = {name: getattr(found.header, name) for name in (*SAME,)}
    header["axes"] = [asdict(axis) for axis in found.header.axes]
    own = {"dataset": str(found.dataset[0]), "parameter_names": found.parameter_names, "made_from": made_from or {}}
    with write_hdf5(path, KIND, {**attributes, **header, **own}) as file:
        file["x"] = check_finite(found.x, f"{path}: x")  # contiguous: read straight into the trainer's array
        file["x"].attrs["unit"] = found.header.unit
        file["x"].attrs["crc32"] = zlib.crc32(np.ascontiguousarray(found.x))
        file["theta"] = np.asarray(found.theta, np.float64)
        file["group"] = np.asarray(found.group, np.int64)
        for place, columns in (("y", found.y), ("rows", found.rows), ("examples", found.examples)):
            made = file.create_group(place, track_order=True)
            for name, values in columns.items():
                made[name] = check_finite(np.asarray(values), f"{path}: {place}/{name}")


def read_shards(paths: Sequence[str | Path]) -> Rows:
    """Read shards into one array each. They must agree in everything that a network is bound to.

    Raises LimelightError for a wrong, truncated, ragged or NaN-ridden file, and for one that is given twice.
    """
    if not len(paths):
        raise problem("data", "no files", "at least one shard", "give some")
    heads = [_read_head(path) for path in paths]
    first, seen = heads[0], {}
    for path, head in zip(paths, heads, strict=True):
        for name in SAME:
            ours, theirs = getattr(first.header, name), getattr(head.header, name)
            if ours != theirs:
                raise problem(path, f"{name} {theirs}", f"{ours} as in {paths[0]}", "give files of one study")
        for place in ("y", "rows"):
            ours, theirs = (_shapes(getattr(one, place)) for one in (heads[0], head))
            if ours != theirs:
                raise problem(path, f"{place} {theirs}", f"{ours} as in {paths[0]}", "give files of one study")
        key = (str(head.dataset[0]), int(head.group[0]))
        if key in seen:
            found = f"{key[0]} of realisation {key[1]}, which {seen[key]} holds too"
            raise problem(path, found, "each realisation once", "give each file once")
        seen[key] = path
    x = np.empty((sum(map(len, heads)), *first.header.shape), np.float32)
    start = 0
    for path, head in zip(paths, heads, strict=True):
        part = x[start : start + len(head)]
        with read_hdf5(path, KIND, ("x",)) as file, reading(path, "a shard"):
            file["x"].read_direct(part)
            known = int(file["x"].attrs.get("crc32", -1))  # shards of earlier versions have none
        if not np.isfinite(part.sum(dtype=np.float64)):
            check_finite(part, f"{path}: x")
        if known not in (-1, zlib.crc32(part)):
            raise problem(f"{path}: x", "values that differ from their checksum", "those that were written", AGAIN)
        start += len(head)
    return joined(heads, x)


def joined(parts: Sequence[Rows], x: np.ndarray | None = None) -> Rows:
    """Rows of several parts in their order, with the header of the first; parameters that a part has not are NaN.

    x: of all of them, where the parts have none of their own.
    """
    names = list(dict.fromkeys(name for part in parts for name in part.parameter_names))
    theta = np.full((sum(map(len, parts)), len(names)), np.nan)
    start = 0
    for part in parts:
        theta[start : start + len(part), [names.index(name) for name in part.parameter_names]] = part.theta
        start += len(part)
    return Rows(
        header=parts[0].header,
        x=np.concatenate([part.x for part in parts]) if x is None else x,
        y=_stacked([part.y for part in parts]),
        theta=theta,
        parameter_names=names,
        group=np.concatenate([part.group for part in parts]),
        dataset=np.concatenate([part.dataset for part in parts]),
        rows=_stacked([part.rows for part in parts]),
        examples=parts[0].examples,
    )


@contextlib.contextmanager
def open_shard(path: str | Path) -> Iterator[h5py.File]:
    """Yield a checked shard, open for reading: `file["x"]`, `file["y/…"]`, as the format's page has them."""
    with read_hdf5(path, KIND, ("x", "y", "theta", "group")) as file:
        with reading(path, "a shard"):
            _check_rows(file, path)
        yield file


def _check_rows(file: h5py.File, path: str | Path) -> None:
    """As many rows everywhere, of one realisation."""
    for name, kinds in (("group", "iu"), ("theta", "f")):
        if file[name].dtype.kind not in kinds:
            raise problem(f"{path}: {name}", f"values of type {file[name].dtype}", "numbers", "make it again")
    n = len(file["group"])
    lengths = {name: len(file[name]) for name in ("x", "theta")}
    lengths |= {f"{place}/{name}": len(file[place][name]) for place in ("y", "rows") for name in file[place]}
    wrong = {name: length for name, length in lengths.items() if length != n}
    if n == 0 or wrong:
        raise problem(path, f"{n} groups for {wrong or 'no'} rows", "as many rows everywhere", "make it again")
    if len(realisations := np.unique(file["group"][...])) > 1:
        fix = "write one shard for each: data are split by realisation"
        raise problem(path, f"realisations {realisations.tolist()}", "one realisation", fix)


def read_header(file: h5py.File) -> Header:
    """The header of an open shard."""
    found = {name: attribute(file, name) for name in SAME}
    kinds = {"geometry": dict, "truths": dict, "simulation": dict, "axes": list, "channels": list}
    for name, kind in kinds.items():
        if not isinstance(found[name], kind):
            raise problem(
                file.filename,
                f"a header that cannot be read ({name}: {found[name]!r:.80})",
                f"a {kind.__name__}",
                "make it again",
            )
    try:
        header = header_from(found)
    except TypeError as error:
        raise problem(file.filename, f"a header that cannot be read ({error})", "a shard's", "make it again") from None
    if file["x"].shape[1:] != header.shape or file["x"].dtype != np.float32:
        shape = f"rows of shape {file['x'].shape[1:]}, {file['x'].dtype}"
        raise problem(file.filename, shape, f"{header.shape} float32, as its axes say", "make it again")
    return header


class _Head(Rows):
    """All of a shard but x, whose place an empty array takes."""

    def __len__(self) -> int:
        return len(self.group)


@one_line("a shard")
def _read_head(path: str | Path) -> _Head:
    with open_shard(path) as file:
        header, n, names = read_header(file), len(file["group"]), list(attribute(file, "parameter_names"))
        if file["theta"].shape != (n, len(names)):
            found = f"theta {file['theta'].shape} of {len(names)} names"
            raise problem(path, found, f"{n} rows of a number for each name", "make it again")
        groups = {
            place: {
                name: check_finite(item[...], f"{path}: {place}/{name}") for name, item in file.get(place, {}).items()
            }
            for place in ("y", "rows", "examples")
        }
        return _Head(
            header=header,
            x=np.empty(0, np.float32),
            theta=file["theta"][...],
            parameter_names=names,
            group=file["group"][...],
            dataset=np.repeat([str(attribute(file, "dataset"))], n),
            **groups,
        )


def _shapes(columns: dict[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    """{name: shape of one row}."""
    return {name: values.shape[1:] for name, values in columns.items()}


def _stacked(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _check(found: Rows, path: str | Path) -> None:
    n, shape = len(found.x), found.header.shape
    if n == 0 or found.x.shape[1:] != shape or found.x.dtype != np.float32:
        raise problem(path, f"x {found.x.shape} {found.x.dtype}", f"(n, {shape}) float32, n > 0", "mend the simulator")
    named = {"theta": found.theta, "group": found.group, "dataset": found.dataset}
    named |= {f"y/{name}": values for name, values in found.y.items()}
    named |= {f"rows/{name}": values for name, values in found.rows.items()}
    wrong = {name: len(values) for name, values in named.items() if len(values) != n}
    if wrong or found.theta.shape != (n, len(found.parameter_names)):
        theta = f"theta {found.theta.shape} of {len(found.parameter_names)} names"
        raise problem(path, f"{wrong or theta}", f"{n} rows everywhere", "mend the simulator")
