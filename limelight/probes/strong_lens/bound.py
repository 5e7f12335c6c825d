"""The likelihood of an image's pixels, its Fisher information and the least error that follows, and MCMC over it."""

import functools

import emcee
import numpy as np

from limelight.inference.mcmc import MOVES, diagnostics
from limelight.probes.strong_lens.config import Camera
from limelight.probes.strong_lens.images import PARAMETERS, Painter, variance

STEP = 1e-3  # of a finite difference, in the width of the prior
START = 0.7  # spread of the walkers' first places, in units of the bound


def log_likelihood(data: np.ndarray, image: np.ndarray, camera: Camera) -> float:
    """ln p of recorded pixels (3, n, n), Gaussian, up to a constant; the variance is that of the model's own light."""
    of_pixels = variance(image, camera)
    return float(-0.5 * np.sum((data - image) ** 2 / of_pixels + np.log(of_pixels)))


def fisher(
    parameters: np.ndarray, limits: np.ndarray, painter: Painter, camera: Camera, step: float = STEP
) -> np.ndarray:
    """F (19, 19) of the pixels of a lens: Σ dμ dμᵀ/v + ½ Σ dv dvᵀ/v², derivatives by central differences."""
    h = step * np.diff(limits, axis=1)[:, 0]
    sides = [[painter.lens(parameters + sign * one) for one in np.diag(h)] for sign in (-1, 1)]
    of_pixels = variance(painter.lens(parameters), camera).ravel()
    images = np.array(sides).reshape(2, len(h), -1)
    noises = variance(np.array(sides), camera).reshape(2, len(h), -1)
    image, noise = ((each[1] - each[0]) / (2 * h[:, None]) for each in (images, noises))
    return (image / of_pixels) @ image.T + 0.5 * (noise / of_pixels**2) @ noise.T


def least_covariance(found: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """(F + P)⁻¹ (19, 19): P has the inverse variance 12/width² of each even prior, as in van Trees' inequality.

    Without it a parameter that an image says nothing of would count as unknown, though its prior has an end.
    """
    return np.linalg.inv(found + np.diag(12 / np.diff(limits, axis=1)[:, 0] ** 2))


def bounds(models: np.ndarray, limits: np.ndarray, camera: Camera) -> np.ndarray:
    """The least standard error (m, 19) of each parameter of lenses (m, 19)."""
    return _bounds(np.ascontiguousarray(models, np.float64).tobytes(), limits.tobytes(), camera.model_dump_json())


@functools.lru_cache(maxsize=4)
def _bounds(models: bytes, limits: bytes, camera: str) -> np.ndarray:
    """The same of bytes: each lens takes 39 images, and all networks of a test ask about the same lenses."""
    known, ends = np.frombuffer(models).reshape(-1, len(PARAMETERS)), np.frombuffer(limits).reshape(-1, 2)
    of = Camera.model_validate_json(camera)
    painter = Painter(of)
    covariances = [least_covariance(fisher(one, ends, painter, of), ends) for one in known]
    return np.sqrt([np.diag(one) for one in covariances])


def sample(
    data: np.ndarray,
    truth: np.ndarray,
    limits: np.ndarray,
    camera: Camera,
    walkers: int,
    burn_in: int,
    steps: int,
    seed: np.random.SeedSequence,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Draws (steps · walkers, 19) from the posterior of a recorded image (3, n, n), and how the chain went.

    See limelight.inference.mcmc.diagnostics. The prior is even within the limits (19, 2). The walkers start around the
    truth, as widely as START times the bound: what is sampled is the mode that holds the truth.
    """
    painter = Painter(camera)

    def log_posterior(parameters: np.ndarray) -> float:
        if ((parameters < limits[:, 0]) | (parameters > limits[:, 1])).any():
            return -np.inf
        return log_likelihood(data, painter.lens(parameters), camera)

    random = np.random.RandomState(np.random.MT19937(seed))
    covariance = least_covariance(fisher(truth, limits, painter, camera), limits)
    places = truth + START * random.multivariate_normal(np.zeros(len(truth)), covariance, walkers)
    inside = 1e-3 * np.diff(limits, axis=1)[:, 0]
    places = np.clip(places, limits[:, 0] + inside * random.uniform(size=places.shape), limits[:, 1] - inside)
    sampler = emcee.EnsembleSampler(
        walkers, len(truth), log_posterior, moves=[(move(), weight) for weight, move in MOVES]
    )
    state = emcee.State(places, random_state=random.get_state())
    if burn_in:
        state = sampler.run_mcmc(state, burn_in, store=False)
    sampler.run_mcmc(state, steps)
    chain = sampler.get_chain()
    return chain.reshape(-1, len(truth)), diagnostics(chain[None])
