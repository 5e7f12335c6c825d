"""The rival's forward model: mean summaries over halo fields, painted at a few hundred shapes and interpolated between.

Amplitude and noise need no interpolation: temperatures scale, and noise adds σ² V to P(k) and blurs the voxel distribution.
Cubic radial basis functions interpolate over the shape (rival.shapes): ln T̄, ln(P/T̄²) per shell, P₂/P of a rival that reads
the quadrupole, and the quantile function of (T − T̄)/T̄ over voxels. These are smooth, because every shape is painted on the
same halos with the same scatter. The mean temperature and shot noise that a histogram of halos predicts are subtracted
before and added back after.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.interpolate import RBFInterpolator
from scipy.special import ndtr

from limelight.errors import one_line, problem
from limelight.files import attribute, check_finite, read_hdf5, write_hdf5
from limelight.probes.line_intensity.config import MapDataset
from limelight.probes.line_intensity.lines.models import LN10, LineModel
from limelight.probes.line_intensity.lines.priors import draw_parameters, prior_gaussian
from limelight.probes.line_intensity.rival.config import RivalOptions
from limelight.probes.line_intensity.rival.fields import Measure, RivalField, noisy_summaries, paint_shape
from limelight.probes.line_intensity.rival.shapes import Shape, get_shape
from limelight.seeds import generator
from limelight.summaries.power import noise_power
from limelight.summaries.vid import expected_histogram

KIND = "rival_emulator"
ARRAYS = (
    "nodes",
    "outputs",
    "parameters",
    "fiducial",
    "feature_counts",
    "feature_weight",
    "feature_edges",
    "volume_mpc3",
    "check_parameters",
    "check_outputs",
)
SOFT = 0.1  # of T̄: the quantile function is that of asinh((T − T̄)/(0.1 T̄)), linear for faint voxels, a log for bright
GRID = np.linspace(-3.2, 17.0, 1011)  # bins of that asinh
LEVELS = np.concatenate([[0.0], np.linspace(0.01, 0.5, 40), 1 - np.geomspace(0.48, 1e-6, 80)])
FEATURE_BIN = 0.01  # dex of a halo's x, for luminosity functions
POOL = 20_000  # draws of the prior among which the nodes are chosen
CENTRAL = 0.999  # share of the prior's shapes, per coordinate, that the nodes span; the rest is cut off
WIDER = 2.0  # nodes reach mean temperatures this much beyond the prior's limits


@dataclass
class Emulator:
    """Mean summaries of one line model over r fields at n nodes; see `summaries`."""

    model: str
    nodes: np.ndarray  # (n, s) shapes
    outputs: np.ndarray  # (n, 1 + powers + levels)
    feature_counts: np.ndarray  # (r, x bins) halos of each field by x
    feature_weight: np.ndarray  # (x bins,) µK per Lsun that the halos of a bin add to a field's mean, over the fields
    feature_edges: np.ndarray  # (x bins + 1,)
    volume_mpc3: np.ndarray  # (r,)
    parameters: np.ndarray  # (k, p) of further painted maps
    fiducial: np.ndarray  # (k,) bool: those of the prior's mean
    data: dict[str, np.ndarray]  # noise setting: (k, d) their noisy summaries
    realisations: int  # fields behind the mean
    check_parameters: np.ndarray  # (c, p) whose shapes lie between the nodes
    check_outputs: np.ndarray  # (c, ...) painted there
    shells: int  # of P(k)

    def __post_init__(self) -> None:
        self.low, self.high = self.nodes.min(0), self.nodes.max(0)
        self.span = np.where(self.high > self.low, self.high - self.low, 1.0)
        self._shape = get_shape(self.model)
        points, base = self._points(self.nodes)
        self._span = np.maximum(np.ptp(points, axis=0), 1e-12)
        self._interpolator = RBFInterpolator(points / self._span, self.outputs - base, kernel="cubic")

    def _points(self, shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(interpolation coordinates (m, c), the part of the outputs known without painting (m, ...))."""
        x = (self.feature_edges[1:] + self.feature_edges[:-1]) / 2
        known = light(self.feature_counts.mean(0), self.feature_weight, x, self._shape, shapes)
        base = np.zeros((len(shapes), self.outputs.shape[1]))
        base[:, 0] = known[:, 0]
        base[:, 1 : 1 + self.shells] = known[:, 1:2]
        return self._shape.coordinates(shapes, known[:, 1:]), base

    def inside(self, shapes: np.ndarray) -> np.ndarray:
        """Which shapes (m, s) lie within the box of the nodes; bool (m,)."""
        return np.all((shapes >= self.low) & (shapes <= self.high), axis=1)

    def at(self, shapes: np.ndarray) -> np.ndarray:
        """Interpolated outputs (m, ...) at shapes (m, s)."""
        points, base = self._points(shapes)
        return self._interpolator(points / self._span) + base


def summaries(
    outputs: np.ndarray, amplitude: np.ndarray, sigma_uk: float, measure: Measure
) -> tuple[np.ndarray, np.ndarray]:
    """Mean summaries (m, d) of noisy maps and their mean temperature (m,) in µK, from outputs and amplitudes (m,).

    sigma_uk: white noise per rival voxel.
    """
    shells = len(measure.modes)
    log_mean = np.clip(outputs[:, 0] + LN10 * amplitude, -60, 60)
    mean = np.exp(log_mean)
    power = np.exp(np.clip(outputs[:, 1 : 1 + shells] + 2 * log_mean[:, None], -100, 100))
    quadrupole = outputs[:, 1 + shells : 1 + measure.powers] * power[:, : measure.powers - shells]
    power = np.hstack([power, quadrupole]) + noise_power(sigma_uk, measure.voxel_mpc) * measure.white
    quantile = np.maximum.accumulate(outputs[:, 1 + measure.powers :], axis=1)
    value = SOFT * mean[:, None] * np.sinh(np.clip(quantile, -20, 20))
    middle, width = (value[:, 1:] + value[:, :-1]) / 2, np.diff(value, axis=1)
    share = np.append(np.diff(LEVELS), 1 - LEVELS[-1])
    middle = np.hstack([middle, value[:, -1:]])
    width = np.hstack([width, 0 * width[:, -1:]])
    blur = np.sqrt(sigma_uk**2 + width**2 / 12)
    tensors = (torch.from_numpy(array) for array in (middle, np.tile(share, (len(middle), 1)), measure.edges_uk, blur))
    counts = expected_histogram(*tensors, measure.grid.voxels).numpy()
    return np.hstack([power, counts]), mean


def paint_node(
    fields: list[RivalField], normals: list[np.ndarray], shape: Shape, values: np.ndarray, measure: Measure
) -> np.ndarray:
    """The outputs (1 + powers + levels,) at one shape: fields painted with their normals, then averaged."""
    painted = [paint_shape(field, shape, values, own, measure) for field, own in zip(fields, normals, strict=True)]
    top = max(offset for _, offset in painted)
    cubes = [cube * np.float32(10 ** (offset - top)) for cube, offset in painted]
    means = [float(cube.mean(dtype=np.float64)) for cube in cubes]
    mean = np.mean(means)
    power, histogram = 0.0, np.zeros(len(GRID) - 1)
    for cube, own in zip(cubes, means, strict=True):
        contrast = (cube - np.float32(own)) / np.float32(mean)
        power = power + measure.power(torch.from_numpy(contrast)[None])[0]
        place = (np.arcsinh(contrast / SOFT) - GRID[0]) * (1 / (GRID[1] - GRID[0]))
        histogram += np.bincount(np.clip(place, 0, len(GRID) - 2).astype(np.int32).ravel(), minlength=len(GRID) - 1)
    below = np.append(0.0, np.cumsum(histogram)) / histogram.sum()
    used = np.append(True, np.diff(below) > 0)  # where the distribution function rises
    used[:-1] |= used[1:]
    quantile = np.interp(LEVELS, below[used], GRID[used])
    monopole, quadrupole = np.split(power / len(fields), [len(measure.modes)])
    shape_of_power = np.concatenate([np.log(monopole), quadrupole / monopole[: len(quadrupole)]])
    return np.concatenate([[np.log(mean) + LN10 * top], shape_of_power, quantile])


def light(counts: np.ndarray, weight: np.ndarray, x: np.ndarray, shape: Shape, shapes: np.ndarray) -> np.ndarray:
    """What a histogram of halos predicts for shapes (m, s) without painting: float64 (m, 4), at amplitude 0.

    ln of the mean temperature in µK; ln of the shot noise ΣL²/(ΣL)², up to a constant; mean x weighted by light, and by
    light squared. counts, weight (bins,): halos of a field, and what they add to its mean per Lsun, by x (bins,).
    """
    some = counts > 0
    x, weight, square = x[some], weight[some], weight[some] ** 2 / counts[some]
    boost = np.array([(LN10 * shape.scatter(values)) ** 2 for values in shapes])
    log_lum = np.stack([shape.location(x, values) for values in shapes])
    top = log_lum.max(axis=1)
    lum = 10.0 ** (log_lum - top[:, None])
    first, second = weight * lum, square * lum**2
    total, squares = first.sum(axis=1), second.sum(axis=1)
    return np.stack(
        [
            np.log(total) + LN10 * top + boost / 2,
            np.log(squares) - 2 * np.log(total) + boost,
            first @ x / total,
            second @ x / squares,
        ],
        axis=1,
    )


def prior_pool(
    model: LineModel,
    line_model: MapDataset,
    shape: Shape,
    counts: np.ndarray,
    weight: np.ndarray,
    x: np.ndarray,
    seed: int,
) -> np.ndarray:
    """Draws (n, p) of the prior whose mean temperature and shape the emulator should cover.

    Shapes beyond CENTRAL of the prior in any coordinate are left out. counts, weight, x: as in `light`, for the temperature.
    """
    rng = generator(seed, "rival pool")
    drawn = [draw_parameters(model, line_model.prior, line_model.parameters, rng) for _ in range(POOL)]
    parameters = np.array([list(one.values()) for one in drawn])
    amplitude, shapes = shape.split(parameters)
    limits = line_model.mean_temperature_uk
    if limits:
        log_t = amplitude + light(counts, weight, x, shape, shapes)[:, 0] / LN10
        keep = (log_t > np.log10(limits[0] / WIDER)) & (log_t < np.log10(limits[1] * WIDER))
        parameters, shapes = parameters[keep], shapes[keep]
    tail = (1 - CENTRAL) / 2
    low, high = np.quantile(shapes, [tail, 1 - tail], axis=0)
    return parameters[np.all((shapes >= low) & (shapes <= high), axis=1)]


def spread_out(points: np.ndarray, count: int) -> np.ndarray:
    """Rows of `count` points (n, s) that are each far from those before; the outermost in each coordinate come first."""
    chosen = list(dict.fromkeys([*points.argmin(0).tolist(), *points.argmax(0).tolist()]))
    distance = np.min(np.linalg.norm(points[:, None] - points[chosen], axis=2), axis=1)
    while len(chosen) < count:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return np.array(chosen[:count])


def feature_histogram(fields: list[RivalField]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(counts (r, bins), weight (bins,), edges): the fields' halos by x, and what they add to a field's mean per Lsun."""
    low, high = min(f.x.min() for f in fields), max(f.x.max() for f in fields)
    edges = low - FEATURE_BIN / 2 + FEATURE_BIN * np.arange(int((high - low) / FEATURE_BIN) + 3)
    counts = np.array([np.histogram(f.x, edges)[0] for f in fields])
    weight = sum(np.histogram(f.x, edges, weights=f.halos.uk_per_lsun.astype(np.float64))[0] for f in fields) / len(
        fields
    )
    return counts, weight, edges


def expected_counts(
    emulator: Emulator, shape: Shape, amplitude: float, values: np.ndarray, log10_lum_edges: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean counts of each field's halos per luminosity bin, and its mean chance Σ n p² / Σ n p; (r, b) each."""
    x = (emulator.feature_edges[1:] + emulator.feature_edges[:-1]) / 2
    place = log10_lum_edges - (amplitude + shape.location(x, values))[:, None]
    scatter = max(shape.scatter(values), FEATURE_BIN / 3)
    chance = np.diff(ndtr(place / scatter), axis=1)
    counts = emulator.feature_counts @ chance
    squares = emulator.feature_counts @ chance**2
    return counts, np.divide(squares, counts, out=np.zeros_like(counts), where=counts > 0)


def make_emulator(
    fields: list[RivalField], model: LineModel, shape: Shape, line_model: MapDataset, settings: RivalOptions,
    measure: Measure, noise: dict[str, float], seed: int, show=iter,
) -> Emulator:  # fmt: skip
    """Paint the nodes and the fiducial maps for the covariance.

    fields: of the training light-cones; settings.realisations of them make the mean, all of them the covariance.
    line_model: the config entry that gives the prior; noise: {name: σ in µK per rival voxel}.
    """
    chosen = fields[:: max(1, len(fields) // settings.realisations)][: settings.realisations]
    if len(chosen) < settings.realisations:
        expected = f"{settings.realisations} (rival.realisations)"
        raise problem("rival", f"{len(fields)} training subfields", expected, "use fewer, or more light-cones")
    counts, weight, edges = feature_histogram(fields)
    weight = weight / measure.grid.voxels
    known = counts.mean(0), weight, (edges[1:] + edges[:-1]) / 2
    pool = prior_pool(model, line_model, shape, *known, seed)
    needed = max(2 * settings.nodes, settings.simulations)
    if len(pool) < needed:
        fix = "widen mean_temperature_uk or ask for fewer nodes and simulations"
        raise problem("rival", f"{len(pool)} of {POOL} prior draws within its temperatures", f"{needed}", fix)
    shapes = shape.split(pool)[1]
    points = shape.coordinates(shapes, light(*known, shape, shapes)[:, 1:])
    nodes = shapes[spread_out(points / np.maximum(np.ptp(points, axis=0), 1e-12), settings.nodes)]
    checks = len(pool) - settings.nodes // 8
    normals = [field.normals(seed) for field in chosen]
    painted = [paint_node(chosen, normals, shape, values, measure) for values in show([*nodes, *shapes[checks:]])]
    fixed = np.tile(prior_gaussian(model, line_model.prior)[0], (len(fields) * settings.covariance_draws, 1))
    parameters = np.concatenate([fixed, pool[: settings.simulations]])
    amplitude, values = shape.split(parameters)
    data = {name: np.empty((len(parameters), measure.powers + len(measure.edges_uk) - 1)) for name in noise}
    for which, field in enumerate(show(fields)):  # map i on field i modulo their number, each with its own scatter
        for i in range(which, len(parameters), len(fields)):
            cube, offset = paint_shape(field, shape, values[i], field.normals(seed, 1 + i), measure)
            cube = cube * np.float32(10 ** (offset + amplitude[i]))
            for name, sigma in noise.items():
                data[name][i] = noisy_summaries(cube, sigma, measure, seed, "rival noise", i)
    return Emulator(
        model=model.name,
        nodes=nodes,
        outputs=np.array(painted[: len(nodes)]),
        feature_counts=counts,
        feature_weight=weight,
        feature_edges=edges,
        volume_mpc3=np.array([field.volume_mpc3 for field in fields]),
        parameters=parameters,
        fiducial=np.arange(len(parameters)) < len(fixed),
        data=data,
        realisations=len(chosen),
        check_parameters=pool[checks:],
        check_outputs=np.array(painted[len(nodes) :]),
        shells=len(measure.modes),
    )


def write_emulator(path: str | Path, emulator: Emulator, attributes: dict[str, object]) -> None:
    """Write rival/{name}/emulator.h5; attributes: provenance."""
    header = {"model": emulator.model, "realisations": emulator.realisations, "shells": emulator.shells}
    with write_hdf5(path, KIND, {**attributes, **header}, in_memory=True) as file:
        for name in ARRAYS:
            file[name] = check_finite(np.asarray(getattr(emulator, name)), f"{path}: {name}")
        for name, rows in emulator.data.items():
            file[f"data/{name}"] = check_finite(rows, f"{path}: summaries under noise {name}")


@one_line("a rival's emulator")
def read_emulator(path: str | Path) -> Emulator:
    """Read an emulator file, checked."""
    with read_hdf5(path, KIND, (*ARRAYS, "data")) as file:
        arrays = {name: check_finite(file[name][...], f"{path}: {name}") for name in ARRAYS}
        data = {name: check_finite(rows[...], f"{path}: data") for name, rows in file["data"].items()}
        header = {"model": str(attribute(file, "model"))}
        header |= {name: int(attribute(file, name)) for name in ("realisations", "shells")}
        return Emulator(**header, data=data, **arrays)
