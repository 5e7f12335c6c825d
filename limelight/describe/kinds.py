"""What the chief kinds of files hold, in plain words: shards, networks, evaluations, audits, intervals, saliency, layers."""

from collections.abc import Iterator, Mapping

import h5py
import numpy as np

from limelight.data.axes import OutputAxis, axis_from
from limelight.data.shard import Header, header_from, read_header
from limelight.evaluation.verdicts import VERDICTS
from limelight.files import attribute

BLOCK = 64  # rows of a shard that are read at a time to find their range
SHARD_ATTRIBUTES = ("probe", "axes", "channels", "unit", "geometry", "truths", "simulation", "dataset")


def shard_words(file: h5py.File) -> Iterator[str]:
    """Of an open shard."""
    header, x = read_header(file), file["x"]
    groups = np.unique(file["group"][...])
    dataset = attribute(file, "dataset")
    yield f"{len(x)} rows of dataset {dataset}, {listed('realisation', groups)}, made by the probe {header.probe}"
    yield from header_words(header)
    ends = [(block.min(), block.max()) for block in (x[i : i + BLOCK] for i in range(0, len(x), BLOCK))]
    yield f"values: {between(np.array(ends))}"
    truths = [f"{name} ({per_row(values)})" for name, values in file["y"].items()]
    yield f"truths: {', '.join(truths)}; what they mean: {short(header.truths)}"
    names, theta = attribute(file, "parameter_names"), file["theta"][...]
    ranges = [f"{name} {between(column)}" for name, column in zip(names, theta.T, strict=True)]
    yield f"parameters: {', '.join(ranges) or 'none'}"
    if header.simulation:
        yield f"simulation: {short(header.simulation)}"
    if len(file["rows"]):
        yield f"known of each row as well: {', '.join(file['rows'])}"
    for name, pictures in file.get("examples", {}).items():
        yield f"pictures: {name} of the first {len(pictures)} rows"


def network_words(content: Mapping) -> Iterator[str]:
    """Of a model.pt."""
    entry, training = content["entry"], content.get("training", {})
    yield f"network {content['network']}: {content['architecture']}, options {short(content['options'])}"
    yield from header_words(header_from(content["header"]))
    yield f"observed as in training: {short(content['observation'])}"
    target = content["target"]
    yield f"answers: {axis_words(axis_from(target['axis']), target['shape'])}; target {short(entry['target'])}"
    yield f"training: {short(training)}"
    yield f"recipe: {short(entry['training'])}"


def evaluation_words(file: h5py.File) -> Iterator[str]:
    """Of an open evaluation file."""
    settings, target = attribute(file, "evaluation_settings"), attribute(file, "evaluation_target")
    groups = np.unique(file["rows/group"][...])
    network, test = attribute(file, "evaluation_network"), attribute(file, "evaluation_test")
    rows = f"{len(file['rows/group'])} rows of dataset {settings['dataset']}, {listed('realisation', groups)}"
    yield f"network {network} on test {test}: {rows}"
    yield from header_words(header_from(attribute(file, "evaluation_header")))
    yield f"answers: {axis_words(axis_from(attribute(file, 'evaluation_axis')), target['shape'])}; target {short(target)}"
    if scales := attribute(file, "evaluation_scales"):
        yield f"judged by channel and {axis_words(axis_from(scales), [])}; {len(file['truth'])} images kept"
    yield f"over all outputs: {short(attribute(file, 'evaluation_totals'))}"
    yield f"the test and the training: {short(settings)}"


def estimates_words(file: h5py.File) -> Iterator[str]:
    """Of an open estimates file."""
    group, truths = file["group"][...], attribute(file, "estimates_truths")
    rows = f"{len(group)} rows, {listed('realisation', np.unique(group))}"
    yield f"estimators on test {attribute(file, 'estimates_test')}: {rows}"
    yield f"what they estimate: {short(truths)}"
    yield f"judged by {axis_words(axis_from(attribute(file, 'estimates_scales')), [])}"


def audit_words(file: h5py.File) -> Iterator[str]:
    """Of an open audit file."""
    settings, target = attribute(file, "audit_settings"), attribute(file, "audit_target")
    rows = f"{settings['test_rows']} rows of {', '.join(settings['audited_on'])}"
    yield f"network {attribute(file, 'audit_network')}: {rows}, observed as in test {settings['test']['name']}"
    yield f"answers: {axis_words(axis_from(attribute(file, 'audit_axis')), target['shape'])}; target {short(target)}"
    verdict = file["verdict"][...]
    yield "verdicts: " + ", ".join(f"{np.sum(verdict == i)} {name}" for i, name in enumerate(VERDICTS))
    yield f"changes of the data: {', '.join(file['interventions']) or 'none'}"
    yield f"levels of noise: {', '.join(f'{level:g}' for level in file['noise/level'][...]) or 'none'}"
    yield f"asked on datasets: {', '.join(attribute(file, 'audit_dataset_names'))}"
    yield f"control on permuted labels: {attribute(file, 'audit_control') or 'none'}"


def intervals_words(file: h5py.File) -> Iterator[str]:
    """Of an open intervals file."""
    groups = np.unique(file["rows/group"][...])
    rows = f"{len(file['truth'])} rows of {listed('realisation', groups)}"
    yield f"{attribute(file, 'method')} on test {attribute(file, 'test')}: {rows}"
    kind = "counts" if attribute(file, "counts") else "no counts"
    yield f"answers: {axis_words(axis_from(attribute(file, 'axis')), file['truth'].shape[1:])}; {kind}"
    yield f"quantiles: at {', '.join(f'{level:g}' for level in file['quantiles'].attrs['levels'])}"
    for name, words in (("samples", "answers"), ("parameter_samples", "parameters")):
        yield f"draws of the {words}: {file[name].shape[1] if name in file else 'none'} per row"
    names = attribute(file, "parameter_names") if "parameter_names" in file.attrs else []
    yield f"parameters: {', '.join(names) or 'none'}"
    yield f"the test and the method: {short(attribute(file, 'intervals_settings'))}"


def stream_words(file: h5py.File) -> Iterator[str]:
    """Of an open file of a stream."""
    rows = f"{len(file['theta'])} simulations of realisation {attribute(file, 'realisation')}"
    yield f"file {attribute(file, 'part')}: {rows}"
    yield f"parameters: {', '.join(attribute(file, 'parameter_names')) or 'none'}"
    for name in attribute(file, "weights"):
        yield f"seen by network {name}: {file['features'][name].shape[1]} features"


def layers_words(file: h5py.File) -> Iterator[str]:
    """Of an open layers file."""
    row = ", ".join(f"{key} {value}" for key, value in attribute(file, "layers_row").items())
    yield f"network {attribute(file, 'layers_network')} on test {attribute(file, 'layers_test')}, row: {row}"
    yield from header_words(header_from(attribute(file, "layers_header")))
    yield f"{len(file['layers'])} layers, filters of {len(file['filters'])} convolutions"


def saliency_words(file: h5py.File) -> Iterator[str]:
    """Of an open saliency file."""
    settings, axis = attribute(file, "saliency_settings"), axis_from(attribute(file, "saliency_axis"))
    test, name = settings["test"]["name"], attribute(file, "saliency_name")
    yield f"run {name} of network {attribute(file, 'saliency_network')}: {settings['rows']} rows of test {test}"
    yield from header_words(header_from(attribute(file, "saliency_header")))
    yield f"answers: {axis_words(axis, attribute(file, 'saliency_target')['shape'])}"
    for answer, said in attribute(file, "saliency_answers"):
        every = file.get(f"pictures/{answer}", {})
        yield f"explained: {answer} ({short(said)}) by {', '.join(every) or 'no method'}"
    yield f"not to be had: {short(attribute(file, 'saliency_left_out'))}"
    yield f"classes of pixels: {', '.join(attribute(file, 'saliency_classes')) or 'none'}"
    yield f"changes of the data: {', '.join(file['responses']) or 'none'}"
    yield f"control on permuted labels: {attribute(file, 'saliency_control') or 'none'}"


# By kind: its words, and the attributes that these say
HDF5_KINDS = {
    "shard": (shard_words, (*SHARD_ATTRIBUTES, "parameter_names")),
    "evaluation": (
        evaluation_words,
        tuple(
            f"evaluation_{key}"
            for key in ("network", "test", "settings", "target", "totals", "axis", "scales", "header")
        ),
    ),
    "estimates": (estimates_words, tuple(f"estimates_{key}" for key in ("test", "scales", "truths"))),
    "audit": (
        audit_words,
        tuple(f"audit_{key}" for key in ("network", "target", "dataset_names", "control", "axis", "verdicts")),
    ),
    "intervals": (
        intervals_words,
        ("method", "test", "axis", "counts", "parameter_names", "intervals_settings"),
    ),
    "stream": (stream_words, ("realisation", "part", "parameter_names", "weights")),
    "saliency": (
        saliency_words,
        tuple(
            f"saliency_{key}"
            for key in (
                *("name", "network", "settings", "target", "answers", "control", "left_out", "stages"),
                *("axis", "header", "classes"),
            )
        ),
    ),
    "layers": (layers_words, tuple(f"layers_{key}" for key in ("network", "test", "row", "header"))),
}
NETWORK_KEYS = ("network", "probe", "architecture", "options", "header", "entry", "observation", "target", "training")


def header_words(header: Header) -> Iterator[str]:
    """What the data are that a header is of."""
    channels = f"{len(header.channels)} channel{'s' * (len(header.channels) > 1)} ({', '.join(header.channels)})"
    yield f"data: {channels} of {shape(header.shape[1:])}, in {header.unit or 'no unit'}; probe {header.probe}"
    axes = [f"{a.name} in {a.n} steps from {a.low:g} to {a.high:g} {a.unit}".rstrip() for a in header.axes]
    yield f"axes: {'; '.join(axes)}"
    yield f"geometry, which networks are bound to: {short(header.geometry)}"


def axis_words(axis: OutputAxis, outputs: tuple[int, ...] | list[int]) -> str:
    """What the outputs of a network are."""
    if axis.edges:
        power = "10^" if axis.log10 else ""
        ends = f"{power}{axis.edges[0]:g} to {power}{axis.edges[-1]:g} {axis.unit}".rstrip()
        return f"{axis.label} in {len(axis.edges) - 1} bins from {ends}"
    names = f": {', '.join(axis.names or axis.channels)}" if axis.names or axis.channels else ""
    return f"{axis.label}, {shape(tuple(outputs))}{names}"


def listed(word: str, numbers: np.ndarray) -> str:
    """A word and the numbers that it stands for."""
    return f"{word}{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers.tolist()))}"


def per_row(values: h5py.Dataset) -> str:
    """How many numbers each row has."""
    return f"{shape(values.shape[1:])} per row"


def between(values: np.ndarray) -> str:
    """The range of numbers, of which some may be missing."""
    known = values[np.isfinite(values)]
    return f"from {known.min():.4g} to {known.max():.4g}" if len(known) else "unknown"


def short(value: object, width: int = 400) -> str:
    """A value on one line: arrays by their shape, long texts cut."""
    if getattr(value, "ndim", 0):
        return f"{shape(tuple(value.shape))} {str(value.dtype).removeprefix('torch.')}"
    if isinstance(value, float):
        text = f"{value:.10g}"
    elif isinstance(value, dict):
        text = ", ".join(
            f"{key} {{{short(item)}}}" if isinstance(item, dict) else f"{key} {short(item)}"
            for key, item in value.items()
        )
        text = text or "none"
    elif isinstance(value, list | tuple):
        text = "[" + ", ".join(short(item) for item in value[:20]) + (", …]" if len(value) > 20 else "]")
    else:
        text = str(value)
    return text if len(text) <= width else f"{text[:width]} …"


def shape(sides: tuple[int, ...]) -> str:
    """A shape in words."""
    return " × ".join(str(n) for n in sides) or "one"
