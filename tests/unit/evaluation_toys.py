"""Made-up but realistic evaluations of luminosity functions, of classes, of parameters and of images."""

import dataclasses

import numpy as np
import torch

from limelight.data.axes import Axis, OutputAxis
from limelight.data.shard import Header
from limelight.data.targets import ClassTarget, FieldTarget, Target, VectorTarget
from limelight.evaluation.evaluation_file import Evaluation
from limelight.evaluation.images import correlation_of_rows
from limelight.evaluation.metrics import ImageSums, Judged, judge
from limelight.evaluation.predict import image_spectra
from limelight.probes.line_intensity.metrics import PERCENTILES, line_metrics, log10_1p
from limelight.probes.line_intensity.targets import LuminosityTarget
from limelight.summaries.reconstruction import spectra_of
from limelight.summaries.scales import scales_of
from limelight.training.presentation import PlainPresentation

EDGES = np.linspace(3.5, 7, 50)
GRID = {"pixels": 128, "channels": 50, "freq_min_ghz": 26.0, "freq_max_ghz": 34.0, "rest_freq_ghz": 115.27}
GRID |= {"pool_pixels": 2, "pool_channels": 5, "size_deg": 1.4, "unit": "uK"}
HEADER = Header(
    probe="line_intensity",
    axes=(Axis("x", "deg", -0.7, 0.7, 64), Axis("y", "deg", -0.7, 0.7, 64), Axis("frequency", "GHz", 26.0, 34.0, 10)),
    channels=("line",),
    unit="uK",
    geometry=GRID,
    truths={"labels": {"log10_lum_min": 3.5, "log10_lum_max": 7.0, "bins": 49}},
)
ANOTHER = Header("gaussian_field", (Axis("x", "m", 0, 1, 16), Axis("y", "m", 0, 1, 16)), ("a", "b"), "K", {}, {})
VOLUME = 3.0e6  # Mpc^3, of a map of 1.4 deg and 26 to 34 GHz


def history(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A training that went well."""
    epochs = np.arange(1, 13)
    found = {
        "train_loss": 0.9 * np.exp(-epochs / 3) + 0.02,
        "validation_loss": np.exp(-epochs / 3) * (1 + 0.2 * rng.random(12)) + 0.03,
        "mean_predictor_loss": np.ones(12),
    }
    return {"epoch": epochs} | found | {name.replace("loss", "mse"): 0.05 * values for name, values in found.items()}


def label_statistics(natural: np.ndarray, encoded: np.ndarray) -> dict[str, np.ndarray]:
    """As training keeps them; the test's truths stand for those of training."""
    found = {"mean": natural.mean(axis=0), "std": natural.std(axis=0), "mean_target": encoded.mean(axis=0)}
    return found | {"std_target": encoded.std(axis=0), "percentiles": np.percentile(natural, PERCENTILES, axis=0)}


def judged(target: Target, predicted_target: np.ndarray, y: dict[str, np.ndarray], header: Header = HEADER) -> Judged:
    """Predictions beside the truth, and beside its mean."""
    truth = target.truth(y)
    average = {name: np.mean(values, axis=0, keepdims=True) for name, values in y.items()}
    constant = target.encode(truth, y).mean(axis=0)
    return Judged(
        presentation=PlainPresentation(target),
        header=header,
        y=y,
        predicted_target=predicted_target,
        truth_target=target.encode(truth, y),
        constant_target=constant,
        predicted=target.decode(predicted_target, y),
        truth=truth,
        constant=target.decode(constant[None], average)[0],
        average=average,
    )


def evaluation(network: str, test: str, found: Judged, **more) -> Evaluation:
    """An evaluation of predictions; more: further fields, and `settings` beyond those that every test has."""
    metrics = [line_metrics] if found.header.probe == "line_intensity" else []
    statistics, totals = judge(found, *metrics)
    settings = {"dataset": "li10", "loss": "mse", "training_rows": 500, "shown": [0, 1, 2], "parameter_names": []}
    fields = {
        "target": {"standardise": True, "shape": list(found.target.shape)},
        "rows": {"group": np.zeros(len(found.truth), int)},
        "blank": {"clean": found.constant, "noisy": np.repeat(found.constant[None], 4, axis=0)},
        "training": label_statistics(found.truth, found.truth_target),
        "history": history(np.random.default_rng(5)),
        "examples": {},
    }
    return Evaluation(
        network=network,
        test=test,
        settings=settings | more.pop("settings", {}),
        axis=found.target.axis,
        header=found.header,
        predicted_target=found.predicted_target,
        truth_target=found.truth_target,
        predicted=found.predicted,
        truth=found.truth,
        statistics=statistics,
        totals=totals,
        **fields | more,
    )


def sample(test: str, sigma_uk: float | list[float], error_dex: float, maps: int = 128, seed: int = 3) -> Evaluation:
    """A study's evaluation as it might be: Schechter-like counts of varying height and knee, errors growing with L."""
    rng = np.random.default_rng(seed)
    centre = 0.5 * (EDGES[1:] + EDGES[:-1])
    height, knee = rng.normal(3.2, 0.12, (2, maps, 1)) * np.array([1.0, 0.0])[:, None, None] + np.array(
        [np.zeros((maps, 1)), rng.normal(5.9, 0.15, (maps, 1))]
    )
    counts = rng.poisson(10 ** (height - 0.55 * (centre - 3.5)) * np.exp(-(10 ** (centre - knee)))).astype(float)
    target = log10_1p(counts)
    errors = error_dex * (rng.normal(size=(maps, 1)) + 0.4 * rng.normal(size=(maps, 49))) * (0.6 + (centre - 3.5) / 3.5)
    mean = target.mean(axis=0)
    predicted = np.maximum(mean + (target - mean) * 0.95 + errors, 0)
    n_above = np.pad(np.cumsum(counts[:, ::-1], axis=1)[:, ::-1], ((0, 0), (0, 1)))
    y = {"n_above": n_above, "volume_mpc3": np.full(maps, VOLUME)}
    found = judged(LuminosityTarget("dn", "log10_1p", tuple(EDGES.tolist())), predicted, y)
    fine = np.where(rng.random((3, 128, 128)) < 0.2, rng.lognormal(0, 1.5, (3, 128, 128)), 0).astype(np.float32)
    pooled = 5 * fine.reshape(3, 64, 2, 64, 2).sum(axis=(2, 4))
    noise = rng.normal(0, max(np.max(sigma_uk), 1e-9), pooled.shape) * np.sqrt(20)
    return evaluation(
        "limelight",
        test,
        found,
        history=history(rng),
        target={"quantity": "dn", "transform": "log10_1p", "standardise": True, "shape": [49]},
        rows={"group": np.zeros(maps, int), "volume_mpc3": y["volume_mpc3"]},
        blank={"clean": np.full(49, 0.02), "noisy": np.abs(rng.normal(0.5, 0.2, (8, 49))) * np.max(sigma_uk)},
        examples={"raw": fine, "pooled": pooled, "noisy": pooled + noise},
        settings={
            "line_model": {"name": "li10", "model": "li", "prior": "10%"},
            "noise": {"sigma_uk": sigma_uk},
            "noise_sigma_uk": sigma_uk,
            "foregrounds": "none",
        },
    )


def network(name: str, test: str, sigma_uk=0.0, error_dex=0.03, maps=128, model="li10", **settings) -> Evaluation:
    """A network's evaluation on the maps of `sample`, with what the comparisons ask of it."""
    e = sample(test, sigma_uk, error_dex, maps=maps)
    rows = {**e.rows, "subfield": np.arange(maps), "draw": np.zeros(maps, int)}
    line_model = {**e.settings["line_model"], "name": model}
    settings = {**e.settings, "dataset": model, "line_model": line_model, **settings}
    return dataclasses.replace(e, network=name, rows=rows, settings=settings)


def classifier(test: str, dataset: str, shares: np.ndarray, names=("faint", "bright_ones"), **settings) -> Evaluation:
    """A classifier's answers to rows of one dataset: probabilities (m, classes)."""
    y = {"dataset": np.full(len(shares), names.index(dataset))}
    found = judged(ClassTarget(names, "line model"), np.asarray(shares, float), y)
    settings = {"dataset": dataset, "line_model": {"name": dataset, "prior": dataset[:1]}, **settings}
    return evaluation("sorter", test, found, settings=settings)


def parameters(test: str = "clean", rows: int = 60, error: float = 0.1, log10_bins: bool = False) -> Evaluation:
    """A network of another probe that reads two parameters, or three bins of something."""
    rng, k = np.random.default_rng(8), 3 if log10_bins else 2
    truth = rng.normal(0, 1, (rows, k))
    axis = OutputAxis("parameter", names=("omega_m", "sigma_8"))
    if log10_bins:
        axis = OutputAxis("wave number", "1/Mpc", edges=(0.1, 0.2, 0.3, 0.4))
    target = VectorTarget("theta", axis, (k,))
    found = judged(target, truth + rng.normal(0, error, (rows, k)), {"theta": truth}, ANOTHER)
    return evaluation("reader", test, found)


def images(test: str = "clean", rows: int = 6, channels: tuple[str, ...] = ("kappa",)) -> Evaluation:
    """A network of another probe that answers images."""
    rng = np.random.default_rng(9)
    truth = rng.normal(0, 1, (rows, len(channels), 16, 16))
    target = FieldTarget(("kappa",), OutputAxis("convergence", channels=channels), truth.shape[1:])
    predicted = 0.8 * truth + rng.normal(0, 0.2, truth.shape)
    found = judged(target, predicted, {"kappa": truth}, ANOTHER)
    scales = scales_of(ANOTHER.axes)
    spectra = spectra_of(torch.from_numpy(predicted), torch.from_numpy(truth), scales.bins)
    errors = [float(np.mean((answer - truth) ** 2)) for answer in (predicted, found.constant_target)]
    images = ImageSums(scales, spectra, correlation_of_rows(predicted, truth), *errors)
    found = dataclasses.replace(found, images=images)
    return evaluation("painter", test, found, scales=scales.axis, spectra=image_spectra(images))
