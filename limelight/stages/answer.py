"""A trained network or posterior on data of your own: rows of any probe, as they were recorded."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from limelight.data.axes import OutputAxis
from limelight.data.shard import header_from
from limelight.data.targets import FieldTarget
from limelight.errors import problem, reading
from limelight.evaluation.predict import predict_targets
from limelight.inference.intervals import LEVELS, quantiles_of
from limelight.inference.posteriors.draw import draw_answers, quantile_answers
from limelight.inference.posteriors.misspecification import p_values
from limelight.inference.posteriors.posterior import load_posterior, views
from limelight.inference.posteriors.tables import finished
from limelight.probe import load_probe
from limelight.summaries.inputs import compared, input_statistics
from limelight.training.checkpoint import load_model

DRAWS = 1000  # of each row's posterior
BATCH = 32
LARGEST = 4e9  # bytes of one file
ODD_SHARE = 0.1  # of rows: of sound ones far fewer lie outside the widened ranges of training
EXPECTED = "an array of rows, as numpy.save writes it (.npy)"


@dataclass(frozen=True)
class Answers:
    """What a network or a posterior says of n rows."""

    axis: OutputAxis  # what the k outputs are
    values: np.ndarray  # (n, k) answers of a network (of a classifier probabilities), medians of a posterior
    quantiles: np.ndarray | None  # (n, k, 5) of a posterior, at intervals.LEVELS
    p_values: np.ndarray | None  # (n,) of a posterior: how usual a row is among those of training
    warnings: list[str]  # what is off about the rows beside those of training


@torch.no_grad()
def answer(
    rows: np.ndarray, network: str | Path | None = None, posterior: str | Path | None = None, seed: int = 0
) -> Answers:
    """The answers of a trained network, or of a posterior, to rows of data of your own.

    Parameters
    ----------
    rows
        (n, channels, *axes), as a shard of the probe holds them (`describe model.pt` shows axes, channels and unit), but as
        they were recorded: nothing is added, and noise and foregrounds should be of the kind that the network knows.
    network, posterior
        model.pt, or posterior.pt: one of them.
    seed
        Of the posterior's draws: the same rows and seed give the same answers.

    Returns
    -------
    Answers: values (n, k), of a posterior also quantiles (n, k, 5) and p_values (n,), and warnings, one line each.

    Raises LimelightError for rows of another shape or that are not finite, and for probes that have a command of their own
    (`predict` for line maps, `predict_lensing` for images of the CMB).
    """
    if (network is None) == (posterior is None):
        raise problem("answer", "both or none of network and posterior", "one of them", "give one")
    found = load_posterior(posterior) if posterior is not None else None
    module, info = (found.trunk, found.info) if found is not None else load_model(str(network))
    header, probe = header_from(info["header"]), load_probe(info["probe"])
    known = probe.network(info["entry"])
    target = probe.target(known, header) if found is None else found.target
    if probe.answered_by or isinstance(target, FieldTarget):
        fix = f"use scripts/{probe.answered_by}" if probe.answered_by else "judge it on a test of its study"
        found_words, expected = f"one of the probe {info['probe']}", "one that answers numbers or classes of plain rows"
        raise problem(f"network {info['network']}", found_words, expected, fix)
    observation = probe.observation_from(info["observation"])
    presentation = probe.presentation(known, observation, header).as_recorded()
    x = _checked(rows, header.shape, f"network {info['network']}")
    random, shown = torch.Generator().manual_seed(seed), x.split(BATCH)
    warnings = unlike_training((presentation.bare().observe(some, random) for some in shown), info)
    warnings += probe.doubts(known, observation, header, x.numpy())
    inputs = (presentation.observe(some, random) for some in shown)
    if found is None:
        return Answers(presentation.target.axis, predict_targets(module, info, inputs, "cpu"), None, None, warnings)
    quantiles, p = [], []
    for number, some in enumerate(inputs):
        seen = views(found, some)
        p.append(p_values(found.content["check"], seen))
        if found.content["kind"] == "quantiles":
            quantiles.append(finished(quantile_answers(found, seen["features"]), found.target).double().numpy())
        else:
            draws, _ = draw_answers(found, seen["features"], DRAWS, seed, f"rows from {number * BATCH}")
            quantiles.append(quantiles_of(draws.double().numpy()))
    every = np.concatenate(quantiles)
    return Answers(found.target.axis, every[..., len(LEVELS) // 2], every, torch.cat(p).double().numpy(), warnings)


def read_rows(path: str | Path) -> np.ndarray:
    """Rows (n, channels, *axes) of a .npy file; nothing in it is executed. (A shard will not do: its rows are clean.)"""
    path = Path(path)
    if path.suffix.lower() != ".npy":
        raise problem(path, f"the ending {path.suffix or 'of none'}", EXPECTED, "convert the file")
    if not path.is_file():
        raise problem(path, "no such file", EXPECTED, "check the path")
    with reading(path, EXPECTED):
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    if found.dtype.kind not in "fiu":
        raise problem(path, f"values of kind {found.dtype}", "real numbers", "write them as numbers")
    if found.nbytes > LARGEST:
        raise problem(path, f"{found.nbytes:.3g} bytes", f"at most {LARGEST:.0g} in one file", "split it")
    return np.array(found, np.float32)


def _checked(rows: np.ndarray, shape: tuple[int, ...], where: str) -> torch.Tensor:
    """Rows as float32; refuses other shapes, and values that are not finite."""
    rows = np.asarray(rows)
    if rows.ndim != len(shape) + 1 or rows.shape[1:] != tuple(shape) or not len(rows):
        expected = f"(rows, {', '.join(map(str, shape))}), as in training"
        raise problem(
            where, f"rows of shape {rows.shape}", expected, "cut or reshape the data, or train on their shape"
        )
    if rows.dtype.kind not in "fiu":
        raise problem(where, f"values of kind {rows.dtype}", "real numbers", "write them as numbers")
    with np.errstate(over="ignore"):
        values = np.array(rows, np.float32)
    bad = ~np.isfinite(values).reshape(len(rows), -1).all(axis=1)
    if bad.any():
        expected = "numbers that float32 holds"
        raise problem(where, f"NaN or infinity in row {int(np.argmax(bad))}", expected, "leave such rows out")
    return torch.from_numpy(values)


def unlike_training(recorded, info: dict) -> list[str]:
    """A line for each plain statistic in which more than ODD_SHARE of the rows lie outside what training saw.

    recorded: batches of rows as the network sees them, before preprocessing.
    """
    if "input_ranges" not in info:
        return ["the model file holds no ranges to judge the data by; train it again with this limelight"]
    ranges = {name: np.asarray(values) for name, values in info["input_ranges"].items()}
    off: dict[str, list[tuple[bool, bool]]] = {name: [] for name in ranges}
    for batch in recorded:
        found = input_statistics(batch)
        for name in found.keys() & ranges.keys():
            beside = [compared(one, ranges[name]) for one in found[name].numpy()]
            off[name] += [(bool(one.below.any()), bool(one.above.any())) for one in beside]
    lines = []
    for name, sides in off.items():
        below, above = np.mean(sides, axis=0) if sides else (0, 0)
        for share, word in ((below, "smaller"), (above, "larger")):
            if share > ODD_SHARE:
                lines.append(
                    f"{name.replace('_', ' ')} of {100 * share:.0f} % of the rows {word} than in training: other units,"
                    " noise or calibration?"
                )
    return lines
