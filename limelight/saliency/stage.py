"""What one network looks at: every method on every answer, put to the test, and told by what the pixels are."""

from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import torch
from torch import Tensor, nn

from limelight.data.answers import answer_weights, place_of
from limelight.data.axes import axis_from
from limelight.data.shard import Rows
from limelight.errors import problem
from limelight.evaluation.audit import pick
from limelight.evaluation.observe import observed
from limelight.evaluation.predict import check_test_rows, target_words
from limelight.evaluation.verdicts import config_hash
from limelight.probe import Probe
from limelight.saliency import shares
from limelight.saliency.answers import row_weights, scale_of
from limelight.saliency.checks import FRACTIONS, faults
from limelight.saliency.methods import CannotExplain, Shown
from limelight.saliency.responses import responses
from limelight.saliency.saliency_file import Picture, Saliency
from limelight.saliency.sanity import Trial, attribution
from limelight.section import plain
from limelight.study.saliency import Answer
from limelight.study.settings import SaliencySettings
from limelight.training.presentation import Presentation

EXAMPLES = 2  # rows whose pictures are kept one by one


def explain(
    module: nn.Module,
    info: dict,
    settings: SaliencySettings,
    probe: Probe,
    found: Rows,
    control: tuple[nn.Module, dict] | None = None,
    files: tuple = (),
    device: str = "cpu",
) -> Saliency:
    """Explain a network.

    Parameters
    ----------
    info
        Of load_model.
    found
        Rows of the test's shards.
    control
        The network of the same recipe trained on permuted labels, as load_model gives it.
    files
        What the probe makes its classes of pixels from (Probe.pixel_class_files); without them there are none.

    Raises LimelightError when the data are not those the network was trained for, or an answer does not fit it.
    """
    evaluation, options = settings.evaluation, settings.options
    check_test_rows(info, evaluation, found)
    presentation = probe.presentation(evaluation.trained.network, evaluation.observation, found.header)
    if control:
        control = (probe.back_to_data(control[0], presentation)[0], control[1])
    module, presentation = probe.back_to_data(module, presentation)
    rows = taken(found, pick(len(found), options.maps))
    seen, values = shown(rows, presentation, settings, device)
    shape, axis, seed = tuple(info["target"]["shape"]), axis_from(info["target"]["axis"]), evaluation.trained.seed
    answers = options.answers or {"all": Answer()}
    weights = {}
    for name, answer in answers.items():
        one = answer_weights(answer, shape, axis, f"saliency.{settings.name}.answers.{name}")
        weights[name] = row_weights(one, answer, len(rows), seed, name).to(device)
    classes = probe.pixel_classes(evaluation.dataset, rows, files)
    few = slice(0, min(options.checked_maps, len(rows)))
    of_few = {name: one[few] for name, one in weights.items()}
    places = {name: place for name, answer in answers.items() if (place := place_of(answer)) is not None}
    beside = (control[0], scale_of(control[1])) if control else None
    trial = Trial(module, scale_of(info), options, seen[few], of_few, seed, beside, places)
    result = Saliency(
        name=settings.name,
        network=info["network"],
        settings=_settings(settings, info, probe, presentation, rows),
        target=target_words(info),
        axis=axis,
        header=found.header,
        answers={name: plain(answer) for name, answer in answers.items()},
        pixels_by_value=shares.by_value(values, values)[1],
        inputs=planes(seen.inputs[:EXAMPLES].cpu().numpy(), mean=True),
        control=control[1]["network"] if control else "",
        random_deletion=trial.by_chance["deletion"],
        random_insertion=trial.by_chance["insertion"],
        classes={name: _class_words(one) for name, one in classes.items()},
    )

    def picture_of(name: str, saliency: Tensor) -> Picture:
        return _picture(saliency, answers[name], values, found.header, classes)

    for method in options.methods:
        explain_by(method, trial, seen, weights, picture_of, result)
    for name, answer in answers.items():
        some = answer_weights(answer, shape, axis, name)
        exact = probe.exact_saliency(evaluation.trained.network, evaluation.observation, found.header, values, some)
        for estimator, saliency in exact.items():
            result.references[name, estimator] = picture_of(name, torch.as_tensor(saliency))
    if settings.audit is not None:
        result.responses = responses(module, info, settings, probe, presentation, found, device)
    return result


def explain_by(
    method: str,
    trial: Trial,
    seen: Shown,
    weights: dict[str, Tensor],
    picture_of: Callable[[str, Tensor], Picture],
    result: Saliency,
) -> None:
    """Put a method to the test and keep its picture of each answer; or the reason why it cannot explain the network."""
    try:
        tried, result.stages = trial.run(method)
        maker = trial.method(method, trial.module, trial.std)
        pictures = {name: picture_of(name, maker.saliency(seen, one)) for name, one in weights.items()}
    except CannotExplain as error:
        result.left_out[method] = str(error)
        return
    for name, picture in pictures.items():
        picture.tried, picture.faults = tried[name], faults(tried[name].checks, trial.options.thresholds)
        result.pictures[name, method] = picture


def taken(found: Rows, keep: np.ndarray) -> Rows:
    """Some rows."""
    return replace(
        found,
        x=found.x[keep],
        y={name: values[keep] for name, values in found.y.items()},
        theta=found.theta[keep],
        group=found.group[keep],
        dataset=found.dataset[keep],
        rows={name: values[keep] for name, values in found.rows.items()},
        examples={},
    )


def shown(rows: Rows, presentation: Presentation, settings: SaliencySettings, device: str) -> tuple[Shown, np.ndarray]:
    """(inputs and baselines, values of the pixels (n, channels, *axes)) of rows, all with the same noise.

    The values are those recorded; of a network that sees more channels than the data have, those that it sees.
    """
    seed, stage = settings.evaluation.trained.seed, f"saliency {settings.name}"

    def seen(x: np.ndarray, how: Presentation) -> Tensor:
        return torch.cat(list(observed(x, how, seed, stage))).float()

    inputs, recorded = seen(rows.x, presentation), seen(rows.x, presentation.bare())
    if inputs.shape[2:] != recorded.shape[2:]:
        where, sides = f"saliency.{settings.name}.network", " × ".join(map(str, recorded.shape[2:]))
        found = f"a network that sees {' × '.join(map(str, inputs.shape[2:]))} numbers of data of {sides}"
        raise problem(where, found, "one that sees the data's own pixels", "explain another network")
    if settings.options.baseline == "empty":
        baselines = seen(np.zeros_like(rows.x), presentation)
    else:
        baselines = inputs.mean(dim=(0, *range(2, inputs.ndim)), keepdim=True).expand_as(inputs)
    values = recorded if recorded.shape == inputs.shape else inputs
    return Shown(inputs.to(device), baselines.contiguous().to(device)), values.numpy()


def planes(values: np.ndarray, mean: bool = False) -> np.ndarray:
    """(n, channels, *axes) with all axes after the second added up, or averaged: (n, c, x, y), or (n, c, x)."""
    further = tuple(range(4, values.ndim))
    return values if not further else values.mean(axis=further) if mean else values.sum(axis=further)


def _picture(saliency: Tensor, answer: Answer, values: np.ndarray, header, classes: dict) -> Picture:
    """What one method says of one answer."""
    found = shares.normalised(attribution(saliency))
    value_share, pixels = shares.by_value(found, values)
    size, direction = shares.by_wave(saliency.cpu().numpy(), header)
    place = place_of(answer)
    tables = {"value": value_share, "wave": size, "direction": direction}
    tables["stride"], tables["stride_error"] = shares.by_stride(found)
    numbers = {
        "mean_saliency": float(saliency.double().square().mean().sqrt()),
        "apart_from_pixels": 0.5 * float(np.abs(value_share.sum(axis=0) - pixels.mean(axis=0)).sum()),
    }
    if place is not None:
        tables["radius"], tables["within"] = shares.by_distance(found, place)
        numbers |= shares.radii(found, place)
    for name, one in classes.items():
        tables[f"class_{name}"] = shares.by_class(found, one)
    return Picture(mean=found.mean(axis=0), examples=planes(found[:EXAMPLES]), tables=tables, numbers=numbers)


def _class_words(classes: shares.PixelClasses) -> dict:
    """What files and figures say of classes of pixels: their axis, and their shares of pixels and of light, say."""
    pixels = classes.weights.mean(axis=(0, *range(2, classes.weights.ndim)), dtype=np.float64)
    return {"axis": asdict(classes.axis), "amount": classes.amount, "pixels": pixels}


def _settings(settings: SaliencySettings, info: dict, probe: Probe, presentation: Presentation, rows: Rows) -> dict:
    """What files and figures say of a run."""
    evaluation = settings.evaluation
    return {
        **plain(settings.options),
        "network_config_hash": config_hash(info),
        "probe": rows.header.probe,
        "test": {"name": evaluation.test, **probe.describe_test(evaluation, presentation)},
        "rows": len(rows),
        "checked_rows": min(settings.options.checked_maps, len(rows)),
        "fractions": list(FRACTIONS),
    }
