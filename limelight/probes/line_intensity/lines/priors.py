"""Draws of line-model parameters: one set per map."""

import numpy as np

from limelight.errors import problem
from limelight.probes.line_intensity.lines.models import LineModel, with_overrides

MAX_DRAWS = 10_000


def draw_parameters(
    model: LineModel, prior: str | float, overrides: dict | None, rng: np.random.Generator
) -> dict[str, float]:
    """Draw one set of parameters, {name: value}.

    prior: 'fiducial' (the means), 'full' (the published Gaussian), 'N%' or a number (σ times N/100 or that number), or a
    named prior of the model. A set in which an amplitude or exponent that must be positive, or a scatter, is not, is drawn
    again as a whole: the Gaussian is cut off, never folded. overrides: see with_overrides.
    """
    model = with_overrides(model, overrides or {})
    names = list(model.parameters)
    if not names:
        return {}
    mean, covariance = prior_gaussian(model, prior)
    if not covariance.any():
        return dict(zip(names, mean.tolist(), strict=True))
    root = _square_root(covariance)
    for _ in range(MAX_DRAWS):
        values = mean + root @ rng.standard_normal(len(names))
        drawn = dict(zip(names, values.tolist(), strict=True))
        if all(drawn[name] > 0 for name in model.positive) and all(
            drawn[name] >= 0 for name in names if name.startswith("sigma")
        ):
            return drawn
    raise problem(
        f"prior '{prior}' of line model {model.name}",
        f"no acceptable draw in {MAX_DRAWS}",
        f"{', '.join(model.positive)} and the scatters positive in a fair share of draws",
        "choose other means or a narrower prior",
    )


def prior_gaussian(model: LineModel, prior: str | float) -> tuple[np.ndarray, np.ndarray]:
    """Mean (p,) and covariance (p, p) of a prior."""
    if isinstance(prior, str) and prior in model.priors:
        return model.priors[prior]
    mean, sigma = np.array(list(model.parameters.values()), np.float64).T
    return mean, np.diag((_sigma_factor(model, prior) * sigma) ** 2)


def number(prior: str | float) -> float | None:
    """A prior that is a bare number, or one as text; None for words and percentages."""
    try:
        return float(prior)
    except ValueError:
        return None


def _sigma_factor(model: LineModel, prior: str | float) -> float:
    """What multiplies the published σ's."""
    words = {"fiducial": 0.0, "full": 1.0}
    if isinstance(prior, str):
        if prior in words:
            return words[prior]
        try:
            factor = float(prior.removesuffix("%")) / 100 if prior.endswith("%") else float(prior)
        except ValueError:
            factor = np.nan
    else:
        factor = float(prior)
    if not (np.isfinite(factor) and factor >= 0):
        known = ", ".join([*words, *model.priors])
        raise problem(
            f"prior of line model {model.name}",
            f"'{prior}'",
            f"{known}, a percentage such as 10%, or a factor ≥ 0",
            "mend `prior` in the config",
        )
    return factor


def _square_root(covariance: np.ndarray) -> np.ndarray:
    """A matrix R with R Rᵀ = covariance; diagonal stays diagonal, and zero variances are allowed."""
    if np.array_equal(covariance, np.diag(np.diag(covariance))):
        return np.diag(np.sqrt(np.diag(covariance)))
    return np.linalg.cholesky(covariance)
