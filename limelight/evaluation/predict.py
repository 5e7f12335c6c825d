"""Run a trained network on test data and on empty data, and evaluate its predictions."""

from collections.abc import Iterator
from dataclasses import asdict, replace

import numpy as np
import torch
from torch import nn

from limelight.data.shard import Header, Rows, header_from
from limelight.data.targets import FieldTarget
from limelight.errors import problem
from limelight.evaluation.estimates import Estimates, beside
from limelight.evaluation.evaluation_file import Evaluation
from limelight.evaluation.images import judge_images
from limelight.evaluation.metrics import ImageSums, Judged, judge
from limelight.evaluation.observe import noise_of_test, observed
from limelight.probe import Probe
from limelight.study.settings import EvaluationSettings
from limelight.training.losses import decoded_outputs
from limelight.training.presentation import Presentation

BLANK_DRAWS = 16  # of noise on an empty row


@torch.no_grad()
def predict_targets(module: nn.Module, info: dict, batches: Iterator[torch.Tensor], device: str) -> np.ndarray:
    """Encoded predictions, standardisation undone: float64 (n, *shape). The module is in evaluation mode.

    Raises LimelightError when one of them is not finite.
    """
    outputs = np.concatenate([module(inputs.to(device)).double().cpu().numpy() for inputs in batches])
    found = decoded_outputs(outputs, info["target"])
    if not np.isfinite(found).all():
        raise problem(f"network {info['network']}", "predictions that are not finite", "numbers", "train it again")
    return found


def average_row(y: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Truths of a row that is average in everything, to decode an answer that belongs to no row."""
    return {name: np.mean(values, axis=0, dtype=np.float64, keepdims=True) for name, values in y.items()}


def evaluate(
    module: nn.Module,
    info: dict,
    settings: EvaluationSettings,
    probe: Probe,
    found: Rows,
    history: dict[str, np.ndarray],
    device: str = "cpu",
    estimates: Estimates | None = None,
) -> Evaluation:
    """Evaluate a network on the data of one test; the result has all that figures need.

    Parameters
    ----------
    info
        Of load_model.
    found
        Rows of the test's shards.
    history
        Columns of the network's history.csv.
    estimates
        What other estimators made of the same test, to stand beside the network.

    Raises LimelightError when the data are not those the network was trained for.
    """
    seed, stage = settings.trained.seed, noise_of_test(settings.test)
    check_test_rows(info, settings, found)
    presentation = probe.presentation(settings.trained.network, settings.observation, found.header)
    statistics = {key: np.asarray(value, np.float64) for key, value in info["label_statistics"].items()}
    shown = max(map(len, found.examples.values()), default=min(4, len(found)))
    y, batches = numbered(found, list(settings.trained.network.datasets)), observed(found.x, presentation, seed, stage)
    if isinstance(presentation.target, FieldTarget):
        scales, names = probe.scales(found.header), presentation.target.names

        def more(answers: np.ndarray, rows: slice) -> dict[str, np.ndarray]:
            return probe.image_rows(names, answers, found.x[rows], found.header)

        predicted, images = judge_images(module, info, batches, y, presentation, scales, shown, more, device)
        images = replace(images, estimators=beside(estimates, images, presentation.target, settings.test))
        y = {name: values[:shown] for name, values in y.items()}
    else:
        predicted, images = predict_targets(module, info, batches, device), None
    judged = judged_rows(presentation, found.header, y, predicted, statistics["mean_target"])
    judged = replace(judged, images=images)
    per_output, totals = judge(judged, probe.metrics)
    recorded = torch.cat(list(observed(found.x[:shown], presentation.bare(), seed, stage))).numpy()
    return Evaluation(
        network=info["network"],
        test=settings.test,
        settings=_words(info, settings, probe, presentation, found, images),
        target=target_words(info),
        axis=presentation.target.axis,
        header=found.header,
        predicted_target=predicted,
        truth_target=judged.truth_target,
        predicted=judged.predicted,
        truth=judged.truth,
        rows={"group": found.group, **found.rows, "parameters": found.theta, **_numbers(found)},
        statistics=per_output,
        totals=totals,
        blank=_blank(module, info, settings, judged, device),
        training=statistics,
        history=history,
        examples=probe.pictures(found, recorded, presentation) | (estimates.pictures if estimates else {}),
        scales=images.scales.axis if images else None,
        spectra=image_spectra(images) | (estimates.of_rows() if estimates else {}) if images else {},
    )


def _words(
    info: dict, settings: EvaluationSettings, probe: Probe, presentation: Presentation, found: Rows,
    images: ImageSums | None
) -> dict:  # fmt: skip
    """What the file says of the test and of the network."""
    estimators = {name: channel for name, (channel, _) in images.estimators.items()} if images else {}
    return {
        "dataset": settings.entry.dataset,
        **probe.describe_test(settings, presentation),
        "loss": settings.trained.network.training.loss,
        "training_rows": info.get("training", {}).get("rows", 0),
        "shown": list(settings.shown),
        "parameter_names": list(found.parameter_names),
        **({"estimators": estimators} if images else {}),
    }


def _numbers(found: Rows) -> dict[str, np.ndarray]:
    """Those truths of which a row has one number."""
    return {name: values for name, values in found.y.items() if values.ndim == 1}


def image_spectra(images: ImageSums) -> dict[str, np.ndarray]:
    """The spectra of all rows as the evaluation file keeps them."""
    found = {name: getattr(images.spectra, name) for name in ("predicted", "truth", "cross")}
    for name, (_, theirs) in images.estimators.items():
        found |= {f"{name}_predicted": theirs.predicted, f"{name}_cross": theirs.cross}
    bins = images.scales.bins
    return found | {"k_mean": bins.k_mean, "modes": bins.modes} | images.more


def judged_rows(
    presentation: Presentation, header: Header, y: dict[str, np.ndarray], predicted: np.ndarray, constant: np.ndarray
) -> Judged:
    """Encoded predictions (m, *shape) with the truth and a constant answer (*shape,), for the metrics."""
    target, average = presentation.target, average_row(y)
    truth = target.truth(y)
    return Judged(
        presentation=presentation,
        header=header,
        y=y,
        predicted_target=predicted,
        truth_target=target.encode(truth, y),
        constant_target=constant,
        predicted=target.decode(predicted, y),
        truth=truth,
        constant=target.decode(constant[None], average)[0],
        average=average,
    )


def _blank(
    module: nn.Module, info: dict, settings: EvaluationSettings, judged: Judged, device: str
) -> dict[str, np.ndarray]:
    """Answers to an empty row, without noise (*shape,) and with the test's (draws, *shape)."""
    presentation, seed = judged.presentation, settings.trained.seed
    empty = np.zeros((BLANK_DRAWS, *judged.header.shape), np.float32)
    clean = predict_targets(module, info, observed(empty[:1], presentation.silent(), seed, "blank"), device)
    noisy = predict_targets(
        module, info, observed(empty, presentation, seed, f"blank map under {settings.test}"), device
    )
    return {
        "clean": presentation.target.decode(clean, judged.average)[0],
        "noisy": presentation.target.decode(noisy, judged.average),
    }


def target_words(info: dict) -> dict:
    """The config's `target` of a trained network, with the shape of its answer."""
    return {**info["entry"]["target"], "shape": info["target"]["shape"]}


def numbered(found: Rows, datasets: list[str]) -> dict[str, np.ndarray]:
    """The truths of rows, with the number of each row's dataset among the network's (−1: none of them)."""
    number = [datasets.index(name) if name in datasets else -1 for name in found.dataset.tolist()]
    return {**found.y, "dataset": np.array(number, np.int64)}


def check_test_rows(info: dict, settings: EvaluationSettings, found: Rows) -> None:
    """Refuse data that are not those of the test, or that training saw; see `evaluate`."""
    trained = header_from(info["header"])
    check_header(found.header, trained, "test data")
    groups, splits = set(found.group.tolist()), settings.splits
    if seen := sorted(groups & set(settings.trained.splits["train"])):
        fix = "test on others: a network knows the data it was trained on"
        raise problem("test data", f"realisations {seen}, which training saw", "ones it has never seen", fix)
    if strange := sorted(groups - set(splits["test"])):
        expected = f"the study's test realisations {splits['test']}"
        raise problem("test data", f"realisations {strange}", expected, "give the shards of the test split")
    datasets = sorted(set(found.dataset.tolist()))
    if datasets != [settings.entry.dataset]:
        expected = f"{settings.entry.dataset}, as tests.{settings.test} has it"
        raise problem("test data", f"dataset {', '.join(datasets)}", expected, "give its shards")


def check_header(found: Header, trained: Header, where: str) -> None:
    """Refuse data of another kind, or with truths of another meaning, than those the network was trained on."""
    check_geometry(found.geometry, trained.geometry, where)
    fix = "use data and network of the same study"
    for name in ("probe", "truths", "channels", "unit"):
        ours, theirs = getattr(trained, name), getattr(found, name)
        if theirs != ours:
            raise problem(where, f"{name} {theirs}", f"the network's {ours}", fix)
    names = [axis.name for axis in trained.axes]
    if [axis.name for axis in found.axes] != names:
        raise problem(where, f"axes {[axis.name for axis in found.axes]}", f"the network's {names}", fix)
    for ours, theirs in zip(trained.axes, found.axes, strict=True):
        check_geometry(asdict(theirs), asdict(ours), f"{where}: axis {ours.name}")


def check_geometry(found: dict, trained: dict, where: object, tolerance: float = 1e-6) -> None:
    """Refuse data whose geometry is not the one the network was trained on.

    Numbers may differ by the tolerance, relative; LimelightError names the first key that differs.
    """
    for key, expected in trained.items():
        value = found.get(key)
        same = value == expected
        if isinstance(expected, float) and isinstance(value, int | float):
            same = abs(value - expected) <= tolerance * abs(expected)
        if not same:
            fix = "give data of that geometry, or train a network on this one"
            raise problem(f"{where}: {key}", value, f"{expected}, as the network was trained", fix)
