"""The critic of painted halos, what it is shown, and what a painter is chosen by: power and correlation, never its score."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limelight.probes.halo_field.config import Critic
from limelight.probes.halo_field.counts import draw_counts, painted_mean
from limelight.summaries.power import PowerBins
from limelight.summaries.reconstruction import spectra_of
from limelight.training.adversary import Adversary
from limelight.training.losses import OUTPUTS, Loss

LAYERS = ((7, 2), (5, 1), (3, 2), (1, 1))  # kernel and stride, as published
BETAS = (0.5, 0.999)
SCORED_SEED = 7  # of the halos drawn for validation: the same each time


class BoxCritic(nn.Module):
    """Scores (b, 1, …) of regions of painted boxes (b, c, z, y, x), beside the density (b, 1, …) where it is conditional."""

    def __init__(self, channels: int, settings: Critic):
        super().__init__()
        self.conditional = settings.conditional
        widths = (
            [channels + int(settings.conditional)] + [settings.filters * 2**i for i in range(len(LAYERS) - 1)] + [1]
        )
        self.layers = nn.ModuleList(
            nn.Conv3d(before, after, kernel, stride, padding=kernel // 2, padding_mode="circular")
            for before, after, (kernel, stride) in zip(widths[:-1], widths[1:], LAYERS, strict=True)
        )

    def forward(self, inputs: Tensor, fields: Tensor) -> Tensor:
        x = torch.log1p(fields.clamp(min=0))
        if self.conditional:
            x = torch.cat([inputs[:, :1], x], dim=1)
        for layer in self.layers[:-1]:
            x = F.leaky_relu(layer(x), 0.1)
        return self.layers[-1](x)


def painted_counts(outputs: Tensor, scale: Loss, random: torch.Generator) -> Tensor:
    """Whole halos (b, c, …) drawn from an adversarial painter's answers, with a gradient.

    The gradient takes the count for the mean times what was drawn over it.
    """
    mean = painted_mean(outputs, scale)
    drawn = draw_counts(OUTPUTS["adversarial"], outputs.detach(), mean.detach(), random)
    return drawn * (mean / mean.detach().clamp(min=1e-12))


class HeldOut(Loss):
    """What a painter is chosen by: Σ over shells of (ln P/P_true)² + 1 − r, their mean, of halos drawn of its answers."""

    def __init__(self, scale: Loss, bins: PowerBins, sampled: bool):
        super().__init__("adversarial", scale.mean, scale.std)
        self.bins, self.sampled = bins, sampled

    def forward(self, outputs: Tensor, truth: Tensor) -> Tensor:
        random = torch.Generator(outputs.device).manual_seed(SCORED_SEED)
        painted = painted_counts(outputs, self, random) if self.sampled else painted_mean(outputs, self)
        found = spectra_of(painted.detach(), truth, self.bins)
        power, true, cross = (values.sum(0) for values in (found.predicted, found.truth, found.cross))
        ratio = torch.as_tensor((power + 1e-12) / (true + 1e-12)).log()
        correlation = torch.as_tensor(cross / ((power * true) ** 0.5 + 1e-12))
        return (ratio.square() + 1 - correlation).mean()


def adversary(settings: Critic, scale: Loss, bins: PowerBins) -> Adversary:
    """The critic of a network whose outputs are on a scale."""
    critic = BoxCritic(len(scale.mean), settings)
    optimizer = torch.optim.Adam(critic.parameters(), lr=settings.learning_rate, betas=BETAS)

    def realise(outputs: Tensor, random: torch.Generator) -> Tensor:
        painted = painted_counts(outputs, scale, random) if settings.sampled else painted_mean(outputs, scale)
        return painted.float()

    return Adversary(
        critic,
        optimizer,
        settings.each,
        settings.penalty,
        realise,
        judged=HeldOut(scale, bins, settings.sampled),
        alone=settings.alone,
        likelihood=Loss("bernoulli_poisson_field", scale.mean, scale.std),
        anchor=settings.anchor,
    )
