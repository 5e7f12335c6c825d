"""A second check whether a map is like those of training: an autoencoder, and how badly it repeats the map.

It squeezes training presentations into a few numbers and makes them again from these. What it never met it cannot make: the
mean square of what is left, each voxel in units of what is left there of training presentations, is ranked among that of
the validation presentations. The first check (`misspecification`) measures distances of features and plain statistics.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limelight.errors import problem
from limelight.inference.posteriors.fit import fit
from limelight.seeds import torch_seed

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
HALVINGS = 2
AT_ONCE = 256  # maps
TRAINING = {"epochs": 20, "patience": 5, "batch_size": 32, "learning_rate": 2e-3, "weight_decay": 1e-4}


class Autoencoder(nn.Module):
    """Convolutions of stride 2 down to `code` numbers, and back by way of nearest neighbours and convolutions."""

    def __init__(self, shape: tuple[int, ...], filters: int = 8, code: int = 16):
        super().__init__()
        convolution, sides = CONVOLUTIONS[len(shape) - 1], [tuple(shape[1:])]
        widths = [shape[0], *(filters * 2**i for i in range(HALVINGS))]
        for _ in range(HALVINGS):
            sides.append(tuple(-(-n // 2) for n in sides[-1]))
        self.sides, self.start = sides, (widths[-1], *sides[-1])
        self.down = nn.ModuleList(
            convolution(before, after, 3, stride=2, padding=1)
            for before, after in zip(widths, widths[1:], strict=False)
        )
        self.squeeze = nn.Linear(math.prod(self.start), code)
        self.widen = nn.Linear(code, math.prod(self.start))
        self.up = nn.ModuleList(
            convolution(after, before, 3, padding=1) for before, after in zip(widths, widths[1:], strict=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """The map again (b, channels, *axes) of a map of the same shape."""
        for layer in self.down:
            x = F.silu(layer(x))
        x = F.silu(self.widen(self.squeeze(x.flatten(1)))).unflatten(1, self.start)
        for i in reversed(range(HALVINGS)):
            x = self.up[i](F.interpolate(x, self.sides[i]))
            x = F.silu(x) if i else x
        return x


@dataclass(frozen=True)
class Detector:
    """A trained autoencoder with what its errors are of presentations that it knows."""

    module: Autoencoder
    mean: Tensor  # of all presentations, one number
    std: Tensor
    variance: Tensor  # (channels, *axes) of what is left of training presentations
    errors: Tensor  # (n,) of the validation presentations, sorted

    @torch.no_grad()
    def error(self, x: Tensor) -> Tensor:
        """How badly maps (b, channels, *axes) are repeated, (b,): about 1 of those of training."""
        parts = [((self.left(one)) ** 2 / self.variance).flatten(1).mean(dim=1) for one in x.split(AT_ONCE)]
        return torch.cat(parts)

    def left(self, x: Tensor) -> Tensor:
        """Maps less what the autoencoder makes of them, in units of the presentations' spread."""
        x = (x - self.mean) / self.std
        return x - self.module(x)

    def p_values(self, x: Tensor) -> Tensor:
        """p (b,) of maps this badly repeated under the training prior, from 1/(n + 1)."""
        n = len(self.errors)
        return (n - torch.searchsorted(self.errors, self.error(x)) + 1) / (n + 1)


def train_detector(
    training: Tensor, validation: Tensor, seed: int, filters: int = 8, code: int = 16, **options: float
) -> Detector:
    """A detector from presentations of training and of validation realisations, (n, channels, *axes) each.

    options: of TRAINING, where they differ. Random numbers depend on the seed alone. Raises LimelightError for maps that are
    all the same.
    """
    if training.shape[1:] != validation.shape[1:] or training.ndim - 2 not in CONVOLUTIONS:
        found = f"maps of shape {tuple(training.shape[1:])} and {tuple(validation.shape[1:])}"
        raise problem("autoencoder", found, "channels and one to three axes, the same of both", "give such")
    mean, std = training.mean(), training.std()
    if not std > 0:
        raise problem("autoencoder", "training maps that are all the same", "maps that differ", "give others")
    with torch.random.fork_rng([]):
        torch.manual_seed(torch_seed(seed, "weights of the autoencoder"))
        module = Autoencoder(tuple(training.shape[1:]), filters, code)
    module = module.to(training.device)

    def loss(rows: Tensor, random: torch.Generator) -> Tensor:
        x = (training[rows] - mean) / std
        return F.mse_loss(module(x), x)

    def validation_loss() -> float:
        x = (validation - mean) / std
        errors = [(module(one) - one).square().mean() * len(one) for one in x.split(AT_ONCE)]
        return float(sum(errors)) / len(x)

    fit(module, loss, validation_loss, len(training), {**TRAINING, **options}, seed, "autoencoder")
    known = Detector(module, mean, std, torch.ones_like(training[0]), torch.empty(0))
    with torch.no_grad():
        squares = [known.left(one).square().sum(dim=0) for one in training.split(AT_ONCE)]
    variance = (sum(squares) / len(training)).clamp(min=1e-12)
    known = Detector(module, mean, std, variance, torch.empty(0))
    return Detector(module, mean, std, variance, known.error(validation).sort().values)
