"""Small maps and settings for the tests of training: halos scattered over 16 × 16 × 4 voxels, their luminosities counted.

A map is the sum of its halos' light, so that brightness and counts belong together as they do in real maps.
"""

from dataclasses import dataclass

import numpy as np
import torch
from limelight.training.data import on_device, presentation

from limelight.probes.line_intensity.labels import EXTENSION_BINS, count_above, log10_lum_edges
from limelight.probes.line_intensity.maps.grid import Grid

SHAPE = (16, 16, 4)
LABELS = {"log10_lum_min": 4.0, "log10_lum_max": 6.0, "bins": 10}
EDGES = log10_lum_edges(LABELS, EXTENSION_BINS)
GRID = Grid(0.35, 32, 20, 26.0, 34.0, 115.27, "uK", 2, 5)
INSTRUMENT = {"field_deg": 1.5, "pixels": 22, "channel_width_ghz": 0.015625}


@dataclass
class Toys:
    maps: np.ndarray
    n_above: np.ndarray
    volume_mpc3: np.ndarray


def toys(count: int, seed: int = 0, halos: int = 3000) -> Toys:
    """`count` maps, each with its own number of halos and its own brightness (the "line model")."""
    rng = np.random.default_rng(seed)
    maps, labels = np.zeros((count, *SHAPE), np.float32), []
    for i in range(count):
        n = rng.poisson(halos * 10 ** rng.uniform(-0.3, 0.3))
        log10_lum = 3.9 + rng.exponential(0.2, n) + rng.uniform(-0.3, 0.3)
        place = tuple(rng.integers(0, k, n) for k in SHAPE)
        np.add.at(maps[i], place, (3e-4 * 10**log10_lum).astype(np.float32))
        labels.append(count_above(log10_lum, EDGES))
    return Toys(maps, np.array(labels), np.full(count, 1e6))


def settings(**changes) -> dict:
    """Stage settings of a network called "toy"; changes go to training, or to the section named before two underscores."""
    training = {
        "loss": "mse",
        "optimizer": "adamw",
        "learning_rate": 3e-3,
        "momentum": 0.0,
        "weight_decay": 0.0,
        "schedule": "constant",
        "warmup": 0.0,
        "ema_decay": 0.0,
        "batch_size": 6,
        "epochs": 2,
        "steps_per_epoch": 0,
        "clip_norm": 1.0,
        "precision": "float32",
        "flips": True,
        "quarter_turns": True,
        "blank_fraction": 0.0,
        "dim_fraction": 0.0,
        "superpose_fraction": 0.0,
        "max_maps": 0,
        "permute_labels": False,
    }
    network = {
        "name": "toy",
        "architecture": "limelight",
        "options": {"filters": 4},
        "target": {"quantity": "dn", "transform": "log10_1p", "standardise": True},
        "preprocessing": {"transform": "asinh", "scale_uk": 3.0},
        "noise": ["none"],
    }
    whole = {
        "seed": 7,
        "threads": 1,
        "labels": LABELS,
        "network": network,
        "noise": {"none": {"sigma_uk": 0}},
        "foregrounds": None,
        "instrument": INSTRUMENT,
        "beam_fwhm_arcmin": 0.0,
    }
    for key, value in changes.items():
        section, _, inner = key.partition("__")
        if not inner:
            assert key in training, key
            training[key] = value
        elif section == "network":
            network[inner] = {**network[inner], **value} if inner in ("target", "preprocessing") else value
        else:
            whole[inner] = value
    network["training"] = training
    return whole


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shown(found: Toys, **changes):
    """(data on the CPU, presentation) of toys under changed settings."""
    data = on_device(found.maps, found.n_above, found.volume_mpc3, torch.device("cpu"))
    return data, presentation(settings(**changes), GRID, EDGES)
