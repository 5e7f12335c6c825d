#!/usr/bin/env python3
"""Mean luminosity function of maps over the analytic integral of the mass function through their line model.

The maps must be of a registered model with fixed parameters (prior: fiducial). Errors are those of the mean over fields;
maps of one field share their halos.

example: python -m benchmarks.luminosity_function --config config/bench.yaml --line-model li results/bench/shards/li/*.h5
"""

import argparse
from pathlib import Path

import numpy as np

from limelight.data.shard import read_shards
from limelight.errors import plain_errors, problem
from limelight.probes.line_intensity.labels import log10_lum_edges
from limelight.probes.line_intensity.lines.models import get_model
from limelight.probes.line_intensity.lines.priors import draw_parameters
from limelight.probes.line_intensity.maps.expectation import expected_luminosities
from limelight.probes.line_intensity.settings import lightcone_settings
from limelight.study.config import load_study

SLICES = 10  # of redshift, each with its own mass function
DRAWS = 10_000  # of the scatter at each mass: the brightest half-dex comes from its tail


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, help="the study of the maps")
    parser.add_argument("--line-model", required=True, help="the name of the maps in line_models")
    parser.add_argument("maps", nargs="+", help="shards")
    args = parser.parse_args()

    study = load_study(args.config)
    if args.line_model not in study.line_models:
        raise problem("--line-model", args.line_model, f"one of {', '.join(study.line_models)}", "name the maps' own")
    cones, grid, dataset = study.lightcones, study.grid, study.line_models[args.line_model]
    if dataset.prior != "fiducial":
        raise problem(f"line_models.{args.line_model}", f"prior {dataset.prior}", "fiducial", "name other maps")
    model, cosmology = get_model(dataset.model, dataset.parameters), lightcone_settings(study).cosmology
    parameters = draw_parameters(model, "fiducial", dataset.parameters, np.random.default_rng(0))
    maps = read_shards([Path(path) for path in args.maps])
    n_above, volume_mpc3 = maps.y["n_above"].astype(np.float64), maps.y["volume_mpc3"].astype(np.float64)

    # half-dex bins, as far as the labels' edges allow
    every = log10_lum_edges(maps.header.truths["labels"])
    edges = every[:: max(1, round(0.5 / np.diff(every)[0]))]
    columns = np.searchsorted(every, edges - 1e-9)
    redshifts = grid.rest_freq_ghz / np.linspace(grid.freq_max_ghz, grid.freq_min_ghz, SLICES + 1) - 1
    shells = np.diff(cosmology.comoving_distance(redshifts) ** 3)
    expected = 0.0
    for z, share in zip(0.5 * (redshifts[1:] + redshifts[:-1]), shells / shells.sum(), strict=True):
        found = expected_luminosities(model, parameters, cones.mass_min_msun, z, cosmology, cones.mass_function, DRAWS)
        expected = expected + share * np.histogram(found[0], edges, weights=found[1])[0]

    counts = -np.diff(n_above[:, columns], axis=1)
    ratio = counts / volume_mpc3[:, None] / expected
    field = np.unique(np.stack([maps.group, maps.rows["subfield"]]), axis=1, return_inverse=True)[1]
    means = np.array([ratio[field == i].mean(axis=0) for i in range(field.max() + 1)])
    error = means.std(axis=0, ddof=1) / np.sqrt(len(means))
    print(f"{len(counts)} maps of {len(means)} fields, {args.line_model} of {args.config}")
    print("log10 L from    to   halos a map   measured / expected")
    for low, high, mean, value, sigma in zip(
        edges[:-1], edges[1:], counts.mean(axis=0), means.mean(axis=0), error, strict=True
    ):
        print(f"{low:11.2f} {high:5.2f} {mean:13.1f}   {value:.4f} ± {sigma:.4f}")


if __name__ == "__main__":
    with plain_errors():
        main()
