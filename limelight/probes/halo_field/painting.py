"""Halos painted by a trained network: expected counts, and whole halos drawn about them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from limelight.data.shard import Rows
from limelight.errors import problem
from limelight.probe import Probe
from limelight.probes.halo_field.config import HaloNetwork
from limelight.probes.halo_field.counts import LAWS, chance_lost, draw_counts, painted_mean
from limelight.seeds import torch_seed
from limelight.training.losses import Loss


@dataclass(frozen=True)
class Painted:
    """Halos (draws, boxes, z, y, x) of all bands together, and their expected number (boxes, z, y, x)."""

    mean: np.ndarray
    drawn: np.ndarray
    nats_lost: float | np.ndarray
    """−ln of the probability of the true counts over the number of true halos, of all boxes or each; NaN of a mean."""


@torch.no_grad()
def paint(module: nn.Module, info: dict, probe: Probe, found: Rows, draws: int, seed: int) -> Painted:
    """Paint boxes.

    Parameters
    ----------
    module, info
        Of load_model: a network trained with a loss of count fields.
    found
        Rows of shards; their true counts judge.
    draws
        Each has noise of its own, where the network sees any, and halos of its own.
    """
    entry = probe.network(info["entry"])
    law = info["target"]["outputs"]
    if law not in LAWS:
        raise problem(f"network {info['network']}", law, "counts of halos", "give a painter")
    scale = Loss(entry.training.loss, info["target"]["mean"], info["target"]["std"])
    presentation = probe.presentation(entry, {}, found.header)
    truth = torch.as_tensor(presentation.target.truth(found.y))
    sampled, means, drawn, lost = draws_halos(entry), [], [], []
    for draw in range(draws):
        random = torch.Generator().manual_seed(torch_seed(seed, f"halos of {info['network']}", draw))
        rows = [presentation.observe(torch.from_numpy(found.x[i : i + 1]), random) for i in range(len(found))]
        outputs = torch.cat([module(row) for row in rows])
        mean = painted_mean(outputs, scale)
        halos = draw_counts(law, outputs, mean, random) if sampled else mean
        chance = chance_lost(law, outputs, mean, truth)
        means.append(mean.sum(dim=1))
        drawn.append(halos.sum(dim=1))
        lost.append((chance.sum(dim=(1, 2, 3, 4)) / truth.sum(dim=(1, 2, 3, 4))).numpy())
    likely = not (entry.training.loss == "adversarial" and not entry.critic.sampled)
    return Painted(
        mean=torch.stack(means).mean(0).numpy(),
        drawn=torch.stack(drawn).numpy(),
        nats_lost=np.mean(lost, axis=0) if likely else float("nan"),
    )


def draws_halos(entry: HaloNetwork) -> bool:
    """Whether whole halos are drawn from a network's answers; otherwise the mean itself is what it paints."""
    return entry.training.loss != "adversarial" or entry.critic.sampled
