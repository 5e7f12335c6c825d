"""The training loop: one flat function, resumable at any step to the same bytes (on a CPU, with as many threads).

Several processes (a Team) run it side by side, each on its part of every batch; they draw the same random numbers, agree on
when to stop, and the first of them writes.

Nothing random is carried from step to step: batches, noise, augmentation, dropout and first weights are keyed by (study
seed, network, epoch, step). The position in training is thus the whole state of the random numbers, and a checkpoint
holds weights (and their average), optimizer, position, best weights and history.
"""

import contextlib
import copy
import functools
import math
import sys
import time
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from limelight.files import csv_text, settings_hash
from limelight.networks import build
from limelight.probes.line_intensity.labels import EXTENSION_BINS, log10_lum_edges
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.seeds import torch_seed
from limelight.training.checkpoint import adopt, fingerprint_weights, lock, save_checkpoint
from limelight.training.checks import check_maps, refuse_not_finite, refuse_small_batches
from limelight.training.data import (
    Maps,
    Presentation,
    answers,
    count_scale,
    epoch_batches,
    fingerprint,
    label_statistics,
    observe,
    on_device,
    painted_by,
    present,
    presentation,
    standardisation,
    training_set,
)
from limelight.training.distributed import Team, resume, share
from limelight.training.losses import LIKELIHOODS, Loss
from limelight.training.optim import channels_last, follow, learning_rate, make_optimizer
from limelight.training.signals import Stopped, stop_signals

CHECKPOINT_EVERY_S = 300.0  # within long epochs too
CALIBRATION_MAPS = 128  # shown, before the first step, to a network that takes a scale from its inputs
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
    settings: dict,
    grid: Grid,
    training_maps,
    validation_maps,
    checkpoints: str | Path,
    device: str = "cpu",
    code: str = "",
    team: Team | None = None,
    start: dict[str, Tensor] | None = None,
) -> tuple[dict, list[dict]]:
    """Train one network and return (content of its model file without provenance, history, a row an epoch).

    settings: stage_settings(study, "network", name). training_maps, validation_maps: anything with maps
    (n, x, y, f), n_above (n, bins + 1 + EXTENSION_BINS) and volume_mpc3 (n,). checkpoints: folder of this network's runs;
    a run found there with the same settings, code and data goes on where it stopped. The weights returned are those of the
    epoch with the lowest validation loss. team: the processes that train together (default:
    this one alone). start: weights of a trained network to begin with, all but the last layer's. Raises LimelightError when
    the loss is no longer finite, Stopped after a signal.
    """
    network, options = settings["network"], settings["network"]["training"]
    seed, name = settings["seed"], settings["network"]["name"]
    team = team or Team()
    device = torch.device(device, team.local_rank) if device == "cuda" else torch.device(device)
    torch.set_num_threads(max(1, settings["threads"] // team.size))

    # Data. The recipe names all that decides the result; its hash keys the checkpoints.
    edges = log10_lum_edges(settings["labels"], EXTENSION_BINS)
    for what, found in (("training maps", training_maps), ("validation maps", validation_maps)):
        check_maps(what, found.maps, found.n_above, grid.pooled_shape, edges)
    how = presentation(settings, grid, edges)
    training = training_set(training_maps, options, seed, name, device, how)
    judges, classes = validation_maps, painted_by(validation_maps, how)
    validation = on_device(judges.maps, judges.n_above, judges.volume_mpc3, device, classes)
    data = [fingerprint(training_maps), fingerprint(validation_maps), *([fingerprint_weights(start)] if start else [])]
    recipe = settings_hash([settings, code, device.type, torch.__version__, *data])
    folder = Path(checkpoints) / recipe

    # Network, target scale and optimizer.
    torch.manual_seed(torch_seed(seed, f"weights of {name}"))
    module = build(network["architecture"], network["options"], grid.pooled_shape, how.outputs)
    module = channels_last(module).to(device)
    loss_function = make_loss(options["loss"], network["target"]["standardise"], training, how)
    if hasattr(module, "calibrate"):
        rows = torch.arange(len(training))[:: max(1, len(training) // CALIBRATION_MAPS)]
        random = torch.Generator(device).manual_seed(torch_seed(seed, f"calibration of {name}"))
        module.calibrate(present(training, rows, how, random)[0])
    if start:
        adopt(module, start, name)
    decay = options["ema_decay"]
    average = copy.deepcopy(module) if decay else module  # whose weights validation judges and the model file gets
    trained = share(module, team)
    optimizer = make_optimizer(module, options, loss_function.parameters())
    statistics = label_statistics(training, how)
    baseline = constant_losses(statistics["mean_target"].to(device), validation, how, loss_function)

    def forward(net: nn.Module, inputs: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=options["precision"] == "bf16"):
            return net(inputs).float()

    parts = {"model": module, "loss": loss_function, "optimizer": optimizer}
    if decay:
        parts["average"] = average

    with lock(folder) if team.leads else contextlib.nullcontext(), stop_signals() as asked:
        # Where we are: the start, or what the newest checkpoint says.
        state = {"epoch": 0, "step": 0, "sums": [0.0, 0.0, 0], "history": [], "best": {"loss": math.inf, "epoch": 0}}
        if found := resume(folder, recipe, team):
            for key, part in parts.items():
                part.load_state_dict(found.pop(key))
            state = {key: found[key] for key in state}
            say(team, f"{name}: going on from epoch {state['epoch'] + 1}, step {state['step']} ({folder})")
        elif others := len([path for path in folder.parent.iterdir() if path.is_dir()]) - 1:
            say(team, f"{name}: {others} checkpoint folder(s) of other settings, code or data stay in {folder.parent}")

        def save() -> None:
            weights = module.state_dict()
            if team.leads and all(bool(torch.isfinite(w).all()) for w in weights.values()):
                save_checkpoint(folder, recipe, {**state, **{key: part.state_dict() for key, part in parts.items()}})

        epochs, steps = options["epochs"], options["steps_per_epoch"]
        first = epoch_batches(len(training), options["batch_size"], steps, seed, name, 0)
        per_epoch = len(first)
        refuse_small_batches(module, min(len(rows) for rows in first), name, team)
        saved = time.monotonic()
        for epoch in range(state["epoch"], epochs):
            start = time.monotonic()
            batches = epoch_batches(len(training), options["batch_size"], steps, seed, name, epoch)
            sums = torch.tensor(state["sums"][:2], dtype=torch.float64, device=device)  # of loss and squared error
            count = state["sums"][2]
            module.train()
            for step in range(state["step"], per_epoch):
                rate = learning_rate(epoch * per_epoch + step, epochs * per_epoch, options)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                random = torch.Generator(device).manual_seed(torch_seed(seed, f"presentations of {name}", epoch, step))
                torch.manual_seed(torch_seed(seed, f"dropout of {name}", epoch, step))
                inputs, truth = present(training, torch.as_tensor(batches[step]), how, random)
                batch = len(inputs)
                mine = team.part(batch)
                inputs, truth = inputs[mine], truth[mine]

                prediction = forward(trained, inputs)
                loss = loss_function(prediction, truth)
                optimizer.zero_grad(set_to_none=True)
                (loss * team.weight(batch)).backward()
                for parameter in loss_function.parameters():  # those of the network are averaged by `share`
                    parameter.grad = team.total(parameter.grad) / team.size
                if options["clip_norm"]:
                    nn.utils.clip_grad_norm_(module.parameters(), options["clip_norm"])
                optimizer.step()
                if decay:
                    follow(average, module, decay, epoch * per_epoch + step)

                error = (loss_function.targets(prediction.detach()) - truth).square().mean()
                sums += team.total(len(truth) * torch.stack([loss.detach().double(), error]))
                count += batch
                last = step == per_epoch - 1
                late = time.monotonic() - saved > CHECKPOINT_EVERY_S
                stop, due = team.agree(max(asked, default=0), bool(asked) or late)
                if last or due or device.type == "cpu" or step % CHECK_LOSS_EVERY == 0:
                    refuse_not_finite(sums[0], name, epoch, step, folder)
                if due and not last:
                    state |= {"epoch": epoch, "step": step + 1, "sums": [*sums.tolist(), count]}
                    save()
                    saved = time.monotonic()
                    if stop:
                        raise Stopped(stop)

            predict = functools.partial(forward, average)
            v_loss, v_mse = validate(predict, average, validation, how, loss_function, settings, team)
            refuse_not_finite(v_loss, name, epoch, per_epoch - 1, folder)
            done = [epoch + 1, (epoch + 1) * per_epoch, rate, *(sums / count).tolist()]
            row = dict(zip(HISTORY_COLUMNS, [*done, v_loss, v_mse, *baseline], strict=True))
            state |= {"epoch": epoch + 1, "step": 0, "sums": [0.0, 0.0, 0], "history": [*state["history"], row]}
            if v_loss < state["best"]["loss"]:
                weights = {key: value.detach().clone() for key, value in average.state_dict().items()}
                state["best"] = {"loss": v_loss, "epoch": epoch + 1, "model": weights}
            save()
            saved = time.monotonic()
            say(
                team,
                f"{name}: epoch {epoch + 1}/{epochs}: loss {row['train_loss']:.4g}, validation {v_loss:.4g}; "
                f"mse {v_mse:.4g} (always the training mean: {baseline[1]:.4g}); {saved - start:.1f} s",
            )
            (stop,) = team.agree(max(asked, default=0))
            if stop and epoch + 1 < epochs:
                raise Stopped(stop)

    content = {
        "network": name,
        "architecture": network["architecture"],
        "options": network["options"],
        "input_shape": list(grid.pooled_shape),
        "state_dict": state["best"]["model"],
        "geometry": {**asdict(grid), "beam_fwhm_arcmin": settings["beam_fwhm_arcmin"]},
        "preprocessing": network["preprocessing"],
        "target": {**network["target"], **loss_function.scale(), "classes": list(how.classes)},
        "noise": settings["noise"],
        "foregrounds": settings["foregrounds"],
        "instrument": settings["instrument"],
        "log10_lum_edges": torch.as_tensor(edges[: how.bins + 1]),
        "label_statistics": statistics,
        "training": {"maps": len(training), "best_epoch": state["best"]["epoch"], **state["history"][-1]},
    }
    return content, state["history"]


def make_loss(name: str, standardise: bool, training: Maps, how: Presentation) -> Loss:
    """The loss of a name, with the scale of outputs that the training maps call for."""
    if name in LIKELIHOODS:
        return Loss(name, *count_scale(training, how))
    if standardise and name != "cross_entropy":
        return Loss(name, *standardisation(training, how))
    zeros = training.volume_mpc3.new_zeros(how.outputs)
    return Loss(name, zeros, torch.ones_like(zeros))


@torch.no_grad()
def validate(
    forward, module: nn.Module, maps: Maps, how: Presentation, loss_function: Loss, settings, team: Team
) -> tuple[float, float]:
    """(loss, mean squared error in target units) over the validation maps, with the same noise every time.

    The processes take the batches in turns.
    """
    seed, network = settings["seed"], settings["network"]
    module.eval()
    batches = torch.arange(len(maps)).split(network["training"]["batch_size"])
    device = maps.volume_mpc3.device
    every = answers(maps, how)
    sums = torch.zeros(len(batches), 2, dtype=torch.float64, device=device)
    for i, rows in list(enumerate(batches))[team.rank :: team.size]:
        random = torch.Generator(device).manual_seed(torch_seed(seed, f"validation of {network['name']}", i))
        inputs = observe(maps.maps[rows.to(maps.maps.device)].to(device), how, random)
        truth = every[rows.to(device)]
        prediction = forward(inputs)
        error = (loss_function.targets(prediction) - truth).square().mean()
        sums[i] = len(rows) * torch.stack([loss_function(prediction, truth).double(), error])
    loss, error = (sum(column) / len(maps) for column in team.total(sums).T.tolist())
    return loss, error


@torch.no_grad()
def constant_losses(mean_target: Tensor, maps: Maps, how: Presentation, loss_function: Loss) -> tuple[float, float]:
    """(loss, mean squared error in target units) on validation of always answering the training mean: what to beat."""
    truth = answers(maps, how)
    loss = loss_function(loss_function.constant(mean_target).expand_as(truth), truth)
    return loss.item(), (mean_target - truth).square().mean().item()


def say(team: Team, line: str) -> None:
    """A line in the log, once for all processes."""
    if team.leads:
        print(line, file=sys.stderr, flush=True)


def history_csv(history: list[dict]) -> str:
    """The history as CSV. No clock times in it: a resumed run must write the same bytes (they stand in the log)."""
    return csv_text(history, 9, HISTORY_COLUMNS)
