"""A toy study of maps as a survey's, with a rival that is observed, and shards of it."""

import numpy as np
import yaml
from rival_toys import lightcone_file, toy_study
from survey_toys import survey_file

from limelight.data.shard import Rows, write_shard
from limelight.files import provenance
from limelight.probes.line_intensity.settings import pooled_grid, shard_settings
from limelight.probes.line_intensity.simulations import fresh_rows
from limelight.study.config import resolve_study

OPTIONS = {
    "observed": True,
    "tests": ["season"],
    "k_bins": 5,
    "min_modes": 10,
    "temperature_bins": 5,
    "classes": [2],
    "nodes": 30,
    "simulations": 700,
    "neighbours": 150,
    "anchors": 8,
    "walkers": 16,
    "steps": 120,
    "samples": 200,
    "maps": 8,
}


def study_of(folder, depths: tuple = (0.1, 0.2), **changes):
    """The toy study with a test that is observed as a survey's masked, filtered map is, and a rival for it; toy.yaml too."""
    raw = toy_study()
    raw["grid"] |= {"pool_pixels": 2}
    raw["rival"] = {"li": {"line_model": "li_full", **OPTIONS, **changes}}
    grid = pooled_grid(resolve_study(toy_study() | {"grid": raw["grid"], "rival": {}}, folder / "toy.yaml"), "li_full")
    survey = survey_file(folder / "season.h5", grid)
    noise = {"season": {"survey": str(survey), "sigma_factor": 0.02}}
    noise["depths"] = {"survey": str(survey), "sigma_factor": list(depths)}
    raw["observation"]["noise"] |= noise
    raw["observation"]["filters"] = {"pipeline": {"means": "removed_weighted", "pca_modes": 1, "passed": 0.9}}
    raw["tests"]["season"] = {"line_model": "li_full", "noise": "season", "filter": "pipeline"}
    raw["tests"]["depths"] = {"line_model": "li_full", "noise": "depths", "filter": "pipeline"}
    raw["observation"]["noise"]["silent"] = {"sigma_uk": 0}
    raw["tests"]["silent"] = {"line_model": "li_full", "noise": "silent"}
    (folder / "toy.yaml").write_text(yaml.safe_dump(raw))
    return resolve_study(raw, folder / "toy.yaml")


def shard_file(folder, study, lightcone: int, draws: int):
    """A shard of li_full on the toy's halos of one light-cone, and their subfields."""
    settings, subfields = shard_settings(study, "li_full"), lightcone_file(folder, lightcone)
    parts = list(fresh_rows(settings, lightcone, 0, draws, [subfields]))
    joined = {
        name: np.concatenate([getattr(one, name) for one in parts]) for name in ("x", "theta", "group", "dataset")
    }
    y, rows = ({k: np.concatenate([getattr(one, group)[k] for one in parts]) for k in getattr(parts[0], group)}
               for group in ("y", "rows"))  # fmt: skip
    path = folder / f"shard{lightcone}.h5"
    made = Rows(parts[0].header, y=y, rows=rows, parameter_names=parts[0].parameter_names, **joined)
    write_shard(path, made, provenance(settings, study.seed))
    return subfields, path
