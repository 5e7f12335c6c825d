"""The estimators that stand beside networks: quadratic, iterative (the maximum of the posterior), and Wiener-filtered E.

All are posterior means as far as they can be: each mode is filtered for the least error, as a network's answer is. Under a
mask they answer what networks are trained on, the truth times the mask.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from limelight.data.shard import Header
from limelight.evaluation.estimates import Estimator
from limelight.probes.cmb_lensing.features import mask_of, quadratic_estimator
from limelight.probes.cmb_lensing.grid import filtered, real_parts
from limelight.probes.cmb_lensing.iterative import IterativeEstimator, Reconstruction, masked_mean_field
from limelight.probes.cmb_lensing.masked import MaskedQuadratic
from limelight.probes.cmb_lensing.quadratic import QuadraticEstimator
from limelight.probes.cmb_lensing.wiener import Masked, masked_wiener, wiener_e

MASKED_SKIES = 100  # of the iterative estimator's mean field
# µK arcmin. Filters stop at ℓ = 4000, and lensing moves power across it, which is noise to a model without those modes. Told
# of less, the iterative estimator takes it for signal, and at 0.1 it is worse than the quadratic one; 0.3 to 0.5 are best.
LEAST_ITERATIVE_NOISE = 0.4


def estimators(names: Sequence[str], noise_uk_arcmin: float, header: Header) -> dict[str, Estimator]:
    """The estimators of some names, with filters for this noise; `map` gives E as well, as `map_e`."""
    best, mask, found = quadratic_estimator(header, noise_uk_arcmin), mask_of(header), {}
    for name in names:
        if name == "quadratic" and mask is None:
            found[name] = Estimator(
                "kappa", lambda x: filtered(best.grid, best.estimate(x[:, 0], x[:, 1]), best.wiener)
            )
        elif name == "quadratic":
            masked = MaskedQuadratic(best, mask).with_mean()
            found[name] = Estimator("kappa", lambda x, of=masked: _one_by_one(of.answer, x))
        elif name == "wiener" and mask is None:
            found[name] = Estimator(
                "e", lambda x: wiener_e(best.grid, x[:, 0], x[:, 1], best.spectra.lensed_ee, best.data)
            )
        elif name == "wiener":
            found[name] = Estimator("e", lambda x: _one_by_one(lambda q, u: _masked_wiener(best, mask, q, u), x))
        else:
            iterative = Iterative(iterative_estimator(best, mask), mask)
            found[name] = Estimator("kappa", lambda x, of=iterative: of(x, "kappa"))
            found[f"{name}_e"] = Estimator("e", lambda x, of=iterative: of(x, "e"))
    return found


def _one_by_one(estimate: Callable[[np.ndarray, np.ndarray], np.ndarray], recorded: Tensor) -> Tensor:
    """An estimate of Q and U (b, y, x) in numpy, of recorded data (b, 2, y, x)."""
    return torch.as_tensor(estimate(*np.moveaxis(recorded.double().cpu().numpy(), 1, 0)), device=recorded.device)


def _masked_wiener(best: QuadraticEstimator, mask: np.ndarray, q: np.ndarray, u: np.ndarray) -> np.ndarray:
    """The most probable E (b, y, x) of lensed maps under a mask, times the mask."""
    masked, spectra, maps = Masked(best.grid, best.data, mask), best.spectra, []
    for seen in zip(q, u, strict=True):
        modes, _ = masked_wiener(masked, masked.unmasked(*seen), spectra.lensed_ee, spectra.lensed_bb)
        maps.append(mask * np.fft.ifft2(real_parts(modes)[0]).real)
    return np.stack(maps)


def iterative_estimator(best: QuadraticEstimator, mask: np.ndarray | None = None) -> IterativeEstimator:
    """The iterative estimator for the data of a quadratic one, with the mean field of the mask."""
    data = replace(best.data, sigma_p=max(best.data.sigma_p, LEAST_ITERATIVE_NOISE))
    bare = IterativeEstimator(best.grid, best.spectra, data, mask)
    if mask is None:
        return bare
    return replace(bare, mean_field=masked_mean_field(bare, MASKED_SKIES, np.random.default_rng(0)))


class Iterative:
    """The iterative estimator of κ and of E, which come together: what was asked last is kept."""

    def __init__(self, estimator: IterativeEstimator, mask: np.ndarray | None):
        self.estimator, self.mask = estimator, 1.0 if mask is None else mask
        self.asked: Tensor | None = None
        self.found: Reconstruction | None = None

    def __call__(self, recorded: Tensor, what: str) -> Tensor:
        if recorded is not self.asked:
            q, u = np.moveaxis(recorded.double().cpu().numpy(), 1, 0)
            self.asked, self.found = recorded, self.estimator.estimate(q, u)
        return torch.as_tensor(getattr(self.found, what) * self.mask, device=recorded.device)
