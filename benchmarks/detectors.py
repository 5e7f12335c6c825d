#!/usr/bin/env python3
"""Two checks whether a map is like those of training, on faults that were planted: `python -m benchmarks.detectors`.

The present check (inference/posteriors/misspecification.py) stands on the features of a network of config/zoo_cubes.yaml
and on plain statistics, the other (autoencoder.py) on what an autoencoder cannot repeat. Both learn from the same
presentations of the same maps, and are asked about the same test maps with faults: a channel with more noise, a standing
wave along frequency, and the sky of another line model. A ROC tells whole maps from maps with the fault.
"""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from benchmarks.zoo import shards
from limelight.data.shard import Rows
from limelight.errors import plain_errors
from limelight.evaluation.roc import auc, efficiency
from limelight.figures.style import COLOURS, GUIDE, PAGE_IN, save, style
from limelight.files import ROOT, provenance, write_csv
from limelight.inference.posteriors.autoencoder import train_detector
from limelight.inference.posteriors.misspecification import distances, make_check
from limelight.inference.posteriors.tables import map_statistics
from limelight.probe import load_probe
from limelight.seeds import torch_seed
from limelight.study.config import load_study
from limelight.study.sections import Study
from limelight.study.settings import network_settings
from limelight.training.checkpoint import load_model, save_model
from limelight.training.loop import train
from limelight.training.presentation import on_device, present

NETWORK, MODEL = "vgg_1", "li10"
SHOWN = 4  # presentations of each training map
RATE = 0.125  # of whole maps that are flagged, at which the share of faults found is told: a dozen of 96
SIZES = (0.25, 0.5, 1.0, 2.0)  # of faults, in units of the noise's σ
OTHER_MODELS = ("breysse", "padmanabhan")
COLUMNS = ("fault", "size", "check", "auc", "found", "maps")
Fault = Callable[[Tensor, torch.Generator], Tensor]  # clean maps (b, 1, x, y, f) -> the same with the fault


def bad_channel(size: float, sigma: float) -> Fault:
    """White noise of size · σ more in one channel of each map."""

    def plant(x: Tensor, random: torch.Generator) -> Tensor:
        bad = torch.randint(0, x.shape[-1], (len(x), 1, 1, 1, 1), generator=random)
        here = torch.arange(x.shape[-1]) == bad
        return x + size * sigma * here * torch.randn(x.shape, generator=random)

    return plant


def ripple(size: float, sigma: float) -> Fault:
    """A standing wave along frequency, the same over the sky, of an rms of size · σ: one to four waves, any phase."""

    def plant(x: Tensor, random: torch.Generator) -> Tensor:
        waves, phase = torch.rand(2, len(x), 1, 1, 1, 1, generator=random)
        turns = (1 + 3 * waves) * torch.arange(x.shape[-1]) / x.shape[-1] + phase
        return x + 2**0.5 * size * sigma * torch.sin(2 * torch.pi * turns)

    return plant


def another_model(study: Study, model: str) -> Study:
    """The study with its line model exchanged; the light-cones are the same."""
    line = study.line_models[MODEL]
    kinds = {MODEL: type(line).model_validate({"model": model, "draws": line.draws})}
    return study.model_copy(update={"line_models": kinds})


def check_scores(module: nn.Module, training: Tensor, validation: Tensor) -> Callable[[Tensor], np.ndarray]:
    """The present check as a score: the larger of its two views' distances, each over the median of validation's."""

    @torch.no_grad()
    def views(x: Tensor) -> dict[str, Tensor]:
        features = torch.cat([module.features(one) for one in x.split(256)])
        return {"features": features.double(), "statistics": map_statistics(x).double()}

    check = make_check(views(training), views(validation))

    def score(x: Tensor) -> np.ndarray:
        seen, found = views(x), []
        for name, view in check.items():
            known, here = view["distances"], distances(view, seen[name])
            rank = torch.searchsorted(known, here) / len(known)
            found.append(rank + (here / known[-1] - 1).clamp(min=0))  # beyond the last of them by how far
        return torch.stack(found).amax(dim=0).numpy()

    return score


def compare(study: Study, folder: Path, shown: int = SHOWN, epochs: int = 20) -> tuple[list[dict], dict]:
    """Rows of COLUMNS; and the scores {check: {(fault, size): (maps,)}}, ("none", 0) of whole maps."""
    torch.set_num_threads(1)
    probe, settings = load_probe(study.probe), network_settings(study, NETWORK)
    sets: dict[str, Rows] = {split: shards(study, MODEL, split, folder) for split in study.splits}
    with tempfile.TemporaryDirectory() as scratch:
        content, _ = train(settings, probe, sets["train"], sets["validation"], Path(scratch))
        save_model(Path(scratch, "model.pt"), content, provenance(settings, study.seed))
        module, _ = load_model(Path(scratch, "model.pt"))
    presentation = probe.presentation(settings.network, settings.observation, sets["train"].header)
    nothing = torch.zeros(8, *sets["test"].x.shape[2:])
    sigma = float(presentation.record(nothing, torch.Generator().manual_seed(0)).maps.std())

    def seen(rows: Rows, what: str, times: int, fault: Fault | None = None) -> Tensor:
        random = torch.Generator().manual_seed(torch_seed(study.seed, f"{what} of the detectors"))
        x = fault(torch.from_numpy(rows.x), random).numpy() if fault else rows.x
        data = on_device(replace(rows, x=x), [MODEL], torch.device("cpu"))
        return present(data, torch.arange(len(rows)).repeat(times), presentation.unaltered(), random)[0]

    training, validation = (seen(sets[split], split, shown) for split in ("train", "validation"))
    detector = train_detector(training, validation, study.seed, epochs=epochs)
    checks = {
        "features and statistics": check_scores(module, training, validation),
        "autoencoder": lambda x: detector.error(x).numpy(),
    }
    faults = {("none", 0.0): seen(sets["test"], "test", 1)}
    for name, kind in (("bad channel", bad_channel), ("ripple", ripple)):
        for size in SIZES:
            faults[name, size] = seen(sets["test"], f"{name} {size}", 1, kind(size, sigma))
    for model in OTHER_MODELS:
        faults[f"sky of {model}", 1.0] = seen(shards(another_model(study, model), MODEL, "test", folder), model, 1)
    scores = {check: {fault: score(x) for fault, x in faults.items()} for check, score in checks.items()}
    table = []
    for (fault, size), x in faults.items():
        for check, found in scores.items():
            if fault != "none":
                pair = found[fault, size], found["none", 0.0]
                table.append(
                    dict(zip(COLUMNS, (fault, size, check, auc(*pair), efficiency(*pair, RATE), len(x)), strict=True))
                )
    return table, scores


def figure(scores: dict) -> Figure:
    """The ROC of every fault: one panel for each, sizes from pale to dark."""
    with style():
        drawn = Figure(figsize=(PAGE_IN, 2.6))
        faults = [fault for fault in next(iter(scores.values())) if fault[0] != "none"]
        kinds = list(dict.fromkeys("another sky" if name.startswith("sky") else name for name, _ in faults))
        for panel, kind in zip(drawn.subplots(1, len(kinds)), kinds, strict=True):
            mine = [one for one in faults if one[0] == kind or (kind == "another sky" and one[0].startswith("sky"))]
            for i, (check, found) in enumerate(scores.items()):
                for j, fault in enumerate(mine):
                    rates = np.linspace(0, 1, 101)
                    share = [np.mean(found[fault] >= one) for one in np.quantile(found["none", 0.0], 1 - rates)]
                    look = {"color": COLOURS[i], "alpha": 0.3 + 0.7 * (j + 1) / len(mine)}
                    panel.plot(rates, share, label=check if fault == mine[-1] else None, **look)
            panel.plot([0, 1], [0, 1], color=GUIDE, lw=0.6)
            panel.set(title=kind, xlabel="whole maps that are flagged", ylabel="maps with the fault")
        drawn.legend(*panel.get_legend_handles_labels(), loc="outside upper center", ncols=2)
        return drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=Path, required=True, metavar="DIR", help="where the study's shards are, or go")
    parser.add_argument("--output", type=Path, required=True, metavar="D.csv", help="table; a figure stands beside it")
    args = parser.parse_args()
    args.shards.mkdir(parents=True, exist_ok=True)
    table, scores = compare(load_study(ROOT / "config" / "zoo_cubes.yaml"), args.shards)
    write_csv(args.output, table, 3, COLUMNS)
    save(figure(scores), args.output)


if __name__ == "__main__":
    with plain_errors():
        main()
