"""A critic that trains beside a network, in alternating updates: the Wasserstein loss with a gradient penalty.

The critic scores fields beside the inputs that they belong to. It learns to score true fields above painted ones, with
gradients of norm one between the two (Gulrajani et al. 2017, arXiv:1704.00028). The network learns to raise the scores of
what is painted from its outputs. Validation asks no critic: `judged` is a loss that compares with the truth.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from limelight.training.losses import Loss


@dataclass
class Adversary:
    """The critic of one training; its weights and its optimizer belong to the checkpoints."""

    critic: nn.Module  # (inputs, fields (b, c, *axes)) -> scores (b, …), of one region each
    optimizer: torch.optim.Optimizer
    each: int  # updates of the critic for one of the network
    penalty: float
    realise: Callable[[Tensor, torch.Generator], Tensor]  # outputs -> painted fields, differentiable
    judged: Loss  # what validation chooses by
    alone: int = 0  # steps at the start in which the critic alone learns
    likelihood: Loss | None = None  # of the outputs, beside the critic's judgement
    anchor: float = 0.0  # its weight

    def learn(self, inputs: Tensor, painted: Tensor, true: Tensor, random: torch.Generator) -> Tensor:
        """One update of the critic; by how much it scores the true fields above the painted ones, a scalar."""
        distance = self.critic(inputs, true).mean() - self.critic(inputs, painted).mean()
        share = torch.rand((len(true), *[1] * (true.dim() - 1)), generator=random, device=true.device)
        between = (share * true + (1 - share) * painted).requires_grad_(True)
        (slope,) = torch.autograd.grad(
            self.critic(inputs, between).flatten(1).mean(1).sum(), between, create_graph=True
        )
        # A critic that scores regions: its mean over m of them has a gradient √m times smaller than each has.
        norm = slope.flatten(1).norm(dim=1) * self.regions(inputs, true) ** 0.5
        self.optimizer.zero_grad(set_to_none=True)
        (self.penalty * (norm - 1).square().mean() - distance).backward()
        self.optimizer.step()
        return distance.detach()

    @torch.no_grad()
    def regions(self, inputs: Tensor, fields: Tensor) -> int:
        """How many regions of one row the critic scores."""
        if not hasattr(self, "_regions"):
            self._regions = self.critic(inputs[:1], fields[:1]).numel()
        return self._regions

    def moves(self, position: int) -> bool:
        """Whether the network learns at a step of the training, too."""
        return position >= self.alone and (position + 1) % self.each == 0

    def loss(self, inputs: Tensor, outputs: Tensor, true: Tensor, random: torch.Generator) -> Tensor:
        """Of the network's outputs: minus the mean score of what is painted from them, and how unlikely the truth is."""
        judged = -self.critic(inputs, self.realise(outputs, random)).mean()
        return judged + self.anchor * self.likelihood(outputs, true) if self.anchor else judged
