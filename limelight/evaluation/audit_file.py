"""The audit's files, `audit/{network}.h5` and the verdict table `audit/{network}.csv`."""

from dataclasses import asdict
from pathlib import Path

import h5py
import numpy as np

from limelight.data.axes import axis_from
from limelight.errors import one_line, problem
from limelight.evaluation.verdicts import COLUMNS, VERDICTS, Audit, in_words
from limelight.files import attribute, read_hdf5, write_csv, write_hdf5

KIND = "audit"
WORDS = ("network", "settings", "target", "dataset_names", "control")
GROUPS = {
    "columns": tuple(COLUMNS),
    "scatter": ("predicted", "truth", "dataset"),
    "blank": ("clean", "noisy", "training_percentiles"),
    "noise": ("level", "r_squared", "mse"),
    "datasets": ("r_squared", "bias", "mse", "gain"),
    "interventions": (),
}


def write_audit(path: str | Path, result: Audit, attributes: dict[str, object]) -> None:
    """Write an audit file; groups keep the names of the Audit's fields, the verdict is stored by number in VERDICTS."""
    words = {f"audit_{name}": getattr(result, name) for name in WORDS} | {"audit_axis": asdict(result.axis)}
    attributes = {**attributes, **words, "audit_verdicts": list(VERDICTS), "audit_summary": in_words(result)}
    with write_hdf5(path, KIND, attributes, in_memory=True) as file:
        file["verdict"] = np.array([VERDICTS.index(name) for name in result.verdict], np.int8)
        for group in GROUPS:
            _write_group(file.create_group(group, track_order=True), getattr(result, group))


def _write_group(group: h5py.Group, content: dict) -> None:
    for name, value in content.items():
        if isinstance(value, dict):
            _write_group(group.create_group(name, track_order=True), value)
        else:
            group[name] = np.asarray(value)


def _read_group(group: h5py.Group) -> dict:
    return {name: _read_group(item) if isinstance(item, h5py.Group) else item[...] for name, item in group.items()}


@one_line("an audit file")
def read_audit(path: str | Path) -> Audit:
    """Read an audit file; refuses files of another kind, truncated or incomplete, in one line."""
    with read_hdf5(path, KIND, ("verdict", *GROUPS)) as file:
        groups = {}
        for group, names in GROUPS.items():
            missing = [name for name in names if not isinstance(file[group], h5py.Group) or name not in file[group]]
            if missing:
                raise problem(path, f"no {', '.join(missing)} in '{group}'", "a whole audit", "audit again")
            groups[group] = _read_group(file[group])
        words = {name: attribute(file, f"audit_{name}") for name in WORDS}
        axis, codes = attribute(file, "audit_axis"), file["verdict"][...]
    axis = axis_from(axis)
    expected = list(groups["columns"]["r_squared"].shape)
    if list(codes.shape) != expected or not np.isin(codes, range(len(VERDICTS))).all():
        raise problem(path, f"verdicts {codes.tolist()}", f"{expected} of {len(VERDICTS)} kinds", "audit again")
    return Audit(axis=axis, verdict=np.array([VERDICTS[code] for code in codes]), **words, **groups)


def write_table(path: str | Path, result: Audit) -> None:
    """The verdict table as CSV: one row per output, what was measured there, and the verdict; NaN as an empty field."""
    axis = result.axis
    count = len(result.verdict)
    where = {"output": list(axis.names) or list(range(count))}
    if axis.edges:
        where = {f"{axis.label}_lower": axis.edges[:-1], f"{axis.label}_upper": axis.edges[1:]}
        if axis.log10:
            where = {f"log10_{name}": values for name, values in where.items()}
    write_csv(
        path, {"network": [result.network] * count, **where, **result.columns, "verdict": result.verdict}, digits=6
    )
