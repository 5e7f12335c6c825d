"""Training a head on a table: batches by seed, AdamW with a falling rate, and the weights of the best validation epoch."""

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from limelight.errors import problem
from limelight.seeds import generator as numpy_generator
from limelight.seeds import torch_seed


def fit(
    module: nn.Module,
    loss: Callable[[Tensor, torch.Generator], Tensor],
    validation_loss: Callable[[], float],
    rows: int,
    options: dict,
    seed: int,
    name: str,
) -> list[dict]:
    """Train a module in place and return its history: epoch, train_loss, validation_loss.

    loss(rows (b,), random) gives the mean loss of these rows of the training table; validation_loss() that of the
    validation table, always with the same random numbers. options: epochs (at most), patience (epochs without a better
    validation loss), batch_size, learning_rate, weight_decay. Gradients are clipped to norm 1. The module ends in evaluation
    mode with the weights of its best epoch. Random numbers depend on (seed, name, epoch, step).
    """
    device = next(module.parameters()).device
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=options["learning_rate"], weight_decay=options["weight_decay"]
    )
    steps = -(-rows // options["batch_size"])
    history, best, best_weights = [], math.inf, None
    for epoch in range(options["epochs"]):
        module.train()
        order = torch.as_tensor(numpy_generator(seed, f"order of {name}", epoch).permutation(rows))
        torch.manual_seed(torch_seed(seed, f"dropout of {name}", epoch))
        total = 0.0
        for step, batch in enumerate(order.tensor_split(steps)):
            done = (epoch * steps + step) / (options["epochs"] * steps)
            for group in optimizer.param_groups:
                group["lr"] = options["learning_rate"] * 0.5 * (1 + math.cos(math.pi * done))
            random = torch.Generator(device).manual_seed(torch_seed(seed, f"batches of {name}", epoch, step))
            value = loss(batch.to(device), random)
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            total += value.item() * len(batch)
        module.eval()
        with torch.no_grad():
            found = float(validation_loss())
        if not math.isfinite(total) or not math.isfinite(found):
            fix = "lower its training.learning_rate"
            raise problem(f"{name}: epoch {epoch + 1}", f"a loss of {total:g}, {found:g}", "finite losses", fix)
        history.append({"epoch": epoch + 1, "train_loss": total / rows, "validation_loss": found})
        if found < best:
            best, best_weights, best_epoch = found, copy.deepcopy(module.state_dict()), epoch
        elif epoch - best_epoch >= options["patience"]:
            break
    module.load_state_dict(best_weights)
    module.eval()
    return history


def best_epoch(history: list[dict]) -> dict:
    """The row of a history of `fit` whose weights are kept."""
    return min(history, key=lambda row: row["validation_loss"])
