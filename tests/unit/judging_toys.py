"""Settings of tests, audits and posteriors for the toys of training_toys."""

from dataclasses import replace

import numpy as np
from training_toys import DATASET, HEADER

from limelight.data.shard import Header, Rows
from limelight.probes.line_intensity.config import LineAudit, LinePosterior, LineTest, MapDataset
from limelight.probes.line_intensity.maps.config import Noise
from limelight.probes.line_intensity.settings import MapSettings, ShardSettings
from limelight.probes.line_intensity.shards import grid_of
from limelight.study.settings import AuditSettings, EvaluationSettings, NetworkSettings, PosteriorSettings

SPLITS = {"train": [0], "validation": [1], "test": [9, 10]}


def dataset_settings(name: str = DATASET, header: Header = HEADER, **entry) -> ShardSettings:
    """Of a dataset of that header; entry: keys of its entry in the config."""
    made = MapDataset.model_validate({"model": "li", "prior": "10%", **entry})
    grid, beam = grid_of(header.geometry)
    return ShardSettings(MapSettings(None, grid, header.truths["labels"], name, made, None), grid, beam)


def judging(
    trained: NetworkSettings,
    noise: dict | None = None,
    test: str = "t",
    header: Header = HEADER,
    dataset: str = DATASET,
) -> EvaluationSettings:
    """Of a test on a network; noise: an entry of the config's observation.noise."""
    observation = replace(
        trained.observation, noise={"n": Noise.model_validate(noise or {"sigma_uk": 0})}, preprocessing=None
    )
    entry = LineTest(line_model=dataset, noise="n")
    known = dataset_settings(dataset, header)
    return EvaluationSettings(trained, test, entry, known, SPLITS, observation, shown=(0, 1))


def auditing(evaluation: EvaluationSettings, **options) -> AuditSettings:
    """Of an audit on a test's own dataset; options: keys of the config's audit."""
    name = evaluation.entry.dataset
    return AuditSettings(evaluation, LineAudit.model_validate(options), [name], {name: evaluation.dataset})


def posterior_of(trained: NetworkSettings, **entry) -> PosteriorSettings:
    """Of a posterior on a network; entry: keys of its entry in the config."""
    entry = LinePosterior.model_validate({"network": trained.name, **entry})
    return PosteriorSettings(trained, f"toy_{entry.kind}", entry)


def with_rows(found: Rows, **rows: np.ndarray) -> Rows:
    """Rows with more known of each."""
    return replace(found, rows={**found.rows, **rows})
