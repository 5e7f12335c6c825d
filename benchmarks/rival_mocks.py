#!/usr/bin/env python3
"""Does the rival recover planted parameters? Mock maps on light-cones it has not seen, parameters drawn from its prior.

Each mock is painted directly (no emulator), gets noise, and has its posterior sampled; a row a mock and parameter says
whether the planted value lies in the 95 and 68 % intervals, and how many of the samples lie below it. Rows of runs that the
output already holds are not made again, and chains are resumed, so a killed run goes on; other --runs plant other
parameters, so give them another output.

example: python -m benchmarks.rival_mocks --config config/rival.yaml --rival li --noise comap --runs 40 \\
    --emulator results/rival/rival/li/emulator.h5 --subfields results/rival/subfields/{8,9,10}.h5 \\
    --chains results/rival/chains/mocks --output docs/results/rival_mocks.csv
"""

import argparse
import csv
import time
from pathlib import Path

import numpy as np
import torch

from limelight.errors import plain_errors
from limelight.files import settings_hash, write_csv
from limelight.halos.subfields import read_subfield_halos, read_subfields
from limelight.probes.line_intensity.lines.models import get_model
from limelight.probes.line_intensity.rival.emulator import read_emulator
from limelight.probes.line_intensity.rival.fields import noisy_summaries, paint_shape, prepare_fields
from limelight.probes.line_intensity.rival.rival import LIKELIHOOD, make_rival, prior_draws, sample_posterior
from limelight.probes.line_intensity.rival.shapes import get_shape
from limelight.probes.line_intensity.rival.stage import rival_measure, rival_sigma
from limelight.probes.line_intensity.settings import emulator_settings
from limelight.seeds import generator
from limelight.study.config import load_study

COLUMNS = (
    "noise", "covariance", "run", "lightcone", "subfield", "parameter", "planted", "low95", "median", "high95", "in95",
    "in68", "rank", "rhat", "ess", "acceptance", "chi2", "summaries", "seconds",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--rival", required=True)
    parser.add_argument("--noise", required=True, help="a name in observation.noise that the emulator knows")
    parser.add_argument("--covariance", choices=("local", "fiducial"), default="local")
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--emulator", type=Path, required=True)
    parser.add_argument("--subfields", nargs="+", required=True, help="of light-cones that did not make the emulator")
    parser.add_argument("--chains", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    study = load_study(args.config)
    settings = emulator_settings(study, args.rival)
    options, dataset = study.rival[args.rival].model_copy(update={"covariance": args.covariance}), settings.dataset
    model, shape = get_model(dataset.model, dataset.parameters), get_shape(dataset.model)
    emulator, fields = read_emulator(args.emulator), []
    for path in args.subfields:
        table = read_subfields(path)
        measure = rival_measure(settings, table.cosmology)
        fields += prepare_fields(table, read_subfield_halos(path), shape, measure.grid)
    sigma = rival_sigma(study.observation.noise[args.noise], settings)
    rival = make_rival(emulator, model, shape, dataset, options, measure, args.noise, sigma)
    planted = prior_draws(rival, args.runs, generator(study.seed, "rival mocks"))
    amplitude, shapes = shape.split(planted)
    # what is planted depends on the number of runs
    key = settings_hash([settings, options, args.noise, args.runs, float(emulator.outputs.sum()), LIKELIHOOD])
    rows = list(csv.DictReader(args.output.open(encoding="utf-8"))) if args.output.is_file() else []
    done = {int(r["run"]) for r in rows if (r["noise"], r["covariance"]) == (args.noise, args.covariance)}
    for run in range(args.runs):
        if run in done:
            continue
        field, truth = fields[run % len(fields)], planted[run]
        cube, offset = paint_shape(field, shape, shapes[run], field.normals(study.seed, 10**6 + run), measure)
        cube = cube * np.float32(10 ** (offset + amplitude[run]))
        data = noisy_summaries(cube, sigma, measure, study.seed, "noise of rival mocks", run)
        start = time.process_time()
        samples, checks = sample_posterior(rival, data, options, args.chains / key, key, study.seed, run)
        seconds = time.process_time() - start
        found, _, places = rival.predict(truth[None])
        chi2 = rival.hartlap * rival.chi2(found, places, data)[0][0]
        levels = np.quantile(samples, [0.025, 0.16, 0.5, 0.84, 0.975], axis=0)
        for i, name in enumerate(model.parameters):
            low, lower, middle, upper, high = levels[:, i]
            values = (
                args.noise, args.covariance, run, *field.key, name, f"{truth[i]:.5g}", f"{low:.5g}", f"{middle:.5g}",
                f"{high:.5g}", int(low <= truth[i] <= high), int(lower <= truth[i] <= upper),
                f"{np.mean(samples[:, i] < truth[i]):.4f}", f"{checks['rhat'][i]:.4f}", f"{checks['ess'][i]:.0f}",
                f"{checks['acceptance']:.3f}", f"{chi2:.1f}", len(data), f"{seconds:.1f}",
            )  # fmt: skip
            rows.append(dict(zip(COLUMNS, map(str, values), strict=True)))
        write_csv(args.output, rows, 5, COLUMNS)
    mine = [r for r in rows if (r["noise"], r["covariance"]) == (args.noise, args.covariance)]
    inside = np.array([int(r["in95"]) for r in mine]).reshape(-1, len(model.parameters))
    by_name = ", ".join(
        f"{name} {100 * share:.0f} %" for name, share in zip(model.parameters, inside.mean(0), strict=True)
    )
    print(f"{args.noise}, {args.covariance}: {len(inside)} runs, {100 * inside.mean():.1f} % inside 95 % ({by_name})")


if __name__ == "__main__":
    with plain_errors():
        main()
