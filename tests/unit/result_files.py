"""Small sound files of all that judging writes, for tests of their readers."""

from pathlib import Path

import numpy as np
import torch
from evaluation_toys import HEADER
from judging_toys import posterior_of
from rival_toys import SIGMA, lightcone_file, line_model, rival_options, toy_fields
from torch import nn
from training_toys import PROBE, settings, toys

from limelight.data.axes import OutputAxis
from limelight.evaluation.estimates import Estimates, write_estimates
from limelight.evaluation.layers import feature_maps, filters, planes
from limelight.evaluation.layers_file import Layers, write_layers
from limelight.files import provenance
from limelight.inference.intervals import Intervals, quantiles_of, write_intervals
from limelight.inference.posteriors.learn import train_posterior
from limelight.probes.line_intensity.lines.models import get_model
from limelight.probes.line_intensity.rival.emulator import make_emulator, write_emulator
from limelight.probes.line_intensity.rival.shapes import SHAPES
from limelight.saliency.checks import CHECKS, FRACTIONS, Tried
from limelight.saliency.saliency_file import Picture, Saliency, write_saliency
from limelight.summaries.reconstruction import Spectra
from limelight.training.checkpoint import load_model, save_model
from limelight.training.loop import train

BINS = OutputAxis("luminosity", "Lsun", log10=True, edges=(4.0, 4.5, 5.0, 5.5))
MADE = provenance({}, 5)
MDN = {"components": 2, "rank": 2, "hidden": 8, "layers": 1, "dropout": 0.0, "loss": "log_likelihood"}


def intervals(path: Path) -> None:
    rng = np.random.default_rng(1)
    drawn = rng.poisson(50, (4, 60, 3)).astype(float)
    found = Intervals(
        method="mdn",
        test="clean",
        settings={"posterior": "mdn", "noise_sigma_uk": 1.0},
        axis=BINS,
        truth=rng.poisson(50, (4, 3)),
        quantiles=quantiles_of(drawn),
        rows={"group": np.arange(4), "draw": np.zeros(4, int)},
        seconds=np.zeros(4),
        samples=drawn,
        parameter_samples=rng.normal(size=(4, 60, 2)),
        parameters=rng.normal(size=(4, 2)),
        parameter_names=["alpha", "beta"],
        extra={"log_score": np.ones(4)},
    )
    write_intervals(path, found, MADE)


def layers(path: Path) -> None:
    torch.manual_seed(1)
    module = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 3)).eval()
    x, row = torch.rand(1, 1, 12, 12), {"number": 0, "dataset": "li10", "group": 3}
    write_layers(
        path, Layers("one", "clean", row, HEADER, *planes(x[0]), filters(module), feature_maps(module, x)), MADE
    )


def estimates(path: Path) -> None:
    rng = np.random.default_rng(2)
    shells = OutputAxis("l", edges=(10.0, 100.0, 1000.0))
    spectra = Spectra(*rng.random((3, 5, 2)))
    more = {"quadratic": {"peaks": rng.random((5, 4))}}
    pictures = {"quadratic": rng.random((2, 8, 8)).astype(np.float32)}
    found = Estimates("clean", shells, {"quadratic": "kappa"}, {"quadratic": spectra}, np.arange(5), pictures, more)
    write_estimates(path, found, MADE)


def saliency(path: Path) -> None:
    rng = np.random.default_rng(3)
    tables = {"value": rng.random((1, 6)), "wave": rng.random(5), "class_lines": rng.random(2)}
    curve = np.linspace(0, 1, len(FRACTIONS))
    tried = Tried(dict.fromkeys(CHECKS, 0.5), np.ones(3), np.ones(3), curve, curve)
    image = rng.random((1, 8, 8)).astype(np.float32)
    one = Picture(image, image[None], tables, {"mean_saliency": 0.1}, tried, ["is not complete"])
    found = Saliency(
        name="look",
        network="one",
        settings={"methods": ["gradient", "deeplift"]},
        target={"outputs": "lf", "shape": [3]},
        axis=BINS,
        header=HEADER,
        answers={"bright": {"outputs": [2]}},
        inputs=image[None],
        random_deletion={"bright": curve},
        random_insertion={"bright": curve},
        pixels_by_value=rng.random((1, 6)),
        classes={"lines": {"axis": {"label": "line"}, "pixels": np.ones(2), "amount": np.ones(2)}},
        stages=["body.0"],
        pictures={("bright", name): one for name in ("gradient", "deeplift")},
        left_out={"lrp": "it has no ReLU"},
        responses={"brighter": {"network": np.ones(3), "gradient": np.ones(3)}},
    )
    write_saliency(path, found, MADE)


def emulator(path: Path) -> None:
    fields, measure = toy_fields(12)
    options, noise = rival_options(nodes=12, simulations=100, covariance_draws=2), {"some": SIGMA}
    made = make_emulator(fields, get_model("li"), SHAPES["li"], line_model(), options, measure, noise, seed=3)
    write_emulator(path, made, MADE)


def subfields(path: Path) -> None:
    lightcone_file(path.parent, 0).rename(path)


def posterior(path: Path) -> None:
    """A mixture head on a network that was hardly trained."""
    data = toys(24), toys(8, 1, group=1)
    content, _ = train(settings(epochs=1), PROBE, *data, path.parent / "checkpoints")
    save_model(path.with_name("trunk.pt"), content, MADE)
    training = {"epochs": 1, "patience": 1, "batch_size": 16, "learning_rate": 1e-3, "weight_decay": 0.0}
    what = posterior_of(settings(), kind="mdn", of="bins", presentations=1, training=training, mdn=MDN)
    content, _ = train_posterior(what, PROBE, *load_model(path.with_name("trunk.pt")), *data)
    save_model(path, content, MADE, "posterior")
