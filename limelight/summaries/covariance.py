"""Covariance of summaries over many maps, and what a finite number of maps does to its inverse and to a likelihood."""

import numpy as np

from limelight.errors import problem


def joint_covariance(*summaries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and unbiased covariance (d, d) of summaries measured on the same n maps, (n, d_i) each, joined in order.

    The blocks off the diagonal are the cross-covariances, for example of power spectrum and voxel intensities.
    """
    if len({len(summary) for summary in summaries}) != 1:
        raise problem(
            "covariance",
            f"summaries of {[len(s) for s in summaries]} maps",
            "the same maps for all",
            "give all of each",
        )
    data = np.concatenate([np.asarray(summary, np.float64) for summary in summaries], axis=1)
    if len(data) < 2:
        raise problem("covariance", f"{len(data)} maps", "at least 2", "give more")
    off = data - data.mean(0)
    return data.mean(0), off.T @ off / (len(data) - 1)


def hartlap(maps: int, dimension: int) -> float:
    """(n − d − 2)/(n − 1): what makes the inverse of a covariance from n independent maps unbiased (Hartlap et al. 2007)."""
    if maps <= dimension + 2:
        expected = f"more than {dimension + 2}: a covariance of {dimension} numbers has no usable inverse otherwise"
        raise problem("covariance", f"{maps} maps", expected, "use more maps or fewer bins")
    return (maps - dimension - 2) / (maps - 1)


def log_t_likelihood(
    chi2: np.ndarray, log_det: np.ndarray, freedom: int, dimension: int, parameters: int
) -> np.ndarray:
    """ln of the likelihood (m,) of d Gaussian summaries whose covariance is only an estimate S, constants left out.

    A Gaussian averaged over all true covariances Σ that S allows is a multivariate t: |S|^−½ (1 + χ²/ν)^−(ν + 1)/2 under
    Jeffreys' prior on Σ (Sellentin & Heavens 2016, arXiv:1511.05969). That form alone does not make the intervals of p < d
    parameters wide enough: the best fit weighs the summaries by the noise of S and scatters more for it. The prior
    |Σ|^−(p + 1)/2 changes the exponent to ν + 1 − (d − p). The posterior of parameters with a flat prior, in which the means
    are linear, is then that of generalised least squares with an estimated covariance, and its regions hold the truth as
    often as they promise, exactly. (Percival et al. 2022, arXiv:2108.10402, choose the exponent to match variances instead.)

    Parameters
    ----------
    chi2 : (m,) Δᵀ S⁻¹ Δ of the summaries about their means, S unbiased and its inverse without Hartlap's factor.
    log_det : (m,) ln |S|.
    freedom : degrees of freedom ν of S: n − 1 of n independent maps about their own mean, n about a known one.
    dimension, parameters : d and p.
    """
    return -0.5 * (freedom + 1 - (dimension - parameters)) * np.log1p(chi2 / freedom) - 0.5 * log_det
