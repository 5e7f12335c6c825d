#!/usr/bin/env python3
"""What each stage costs against its size, on one core in processor seconds: a CSV, and a figure with slopes.

With --study also a table of its hours on some machines: estimates of `limelight.study.cost`, not measured (nor its GPU).

example: OMP_NUM_THREADS=1 python -m benchmarks.scaling --output docs/results/scaling --study config/paper.yaml
"""

import argparse
import csv
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from limelight.cosmology import Cosmology
from limelight.figures.style import COLOURS, MARKERS, PAGE_IN, save, style
from limelight.halos.config import Lightcones
from limelight.halos.generator import generate_lightcone
from limelight.halos.subfields import SubfieldHalos
from limelight.networks import build
from limelight.probes.line_intensity.config import MapDataset
from limelight.probes.line_intensity.labels import EXTENSION_BINS, log10_lum_edges
from limelight.probes.line_intensity.lines.models import get_model
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.paint import paint_draw, prepare_field
from limelight.seeds import generator
from limelight.study.config import load_study
from limelight.study.cost import LEARNING, costs
from limelight.text_table import text_table

LABELS = {"log10_lum_min": 3.5, "log10_lum_max": 7.0, "bins": 49}
BATCH = 8
MACHINES = {"laptop, 8 cores": (8, 0), "node, 64 cores": (64, 0), "16 cores and one GPU": (16, 1)}
Point = tuple[str, str, float, float]  # stage, what its size counts, size, seconds


def fastest(work: Callable[[], object], repeats: int = 3) -> float:
    """Processor seconds of the fastest of some runs."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def lightcones(scale: float) -> Iterator[Point]:
    """Generated light-cones of rising fields."""
    cosmology = Cosmology()
    cosmology.linear_power([0.1])  # CAMB's two seconds are not the generator's
    for field in (0.7, 1.0, 1.4, 2.0, 2.8):
        cone = {"field_deg": field * scale, "mass_min_msun": 2.5e10, "train": [1], "validation": [2], "test": [3]}
        start = time.process_time()
        halos = generate_lightcone(Lightcones(**cone), 2.39, 3.434, cosmology, 1, "cpu")
        yield "light-cone", "halos", len(halos), time.process_time() - start


def painting(scale: float) -> Iterator[Point]:
    """Maps of rising numbers of halos on one grid, and of one number of halos on rising grids."""
    cosmology, model, edges = Cosmology(), get_model("li"), log10_lum_edges(LABELS, EXTENSION_BINS)
    cases = [("halos", n, 64, 50) for n in (10_000, 30_000, 100_000, 300_000, 1_000_000)]
    cases += [("voxels", 100_000, n, n // 2) for n in (32, 64, 128, 192, 256)]
    for counts, halos, pixels, channels in cases:
        halos, grid, rng = int(halos * scale), Grid(1.4, pixels, channels, 26.0, 34.0, 115.27), generator(1, "scaling")
        sky, redshift = rng.uniform(-0.7, 0.7, (halos, 2)), rng.uniform(2.4, 3.4, halos)
        mass = (2.5e10 * (1 + rng.pareto(1.0, halos))).clip(max=1e13).astype(np.float32)
        found = SubfieldHalos(sky, redshift, redshift, mass)

        def first(found=found, grid=grid) -> object:
            return prepare_field(found, grid, np.zeros(2), cosmology)

        field = first()

        def draw(field=field, rng=rng) -> object:
            return paint_draw(field, model, MapDataset(model="li", prior="10%"), edges, rng, "scaling")

        size = halos if counts == "halos" else grid.voxels
        yield "geometry of a field", counts, size, fastest(first)
        yield "a draw of its map", counts, size, fastest(draw)


def learning(scale: float) -> Iterator[Point]:
    """Steps and predictions of the default network on maps of rising size, and on rising numbers of maps."""
    cases = [("voxels of a map", BATCH, n) for n in (16, 24, 32, 48, 64)] + [("maps", n, 24) for n in (4, 8, 16, 32)]
    for counts, maps, pixels in cases:
        pixels = max(16, int(pixels * scale))
        net = build("limelight", {}, (1, pixels, pixels, 10), (LABELS["bins"],))
        optimizer, x = torch.optim.AdamW(net.parameters()), torch.rand(maps, 1, pixels, pixels, 10)

        def step(net=net, optimizer=optimizer, x=x) -> None:
            net(x).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()

        def predict(net=net, x=x) -> None:
            with torch.inference_mode():
                net(x)

        size = maps if counts == "maps" else 10 * pixels**2
        yield "a step of training", counts, size, fastest(step)
        yield "predictions", counts, size, fastest(predict)


def slope(sizes: list[float], seconds: list[float]) -> float:
    """d ln(seconds) / d ln(size) over the larger half, where what is done once no longer counts."""
    most = max(2, (len(sizes) + 1) // 2)
    return float(np.polyfit(np.log(sizes[-most:]), np.log(seconds[-most:]), 1)[0])


def series(points: list[Point]) -> dict[tuple[str, str], tuple[list[float], list[float]]]:
    """{(stage, what its size counts): (sizes, seconds)}."""
    found: dict[tuple[str, str], tuple[list[float], list[float]]] = {}
    for stage, counts, size, seconds in points:
        sizes, taken = found.setdefault((stage, counts), ([], []))
        sizes.append(size)
        taken.append(seconds)
    return found


def draw_figure(points: list[Point], path: Path) -> None:
    """One panel for halos, voxels and maps each."""
    lines = series(points)
    kinds = list(dict.fromkeys(counts for _, counts in lines))
    with style():
        figure = Figure(figsize=(PAGE_IN, 5))
        for axes, kind in zip(figure.subplots(2, 2).flat, kinds, strict=True):
            chosen = [(stage, found) for (stage, counts), found in lines.items() if counts == kind]
            for i, (stage, (sizes, seconds)) in enumerate(chosen):
                label = f"{stage} ({slope(sizes, seconds):.2f})"
                axes.loglog(sizes, seconds, color=COLOURS[i], marker=MARKERS[i], label=label)
            axes.set(xlabel=kind, ylabel="processor seconds")
            low, high = axes.get_ylim()
            low = 10 ** np.floor(np.log10(low))  # at least two decades are labelled
            axes.set_ylim(low, high * (high / low) ** 0.5)  # room for the legend
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_minor_formatter(NullFormatter())
                axis.set_major_locator(LogLocator())
            axes.legend(fontsize=7, loc="upper left", title="stage (slope)", title_fontsize=7)
        save(figure, path, [])


def study_table(config: Path) -> list[dict[str, str]]:
    """Hours of a whole study on some machines, as the cost model estimates them."""
    from scripts.estimate import jobs_of

    study, rows = load_study(config), []
    jobs = jobs_of(config, ["all"])
    for machine, (cores, gpus) in MACHINES.items():
        resources = study.resources.model_copy(update={"gpus": gpus, "training_threads": min(cores, 4)})
        stages = costs(study.model_copy(update={"resources": resources}), jobs)
        learns = [row for row in stages if row["stage"] in LEARNING]
        rest_h = sum(row["core_hours"] for row in stages if row not in learns) / cores
        learning_h = sum(row["gpu_hours" if gpus else "core_hours"] for row in learns) / (1 if gpus else cores)
        longest_h = max(row["minutes"] for row in stages) / 60  # one training, however many cores stand by
        learning_h = max(learning_h, longest_h)
        hours = {"simulations and figures h": rest_h, "networks h": learning_h, "whole h": rest_h + learning_h}
        told = {heading: f"{value:,.1f}" for heading, value in hours.items()}
        rows.append({"machine": machine, **told, "longest job h": f"{longest_h:,.1f}"})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="the CSV and the figure, without their endings")
    parser.add_argument("--study", type=Path, help="config whose cost is told on some machines")
    parser.add_argument("--scale", type=float, default=1.0, help="of all sizes, to try it quickly")
    args = parser.parse_args()
    torch.set_num_threads(1)
    points = [point for measured in (lightcones, painting, learning) for point in measured(args.scale)]
    with open(args.output.with_suffix(".csv"), "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["stage", "size_of", "size", "processor_seconds"])
        table.writerows([stage, counts, f"{size:g}", f"{seconds:.4g}"] for stage, counts, size, seconds in points)
    draw_figure(points, args.output.with_suffix(".pdf"))
    told = [
        {"stage": stage, "against": counts, "slope": f"{slope(*found):.2f}"}
        for (stage, counts), found in series(points).items()
    ]
    print(text_table(told))
    if args.study:
        print(text_table(study_table(args.study)))


if __name__ == "__main__":
    main()
