"""Line maps simulated for inference: the line model's prior, and fresh maps of any of its parameters."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from limelight.ancestry import check_file
from limelight.errors import problem
from limelight.inference.posteriors.smc import Simulated
from limelight.probes.line_intensity.config import MapDataset
from limelight.probes.line_intensity.labels import log10_lum_edges
from limelight.probes.line_intensity.lines.models import get_model
from limelight.probes.line_intensity.lines.priors import prior_gaussian
from limelight.probes.line_intensity.settings import ShardSettings
from limelight.probes.line_intensity.simulations import fisher_maps, light_fields, simulate_map
from limelight.section import plain
from limelight.study.settings import IntervalsSettings, NetworkSettings, PosteriorSettings


def prior_settings(network: NetworkSettings) -> ShardSettings:
    """Of the one dataset whose parameters a network can tell: that of its training maps."""
    (settings,) = network.datasets.values()
    return settings


def fisher_rows(
    settings: PosteriorSettings, paths: Sequence[str | Path]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What Probe.fisher_rows gives, of maps (…, 1, x, y, f); paths: subfields of the training light-cones."""
    if not paths:
        raise problem("--simulate-from", "none", "subfields files: an IMNN paints its own maps", "give some")
    prior = prior_settings(settings.network)
    for path in paths:
        check_file(path, prior.maps.subfields)
    *maps, step = fisher_maps(
        paths,
        prior.maps.dataset,
        prior.grid,
        prior.beam_fwhm_arcmin,
        settings.entry.imnn,
        settings.network.seed,
    )
    return *(each[..., None, :, :, :] for each in maps), step


class LineSimulator:
    """Maps painted on training subfields at proposed parameters: a Simulator (inference.posteriors.smc)."""

    def __init__(self, settings: IntervalsSettings, paths: Sequence[str | Path]):
        network, prior = settings.posterior.network, prior_settings(settings.posterior.network)
        for path in paths:
            check_file(path, prior.maps.subfields)
        self.dataset, self.grid, self.beam_fwhm_arcmin = prior.maps.dataset, prior.grid, prior.beam_fwhm_arcmin
        self.model = get_model(self.dataset.model, self.dataset.parameters)
        self.parameter_names = list(self.model.parameters)
        self.edges = log10_lum_edges(plain(prior.maps.labels))
        self.log_prior = gaussian_log_prior(self.dataset)
        self.fields = light_fields(paths, self.dataset, self.grid, network.splits["train"], settings.smc.fields)

    def simulate(self, theta: np.ndarray, rng: np.random.Generator) -> Simulated:
        """A map of each θ (m, p) on a field drawn at random, with fresh scatter, and its counts (m, bins).

        A map whose mean temperature the dataset does not allow is left out; its counts are NaN.
        """
        which = rng.integers(len(self.fields), size=len(theta))
        noise_seed = int(rng.integers(2**62))
        maps, rows = [], []
        counts = np.full((len(theta), len(self.edges) - 1), np.nan)
        for i, values in enumerate(theta.tolist()):
            parameters = dict(zip(self.parameter_names, values, strict=True))
            field = self.fields[which[i]]
            painted = simulate_map(field, self.model, parameters, self.dataset, self.beam_fwhm_arcmin, self.edges, rng)
            if painted is not None:
                maps.append(painted[0][None])
                rows.append(i)
                counts[i] = painted[1]
        x = np.stack(maps) if maps else np.empty((0, 1, *self.grid.pooled_shape), np.float32)
        return Simulated(x, rows, counts, noise_seed)


def gaussian_log_prior(dataset: MapDataset) -> Callable[[np.ndarray], np.ndarray]:
    """θ (m, p) -> ln of the prior's Gaussian (m,) without its constant, −inf where lines.priors draws anew."""
    model = get_model(dataset.model, dataset.parameters)
    mean, covariance = prior_gaussian(model, dataset.prior)
    names, precision = list(model.parameters), np.linalg.inv(covariance)
    above = [i for i, name in enumerate(names) if name in model.positive]
    scatters = [i for i, name in enumerate(names) if name.startswith("sigma")]

    def log_prior(theta: np.ndarray) -> np.ndarray:
        off = theta - mean
        allowed = (theta[:, above] > 0).all(axis=1) & (theta[:, scatters] >= 0).all(axis=1)
        return np.where(allowed, -0.5 * np.einsum("mi,ij,mj->m", off, precision, off), -np.inf)

    return log_prior
