"""The files of saliency, `saliency/{run}.h5` and the table of checks `saliency/{run}.csv`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import h5py
import numpy as np

from limelight.data.axes import OutputAxis, axis_from
from limelight.data.shard import Header, header_from
from limelight.errors import one_line, problem
from limelight.files import attribute, check_finite, read_hdf5, write_csv, write_hdf5
from limelight.saliency.checks import CHECKS, Tried

KIND = "saliency"
WORDS = ("name", "network", "settings", "target", "answers", "control", "left_out", "stages")
CURVES = ("cascade", "cascade_echo", "deletion", "insertion")
NUMBERS = ("mean_saliency", "apart_from_pixels", "mean_radius", "saliency_radius", "reach_95", "receptive")
PICTURE = ("mean", "examples", "tables", "numbers", "checks", *CURVES)


@dataclass
class Picture:
    """What one method says of one answer. Attributions are squared saliencies, brought to the sum 1 in every row."""

    mean: np.ndarray  # (channels, *axes) over rows
    examples: np.ndarray  # (rows, channels, x, y) of the first rows, added up over all further axes
    tables: dict[str, np.ndarray]  # shares: value, wave, direction, stride; radius and within of a place; class_<name>
    numbers: dict[str, float]  # NUMBERS, the last four of an answer that has a place (shares.radii)
    tried: Tried = field(default_factory=Tried)
    faults: list[str] = field(default_factory=list)  # what condemns the method here; empty: it passes


@dataclass
class Saliency:
    """One network explained."""

    name: str  # of the run
    network: str
    settings: dict
    target: dict  # the config's `target`, and `shape`
    axis: OutputAxis  # of the outputs
    header: Header  # of the data
    answers: dict[str, dict]  # by name, as the config has them
    inputs: np.ndarray  # (rows, channels, x, y) of the first rows, averaged over all further axes
    random_deletion: dict[str, np.ndarray]  # by answer, (fractions,) in random order
    random_insertion: dict[str, np.ndarray]
    pixels_by_value: np.ndarray  # (channels, shares.VALUE_EDGES bins) shares of the pixels
    classes: dict[str, dict]  # by name: axis, pixels (classes,) their share of pixels, amount (classes,) of light, say
    control: str = ""  # name of the network trained on permuted labels
    stages: list[str] = field(default_factory=list)  # layers drawn afresh, from the top
    pictures: dict[tuple[str, str], Picture] = field(default_factory=dict)  # by answer and method
    references: dict[tuple[str, str], Picture] = field(
        default_factory=dict
    )  # by answer and estimator: exact saliencies
    left_out: dict[str, str] = field(default_factory=dict)  # methods that cannot be had, and why
    responses: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)  # intervention: network, gradient (k,)

    @property
    def channels(self) -> tuple[str, ...]:
        """Of what the network sees: the data's, or numbers where it sees others beside them."""
        seen = self.inputs.shape[1]
        same = seen == len(self.header.channels)
        return tuple(self.header.channels) if same else tuple(f"input {i}" for i in range(seen))

    @property
    def methods(self) -> list[str]:
        """Those that there are pictures of, in the order of the config."""
        return list(dict.fromkeys(method for _, method in self.pictures))


def in_words(result: Saliency) -> str:
    """The run in one line."""
    trusted = [m for m in result.methods if not any(p.faults for (_, name), p in result.pictures.items() if name == m)]
    condemned = [name for name in result.methods if name not in trusted]
    words = f"saliency {result.name} of {result.network}: {', '.join(trusted) or 'no method'} can be trusted"
    words += f"; condemned: {', '.join(condemned)}" if condemned else ""
    return words + (f"; not to be had: {', '.join(result.left_out)}" if result.left_out else "")


def write_saliency(path: str | Path, result: Saliency, attributes: dict[str, object]) -> None:
    """Write a saliency file: groups pictures/<answer>/<method>, references/…/<estimator>, chance, classes, responses."""
    words = {f"saliency_{name}": getattr(result, name) for name in WORDS}
    words["saliency_answers"] = list(result.answers.items())  # JSON would sort a mapping
    words |= {"saliency_axis": asdict(result.axis), "saliency_header": asdict(result.header)}
    words |= {"saliency_classes": {name: one["axis"] for name, one in result.classes.items()}}
    words["saliency_summary"] = in_words(result)
    with write_hdf5(path, KIND, {**attributes, **words}, in_memory=True) as file:
        file["inputs"] = check_finite(np.asarray(result.inputs, np.float32), f"{path}: inputs")
        file["pixels_by_value"] = check_finite(np.asarray(result.pixels_by_value), f"{path}: pixels_by_value")
        every = {f"pictures/{answer}/{name}": one for (answer, name), one in result.pictures.items()}
        every |= {f"references/{answer}/{name}": one for (answer, name), one in result.references.items()}
        for place, one in every.items():
            group = file.create_group(place, track_order=True)
            group.attrs["faults"] = one.faults or [""]
            for name in ("mean", "examples"):
                group[name] = check_finite(np.asarray(getattr(one, name), np.float32), f"{path}: {group.name}/{name}")
            content = {"tables": one.tables, "numbers": one.numbers, "checks": one.tried.checks}
            _write(group, content | {name: getattr(one.tried, name) for name in CURVES})
        chance = {"deletion": result.random_deletion, "insertion": result.random_insertion}
        classes = {name: {key: one[key] for key in ("pixels", "amount")} for name, one in result.classes.items()}
        for name, content in (("chance", chance), ("classes", classes), ("responses", result.responses)):
            _write(file.require_group(name), content)


def _write(group: h5py.Group, content: Mapping) -> None:
    for name, value in content.items():
        if isinstance(value, Mapping):
            _write(group.create_group(name, track_order=True), value)
        else:
            group[name] = np.asarray(value, np.float64)


def _read(group: h5py.Group) -> dict:
    return {name: _read(item) if isinstance(item, h5py.Group) else item[...] for name, item in group.items()}


@one_line("a saliency file")
def read_saliency(path: str | Path) -> Saliency:
    """Read a saliency file; refuses files of another kind, truncated or incomplete, in one line."""
    with read_hdf5(path, KIND, ("inputs", "pixels_by_value", "chance", "classes", "responses")) as file:
        words = {name: attribute(file, f"saliency_{name}") for name in WORDS}
        words["answers"] = dict(words["answers"])
        axis, header = attribute(file, "saliency_axis"), attribute(file, "saliency_header")
        axes, pictures, references = attribute(file, "saliency_classes"), {}, {}
        chance, classes, responses = (_read(file[name]) for name in ("chance", "classes", "responses"))
        order = words["settings"]["methods"]
        for answer in words["answers"]:
            every = file.get(f"pictures/{answer}", {})
            for method in sorted(every, key=lambda name: order.index(name) if name in order else len(order)):
                pictures[answer, method] = _picture(every[method], path)
            exact = file.get(f"references/{answer}", {})
            references |= {(answer, name): _picture(group, path) for name, group in exact.items()}
        inputs, pixels_by_value = file["inputs"][...], file["pixels_by_value"][...]
    known = set(classes) == set(axes) and {"deletion", "insertion"} <= set(chance)
    if not known or any(set(one) < set(words["answers"]) for one in chance.values()):
        raise problem(path, "parts missing", "a whole saliency file", "make it again")
    return Saliency(
        **words,
        axis=axis_from(axis),
        header=header_from(header),
        inputs=inputs,
        pixels_by_value=pixels_by_value,
        random_deletion=chance["deletion"],
        random_insertion=chance["insertion"],
        classes={name: {**one, "axis": axes[name]} for name, one in classes.items()},
        pictures=pictures,
        references=references,
        responses=responses,
    )


def _picture(group: h5py.Group, path: str | Path) -> Picture:
    missing = [name for name in PICTURE if name not in group]
    if missing or "faults" not in group.attrs:
        found = f"no {', '.join(missing or ['faults'])} in '{group.name}'"
        raise problem(path, found, "a whole saliency file", "make it again")
    numbers, checks = ({name: float(item[()]) for name, item in group[key].items()} for key in ("numbers", "checks"))
    return Picture(
        mean=group["mean"][...],
        examples=group["examples"][...],
        tables=_read(group["tables"]),
        numbers=numbers,
        tried=Tried({name: checks.get(name, np.nan) for name in CHECKS}, *(group[name][...] for name in CURVES)),
        faults=[str(word) for word in group.attrs["faults"] if str(word)],
    )


def write_table(path: str | Path, result: Saliency) -> None:
    """The checks as CSV: one row per answer and method, estimators and methods that cannot be had included."""
    rows = []
    for (answer, method), one in result.pictures.items():
        rows.append(
            {
                "network": result.network,
                "answer": answer,
                "method": method,
                **one.tried.checks,
                **one.numbers,
                "verdict": "; ".join(one.faults) or "passes",
            }
        )
    rows += [
        {"network": result.network, "answer": answer, "method": f"exact: {name}", **one.numbers}
        for (answer, name), one in result.references.items()
    ]
    rows += [
        {"network": result.network, "answer": "", "method": name, "verdict": f"not to be had: {why}"}
        for name, why in result.left_out.items()
    ]
    columns = ["network", "answer", "method", *CHECKS, *NUMBERS, "verdict"]
    write_csv(path, rows, digits=6, columns=columns)
