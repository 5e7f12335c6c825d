"""How likely each dataset of a network is to have made the data at hand: which of several line models painted a map, say.

A small classifier on the features that the posterior stands on. By the cross-entropy it learns p(dataset | data) itself, for
datasets as frequent as they are in training; a temperature, chosen on the validation realisations, takes back what it is too
sure of (Guo et al. 2017, arXiv:1706.04599).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limelight.inference.posteriors.fit import fit
from limelight.inference.posteriors.tables import Table

HIDDEN = 64
TEMPERATURES = torch.logspace(-0.5, 0.5, 41)


class DatasetHead(nn.Module):
    """Standardised features (b, inputs) -> ln p of each dataset, (b, k)."""

    def __init__(self, inputs: int, datasets: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, datasets)
        )
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return F.log_softmax(self.layers(x) / self.temperature, dim=1)


def train_datasets(
    features: tuple[Tensor, Tensor], tables: tuple[Table, Table], numbers: tuple[Tensor, Tensor], count: int,
    options: dict, seed: int, name: str,
) -> DatasetHead:  # fmt: skip
    """The head of a posterior on a network of several datasets.

    Parameters
    ----------
    features : standardised, of training and validation
    tables : of the same rows; what is not of the prior (no light, or that of two rows) is left out
    numbers : which dataset each row of data is of
    count : of datasets
    options : of `fit`
    """
    rows = [torch.nonzero(table.of_prior).flatten() for table in tables]
    x, held_x = (one[some] for one, some in zip(features, rows, strict=True))
    y, held_y = (
        number.to(some.device)[table.row[some]] for number, table, some in zip(numbers, tables, rows, strict=True)
    )
    head = DatasetHead(x.shape[1], count).to(x.device)
    fit(
        head,
        lambda batch, _: F.nll_loss(head(x[batch]), y[batch]),
        lambda: F.nll_loss(head(held_x), held_y).item(),
        len(x),
        options,
        seed,
        f"datasets of {name}",
    )
    with torch.no_grad():
        logits = head.layers(held_x)
        losses = torch.stack([F.cross_entropy(logits / t, held_y) for t in TEMPERATURES.to(logits.device)])
        head.temperature.copy_(TEMPERATURES[losses.argmin().cpu()])
    return head
