"""The training loop, resumable at any step to the same bytes (on a CPU, with as many threads).

Several processes (a Team) can run it in parallel, each on its part of every batch. They draw the same random numbers and
agree on when to stop. The first of them writes the files.

No random state is carried from step to step: batches, noise, augmentation, dropout and first weights are keyed by (study
seed, network, epoch, step). The position in training is therefore the whole random state. A checkpoint holds weights (and
their average), optimizer, position, best weights and history.
"""

import contextlib
import copy
import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from limelight.data.shard import Header, Rows
from limelight.files import csv_text
from limelight.probe import Probe
from limelight.section import plain
from limelight.seeds import torch_seed
from limelight.study.settings import NetworkSettings
from limelight.summaries.inputs import input_statistics, ranges
from limelight.summaries.scales import Scales
from limelight.training.checkpoint import lock, save_checkpoint
from limelight.training.checks import refuse_not_finite, refuse_small_batches
from limelight.training.distributed import Team, resume
from limelight.training.optim import follow, learning_rate
from limelight.training.presentation import (
    Presentation,
    answers,
    epoch_batches,
    present,
    training_data,
)
from limelight.training.run import Run, prepare
from limelight.training.signals import Stopped, stop_signals
from limelight.training.spread import calibrated

CHECKPOINT_EVERY_S = 300.0  # within long epochs too
INPUTS_JUDGED = 1024  # presentations at most whose plain statistics the model file holds the ranges of
EACH_JUDGED = 4  # times at most that a row is among them
CHECK_LOSS_EVERY = 10  # steps; asking a GPU for the loss makes it wait
HISTORY_COLUMNS = (
    "epoch",
    "step",
    "learning_rate",
    "train_loss",
    "train_mse",
    "validation_loss",
    "validation_mse",
    "mean_predictor_loss",
    "mean_predictor_mse",
)


def train(
    settings: NetworkSettings,
    probe: Probe,
    training_rows: Rows,
    validation_rows: Rows,
    checkpoints: str | Path,
    device: str = "cpu",
    code: str = "",
    team: Team | None = None,
    start: dict[str, Tensor] | None = None,
    watch: Callable[[dict], None] | None = None,
    fresh: Callable[[int], Rows] | None = None,
) -> tuple[dict, list[dict]]:
    """Train one network.

    Parameters
    ----------
    training_rows, validation_rows
        Rows of shards, already checked by checks.check_shards.
    checkpoints
        Folder of this network's runs. A run there with the same settings, code and data continues where it stopped.
    code
        Hash of the code (limelight.codehash).
    team
        The processes that train together (default: this one alone).
    start
        Weights of a trained network to start from, except for the last layer.
    watch
        Called with each row of the history as soon as it is there, in the first process.
    fresh
        What gives the rows that teach an epoch after the first, by its number (stages.fresh).

    Returns the content of the model file without provenance, and the history, one row per epoch. The weights are those of
    the epoch with the lowest validation loss. Raises LimelightError when the loss is no longer finite, Stopped after
    a signal.
    """
    run = prepare(
        settings, probe, training_rows, validation_rows, Path(checkpoints), device, code, team or Team(), start
    )
    with lock(run.folder) if run.team.leads else contextlib.nullcontext(), stop_signals() as asked:
        state = restored(run)
        options = run.options
        first = epoch_batches(len(run.data), options.batch_size, options.steps_per_epoch, settings.seed, run.name, 0)
        refuse_small_batches(run.module, min(len(rows) for rows in first), run.name, run.team)
        for epoch in range(state["epoch"], options.epochs):
            began = time.monotonic()
            if fresh and epoch:
                run.taught = training_data(
                    fresh(epoch), list(settings.datasets), options, settings.seed, run.name, run.device
                )
            done = train_epoch(run, state, epoch, asked)
            judge_epoch(run, state, epoch, done)
            if watch and run.team.leads:
                watch(state["history"][-1])
            words, seconds = epoch_words(run, state), time.monotonic() - began
            if run.team.leads:
                print(
                    f"{run.name}: epoch {epoch + 1}/{options.epochs}: {words}; {seconds:.1f} s",
                    file=sys.stderr,
                    flush=True,
                )
            (stop,) = run.team.agree(max(asked, default=0))
            if stop and epoch + 1 < options.epochs:
                raise Stopped(stop)
    return model_content(run, state, probe, training_rows.header), state["history"]


def restored(run: Run) -> dict:
    """The state of a run: its start, or that of the newest checkpoint, which the parts load."""
    state = {"epoch": 0, "step": 0, "sums": [0.0, 0.0, 0], "history": [], "best": {"loss": math.inf, "epoch": 0}}
    if found := resume(run.folder, run.recipe, run.team):
        for key, part in run.parts.items():
            part.load_state_dict(found.pop(key))
        state = {key: found[key] for key in state}
        if run.team.leads:
            print(
                f"{run.name}: going on from epoch {state['epoch'] + 1}, step {state['step']} ({run.folder})",
                file=sys.stderr,
                flush=True,
            )
    elif (others := len([path for path in run.folder.parent.iterdir() if path.is_dir()]) - 1) and run.team.leads:
        print(
            f"{run.name}: {others} checkpoint folder(s) of other settings, code or data stay in {run.folder.parent}",
            file=sys.stderr,
            flush=True,
        )
    return state


def save(run: Run, state: dict) -> None:
    """Write a checkpoint, unless the weights are no longer finite."""
    if run.team.leads and all(bool(torch.isfinite(w).all()) for w in run.module.state_dict().values()):
        parts = {key: part.state_dict() for key, part in run.parts.items()}
        save_checkpoint(run.folder, run.recipe, {**state, **parts})


def train_epoch(run: Run, state: dict, epoch: int, asked: list[int]) -> list:
    """Train one epoch from the state's step on; the first columns of its history row. Raises Stopped after a signal."""
    options, team, seed = run.options, run.team, run.settings.seed
    batches = epoch_batches(len(run.taught), options.batch_size, options.steps_per_epoch, seed, run.name, epoch)
    per_epoch, total = len(batches), len(batches) * options.epochs
    sums = torch.tensor(state["sums"][:2], dtype=torch.float64, device=run.device)  # of loss and squared error
    count, saved, rate = state["sums"][2], time.monotonic(), 0.0
    run.module.train()
    for step in range(state["step"], per_epoch):
        position = epoch * per_epoch + step
        rate = learning_rate(position, total, options)
        for group in run.optimizer.param_groups:
            group["lr"] = rate
        sums += train_step(run, run.presentation.at(position / total), batches[step], epoch, step, position)
        count += len(batches[step])
        last = step == per_epoch - 1
        late = time.monotonic() - saved > CHECKPOINT_EVERY_S
        stop, due = team.agree(max(asked, default=0), bool(asked) or late)
        if last or due or run.device.type == "cpu" or step % CHECK_LOSS_EVERY == 0:
            refuse_not_finite(sums[0], run.name, epoch, step, run.folder)
        if due and not last:
            state |= {"epoch": epoch, "step": step + 1, "sums": [*sums.tolist(), count]}
            save(run, state)
            saved = time.monotonic()
            if stop:
                raise Stopped(stop)
    return [epoch + 1, (epoch + 1) * per_epoch, rate, *(sums / count).tolist()]


def train_step(run: Run, presentation: Presentation, rows, epoch: int, step: int, position: int) -> Tensor:
    """One update; (summed loss, summed squared error) of the batch over all processes, (2,) float64."""
    team = run.team
    random = run.random("presentations", epoch, step)
    torch.manual_seed(torch_seed(run.settings.seed, f"dropout of {run.name}", epoch, step))
    inputs, truth = present(run.taught, torch.as_tensor(rows), presentation, random)
    batch = len(inputs)
    mine = team.part(batch)
    inputs, truth = inputs[mine], truth[mine]

    prediction = run.forward(run.trained, inputs)
    loss = run.loss(prediction, truth) if run.adversary is None else against(run, inputs, prediction, truth, position)
    if run.adversary is None or run.adversary.moves(position):
        update(run, loss, batch, position)
    error = (run.loss.targets(prediction.detach()) - truth).square().mean()
    return team.total(len(truth) * torch.stack([loss.detach().double(), error]))


def against(run: Run, inputs: Tensor, prediction: Tensor, truth: Tensor, position: int) -> Tensor:
    """The loss that the critic sets the network, after an update of the critic's own."""
    random = run.random("realisations", position)
    painted = run.adversary.realise(prediction.detach(), random)
    run.adversary.learn(inputs, painted, truth.float(), random)
    return run.adversary.loss(inputs, prediction, truth, random)


def update(run: Run, loss: Tensor, batch: int, position: int) -> None:
    """One step of the optimizer, and of the average of the weights."""
    options, team = run.options, run.team
    run.optimizer.zero_grad(set_to_none=True)
    (loss * team.weight(batch)).backward()
    for parameter in run.loss.parameters():  # those of the network are averaged by `share`
        parameter.grad = team.total(parameter.grad) / team.size
    if options.clip_norm:
        nn.utils.clip_grad_norm_(run.module.parameters(), options.clip_norm)
    run.optimizer.step()
    if options.ema_decay:
        follow(run.average, run.module, options.ema_decay, position)


def judge_epoch(run: Run, state: dict, epoch: int, done: list) -> None:
    """Validate, keep the weights if they are the best so far, and write a checkpoint; done: of train_epoch."""
    loss, mse = validate(run)
    refuse_not_finite(loss, run.name, epoch, done[1] // (epoch + 1) - 1, run.folder)
    row = dict(zip(HISTORY_COLUMNS, [*done, loss, mse, *run.baseline], strict=True))
    state |= {"epoch": epoch + 1, "step": 0, "sums": [0.0, 0.0, 0], "history": [*state["history"], row]}
    if loss < state["best"]["loss"]:
        weights = {key: value.detach().clone() for key, value in run.average.state_dict().items()}
        state["best"] = {"loss": loss, "epoch": epoch + 1, "model": weights}
    save(run, state)


def epoch_words(run: Run, state: dict) -> str:
    """The last epoch in words, for the log."""
    row = state["history"][-1]
    losses = f"loss {row['train_loss']:.4g}, validation {row['validation_loss']:.4g}"
    return f"{losses}; mse {row['validation_mse']:.4g} (always the training mean: {run.baseline[1]:.4g})"


@torch.no_grad()
def validate(run: Run) -> tuple[float, float]:
    """(loss, mean squared error of the encoded target) over the validation data, with the same noise every time.

    The processes take the batches in turns.
    """
    run.average.eval()
    sums = torch.zeros(len(validation_batches(run)), 2, dtype=torch.float64, device=run.device)
    for i in range(run.team.rank, len(sums), run.team.size):
        prediction, truth = validation_answers(run, run.average, i)
        error = (run.loss.targets(prediction) - truth).square().mean()
        sums[i] = len(truth) * torch.stack([run.loss(prediction, truth).double(), error])
    loss, error = (sum(column) / len(run.validation) for column in run.team.total(sums).T.tolist())
    return loss, error


def validation_batches(run: Run) -> tuple[Tensor, ...]:
    """The rows of each batch of the validation data."""
    return torch.arange(len(run.validation)).split(run.options.batch_size)


def validation_answers(run: Run, module: nn.Module, batch: int) -> tuple[Tensor, Tensor]:
    """(outputs, encoded truths) of one batch of the validation data."""
    x, y = run.validation.batch(validation_batches(run)[batch])
    inputs = run.presentation.observe(x, run.random("validation", batch))
    return run.forward(module, inputs), answers(y, run.presentation.target)


@torch.no_grad()
def calibrate(run: Run, weights: dict[str, Tensor], scales: Scales) -> dict:
    """`spread.calibrated` of the validation data with some weights."""
    module = copy.deepcopy(run.average)
    module.load_state_dict(weights)
    batches = range(len(validation_batches(run)))
    return calibrated((validation_answers(run, module.eval(), i) for i in batches), run.loss, scales)


def model_content(run: Run, state: dict, probe: Probe, header: Header) -> dict:
    """The content of a model file except provenance: enough to use the network without its study."""
    network = run.settings.network
    spread = (
        {"spread": calibrate(run, state["best"]["model"], probe.scales(header))} if run.loss.name == "gaussian" else {}
    )
    return {
        "network": run.name,
        "probe": header.probe,
        "architecture": network.architecture,
        "options": network.options,
        "header": asdict(header),
        "input_shape": list(probe.input_shape(network, header)),
        "entry": plain(network),
        "observation": plain(run.settings.observation),
        "target": {
            "shape": list(run.presentation.target.shape),
            "axis": asdict(run.presentation.target.axis),
            **run.loss.scale(),
        },
        "label_statistics": run.statistics,
        "input_ranges": input_ranges(run),
        **spread,
        "training": {"rows": len(run.data), "best_epoch": state["best"]["epoch"], **state["history"][-1]},
        "state_dict": state["best"]["model"],
    }


@torch.no_grad()
def input_ranges(run: Run) -> dict[str, Tensor]:
    """What plain statistics of the training data as presented range over: summaries.inputs, before preprocessing.

    Symmetries alone move the data: a blank row among them would hide what data of zeros look like.
    """
    shown = run.presentation.unaltered().bare()
    n, found = len(run.data), []
    rows = torch.linspace(0, n - 1, min(INPUTS_JUDGED, EACH_JUDGED * n)).round().long()
    for i, some in enumerate(rows.split(40)):  # one batch at a time: data may be large
        found.append(input_statistics(present(run.data, some, shown, run.random("input ranges", i))[0]))
    return ranges(found)


def history_csv(history: list[dict]) -> str:
    """The history as CSV. It has no clock times, because a resumed run must write the same bytes; the log has them."""
    return csv_text(history, 9, HISTORY_COLUMNS)
