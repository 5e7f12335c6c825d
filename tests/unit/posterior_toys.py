"""Toy maps of two parameters, and posteriors of every kind that learn from them in seconds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from judging_toys import judging, posterior_of
from training_toys import EDGES, GRID, LABELS, PROBE, SHAPE, made_rows, settings

from limelight.data.shard import Rows
from limelight.probes.line_intensity.labels import count_above
from limelight.probes.line_intensity.shards import line_header
from limelight.study.settings import IntervalsSettings, PosteriorSettings
from limelight.training.checkpoint import save_model
from limelight.training.loop import train

KINDS = {
    "mdn": {"components": 2, "rank": 2, "hidden": 32, "layers": 1, "dropout": 0.0, "loss": "log_likelihood"},
    "npe": {"flow": "nsf", "transforms": 2, "hidden": 16, "embedding": 4, "components": 3, "dropout": 0.0},
    "quantiles": {"members": 2, "hidden": 32, "layers": 2, "dropout": 0.0},
    "imnn": {"hidden": 16, "layers": 2, "steps": 300, "learning_rate": 3e-3, "accept": 60, "adjust": True},
}
HEADER = line_header(GRID, 0.0, LABELS, {"omega_m": 0.286, "omega_b": 0.047, "h": 0.7, "ns": 0.96, "sigma8": 0.82})
TRAINING = {"epochs": 12, "patience": 5, "batch_size": 64, "learning_rate": 3e-3, "weight_decay": 1e-3}


def one_map(rng, factor: float, offset: float) -> tuple[np.ndarray, np.ndarray]:
    n = rng.poisson(2000 * 10**factor)
    log10_lum = 3.9 + rng.exponential(0.2, n) + offset
    cube = np.zeros(SHAPE[1:], np.float32)
    np.add.at(cube, tuple(rng.integers(0, k, n) for k in SHAPE[1:]), (3e-4 * 10**log10_lum).astype(np.float32))
    return cube, count_above(log10_lum, EDGES)


def cones(count: int, seed: int, group: int) -> Rows:
    """Maps with two parameters, log10 of the number of halos and of their brightness."""
    rng = np.random.default_rng(seed)
    parameters = rng.uniform(-0.3, 0.3, (count, 2))
    made = [one_map(rng, *values) for values in parameters]
    x, n_above = (np.stack(part) for part in zip(*made, strict=True))
    return replace(
        made_rows(x[:, None], n_above, group),
        header=HEADER,
        theta=parameters,
        parameter_names=["factor", "offset"],
        rows={"subfield": np.arange(count), "draw": np.zeros(count, int)},
        examples={"fine": np.zeros((1, 32, 32), np.float32)},
    )


def trained_network(folder: Path, training: Rows, validation: Rows) -> Path:
    """The file of a network that learnt from such maps."""
    content, _ = train(settings(epochs=6, batch_size=16), PROBE, training, validation, folder / "checkpoints")
    save_model(folder / "model.pt", content, {"seed": 7})
    return folder / "model.pt"


def simulations():
    step = np.array([0.01, 0.01])

    def side(sign):
        rows = [
            [one_map(np.random.default_rng(i), *(sign * step * (np.arange(2) == p)))[0] for p in (0, 1)]
            for i in range(30)
        ]
        return np.array(rows)

    fiducial = np.stack([one_map(np.random.default_rng(1000 + i), 0, 0)[0] for i in range(80)])
    return fiducial[:, None], side(-1)[:, :, None], side(1)[:, :, None], step


def wanted(kind: str, of: str = "bins", **changes) -> PosteriorSettings:
    entry = {"kind": kind, "of": of, "presentations": 2, "training": TRAINING, kind: KINDS[kind], **changes}
    return posterior_of(settings(), **entry)


def sampled(what: PosteriorSettings) -> IntervalsSettings:
    return IntervalsSettings(what, judging(what.network, test="quiet", header=HEADER), what.name, 200, None)
