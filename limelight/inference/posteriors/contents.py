"""What a posterior file must hold: kinds, shapes and ranges of its entries, so that no draw fails or goes wrong later."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from limelight.errors import LimelightError, problem

KINDS = {
    "posterior": str,
    "kind": str,
    "of": str,
    "network": dict,
    "options": dict,
    "parameter_names": list,
    "scales": dict,
    "state_dict": dict,
    "prior": dict,
    "check": dict,
    "provenance": dict,
}
# A letter is a length, the same wherever it stands: F features, k statistics, d answers, q what the head answers, p
# parameters, n rows of data, r presentations

PARTS = {
    "scales.features": {"mean": "F", "std": "F"},
    "scales.target": {"mean": "q", "std": "q"},
    "scales.labels": {"mean": "d", "std": "d", "components": "ed", "length": "e"},
    "scales.limit": {"mean": "z", "std": "z", "stretch": "zi"},
    "scales.summaries": {"covariance": "pp", "fisher": "pp"},
    "prior": {"answers": "nd", "row": "r", "statistics": "rk"},
    "check.features": {"mean": "F", "whiten": "Fv", "reference": "mv", "distances": "s"},
    "check.statistics": {"mean": "k", "whiten": "kw", "reference": "ow", "distances": "t"},
}
FURTHER = {  # where they are there
    "scales.target": {"components": "cq", "length": "c", "at": "qg", "scatter": "qg"},
    "prior": {"summaries": "rp"},
}
ABOVE_ZERO = ("std", "length")


def check_contents(content: Mapping, path: str | Path) -> None:
    """Refuse a posterior file with an entry that is missing, of another kind or shape, or not finite."""
    for key, kind in KINDS.items():
        if not isinstance(content.get(key), kind):
            raise _wrong(path, key, f"a {type(content.get(key)).__name__}", f"a {kind.__name__}")
    imnn, lengths = content["kind"] == "imnn", {}
    for place, shapes in PARTS.items():
        if place == "scales.target" and imnn or place == "scales.summaries" and not imnn:
            continue
        if place in ("scales.labels", "scales.limit") and place[7:] not in content["state_dict"]:
            continue
        part = content
        for key in place.split("."):
            part = part.get(key) if isinstance(part, dict) else None
        if not isinstance(part, dict):
            raise _wrong(path, place, f"a {type(part).__name__}", "its tensors by name")
        more = {key: shape for key, shape in FURTHER.get(place, {}).items() if key in part}
        for key, shape in (shapes | more).items():
            _check_tensor(part.get(key), shape, lengths, path, f"{place}.{key}")
    _check_rows(content["prior"], imnn, lengths, path)
    if content.get("recalibration") is not None:
        shape = "di" if content["kind"] == "quantiles" else "d"  # i: the two intervals
        _check_tensor(content["recalibration"], shape, {**lengths, "i": 2}, path, "recalibration")
    if content.get("places") is not None:
        _check_tensor(content["places"], "dl", lengths, path, "places")
    if content.get("empties") is not None:
        _check_tensor(content["empties"], "hl", {**lengths, "h": 1}, path, "empties")
    joint = content.get("joint")
    if joint is not None and not (isinstance(joint, dict) and {"learnt", "recalibrated", "lower"} <= set(joint)):
        raise _wrong(
            path, "joint", f"a {type(joint).__name__}", "shares learnt, recalibrated and whether they are lower"
        )


def check_recalibration(content: Mapping, counts: bool, answers: int, path: str | Path) -> None:
    """Refuse draws of earlier versions, whose factors are of single answers: without places they would be read as factors
    along principal axes."""
    if content["kind"] == "quantiles" or content.get("recalibration") is None:
        return
    by_answer = content.get("places") is None if counts else answers > 1 and "empties" not in content
    if by_answer:
        found = "recalibrated by an earlier version, answer by answer"
        expected = "places of counts" if counts else "along the axes of its draws"
        raise problem(f"{path}: recalibration", found, expected, "train it again")


def _check_tensor(value: object, shape: str, lengths: dict[str, int], path: str | Path, where: str) -> None:
    if not isinstance(value, Tensor):
        raise _wrong(path, where, f"a {type(value).__name__}", "a tensor")
    sizes = tuple(value.shape)
    known = tuple(lengths.get(letter, size) for letter, size in zip(shape, sizes, strict=False))
    if len(sizes) != len(shape) or sizes != known or 0 in sizes or (shape[0] == shape[-1] and len(set(sizes)) > 1):
        raise _wrong(path, where, f"shape {sizes}", f"{len(shape)} axes, of lengths as in the rest of the file")
    if not torch.isfinite(value).all():
        raise _wrong(path, where, "numbers that are NaN or infinite", "finite ones")
    if where.rpartition(".")[2] in ABOVE_ZERO and not (value > 0).all():
        raise _wrong(path, where, f"{float(value.min()):.3g}", "numbers above 0")
    lengths.update(zip(shape, sizes, strict=True))


def _check_rows(prior: Mapping, imnn: bool, lengths: dict[str, int], path: str | Path) -> None:
    """Rows must be those of the prior's answers; rejection needs parameters and summaries."""
    row = prior["row"]
    if row.is_floating_point() or int(row.min()) < 0 or int(row.max()) >= lengths["n"]:
        raise _wrong(
            path, "prior.row", f"{float(row.min()):g} to {float(row.max()):g}", f"rows 0 to {lengths['n'] - 1}"
        )
    if imnn:
        for key, shape in {"summaries": "rp", "parameters": "np"}.items():
            _check_tensor(prior.get(key), shape, lengths, path, f"prior.{key}")


def _wrong(path: str | Path, where: str, found: str, expected: str) -> LimelightError:
    return problem(f"{path}: {where}", found, expected, "train it again")
