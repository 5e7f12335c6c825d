"""The intervals file: the posterior of any method, network or MCMC, for each row of a test.

All methods share this form, so that calibration and comparisons treat them alike.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from limelight.data.axes import OutputAxis, axis_from
from limelight.errors import one_line, problem
from limelight.files import attribute, check_finite, read_hdf5, write_hdf5

KIND = "intervals"
LEVELS = (0.025, 0.16, 0.5, 0.84, 0.975)  # of the quantiles: the middle 95 and 68 %, and the median


@dataclass
class Intervals:
    """One method on one test: m rows, d answers, s samples, p parameters.

    settings: what describes the test, in words and numbers (Probe.describe_test), and the settings of the method. seconds:
    clock time of each row's posterior; 0 where it was not measured (clock times differ from run to run).
    """

    method: str  # as the legend of a figure has it
    test: str
    settings: dict
    axis: OutputAxis  # of the answers
    truth: np.ndarray  # (m, d) plain counts, all else encoded (posteriors.tables.answers_of)
    quantiles: np.ndarray  # (m, d, 5) at LEVELS
    rows: dict  # which row is which: (m,) int each, `group` the first
    seconds: np.ndarray  # (m,)
    counts: bool = True  # whether answers are counts
    samples: np.ndarray | None = None  # (m, s, d) float32
    parameter_samples: np.ndarray | None = None  # (m, s, p) float32
    parameters: np.ndarray | None = None  # (m, p) true values
    parameter_names: list = field(default_factory=list)
    extra: dict = field(default_factory=dict)  # further arrays, one row each, such as log-scores or p-values


def quantiles_of(samples: np.ndarray) -> np.ndarray:
    """Quantiles (m, d, 5) at LEVELS of samples (m, s, d), between the order statistics at p (s + 1) (float64).

    If draws and truth come from one distribution, a share p of truths lies below such a quantile for any number of draws.
    numpy's default gives (p (s − 1) + 1)/(s + 1): 94.6 % in the 95 % interval of 500 draws and 92.6 % in that of 79.
    """
    samples = np.asarray(samples, np.float64)
    return np.moveaxis(np.quantile(samples, LEVELS, axis=1, method="weibull"), 0, -1)


def evenly(total: int, wanted: int) -> np.ndarray:
    """`wanted` of `total` row numbers (0: all), evenly spread; int (≤ wanted,)."""
    return np.unique(np.linspace(0, total - 1, min(wanted or total, total)).round().astype(int))


def write_intervals(path: str | Path, result: Intervals, attributes: dict[str, object]) -> None:
    """Write an intervals file; attributes: provenance. Refuses arrays of the wrong shape and numbers that are not finite."""
    _check_shapes(result, path)
    header = {"method": result.method, "test": result.test, "intervals_settings": result.settings}
    header |= {"axis": asdict(result.axis), "counts": bool(result.counts)}
    if result.parameter_names:
        header["parameter_names"] = list(result.parameter_names)
    with write_hdf5(path, KIND, {**attributes, **header}, in_memory=True) as file:
        for name in ("truth", "quantiles", "seconds"):
            file[name] = check_finite(np.asarray(getattr(result, name), np.float64), f"{path}: {name}")
        file["quantiles"].attrs["levels"] = LEVELS
        file["seconds"].attrs["unit"] = "s"
        for name in ("samples", "parameter_samples", "parameters"):
            values = getattr(result, name)
            if values is not None:
                kind = np.float64 if name == "parameters" else np.float32
                file[name] = check_finite(np.asarray(values, kind), f"{path}: {name}")
        for group, columns in (("rows", result.rows), ("extra", result.extra)):
            made = file.create_group(group, track_order=True)
            for name, values in columns.items():
                made[name] = np.asarray(values)


@one_line("an intervals file")
def read_intervals(path: str | Path) -> Intervals:
    """Read an intervals file; one that is missing, foreign, damaged, ragged or not finite is refused with one line."""
    with read_hdf5(path, KIND, ("truth", "quantiles", "seconds", "rows", "extra")) as file:
        arrays = {name: check_finite(file[name][...], f"{path}: {name}") for name in ("truth", "quantiles", "seconds")}
        further = ("samples", "parameter_samples", "parameters")
        arrays |= {name: check_finite(file[name][...], f"{path}: {name}") for name in further if name in file}
        groups = {group: {name: item[...] for name, item in file[group].items()} for group in ("rows", "extra")}
        header = {name: attribute(file, name) for name in ("method", "test")}
        header |= {"axis": axis_from(attribute(file, "axis")), "counts": bool(attribute(file, "counts"))}
        names = attribute(file, "parameter_names") if "parameter_names" in file.attrs else []
        result = Intervals(
            **header, settings=attribute(file, "intervals_settings"), parameter_names=names, **arrays, **groups
        )
    _check_shapes(result, path)
    return result


def _check_shapes(result: Intervals, path: str | Path) -> None:
    m, fix = len(result.truth), "make it again"
    b = len(result.axis.names) or len(result.axis.edges) - 1
    expected = {"truth": (m, b), "quantiles": (m, b, len(LEVELS)), "seconds": (m,)}
    if result.samples is not None:
        expected["samples"] = (m, np.shape(result.samples)[1], b)
    p = len(result.parameter_names)
    if result.parameters is not None:
        expected["parameters"] = (m, p)
    if result.parameter_samples is not None:
        expected["parameter_samples"] = (m, np.shape(result.parameter_samples)[1], p)
    for name, shape in expected.items():
        if np.shape(getattr(result, name)) != shape:
            raise problem(f"{path}: {name}", f"shape {np.shape(getattr(result, name))}", f"{shape}", fix)
    for name, values in {"group": None, **result.rows}.items():
        if np.shape(values) != (m,):
            raise problem(f"{path}: rows", f"{name} of shape {np.shape(values)}", f"({m},)", fix)
    if m == 0:
        raise problem(path, "no maps", "at least one", fix)
    if (np.diff(result.quantiles, axis=-1) < 0).any():
        raise problem(f"{path}: quantiles", "quantiles that fall with their level", "rising ones", fix)
