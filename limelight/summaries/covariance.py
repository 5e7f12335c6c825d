"""Covariance of summaries over many maps, and what a finite number of maps does to its inverse."""

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
