"""The classical rival: P(k) and voxel intensity distribution of a map, their likelihood, and MCMC over a line model.

The method of arXiv:1808.07487 (Ihle et al. 2019) on limelight's maps. docs/rival.md names every approximation.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from limelight.errors import problem
from limelight.inference.mcmc import diagnostics, run_chain
from limelight.probes.line_intensity.config import MapDataset
from limelight.probes.line_intensity.lines.models import LN10, LineModel
from limelight.probes.line_intensity.lines.priors import prior_gaussian
from limelight.probes.line_intensity.rival.config import RivalOptions
from limelight.probes.line_intensity.rival.emulator import Emulator, expected_counts, spread_out, summaries
from limelight.probes.line_intensity.rival.fields import Measure
from limelight.probes.line_intensity.rival.shapes import Shape
from limelight.seeds import seed_sequence
from limelight.summaries.covariance import hartlap, joint_covariance, log_t_likelihood

LIKELIHOOD = "multivariate t"  # part of the key of a chain: none is resumed under another likelihood
START_POOL = 1000  # prior draws among which the walkers' first places are chosen
START_HEAT = 4.0  # they are drawn by likelihood^(1/heat)


@dataclass
class Rival:
    """All that the posterior of one map under one noise level needs."""

    emulator: Emulator
    measure: Measure
    shape: Shape
    sigma_uk: float  # per rival voxel
    mean: np.ndarray  # (p,) of the prior
    precision: np.ndarray  # (p, p) of the prior
    positive: np.ndarray  # (p,) bool: must be above 0
    limits: tuple[float, float]  # of the mean temperature, µK
    anchors: (
        np.ndarray
    )  # (a, 1 + s) places at which the covariance is known: log10 of the mean temperature, scaled shape
    covariances: np.ndarray  # (a, d, d) in units of `spread`
    freedom: int  # degrees of freedom of each covariance
    hartlap: float  # factor that makes its inverse, and so χ², unbiased
    reach: float  # of an anchor

    def prior(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(log prior (m,), emulator's outputs (m, ...), amplitude (m,), places (m, 1 + s)) of parameters (m, p).

        The log prior is −inf where the prior is cut, or where the emulator ends.
        """
        off = parameters - self.mean
        log_prior = -0.5 * np.einsum("mi,ij,mj->m", off, self.precision, off)
        allowed = np.all(parameters[:, self.positive] > 0, axis=1)
        amplitude, shapes = self.shape.split(np.where(allowed[:, None], parameters, self.mean))
        allowed &= self.emulator.inside(shapes)
        shapes = np.clip(shapes, self.emulator.low, self.emulator.high)
        outputs, log_temperature = self.outputs(shapes, amplitude)
        with np.errstate(divide="ignore"):
            low, high = np.log10(self.limits)
        allowed &= (log_temperature >= low) & (log_temperature <= high)
        places = np.column_stack([log_temperature, shapes / self.emulator.span])
        return np.where(allowed, log_prior, -np.inf), outputs, amplitude, places

    def outputs(self, shapes: np.ndarray, amplitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(emulator's outputs (m, ...), log10 of the mean temperature in µK (m,)) of shapes (m, s) and amplitudes (m,)."""
        outputs = self.emulator.at(shapes)
        return outputs, outputs[:, 0] / LN10 + amplitude

    def means(self, outputs: np.ndarray, amplitude: np.ndarray) -> np.ndarray:
        """Mean summaries (m, d) from `outputs` and amplitudes (m,)."""
        return summaries(outputs, amplitude, self.sigma_uk, self.measure)[0]

    def spread(self, means: np.ndarray) -> np.ndarray:
        """Standard deviations (m, d), in units of which `covariances` are; see the function of that name."""
        return spread(means, self.measure)

    def predict(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(mean summaries (m, d), log prior (m,), places (m, 1 + s)) of parameters (m, p)."""
        log_prior, outputs, amplitude, places = self.prior(parameters)
        return self.means(outputs, amplitude), log_prior, places

    def correlations(self, places: np.ndarray) -> np.ndarray:
        """Covariances (m, d, d) in units of `spread` at places (m, 1 + s): those of the anchors near by, mixed."""
        near = -0.5 * np.sum((places[:, None] - self.anchors) ** 2, axis=2) / self.reach**2
        weight = np.exp(near - near.max(1, keepdims=True))
        weight /= weight.sum(1, keepdims=True)
        return np.tensordot(weight, self.covariances, 1)

    def chi2(self, found: np.ndarray, places: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(χ² (m,) of summaries (d,) or (m, d) against their means (m, d), ln of the covariance's determinant (m,)).

        The inverse of an estimated covariance makes χ² too large on average; `hartlap` times χ² is unbiased.
        """
        scale = self.spread(found)
        off = (data - found) / scale
        root = np.linalg.cholesky(self.correlations(places))
        white = np.linalg.solve(root, off[..., None])[..., 0]
        log_det = 2 * np.log(np.diagonal(root, axis1=1, axis2=2)).sum(1) + 2 * np.log(scale).sum(1)
        return np.sum(white**2, axis=1), log_det

    def log_posterior(self, parameters: np.ndarray, data: np.ndarray) -> np.ndarray:
        """ln of prior times likelihood (m,), constants left out, of parameters (m, p) for summaries (d,) of one map."""
        log_prior, outputs, amplitude, places = self.prior(parameters)
        result, allowed = np.full(len(parameters), -np.inf), np.isfinite(log_prior)
        if allowed.any():
            found = self.means(outputs[allowed], amplitude[allowed])
            chi2, log_det = self.chi2(found, places[allowed], data)
            likelihood = log_t_likelihood(chi2, log_det, self.freedom, np.shape(data)[-1], parameters.shape[1])
            result[allowed] = log_prior[allowed] + likelihood
        return result


def spread(means: np.ndarray, measure: Measure) -> np.ndarray:
    """Standard deviations (m, d) of summaries as if all modes and voxels were independent: P √(2/N_modes), √B, B at least 1.

    Those of the quadrupole are √5 those of the monopole, as with many modes in a shell.
    Multiplied with the correlations of fiducial maps they make the covariance at other parameters, as in arXiv:1808.07487.
    """
    shells = len(measure.modes)
    power = means[:, :shells] * np.sqrt(2 / measure.modes)
    power = np.hstack([math.sqrt(2 * ell + 1) * power for ell in measure.multipoles])
    return np.hstack([power, np.sqrt(np.maximum(means[:, measure.powers :], 1.0))])


def make_rival(
    emulator: Emulator, model: LineModel, shape: Shape, line_model: MapDataset, settings: RivalOptions,
    measure: Measure, noise: str, sigma_uk: float,
) -> Rival:  # fmt: skip
    """The rival for one noise setting. line_model: the entry whose prior it samples under; settings: rival.NAME."""
    rival = Rival(
        emulator=emulator,
        measure=measure,
        shape=shape,
        sigma_uk=sigma_uk,
        **prior_of(model, line_model),
        **no_covariance(emulator.nodes.shape[1]),
    )
    found, log_prior, places = rival.predict(emulator.parameters)
    off = (emulator.data[noise] - found) / spread(found, measure)
    used = emulator.fiducial if settings.covariance == "fiducial" else ~emulator.fiducial & np.isfinite(log_prior)
    set_covariance(rival, off[used], places[used], settings)
    rival.covariances *= 1 + 1 / emulator.realisations  # the mean over fields is uncertain itself
    return rival


def prior_of(model: LineModel, line_model: MapDataset) -> dict:
    """What a Rival holds of its prior: mean, precision, positive and limits."""
    center, prior = prior_gaussian(model, line_model.prior)
    if np.linalg.matrix_rank(prior) < len(center):
        expected = "a prior with a width in every parameter"
        raise problem("rival: line_model", f"prior '{line_model.prior}'", expected, "name one such as full or 10%")
    return {
        "mean": np.asarray(center, np.float64),
        "precision": np.linalg.inv(prior),
        "positive": np.array([name in model.positive or name.startswith("sigma") for name in model.parameters]),
        "limits": tuple(line_model.mean_temperature_uk or (0.0, np.inf)),
    }


def no_covariance(shapes: int) -> dict:
    """What a Rival of a shape of so many numbers holds of its covariance before `set_covariance`."""
    anchors, covariances = np.zeros((1, 1 + shapes)), np.zeros((1, 0, 0))
    return {"anchors": anchors, "covariances": covariances, "freedom": 0, "hartlap": 1.0, "reach": 1.0}


def set_covariance(rival: Rival, off: np.ndarray, places: np.ndarray, settings: RivalOptions) -> None:
    """Set the covariance of the residuals (n, d), in units of `spread`, at anchors among their places (n, 1 + s).

    fiducial: all residuals are of fiducial maps. There is one anchor, and the correlations are the same everywhere, as in
    arXiv:1808.07487. local: the residuals are of prior draws. Each anchor takes its nearest `neighbours`, about 0, so that
    the emulator's own error counts as well. Between the anchors the covariances are mixed with Gaussian weights.
    """
    d = off.shape[1]
    if settings.covariance == "fiducial":
        _, covariance = joint_covariance(off)
        chosen, covariances, count = [0], [covariance], len(off)
        rival.freedom = count - 1
    else:
        count = min(settings.neighbours, len(off))
        rival.freedom = count
        chosen = spread_out(places, settings.anchors)
        near = [np.argsort(np.linalg.norm(places - places[i], axis=1), kind="stable")[:count] for i in chosen]
        covariances = [off[rows].T @ off[rows] / count for rows in near]
        apart = np.linalg.norm(places[chosen][:, None] - places[chosen], axis=2) + 1e9 * np.eye(len(chosen))
        rival.reach = float(np.median(apart.min(1)))
    rival.hartlap = hartlap(count, d)
    rival.anchors, rival.covariances = places[chosen], np.array(covariances)
    every = np.arange(d)
    rival.covariances[:, every, every] = np.maximum(rival.covariances[:, every, every], 0.1)  # bins that no map reached


def emulator_error(rival: Rival) -> np.ndarray:
    """√(Δᵀ C⁻¹ Δ) of the emulated summaries against those painted at the emulator's checks, draws of the prior; (c,).

    In σ of one map: no parameter's posterior is shifted by more of its own σ than this.
    """
    emulator = rival.emulator
    amplitude = rival.shape.split(emulator.check_parameters)[0]
    painted, _ = summaries(emulator.check_outputs, amplitude, rival.sigma_uk, rival.measure)
    found, _, places = rival.predict(emulator.check_parameters)
    return np.sqrt(rival.hartlap * rival.chi2(found, places, painted)[0])


def prior_draws(rival: Rival, count: int, rng: np.random.Generator | np.random.RandomState) -> np.ndarray:
    """Draws (count, p) of the prior inside its cuts and the emulator's range."""
    root, found = np.linalg.cholesky(np.linalg.inv(rival.precision)), []
    while sum(map(len, found)) < count:
        drawn = rival.mean + rng.standard_normal((count, len(rival.mean))) @ root.T
        found.append(drawn[np.isfinite(rival.prior(drawn)[0])])
        if len(found) > 200:
            expected = "a range of mean temperatures that the prior reaches"
            raise problem("rival: prior", f"{sum(map(len, found))} draws in {200 * count}", expected, "widen it")
    return np.concatenate(found)[:count]


def sample_posterior(
    rival: Rival, data: np.ndarray, settings: RivalOptions, folder: str | Path, key: str, seed: int, *index: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """(samples (s, p), diagnostics) of one map's posterior; chains in `folder`, one per ensemble, resumed where they stand.

    settings: the config entry rival.NAME; the first half of every chain is burn-in.
    """

    def start(random: np.random.RandomState) -> np.ndarray:
        places = prior_draws(rival, START_POOL, random)
        heated = rival.log_posterior(places, data) / START_HEAT
        return places[np.argsort(-(heated + random.gumbel(size=len(heated))))[: settings.walkers]]

    chains = []
    for ensemble in range(settings.ensembles):
        path = Path(folder) / f"{'-'.join(map(str, index))}-{ensemble}.h5"
        stream = seed_sequence(seed, "rival chain", *index, ensemble)
        chain, _ = run_chain(path, lambda p: rival.log_posterior(p, data), start, settings.steps, key, stream)
        chains.append(chain[settings.steps // 2 :])
    chains = np.array(chains)
    flat = chains.reshape(-1, chains.shape[-1])
    rows = np.linspace(0, len(flat) - 1, settings.samples).astype(int)
    return flat[rows], diagnostics(chains)


def luminosity_functions(
    rival: Rival, samples: np.ndarray, log10_lum_edges: np.ndarray, volume_mpc3: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Counts per bin in a map of this volume for parameters (s, p): (of one map (s, b), mean over maps (s, b)).

    The mean is the underlying luminosity function of the parameters. The counts of one map add sample variance, from the
    halos of a random training field, and the scatter of each halo, which decides the bin it falls into.
    """
    amplitude, shapes = rival.shape.split(samples)
    one, mean = [], []
    for a, values in zip(amplitude, shapes, strict=True):
        counts, chance = expected_counts(rival.emulator, rival.shape, a, values, log10_lum_edges)
        counts = counts * (volume_mpc3 / rival.emulator.volume_mpc3)[:, None]
        field = rng.integers(len(counts))
        p = np.clip(chance[field], 1e-9, 1)
        trials = counts[field] / p
        one.append(rng.binomial(np.floor(trials + rng.random(len(p))).astype(np.int64), p))
        mean.append(counts.mean(0))
    return np.array(one, np.float64), np.array(mean)
