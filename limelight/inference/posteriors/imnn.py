"""Information maximising neural networks (Charnock, Lavaux & Wandelt 2018, arXiv:1802.03537).

A network f compresses data into as many summaries as there are parameters, trained so that their Fisher information at one
fiducial point is as large as it can be: F = (∂μ/∂θ)ᵀ C⁻¹ (∂μ/∂θ), with μ and C the mean and covariance of the summaries.
Derivatives are numerical, from simulations at θ ± δ with the seeds of one another; a penalty holds C near one, for F does
not change when the summaries are scaled.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from limelight.errors import problem

STRENGTH, CLOSENESS = 10.0, 0.1  # λ and ε of the penalty on C
CLIP = (
    1.0  # of the gradient's norm: without it the determinant's steep walls throw the weights about and training stalls
)


class Simulations(NamedTuple):
    """Data at the fiducial point and beside it; `below` and `above` are matched in everything but the parameter."""

    fiducial: Tensor  # (s, ...)
    below: Tensor  # (n, p, ...) at θ − δ of one parameter each
    above: Tensor  # (n, p, ...)
    step: Tensor  # (p,): δ


class Summariser(nn.Module):
    """(b, inputs) -> (b, p) summaries."""

    def __init__(self, inputs: int, parameters: int, hidden: int, layers: int):
        super().__init__()
        body: list[nn.Module] = []
        for width in [inputs] + [hidden] * (layers - 1):
            body += [nn.Linear(width, hidden), nn.LeakyReLU(0.01)]
        self.body = nn.Sequential(*body, nn.Linear(hidden, parameters))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def fisher(module: nn.Module, simulations: Simulations) -> tuple[Tensor, Tensor, Tensor]:
    """(F (p, p), C (p, p), ∂μ/∂θ (p summaries, p parameters)) of the summaries, from simulations alone."""
    found = module(simulations.fiducial).double()  # inverses of covariances that start out nearly singular
    centred = found - found.mean(dim=0)
    covariance = centred.T @ centred / (len(found) - 1)
    n, p = simulations.below.shape[:2]
    sides = [module(side.flatten(0, 1)).reshape(n, p, -1).mean(dim=0) for side in simulations[1:3]]
    slope = ((sides[1] - sides[0]) / (2 * simulations.step[:, None])).T.double()
    return slope.T @ torch.linalg.solve(covariance, slope), covariance, slope


def imnn_loss(module: nn.Module, simulations: Simulations) -> Tensor:
    """−ln det F + r Λ with Λ = |C − 1|² + |C⁻¹ − 1|² and r = λ Λ / (Λ + e^(−αΛ)): eqs 20-22 of the later IMNN papers."""
    information, covariance, _ = fisher(module, simulations)
    one = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    off = (covariance - one).square().sum() + (torch.linalg.inv(covariance) - one).square().sum()
    alpha = -math.log(CLOSENESS * (STRENGTH - 1) + CLOSENESS**2 / (1 + CLOSENESS)) / CLOSENESS
    weight = (STRENGTH * off / (off + torch.exp(-alpha * off))).detach()
    return weight * off - torch.linalg.slogdet(information).logabsdet


def train_imnn(
    module: nn.Module,
    draw: Callable[[int], Simulations],
    held_out: Simulations,
    steps: int,
    learning_rate: float,
    patience: int = 20,
    check_every: int = 25,
) -> list[dict]:
    """Maximise the Fisher information in place; history of step, ln det F on the simulations and on the held-out ones.

    draw(step) gives the simulations of a step: fresh ones, or a batch of a table. The weights of the best held-out ln det F
    are kept; training ends after `patience` checks without a better one. Raises LimelightError when F is never finite.
    """
    optimizer = torch.optim.Adam(module.parameters(), lr=learning_rate)
    history, best, kept = [], (-math.inf, -1), None
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        module.train()
        loss = imnn_loss(module, draw(step))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), CLIP)
        if not torch.isfinite(loss):
            break
        optimizer.step()
        if step % check_every == check_every - 1 or step == steps - 1:
            module.eval()
            with torch.no_grad():
                sign, log_det = torch.linalg.slogdet(fisher(module, held_out)[0])
            information = log_det.item() if sign > 0 else -math.inf
            history.append({"step": step + 1, "loss": loss.item(), "held_out_log_det": information})
            if information > best[0]:
                best, kept = (information, len(history)), {k: v.clone() for k, v in module.state_dict().items()}
            elif len(history) - best[1] >= patience:
                break
    if kept is None:
        fix = "use more imnn.simulations and imnn.derivatives, or a larger imnn.step"
        raise problem("IMNN", "no held-out Fisher information that is finite and positive", "some", fix)
    module.load_state_dict(kept)
    module.eval()
    return history
