"""A study run within one process: every dataset, network, test and comparison of a config, on a handful of tiny maps."""

from pathlib import Path

import numpy as np
import torch
from altered import altered

from limelight.data.shard import read_shards
from limelight.evaluation.evaluation_file import Evaluation, read_history
from limelight.evaluation.predict import evaluate
from limelight.figures import draw_figure
from limelight.files import provenance
from limelight.halos.subfields import SubfieldHalos, Subfields
from limelight.probe import load_probe
from limelight.probes.line_intensity.config import LineStudy
from limelight.probes.line_intensity.maps.files import write_maps
from limelight.probes.line_intensity.maps.paint import paint_subfields
from limelight.probes.line_intensity.settings import shard_settings
from limelight.probes.line_intensity.shards import pool_maps
from limelight.study.selection import comparison_pairs, suitable_tests
from limelight.study.settings import evaluation_settings, network_settings
from limelight.training.checkpoint import load_model, save_model
from limelight.training.loop import history_csv, train

HALOS = 3000


def shrunk(study: LineStudy) -> LineStudy:
    """A resolved study with tiny maps, few of them, and a single step of training."""
    changes = {"lightcones.train": [0, 1], "lightcones.validation": [2], "lightcones.test": [3]}
    changes |= {"grid.pixels": 4 * study.grid.pool_pixels, "grid.channels": 2 * study.grid.pool_channels}
    for name, dataset in study.line_models.items():
        changes[f"line_models.{name}.draws"] = 2
        if dataset.mean_temperature_uk:
            changes[f"line_models.{name}.mean_temperature_uk"] = [0.0, 1.0e6]
    for name, network in study.networks.items():
        few = {"epochs": 1, "steps_per_epoch": 1, "batch_size": 4, "max_maps": min(network.training.max_maps, 6)}
        changes |= {f"networks.{name}.training.{key}": value for key, value in few.items()}
    return altered(study, changes)


def rehearse(study: LineStudy, folder: Path) -> tuple[dict[tuple[str, str], Evaluation], dict]:
    """Paint, train and evaluate all of a shrunk study: ({(network, test): evaluation}, {comparison: figure})."""
    torch.set_num_threads(1)
    evaluations, probe = {}, load_probe(study.probe)
    made: dict[tuple[str, int], Path] = {}

    def shards(datasets: list[str], split: str) -> list[Path]:
        wanted = [(dataset, cone) for dataset in datasets for cone in study.splits[split]]
        for dataset, cone in wanted:
            if (dataset, cone) not in made:
                made[dataset, cone] = _shard(study, dataset, cone, folder)
        return [made[one] for one in wanted]

    for name, network in study.networks.items():
        settings = network_settings(study, name)
        training, validation = (read_shards(shards(network.datasets, split)) for split in ("train", "validation"))
        start = (
            load_model(folder / f"{network.initialise_from}.pt")[0].state_dict() if network.initialise_from else None
        )
        content, history = train(settings, probe, training, validation, folder / name, start=start)
        save_model(folder / f"{name}.pt", content, provenance(settings, study.seed))
        (folder / "history.csv").write_text(history_csv(history))
        module, info = load_model(folder / f"{name}.pt", "cpu")
        for test in suitable_tests(study, name):
            judged = evaluation_settings(study, name, test)
            found = read_shards(shards([study.tests[test].dataset], "test"))
            history = read_history(folder / "history.csv")
            evaluations[name, test] = evaluate(module, info, judged, probe, found, history)
    figures = {
        name: draw_figure(entry.figure, [evaluations[pair] for pair in comparison_pairs(study, name)])
        for name, entry in study.comparisons.items()
    }
    return evaluations, figures


def _shard(study: LineStudy, dataset: str, cone: int, folder: Path) -> Path:
    """The shard of one dataset on a light-cone of random halos."""
    settings = shard_settings(study, dataset)
    maps, fine = settings.maps, settings.maps.grid
    half, zeros = fine.size_deg / 2, np.zeros(2)
    center = np.array([[-half, half], [half, half]])
    which, size = np.arange(2), fine.size_deg
    table = Subfields(zeros, zeros > 0, zeros.astype(int), which, center, np.eye(2) > 0, size, lightcone=cone)
    halos = []
    for i in range(2):
        rng = np.random.default_rng(100 * cone + i)
        z = rng.uniform(*fine.redshift_range, HALOS).astype(np.float32)
        mass = (10 ** rng.uniform(10.4, 12.5, HALOS)).astype(np.float32)
        halos.append((i, SubfieldHalos(center[i] + rng.uniform(-half, half, (HALOS, 2)), z, z, mass)))
    path, shard = folder / f"maps_{dataset}_{cone}.h5", folder / f"{dataset}_{cone}.h5"
    attributes, line_model, labels = provenance(settings, study.seed), maps.dataset, maps.labels
    painted = paint_subfields(table, halos, dataset, line_model, labels, fine, study.seed)
    write_maps(path, painted, table, fine, dataset, line_model, labels, attributes)
    pool_maps(shard, path, settings.grid, settings.beam_fwhm_arcmin, attributes)
    return shard
