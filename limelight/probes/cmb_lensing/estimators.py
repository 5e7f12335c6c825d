"""The estimators that stand beside networks: quadratic, iterative (the maximum of the posterior), and Wiener-filtered E.

All are posterior means as far as they can be: each mode is filtered for the least error, as a network's answer is.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from limelight.data.shard import Header
from limelight.evaluation.estimates import Estimator
from limelight.probes.cmb_lensing.features import quadratic_estimator
from limelight.probes.cmb_lensing.grid import filtered
from limelight.probes.cmb_lensing.iterative import IterativeEstimator, Reconstruction
from limelight.probes.cmb_lensing.wiener import wiener_e


def estimators(names: Sequence[str], noise_uk_arcmin: float, header: Header) -> dict[str, Estimator]:
    """The estimators of some names, with filters for this noise; `map` gives E as well, as `map_e`."""
    best, found = quadratic_estimator(header, noise_uk_arcmin), {}
    grid, lensed = best.grid, best.spectra.lensed_ee
    for name in names:
        if name == "quadratic":
            found[name] = Estimator("kappa", lambda x: filtered(grid, best.estimate(x[:, 0], x[:, 1]), best.wiener))
        elif name == "wiener":
            found[name] = Estimator("e", lambda x: wiener_e(grid, x[:, 0], x[:, 1], lensed, best.data))
        else:
            iterative = Iterative(IterativeEstimator(grid, best.spectra, best.data))
            found[name] = Estimator("kappa", lambda x, of=iterative: of(x, "kappa"))
            found[f"{name}_e"] = Estimator("e", lambda x, of=iterative: of(x, "e"))
    return found


class Iterative:
    """The iterative estimator of κ and of E, which come together: what was asked last is kept."""

    def __init__(self, estimator: IterativeEstimator):
        self.estimator = estimator
        self.asked: Tensor | None = None
        self.found: Reconstruction | None = None

    def __call__(self, recorded: Tensor, what: str) -> Tensor:
        if recorded is not self.asked:
            q, u = np.moveaxis(recorded.double().cpu().numpy(), 1, 0)
            self.asked, self.found = recorded, self.estimator.estimate(q, u)
        return torch.as_tensor(getattr(self.found, what), device=recorded.device)
