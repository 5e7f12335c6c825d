#!/usr/bin/env python3
"""What a GPU is worth to limelight, in a few minutes: does it agree with the CPU, and how fast is it?

In this order, as far as the minutes go: the tests marked gpu; the same numbers on CPU and GPU, stage by stage; a training
step of three networks in two precisions, compiled or not, with the share of the GPU's peak; presentations, a posterior a
map, a light-cone; then as much of the paper's geometry (256 × 256 × 100 voxels, 36 fields a light-cone) as time allows.

Runs from a bare checkout: torch, numpy, scipy and h5py do for the networks. A check that needs another package names it and
is left out. Writes gpu.csv after each check, and gpu.png at the end. --dry does all of it on the CPU at a tiny size: a test.

example: python -m benchmarks.gpu --minutes 8 --output docs/results/gpu
"""

import argparse
import csv
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from limelight.inference.posteriors.mdn import MixtureHead, log_density, sample
from limelight.networks import build

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = ("check", "what", "device", "value", "unit", "ratio", "verdict")
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "V100": 125e12}  # 16 bits, dense; data sheets
NETWORKS = {"limelight": {"filters": 8}, "cnn3d": {"filters": 64}, "resnet3d": {}}
SHAPE, BINS, BATCH = (1, 64, 64, 10), 49, 40  # of the paper's pooled maps
BAND = (2.39, 3.434)  # redshifts of the paper's light-cones
AGREES = 2e-2  # of rounding in convolutions, which a GPU does in TF32 (10 bits), relative to the root mean square


@dataclass
class Run:
    """Where and how long; and what was found."""

    device: torch.device
    dry: bool
    end: float  # of time.monotonic
    folder: Path
    rows: list[dict] = field(default_factory=list)

    @property
    def left(self) -> float:
        """Seconds left."""
        return self.end - time.monotonic()

    def add(self, check: str, what: str, value: float | str, unit: str = "", device: str = "", ratio: float | None = None,
            verdict: str = "") -> None:  # fmt: skip
        """Keep a row, and say it."""
        value = f"{value:.4g}" if isinstance(value, float) else str(value)
        ratio_text = "" if ratio is None else f"{ratio:.3g}"
        row = (check, what, device or self.device.type, value, unit, ratio_text, verdict)
        self.rows.append(dict(zip(COLUMNS, row, strict=True)))
        print(f"{check:12s} {what:50s} {row[2]:5s} {value:>10s} {unit:10s} {ratio_text:>7s} {verdict}", flush=True)

    def write(self) -> None:
        """gpu.csv, whole or not at all."""
        part = self.folder / ".gpu.csv.part"
        with open(part, "w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            table.writeheader()
            table.writerows(self.rows)
        os.replace(part, self.folder / "gpu.csv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8, help="time for all of it (default: 8)")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for gpu.csv and gpu.png")
    parser.add_argument("--dry", action="store_true", help="on the CPU, tiny: tries the checks, measures nothing")
    args = parser.parse_args()
    if not args.dry and not torch.cuda.is_available():
        sys.exit("gpu: error: torch finds no CUDA device; use a machine that has one, or --dry to try the checks")
    args.output.mkdir(parents=True, exist_ok=True)
    run = Run(torch.device("cpu" if args.dry else "cuda"), args.dry, time.monotonic() + 60 * args.minutes, args.output)
    run.add("machine", torch.cuda.get_device_name() if not args.dry else platform.machine(), torch.__version__, "torch")
    for check, seconds in CHECKS.items():
        name = check.__name__
        if not args.dry and run.left < seconds:
            run.add(name, "left out", f"{run.left:.0f}", "s left", verdict=f"takes about {seconds}")
            continue
        try:
            check(run)
        except ModuleNotFoundError as error:
            run.add(name, f"left out: needs {error.name}", "", verdict="left out")
        except torch.OutOfMemoryError:
            run.add(name, "no room on the GPU", "", verdict="FAILED")
            torch.cuda.empty_cache()
        run.write()
    draw(run)
    wrong = [row for row in run.rows if row["verdict"] in ("DIFFERS", "FAILED")]
    print(f"{args.output / 'gpu.csv'}: {len(run.rows)} rows; {len(wrong)} checks failed")
    sys.exit(bool(wrong))


def seconds(run: Run, work: Callable[[], object], least: int = 3, most_s: float = 4.0) -> float:
    """Median time of some work, after one round that compiles and allocates."""
    work()
    found: list[float] = []
    while len(found) < (1 if run.dry else least) or (not run.dry and sum(found) < most_s and len(found) < 50):
        synchronise(run)
        start = time.perf_counter()
        work()
        synchronise(run)
        found.append(time.perf_counter() - start)
    return float(np.median(found))


def synchronise(run: Run) -> None:
    if run.device.type == "cuda":
        torch.cuda.synchronize()


def compare(run: Run, stage: str, what: str, ours: torch.Tensor, cpu: torch.Tensor, limit: float = AGREES) -> None:
    """A row on the largest difference, relative to the root mean square of the CPU's numbers."""
    off = float((ours.double().cpu() - cpu.double()).abs().max() / cpu.double().square().mean().sqrt())
    run.add(stage, f"{what}, largest difference", off, "of rms", verdict="agrees" if off <= limit else "DIFFERS")


# Checks


def tests(run: Run) -> None:
    """The tests marked gpu."""
    import pytest  # noqa: F401 - named when it is missing

    if run.dry:
        run.add("tests", "marked gpu", "not run", verdict="dry")
        return
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests/unit"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=min(150, run.left))
    except subprocess.TimeoutExpired:
        run.add("tests", "marked gpu", "no end", verdict="FAILED")
        return
    last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else "said nothing"
    run.add("tests", "marked gpu", last, verdict="agrees" if done.returncode == 0 else "FAILED")


def network(run: Run, name: str, device: torch.device) -> nn.Module:
    """The same weights wherever it runs."""
    torch.manual_seed(0)
    options = {"filters": 4} if run.dry else NETWORKS[name]
    return build(name, options, shape_of(run), (BINS,)).to(device)


def shape_of(run: Run) -> tuple[int, ...]:
    return (1, 16, 16, 10) if run.dry else SHAPE


def steps(module: nn.Module, x: torch.Tensor, y: torch.Tensor, count: int) -> list[float]:
    """Losses of some training steps; dropout is left out, because devices draw it differently."""
    for part in module.modules():
        if isinstance(part, nn.Dropout | nn.Dropout3d | nn.Dropout2d):
            part.p = 0.0
    optimizer, losses = torch.optim.SGD(module.parameters(), lr=1e-3), []
    for _ in range(count):
        loss = (module(x).flatten(1).float() - y).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def agreement(run: Run) -> None:
    """Networks, training steps and a posterior: the same numbers as on the CPU."""
    cpu, random = torch.device("cpu"), torch.Generator().manual_seed(1)
    x, y = torch.randn((8, *shape_of(run)), generator=random), torch.randn((8, BINS), generator=random)
    for name in NETWORKS:
        with torch.no_grad():
            answers = [network(run, name, where).eval()(x.to(where)).flatten(1) for where in (run.device, cpu)]
        compare(run, "agreement", f"{name}, answers", *answers)
        losses = [steps(network(run, name, where), x.to(where), y.to(where), 5) for where in (run.device, cpu)]
        compare(run, "agreement", f"{name}, losses of 5 steps", *(torch.tensor(one) for one in losses))
    torch.manual_seed(0)
    head = MixtureHead(64, BINS, 4, 6, 256, 2, 0.0).eval()
    seen, truth = torch.randn((100, 64), generator=random), torch.randn((100, BINS), generator=random)
    with torch.no_grad():
        here = log_density(head.to(run.device)(seen.to(run.device)), truth.to(run.device)).cpu()
        there = log_density(head.to(cpu)(seen), truth)
    compare(run, "agreement", "posterior, log densities", here, there)


def observation(run: Run) -> None:
    """Presentations: agreement without noise, the noise itself, and maps a second."""
    from benchmarks.training import LABELS
    from limelight.probes.line_intensity.config import Preprocessing
    from limelight.probes.line_intensity.labels import EXTENSION_BINS, log10_lum_edges
    from limelight.probes.line_intensity.maps.grid import Grid
    from limelight.probes.line_intensity.presentation import Augmentation, LinePresentation
    from limelight.probes.line_intensity.shards import line_header
    from limelight.probes.line_intensity.targets import line_target

    _, x, _, f = shape_of(run)
    grid, edges = Grid(1.4, 4 * x, 10 * f, 26.0, 34.0, 115.27, "uK", 4, 10), log10_lum_edges(LABELS, EXTENSION_BINS)
    target, none = line_target("dn", "log10_1p", (), line_header(grid, 0.0, LABELS, {})), Augmentation()
    clean, noisy = (
        LinePresentation(target, float(edges[1] - edges[0]), grid, ((sigma, sigma),), None, Preprocessing(), none)
        for sigma in (0.0, 3.47)
    )
    random = torch.Generator(run.device).manual_seed(0)
    maps = torch.rand((BATCH, *shape_of(run))) * 100
    here = maps.to(run.device)
    compare(
        run, "observation", "without noise", clean.observe(here, random), clean.observe(maps, torch.Generator()), 1e-4
    )
    expected = 3.47 * np.sqrt(160)
    found = float((torch.sinh(noisy.observe(here, random).double()) * 3 - here.double()).std())
    verdict = "agrees" if abs(found / expected - 1) < 0.02 else "DIFFERS"
    run.add("observation", "noise of a pooled voxel", found, "uK", ratio=found / expected, verdict=verdict)
    rate = BATCH / seconds(run, lambda: noisy.observe(here, random))
    run.add("observation", "maps shown with fresh noise", rate, "maps/s")


def training(run: Run) -> None:
    """Forward, backward and update of three networks; share of the GPU's peak; ratio to float32 without compilation."""
    batch = 4 if run.dry else BATCH
    x, y = torch.randn((batch, *shape_of(run)), device=run.device), torch.randn((batch, BINS), device=run.device)
    name_of = torch.cuda.get_device_name() if run.device.type == "cuda" else ""
    peak = next((value for key, value in PEAKS.items() if key in name_of), None)
    for name in NETWORKS:
        counter = FlopCounterMode(display=False)
        with counter:
            network(run, name, run.device)(x).sum().backward()
        plain = None
        for precision in ("float32", "bf16"):
            for compiled in (False,) if run.dry else (False, True):
                if run.left < 60 and not run.dry:
                    return
                module = network(run, name, run.device)
                took = seconds(run, one_step(run, module, x, y, precision, compiled))
                plain = plain or took
                share = f"{counter.get_total_flops() / took / peak:.1%} of peak" if peak and precision == "bf16" else ""
                words = f"{name}, {precision}{', compiled' if compiled else ''}"
                run.add("training", words, 1e3 * took, "ms a step", ratio=plain / took, verdict=share)


def one_step(run: Run, module: nn.Module, x: torch.Tensor, y: torch.Tensor, precision: str, compiled: bool) -> Callable:
    """A training step as a function without arguments."""
    forward = torch.compile(module) if compiled else module
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4)

    def step() -> None:
        with torch.autocast(run.device.type, torch.bfloat16, enabled=precision == "bf16"):
            out = forward(x)
        loss = (out.flatten(1).float() - y).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()

    return step


def posterior(run: Run) -> None:
    """1000 joint draws of all bins for each map, from features to draws."""
    head, maps = MixtureHead(256, BINS, 4, 6, 256, 2, 0.0).to(run.device).eval(), 20 if run.dry else 500
    features, random = torch.randn((maps, 256), device=run.device), torch.Generator(run.device).manual_seed(0)
    with torch.no_grad():
        took = seconds(run, lambda: sample(head(features), 1000, random))
    run.add("posterior", "1000 draws of 49 bins", 1e3 * took / maps, "ms a map")


def lightcone(run: Run) -> None:
    """One narrow light-cone on both devices, then one of 9.52° on the GPU."""
    from limelight.cosmology import Cosmology
    from limelight.halos.config import Lightcones
    from limelight.halos.generator import generate_lightcone

    cosmology, floor = Cosmology(), 1e11 if run.dry else 2.5e10

    def make(width: float, device: str):
        settings = Lightcones(field_deg=width, mass_min_msun=floor, train=[0], validation=[1], test=[2])
        return generate_lightcone(settings, *BAND, cosmology, 1, device)

    ours, cpu = (make(0.35, device) for device in (run.device.type, "cpu"))
    off = abs(len(ours) - len(cpu)) / len(cpu)
    run.add("lightcone", "halos in 0.35°, difference to the CPU's", off, verdict="agrees" if off < 1e-3 else "DIFFERS")
    if run.dry:
        paper(run, ours, 0.35, 1)
        return
    start = time.perf_counter()
    halos = make(9.52, "cuda")
    run.add("lightcone", f"9.52°, {len(halos):,} halos", time.perf_counter() - start, "s")
    paper(run, halos, 1.4, 6)


def paper(run: Run, halos, size_deg: float, per_side: int) -> None:
    """Maps of 256 × 256 × 100 voxels of a light-cone's fields, painted on the CPU, until time is up."""
    from limelight.halos.catalogue import tangent_plane_deg
    from limelight.probes.line_intensity.lines.models import get_model
    from limelight.probes.line_intensity.maps.grid import Grid
    from limelight.probes.line_intensity.maps.paint import paint

    line, pixels = get_model("li"), 16 if run.dry else 256
    grid = Grid(size_deg, pixels, 10 if run.dry else 100, 26.0, 34.0, 115.27, "uK", 4, 10)
    sky = np.stack(tangent_plane_deg(halos.position_mpc), 1)
    parameters = {key: mean for key, (mean, _) in line.parameters.items()}
    offsets, done, start = (np.arange(per_side) - 0.5 * (per_side - 1)) * size_deg, 0, time.perf_counter()
    for center in ((x, y) for x in offsets for y in offsets):
        if run.left < 20 and not run.dry:
            break
        near = np.abs(sky - center).max(axis=1) <= 0.51 * size_deg
        mass, redshift = halos.mass_msun[near].astype(float), halos.redshift[near].astype(float)
        seen = halos.redshift_observed[near].astype(float)
        light = line.log10_luminosity(mass, redshift, parameters, np.random.default_rng(done))
        paint(sky[near], redshift, seen, light, grid, np.array(center), halos.cosmology)
        done += 1
    if done:
        took = (time.perf_counter() - start) / done
        run.add("paper", f"maps of {pixels} × {pixels} × {grid.channels} voxels: {done}", took, "s a map", device="cpu")


CHECKS = {
    tests: 60,
    agreement: 20,
    observation: 10,
    training: 90,
    posterior: 10,
    lightcone: 60,
}  # seconds each may take


def draw(run: Run) -> None:
    """gpu.png: milliseconds of the training steps."""
    shown = [row for row in run.rows if row["check"] == "training"]
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        print("gpu.png: left out, needs matplotlib")
        return
    figure = Figure(figsize=(7.1, 0.6 + 0.25 * len(shown)), layout="constrained")
    axes = figure.subplots()
    axes.barh([row["what"] for row in shown], [float(row["value"]) for row in shown], color="0.5")
    axes.set(xlabel=f"ms a training step, {run.rows[0]['what']}")
    axes.invert_yaxis()
    figure.savefig(run.folder / "gpu.png", dpi=150)


if __name__ == "__main__":
    main()
