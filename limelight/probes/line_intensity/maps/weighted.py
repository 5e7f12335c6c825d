"""Survey maps on other grids: cropped, and means over new voxels weighted by 1/σ², with the σ that follows."""

from dataclasses import replace

import numpy as np

from limelight.probes.line_intensity.maps.survey import LightWeights, SurveyMap

SEEN = 0.5  # of a new voxel that must have been observed; else it is masked


def edges_of(centers: np.ndarray) -> np.ndarray:
    """Edges (n + 1,) of the equal steps whose middles these are."""
    step = (centers[-1] - centers[0]) / (len(centers) - 1)
    return np.append(centers - step / 2, centers[-1] + step / 2)


def overlaps(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Share of each old step that lies in each new one, (new, old), from rising edges."""
    shared = np.minimum(old[1:], new[1:, None]) - np.maximum(old[:-1], new[:-1, None])
    share = shared.clip(min=0) / np.diff(old)
    return np.where(share > 1 - 1e-9, 1.0, np.where(share < 1e-9, 0.0, share))


def onto(survey: SurveyMap, x_edges: np.ndarray, y_edges: np.ndarray, frequency_edges: np.ndarray) -> SurveyMap:
    """The survey map on new voxels: T = Σ w T/σ² / Σ w/σ², σ² = Σ w²/σ² / (Σ w/σ²)², w the share of an old voxel within.

    Where whole voxels fill new ones, σ = (Σ 1/σ²)^(-1/2); else neighbours share an old voxel and their noise is correlated.
    A new voxel of which less than half was observed is masked. Voxels count alike where no σ is known.
    """
    new_edges = x_edges, y_edges, frequency_edges
    within, shares, weight, total, seen = _weighed(survey, new_edges)
    squared = _summed(weight, [one**2 for one in shares])
    light = _summed(weight * survey.temperature_uk[within], shares)
    mean = np.divide(light, total, out=np.zeros_like(total), where=seen)
    noise = np.divide(np.sqrt(squared), total, out=np.full_like(total, np.inf), where=seen)
    if not survey.has_noise:
        noise = np.where(seen, 0, np.inf)
    middles = [(edges[1:] + edges[:-1]) / 2 for edges in new_edges]
    return replace(
        survey,
        temperature_uk=mean.astype(np.float32),
        sigma_uk=noise.astype(np.float32),
        mask=seen,
        x_deg=middles[0],
        y_deg=middles[1],
        frequency_ghz=middles[2],
    )


def light_weights(
    survey: SurveyMap, x_edges: np.ndarray, y_edges: np.ndarray, frequency_edges: np.ndarray
) -> LightWeights:
    """What the light in each voxel of a survey counts for in the means that `onto` takes over new voxels.

    1/σ² over its mean in the new voxel: 0 where not observed, 1 in new voxels that are masked. Of an old voxel that several
    new ones share, the mean over them.
    """
    new_edges = x_edges, y_edges, frequency_edges
    within, shares, weight, total, seen = _weighed(survey, new_edges)
    volume = _summed(np.ones_like(weight), shares)
    scale = np.divide(volume, total, out=np.zeros_like(total), where=seen)
    back = [(one / one.sum(axis=0)).T for one in shares]
    values = weight * _summed(scale, back) + _summed((~seen).astype(np.float64), back)
    old = [edges_of(one) for one in (survey.x_deg, survey.y_deg, survey.frequency_ghz)]
    x, y, freq = (edges[used.start : used.stop + 1] for edges, used in zip(old, within, strict=True))
    middle = [(one[0] + one[-1]) / 2 for one in (x_edges, y_edges)]
    return LightWeights(values.astype(np.float32), x - middle[0], y - middle[1], freq)


def _weighed(survey: SurveyMap, new_edges: tuple[np.ndarray, ...]) -> tuple:
    """(slices of the old voxels that lie in new ones, `overlaps` of these along each axis, their 1/σ², its sum in each new
    voxel, which of the new ones were observed)."""
    old = [edges_of(one) for one in (survey.x_deg, survey.y_deg, survey.frequency_ghz)]
    shares = [overlaps(*pair) for pair in zip(old, new_edges, strict=True)]
    # a study's field is a tenth of a survey's
    within = tuple(_extent(one.any(axis=0)) for one in shares)
    shares = [one[:, used] for one, used in zip(shares, within, strict=True)]
    sigma, mask = survey.sigma_uk[within], survey.mask[within]
    weight = np.where(mask, 1 / np.where(mask & survey.has_noise, sigma, 1).astype(np.float64) ** 2, 0)
    total = _summed(weight, shares)
    in_one = [np.diff(new) / np.diff(edges).mean() for edges, new in zip(old, new_edges, strict=True)]  # old voxels
    seen = _summed(mask.astype(np.float64), shares)
    seen = (seen >= SEEN * in_one[0][:, None, None] * in_one[1][:, None] * in_one[2] * (1 - 1e-9)) & (total > 0)
    return within, shares, weight, total, seen


def _summed(values: np.ndarray, shares: list[np.ndarray]) -> np.ndarray:
    """Σ over old voxels (x, y, f) of values times the shares along the three axes."""
    x, y, f = shares
    values = np.tensordot(x, values, (1, 0))
    return np.einsum("ab,xbf->xaf", y, values, optimize=True) @ f.T


def _extent(used: np.ndarray) -> slice:
    """From the first to the last that is used (n,) bool; nothing where none is."""
    numbers = np.flatnonzero(used)
    return slice(numbers[0], numbers[-1] + 1) if len(numbers) else slice(0, 0)
