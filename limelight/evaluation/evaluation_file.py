"""The evaluation file, `evaluation/{network}/{test}.h5`: all that the figures need, so that figures never retrain."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

import h5py
import numpy as np

from limelight.data.axes import OutputAxis, axis_from
from limelight.data.shard import Header, header_from
from limelight.errors import one_line, problem
from limelight.files import attribute, check_finite, read_csv, read_hdf5, write_hdf5
from limelight.summaries.reconstruction import Spectra

KIND = "evaluation"
MATRICES = ("predicted_target", "truth_target", "predicted", "truth")


@dataclass
class Evaluation:
    """One network on one test: m rows of data, answers of some shape.

    The encoded target is what the network was trained on (for example log10(1 + N), not standardised). All other arrays hold
    the quantity itself. Of images only the first rows are kept; `statistics` (channels, bins) and `spectra` are of all rows.
    """

    network: str
    test: str
    settings: dict  # dataset, what the probe says of the test in words and numbers, loss, training_rows, shown
    target: dict  # the config's `target`, and `shape`
    axis: OutputAxis  # of the answers
    header: Header  # of the data
    predicted_target: np.ndarray  # (m, *shape) encoded
    truth_target: np.ndarray  # (m, *shape) encoded
    predicted: np.ndarray  # (m, *shape)
    truth: np.ndarray  # (m, *shape)
    rows: dict  # (m, …) arrays that identify the rows: group, parameters, and what the probe keeps of its rows
    statistics: dict  # (*shape,) arrays of the metrics; of images (channels, bins)
    totals: dict  # numbers over all outputs
    blank: dict  # answers to empty data: clean (*shape,), noisy (k, *shape)
    training: dict  # label statistics: mean, std (*shape,), percentiles (5, *shape) and their *_target twins
    history: dict = field(default_factory=dict)  # columns of history.csv
    examples: dict = field(default_factory=dict)  # pictures of the first rows, as the probe makes them
    spectra: dict = field(default_factory=dict)  # of images, (m, …, bins): predicted, truth, cross; those of estimators
    scales: OutputAxis | None = None  # of images: the shells of wave number
    made_by: dict = field(default_factory=dict)  # provenance of a file that was read: MADE_BY

    @property
    def channels(self) -> tuple[str, ...]:
        """What each channel of images shows."""
        return self.axis.channels or tuple(f"channel {i}" for i in range(self.truth.shape[1]))

    def spectra_of(self, channel: int, estimator: str = "") -> Spectra:
        """Spectra (m, bins) of a channel of images: the network's, or those of an estimator on the same rows."""
        found, truth = self.spectra, self.spectra["truth"][:, channel]
        if estimator:
            return Spectra(found[f"{estimator}_predicted"], truth, found[f"{estimator}_cross"])
        return Spectra(found["predicted"][:, channel], truth, found["cross"][:, channel])

    def estimators_of(self, channel: int) -> list[str]:
        """The estimators of a channel that stand beside the network."""
        return [name for name, of in self.settings.get("estimators", {}).items() if of == channel]


# estimators: of a name its spectra <name>_predicted and <name>_cross (m, bins), and settings["estimators"][name] its channel
GROUPS = ("rows", "statistics", "blank", "training", "history", "examples", "spectra")
NEEDED = {  # what figures ask of each group
    "rows": ("group",),
    "blank": ("clean", "noisy"),
    "training": ("mean", "percentiles"),
    "history": ("epoch",),
}
WORDS = ("network", "test", "settings", "target", "totals")
MADE_BY = ("limelight_version", "git_commit", "config_hash", "seed")


def write_evaluation(path: str | Path, result: Evaluation, attributes: dict[str, object]) -> None:
    """Write an evaluation file; groups of arrays keep the names of the Evaluation's fields."""
    words = {name: getattr(result, name) for name in WORDS}
    words |= {"axis": asdict(result.axis), "header": asdict(result.header)}
    words |= {"scales": asdict(result.scales) if result.scales else {}}
    attributes = {**attributes, **{f"evaluation_{key}": value for key, value in words.items()}}
    with write_hdf5(path, KIND, attributes, in_memory=True) as file:
        for name in MATRICES:
            file[name] = check_finite(np.asarray(getattr(result, name), np.float64), f"{path}: {name}")
        for group in GROUPS:
            made = file.create_group(group, track_order=True)  # tables keep the order of their columns
            for name, values in getattr(result, group).items():
                made[name] = np.asarray(values)


@one_line("an evaluation file")
def read_evaluation(path: str | Path) -> Evaluation:
    """Read an evaluation file; refuses files of another kind, truncated, ragged or with NaN predictions, in one line."""
    with read_hdf5(path, KIND, (*MATRICES, *GROUPS)) as file:
        for group, names in NEEDED.items():
            missing = [name for name in names if name not in file[group]]
            if missing:
                raise problem(path, f"no {', '.join(missing)} in group '{group}'", "a whole group", "evaluate again")
        words = {name: attribute(file, f"evaluation_{name}") for name in WORDS}
        axis = axis_from(attribute(file, "evaluation_axis"))
        scales = attribute(file, "evaluation_scales")
        header = header_from(attribute(file, "evaluation_header"))
        matrices = {name: check_finite(file[name][...], f"{path}: {name}") for name in MATRICES}
        groups = {group: _columns(file[group]) for group in GROUPS}
        made_by = {name: str(file.attrs.get(name, "unknown")) for name in MADE_BY}
    shapes = {name: values.shape for name, values in matrices.items()}
    expected = tuple(words["target"]["shape"])
    if len(set(shapes.values())) != 1 or matrices["truth"].shape[1:] != expected:
        raise problem(path, f"arrays of shapes {shapes}", f"(rows, {expected}) each", "evaluate again")
    scales = axis_from(scales) if scales else None
    return Evaluation(axis=axis, header=header, scales=scales, made_by=made_by, **words, **matrices, **groups)


def _columns(group: h5py.Group) -> dict[str, np.ndarray]:
    return {name: dataset[...] for name, dataset in group.items()}


@one_line("a training history (history.csv)")
def read_history(path: str | Path) -> dict[str, np.ndarray]:
    """The columns of a training history, history.csv, as float64 arrays; LimelightError when it is not one."""
    columns = read_csv(path, "a training history (history.csv)")
    if next(iter(columns)) != "epoch" or not all(len(values) and values.dtype == float for values in columns.values()):
        expected = "a training history: epoch and losses, one row of numbers per epoch"
        raise problem(path, f"columns {', '.join(columns)}", expected, "check the path, or train the network again")
    return columns
