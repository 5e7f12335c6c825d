"""What Fisher's information promises of P(k) and voxel intensities: how well a map could tell the luminosity function.

Close to the truth a posterior of parameters is a Gaussian, whose inverse covariance is that of the prior plus the Fisher
information of the summaries, ∂μᵀ C⁻¹ ∂μ (Tegmark, Taylor & Heavens 1997). Mean and covariance are the rival's: so is every
approximation. How the covariance depends on the parameters is not counted as information: noisy estimates of it, and
summaries that are not Gaussian, would seem to know more than there is (Carron 2013). The prior's cuts hold.
"""

import numpy as np

from limelight.probes.line_intensity.rival.rival import Rival

STEP = 0.02  # of derivatives, in the prior's σ
TRIES = 200  # times as many draws as are asked for, before the cuts of the prior are said to leave none


def fisher_matrix(below: np.ndarray, above: np.ndarray, step: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """∂μᵀ C⁻¹ ∂μ (p, p) of mean summaries (p, d), a step (p,) below and above in each parameter, of covariance (d, d)."""
    slope = (above - below) / (2 * step[:, None])
    return slope @ np.linalg.solve(covariance, slope.T)


def fisher_of_map(rival: Rival, truth: np.ndarray) -> np.ndarray:
    """Fisher information (p, p) of the rival's summaries of one map of parameters (p,), without the prior's."""
    step = STEP / np.sqrt(np.diag(rival.precision))
    moved = np.concatenate([truth[None], truth - np.diag(step), truth + np.diag(step)])
    found, _, places = rival.predict(moved)
    scale = rival.spread(found[:1])[0]
    covariance = rival.correlations(places[:1])[0] * np.outer(scale, scale) / rival.hartlap
    p = len(truth)
    return fisher_matrix(found[1 : 1 + p], found[1 + p :], step, covariance)


def forecast_draws(rival: Rival, truth: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draws (count, p) of parameters that a map of `truth` (p,) allows: a Gaussian about it, within the prior's cuts."""
    root = np.linalg.cholesky(np.linalg.inv(fisher_of_map(rival, truth) + rival.precision))
    found: list[np.ndarray] = [truth[None]]
    for _ in range(TRIES):
        drawn = truth + rng.standard_normal((count, len(truth))) @ root.T
        found.append(drawn[np.isfinite(rival.prior(drawn)[0])])
        if sum(map(len, found)) > count:
            return np.concatenate(found)[1 : count + 1]
    kept = np.concatenate(found)
    return kept[rng.integers(len(kept), size=count)]  # the truth itself, where no other is allowed
