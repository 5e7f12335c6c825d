"""Small fields, settings and studies for the tests of the rival."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from limelight.cosmology import Cosmology
from limelight.halos.catalogue import HaloCatalogue
from limelight.halos.config import Subfields as SubfieldCuts
from limelight.halos.subfields import (
    SubfieldHalos,
    plan_subfields,
    write_subfields,
)
from limelight.probes.line_intensity.config import MapDataset
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.rival.config import RivalOptions
from limelight.probes.line_intensity.rival.fields import make_measure, prepare_fields
from limelight.probes.line_intensity.rival.shapes import SHAPES

GRID = Grid(0.7, 32, 20, 26.0, 34.0, 115.27)


SETTINGS = {
    "pool_pixels": 2,
    "pool_channels": 1,
    "log10_k": [-1.5, 0],
    "k_bins": 8,
    "min_modes": 20,
    "temperature_uk": [1.0, 100.0],
    "temperature_bins": 8,
    "spacing": "log",
    "realisations": 12,
    "nodes": 24,
    "simulations": 240,
    "covariance_draws": 4,
    "covariance": "local",
    "neighbours": 120,
    "anchors": 8,
    "walkers": 16,
    "steps": 160,
    "ensembles": 2,
    "samples": 200,
}


LINE_MODEL = {"model": "li", "prior": "full", "parameters": {}, "mean_temperature_uk": [0.05, 30.0]}


SIGMA = 2.0


def rival_options(**changes) -> RivalOptions:
    """The section of a rival with SETTINGS, some of which are changed."""
    return RivalOptions.model_validate({"line_model": "li_full", **SETTINGS, **changes})


def line_model(**changes) -> MapDataset:
    """The section of LINE_MODEL, some keys of which are changed."""
    return MapDataset.model_validate({**LINE_MODEL, **changes})


class Normals:
    """A random generator whose every normal is the given ones."""

    def __init__(self, values):
        self.values = values

    def standard_normal(self, shape, dtype=np.float64):
        return np.array(np.broadcast_to(self.values, shape), dtype)


def halos_of(seed: int, count: int = 3000) -> SubfieldHalos:
    """Halos strewn over the square and band, their number varying from field to field; masses of a power law."""
    rng = np.random.default_rng(seed)
    count = rng.poisson(count * (1 + 0.1 * rng.standard_normal()))
    z = rng.uniform(2.395, 3.43, count).astype(np.float32)
    mass = 1e11 * (1 - rng.random(count)) ** (-1 / 1.3)
    return SubfieldHalos(rng.uniform(-0.35, 0.35, (count, 2)), z, z, np.minimum(mass, 5e12).astype(np.float32))


def toy_fields(count: int, first: int = 0, shape=SHAPES["li"]):
    subfields = plan_subfields(0.7, SubfieldCuts(size_deg=0.7, per_side=1))
    measure, found = make_measure(rival_options(), GRID, Cosmology(), 0.0), []
    for i in range(first, first + count):
        found += prepare_fields(replace(subfields, lightcone=i), [(0, halos_of(i))], shape, measure.grid)
    return found, measure


def toy_study(**changes) -> dict:
    """A raw study with a rival `li`, some of whose keys are changed."""
    return {
        "study": "toy",
        "lightcones": {"field_deg": 1.4, "train": "0-2", "validation": [6], "test": [7]},
        "subfields": {"size_deg": 0.7, "per_side": 2},
        "grid": {
            "pixels": 32,
            "channels": 20,
            "freq_min_ghz": 26.0,
            "freq_max_ghz": 34.0,
            "pool_pixels": 4,
            "pool_channels": 4,
        },
        "line_models": {
            "li_full": {**LINE_MODEL, "draws": 2},
            "li_fiducial": {"model": "li", "prior": "fiducial"},
            "steep": {"model": "padmanabhan", "prior": "10%"},
            "li_cut": {"model": "li", "prior": "10%", "draws": 2, "log10_lum_cut": 5.0},
        },
        "observation": {
            "noise": {"none": {"sigma_uk": 0}, "some": {"sigma_uk": 2}, "any": {"sigma_uk": [1, 2]}},
            "foregrounds": {"radio": {}},
        },
        "networks": {"n": {"architecture": "limelight", "line_models": ["li_full"]}},
        "tests": {
            "over_prior": {"line_model": "li_full", "noise": "some"},
            "in_front": {"line_model": "li_full", "noise": "some", "foregrounds": "radio"},
            "uneven": {"line_model": "li_full", "noise": "any"},
        },
        "rival": {
            "li": {
                **SETTINGS,
                "line_model": "li_full",
                "maps": 3,
                "steps": 20,
                "nodes": 12,
                "simulations": 130,
                **changes,
            }
        },
    }


def lightcone_file(folder: Path, lightcone: int) -> Path:
    """A subfields file of the toy's halos: two fields side by side, positions in Mpc."""
    cosmology, parts = Cosmology(), []
    for i in (0, 1):
        halos = halos_of(100 * lightcone + i, 2000)
        direction = np.radians(halos.sky_deg + [0.35 * (2 * i - 1), 0.0])
        depth = cosmology.comoving_distance(halos.redshift.astype(float)) / np.sqrt(1 + np.sum(direction**2, axis=1))
        parts.append((np.column_stack([-direction[:, 0] * depth, direction[:, 1] * depth, depth]), halos))
    columns = [np.concatenate([part[0] for part in parts]).astype(np.float32)]
    columns += [np.zeros_like(columns[0])]
    columns += [np.concatenate([getattr(h, name) for _, h in parts]) for name in ("mass_msun", "redshift", "redshift")]
    halos = HaloCatalogue(*columns, cosmology=cosmology, geometry={"field_deg": 1.4, "mass_min_msun": 1e11})
    path = folder / f"{lightcone}.h5"
    section = SubfieldCuts(size_deg=0.7, per_side=2)
    write_subfields(path, halos, section, {"lightcone": lightcone, "seed": 1})
    return path
