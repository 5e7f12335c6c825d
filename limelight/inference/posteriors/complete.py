"""From where on a posterior's answers are whole: what its training data lack is not known, and is to be marked as such.

Counts of sources above a luminosity are those of a catalogue of halos, which ends at a least mass. The sources of lighter
halos are missing, below a luminosity that depends on the line model's parameters: known of each row of training data
(`Probe.complete_from`), but not of a user's map. So a small head learns its quantiles from the same features as the answers.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from limelight.data.targets import Target
from limelight.inference.posteriors import scaling
from limelight.inference.posteriors.fit import fit
from limelight.inference.posteriors.quantiles import QuantileHead, pinball, quantile_ranks
from limelight.inference.posteriors.tables import Table
from limelight.inference.recalibration import stretched_quantiles, stretches
from limelight.probe import Probe

HEAD = {"members": 1, "hidden": 64, "layers": 2, "dropout": 0.0}


def limits_of_rows(
    probe: Probe, datasets: Mapping[str, object], of_row: np.ndarray, theta: np.ndarray, names: list[str]
) -> np.ndarray | None:
    """Where each row's truths begin to be whole (n,): of_row (n,) names of datasets, whose settings are given.

    None where the probe does not say so of all of them.
    """
    found = np.empty(len(of_row))
    for name, settings in datasets.items():
        mine = of_row == name
        limits = probe.complete_from(settings, theta[mine], names)
        if limits is None:
            return None
        found[mine] = limits
    return found if datasets else None


def train_limit(
    features: tuple[Tensor, Tensor], tables: tuple[Table, Table], limits: tuple[Tensor, Tensor], target: Target,
    options: dict, seed: int, name: str,
) -> tuple[QuantileHead, dict[str, Tensor]]:  # fmt: skip
    """A head for the quantiles of the limit, and its scale.

    Parameters
    ----------
    features : standardised, of training and validation
    tables : of the same rows; what is not of the prior is left out
    limits : of each row of data, in the unit of the target's axis
    options : of `fit`

    Its intervals are stretched until they hold the validation rows' limits as promised.
    """
    edges = np.asarray(target.axis.edges)
    least = float(2 * edges[0] - edges[1])  # a bin below the first: there, all bins are whole
    rows = [torch.nonzero(table.of_prior).flatten() for table in tables]
    x, held_x = (one[some] for one, some in zip(features, rows, strict=True))
    y, held_y = (
        limit[table.row[some].to(limit.device)].clamp(least, float(edges[-1])).float().to(x.device)[:, None]
        for limit, table, some in zip(limits, tables, rows, strict=True)
    )
    scale = scaling.standardise(y)
    y, held_y = (scaling.encode(scale, one) for one in (y, held_y))
    head = QuantileHead(x.shape[1], 1, **HEAD).to(x.device)
    fit(
        head,
        lambda batch, _: pinball(head(x[batch]), y[batch]),
        lambda: pinball(head.quantiles(held_x), held_y).item(),
        len(x),
        options,
        seed,
        f"limit of {name}",
    )
    with torch.no_grad():
        scale["stretch"] = stretches(head.quantiles(held_x), held_y)
    return head, scale


@torch.no_grad()
def complete(head: nn.Module, scale: dict[str, Tensor], features: Tensor, edges: np.ndarray) -> np.ndarray:
    """The chance that each bin between edges (d + 1,) is whole, (b, d), from standardised features (b, F)."""
    found = head.quantiles(features)
    found = stretched_quantiles(found, scale["stretch"]) * scale["std"] + scale["mean"]
    each = found.expand(-1, len(edges) - 1, -1).double().cpu().numpy()
    return quantile_ranks(each, np.broadcast_to(np.asarray(edges)[:-1], each.shape[:2]))
