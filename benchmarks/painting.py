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
from dataclasses import dataclass

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


@dataclass
class Field:
    """Halos at random in one field, and what both sides are told of them."""

    halos: SubfieldHalos
    grid: Grid
    center: np.ndarray
    cosmology: Cosmology
    freq: np.ndarray

    @classmethod
    def drawn(cls, n: int, grid: Grid, rng: np.random.Generator) -> "Field":
        sky, redshift = rng.uniform(-0.7, 0.7, (n, 2)), rng.uniform(*grid.redshift_range, n)
        halos = SubfieldHalos(sky, redshift, redshift, rng.uniform(1e11, 1e12, n).astype(np.float32))
        return cls(halos, grid, np.zeros(2), Cosmology(), grid.observed_freq_ghz(redshift))

    def prepared(self):
        return prepare_field(self.halos, self.grid, self.center, self.cosmology)


def binning(field: Field, values: np.ndarray, repeats: int) -> bool:
    """Print how long halos into voxels take; whether both sides give the same bits."""
    grid, freq, (x, y) = field.grid, field.freq, np.ascontiguousarray(field.halos.sky_deg.T)
    ranges = [(-0.7, 0.7), (-0.7, 0.7), (grid.freq_min_ghz, grid.freq_max_ghz)]
    prepared = field.prepared()
    order = np.argsort(grid.voxel_index(x, y, freq, field.center) // (grid.pixels * grid.channels), kind="stable")
    ordered, spare = values[order], np.zeros(grid.voxels)

    def histogramdd() -> np.ndarray:
        return np.histogramdd((x, y, freq), bins=grid.shape, range=ranges, weights=values)[0]

    def limelight() -> np.ndarray:
        return bin_light(prepared, ordered)

    def bandwidth() -> None:  # the least that must move: four columns in, one cube out
        for column in (x, y, freq, values):
            column.sum()
        spare.fill(0)

    theirs, ours, bound = timed(repeats, histogramdd, limelight, bandwidth)
    same = np.array_equal(ours[2], theirs[2].astype(np.float32))
    for name, (fastest, median, _), what in (
        ("np.histogramdd", theirs, "float64 cube"),
        ("limelight", ours, "float32 cube of halos whose voxels are known and sorted, as in paint_subfields"),
        ("bandwidth bound", bound, "read the four columns, clear a float64 cube"),
    ):
        print(f"{name:16s} min {fastest:8.2f} ms  median {median:8.2f} ms  {what}")
    print(f"histogramdd / limelight: min {theirs[0] / ours[0]:.1f}x, median {theirs[1] / ours[1]:.1f}x")
    print(f"limelight / bandwidth bound: min {ours[0] / bound[0]:.1f}x")
    print(f"results exactly equal: {same}")
    return same


def from_masses(field: Field, log10_lum: np.ndarray, rng: np.random.Generator, repeats: int) -> None:
    """Print how long a map takes from masses on, with scatter: a field's first draw, and a further one."""
    edges = log10_lum_edges({"log10_lum_min": 3.5, "log10_lum_max": 7.0, "bins": 49}, EXTENSION_BINS)
    model, settings = get_model("li"), MapDataset(model="li", prior="fiducial")
    fiducial = {name: mean for name, (mean, _) in model.parameters.items()}
    log_mass, log_1z, table = _behroozi_table()
    rates = RectBivariateSpline(log_mass, log_1z, table, kx=1, ky=1)
    halos, grid, prepared = field.halos, field.grid, field.prepared()
    distance_mpc = field.cosmology.comoving_distance(halos.redshift)

    def first() -> np.ndarray:
        return paint_draw(field.prepared(), model, settings, edges, rng, "benchmark")[0]

    def further() -> np.ndarray:
        return paint_draw(prepared, model, settings, edges, rng, "benchmark")[0]

    def peer() -> np.ndarray:
        return peer_map(halos, field.freq, distance_mpc, grid, rates, fiducial, rng)

    theirs, one, more = timed(repeats, peer, first, further)
    print(
        f"from masses to a map, with scatter (Li): published steps min {theirs[0]:.0f} ms, here the first draw of a field"
    )
    print(
        f"  {one[0]:.0f} ms ({theirs[0] / one[0]:.1f}x), a further one {more[0]:.0f} ms ({theirs[0] / more[0]:.1f}x);"
    )
    print(f"  mean temperatures {theirs[2].mean():.4g} and {one[2].mean():.4g} uK")
    place = halos.sky_deg, halos.redshift, halos.redshift
    whole, once, light = timed(
        5,
        lambda: paint(*place, log10_lum, grid, field.center, field.cosmology),
        field.prepared,
        lambda: model.log10_luminosity(*prepared.properties, fiducial, rng),
    )
    print(f"paint(), luminosities given, to float32:  min {whole[0]:.1f} ms")
    print(f"a subfield's geometry, once:              min {once[0]:.1f} ms")
    print(f"luminosities of a draw (Li):              min {light[0]:.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--halos", type=int, default=1_000_000)
    parser.add_argument("--pixels", type=int, default=256)
    parser.add_argument("--channels", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):  # one core, whatever the libraries would like
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})
    grid, rng = Grid(1.4, args.pixels, args.channels, 26.0, 34.0, 115.27), generator(1, "benchmark/painting")
    field, values = Field.drawn(args.halos, grid, rng), rng.lognormal(size=args.halos)
    machine = platform.processor() or platform.machine()
    print(f"{machine}, one core; {args.halos:,} halos into {grid.shape}, sums in float64")
    same = binning(field, values, args.repeats)
    from_masses(field, np.log10(values), rng, args.repeats)
    if not same:
        sys.exit("benchmark: the two maps differ")


if __name__ == "__main__":
    main()
