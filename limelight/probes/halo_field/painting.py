"""Halos painted by a trained network: expected counts, and whole halos drawn about them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from limelight.data.shard import Rows
from limelight.errors import problem
from limelight.probe import Probe
from limelight.probes.halo_field.config import HaloNetwork
from limelight.probes.halo_field.critic import draw_counts, painted_mean
from limelight.seeds import torch_seed
from limelight.training.losses import Loss, log_dispersion_of, negative_binomial, poisson

DISPERSED = "log10_dispersed_counts"


@dataclass(frozen=True)
class Painted:
    """Halos (draws, boxes, z, y, x) of all bands together, and their expected number (boxes, z, y, x)."""

    mean: np.ndarray
    drawn: np.ndarray
    nats_lost: (
        float  # −ln of the probability of the true counts, over the number of true halos; NaN of a mean that is painted
    )


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
    if info["target"]["outputs"] not in (DISPERSED, "log10_counts"):
        raise problem(f"network {info['network']}", info["target"]["outputs"], "counts of halos", "give a painter")
    dispersed = info["target"]["outputs"] == DISPERSED
    scale = Loss("negative_binomial_field", info["target"]["mean"], info["target"]["std"])
    presentation = probe.presentation(entry, {}, found.header)
    truth = torch.as_tensor(presentation.target.truth(found.y))
    sampled, means, drawn, lost = draws_halos(entry), [], [], []
    for draw in range(draws):
        random = torch.Generator().manual_seed(torch_seed(seed, f"halos of {info['network']}", draw))
        rows = [presentation.observe(torch.from_numpy(found.x[i : i + 1]), random) for i in range(len(found))]
        outputs = torch.cat([module(row) for row in rows])
        mean = painted_mean(outputs, scale)
        dispersion = log_dispersion_of(outputs) if dispersed else None
        halos = draw_counts(mean, dispersion.exp() if dispersed else None, random) if sampled else mean
        chance = negative_binomial(mean.log(), truth, dispersion) if dispersed else poisson(mean.log(), truth)
        means.append(mean.sum(dim=1))
        drawn.append(halos.sum(dim=1))
        lost.append(float(chance.sum() / truth.sum()))
    likely = not (entry.training.loss == "adversarial" and not entry.critic.sampled)
    return Painted(
        mean=torch.stack(means).mean(0).numpy(),
        drawn=torch.stack(drawn).numpy(),
        nats_lost=float(np.mean(lost)) if likely else float("nan"),
    )


def draws_halos(entry: HaloNetwork) -> bool:
    """Whether whole halos are drawn from a network's answers; otherwise the mean itself is what it paints."""
    return entry.training.loss != "adversarial" or entry.critic.sampled
