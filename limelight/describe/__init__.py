"""What a limelight file says of itself, in words: its kind, what made it, and what it holds."""

import csv
import html
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5py
from PIL import Image

from limelight.describe.kinds import HDF5_KINDS, NETWORK_KEYS, network_words, shape, short
from limelight.errors import one_line, problem
from limelight.evaluation.evaluation_file import MADE_BY
from limelight.files import open_hdf5, read_hdf5

PROVENANCE = ("limelight_version", "git_commit", "libraries", "config_hash", "seed")
MIXED = "other versions of these rerun nothing, and may round otherwise (docs/cluster.md)"
KINDS = "an HDF5 file of limelight, model.pt, posterior.pt, a checkpoint, a table or a figure"


@one_line("a file that limelight wrote")
def describe(path: str | Path) -> str:
    """Several lines on any file that limelight writes; LimelightError for a missing, damaged or foreign one."""
    path = Path(path)
    if not path.is_file():
        raise problem(path, "no such file", KINDS, "check the path")
    if h5py.is_hdf5(path):
        lines = _describe_hdf5(path)
    elif path.suffix == ".pt" and zipfile.is_zipfile(path):
        lines = _describe_torch(path)
    elif path.suffix in (".pdf", ".png"):
        lines = _describe_figure(path)
    else:
        lines = _describe_table(path)
    return "\n".join(lines)


@one_line("a file that limelight wrote")
def provenance_of(path: str | Path) -> dict[str, str]:
    """Kind and provenance (version, commit, libraries, config hash, seed) that an HDF5 file or model.pt carries."""
    path = Path(path)
    if path.is_file() and zipfile.is_zipfile(path):
        kind = _torch_kind(path)
        content = _load_torch(path, kind)
        attributes = {"limelight_kind": kind, **content.get("provenance", {})}
    else:
        with read_hdf5(path, _kind(path)) as file:
            attributes = dict(file.attrs)
    return {name: str(attributes.get(name, "unknown")) for name in ("limelight_kind", *PROVENANCE)}


def provenance_table(paths: list[str | Path], title: str) -> str:
    """An HTML page: one row for each set of files that were made alike (of one kind, config hash, version, commit, …)."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for path in paths:
        alike.setdefault(tuple(provenance_of(path).values()), []).append(str(path))
    headings = ("kind", "limelight", "git commit", "libraries", "config hash", "seed", "files")
    rows = []
    for values, files in alike.items():
        shown = files if len(files) <= 3 else [files[0], f"… {len(files)} files …", files[-1]]
        rows.append("".join(f"<td>{html.escape(value)}</td>" for value in (*values, ", ".join(shown))))
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    libraries = list(dict.fromkeys(values[headings.index("libraries")] for values in alike))
    mixed = ""
    if len(libraries) > 1:
        mixed = f"<p>These files were made with {len(libraries)} different sets of libraries: {MIXED}.</p>\n"
    head = "".join(f"<th>{heading}</th>" for heading in headings)
    style = (
        "table{border-collapse:collapse;font:13px sans-serif}td,th{border:1px solid #bbb;padding:4px;text-align:left}"
    )
    return (
        f"<!DOCTYPE html>\n<html><head><meta charset='utf-8'><title>{html.escape(title)}</title>"
        f"<style>{style}</style></head><body>\n<h3>{html.escape(title)}</h3>\n{mixed}"
        f"<table>\n<tr>{head}</tr>\n{body}\n</table>\n</body></html>\n"
    )


def _describe_hdf5(path: Path) -> Iterator[str]:
    kind = _kind(path)
    with read_hdf5(path, kind) as file:
        yield f"{path}: {kind}, format {file.attrs['limelight_format']}"
        attributes = {name: _plain(value) for name, value in file.attrs.items()}
        yield from _provenance(attributes)
        words, said = HDF5_KINDS.get(kind, (lambda file: (), ()))
        yield from (f"  {line}" for line in words(file))
        for name in sorted(attributes):
            if name not in (*PROVENANCE, *said) and not name.startswith("limelight_"):
                yield f"  {name}: {short(attributes[name])}"
        found = []
        file.visititems(lambda name, item: found.append((name, item)) if isinstance(item, h5py.Dataset) else None)
        yield "datasets:"
        for name, item in found:
            unit = f" [{item.attrs['unit']}]" if item.attrs.get("unit") else ""
            yield f"  {name}: {shape(item.shape)} {item.dtype}{unit}"


def _kind(path: Path) -> str:
    """The kind that an HDF5 file says it is."""
    with open_hdf5(path, "limelight") as file:
        kind = file.attrs.get("limelight_kind")
    if kind is None:
        raise problem(path, "an HDF5 file that limelight did not write", KINDS, "convert it first, see docs/files.md")
    return kind


def _torch_kind(path: Path) -> str:
    """The kind that a torch file's name stands for: limelight names them all."""
    if path.name.startswith("epoch-"):
        return "checkpoint"
    return "posterior" if path.stem == "posterior" else "network"


def _load_torch(path: Path, kind: str) -> dict:
    from limelight.training.checkpoint import load_torch  # loads torch, which files in HDF5 need not wait for

    return load_torch(path, kind)


def _describe_torch(path: Path) -> Iterator[str]:
    kind = _torch_kind(path)
    content = _load_torch(path, kind)
    yield f"{path}: {kind}, format {content['limelight_format']}"
    yield from _provenance(content.get("provenance", {}))
    said = {"provenance", "limelight_kind", "limelight_format"}
    if kind == "network" and set(NETWORK_KEYS) <= content.keys():
        said |= set(NETWORK_KEYS)
        yield from (f"  {line}" for line in network_words(content))
    for name, value in content.items():
        if name == "state_dict":
            tensors = _tensors(value)
            yield f"  weights: {sum(tensor.numel() for tensor in tensors):,} numbers in {len(tensors)} tensors"
        elif name not in said:
            yield f"  {name}: {short(value)}"


def _describe_table(path: Path) -> Iterator[str]:
    """A history or another table; what made it stands in its columns or in the file that was written beside it."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            columns, *rows = list(csv.reader(file))
    except (UnicodeDecodeError, ValueError, csv.Error):
        columns, rows = [], []
    history = columns[:1] == ["epoch"]
    beside = [path.with_name("model.pt")] if history else [path.with_suffix(end) for end in (".h5", ".png", ".pdf")]
    made = [other for other in beside if other.is_file()][:1]
    ragged = any(len(row) != len(columns) for row in rows)
    if path.suffix != ".csv" or ragged or not (history or made or set(MADE_BY) <= set(columns)):
        raise problem(path, "a file that limelight did not write", KINDS, "check the path")
    yield f"{path}: training history, {len(rows)} epochs" if history else f"{path}: table, {len(rows)} rows"
    for column, *values in zip(columns, *(rows[:1] + rows[-1:]), strict=True):
        yield f"  {column}: {' … '.join(dict.fromkeys(values))}"
    for other in made:
        yield f"written together with {other}:"
        figure = other.suffix in (".png", ".pdf")
        yield from list(_describe_figure(other))[1:] if figure else _provenance(provenance_of(other))


def _describe_figure(path: Path) -> Iterator[str]:
    """limelight.figures.style.save leaves what made a figure in its metadata."""
    if path.suffix == ".png":
        try:
            with Image.open(path) as picture:
                made = picture.info.get("Description", "")
        except OSError:
            made = ""
    else:
        found = re.search(rb"/Subject \((\{.*?\})\)", path.read_bytes())
        made = re.sub(rb"\\(.)", rb"\1", found[1]).decode("ascii") if found else ""
    if not made.startswith("{"):
        raise problem(path, "a figure that limelight did not draw", KINDS, "check the path")
    yield f"{path}: figure"
    yield from _provenance(json.loads(made))


def _tensors(weights: dict) -> list:
    """The tensors of a state_dict, or of several by name."""
    found = [_tensors(value) if isinstance(value, dict) else [value] for value in weights.values()]
    return [tensor for part in found for tensor in part]


def _provenance(attributes: dict) -> Iterator[str]:
    for name in PROVENANCE:
        if name in attributes:
            yield f"  {name}: {attributes[name]}"


def _plain(value: object) -> object:
    if isinstance(value, str) and value[:1] in ("{", "["):
        return json.loads(value)
    return value
