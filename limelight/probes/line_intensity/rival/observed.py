"""The rival on maps as surveys have them: its summaries, and their likelihood learned from observed simulations.

Power of maps weighted by 1/σ² (pseudo-P(k)), and voxels counted in classes of σ, in units of their noise. No formula gives
their mean and covariance where a mask couples modes and a pipeline takes modes off; simulations that are observed as the
map was do. docs/rival.md names every approximation.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from limelight.cosmology import Cosmology
from limelight.errors import one_line, problem
from limelight.files import attribute, check_finite, read_hdf5, write_hdf5
from limelight.inference.regression import SmoothMean, fit_smooth_mean, fit_uneven_mean
from limelight.probes.line_intensity.config import MapDataset
from limelight.probes.line_intensity.inputs import Recorded
from limelight.probes.line_intensity.lines.models import LN10, LineModel
from limelight.probes.line_intensity.maps.comoving import voxel_size_mpc
from limelight.probes.line_intensity.maps.filters import remove_means
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.rival.config import RivalOptions
from limelight.probes.line_intensity.rival.emulator import light, spread_out
from limelight.probes.line_intensity.rival.rival import Rival, no_covariance, prior_of, set_covariance
from limelight.probes.line_intensity.rival.shapes import Shape, get_shape
from limelight.summaries.power import PowerBins, power_bins
from limelight.summaries.weighted import SigmaClasses, classed_histogram, pseudo_power

KIND = "observed_rival"
ARRAYS = ("parameters", "feature_counts", "feature_weight", "feature_edges", "volume_mpc3")
SMALLEST_POWER = 1e-30  # µK² Mpc³: of a shell that a filter leaves nothing in
SMALLEST_SPREAD = 0.3  # of summaries whose variance is near 1: of bins that hardly any simulation reached
LN_SQUARE = 1.2704  # less than 0 by this is the mean of ln x² of a normal number
ONE_DEPTH = 1e-3  # dex: simulations whose σ differs by less are of one


@dataclass(frozen=True)
class ObservedMeasure:
    """The rival's summaries of maps on the networks' pooled voxels."""

    grid: Grid  # of the study, with its pooling
    shells: PowerBins
    keep: np.ndarray  # (shells,) bool: those with modes enough
    classes: SigmaClasses
    edges: np.ndarray  # (bins + 1,) of T/σ
    means_of: str  # channels, where the survey's pipeline takes their means off; else map

    @property
    def modes(self) -> np.ndarray:
        """Modes of each kept shell, k and −k both counted."""
        return self.shells.modes[self.keep]

    def power(self, found: Recorded) -> np.ndarray:
        """Pseudo-P(k) of the kept shells, noise and all, µK² Mpc³ of mean temperatures; (b, shells) float64."""
        weights = found.weights
        maps = remove_means(found.maps, weights, self.means_of) / (self.grid.pool_pixels**2 * self.grid.pool_channels)
        weights = weights / weights.amax(dim=(1, 2, 3), keepdim=True)
        return pseudo_power(maps, weights, self.shells).numpy()[:, self.keep]

    def counts(self, found: Recorded) -> np.ndarray:
        """Voxels of each class of σ in each bin of T/σ about the mean, float64 (b, classes, bins)."""
        weights = found.weights
        values = remove_means(found.maps, weights, self.means_of) * weights.sqrt()
        number = self.classes.numbers(found.sigma.expand_as(values), weights > 0)
        shares = classed_histogram(values, number, len(self.classes), torch.from_numpy(self.edges))
        voxels = torch.stack([(number == c).sum(dim=(1, 2, 3)) for c in range(len(self.classes))], dim=1)
        return (shares * voxels[..., None]).numpy()

    def depth(self, found: Recorded) -> np.ndarray:
        """log10 of σ (b,) in µK of a voxel's mean temperature: that of even noise with the same sum of 1/σ²."""
        weights = found.weights.double()
        seen = (weights > 0).sum(dim=(1, 2, 3))
        log_sigma = -0.5 * torch.log10(weights.sum(dim=(1, 2, 3)) / seen)
        return log_sigma.numpy() - np.log10(self.grid.pool_pixels**2 * self.grid.pool_channels)

    def __call__(self, found: Recorded) -> np.ndarray:
        """Summaries (b, d) of recorded maps, float64: √(modes/2) ln P, then 2 √(counts + 3/8).

        In this form Gaussian modes and Poisson counts have a variance of 1 at every brightness, and are closer to Gaussian.
        """
        power = np.sqrt(self.modes / 2) * np.log(np.maximum(self.power(found), SMALLEST_POWER))
        return np.hstack([power, 2 * np.sqrt(self.counts(found) + 0.375).reshape(len(power), -1)])


def observed_measure(options: RivalOptions, grid: Grid, cosmology: Cosmology, means_of: str) -> ObservedMeasure:
    """The ObservedMeasure of a config entry `rival.NAME` on the pooled voxels of a study; refuses maps in Jy/sr."""
    if grid.unit != "uK":
        raise problem("grid.unit", grid.unit, "uK: the rival bins temperatures", "paint the study in µK")
    shells = power_bins(
        grid.pooled_shape, voxel_size_mpc(grid, cosmology), np.logspace(*options.log10_k, options.k_bins + 1)
    )
    keep = shells.modes >= options.min_modes
    if not keep.any():
        expected = f"shells of {options.min_modes} modes or more"
        raise problem("rival: log10_k", f"{options.log10_k}: none", expected, "choose wave numbers that maps hold")
    low, high = np.arcsinh(options.noise_units)
    edges = np.sinh(np.linspace(low, high, options.temperature_bins + 1))
    return ObservedMeasure(grid, shells, keep, SigmaClasses(tuple(options.classes)), edges, means_of)


@dataclass
class ObservedEmulator:
    """Summaries of k simulated maps of the prior, under each observation, and the halos that their model needs."""

    model: str
    parameters: np.ndarray  # (k, p)
    data: dict[str, np.ndarray]  # observation: (k, d)
    depths: dict[str, np.ndarray]  # observation: (k,) of ObservedMeasure.depth
    feature_counts: np.ndarray  # (r, x bins) as of Emulator
    feature_weight: np.ndarray
    feature_edges: np.ndarray
    volume_mpc3: np.ndarray  # (r,)

    def __post_init__(self) -> None:
        self.shape = get_shape(self.model)
        amplitude, shapes = self.shape.split(self.parameters)
        self.low, self.high = shapes.min(0), shapes.max(0)
        self.span = np.where(self.high > self.low, self.high - self.low, 1.0)

    def inside(self, shapes: np.ndarray) -> np.ndarray:
        """Which shapes (m, s) lie within the box of the simulations; bool (m,)."""
        return np.all((shapes >= self.low) & (shapes <= self.high), axis=1)

    def points(self, shapes: np.ndarray, amplitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(coordinates (m, c) over which summaries are smooth, log10 of the mean temperature in µK (m,))."""
        x = (self.feature_edges[1:] + self.feature_edges[:-1]) / 2
        known = light(self.feature_counts.mean(0), self.feature_weight, x, self.shape, shapes)
        log_temperature = known[:, 0] / LN10 + amplitude
        return np.column_stack([log_temperature, self.shape.coordinates(shapes, known[:, 1:])]), log_temperature


@dataclass
class ObservedRival(Rival):
    """All that the posterior of one map under one observation needs."""

    emulator: ObservedEmulator  # type: ignore[assignment]  # of other summaries, used through the methods below
    measure: ObservedMeasure  # type: ignore[assignment]
    smooth: SmoothMean | None = None
    log_spread: SmoothMean | None = None  # ln of the scatter of each summary of one map
    leverage: np.ndarray | None = None  # (k,) of the simulations: variance of their mean over that of one of them
    depth: float | np.ndarray | None = None  # of the map; None: simulations of one depth, which is the map's as well

    def prior(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        log_prior, outputs, amplitude, places = super().prior(parameters)
        return log_prior, outputs, amplitude, self._with_depth(places)

    def outputs(self, shapes: np.ndarray, amplitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        points, log_temperature = self.emulator.points(shapes, amplitude)
        return self._with_depth(points), log_temperature

    def _with_depth(self, columns: np.ndarray) -> np.ndarray:
        """Coordinates (m, c) with that of the depth behind them, where simulations have several."""
        if self.depth is None:
            return columns
        return np.column_stack([columns, np.broadcast_to(self.depth, len(columns))])

    def means(self, outputs: np.ndarray, amplitude: np.ndarray) -> np.ndarray:
        """Mean summaries, and behind them ln of their scatter, (m, 2d)."""
        return np.hstack([self.smooth(outputs), self.log_spread(outputs)])

    def chi2(self, found: np.ndarray, places: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean, log_spread = np.split(found, 2, axis=1)
        scale = np.maximum(np.exp(log_spread), SMALLEST_SPREAD)
        chi2, log_det = super().chi2(mean / scale, places, data / scale)
        return chi2, log_det + 2 * np.log(scale).sum(axis=1)

    def spread(self, means: np.ndarray) -> np.ndarray:
        return np.ones_like(means)


def make_observed_rival(
    emulator: ObservedEmulator,
    model: LineModel,
    shape: Shape,
    line_model: MapDataset,
    options: RivalOptions,
    measure: ObservedMeasure,
    observation: str,
) -> ObservedRival:
    """The rival for one observation: mean summaries and their scatter by regression, correlations from what is left nearby.

    Scatter grows with the light by a factor within the reach of one covariance: nearby simulations alone would say too much
    of it for faint maps, and the likelihood would take light for noise.
    What is left is of each simulation about the mean that the others give, so the covariance holds the mean's own error.
    Where the simulations have a range of σ, `depth` is still theirs: replace it by that of a map.
    """
    depths = emulator.depths[observation]
    varied = np.ptp(depths) > ONE_DEPTH
    found = ObservedRival(
        emulator=emulator,
        measure=measure,
        shape=shape,
        sigma_uk=np.nan,
        depth=depths if varied else None,
        **prior_of(model, line_model),
        **no_covariance(len(emulator.low) + varied),
    )
    log_prior, outputs, _, places = found.prior(emulator.parameters)
    used = np.isfinite(log_prior)
    if used.sum() < 2 * options.neighbours:
        expected = f"at least {2 * options.neighbours}, twice its neighbours"
        fix = "raise simulations or draws, or lower neighbours"
        raise problem("rival", f"{used.sum()} simulated maps within its prior", expected, fix)
    points = outputs[used]
    scaled = (points - points.min(0)) / np.maximum(np.ptp(points, axis=0), 1e-12)
    centres = points[spread_out(scaled, min(options.nodes, len(points) // 4))]
    smooth, left, leverage = fit_uneven_mean(points, emulator.data[observation][used], centres)
    squares = np.log(np.maximum(left**2, SMALLEST_SPREAD**4)) + LN_SQUARE
    log_spread = fit_smooth_mean(points, squares / 2, centres)[0]
    local = options.model_copy(update={"covariance": "local"})
    set_covariance(found, left / np.maximum(np.exp(log_spread(points)), SMALLEST_SPREAD), places[used], local)
    return replace(found, smooth=smooth, log_spread=log_spread, leverage=leverage)


def write_observed(path: str | Path, emulator: ObservedEmulator, attributes: dict[str, object]) -> None:
    """Write rival/{name}/emulator.h5 of a rival that is `observed`; attributes: provenance."""
    with write_hdf5(path, KIND, {**attributes, "model": emulator.model}, in_memory=True) as file:
        for name in ARRAYS:
            file[name] = check_finite(np.asarray(getattr(emulator, name)), f"{path}: {name}")
        for group in ("data", "depths"):
            for name, rows in getattr(emulator, group).items():
                file[f"{group}/{name}"] = check_finite(rows, f"{path}: {group} of {name}")


@one_line("an observed rival's emulator")
def read_observed(path: str | Path) -> ObservedEmulator:
    """Read what `write_observed` wrote, checked."""
    with read_hdf5(path, KIND, (*ARRAYS, "data", "depths")) as file:
        arrays = {name: check_finite(file[name][...], f"{path}: {name}") for name in ARRAYS}
        groups = {
            group: {name: check_finite(rows[...], f"{path}: {group}") for name, rows in file[group].items()}
            for group in ("data", "depths")
        }
        return ObservedEmulator(model=str(attribute(file, "model")), **groups, **arrays)
