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
from limelight.study.posteriors import Imnn

RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # tried for the linear start, in units of the inputs' mean variance
LONGEST_STEP = 0.5  # of derivatives, in the posterior's σ
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
    """(b, inputs) -> (b, p) summaries: a linear part, and layers."""

    def __init__(self, inputs: int, parameters: int, hidden: int, layers: int):
        super().__init__()
        body: list[nn.Module] = []
        for width in [inputs] + [hidden] * (layers - 1):
            body += [nn.Linear(width, hidden), nn.LeakyReLU(0.01)]
        self.body = nn.Sequential(*body, nn.Linear(hidden, parameters))
        self.skip = nn.Linear(inputs, parameters, bias=False)
        nn.init.zeros_(self.skip.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + self.skip(x)


@torch.no_grad()
def best_linear(module: Summariser, learnt: Simulations, held_out: Simulations) -> float:
    """Set a summariser to the best linear compression C⁻¹ ∂μ (Heavens, Jimenez & Lahav 2000); returns its held-out ln det F.

    Inputs are standardised; the ridge on their covariance is the one of RIDGES that serves the held-out simulations best.
    Summaries begin with the unit covariance that the loss asks for.
    """
    x = learnt.fiducial.double()
    x = x - x.mean(dim=0)
    covariance, n = x.T @ x / (len(x) - 1), x.shape[1]
    slope = ((learnt.above - learnt.below).double().mean(dim=0) / (2 * learnt.step.double()[:, None])).T  # (inputs, p)
    unit = covariance.diagonal().mean() * torch.eye(n, dtype=x.dtype, device=x.device)
    before = [part.clone() for part in module.body[-1].parameters()]
    for part in module.body[-1].parameters():
        part.zero_()
    best, kept = -math.inf, module.skip.weight.clone()
    for ridge in RIDGES:
        weight = torch.linalg.solve(covariance + ridge * unit, slope)
        root, failed = torch.linalg.cholesky_ex(weight.T @ covariance @ weight)
        if failed:  # inputs that do not answer to some parameter
            continue
        module.skip.weight.copy_(torch.linalg.solve_triangular(root, weight.T, upper=False))
        if (found := log_det(module, held_out)) > best:
            best, kept = found, module.skip.weight.clone()
    module.skip.weight.copy_(kept)
    if best == -math.inf:
        for part, value in zip(module.body[-1].parameters(), before, strict=True):
            part.copy_(value)
    return best


@torch.no_grad()
def log_det(module: nn.Module, simulations: Simulations) -> float:
    """ln det F; −∞ where it is not positive."""
    sign, value = torch.linalg.slogdet(fisher(module, simulations)[0])
    return value.item() if sign > 0 else -math.inf


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
    start: float = -math.inf,
) -> list[dict]:
    """Maximise the Fisher information in place; history of step, ln det F on the simulations and on the held-out ones.

    draw(step) gives the simulations of a step: fresh ones, or a batch of a table. The weights of the best held-out ln det F
    are kept, those of the beginning if none has more than their `start`; training ends after `patience` checks without a
    better one. Raises LimelightError when F is never finite.
    """
    optimizer = torch.optim.Adam(module.parameters(), lr=learning_rate)
    history, best = [], (start, 0)
    kept = {k: v.clone() for k, v in module.state_dict().items()} if math.isfinite(start) else None
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
            information = log_det(module, held_out)
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


def refuse_long_steps(posterior: str, asked: float, step: Tensor, information: Tensor) -> None:
    """A step of more than LONGEST_STEP of the error that the summaries allow makes them look better than they can be.

    Over steps (p,) as long as the error itself the mean summary is no straight line, and a network bends it to its favour:
    at 1.7 σ it claims twice the information that there is. asked: the step in the prior's σ, as the config has it.
    """
    share = step.double() / torch.linalg.pinv(information, hermitian=True).diagonal().clamp(min=1e-300).sqrt()
    if (share > LONGEST_STEP).any():
        found = f"{asked:g} of the prior's σ, {share.max().item():.2g} of the posterior's"
        raise problem(
            f"posteriors.{posterior}.imnn.step",
            found,
            f"at most {LONGEST_STEP:g} of the posterior's: longer steps overstate the information",
            f"lower it to {asked * LONGEST_STEP / share.max().item():.2g} or less",
        )


def too_much(share: float, options: Imnn) -> str:
    """In words, what is wrong with summaries that have more than all of the information, det F over the largest there is."""
    held_back = f"{options.simulations // 4} simulations and {options.derivatives // 4} pairs that are held back for it"
    found = f"found {share:.3f} of the information that there is; expected 1 at most"
    return (
        f"{found}: what is beyond it is scatter of the {held_back}, or bent by the step; take more, or lower imnn.step"
    )
