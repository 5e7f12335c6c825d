"""Training a posterior: tables of the trunk's features, a head on them, and what its file carries beside the weights."""

import copy
import sys
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from limelight.data.shard import Header, Rows, header_from
from limelight.data.targets import Target
from limelight.errors import problem
from limelight.inference.posteriors import scaling
from limelight.inference.posteriors.complete import limits_of_rows, train_limit
from limelight.inference.posteriors.compression import train_summaries
from limelight.inference.posteriors.datasets import train_datasets
from limelight.inference.posteriors.fit import best_epoch, fit
from limelight.inference.posteriors.imnn import too_much
from limelight.inference.posteriors.mdn import LOSSES, MixtureHead, linear_start, turned
from limelight.inference.posteriors.misspecification import VIEWS, make_check
from limelight.inference.posteriors.npe import flow_loss
from limelight.inference.posteriors.posterior import ANSWER_HEAD, Chosen, Posterior, build_head
from limelight.inference.posteriors.quantiles import pinball
from limelight.inference.posteriors.recalibrate import conformal, recalibration_of_draws
from limelight.inference.posteriors.stream import Part, streamed_table
from limelight.inference.posteriors.tables import Mixed, Table, continuous, make_table, shown
from limelight.probe import Probe
from limelight.section import plain
from limelight.seeds import torch_seed
from limelight.study.settings import PosteriorSettings
from limelight.training.presentation import Data, Presentation, on_device, training_data

CHUNK = 4096  # rows of a validation loss at a time
KEPT = 20_000  # training presentations whose answers, statistics and summaries the file holds


@dataclass
class Learner:
    """One posterior in training: its data, its trunk, and the parts that its file will hold."""

    settings: PosteriorSettings
    presentation: Presentation
    target: Target  # of the posterior, which need not be the network's
    limits: np.ndarray | None  # (d, 2): of the prior of what it answers, of a mixture that ends there
    trunk: nn.Module  # of which the head sees all features, or some (posterior.Chosen)
    sets: tuple[Data, Data] | None  # training, validation; None where the tables are those of a stream
    seed: int
    scales: dict = field(default_factory=dict)
    weights: dict = field(default_factory=dict)
    history: list[dict] = field(default_factory=list)
    kept: dict = field(default_factory=dict)  # the row of it whose weights the head has

    @property
    def entry(self):
        """The posterior's section of the config."""
        return self.settings.entry

    @property
    def options(self):
        """The options of its kind."""
        return getattr(self.entry, self.entry.kind)

    @property
    def mixed(self) -> Mixed:
        """What the head is shown beside the data as drawn: by itself, or by its stream."""
        shares = self.settings.stream or self.entry
        return Mixed(shares.empty_share or 0.0, shares.superposed_share or 0.0)

    @property
    def name(self) -> str:
        return f"posterior {self.settings.name}"

    @property
    def of_parameters(self) -> bool:
        return self.entry.of == "parameters"

    @property
    def device(self) -> torch.device:
        return next(self.trunk.parameters()).device

    def random(self, stage: str) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(torch_seed(self.seed, stage))

    def tables(self) -> tuple[Table, Table]:
        """What the trunk makes of the training and the validation data."""
        stages = (f"training table of {self.name}", f"validation table of {self.name}")
        times = self.entry.presentations
        return tuple(
            make_table(self.trunk, data, self.target, self.presentation, times, self.seed, stage, self.mixed)
            for data, stage in zip(self.sets, stages, strict=True)
        )

    def features(self, table: Table, rows: Tensor | slice = slice(None)) -> Tensor:
        """Standardised features of some rows of a table."""
        return scaling.encode(self.scales["features"], table.features[rows])

    def answers(self, table: Table, rows: Tensor, random: torch.Generator) -> Tensor:
        """What the head is to answer for some rows of a table, scaled."""
        found = table.theta[rows] if self.of_parameters else continuous(table.answers[rows], self.target, random)
        return scaling.encode(self.scales["target"], found)

    def head_loss(self, head: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        if self.entry.kind == "quantiles":
            return pinball(head(x) if head.training else head.quantiles(x), y)
        if self.entry.kind != "mdn":
            return flow_loss(head, x, y)
        mixture, scale = head(x), self.scales["target"]
        # a score of each output, whatever basis is answered in
        if self.options.loss == "crps" and "components" in scale:
            turn = scaling.of_outputs(scale)
            mixture, y = turned(mixture, turn), y @ turn
        return LOSSES[self.options.loss](mixture, y)


def train_posterior(
    settings: PosteriorSettings,
    probe: Probe,
    trunk: nn.Module,
    info: dict,
    training_rows: Rows | Part,
    validation_rows: Rows | Part,
    simulations: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None = None,
) -> tuple[dict, list[dict]]:
    """Train a posterior and return (content of its file without provenance, history).

    Parameters
    ----------
    trunk, info
        Of load_model, on the device to use.
    training_rows, validation_rows
        Stored data, or, for a posterior with a stream, what its network saw of that (stream.read_stream).
    simulations
        For imnn: clean data at the prior's mean (s, …), below and above in each parameter (n, p, …), the steps (p,).
    """
    entry, rows = settings.entry, (training_rows, validation_rows)
    torch.set_num_threads(settings.network.threads)
    needs_parameters = entry.of == "parameters" or entry.kind == "imnn"
    if needs_parameters and not all(np.isfinite(r.theta).all() and r.theta.shape[1] for r in rows):
        found, expected = "data of several datasets", "one dataset with parameters that vary"
        fix = "ask for what the network answers (`of`), or take a network of one dataset"
        raise problem(f"posteriors.{settings.name}", found, expected, fix)
    learner = make_learner(settings, probe, trunk, header_from(info["header"]), rows)
    training, validation = learner.tables() if learner.sets else streamed_tables(learner, rows)
    learner.scales["features"] = scaling.standardise(training.features)
    torch.manual_seed(torch_seed(learner.seed, f"weights of {learner.name}"))
    answers_given_parameters = None
    if entry.kind == "imnn":
        head = train_summaries(learner, simulations)
        compare_information(learner, probe.most_information(settings))
    else:
        head = train_density(learner, training, validation)
        if entry.fine_tune:
            training, validation = learner.tables()  # what follows must see the trunk as it now is
        if learner.of_parameters:
            answers_given_parameters = train_answers_given_parameters(learner, training, validation)
    learner.weights["head"] = head.state_dict()
    train_beside(learner, probe, (training, validation), rows)
    content = posterior_content(learner, info, training, validation, training_rows.parameter_names * needs_parameters)
    kept = content["prior"].pop("kept")
    if entry.kind == "imnn":
        content["prior"]["summaries"] = _summaries(head, learner, training.features[kept])
    if entry.recalibrate:
        posterior = Posterior(content, learner.trunk, info, learner.target, head.eval(), answers_given_parameters)
        if entry.kind == "quantiles":
            content["recalibration"] = conformal(posterior, validation, learner.seed)
        else:
            content |= recalibration_of_draws(posterior, validation, learner.seed)
    return content, learner.history


def make_learner(
    settings: PosteriorSettings, probe: Probe, trunk: nn.Module, header: Header,
    rows: tuple[Rows | Part, Rows | Part]
) -> Learner:  # fmt: skip
    """A posterior before its training; rows: training, validation.

    That of a network on permuted labels learns from permuted labels, too, and should know no more than the prior.
    """
    entry, network = settings.entry, settings.network
    device, sets = next(trunk.parameters()).device, None
    if settings.stream is None:
        datasets = list(network.network.datasets)
        taught = training_data(rows[0], datasets, network.network.training, network.seed, network.name, device)
        sets = taught, on_device(rows[1], datasets, device)
    return Learner(
        settings=settings,
        presentation=probe.presentation(network.network, network.observation, header).unaltered(),
        target=probe.posterior_target(network.network, header),
        limits=probe.limits(header) if entry.kind == "mdn" and entry.mdn.bounded else None,
        trunk=Chosen(trunk, entry.features) if entry.features else trunk,
        sets=sets,
        seed=network.seed,
    )


def streamed_tables(learner: Learner, parts: tuple[Part, Part]) -> tuple[Table, Table]:
    """Those of the training and the validation part of a stream."""
    network, counts = learner.settings.network.name, (learner.entry.stream_rows, 0)
    training, validation = (
        streamed_table(part, network, learner.target, n, learner.device) for part, n in zip(parts, counts, strict=True)
    )
    if learner.entry.features:
        for table in (training, validation):
            table.features = learner.trunk.pick(table.features)
    return training, validation


def compare_information(learner: Learner, most: np.ndarray | None) -> None:
    """Keep which share of the most information (p, p) that data can hold the summaries have, where that is known."""
    if most is None:
        return
    share = float(np.linalg.det(learner.scales["summaries"]["fisher"].cpu().numpy()) / np.linalg.det(most))
    learner.kept["share_of_information"] = share
    if share > 1:
        print(f"limelight: warning: {learner.name}: {too_much(share, learner.options)}", file=sys.stderr)


def train_density(learner: Learner, training: Table, validation: Table) -> nn.Module:
    """A mixture, a flow or quantiles of what the posterior answers, trained on the table and, on request, with the trunk."""
    entry, name, device = learner.entry, learner.name, learner.device
    learner.scales["target"] = _target_scale(learner, training)
    first = torch.arange(2, device=device)
    outputs = len(learner.answers(training, first, learner.random(name))[0])
    head = build_head(entry.kind, plain(learner.options), training.features.shape[1], outputs).to(device)
    members = list(head.members) if entry.kind != "quantiles" and learner.options.members > 1 else [head]
    if learner.limits is not None:
        ends = torch.as_tensor(learner.limits.T, dtype=torch.float32, device=device)
        if (training.answers < ends[0]).any() or (training.answers > ends[1]).any():
            expected = f"answers within the limits of the prior, {learner.limits.tolist()}"
            fix = "leave it out, or train on one dataset"
            raise problem(f"posteriors.{learner.settings.name}.mdn.bounded", "answers beyond them", expected, fix)
        for member in members:
            member.limits.copy_(scaling.encode(learner.scales["target"], ends))
    if entry.kind == "mdn":
        both = [(table, torch.arange(len(table), device=device)) for table in (training, validation)]
        random = learner.random(f"linear start of {name}")
        x, held_x = (learner.features(table) for table, _ in both)
        y, held_y = (learner.answers(table, rows, random) for table, rows in both)
        for member in members:
            linear_start(member, x, y, held_x, held_y)
    best = [fit_member(learner, member, i, training, validation) for i, member in enumerate(members)]
    learner.kept = {key: sum(row[key] for row in best) / len(best) for key in ("train_loss", "validation_loss")}
    learner.kept["epoch"] = best[0]["epoch"] if len(best) == 1 else [row["epoch"] for row in best]
    if entry.fine_tune:
        fine_tune(learner, head)
    return head.eval()


def fit_member(learner: Learner, member: nn.Module, number: int, training: Table, validation: Table) -> dict:
    """Train one head, or one of an ensemble's, on the table, and return the row of its history whose weights it has."""
    name = learner.name + f", member {number}" * (number > 0)

    def loss(rows: Tensor, random: torch.Generator, table: Table = training) -> Tensor:
        return learner.head_loss(member, learner.features(table, rows), learner.answers(table, rows, random))

    def held_out() -> float:
        random = learner.random(f"validation of {learner.name}")
        parts = torch.arange(len(validation), device=learner.device).split(CHUNK)
        return sum(len(rows) * loss(rows, random, validation).item() for rows in parts) / len(validation)

    found = fit(member, loss, held_out, len(training), plain(learner.entry.training), learner.seed, name)
    learner.history += found
    return best_epoch(found)


def _target_scale(learner: Learner, training: Table) -> dict[str, Tensor]:
    if learner.of_parameters:
        return scaling.standardise(training.theta, any_unit=True)
    y = continuous(training.answers, learner.target, learner.random("scale of counts"))
    any_unit = not learner.target.counts
    if learner.entry.kind == "quantiles":
        return scaling.standardise(y, any_unit)
    if learner.entry.kind == "npe" and learner.options.components < y.shape[1]:
        return scaling.principal(y, learner.options.components, any_unit)
    scale = scaling.rotated if learner.limits is None else scaling.standardise  # turned, limits are no limits
    return scale(y, any_unit)


def fine_tune(learner: Learner, head: nn.Module) -> None:
    """Train trunk and head together on fresh presentations, at a tenth of the rate; the scales stay.

    Both keep the weights they began with unless some epoch has a lower validation loss.
    """
    entry, trunk, sets, seed = learner.entry, learner.trunk, learner.sets, learner.seed
    name, device = f"{learner.name}, fine tuning", learner.device

    def loss(rows: Tensor, random: torch.Generator, which: int = 0) -> Tensor:
        data = sets[which]
        inputs, answers, _ = shown(data, rows, learner.target, learner.presentation, random, learner.mixed)
        x = scaling.encode(learner.scales["features"], trunk.features(inputs).float())
        values = data.theta[rows] if learner.of_parameters else continuous(answers, learner.target, random)
        return learner.head_loss(head, x, scaling.encode(learner.scales["target"], values))

    def held_out() -> float:
        random = learner.random(f"validation of {name}")
        parts = torch.arange(len(sets[1]), device=device).repeat(2).split(40)
        return sum(len(rows) * loss(rows, random, 1).item() for rows in parts) / (2 * len(sets[1]))

    options = {
        **plain(entry.training),
        "epochs": entry.fine_tune,
        "batch_size": learner.settings.network.network.training.batch_size,
        "learning_rate": entry.training.learning_rate / 10,
    }
    both = nn.ModuleList([trunk, head]).eval()
    with torch.no_grad():
        before, kept = held_out(), copy.deepcopy(both.state_dict())
    history = fit(both, loss, held_out, len(sets[0]), options, seed, name)
    learner.history += history
    if best_epoch(history)["validation_loss"] > before:
        both.load_state_dict(kept)
    else:
        learner.kept = best_epoch(history)


def train_beside(
    learner: Learner, probe: Probe, tables: tuple[Table, Table], data: tuple[Rows | Part, Rows | Part]
) -> None:
    """Small heads on the same features: from where on answers are whole, and which of several datasets a row is of."""
    network, names = learner.settings.network, list(learner.settings.network.network.datasets)
    device, options = learner.device, plain(learner.entry.training)
    of_row = [part.dataset if isinstance(part, Rows) else np.repeat(names, len(part)) for part in data]
    features = tuple(learner.features(table) for table in tables)
    limits = [
        limits_of_rows(probe, network.datasets, own, part.theta, part.parameter_names)
        for own, part in zip(of_row, data, strict=True)
    ]
    if all(limit is not None for limit in limits):
        known = tuple(torch.as_tensor(limit, device=device) for limit in limits)
        head, learner.scales["limit"] = train_limit(
            features, tables, known, learner.target, options, learner.seed, learner.name
        )
        learner.weights["limit"] = head.state_dict()
    if len(names) > 1:
        numbers = tuple(torch.tensor([names.index(name) for name in own.tolist()], device=device) for own in of_row)
        which = train_datasets(features, tables, numbers, len(names), options, learner.seed, learner.name)
        learner.weights["datasets"] = which.state_dict()


def train_answers_given_parameters(learner: Learner, training: Table, validation: Table) -> nn.Module:
    """A mixture head for the target's answers given parameters; it takes the place of painting data for them."""
    device, name, target = training.answers.device, learner.name, learner.target
    known = continuous(training.answers, target, learner.random("scale of counts"))
    scale = scaling.rotated(known, any_unit=not target.counts)
    head = MixtureHead(training.theta.shape[1], training.answers.shape[1], **ANSWER_HEAD).to(device)

    def loss(rows: Tensor, random: torch.Generator, table: Table = training) -> Tensor:
        x = scaling.encode(learner.scales["target"], table.theta[rows])
        y = scaling.encode(scale, continuous(table.answers[rows], target, random))
        return LOSSES["log_likelihood"](head(x), y)

    def held_out() -> float:
        return loss(torch.arange(len(validation), device=device), learner.random("labels"), validation).item()

    options = plain(learner.entry.training)
    learner.history += fit(head, loss, held_out, len(training), options, learner.seed, f"labels of {name}")
    learner.scales["labels"] = scale
    learner.weights["labels"] = head.state_dict()
    return head


def posterior_content(learner: Learner, info: dict, training: Table, validation: Table, parameter_names: list) -> dict:
    """All that a posterior's file holds, but provenance: enough to use it on other data without its study."""
    random = torch.Generator().manual_seed(torch_seed(learner.seed, f"kept of {learner.name}"))
    kept = torch.randperm(len(training), generator=random)[:KEPT].sort().values.to(learner.device)
    entry = learner.entry
    return {
        "posterior": learner.settings.name,
        "kind": entry.kind,
        "of": entry.of,
        "options": plain(learner.options),
        "network": {**info, "state_dict": _whole(learner.trunk).state_dict()},
        "features": entry.features,
        "datasets": list(learner.settings.network.network.datasets),
        "parameter_names": list(parameter_names),
        "scales": learner.scales,
        "state_dict": learner.weights,
        "prior": {
            "answers": training.answers[kept],  # of each presentation: some may be of empty or superposed data
            "parameters": training.theta[kept].cpu() if parameter_names else torch.empty(0),
            "row": torch.arange(len(kept), device=learner.device),
            "statistics": training.statistics[kept],
            "kept": kept,
        },
        "check": make_check(*({view: getattr(table, view) for view in VIEWS} for table in (training, validation))),
        "recalibration": None,
        "places": None,
        "empties": None,
        "axes": False,
        "joint": None,
        "training": {
            "presentations": len(training),
            "empty_share": learner.mixed.empty,
            "superposed_share": learner.mixed.superposed,
            **learner.kept,
        },
    }


def _whole(trunk: nn.Module) -> nn.Module:
    """The trunk with all its features."""
    return trunk.trunk if isinstance(trunk, Chosen) else trunk


@torch.no_grad()
def _summaries(head: nn.Module, learner: Learner, x: Tensor) -> Tensor:
    return head(scaling.encode(learner.scales["features"], x))
