#!/usr/bin/env python3
"""Painting beside its peers in the same run: binning against np.histogramdd, voxel by voxel, and all from masses to a map.

The peer of the second is what limlam_mocker does for every map, written here from the equations that it states
(arXiv:1503.08833): a bilinear look-up of the star formation rate, two log-normal scatters, L_IR, L′ and L, the brightness of
each halo, and np.histogramdd. Both get the same distances; limelight keeps of a field what no draw changes.

example: OMP_NUM_THREADS=1 python -m benchmarks.painting --halos 1000000 --pixels 256 --channels 100
"""

import argparse
import os
import platform
import sys
import time

import numpy as np
from scipy.interpolate import RectBivariateSpline

from limelight.cosmology import Cosmology
from limelight.halos.subfields import SubfieldHalos
from limelight.probes.line_intensity.config import MapDataset
from limelight.probes.line_intensity.labels import EXTENSION_BINS, log10_lum_edges
from limelight.probes.line_intensity.lines.models import get_model
from limelight.probes.line_intensity.lines.star_formation import _behroozi_table
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.paint import bin_light, paint, paint_draw, prepare_field
from limelight.seeds import generator


def peer_map(halos, freq, distance_mpc, grid: Grid, rates, parameters: dict, rng: np.random.Generator) -> np.ndarray:
    """A map (x, y, frequency) in µK from masses, float64, as the published steps follow one another."""
    sfr = rates.ev(np.log10(halos.mass_msun), np.log10(1 + halos.redshift))

    def scattered(values: np.ndarray, sigma_dex: float) -> np.ndarray:  # log-normal, its mean kept
        sigma = sigma_dex * np.log(10)
        return values * rng.lognormal(-0.5 * sigma**2, sigma, len(values))

    sfr = scattered(sfr, parameters["sigma_sfr"])
    l_ir = sfr * 1e10 / 10.0 ** parameters["log10_delta_mf"]
    l_prime = 10.0 ** (
        (np.log10(l_ir, where=l_ir > 0, out=np.full(len(l_ir), -np.inf)) - parameters["beta"]) / parameters["alpha"]
    )
    lum = scattered(4.9e-5 * l_prime, parameters["sigma_lco"])
    pixel_sr = np.radians(grid.pixel_deg) ** 2
    kelvin = (
        2.6172
        / 2
        * lum
        / (4 * np.pi * (distance_mpc * (1 + halos.redshift)) ** 2 * grid.channel_ghz * pixel_sr * freq**2)
    )
    half = grid.size_deg / 2
    ranges = [(-half, half), (-half, half), (grid.freq_min_ghz, grid.freq_max_ghz)]
    return np.histogramdd((*halos.sky_deg.T, freq), bins=grid.shape, range=ranges, weights=kelvin)[0]


def timed(repeats: int, *works) -> list[tuple[float, float, object]]:
    """(fastest, median) milliseconds of processor time and last result of each work, after one that does not count.

    They take turns, so that all see the same machine.
    """
    times, results = [[] for _ in works], [work() for work in works]
    for _ in range(repeats):
        for i, work in enumerate(works):
            start = time.process_time()
            results[i] = work()
            times[i].append(1e3 * (time.process_time() - start))
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
    log_mass, log_1z, table = _behroozi_table()
    rates = RectBivariateSpline(log_mass, log_1z, table, kx=1, ky=1)
    distance_mpc, settings = cosmology.comoving_distance(redshift), MapDataset(model="li", prior="fiducial")

    def first() -> np.ndarray:
        return paint_draw(prepare_field(halos, grid, center, cosmology), model, settings, edges, rng, "benchmark")[0]

    def further() -> np.ndarray:
        return paint_draw(field, model, settings, edges, rng, "benchmark")[0]

    def peer() -> np.ndarray:
        return peer_map(halos, freq, distance_mpc, grid, rates, fiducial, rng)

    theirs, one, more = timed(args.repeats, peer, first, further)
    print(
        f"from masses to a map, with scatter (Li): published steps min {theirs[0]:.0f} ms, here the first draw of a field"
    )
    print(
        f"  {one[0]:.0f} ms ({theirs[0] / one[0]:.1f}x), a further one {more[0]:.0f} ms ({theirs[0] / more[0]:.1f}x);"
    )
    print(f"  mean temperatures {theirs[2].mean():.4g} and {one[2].mean():.4g} uK")
    whole, once, light = timed(
        5,
        lambda: paint(sky, redshift, redshift, log10_lum, grid, center, cosmology),
        lambda: prepare_field(halos, grid, center, cosmology),
        lambda: model.log10_luminosity(*field.properties, fiducial, rng),
    )
    print(f"paint(), luminosities given, to float32:  min {whole[0]:.1f} ms")
    print(f"a subfield's geometry, once:              min {once[0]:.1f} ms")
    print(f"luminosities of a draw (Li):              min {light[0]:.1f} ms")
    if not same:
        sys.exit("benchmark: the two maps differ")


if __name__ == "__main__":
    main()
