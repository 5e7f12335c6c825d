"""Small maps and settings for the tests of training: halos scattered over 16 × 16 × 4 voxels, their luminosities counted.

A map is the sum of its halos' light, so that brightness and counts belong together as they do in real maps.
"""

from dataclasses import asdict

import numpy as np
import torch

from limelight.cosmology import Cosmology
from limelight.data.shard import Rows
from limelight.networks import build
from limelight.probe import load_probe
from limelight.probes.line_intensity.config import LineNetwork
from limelight.probes.line_intensity.labels import EXTENSION_BINS, count_above, log10_lum_edges
from limelight.probes.line_intensity.maps.config import Filter, Foregrounds, Noise
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.presentation import LinePresentation
from limelight.probes.line_intensity.settings import LineObservation
from limelight.probes.line_intensity.shards import line_header
from limelight.study.settings import NetworkSettings
from limelight.training.presentation import Data, on_device

PROBE = load_probe("line_intensity")
DATASET = "toys"
SHAPE = (1, 16, 16, 4)  # of a row: channels, x, y, frequency
LABELS = {"log10_lum_min": 4.0, "log10_lum_max": 6.0, "bins": 10}
BINS = (10,)  # shape of an answer
EDGES = log10_lum_edges(LABELS, EXTENSION_BINS)
GRID = Grid(0.35, 32, 20, 26.0, 34.0, 115.27, "uK", 2, 5)
INSTRUMENT = {"field_deg": 1.5, "pixels": 22, "channel_width_ghz": 0.015625}
HEADER = line_header(GRID, 0.0, LABELS, asdict(Cosmology()))
TRAINING = {"learning_rate": 3e-3, "weight_decay": 0.0, "schedule": "constant", "batch_size": 6, "epochs": 2}


def made_rows(x: np.ndarray, n_above: np.ndarray, group: int = 0) -> Rows:
    """Rows of maps x (n, *SHAPE) and their counts (n, edges), each of a volume of 10⁶ Mpc³."""
    n = len(x)
    y = {"n_above": n_above, "volume_mpc3": np.full(n, 1e6)}
    return Rows(HEADER, x, y, np.zeros((n, 0)), [], np.full(n, group), np.repeat([DATASET], n))


def toys(count: int, seed: int = 0, halos: int = 3000, group: int = 0) -> Rows:
    """`count` maps, each with its own number of halos and its own brightness (the "line model")."""
    rng = np.random.default_rng(seed)
    x, labels = np.zeros((count, *SHAPE), np.float32), []
    for i in range(count):
        n = rng.poisson(halos * 10 ** rng.uniform(-0.3, 0.3))
        log10_lum = 3.9 + rng.exponential(0.2, n) + rng.uniform(-0.3, 0.3)
        place = tuple(rng.integers(0, k, n) for k in SHAPE[1:])
        np.add.at(x[i, 0], place, (3e-4 * 10**log10_lum).astype(np.float32))
        labels.append(count_above(log10_lum, EDGES))
    return made_rows(x, np.array(labels), group)


def counts_of(found: Rows) -> np.ndarray:
    """Halos in each bin of each map, (n, bins) float64."""
    return -np.diff(found.y["n_above"][:, : BINS[0] + 1].astype(float))


def settings(
    noise: dict | None = None,
    foregrounds: dict | None = None,
    network: dict | None = None,
    pipeline: dict | None = None,
    **training,
) -> NetworkSettings:
    """Settings of a network called "toy".

    Parameters
    ----------
    noise, foregrounds
        Entries of the config's observation.noise, all of which the network is shown, and one of observation.foregrounds.
    network
        Keys of its entry in the config that differ from the usual ones.
    pipeline
        An entry of observation.filters.
    training
        Keys of its `training` that do.
    """
    noise = noise or {"none": {"sigma_uk": 0}}
    entry = {"architecture": "limelight", "options": {"filters": 4}, "line_models": [DATASET], "noise": list(noise)}
    entry = LineNetwork.model_validate({**entry, **(network or {}), "training": {**TRAINING, **training}})
    observation = LineObservation(
        instrument=INSTRUMENT,
        noise={name: Noise.model_validate(setting) for name, setting in noise.items()},
        foregrounds=Foregrounds.model_validate(foregrounds) if foregrounds else None,
        preprocessing=entry.preprocessing,
        filter=Filter.model_validate(pipeline) if pipeline else None,
    )
    splits = {"train": [0], "validation": [1]}
    return NetworkSettings(7, "toy", entry, splits, {}, observation, threads=1, start=None)


def presentation(wanted: NetworkSettings) -> LinePresentation:
    return PROBE.presentation(wanted.network, wanted.observation, HEADER)


def shown(found: Rows, **changes) -> tuple[Data, LinePresentation]:
    """(data on the CPU, presentation) of toys under changed settings."""
    return on_device(found, [DATASET], torch.device("cpu")), presentation(settings(**changes))


def default_network(weights: dict) -> torch.nn.Module:
    """The network of `settings()` with trained weights, in evaluation mode."""
    module = build("limelight", {"filters": 4}, SHAPE, BINS).eval()
    module.load_state_dict(weights)
    return module


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
