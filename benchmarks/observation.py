#!/usr/bin/env python3
"""What share of a training step a survey's observation takes: σ cube, mask, means, modes, transfer function, channels.

Both are timed in one process, in turns, in processor seconds on a CPU and in clock seconds, synchronised, on a GPU.

example: OMP_NUM_THREADS=1 python -m benchmarks.observation --pixels 64 --channels 10
"""

import argparse
import time
from dataclasses import asdict, replace

import numpy as np
import torch

from limelight.cosmology import Cosmology
from limelight.networks import build
from limelight.probe import load_probe
from limelight.probes.line_intensity.maps.config import Filter, Noise
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.presentation import LinePresentation, line_presentation
from limelight.probes.line_intensity.settings import LineObservation
from limelight.probes.line_intensity.shards import line_header

LABELS = {"log10_lum_min": 3.5, "log10_lum_max": 7.0, "bins": 49}
PIPELINE = {
    "means": "removed_weighted",
    "pca_modes": 5,
    "high_pass_perp": [0.05, 0.01],
    "high_pass_par": [0.025, 0.005],
}


def survey_presentation(pixels: int, channels: int, pipeline: bool) -> tuple[LinePresentation, tuple[int, ...]]:
    """(presentation with a σ cube and mask, with or without a pipeline; shape of the network's inputs)."""
    probe, grid = load_probe("line_intensity"), Grid(1.4, 2 * pixels, channels, 26.0, 34.0, 115.27, "uK", 2, 1)
    header = line_header(grid, 0.0, LABELS, asdict(Cosmology()))
    shown = {"remove_means": "channels", "inputs": ["snr", "weight", "mask"]} if pipeline else {}
    network = probe.network({"architecture": "limelight", "line_models": ["any"], "preprocessing": shown})
    noise, setting = {"even": Noise(sigma_uk=10.0)}, Filter.model_validate(PIPELINE) if pipeline else None
    observation = LineObservation({}, noise, None, network.preprocessing, setting)
    how = line_presentation(network, observation, header, probe.target(network, header))
    if pipeline:
        rng = np.random.default_rng(1)
        pattern = rng.uniform(1, 9, grid.pooled_shape).astype(np.float32)
        how = replace(how, patterns=(pattern,), masks=(rng.random(grid.pooled_shape) > 0.2,))
    return how, probe.input_shape(network, header)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pixels", type=int, default=64, help="of pooled maps, along each side")
    parser.add_argument("--channels", type=int, default=10)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    device = torch.device(args.device)

    def clock() -> float:
        if device.type == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    maps = torch.rand(args.batch, 1, args.pixels, args.pixels, args.channels, device=device)
    for name, pipeline in (("even noise", False), ("a survey's", True)):
        how, shape = survey_presentation(args.pixels, args.channels, pipeline)
        net = build("limelight", {}, shape, (LABELS["bins"],)).to(device)
        optimizer, random = torch.optim.AdamW(net.parameters()), torch.Generator(device).manual_seed(1)
        seconds = np.empty((args.repeats, 2))
        for i in range(args.repeats):
            start = clock()
            inputs = how.observe(maps, random)
            seen = clock()
            net(inputs).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
            seconds[i] = seen - start, clock() - start
        observed, step = np.median(seconds[1:], axis=0)
        print(f"{name}: {1e3 * observed:.1f} ms of {1e3 * step:.1f} ms a step, {100 * observed / step:.0f} %")


if __name__ == "__main__":
    main()
