"""The audit: does a trained network read its data, or does it repeat what it remembers? docs/audit.md explains each test.

Every test uses only the network's predictions for data that it has never seen. Each output gets a verdict. All comparisons
are made with encoded targets, such as log10(1 + N). An intervention of a probe changes its data in a way that changes the
truth by an exactly known amount; it asks the network through `Question`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from torch import nn

from limelight.data.shard import Header, Rows, header_from
from limelight.errors import problem
from limelight.evaluation.audit_outputs import VECTOR, Outputs, image_outputs, is_image, mean_squares
from limelight.evaluation.metrics import ratio
from limelight.evaluation.observe import observed
from limelight.evaluation.predict import (
    BLANK_DRAWS,
    average_row,
    check_header,
    numbered,
    predict_targets,
    target_words,
)
from limelight.evaluation.verdicts import Audit, config_hash, verdicts
from limelight.probe import Probe
from limelight.section import plain
from limelight.study.settings import AuditSettings
from limelight.training.presentation import LEVELS, Presentation


@dataclass
class Subset:
    """Some rows with their truths and the number of each row's dataset."""

    x: np.ndarray  # (m, channels, *axes)
    y: dict[str, np.ndarray]
    rows: dict[str, np.ndarray]
    dataset: np.ndarray  # (m,) number

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: np.ndarray) -> "Subset":
        def taken(group: dict) -> dict:
            return {name: values[index] for name, values in group.items()}

        return Subset(self.x[index], taken(self.y), taken(self.rows), self.dataset[index])


@dataclass
class Question:
    """What an intervention needs: a function that asks the network about changed data, and the data to change."""

    ask: Callable[[np.ndarray], np.ndarray]  # x (m, …) -> encoded predictions (m, k); row i always has the same noise
    presentation: Presentation
    rows: Subset  # all rows of the verdict
    few: Subset  # the rows that an intervention changes
    before: np.ndarray  # predictions of `few` as they are
    settings: AuditSettings
    simulation: Mapping  # of the data's header

    def truth(self, y: dict[str, np.ndarray]) -> np.ndarray:
        """The right answers, (m, k) encoded."""
        return self.presentation.target.encode(self.presentation.target.truth(y), y)


@dataclass
class Intervention:
    """A network's reaction to changed data: response (k,), where 1 is right, and further arrays for the page."""

    response: np.ndarray
    details: dict[str, np.ndarray] = field(default_factory=dict)


def pick(count: int, wanted: int) -> np.ndarray:
    """`wanted` row numbers of `count`, evenly spread so that all realisations and draws are represented; 0 means all."""
    return np.arange(count) if not 0 < wanted < count else np.linspace(0, count - 1, wanted).round().astype(int)


def audit(
    module: nn.Module,
    info: dict,
    settings: AuditSettings,
    probe: Probe,
    datasets: dict[str, Rows],
    control: tuple[nn.Module, dict] | None = None,
    device: str = "cpu",
) -> Audit:
    """Run every test on a trained network.

    Parameters
    ----------
    info
        Of load_model.
    datasets
        By name, the rows of the test shards of settings.datasets, at least those of settings.audited_on.
    control
        The network of the same recipe trained on permuted labels, as load_model gives it.
    """
    evaluation, options = settings.evaluation, settings.options
    header = next(iter(datasets.values())).header
    check_datasets(info, settings, datasets)
    presentation = probe.presentation(evaluation.trained.network, evaluation.observation, header)
    judge = image_outputs(presentation.target, probe.scales(header)) if is_image(presentation) else VECTOR
    target, seed, stage = presentation.target, evaluation.trained.seed, f"audit of {info['network']}"

    def ask(
        x: np.ndarray, shown: Presentation = presentation, net: tuple[nn.Module, dict] = (module, info)
    ) -> np.ndarray:
        return predict_targets(*net, observed(x, shown, seed, stage), device)

    parts = {name: _subset(found, i, options.maps, evaluation) for i, (name, found) in enumerate(datasets.items())}
    own = _joined([parts[name] for name in settings.audited_on])
    few = own[pick(len(own), options.response_maps)]
    question = Question(ask, presentation, own, few, ask(few.x), settings, header.simulation)
    truth, predicted = question.truth(own.y), ask(own.x)
    constant = np.asarray(info["label_statistics"]["mean_target"], np.float64)
    of_control = ask(own.x, net=control) if control else np.full(truth.shape, np.nan)
    found = {name: function(question) for name, function in probe.interventions(settings, presentation).items()}
    held = {name: function(question) for name, function in probe.invariances(settings, presentation).items()}
    blank = _blank(ask, presentation, own, predicted, info, judge)
    columns = {
        "mean_truth": judge.squares(truth) if is_image(presentation) else probe.mean_truth(target, own.y),
        **_measures(predicted, truth, constant, of_control, own.dataset, judge),
        **{f"{name}_response": intervention.response for name, intervention in found.items()},
        **{f"{name}_change": judge.squares(change) ** 0.5 for name, change in held.items()},
        "blank_share": blank.pop("share"),
    }
    return Audit(
        network=info["network"],
        settings=_words(info, settings, probe, presentation, header, len(own)),
        target=target_words(info),
        axis=judge.axis or target.axis,
        verdict=verdicts(columns, len(own), plain(options.thresholds)),
        columns=columns,
        scatter={
            "predicted": judge.values(target.decode(predicted, own.y)),
            "truth": judge.values(target.truth(own.y)),
            "dataset": own.dataset,
        },
        blank=blank,
        noise=_noise_sweep(ask, presentation, own, truth, probe.noise_levels(settings, presentation), judge),
        datasets=_each_dataset(ask, presentation, parts, constant, judge),
        interventions={name: intervention.details for name, intervention in found.items()},
        dataset_names=list(parts),
        control=control[1]["network"] if control is not None else "",
    )


def _words(
    info: dict, settings: AuditSettings, probe: Probe, presentation: Presentation, header: Header, rows: int
) -> dict:
    """What the file says of the audit: its options, the network and the test."""
    evaluation = settings.evaluation
    return {
        **plain(settings.options),
        "network_config_hash": config_hash(info),
        "probe": header.probe,
        "test": {"name": evaluation.test, **probe.describe_test(evaluation, presentation)},
        "audited_on": list(settings.audited_on),
        "test_rows": rows,
    }


def _measures(
    predicted: np.ndarray,
    truth: np.ndarray,
    constant: np.ndarray,
    of_control: np.ndarray,
    dataset: np.ndarray,
    judge: Outputs,
) -> dict[str, np.ndarray]:
    """How closely predictions (m, …) follow the truths, compared with a constant (…) and with the control; (k,) each."""
    squares, error = judge.squares, judge.squares(predicted - truth)
    return {
        "r_squared": r_squared_within(predicted, truth, dataset, squares),
        "spread_ratio": _ratio(*(judge.spread(_centred(each, dataset)) for each in (predicted, truth))),
        "gain_over_mean": _ratio(squares(constant - truth), error),
        "gain_over_control": _ratio(squares(of_control - truth), error),
    }


def check_datasets(info: dict, settings: AuditSettings, datasets: dict[str, Rows]) -> None:
    """Refuse data that are not of the network's kind, and realisations outside the test split."""
    trained = header_from(info["header"])
    for name, found in datasets.items():
        where = f"test data of {name}"
        check_header(found.header, trained, where)
        if strange := sorted(set(found.group.tolist()) - set(settings.evaluation.splits["test"])):
            fix = "give the shards of the test split"
            raise problem(where, f"realisations {strange}", "those that only test", fix)


def r_squared_within(
    predicted: np.ndarray, truth: np.ndarray, group: np.ndarray, squares: Callable = mean_squares
) -> np.ndarray:
    """1 − Σ(predicted − true)² / Σ(true − mean true of its group)², per output; NaN where truths never vary in a group.

    Groups are datasets: a network that only distinguishes them and predicts the mean of each explains nothing.
    """
    return 1 - _ratio(squares(predicted - truth), squares(_centred(truth, group)))


def response(change: np.ndarray, true_change: np.ndarray, smallest: float = 0.0) -> np.ndarray:
    """Slope of predicted against true changes (m, k) through zero, per output: 1 is right, 0 means no change.

    NaN where the truth changes by less than `smallest` (root mean square).
    """
    size = np.mean(true_change**2, axis=0)
    slope = _ratio(np.mean(change * true_change, axis=0), size)
    return np.where(np.sqrt(size) < smallest, np.nan, slope)


def _centred(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Values less the mean of their group."""
    centred = np.array(values, np.float64)
    for one in np.unique(group):
        centred[group == one] -= centred[group == one].mean(axis=0)
    return centred


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return ratio(above, np.where(np.asarray(below) > 1e-24, below, 0.0))


def _subset(found: Rows, number: int, wanted: int, evaluation) -> Subset:
    keep = pick(len(found), wanted)
    y = numbered(found, list(evaluation.trained.network.datasets))
    return Subset(found.x, y, found.rows, np.full(len(found), number))[keep]


def _joined(parts: list[Subset]) -> Subset:
    def stacked(groups: list[dict]) -> dict:
        return {name: np.concatenate([group[name] for group in groups]) for name in groups[0]}

    return Subset(
        np.concatenate([part.x for part in parts]),
        stacked([part.y for part in parts]),
        stacked([part.rows for part in parts]),
        np.concatenate([part.dataset for part in parts]),
    )


def _mse(presentation: Presentation, predicted: np.ndarray, truth: np.ndarray, y: dict) -> float:
    """Mean squared error over rows and outputs, on the scale of `comparable`."""
    pair = [presentation.target.comparable(values, y) for values in (predicted, truth)]
    return float(np.mean((pair[0] - pair[1]) ** 2))


def _noise_sweep(
    ask, presentation: Presentation, own: Subset, truth: np.ndarray, levels: list[float], judge: Outputs
) -> dict[str, np.ndarray]:
    """R² and error under noise levels that the network may never have seen."""
    found: dict[str, list] = {"level": [float(level) for level in levels], "r_squared": [], "mse": []}
    for level in levels:
        answers = ask(own.x, presentation.with_noise(level))
        found["r_squared"].append(r_squared_within(answers, truth, own.dataset, judge.squares))
        found["mse"].append(_mse(presentation, answers, truth, own.y))
    return {key: np.array(values) for key, values in found.items()}


def _each_dataset(
    ask, presentation: Presentation, parts: dict[str, Subset], constant: np.ndarray, judge: Outputs
) -> dict[str, np.ndarray]:
    """The network on the test data of every dataset of its geometry."""
    found: dict[str, list] = {"r_squared": [], "bias": [], "mse": [], "gain": []}
    for part in parts.values():
        right, said = presentation.target.encode(presentation.target.truth(part.y), part.y), ask(part.x)
        found["r_squared"].append(r_squared_within(said, right, part.dataset, judge.squares))
        bias = (said - right).mean(axis=0)
        found["bias"].append(bias if judge.axis is None else judge.values(bias[None])[0])
        found["mse"].append(_mse(presentation, said, right, part.y))
        of_mean = _mse(presentation, np.broadcast_to(constant, right.shape), right, part.y)
        found["gain"].append(of_mean / found["mse"][-1] if found["mse"][-1] > 0 else np.inf)
    return {key: np.array(values) for key, values in found.items()}


def _blank(
    ask, presentation: Presentation, own: Subset, predicted: np.ndarray, info: dict, judge: Outputs
) -> dict[str, np.ndarray]:
    """Answers to empty data, without noise (k,) and with the test's (draws, k); `share`: see COLUMNS.

    Of images the percentiles are those of the test's rows.
    """
    empty = np.zeros((BLANK_DRAWS, *own.x.shape[1:]), np.float32)
    average, target = average_row(own.y), presentation.target
    clean, noisy = ask(empty[:1], presentation.silent()), ask(empty)
    if judge.axis is not None:
        answers = {"clean": judge.values(clean)[0], "noisy": judge.values(noisy)}
        percentiles = np.percentile(judge.values(target.truth(own.y)), 100 * np.array(LEVELS), axis=0)
        share = np.sqrt(_ratio(judge.squares(clean), judge.squares(predicted)))
        return {**answers, "training_percentiles": percentiles, "share": share}
    usual = target.comparable(predicted, own.y).mean(axis=0)
    return {
        "clean": target.decode(clean, average)[0],
        "noisy": target.decode(noisy, average),
        "training_percentiles": np.asarray(info["label_statistics"]["percentiles"], np.float64),
        "share": _ratio(target.comparable(clean, average)[0], usual),
    }
