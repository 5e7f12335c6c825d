#!/usr/bin/env python3
"""Painting against np.histogramdd: the same halos, the same run, results compared voxel by voxel.

example: OMP_NUM_THREADS=1 python benchmarks/painting.py --halos 1000000 --pixels 256 --channels 100
"""

import argparse
import os
import platform
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np  # noqa: E402

from limelight.cosmology import Cosmology  # noqa: E402
from limelight.halos.subfields import SubfieldHalos  # noqa: E402
from limelight.lines.labels import EXTENSION_BINS, log10_lum_edges  # noqa: E402
from limelight.lines.models import get_model  # noqa: E402
from limelight.maps.grid import Grid  # noqa: E402
from limelight.maps.paint import bin_points, fill_cube, paint, paint_draw, prepare_field  # noqa: E402
from limelight.seeds import generator  # noqa: E402


def timed(work, repeats: int) -> tuple[float, float, object]:
    """(fastest, median) milliseconds of work(), and its last result."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        times.append(1e3 * (time.perf_counter() - start))
    return min(times), float(np.median(times)), result


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

    sums = np.zeros(grid.voxels + 1)

    def limelight() -> np.ndarray:
        sums.fill(0)
        return bin_points(x, y, freq, values, grid, center, sums)[:-1].reshape(grid.shape)

    def histogramdd() -> np.ndarray:
        return np.histogramdd((x, y, freq), bins=grid.shape, range=ranges, weights=values)[0]

    def bandwidth() -> np.ndarray:  # the least that must move: four columns in, one cube out
        return float(x.sum() + y.sum() + freq.sum() + values.sum()), sums.fill(0)

    print(f"{platform.processor() or platform.machine()}, one core; {n:,} halos into {grid.shape}, float64 sums")
    theirs, ours = timed(histogramdd, args.repeats), timed(limelight, 2 * args.repeats)
    same = np.array_equal(theirs[2], ours[2])
    bound = timed(bandwidth, args.repeats)
    print(f"np.histogramdd    min {theirs[0]:8.2f} ms  median {theirs[1]:8.2f} ms")
    print(f"limelight         min {ours[0]:8.2f} ms  median {ours[1]:8.2f} ms  (workspace reused)")
    print(f"bandwidth bound   min {bound[0]:8.2f} ms  median {bound[1]:8.2f} ms  (read the columns, clear the cube)")
    print(f"ratio histogramdd/limelight: min {theirs[0] / ours[0]:.1f}x, median {theirs[1] / ours[1]:.1f}x")

    cosmology, log10_lum = Cosmology(), np.log10(values)
    whole = timed(lambda: paint(sky, redshift, redshift, log10_lum, grid, center, cosmology), 3)
    halos = SubfieldHalos(sky, redshift, redshift, rng.uniform(1e11, 1e12, n).astype(np.float32))
    once = timed(lambda: prepare_field(halos, grid, center, cosmology), 3)
    field = once[2]
    order = np.argsort(grid.voxel_index(x, y, freq, center) // (grid.pixels * grid.channels), kind="stable")
    ordered = values[order]
    again = timed(lambda: fill_cube(field, ordered, grid), 2 * args.repeats)
    same = same and np.array_equal(again[2], theirs[2].astype(np.float32))
    print(
        f"a further draw    min {again[0]:8.2f} ms  median {again[1]:8.2f} ms  (voxels known and sorted, float32 out)"
    )
    print(f"ratio histogramdd/further draw: min {theirs[0] / again[0]:.1f}x, median {theirs[1] / again[1]:.1f}x")
    print(f"results exactly equal: {same}")
    settings = {"prior": "10%"}
    labels = {"log10_lum_min": 3.5, "log10_lum_max": 7.0, "bins": 49}
    edges, model = log10_lum_edges(labels, EXTENSION_BINS), get_model("li")
    draw = timed(lambda: paint_draw(field, model, settings, grid, edges, rng, "benchmark"), 5)
    light = timed(
        lambda: model.log10_luminosity(
            field.mass_msun, field.redshift, {k: v for k, (v, _) in model.parameters.items()}, rng
        ),
        5,
    )
    print(f"paint(), luminosities given, to float32:  min {whole[0]:.1f} ms")
    print(f"a subfield's geometry, once:              min {once[0]:.1f} ms")
    print(f"each draw of it (Li, fresh scatter):      min {draw[0]:.1f} ms, of which luminosities {light[0]:.1f} ms")
    if not same:
        sys.exit("benchmark: the two maps differ")


if __name__ == "__main__":
    main()
