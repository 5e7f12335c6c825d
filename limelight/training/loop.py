"""The training loop: one flat function, resumable at any step to the same bytes (on a CPU, with as many threads).

Nothing random is carried from step to step: batches, noise, augmentation, dropout and first weights are keyed by (study
seed, network, epoch, step). The position in training is thus the whole state of the random numbers, and a checkpoint
holds weights, optimizer, position, best weights and history.
"""

import contextlib
import hashlib
import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from limelight.errors import problem
from limelight.files import settings_hash
from limelight.lines.labels import EXTENSION_BINS, log10_lum_edges
from limelight.maps.grid import Grid
from limelight.maps.instrument import noise_sigma
from limelight.networks import build
from limelight.seeds import generator, torch_seed
from limelight.training.checkpoint import load_checkpoint, lock, save_checkpoint
from limelight.training.data import (
    Maps,
    Presentation,
    check_maps,
    epoch_batches,
    label_statistics,
    observe,
    on_device,
    present,
    standardisation,
    targets,
)
from limelight.training.losses import LOSSES

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


class Stopped(Exception):
    """A signal asked training to stop; a checkpoint is written. The argument is the signal's number."""


def train(
    settings: dict,
    grid: Grid,
    training_maps,
    validation_maps,
    checkpoints: str | Path,
    device: str = "cpu",
    code: str = "",
) -> tuple[dict, list[dict]]:
    """Train one network and return (content of its model file without provenance, history, a row an epoch).

    settings: limelight.config.stage_settings(study, "network", name). training_maps, validation_maps: anything with maps
    (n, x, y, f), n_above (n, bins + 1 + EXTENSION_BINS) and volume_mpc3 (n,). checkpoints: folder of this network's runs;
    a run found there with the same settings, code and data goes on where it stopped. The weights returned are those of the
    epoch with the lowest validation loss. Raises LimelightError when the loss is no longer finite, Stopped after a signal.
    """
    network, options = settings["network"], settings["network"]["training"]
    seed, name = settings["seed"], settings["network"]["name"]
    device = torch.device(device)
    torch.set_num_threads(settings["threads"])

    # Data. The recipe names all that decides the result; its hash keys the checkpoints.
    edges = log10_lum_edges(settings["labels"], EXTENSION_BINS)
    for what, found in (("training maps", training_maps), ("validation maps", validation_maps)):
        check_maps(what, found.maps, found.n_above, grid.pooled_shape, edges)
    training = training_set(training_maps, options, seed, name, device)
    validation = on_device(validation_maps.maps, validation_maps.n_above, validation_maps.volume_mpc3, device)
    how = presentation(settings, grid, edges)
    data = [fingerprint(training_maps), fingerprint(validation_maps)]
    recipe = settings_hash([settings, code, device.type, torch.__version__, *data])
    folder = Path(checkpoints) / recipe

    # Network, target scale and optimizer.
    torch.manual_seed(torch_seed(seed, f"weights of {name}"))
    module = build(network["architecture"], network["options"], grid.pooled_shape, how.bins)
    module = channels_last(module).to(device)
    mean = torch.zeros(how.bins, dtype=torch.float64, device=device)
    std = torch.ones_like(mean)
    if network["target"]["standardise"]:
        mean, std = standardisation(training, how)
    if hasattr(module, "calibrate"):
        rows = torch.arange(len(training))[:: max(1, len(training) // CALIBRATION_MAPS)]
        random = torch.Generator(device).manual_seed(torch_seed(seed, f"calibration of {name}"))
        module.calibrate(present(training, rows, how, random)[0])
    optimizer = make_optimizer(module, options)
    loss_function = LOSSES[options["loss"]]
    statistics = label_statistics(training, how)
    baseline = constant_losses(statistics["mean_target"].to(device), validation, how, loss_function, mean, std)

    def forward(inputs: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=options["precision"] == "bf16"):
            return module(inputs).float()

    with lock(folder), stop_signals() as asked:
        # Where we are: the start, or what the newest checkpoint says.
        state = {"epoch": 0, "step": 0, "sums": [0.0, 0.0, 0], "history": [], "best": {"loss": math.inf, "epoch": 0}}
        if found := load_checkpoint(folder, recipe):
            module.load_state_dict(found.pop("model"))
            optimizer.load_state_dict(found.pop("optimizer"))
            state = {key: found[key] for key in state}
            say(f"{name}: going on from epoch {state['epoch'] + 1}, step {state['step']} ({folder})")

        def save() -> None:
            weights = module.state_dict()
            if all(bool(torch.isfinite(w).all()) for w in weights.values()):
                save_checkpoint(folder, recipe, {**state, "model": weights, "optimizer": optimizer.state_dict()})

        epochs, steps = options["epochs"], options["steps_per_epoch"]
        first = epoch_batches(len(training), options["batch_size"], steps, seed, name, 0)
        per_epoch = len(first)
        refuse_lone_maps(module, min(len(rows) for rows in first), name)
        saved = time.monotonic()
        for epoch in range(state["epoch"], epochs):
            start = time.monotonic()
            batches = epoch_batches(len(training), options["batch_size"], steps, seed, name, epoch)
            loss_sum, mse_sum = (torch.tensor(x, dtype=torch.float64, device=device) for x in state["sums"][:2])
            count = state["sums"][2]
            module.train()
            for step in range(state["step"], per_epoch):
                rate = learning_rate(epoch * per_epoch + step, epochs * per_epoch, options)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                random = torch.Generator(device).manual_seed(torch_seed(seed, f"presentations of {name}", epoch, step))
                torch.manual_seed(torch_seed(seed, f"dropout of {name}", epoch, step))
                inputs, truth = present(training, torch.as_tensor(batches[step]), how, random)
                truth = ((truth - mean) / std).float()

                prediction = forward(inputs)
                loss = loss_function(prediction, truth)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                if options["clip_norm"]:
                    nn.utils.clip_grad_norm_(module.parameters(), options["clip_norm"])
                optimizer.step()

                loss_sum += len(truth) * loss.detach().double()
                mse_sum += len(truth) * ((prediction.detach() - truth) * std).square().mean()
                count += len(truth)
                last = step == per_epoch - 1
                due = bool(asked) or time.monotonic() - saved > CHECKPOINT_EVERY_S
                if last or due or device.type == "cpu" or step % CHECK_LOSS_EVERY == 0:
                    refuse_not_finite(loss_sum, name, epoch, step, folder)
                if due and not last:
                    state |= {"epoch": epoch, "step": step + 1, "sums": [loss_sum.item(), mse_sum.item(), count]}
                    save()
                    saved = time.monotonic()
                    if asked:
                        raise Stopped(asked[0])

            v_loss, v_mse = validate(forward, module, validation, how, loss_function, mean, std, settings)
            refuse_not_finite(v_loss, name, epoch, per_epoch - 1, folder)
            done = [epoch + 1, (epoch + 1) * per_epoch, rate, loss_sum.item() / count, mse_sum.item() / count]
            row = dict(zip(HISTORY_COLUMNS, [*done, v_loss, v_mse, *baseline], strict=True))
            state |= {"epoch": epoch + 1, "step": 0, "sums": [0.0, 0.0, 0], "history": [*state["history"], row]}
            if v_loss < state["best"]["loss"]:
                weights = {key: value.detach().clone() for key, value in module.state_dict().items()}
                state["best"] = {"loss": v_loss, "epoch": epoch + 1, "model": weights}
            save()
            saved = time.monotonic()
            say(
                f"{name}: epoch {epoch + 1}/{epochs}: loss {row['train_loss']:.4g}, validation {v_loss:.4g}; "
                f"mse {v_mse:.4g} (always the training mean: {baseline[1]:.4g}); {saved - start:.1f} s"
            )
            if asked and epoch + 1 < epochs:
                raise Stopped(asked[0])

    content = {
        "network": name,
        "architecture": network["architecture"],
        "options": network["options"],
        "input_shape": list(grid.pooled_shape),
        "state_dict": state["best"]["model"],
        "geometry": {**asdict(grid), "beam_fwhm_arcmin": settings["beam_fwhm_arcmin"]},
        "preprocessing": network["preprocessing"],
        "target": {**network["target"], "mean": mean, "std": std},
        "noise": settings["noise"],
        "foregrounds": settings["foregrounds"],
        "instrument": settings["instrument"],
        "log10_lum_edges": torch.as_tensor(edges[: how.bins + 1]),
        "label_statistics": statistics,
        "training": {"maps": len(training), "best_epoch": state["best"]["epoch"], **state["history"][-1]},
    }
    return content, state["history"]


def presentation(settings: dict, grid: Grid, edges: np.ndarray) -> Presentation:
    """How the network of these stage settings is shown its maps."""
    network, options = settings["network"], settings["network"]["training"]
    return Presentation(
        edges=edges,
        target=network["target"],
        grid=grid,
        noise=[noise_sigma(settings["noise"][key], settings["instrument"], grid) for key in network["noise"]],
        foregrounds=settings["foregrounds"],
        preprocessing=network["preprocessing"],
        augmentation={key: options[key] for key in ("blank_fraction", "dim_fraction", "flips", "quarter_turns")},
        beam_fwhm_arcmin=settings["beam_fwhm_arcmin"],
    )


def training_set(found, options: dict, seed: int, name: str, device: torch.device) -> Maps:
    """The maps to train on: the first max_maps of them, labels shuffled among them where the config asks for it."""
    count = min(options["max_maps"] or len(found.maps), len(found.maps))
    rows = np.arange(count)
    if options["permute_labels"]:
        rows = generator(seed, f"permuted labels of {name}").permutation(count)
    return on_device(found.maps[:count], found.n_above[rows], found.volume_mpc3[rows], device)


def make_optimizer(module: nn.Module, options: dict) -> torch.optim.Optimizer:
    """Adam, AdamW or SGD; weights decay (AdamW, SGD), biases and norms do not."""
    rate, decay = options["learning_rate"], options["weight_decay"]
    if options["optimizer"] == "adam":
        return torch.optim.Adam(module.parameters(), lr=rate)
    matrices = [p for p in module.parameters() if p.dim() > 1]
    others = [p for p in module.parameters() if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    if options["optimizer"] == "adamw":
        return torch.optim.AdamW(groups, lr=rate)
    return torch.optim.SGD(groups, lr=rate, momentum=options["momentum"])


def learning_rate(step: int, steps: int, options: dict) -> float:
    """The rate of one of `steps` steps: constant; cosine, down to zero; one_cycle, up from 1/25 over 30 %, then down."""
    peak = options["learning_rate"]
    if options["schedule"] == "constant":
        return peak
    if options["schedule"] == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * step / steps))
    top = max(1, round(0.3 * (steps - 1)))
    if step < top:
        return peak / 25 + (peak - peak / 25) * 0.5 * (1 - math.cos(math.pi * step / top))
    return peak * 0.5 * (1 + math.cos(math.pi * (step - top) / max(1, steps - top)))


@torch.no_grad()
def validate(forward, module: nn.Module, maps: Maps, how: Presentation, loss_function, mean, std, settings) -> tuple:
    """(loss, mean squared error in target units) over the validation maps, with the same noise every time."""
    seed, network = settings["seed"], settings["network"]
    module.eval()
    sums = [0.0, 0.0]
    for i, rows in enumerate(torch.arange(len(maps)).split(network["training"]["batch_size"])):
        random = torch.Generator(mean.device).manual_seed(torch_seed(seed, f"validation of {network['name']}", i))
        inputs = observe(maps.maps[rows.to(maps.maps.device)].to(mean.device), how, random)
        truth = targets(maps.n_above[rows], maps.volume_mpc3[rows], how)
        truth = ((truth - mean) / std).float()
        prediction = forward(inputs)
        sums[0] += len(rows) * loss_function(prediction, truth).item()
        sums[1] += len(rows) * ((prediction - truth) * std).square().mean().item()
    return sums[0] / len(maps), sums[1] / len(maps)


def constant_losses(constant: Tensor, maps: Maps, how: Presentation, loss_function, mean, std) -> tuple[float, float]:
    """(loss, mean squared error in target units) on validation of always answering the training mean: what to beat."""
    truth = targets(maps.n_above, maps.volume_mpc3, how)
    guess = constant.expand_as(truth)
    loss = loss_function((guess - mean) / std, (truth - mean) / std)
    return loss.item(), (guess - truth).square().mean().item()


def refuse_not_finite(loss: Tensor | float, name: str, epoch: int, step: int, folder: Path) -> None:
    if not math.isfinite(float(loss)):
        raise problem(
            f"{name}: epoch {epoch + 1}, step {step + 1}",
            f"a loss of {float(loss)}",
            "a finite loss",
            f"lower training.learning_rate or set training.clip_norm (the last good checkpoint stays in {folder})",
        )


def refuse_lone_maps(module: nn.Module, smallest: int, name: str) -> None:
    """Batch norm needs two maps to have a spread between them."""
    if smallest < 2 and any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in module.modules()):
        where = f"networks.{name}.training.batch_size"
        raise problem(where, "batches of one map", "two maps or more, for batch norm", "raise it, or give more maps")


def fingerprint(maps) -> str:
    """A hash of maps and labels: a run must not go on from a checkpoint of other data."""
    digest = hashlib.sha256()
    for array in (maps.maps, maps.n_above, maps.volume_mpc3):
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def channels_last(module: nn.Module) -> nn.Module:
    """Lay convolution weights out channels last: a third faster for the default network in float32; values stay."""
    for weight in module.parameters():
        if weight.dim() in (4, 5):
            layout = torch.channels_last if weight.dim() == 4 else torch.channels_last_3d
            weight.data = weight.data.contiguous(memory_format=layout)
    return module


@contextlib.contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Yield a list that SIGTERM, SIGUSR1 (schedulers send them before a time limit) and Ctrl-C put their number in."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked  # only the main thread may handle signals
        return
    wanted = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
    before = [signal.signal(number, lambda number, frame: asked.append(number)) for number in wanted]
    try:
        yield asked
    finally:
        for number, handler in zip(wanted, before, strict=True):
            signal.signal(number, handler)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def history_csv(history: list[dict]) -> str:
    """The history as CSV. No clock times in it: a resumed run must write the same bytes (they stand in the log)."""
    rows = [",".join(HISTORY_COLUMNS)]
    rows += [",".join(f"{row[column]:.9g}" for column in HISTORY_COLUMNS) for row in history]
    return "\n".join(rows) + "\n"
