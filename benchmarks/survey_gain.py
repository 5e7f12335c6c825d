#!/usr/bin/env python3
"""What a study made for a survey's map can say: prior to posterior in width and nats for each luminosity bin, and k P(k).

For each intervals file (of posteriors, of rivals) a row per luminosity: median over maps of the 95 % width in dex of
1 + counts, the same of the prior (percentiles of the training maps' counts), ln of the ratio of 68 % widths (nats, as of
Gaussians), and the shares of truths inside. With --emulator, --training and --rival the k P(k) of the clean maps that a
rival's posterior allows: its parameters' mean power, by regression over the training maps. With --validation, the rival's
posteriors of validation maps, draws of k P(k) are recalibrated as its counts are.

example: python -m benchmarks.survey_gain --training results/s2/shards/li_full/*.h5 \\
    --intervals results/s2/rival/li/prior.h5 \\
    results/s2/posteriors/mdn/prior.h5 --emulator results/s2/rival/li/emulator.h5 --rival results/s2/rival/li/fiducial.h5 \\
    --output gain.csv --power power.csv
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from limelight.cosmology import Cosmology
from limelight.data.shard import Rows, read_shards
from limelight.errors import plain_errors
from limelight.files import write_csv
from limelight.inference.intervals import Intervals, read_intervals
from limelight.inference.recalibration import learnt_from, recalibrated
from limelight.inference.regression import fit_smooth_mean
from limelight.probes.line_intensity.labels import log10_lum_edges, quantity
from limelight.probes.line_intensity.maps.comoving import voxel_size_mpc
from limelight.probes.line_intensity.rival.emulator import spread_out
from limelight.probes.line_intensity.rival.observed import read_observed
from limelight.probes.line_intensity.shards import grid_of
from limelight.summaries.power import power_bins, power_spectrum

LUMINOSITIES = (9e3, 2.5e4, 9e4, 2.1e5, 3.4e5, 6.6e5, 1.1e6, 2.5e6)
K_EDGES = np.geomspace(0.09, 0.73, 7)  # COMAP's six bins, arXiv:2406.07512
LEVELS = (2.5, 16, 50, 84, 97.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--training", type=Path, nargs="+", required=True, help="shards of the prior")
    parser.add_argument("--intervals", type=Path, nargs="+", required=True)
    parser.add_argument("--emulator", type=Path, help="of an observed rival")
    parser.add_argument("--rival", type=Path, nargs="*", default=[], help="intervals of that rival")
    parser.add_argument("--validation", type=Path, help="intervals of run_rival.py --validation")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--power", type=Path)
    args = parser.parse_args()
    rows = read_shards(args.training)
    edges, percentiles = prior_percentiles(rows)
    prior = np.log10(1 + percentiles)
    table = [row for path in args.intervals for row in gains(read_intervals(path), edges, prior)]
    write_csv(args.output, table, digits=4)
    if args.emulator:
        write_csv(args.power, powers(rows, args.emulator, args.rival, args.validation), digits=4)


def prior_percentiles(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """(edges of log10 L (bins + 1,), percentiles (5, bins) at LEVELS of the counts of maps of the prior)."""
    edges = log10_lum_edges(rows.header.truths["labels"])
    counts = quantity(rows.y["n_above"][:, : len(edges)], edges, 1.0, "dn")
    return edges, np.percentile(counts, LEVELS, axis=0)


def gains(found: Intervals, edges: np.ndarray, prior: np.ndarray) -> list[dict]:
    """A row per luminosity of one method on one test; prior: (5, bins) in dex."""
    drawn, made = np.log10(1 + found.quantiles), []
    for luminosity in LUMINOSITIES:
        j = int(np.searchsorted(edges, np.log10(luminosity)) - 1)
        low, lower, _, upper, high = drawn[:, j].T
        inside = [
            (a <= t) & (t <= b) for a, b in ((low, high), (lower, upper)) for t in [np.log10(1 + found.truth[:, j])]
        ]
        made.append(
            {
                "method": found.method,
                "test": found.test,
                "luminosity_lsun": luminosity,
                "truth_median": np.median(found.truth[:, j]),
                "prior_width_95_dex": prior[4, j] - prior[0, j],
                "width_95_dex": np.median(high - low),
                "nats": np.mean(np.log((prior[3, j] - prior[1, j]) / np.maximum(upper - lower, 1e-3))),
                "bias_dex": np.median(drawn[:, j, 2] - np.log10(1 + found.truth[:, j])),
                "inside_95": inside[0].mean(),
                "inside_68": inside[1].mean(),
                "maps": len(low),
            }
        )
    return made


def powers(rows: Rows, emulator_path: Path, paths: list[Path], validation: Path | None) -> list[dict]:
    """k P(k) in µK² Mpc² of clean maps: percentiles over the prior, and over a rival's posteriors (median over maps)."""
    emulator, (grid, _) = read_observed(emulator_path), grid_of(rows.header.geometry)
    cosmology = Cosmology(**rows.header.simulation["cosmology"])
    bins = power_bins(grid.pooled_shape, voxel_size_mpc(grid, cosmology), K_EDGES)
    clean = torch.as_tensor(rows.x[:, 0]) / (grid.pool_pixels**2 * grid.pool_channels)
    log_power = np.log(bins.k_mean * power_spectrum(clean, bins)[:, 0].numpy())
    points = _points(emulator, rows.theta)
    scaled = (points - points.min(0)) / np.ptp(points, axis=0)
    smooth, *_ = fit_smooth_mean(points, log_power, points[spread_out(scaled, 80)])

    def allowed(found: Intervals) -> torch.Tensor:
        """ln of k P(k) (m, s, k) of the draws of a rival's parameters."""
        return torch.as_tensor(
            np.array([smooth(_points(emulator, one)) for one in found.parameter_samples.astype(float)])
        )

    how = None
    if validation:
        known = read_intervals(validation)
        how = learnt_from(allowed(known), torch.as_tensor(smooth(_points(emulator, known.parameters))))
    made = [_percentiles("prior", bins.k_mean, np.exp(log_power)[None])]
    for path in paths:
        found = read_intervals(path)
        drawn = allowed(found) if how is None else recalibrated(allowed(found), *how)
        made.append(_percentiles(f"{found.method}, {found.test}", bins.k_mean, np.exp(drawn.numpy())))
    return [row for table in made for row in table]


def _points(emulator, parameters: np.ndarray) -> np.ndarray:
    amplitude, shapes = emulator.shape.split(parameters)
    return emulator.points(shapes, amplitude)[0]


def _percentiles(name: str, k: np.ndarray, drawn: np.ndarray) -> list[dict]:
    """Of draws (m, s, k): percentiles over s, medians over the m maps."""
    found = np.median(np.percentile(drawn, (2.5, 50, 95, 97.5), axis=1), axis=1)
    names = ("low_95", "median", "upper_95", "high_95")
    return [{"of": name, "k_per_mpc": k[i]} | dict(zip(names, found[:, i], strict=True)) for i in range(len(k))]


if __name__ == "__main__":
    with plain_errors():
        main()
