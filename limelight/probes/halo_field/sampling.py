"""Posteriors of bias models: their maximum, its Hessian, Laplace's evidence, and NUTS chains in the Hessian's coordinates.

The parameters of the neural bias differ in scale by orders of magnitude and hang together; plain NUTS hardly moves. In the
coordinates z of θ = θ_max + L z, where L Lᵀ is the inverse Hessian of −ln posterior at its maximum, the posterior is nearer
to a unit normal, and chains are pyro's NUTS there. Each stands in a file of its own, so that a run that was stopped goes on
with those that are missing.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from limelight.codehash import code_hash
from limelight.errors import problem
from limelight.files import provenance, read_hdf5, write_hdf5
from limelight.probes.halo_field.bias import Posterior
from limelight.seeds import generator, torch_seed

KIND = "bias_chain"
_PLACE = "limelight.probes.halo_field"
# What makes a chain: the models that a study names, and what they are told of the cells, too
CODE = (
    f"{_PLACE}.sampling:sample_chain",
    f"{_PLACE}.sampling:find_peak",
    f"{_PLACE}.bias:posterior_of",
    f"{_PLACE}.bias_study:catalogue_of_rows",
)
START_STEPS = 400  # of L-BFGS
STARTS = 3  # searches for the maximum, from places about the model's start
LEAST_CURVATURE = 0.5  # of −ln posterior in units of the prior's, which alone gives 1
ACCEPTED = 0.9  # share of proposals that step sizes are made for: with 0.8 chains of the neural bias stuck in a corner
FALL = 4.0  # of ln posterior for each parameter, from the maximum to a chain's start, at most


@dataclass(frozen=True)
class Peak:
    """The maximum of a posterior."""

    theta: Tensor  # (p,)
    log_posterior: float
    scale: Tensor  # L (p, p), lower triangular

    @property
    def log_evidence(self) -> float:
        """Laplace's: of a normal posterior."""
        p = len(self.theta)
        return self.log_posterior + 0.5 * p * math.log(2 * math.pi) + float(self.scale.diagonal().log().sum())


def find_peak(posterior: Posterior, seed: int, near: Tensor | None = None) -> Peak:
    """The highest of STARTS maxima about the model's start; near: or the one maximum near there."""
    size, starts = len(posterior.names), 1 if near is not None else STARTS
    start = torch.zeros(size, dtype=torch.float64)
    start[: len(posterior.model.start)] = torch.tensor(posterior.model.start, dtype=torch.float64)
    start = start if near is None else near
    rng, best = generator(seed, f"starts of {posterior.model.name}"), None
    for i in range(starts):
        shift = 0.0 if i == 0 else 0.3 * torch.from_numpy(rng.standard_normal(size))
        theta, value = climb(posterior, start + shift)
        if math.isfinite(value) and (best is None or value > best[1]):
            best = theta, value
    if best is None:
        expected = "a finite posterior"
        raise problem(f"bias model {posterior.model.name}", "no maximum", expected, "check the halos and their masses")
    return Peak(best[0], best[1], scale_at(posterior, best[0]))


def climb(posterior: Posterior, start: Tensor) -> tuple[Tensor, float]:
    """A maximum near a start, by L-BFGS, and its ln posterior."""
    theta = start.clone().requires_grad_(True)
    search = torch.optim.LBFGS([theta], max_iter=START_STEPS, line_search_fn="strong_wolfe", tolerance_grad=1e-6)

    def closure() -> Tensor:
        search.zero_grad()
        loss = -posterior(theta)
        loss.backward()
        return loss

    search.step(closure)
    with torch.no_grad():
        return theta.detach(), float(posterior(theta))


def scale_at(posterior: Posterior, theta: Tensor) -> Tensor:
    """L with L Lᵀ the inverse of −∂² ln posterior; directions that are flat or rise have the prior's width."""
    hessian = -torch.autograd.functional.hessian(posterior, theta)
    root = posterior.prior_scale
    values, vectors = torch.linalg.eigh(root.T @ hessian @ root)
    values = values.clamp(min=LEAST_CURVATURE)
    covariance = root @ (vectors / values) @ vectors.T @ root.T
    return torch.linalg.cholesky(0.5 * (covariance + covariance.T))


def sample_chain(
    posterior: Posterior, peak: Peak, warmup: int, samples: int, tree_depth: int, seed: int, chain: int
) -> np.ndarray:
    """One chain (samples, p) of θ, in the Hessian's coordinates. It starts about the maximum."""
    from pyro import set_rng_seed  # of the extra hmc
    from pyro.infer.mcmc import MCMC, NUTS

    def energy(place: dict) -> Tensor:
        return -posterior(peak.theta + peak.scale @ place["z"])

    name = f"chain of {posterior.model.name}, {posterior.likelihood}"
    before = torch.get_rng_state()
    try:
        set_rng_seed(torch_seed(seed, name, chain) % 2**32)
        start = start_of(posterior, peak, torch.randn(len(peak.theta), dtype=torch.float64))
        kernel = NUTS(potential_fn=energy, max_tree_depth=tree_depth, target_accept_prob=ACCEPTED)
        run = MCMC(kernel, num_samples=samples, warmup_steps=warmup, initial_params={"z": start}, disable_progbar=True)
        run.run()
        z = run.get_samples()["z"]
    finally:
        torch.set_rng_state(before)
    return (peak.theta + z @ peak.scale.T).detach().numpy()


def start_of(posterior: Posterior, peak: Peak, z: Tensor) -> Tensor:
    """Where a chain starts, in the Hessian's coordinates: z, halved until the posterior is within FALL for each parameter.

    Where the posterior is no normal, a draw of a unit normal may lie thousands below the maximum, and a chain from there
    does nothing but climb.
    """
    with torch.no_grad():
        while not posterior(peak.theta + peak.scale @ z) > peak.log_posterior - FALL * len(z):
            z = 0.5 * z
    return z


def sampled_evidence(posterior: Posterior, chains: np.ndarray, seed: int, draws: int = 2000) -> tuple[float, float]:
    """ln of the evidence and its error, by importance: the mean of the posterior over a normal about the chains' draws.

    The normal has their mean and covariance. Where the posterior is far from one, few draws carry the mean, and the error
    says so.
    """
    found = torch.from_numpy(chains.reshape(-1, chains.shape[-1]))
    proposal = torch.distributions.MultivariateNormal(found.mean(dim=0), torch.cov(found.T))
    random = generator(seed, f"evidence of {posterior.model.name}")
    normal = torch.from_numpy(random.standard_normal((draws, found.shape[1])))
    theta = proposal.loc + normal @ proposal.scale_tril.T
    with torch.no_grad():
        ratio = torch.stack([posterior(one) for one in theta]) - proposal.log_prob(theta)
    share = torch.softmax(ratio, dim=0)
    error = float((share.square().sum() - 1 / draws).clamp(min=0).sqrt())
    return float(torch.logsumexp(ratio, dim=0)) - math.log(draws), error


def chain_at(path: str | Path, key: str, make, seed: int) -> np.ndarray:
    """The chain of a file, if it belongs to the same key and the same code; otherwise made, and written there."""
    path, key = Path(path), f"{key} {code_hash(chosen=CODE)}"
    if path.exists():
        with read_hdf5(path, KIND, ("chain",)) as file:
            if file.attrs["key"] == key:
                return file["chain"][...]
    found = make()
    with write_hdf5(path, KIND, {**provenance({"key": key}, seed), "key": key}) as file:
        file["chain"] = found
    return found


def convergence(chains: np.ndarray) -> dict[str, np.ndarray]:
    """Split R̂ and effective sample size, (p,) each, of chains (c, samples, p): Gelman et al., Bayesian Data Analysis."""
    c, n, p = chains.shape
    half = n // 2
    parts = np.concatenate([chains[:, :half], chains[:, n - half :]])
    within = parts.var(axis=1, ddof=1).mean(axis=0)
    between = half * parts.mean(axis=1).var(axis=0, ddof=1)
    total = (half - 1) / half * within + between / half
    size = np.empty(p)
    for j in range(p):
        size[j] = _effective(parts[:, :, j], within[j], total[j])
    return {"rhat": np.sqrt(total / within), "ess": size}


def _effective(parts: np.ndarray, within: float, total: float) -> float:
    """Of sequences (m, n): m n over 1 + 2 Σ ρ, the sum ended where pairs of neighbours fall below zero (Geyer)."""
    m, n = parts.shape
    centred = parts - parts.mean(axis=1, keepdims=True)
    power = np.abs(np.fft.rfft(centred, 2 * n, axis=1)) ** 2
    covariance = np.fft.irfft(power, axis=1)[:, :n].mean(axis=0) / n
    rho = 1 - (within * (n - 1) / n - covariance) / total
    rho[0] = 1.0
    pairs = rho[: n // 2 * 2].reshape(-1, 2).sum(axis=1)
    ends = np.flatnonzero(pairs < 0)
    pairs = np.minimum.accumulate(pairs[: ends[0] if len(ends) else None])
    return float(m * n / max(2 * pairs.sum() - 1, 1 / math.log10(m * n)))
