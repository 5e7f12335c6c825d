#!/usr/bin/env python3
"""Binning light as the workflow does against np.histogramdd: the same halos, the same run, compared voxel by voxel.

example: OMP_NUM_THREADS=1 python -m benchmarks.painting --halos 1000000 --pixels 256 --channels 100
"""

import argparse
import os
import platform
import sys
import time

import numpy as np

from limelight.cosmology import Cosmology
from limelight.halos.subfields import SubfieldHalos
from limelight.probes.line_intensity.config import MapDataset
from limelight.probes.line_intensity.labels import EXTENSION_BINS, log10_lum_edges
from limelight.probes.line_intensity.lines.models import get_model
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.paint import bin_light, paint, paint_draw, prepare_field
from limelight.seeds import generator


def timed(repeats: int, *works) -> list[tuple[float, float, object]]:
    """(fastest, median) milliseconds and last result of each work; they take turns, so that all see the same machine."""
    times, results = [[] for _ in works], [None] * len(works)
    for _ in range(repeats):
        for i, work in enumerate(works):
            start = time.perf_counter()
            results[i] = work()
            times[i].append(1e3 * (time.perf_counter() - start))
    return [(min(t), float(np.median(t)), result) for t, result in zip(times, results, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--halos", type=int, default=1_000_000)
    parser.add_argument("--pixels", type=int, default=256)
    parser.add_argument("--channels", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):  # one core, whatever the libraries would like
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})

    grid = Grid(1.4, args.pixels, args.channels, 26.0, 34.0, 115.27)
    rng = generator(1, "benchmark/painting")
    n, center = args.halos, np.zeros(2)
    sky = rng.uniform(-0.7, 0.7, (n, 2))
    redshift = rng.uniform(*grid.redshift_range, n)
    x, y = np.ascontiguousarray(sky.T)
    freq = grid.observed_freq_ghz(redshift)
    values = rng.lognormal(size=n)
    ranges = [(-0.7, 0.7), (-0.7, 0.7), (grid.freq_min_ghz, grid.freq_max_ghz)]

    cosmology, log10_lum = Cosmology(), np.log10(values)
    halos = SubfieldHalos(sky, redshift, redshift, rng.uniform(1e11, 1e12, n).astype(np.float32))
    field = prepare_field(halos, grid, center, cosmology)
    order = np.argsort(grid.voxel_index(x, y, freq, center) // (grid.pixels * grid.channels), kind="stable")
    ordered, spare = values[order], np.zeros(grid.voxels)

    def histogramdd() -> np.ndarray:
        return np.histogramdd((x, y, freq), bins=grid.shape, range=ranges, weights=values)[0]

    def limelight() -> np.ndarray:
        return bin_light(field, ordered)

    def bandwidth() -> None:  # the least that must move: four columns in, one cube out
        for column in (x, y, freq, values):
            column.sum()
        spare.fill(0)

    theirs, ours, bound = timed(args.repeats, histogramdd, limelight, bandwidth)
    same = np.array_equal(ours[2], theirs[2].astype(np.float32))
    print(f"{platform.processor() or platform.machine()}, one core; {n:,} halos into {grid.shape}, sums in float64")
    for name, (fastest, median, _), what in (
        ("np.histogramdd", theirs, "float64 cube"),
        ("limelight", ours, "float32 cube of halos whose voxels are known and sorted, as in paint_subfields"),
        ("bandwidth bound", bound, "read the four columns, clear a float64 cube"),
    ):
        print(f"{name:16s} min {fastest:8.2f} ms  median {median:8.2f} ms  {what}")
    print(f"histogramdd / limelight: min {theirs[0] / ours[0]:.1f}x, median {theirs[1] / ours[1]:.1f}x")
    print(f"limelight / bandwidth bound: min {ours[0] / bound[0]:.1f}x")
    print(f"results exactly equal: {same}")

    labels = {"log10_lum_min": 3.5, "log10_lum_max": 7.0, "bins": 49}
    edges, model = log10_lum_edges(labels, EXTENSION_BINS), get_model("li")
    fiducial = {name: mean for name, (mean, _) in model.parameters.items()}
    whole, once, draw, light = timed(
        5,
        lambda: paint(sky, redshift, redshift, log10_lum, grid, center, cosmology),
        lambda: prepare_field(halos, grid, center, cosmology),
        lambda: paint_draw(field, model, MapDataset(model="li", prior="10%"), edges, rng, "benchmark"),
        lambda: model.log10_luminosity(*field.properties, fiducial, rng),
    )
    print(f"paint(), luminosities given, to float32:  min {whole[0]:.1f} ms")
    print(f"a subfield's geometry, once:              min {once[0]:.1f} ms")
    print(f"each draw of it (Li, fresh scatter):      min {draw[0]:.1f} ms, of which luminosities {light[0]:.1f} ms")
    if not same:
        sys.exit("benchmark: the two maps differ")


if __name__ == "__main__":
    main()
