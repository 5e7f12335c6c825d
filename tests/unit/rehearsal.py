"""A study run within one process: every dataset, network, test and comparison of a config, on a handful of tiny maps."""

from pathlib import Path

import numpy as np
import torch
from altered import altered

from limelight.evaluation.evaluation_file import Evaluation, read_history
from limelight.evaluation.predict import evaluate
from limelight.figures import draw
from limelight.files import provenance
from limelight.halos.subfields import SubfieldHalos, Subfields
from limelight.probes.line_intensity.config import LineStudy
from limelight.probes.line_intensity.maps.files import read_pooled, write_maps, write_pooled
from limelight.probes.line_intensity.maps.grid import make_grid
from limelight.probes.line_intensity.maps.paint import paint_subfields
from limelight.study.legacy import grid_section, stage_settings
from limelight.study.selection import comparison_pairs, suitable_tests
from limelight.training import load_model
from limelight.training.checkpoint import save_model
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
    evaluations = {}
    pooled = {}

    def maps(dataset: str, split: str) -> list[Path]:
        for cone in study["lightcones"][split]:
            if (dataset, cone) not in pooled:
                pooled[dataset, cone] = _paint(study, dataset, cone, folder)
        return [pooled[dataset, cone] for cone in study["lightcones"][split]]

    for name, network in study["networks"].items():
        settings = stage_settings(study, "network", name)
        grid = make_grid(grid_section(study, network["line_models"][0]), study["subfields"]["size_deg"])
        train_maps, validation_maps = (
            read_pooled([path for dataset in network["line_models"] for path in maps(dataset, split)])
            for split in ("train", "validation")
        )
        content, history = train(settings, grid, train_maps, validation_maps, folder / name)
        save_model(folder / "model.pt", content, provenance(settings, study["seed"]))
        (folder / "history.csv").write_text(history_csv(history))
        module, info = load_model(folder / "model.pt", "cpu")
        for test in [] if network.classifies else suitable_tests(study, name):  # TRANSITION: classifiers as others
            judged = stage_settings(study, "evaluation", name, test)
            found = read_pooled(maps(study["tests"][test]["line_model"], "test"))
            evaluations[name, test] = evaluate(module, info, judged, found, read_history(folder / "history.csv"))
    figures = {
        name: draw(entry["figure"], [evaluations[pair] for pair in comparison_pairs(study, name)])
        for name, entry in study["comparisons"].items()
    }
    return evaluations, figures


def _paint(study: LineStudy, dataset: str, cone: int, folder: Path) -> Path:
    """The pooled file of one dataset on a light-cone of random halos."""
    settings = study["line_models"][dataset]
    grid = make_grid(grid_section(study, dataset), study["subfields"]["size_deg"])
    half, zeros = grid.size_deg / 2, np.zeros(2)
    center = np.array([[-half, half], [half, half]])
    which, size = np.arange(2), grid.size_deg
    table = Subfields(zeros, zeros > 0, zeros.astype(int), which, center, np.eye(2) > 0, size, lightcone=cone)
    halos = []
    for i in range(2):
        rng = np.random.default_rng(100 * cone + i)
        z = rng.uniform(*grid.redshift_range, HALOS).astype(np.float32)
        mass = (10 ** rng.uniform(10.4, 12.5, HALOS)).astype(np.float32)
        halos.append((i, SubfieldHalos(center[i] + rng.uniform(-half, half, (HALOS, 2)), z, z, mass)))
    fine, pooled = folder / f"maps_{dataset}_{cone}.h5", folder / f"pooled_{dataset}_{cone}.h5"
    made = provenance({}, study["seed"])
    painted = paint_subfields(table, halos, dataset, settings, study["labels"], grid, study["seed"])
    write_maps(fine, painted, table, grid, dataset, settings, study["labels"], made)
    beam = stage_settings(study, "pooled", dataset)["beam_fwhm_arcmin"]
    write_pooled(pooled, fine, grid, beam, made)
    return pooled
