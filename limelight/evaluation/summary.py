"""The tidy table of a study: one row per network, test and output, from evaluation files alone."""

from collections.abc import Iterable, Mapping

from limelight.errors import problem
from limelight.evaluation.evaluation_file import MADE_BY, Evaluation
from limelight.files import csv_text

LEFT_OUT = (
    "dataset",
    "loss",
    "training_rows",
    "shown",
    "parameter_names",
    "estimators",
    "shape",
)  # settings that do not describe a test
DIGITS = 7


def summary_csv(evaluations: Iterable[Evaluation]) -> str:
    """The table as CSV text. Undefined numbers, and columns that an evaluation lacks, are empty fields."""
    return csv_text(summary_rows(evaluations), DIGITS)


def summary_rows(evaluations: Iterable[Evaluation]) -> list[dict[str, object]]:
    """The table's rows; what the columns mean: docs/files.md.

    Images have one row for each channel and shell of wave number.
    """
    rows, seen = [], set()
    for e in evaluations:
        if (e.network, e.test) in seen:
            found = f"two evaluations of network {e.network} on test {e.test}"
            raise problem("summary", found, "each once", "give each file once")
        seen.add((e.network, e.test))
        about = {"network": e.network, "test": e.test, "dataset": e.settings["dataset"], **flat(e.settings)}
        about |= {**flat(e.target), "n_rows": len(e.rows["group"])}
        made_by = {name: e.made_by.get(name) for name in MADE_BY}
        totals = {f"total_{name}": value for name, value in e.totals.items()}
        if e.scales:
            rows += [{**about, **one, **made_by, **totals} for one in _shells(e)]
            continue
        for i, output in enumerate(_outputs(e)):
            labels = {"training_mean": e.training["mean"][i], "blank_clean": e.blank["clean"][i]}
            statistics = {name: values[i] for name, values in e.statistics.items()}
            rows.append({**about, **output, **labels, **made_by, **statistics, **totals})
    return rows


def _shells(e: Evaluation) -> list[dict[str, object]]:
    """Each channel's shells of wave number, with their statistics."""
    rows = []
    for channel, name in enumerate(e.channels):
        for i, (low, high) in enumerate(zip(e.scales.edges[:-1], e.scales.edges[1:], strict=True)):
            where = {"output": name, "scale": e.scales.label, "scale_lower": low, "scale_upper": high}
            where["scale_mean"] = e.spectra["k_mean"][i]
            rows.append({**where, **{name: values[channel, i] for name, values in e.statistics.items()}})
    return rows


def _outputs(e: Evaluation) -> list[dict[str, object]]:
    """The output of each row: its name or number, and for a bin its edges and middle as well."""
    axis = e.axis
    if not axis.edges:
        return [{"output": name} for name in axis.names or range(e.truth.shape[1])]
    scale, middle = "log10_" if axis.log10 else "", f"{axis.label}_{axis.unit.lower()}" if axis.unit else axis.label
    bins = zip(axis.edges[:-1], axis.edges[1:], axis.centers, strict=True)
    return [
        {"output": i, f"{scale}{axis.label}_lower": low, f"{scale}{axis.label}_upper": high, middle: center}
        for i, (low, high, center) in enumerate(bins)
    ]


def flat(settings: Mapping) -> dict[str, object]:
    """Settings as columns: words and numbers as they are, ranges as low-high, and mappings entry by entry.

    An entry of a mapping becomes the column <key>_<entry>, its `name` the column <key>. Deeper levels are left out.
    """
    settings = {key: value for key, value in settings.items() if key not in LEFT_OUT}
    columns = {key: _field(value) for key, value in settings.items() if not isinstance(value, Mapping)}
    for key, inner in settings.items():
        for name, value in inner.items() if isinstance(inner, Mapping) else ():
            if not isinstance(value, Mapping):
                columns.setdefault(key if name == "name" else f"{key}_{name}", _field(value))
    return columns


def _field(value: object) -> object:
    if isinstance(value, list | tuple):
        return "-".join(f"{one:.6g}" if isinstance(one, float) else str(one) for one in value)
    return value
