"""What an IMNN claims to know, by how far apart its derivatives are taken and whether its simulations are fresh.

On the full sky the power of each multipole is all that a map tells of τ, and it can be drawn without maps: (2ℓ + 1) Ĉ_ℓ over
C_ℓ + N_ℓ is χ² of 2ℓ + 1 degrees of freedom. So the network's layers, its loss and its training are the study's own, and
simulations cost nothing.
"""

from collections.abc import Sequence

import numpy as np
import torch

from limelight.inference.posteriors.imnn import Simulations, Summariser, fisher, train_imnn
from limelight.probes.reionisation.config import Instrument
from limelight.probes.reionisation.instrument import noise_spectrum
from limelight.probes.reionisation.likelihood import fisher_information, seen_ee
from limelight.seeds import torch_seed

TAU = 0.065
JUDGED = 200_000  # fresh simulations that say what a summary really has: F to half a percent
HIDDEN, LAYERS, RATE = 32, 2, 3e-3


def spectra_at(
    taus: Sequence[float], count: int, instrument: Instrument, lmax: int, rng: np.random.Generator
) -> np.ndarray:
    """ln of measured over expected power at TAU, (count, len(taus), lmax − 1): the same skies at each τ."""
    ells = np.arange(2, lmax + 1)
    total = (seen_ee(np.array([TAU, *taus]), lmax, 0.0) + noise_spectrum(instrument, lmax))[:, 2:]
    power = rng.chisquare(2 * ells + 1, (count, 1, len(ells))) / (2 * ells + 1)
    return np.log(power * total[1:] / total[0])


def simulations(step: float, count: int, instrument: Instrument, lmax: int, rng: np.random.Generator) -> Simulations:
    """`count` skies at TAU, and as many pairs at TAU − step and TAU + step."""
    fiducial = spectra_at([TAU], count, instrument, lmax, rng)[:, 0]
    low, high = spectra_at([TAU - step, TAU + step], count, instrument, lmax, rng).swapaxes(0, 1)
    parts = (torch.from_numpy(x.astype(np.float32)) for x in (fiducial, low[:, None], high[:, None]))
    return Simulations(*parts, torch.tensor([step], dtype=torch.float32))


def information_by_step(
    shares: Sequence[float],
    count: int,
    steps: int,
    seed: int,
    instrument: Instrument,
    lmax: int = 23,
    fresh: bool = True,
) -> list[dict]:
    """One row for each step, given as a share of the posterior's σ.

    Parameters
    ----------
    count
        Simulations (and pairs of them) that teach, at each step of training if `fresh`, else the same ones throughout.
    steps
        Of training.

    claimed: F over the exact one, on the last simulations that taught; fresh: on JUDGED others with the same step;
    small_step: on others with a step of a hundredth of σ, which is the truth.
    """
    exact = fisher_information(TAU, instrument, 8, lmax, 0.0)
    rows = []
    for share in shares:
        step, rng = share * exact**-0.5, np.random.default_rng(seed)
        torch.manual_seed(torch_seed(seed, "steps of an IMNN"))
        module = Summariser(lmax - 1, 1, HIDDEN, LAYERS).body  # gradients alone, without a linear start
        taught = simulations(step, count, instrument, lmax, rng)

        def draw(i: int, taught: Simulations = taught, step: float = step, rng=rng) -> Simulations:
            return simulations(step, count, instrument, lmax, rng) if fresh else taught

        choosing = simulations(step, 10 * count, instrument, lmax, rng) if fresh else taught
        train_imnn(module, draw, choosing, steps, RATE)
        row = {"step_over_sigma": share, "simulations": count, "reused": not fresh}
        judged = {"claimed": taught, "fresh": simulations(step, JUDGED, instrument, lmax, rng)}
        judged["small_step"] = simulations(0.01 * exact**-0.5, JUDGED, instrument, lmax, rng)
        with torch.no_grad():
            rows.append(row | {name: float(fisher(module, one)[0]) / exact for name, one in judged.items()})
    return rows
