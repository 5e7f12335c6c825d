"""The evaluation file, `evaluation/{network}/{test}.h5`: all that the figures need, so that redrawing never retrains."""

import csv
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from limelight.errors import problem
from limelight.files import attribute, check_finite, read_hdf5, write_hdf5

KIND = "evaluation"
MATRICES = ("predicted_target", "truth_target", "predicted", "truth")


@dataclass
class Evaluation:
    """One network on one test: m maps, b luminosity bins.

    Target space is the network's own (for example log10(1 + N), not standardised); natural space is the quantity itself.
    """

    network: str
    test: str
    settings: dict  # the test's line_model, noise and foregrounds, by name and in full; study seed; network settings
    target: dict  # quantity, transform
    grid: dict  # the map's geometry, with pooling
    unit: str  # of the maps
    log10_lum_edges: np.ndarray  # (b+1,)
    predicted_target: np.ndarray  # (m, b)
    truth_target: np.ndarray  # (m, b)
    predicted: np.ndarray  # (m, b) natural
    truth: np.ndarray  # (m, b) natural
    rows: dict  # (m,) arrays that say which map each row is: lightcone, subfield, draw, volume_mpc3
    statistics: dict  # (b,) arrays of evaluation.statistics.summarise
    totals: dict  # numbers over all bins
    blank: dict  # natural predictions for an empty map: clean (b,), noisy (k, b)
    training: dict  # label statistics: mean, std (b,), percentiles (5, b) and their *_target twins
    history: dict = field(default_factory=dict)  # columns of history.csv
    examples: dict = field(default_factory=dict)  # slices of the first k maps: raw, pooled, noisy, each (k, x, y)
    made_by: dict = field(default_factory=dict)  # of a file that was read: MADE_BY

    @property
    def luminosity_lsun(self) -> np.ndarray:
        """Luminosity at the middle (in log) of each bin, (b,)."""
        edges = np.asarray(self.log10_lum_edges)
        return 10 ** (0.5 * (edges[1:] + edges[:-1]))


# What figures ask of each group
COLUMNS = {
    "rows": ("lightcone", "subfield", "draw", "volume_mpc3"),
    "statistics": (
        "n_used",
        "p2.5",
        "p50",
        "p97.5",
        "two_sigma_lower",
        "two_sigma_upper",
        "mean_counts",
        "spread_ratio",
    ),
    "blank": ("clean", "noisy"),
    "training": ("mean", "percentiles"),
    "history": ("epoch",),
    "examples": ("raw", "pooled", "noisy"),
}
GROUPS = tuple(COLUMNS)
MADE_BY = ("limelight_version", "git_commit", "config_hash", "seed")


def write_evaluation(path: str | Path, result: Evaluation, attributes: dict[str, object]) -> None:
    """Write an evaluation file; groups of arrays keep the names of the Evaluation's fields."""
    header = {
        name: getattr(result, name) for name in ("network", "test", "settings", "target", "grid", "unit", "totals")
    }
    attributes = {**attributes, **{f"evaluation_{key}": value for key, value in header.items()}}
    with write_hdf5(path, KIND, attributes, in_memory=True) as file:
        file["log10_lum_edges"] = np.asarray(result.log10_lum_edges, np.float64)
        file["log10_lum_edges"].attrs["unit"] = "log10 Lsun"
        for name in MATRICES:
            file[name] = check_finite(np.asarray(getattr(result, name), np.float64), f"{path}: {name}")
        for group in GROUPS:
            made = file.create_group(group, track_order=True)  # tables keep the order of their columns
            for name, values in getattr(result, group).items():
                made[name] = np.asarray(values)


def read_evaluation(path: str | Path) -> Evaluation:
    """Read an evaluation file; refuses files of another kind, truncated, ragged or with NaN predictions, in one line."""
    with read_hdf5(path, KIND, ("log10_lum_edges", *MATRICES)) as file:
        for group in GROUPS:
            if group not in file:
                raise problem(path, f"no group '{group}'", f"groups {', '.join(GROUPS)}", "evaluate again")
            missing = [name for name in COLUMNS[group] if name not in file[group]]
            if missing:
                raise problem(path, f"no {', '.join(missing)} in group '{group}'", "a whole group", "evaluate again")
        header = {
            name: attribute(file, f"evaluation_{name}")
            for name in ("network", "test", "settings", "target", "grid", "unit", "totals")
        }
        matrices = {name: check_finite(file[name][...], f"{path}: {name}") for name in MATRICES}
        groups = {group: _columns(file[group]) for group in GROUPS}
        edges = file["log10_lum_edges"][...]
        made_by = {name: str(file.attrs.get(name, "unknown")) for name in MADE_BY}
    shapes = {name: values.shape for name, values in matrices.items()}
    if len(set(shapes.values())) != 1 or matrices["truth"].ndim != 2 or matrices["truth"].shape[1] != len(edges) - 1:
        raise problem(path, f"arrays of shapes {shapes}", f"(maps, {len(edges) - 1}) each", "evaluate again")
    return Evaluation(log10_lum_edges=edges, made_by=made_by, **header, **matrices, **groups)


def _columns(group: h5py.Group) -> dict[str, np.ndarray]:
    return {name: dataset[...] for name, dataset in group.items()}


def read_history(path: str | Path) -> dict[str, np.ndarray]:
    """The columns of a training history, history.csv, as float64 arrays; LimelightError when it is not one."""
    path = Path(path)
    if not path.is_file():
        raise problem(path, "no such file", "a training history (history.csv)", "check the path")
    try:
        names, *rows = csv.reader(path.read_text(encoding="utf-8").splitlines())
        columns = np.array(rows, np.float64).reshape(len(rows), len(names)).T
    except ValueError as error:  # not text, no lines, ragged rows, or words among the numbers
        expected = "a training history: names, then a row of numbers an epoch"
        raise problem(path, f"something else ({error})", expected, "train the network again") from None
    if names[0] != "epoch" or not rows:
        raise problem(path, f"columns {', '.join(names)}, {len(rows)} rows", "a training history", "check the path")
    return dict(zip(names, columns, strict=True))
